//! The data that both we and Prometheus are asked about, and the API over it.

use crate::api::data::{Data, HeadStats, metadata_of};
use crate::api::{Api, all};
use crate::{BuildInfo, Caller, QueryOptions, QueryPool};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use nilometer_access::{Identity, ReadScope, Scopes};
use nilometer_env::sim::{SimClock, SimFs, SimRandom};
use nilometer_env::{Clock, Fs};
use nilometer_head::{Env, Head, HeadOptions, SeriesLimits, SeriesPolicy};
use nilometer_model::{
    BlockMeta, Error, Exemplar, IntHistogram, Labels, Metadata, Result, STALE_NAN_BITS, Span, Tenant, Value,
};
use nilometer_storage::{Merged, Queryable};
use nilometer_wire::remote_write::encode::{SentHistogram, SentSeries, v1};
use nilometer_wire::remote_write::{FloatSample, Limits, Message, WriteRequest};
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// All samples lie in the half hour after this.
pub(super) const START_MS: i64 = 1_700_000_000_000;
/// The name of the one tenant. Its samples are sent to Prometheus with it as a label, since here it is one.
pub(super) const TENANT: &str = "golden";

/// One request as remote write 1.0, not yet compressed.
pub(super) fn data(with_tenant: bool) -> Vec<u8> {
    let mut all = vec![up("a", 1.0), up("b", 0.0), counters("GET"), counters("POST"), odd_values(), stale()];
    all.extend(classic_buckets());
    all.push(native_histogram());
    all.push(odd_labels());
    // Both answer in the order of arrival where none is asked for; ours is that of labels.
    all.sort_by_cached_key(|series| Labels::from_pairs(series.labels.iter().map(|(n, v)| (n, v))));
    if with_tenant {
        for series in &mut all {
            series.labels.push(("tenant_id".to_owned(), TENANT.to_owned()));
            series.labels.sort();
        }
    }
    v1(&all, &[])
}

fn series(labels: &[(&str, &str)], samples: impl IntoIterator<Item = (i64, f64)>) -> SentSeries {
    let mut series = SentSeries::new(&Labels::from_pairs(labels.iter().copied()));
    series.samples = samples
        .into_iter()
        .map(|(after_ms, v)| FloatSample { t_ms: START_MS + after_ms, v, start_ms: 0 })
        .collect();
    series
}

/// Every 15 s for half an hour.
fn steps() -> impl Iterator<Item = i64> {
    (0..=120).map(|n| n * 15_000)
}

fn up(job: &str, v: f64) -> SentSeries {
    series(&[("__name__", "up"), ("job", job), ("instance", "localhost:9090")], steps().map(|t| (t, v)))
}

fn counters(method: &str) -> SentSeries {
    let each = if method == "GET" { 3.0 } else { 0.5 };
    let samples = steps().enumerate().map(|(n, t)| (t + 123, n as f64 * each));
    let mut series =
        series(&[("__name__", "http_requests_total"), ("method", method), ("job", "a")], samples);
    series.exemplars = (1..4)
        .map(|n| Exemplar {
            labels: Labels::from_pairs([("trace_id", format!("{method}-{n}"))]),
            t_ms: START_MS + n * 60_000,
            v: n as f64 / 8.0,
        })
        .collect();
    series
}

fn odd_values() -> SentSeries {
    let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e-7, 1e21, 1.5e300, 5e-324, 0.1 + 0.2];
    let samples = values.into_iter().enumerate().map(|(n, v)| (n as i64 * 15_000, v));
    series(&[("__name__", "odd_values"), ("job", "a")], samples)
}

fn stale() -> SentSeries {
    let samples = [(0, 1.0), (15_000, 2.0), (30_000, f64::from_bits(STALE_NAN_BITS))];
    series(&[("__name__", "gone"), ("job", "a")], samples)
}

fn classic_buckets() -> Vec<SentSeries> {
    let bucket = |le: &str, each: f64| {
        series(
            &[("__name__", "latency_seconds_bucket"), ("job", "a"), ("le", le)],
            steps().enumerate().map(move |(n, t)| (t, n as f64 * each)),
        )
    };
    vec![bucket("0.1", 1.0), bucket("1", 3.0), bucket("+Inf", 4.0)]
}

fn native_histogram() -> SentSeries {
    let mut sent = series(&[("__name__", "native_seconds"), ("job", "a")], []);
    sent.histograms = steps()
        .map(|t| {
            let n = (t / 15_000) as u64;
            SentHistogram {
                t_ms: START_MS + t,
                start_ms: 0,
                value: Value::Int(Arc::new(IntHistogram {
                    schema: 1,
                    zero_threshold: 0.001,
                    zero_count: n,
                    count: 6 * n,
                    sum: n as f64 * 1.25,
                    positive_spans: vec![Span { offset: -1, length: 2 }, Span { offset: 3, length: 1 }],
                    positive: vec![n, 2 * n, n],
                    negative_spans: vec![Span { offset: 0, length: 1 }],
                    negative: vec![n],
                    ..IntHistogram::default()
                })),
            }
        })
        .collect();
    sent
}

fn odd_labels() -> SentSeries {
    let odd = "<a href=\"x\">&\\\n\u{7}\u{2028}é";
    series(&[("__name__", "odd_labels"), ("job", "a"), ("text", odd)], steps().map(|t| (t, 1.0)))
}

