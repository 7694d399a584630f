//! A head, the simulated outside of it, and requests made by hand.

use crate::append::{Appended, SeriesLimits, SeriesPolicy};
use crate::{Env, Head, HeadOptions};
use futures::StreamExt;
use futures::executor::block_on;
use nilometer_chunk::Samples;
use nilometer_env::sim::{Faults, SimClock, SimFs, SimRandom};
use nilometer_env::{Clock, Fs};
use nilometer_model::{Labels, Result, Tenant, TimeRange, Value};
use nilometer_storage::Select;
use nilometer_wire::remote_write::encode::{SentSeries, v1, v2};
use nilometer_wire::remote_write::{FloatSample, Limits, Message, WriteRequest};
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What can be read: by series, the bits of its values by time.
pub(super) type Contents = BTreeMap<Labels, Vec<(i64, u64)>>;

pub(super) struct World {
    pub(super) fs: SimFs,
    pub(super) clock: Arc<SimClock>,
    random: Arc<SimRandom>,
    head: Option<Head>,
    pub(super) options: HeadOptions,
}

struct Anything;

impl SeriesPolicy for Anything {
    fn limits(&self) -> SeriesLimits {
        SeriesLimits::default()
    }

    fn admit(&self, labels: Labels) -> Result<Labels, String> {
        Ok(labels)
    }

    fn generation(&self) -> u64 {
        0
    }
}

pub(super) fn series(n: u64) -> Labels {
    Labels::from_pairs([("__name__", "m".to_owned()), ("n", n.to_string())])
}

impl World {
    pub(super) fn new(seed: u64) -> World {
        World::with(seed, HeadOptions { reserve_bytes: 1 << 20, ..HeadOptions::default() })
    }

    pub(super) fn with(seed: u64, options: HeadOptions) -> World {
        let fs = SimFs::new(seed);
        let options = HeadOptions { dir: "/data".into(), ..options };
        fs.create_dir_all(Path::new("/data")).unwrap();
        let (clock, random) = (Arc::new(SimClock::new(1_700_000_000_000)), Arc::new(SimRandom::new(seed)));
        let mut world = World { fs, clock, random, head: None, options };
        world.head = Some(world.open().unwrap());
        world
    }

    fn env(&self) -> Env {
        Env { fs: Arc::new(self.fs.clone()), clock: self.clock.clone(), random: self.random.clone() }
    }

    fn open(&self) -> Result<Head> {
        Head::open(self.env(), self.options.clone(), &mut Registry::default())
    }

    pub(super) fn open_beside(&self) -> Result<()> {
        self.open().map(drop)
    }

    pub(super) fn head(&self) -> &Head {
        self.head.as_ref().unwrap()
    }

    pub(super) fn now(&self) -> i64 {
        self.clock.wall_ms()
    }

    pub(super) fn set_now(&mut self, now: i64) {
        self.clock.advance_ms((now - self.now()).max(0));
    }

    pub(super) fn advance(&self, by_ms: i64) {
        self.clock.advance_ms(by_ms);
    }

    /// The process ends and another begins; nothing was said to the disk in between.
    pub(super) fn restart(&mut self) {
        self.head = None;
        self.head = Some(self.open().unwrap());
    }

    pub(super) fn close(&mut self) {
        self.head = None;
    }

    /// The power goes off and on.
    pub(super) fn crash(&mut self) {
        self.head = None;
        self.fs.crash();
        self.head = Some(self.open().unwrap());
    }

    pub(super) fn fill_disk(&self, full: bool) {
        let used: u64 = self.fs.files().iter().map(|(_, len)| len).sum();
        let capacity_bytes = if full { used + 1000 } else { 0 };
        self.fs.set_faults(Faults { capacity_bytes, ..Faults::default() });
    }

    /// Sends, and waits until it is durable.
    pub(super) fn send(&self, tenant: &str, sent: &[(Labels, Vec<(i64, f64)>)]) -> Result<Appended> {
        let appended = self.push(tenant, sent)?;
        self.head().flush_log()?;
        block_on(self.head().durable(&appended))?;
        Ok(appended)
    }

    /// Sends, and does not wait.
    pub(super) fn push(&self, tenant: &str, sent: &[(Labels, Vec<(i64, f64)>)]) -> Result<Appended> {
        let all: Vec<SentSeries> = sent
            .iter()
            .map(|(labels, samples)| SentSeries { samples: floats(samples), ..SentSeries::new(labels) })
            .collect();
        self.push_series(tenant, &all)
    }

    /// Whether a request counts as stored by now.
    pub(super) fn is_durable(&self, appended: &Appended) -> bool {
        use futures::FutureExt;
        self.head().durable(appended).now_or_never().is_some_and(|done| done.is_ok())
    }

    pub(super) fn send_raw(
        &self,
        tenant: &str,
        labels: &[(&str, &str)],
        samples: &[(i64, f64)],
    ) -> Result<Appended> {
        let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let sent = SentSeries { labels, samples: floats(samples), ..SentSeries::default() };
        let appended = self.push_series(tenant, &[sent])?;
        self.head().flush_log()?;
        Ok(appended)
    }

    pub(super) fn push_series(&self, tenant: &str, sent: &[SentSeries]) -> Result<Appended> {
        self.push_plain(tenant, Message::V1, &v1(sent, &[]))
    }

    /// With start timestamps, which the first version of the protocol has not.
    pub(super) fn push_v2(&self, tenant: &str, sent: &[SentSeries]) -> Result<Appended> {
        self.push_plain(tenant, Message::V2, &v2(sent))
    }

    /// Under another policy than one that takes anything.
    pub(super) fn push_with(
        &self,
        tenant: &str,
        sent: &[SentSeries],
        policy: &dyn SeriesPolicy,
    ) -> Result<Appended> {
        self.push_body(tenant, Message::V1, &v1(sent, &[]), policy)
    }

