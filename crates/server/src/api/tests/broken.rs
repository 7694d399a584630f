//! Storage that fails or never answers, and clients that do not wait for it.

use super::peers::{CHUNKS, SAMPLES, federate, read};
use super::world::{Served, World, patient, request, serve};
use crate::QueryOptions;
use crate::api::data::{Data, HeadStats};
use axum::http::header;
use futures::{future, stream};
use nilometer_access::ReadScope;
use nilometer_env::sim::SimClock;
use nilometer_model::{BlockMeta, Error, Metadata, Result};
use nilometer_storage::{BoxFuture, LabelQuery, Names, Queryable, Select, SeriesBatch, SeriesStream};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Storage that answers with an error, or never.
#[derive(Clone)]
struct Broken {
    error: Option<Error>,
    /// Held by each stream: tells whether any is left.
    held: Arc<()>,
}

impl Broken {
    fn with(error: Error) -> Self {
        Broken { error: Some(error), held: Arc::new(()) }
    }

    fn silent() -> Self {
        Broken { error: None, held: Arc::new(()) }
    }

    fn served(&self, options: &QueryOptions) -> Served {
        serve(Arc::new(self.clone()), options, Arc::new(SimClock::new(1_700_000_000_000)))
    }

    fn answer<T: Send + 'static>(&self) -> BoxFuture<Result<T>> {
        let held = self.held.clone();
        match self.error.clone() {
            Some(error) => Box::pin(future::ready(Err(error))),
            None => Box::pin(async move {
                let _held = held;
                future::pending().await
            }),
        }
    }
}

impl Queryable for Broken {
    fn select(&self, _: Select) -> SeriesStream {
        Box::pin(stream::once(self.answer()))
    }

    fn label_names(&self, _: LabelQuery) -> BoxFuture<Result<Names>> {
        self.answer()
    }

    fn label_values(&self, _: &str, _: LabelQuery) -> BoxFuture<Result<Names>> {
        self.answer()
    }
}

impl Data for Broken {
    fn queryable(&self, _: &ReadScope) -> Arc<dyn Queryable> {
        Arc::new(self.clone())
    }

    fn metadata(&self, _: &ReadScope, _: Option<&str>) -> Result<BTreeMap<String, Vec<Metadata>>> {
        self.error.clone().map_or(Ok(BTreeMap::new()), Err)
    }

    fn blocks(&self, _: &ReadScope) -> Vec<BlockMeta> {
        Vec::new()
    }

    fn stats(&self, _: &ReadScope, _: usize) -> Result<HeadStats> {
        self.error.clone().map_or(Ok(HeadStats::default()), Err)
    }
}

/// Storage that has nothing, and says that something is missing.
struct Partial;

const MISSING: &str = "store a:1: gone: what is there is missing";

impl Queryable for Partial {
    fn select(&self, _: Select) -> SeriesStream {
        let batch = SeriesBatch { series: Vec::new(), warnings: vec![MISSING.to_owned()] };
        Box::pin(stream::iter([Ok(batch)]))
    }

    fn label_names(&self, _: LabelQuery) -> BoxFuture<Result<Names>> {
        let names = Names { names: Vec::new(), warnings: vec![MISSING.to_owned()] };
        Box::pin(future::ready(Ok(names)))
    }

    fn label_values(&self, _: &str, query: LabelQuery) -> BoxFuture<Result<Names>> {
        self.label_names(query)
    }
}