/// A head that holds the data, and its clock.
pub(super) struct World {
    pub(super) head: Arc<Head>,
    pub(super) clock: Arc<SimClock>,
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

impl World {
    pub(super) fn new() -> Self {
        let fs = SimFs::new(1);
        fs.create_dir_all(Path::new("/data")).unwrap();
        let clock = Arc::new(SimClock::new(START_MS + 1_800_000));
        let env = Env { fs: Arc::new(fs), clock: clock.clone(), random: Arc::new(SimRandom::new(1)) };
        let options = HeadOptions { dir: "/data".into(), reserve_bytes: 1 << 20, ..HeadOptions::default() };
        let head = Arc::new(Head::open(env, options, &mut Registry::default()).unwrap());
        let mut request = WriteRequest::default();
        request.read_plain(Message::V1, &data(false), &Limits::default()).unwrap();
        let appended = head.append(&Tenant::new(TENANT).unwrap(), &request, &Anything).unwrap();
        assert!(appended.refused.is_empty(), "{}", appended.refused);
        World { head, clock }
    }

    pub(super) fn served(&self, options: &QueryOptions) -> Served {
        serve(Arc::new(Stored(self.head.clone())), options, self.clock.clone())
    }
}

/// The API, and the runtime that it needs.
pub(super) fn serve(data: Arc<dyn Data>, options: &QueryOptions, clock: Arc<dyn Clock>) -> Served {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let pool = QueryPool::new(runtime.handle().clone(), options.max_concurrent, options.timeout);
    let build = BuildInfo { version: "1.2.3", revision: "abc", rustc: "1.95" };
    let api = Api::new(data, options, pool, None, clock, build);
    Served { router: all(&Arc::new(api)), runtime }
}

struct Stored(Arc<Head>);

impl Data for Stored {
    fn queryable(&self, scope: &ReadScope) -> Arc<dyn Queryable> {
        let tenants = self.0.tenant_names().into_iter().filter(|tenant| match scope {
            ReadScope::All => true,
            ReadScope::Only(one) => tenant == one,
        });
        Arc::new(Merged::new(tenants.filter_map(|tenant| self.0.queryable(&tenant)).collect()))
    }

    fn metadata(&self, _: &ReadScope, family: Option<&str>) -> Result<BTreeMap<String, Vec<Metadata>>> {
        let said = |name: &str, help: &str| {
            BTreeMap::from([(name.to_owned(), Metadata { help: help.to_owned(), ..Metadata::default() })])
        };
        let tenants =
            [said("a_total", "An <a>."), said("a_total", "Another one."), said("b", ""), said("c", "C")];
        Ok(metadata_of(tenants, family))
    }

    fn blocks(&self, _: &ReadScope) -> Vec<BlockMeta> {
        self.0.blocks(&Tenant::new(TENANT).unwrap())
    }

    fn stats(&self, _: &ReadScope, limit: usize) -> Result<HeadStats> {
        if limit == 13 {
            return Err(Error::corrupt("file", 7, "unlucky"));
        }
        Ok(HeadStats::of([self.0.stats(&Tenant::new(TENANT).unwrap())], limit))
    }
}

pub(super) struct Served {
    router: Router,
    runtime: tokio::runtime::Runtime,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Served {
    pub(super) fn get(&self, path: &str) -> Got {
        self.send(request("GET", path, None))
    }

    pub(super) fn send(&self, request: Request<Body>) -> Got {
        self.runtime.block_on(async {
            let response = self.respond(request).await;
            let (parts, body) = response.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            Got {
                status: parts.status.as_u16(),
                headers: parts.headers,
                body: String::from_utf8(body.to_vec()).unwrap(),
            }
        })
    }

    pub(super) async fn respond(&self, mut request: Request<Body>) -> Response<Body> {
        let scope = request.extensions_mut().remove::<ReadScope>();
        let read_scope = scope.unwrap_or(ReadScope::All);
        let identity = Arc::new(Identity { name: "test".into(), tenant: None, scopes: Scopes::ALL });
        request.extensions_mut().insert(Caller {
            identity,
            read_scope,
            client: IpAddr::from([127, 0, 0, 1]),
        });
        self.unauthenticated(request).await
    }

    pub(super) async fn unauthenticated(&self, request: Request<Body>) -> Response<Body> {
        TowerToHyperService::new(self.router.clone()).call(request).await.unwrap()
    }

    pub(super) fn runtime(&self) -> &tokio::runtime::Runtime {
        &self.runtime
    }
}

/// With `%22` and the like in the place of what may not stand in an address.
pub(super) fn escaped(path: &str) -> String {
    let may = |b: u8| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b);
    path.bytes().map(|b| if may(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// `path` is one under `/api/v1`, but for `/federate`.
pub(super) fn request(method: &str, path: &str, form: Option<&str>) -> Request<Body> {
    let root = if path.starts_with("/federate") { "" } else { "/api/v1" };
    let builder = Request::builder().method(method).uri(escaped(&format!("{root}{path}")));
    match form {
        Some(form) => builder
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(Body::from(form.to_owned()))
            .unwrap(),
        None => builder.body(Body::empty()).unwrap(),
    }
}

/// So long that no test waits for it.
pub(super) fn patient() -> QueryOptions {
    QueryOptions { timeout: Duration::from_secs(600), ..QueryOptions::default() }
}