    fn push_plain(&self, tenant: &str, message: Message, body: &[u8]) -> Result<Appended> {
        self.push_body(tenant, message, body, &Anything)
    }

    fn push_body(
        &self,
        tenant: &str,
        message: Message,
        body: &[u8],
        policy: &dyn SeriesPolicy,
    ) -> Result<Appended> {
        let mut request = WriteRequest::default();
        request.read_plain(message, body, &Limits::default())?;
        self.head().append(&Tenant::new(tenant)?, &request, policy)
    }

    pub(super) fn read(&self, tenant: &str) -> Contents {
        self.read_in(tenant, TimeRange::ALL)
    }

    /// Everything that a tenant has in a range, as a query would see it.
    pub(super) fn read_in(&self, tenant: &str, range: TimeRange) -> Contents {
        let (contents, warnings) = self.read_both(tenant, range);
        assert_eq!(warnings, 0, "nothing is damaged");
        contents
    }

    /// What can still be read where something is damaged, and how many warnings say so.
    pub(super) fn read_with_warnings(&self, tenant: &str) -> (Contents, usize) {
        self.read_both(tenant, TimeRange::ALL)
    }

    fn read_both(&self, tenant: &str, range: TimeRange) -> (Contents, usize) {
        let mut warnings = 0;
        let Some(queryable) = self.head().queryable(&Tenant::new(tenant).unwrap()) else {
            return (Contents::new(), 0);
        };
        let mut contents = Contents::new();
        let mut last: Option<Labels> = None;
        let batches: Vec<_> = block_on(queryable.select(Select::new([], range)).collect());
        for batch in batches.iter().map(|b| b.as_ref().unwrap()) {
            batch.warnings.iter().for_each(|warning| eprintln!("{warning}"));
            warnings += batch.warnings.len();
        }
        for series in batches.into_iter().flat_map(|b| b.unwrap().series) {
            assert!(last.is_none_or(|l| l < series.labels), "series are sorted and come once");
            last = Some(series.labels.clone());
            let mut by_time = BTreeMap::new();
            let mut damaged = Vec::new();
            for chunk in series.chunks.read(&mut damaged) {
                let (mut t, mut v) = (Vec::new(), Vec::new());
                nilometer_chunk::decode_floats(&chunk.data, chunk.encoding, &mut t, &mut v).unwrap();
                for (t, v) in t.into_iter().zip(v).filter(|(t, _)| range.contains(*t)) {
                    let before = by_time.insert(t, v.to_bits());
                    assert!(
                        before.is_none_or(|b| b == v.to_bits()),
                        "two values at {t} of {}",
                        series.labels
                    );
                }
            }
            damaged.iter().for_each(|warning| eprintln!("{warning}"));
            warnings += damaged.len();
            if !by_time.is_empty() {
                contents.insert(series.labels, by_time.into_iter().collect());
            }
        }
        (contents, warnings)
    }

    /// All samples of whatever kind, of a tenant with one series.
    pub(super) fn read_values(&self, tenant: &str) -> Vec<(i64, Value)> {
        let Some(queryable) = self.head().queryable(&Tenant::new(tenant).unwrap()) else { return Vec::new() };
        let batches: Vec<_> = block_on(queryable.select(Select::new([], TimeRange::ALL)).collect());
        let chunks =
            batches.into_iter().flat_map(|b| b.unwrap().series).flat_map(|s| s.chunks.read(&mut Vec::new()));
        let samples = chunks
            .flat_map(|c| Samples::new(&c.data, c.encoding).unwrap().map(|s| s.unwrap()).collect::<Vec<_>>());
        samples.collect::<BTreeMap<i64, Value>>().into_iter().collect()
    }

    /// The time and start timestamp of each sample of a tenant.
    pub(super) fn read_starts(&self, tenant: &str) -> Vec<(i64, i64)> {
        let Some(queryable) = self.head().queryable(&Tenant::new(tenant).unwrap()) else { return Vec::new() };
        let batches: Vec<_> = block_on(queryable.select(Select::new([], TimeRange::ALL)).collect());
        let mut starts = Vec::new();
        for chunk in
            batches.into_iter().flat_map(|b| b.unwrap().series).flat_map(|s| s.chunks.read(&mut Vec::new()))
        {
            let mut samples = Samples::new(&chunk.data, chunk.encoding).unwrap();
            while let Some(sample) = samples.next() {
                starts.push((sample.unwrap().0, samples.start_ms()));
            }
        }
        starts.sort_unstable();
        starts
    }

    pub(super) fn blocks(&self, tenant: &str) -> usize {
        self.head().tenants().into_iter().find(|t| t.name.as_str() == tenant).map_or(0, |t| t.blocks)
    }

    pub(super) fn late_blocks(&self, tenant: &str) -> usize {
        let dir = Path::new("/data").join(tenant);
        let metas = self.fs.read_dir(&dir).unwrap();
        let meta =
            |name: &str| String::from_utf8(self.fs.read(&dir.join(name).join("meta.json")).unwrap()).unwrap();
        metas.iter().filter(|e| meta(&e.name).contains("from-out-of-order")).count()
    }
}

/// A series with one sample of the value 1.
pub(super) fn one_sample(labels: &Labels, t_ms: i64) -> SentSeries {
    SentSeries { samples: floats(&[(t_ms, 1.0)]), ..SentSeries::new(labels) }
}

fn floats(samples: &[(i64, f64)]) -> Vec<FloatSample> {
    samples.iter().map(|&(t_ms, v)| FloatSample { t_ms, v, start_ms: 0 }).collect()
}