impl Data for Partial {
    fn queryable(&self, _: &ReadScope) -> Arc<dyn Queryable> {
        Arc::new(Partial)
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

#[test]
fn a_part_is_an_answer_unless_it_is_not_wanted() {
    let served = serve(Arc::new(Partial), &patient(), Arc::new(SimClock::new(1_700_000_000_000)));
    for path in ALL {
        let with = |partial: &str| {
            let sign = if path.contains('?') { '&' } else { '?' };
            served.get(&format!("{path}{sign}partial_response={partial}"))
        };
        for wanted in ["", "true"] {
            let got = with(wanted);
            assert_eq!((got.status, got.body.contains(MISSING)), (200, true), "{path}: {}", got.body);
        }
        let got = with("false");
        let says = format!("\"errorType\":\"execution\",\"error\":\"partial_response=false: {MISSING}\"");
        assert_eq!((got.status, got.body.contains(&says)), (422, true), "{path}: {}", got.body);
    }
    // What an expression warns of is no part that is missing.
    let world = World::new().served(&patient());
    let path = "/query?query=quantile(2,vector(1))";
    let got = world.get(&format!("{path}&partial_response=false"));
    assert_eq!((got.status, got.body.contains("PromQL warning")), (200, true), "{}", got.body);
}

/// What Prometheus' own way of answering mistakes is for.
const ALL: [&str; 5] = [
    "/query?query=up",
    "/query_range?query=up&start=1&end=2&step=1",
    "/series?match[]=up",
    "/labels",
    "/label/a/values",
];

#[test]
fn errors_of_storage_have_their_statuses() {
    for (error, status, kind) in [
        (Error::unavailable("later"), 503, "unavailable"),
        (Error::corrupt("file", 1, "bad"), 500, "internal"),
        (Error::not_found("gone"), 404, "not_found"),
        (Error::limit("some", 3, "too much"), 422, "execution"),
        (Error::canceled("gave up"), 503, "canceled"),
    ] {
        let served = Broken::with(error).served(&patient());
        for path in ALL {
            let got = served.get(path);
            assert_eq!(got.status, status, "{path}: {}", got.body);
            assert!(got.body.contains(&format!("\"errorType\":\"{kind}\"")), "{path}: {}", got.body);
        }
        for asked in [|| federate("up"), || read(SAMPLES), || read(CHUNKS)] {
            let got = served.send(asked());
            let text = got.headers[header::CONTENT_TYPE] == "text/plain; charset=utf-8";
            assert_eq!((got.status, text, got.body.contains('{')), (status, true, false), "{}", got.body);
        }
    }
}

#[test]
fn what_takes_too_long_is_ended() {
    let options = QueryOptions { timeout: Duration::from_millis(20), ..QueryOptions::default() };
    let served = Broken::silent().served(&options);
    for path in ALL {
        let got = served.get(path);
        assert_eq!(
            (
                got.status,
                got.body.contains("\"errorType\":\"timeout\"") && got.body.contains("(limit query.timeout")
            ),
            (503, true),
            "{path}: {}",
            got.body
        );
    }
    for asked in [|| federate("up"), || read(SAMPLES), || read(CHUNKS)] {
        let got = served.send(asked());
        assert_eq!((got.status, got.body.contains("timed out")), (503, true), "{}", got.body);
    }
    let served = Broken::silent().served(&patient());
    for path in ["/query?query=up&timeout=20ms", "/query?query=1&timeout=0", "/query?query=1&timeout=-1"] {
        let got = served.get(path);
        assert_eq!(
            (got.status, got.body.contains("\"errorType\":\"timeout\"")),
            (503, true),
            "{path}: {}",
            got.body
        );
    }
}

#[test]
fn who_waits_for_a_place_is_ended_too() {
    let silent = Broken::silent();
    let served = silent.served(&QueryOptions { max_concurrent: 1, ..patient() });
    served.runtime().block_on(async {
        let first = served.respond(request("GET", "/query?query=up", None));
        let second = served.respond(request("GET", "/query?query=1&timeout=20ms", None));
        let mut first = std::pin::pin!(first);
        // The first holds the only place: its stream was opened.
        let opened = async {
            while Arc::strong_count(&silent.held) < 4 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! { _ = &mut first => panic!("answered"), () = opened => {} }
        tokio::select! {
            _ = &mut first => panic!("answered"),
            got = second => assert_eq!(got.status(), 503),
        }
    });
}

#[test]
fn who_leaves_ends_the_query() {
    let silent = Broken::silent();
    let served = silent.served(&patient());
    let asked = ALL.map(|path| request("GET", path, None)).into_iter();
    for request in asked.chain([federate("up"), read(SAMPLES), read(CHUNKS)]) {
        served.runtime().block_on(async {
            let asked = served.respond(request);
            let opened = async {
                while Arc::strong_count(&silent.held) < 3 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! { _ = asked => panic!("answered"), () = opened => {} }
            // Nothing is left but what the API and this test hold.
            while Arc::strong_count(&silent.held) > 2 {
                tokio::task::yield_now().await;
            }
        });
    }
}
