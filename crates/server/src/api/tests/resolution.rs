//! `max_source_resolution`: what storage is asked for.

use super::world::{patient, serve};
use crate::QueryOptions;
use crate::api::data::{Data, HeadStats};
use futures::stream;
use nilometer_access::ReadScope;
use nilometer_env::sim::SimClock;
use nilometer_model::{BlockMeta, Metadata, Result};
use nilometer_storage::{BoxFuture, LabelQuery, Names, Queryable, Select, SeriesStream};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Storage without series that remembers the resolution of the last question, and whether coarser would do.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Option<(i64, bool)>>>);

impl Queryable for Asked {
    fn select(&self, select: Select) -> SeriesStream {
        *self.0.lock().unwrap() = Some((select.hints.max_resolution_ms, select.hints.coarser_in_gaps));
        Box::pin(stream::empty())
    }

    fn label_names(&self, _: LabelQuery) -> BoxFuture<Result<Names>> {
        Box::pin(std::future::ready(Ok(Names::default())))
    }

    fn label_values(&self, _: &str, _: LabelQuery) -> BoxFuture<Result<Names>> {
        Box::pin(std::future::ready(Ok(Names::default())))
    }
}

impl Data for Asked {
    fn queryable(&self, _: &ReadScope) -> Arc<dyn Queryable> {
        Arc::new(self.clone())
    }

    fn metadata(&self, _: &ReadScope, _: Option<&str>) -> Result<BTreeMap<String, Vec<Metadata>>> {
        Ok(BTreeMap::new())
    }

    fn blocks(&self, _: &ReadScope) -> Vec<BlockMeta> {
        Vec::new()
    }

    fn stats(&self, _: &ReadScope, _: usize) -> Result<HeadStats> {
        Ok(HeadStats::default())
    }
}

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

#[test]
fn a_query_gets_the_resolution_that_it_asks_for() {
    let range =
        |query: &str, step: &str| format!("/query_range?query={query}&start=0&end=8640000&step={step}");
    let instant = |query: &str| format!("/query?query={query}&time=0");
    let year = range("up", "1h");
    for auto_downsampling in [true, false] {
        let asked = Asked::default();
        let clock = Arc::new(SimClock::new(1_700_000_000_000));
        let options = QueryOptions { auto_downsampling, ..patient() };
        let served = serve(Arc::new(asked.clone()), &options, clock);
        let of = |path: &str, parameter: &str| {
            let got = served.get(&format!("{path}{parameter}"));
            assert_eq!(got.status, 200, "{path}{parameter}: {}", got.body);
            asked.0.lock().unwrap().take().unwrap()
        };
        let by_default = of(&year, "");
        assert_eq!(by_default, if auto_downsampling { (HOUR / 5, true) } else { (0, false) });
        for (path, parameter, expected) in [
            (&year, "&max_source_resolution=auto", (HOUR / 5, true)),
            (&year, "&max_source_resolution=0s", (0, false)),
            (&year, "&max_source_resolution=5m", (5 * MINUTE, false)),
            (&year, "&max_source_resolution=3600", (HOUR, false)),
            (&range("rate(up[1h])", "1h"), "&max_source_resolution=1h", (HOUR / 2, false)),
            (&range("avg_over_time(up[1d])", "1h"), "&max_source_resolution=auto", (HOUR, true)),
            (&instant("up"), "&max_source_resolution=auto", (0, true)),
            (&instant("up"), "&max_source_resolution=1h", (HOUR, false)),
            (&instant("sum_over_time(up[20d])"), "&max_source_resolution=auto", (24 * HOUR, true)),
        ] {
            assert_eq!(of(path, parameter), expected, "{path}{parameter}");
        }
        for (value, says) in [
            ("often", "'max_source_resolution' parameter: cannot parse \"often\" to a valid duration"),
            ("-1", "negative 'max_source_resolution' is not accepted. Try a positive integer"),
        ] {
            for path in [&year, &instant("up")] {
                let got = served.get(&format!("{path}&max_source_resolution={value}"));
                assert_eq!(got.status, 400, "{value}");
                let answer: serde_json::Value = serde_json::from_str(&got.body).unwrap();
                assert_eq!((&answer["errorType"], &answer["error"]), (&"bad_data".into(), &says.into()));
            }
        }
    }
}
