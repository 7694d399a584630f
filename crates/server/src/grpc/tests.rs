//! Calls in process, through all layers, as tonic's own client makes them.

use super::*;
use crate::{BuildInfo, CallerOptions, EdgeParts, Patience};
use axum::http::uri::PathAndQuery;
use bytes::Buf;
use futures::{StreamExt, future, stream};
use nilometer_access::{Access, HubLimits, Parts, TenantLimits};
use nilometer_chunk::{AggrChunk, Aggregate, Encoding, Samples, encode_floats};
use nilometer_env::sim::{SimClock, SimFs, SimRandom};
use nilometer_env::{Clock, Fs};
use nilometer_model::{Labels, Tenant, TimeRange};
use nilometer_storage::{
    BoxFuture, Chunk, LabelQuery, MemoryQueryable, Names, Queryable, Select, Series, SeriesBatch,
    SeriesStream, WithExternalLabels,
};
use nilometer_wire::store_api::{
    Aggr, Empty, HealthRequest, HealthResponse, InfoResponse, LabelMatcher, LabelNamesRequest,
    LabelNamesResponse, LabelValuesRequest, LabelValuesResponse, Response as Sent, SeriesRequest, ShardInfo,
};
use prometheus_client::registry::Registry;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;
use tonic::Code;
use tonic::client::Grpc as Client;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Requests of prost's, answers as bytes.
struct Raw<M>(std::marker::PhantomData<fn() -> M>);

impl<M: Message + 'static> Codec for Raw<M> {
    type Encode = M;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Raw(self.0)
    }

    fn decoder(&mut self) -> Self {
        Raw(self.0)
    }
}

impl<M: Message> Encoder for Raw<M> {
    type Item = M;
    type Error = Status;

    fn encode(&mut self, message: M, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.encode(out).map_err(|e| Status::internal(e.to_string()))
    }
}

impl<M> Decoder for Raw<M> {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).into()))
    }
}

/// Some series of no matter which matchers, as they are given.
#[derive(Clone, Default)]
struct Fixed {
    series: Vec<Series>,
    warnings: Vec<String>,
}

impl Queryable for Fixed {
    fn select(&self, _: Select) -> SeriesStream {
        let (series, warnings) = (self.series.clone(), self.warnings.clone());
        Box::pin(stream::iter([Ok(SeriesBatch { series, warnings })]))
    }

    fn label_names(&self, _: LabelQuery) -> BoxFuture<nilometer_model::Result<Names>> {
        let names = self.series.iter().flat_map(|s| s.labels.iter()).map(|(name, _)| name.to_owned());
        let names = Names { names: names.collect(), warnings: self.warnings.clone() };
        Box::pin(future::ready(Ok(names)))
    }

    fn label_values(&self, _: &str, query: LabelQuery) -> BoxFuture<nilometer_model::Result<Names>> {
        self.label_names(query)
    }
}

struct World {
    queryable: Arc<dyn Queryable>,
}

impl StoreData for World {
    fn queryable(&self, scope: &ReadScope) -> Arc<dyn Queryable> {
        match scope {
            ReadScope::All => self.queryable.clone(),
            ReadScope::Only(tenant) => {
                assert_eq!(tenant.as_str(), "a");
                Arc::new(Fixed::default())
            }
        }
    }

    fn holdings(&self, scope: &ReadScope) -> Vec<Holding> {
        let one = |tenant: &str, min_ms| Holding {
            labels: Labels::from_pairs([("tenant_id", tenant)]),
            range: TimeRange::new(min_ms, i64::MAX),
        };
        match scope {
            ReadScope::All => vec![one("a", 5), one("b", 3)],
            ReadScope::Only(tenant) => vec![one(tenant.as_str(), 5)],
        }
    }
}

const TENANTS: &str = "
tenants:
  - name: a
    credentials:
      - bearer:
          sha256: ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb
        scopes: [read]
";

/// A process with a StoreAPI, and its client.
struct Process {
    edge: Arc<Edge>,
    client: Client<Router>,
    authorization: Option<&'static str>,
}

impl Process {
    fn new(queryable: impl Queryable, options: StoreOptions, tenants: Option<&str>) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SimClock::new(0));
        let fs = Arc::new(SimFs::new(0));
        let parts = Parts {
            clock: clock.clone(),
            fs: fs.clone(),
            random: Arc::new(SimRandom::new(1)),
            spawn: Arc::new(|worker| drop(std::thread::spawn(move || worker.run()))),
        };
        let mut registry = Registry::default();
        let access = match tenants {
            None => {
                let default = Tenant::new("default-tenant").unwrap();
                Access::open(parts, default, HubLimits::default(), TenantLimits::default(), &mut registry)
            }
            Some(yaml) => {
                fs.create_dir_all(Path::new("/etc")).unwrap();
                fs.write_atomic(Path::new("/etc/tenants.yaml"), yaml.as_bytes()).unwrap();
                let path = Path::new("/etc/tenants.yaml");
                Access::from_file(parts, path, HubLimits::default(), &mut registry).unwrap()
            }
        };
        let edge = Edge::new(EdgeParts {
            access,
            clock,
            patience: Patience::default(),
            callers: CallerOptions::default(),
            build: BuildInfo { version: "0", revision: "0", rustc: "0" },
            registry,
            tls: Vec::new(),
            open_files: None,
        });
        let pool = QueryPool::new(tokio::runtime::Handle::current(), 2, Duration::from_secs(60));
        let routes = grpc_routes(&edge, Arc::new(World { queryable: Arc::new(queryable) }), pool, options);
        Process { edge, client: Client::new(routes), authorization: None }
    }

    fn request<M>(&self, message: M) -> tonic::Request<M> {
        let mut request = tonic::Request::new(message);
        if let Some(authorization) = self.authorization {
            request.metadata_mut().insert("authorization", authorization.parse().unwrap());
        }
        // As Thanos' queriers do.
        request.metadata_mut().insert("thanos-tenant", "default-tenant".parse().unwrap());
        request
    }

    async fn ask<Q: Message + 'static, A: Message + Default>(
        &mut self,
        path: &'static str,
        message: Q,
    ) -> Result<A, Status> {
        self.client.ready().await.unwrap();
        let request = self.request(message);
        let codec = Raw(std::marker::PhantomData::<fn() -> Q>);
        let answer = self.client.unary(request, PathAndQuery::from_static(path), codec).await?;
        Ok(A::decode(&answer.into_inner()[..]).unwrap())
    }

    /// Each message on lines of its own.
    async fn series(&mut self, asked: SeriesRequest) -> Result<String, Status> {
        self.client.ready().await.unwrap();
        let request = self.request(asked);
        let codec = Raw(std::marker::PhantomData::<fn() -> SeriesRequest>);
        let path = PathAndQuery::from_static("/thanos.Store/Series");
        let mut messages = self.client.server_streaming(request, path, codec).await?.into_inner();
        let mut told = String::new();
        while let Some(message) = messages.message().await? {
            tell(&mut told, &message);
        }
        Ok(told)
    }
}

fn tell(out: &mut String, message: &[u8]) {
    match Sent::read(message).unwrap() {
        Sent::Warning(text) => writeln!(out, "warning: {text}").unwrap(),
        Sent::Other => writeln!(out, "something else").unwrap(),
        Sent::Series(all) => {
            for (at, series) in all.enumerate() {
                let series = series.unwrap();
                let also = if at == 0 { "" } else { "  + " };
                write!(out, "{also}{}", series.labels().unwrap()).unwrap();
                for chunk in series.chunks() {
                    let chunk = chunk.unwrap();
                    write!(out, " [{}..{}", chunk.min_ms, chunk.max_ms).unwrap();
                    for aggr in [Aggr::Raw, Aggr::Count, Aggr::Sum, Aggr::Min, Aggr::Max, Aggr::Counter] {
                        let Some((encoding, data)) = chunk.get(aggr) else { continue };
                        let samples = Samples::new(data, Encoding::from_byte(encoding).unwrap()).unwrap();
                        write!(out, " {aggr:?}:{}", samples.count()).unwrap();
                    }
                    out.push(']');
                }
                out.push('\n');
            }
        }
    }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

/// Two replicas of three pods, with an external label.
fn pods() -> WithExternalLabels {
    let mut held = MemoryQueryable::default();
    for replica in ["r1", "r2"] {
        for pod in ["p1", "p2", "p3"] {
            let samples: Vec<_> = (0..150).map(|n| (n, n as f64)).collect();
            held.push_floats(labels(&[("__name__", "m"), ("a_replica", replica), ("pod", pod)]), &samples);
        }
    }
    WithExternalLabels::new(Arc::new(held), labels(&[("tenant_id", "t")]))
}

fn all() -> SeriesRequest {
    let matchers = vec![LabelMatcher { kind: 0, name: "__name__".into(), value: "m".into() }];
    SeriesRequest { min_time_ms: 0, max_time_ms: 1_000, matchers, ..SeriesRequest::default() }
}

fn process(queryable: impl Queryable) -> Process {
    Process::new(queryable, StoreOptions::default(), None)
}

#[tokio::test]
async fn series_in_order_with_chunks() {
    let mut process = process(pods());
    expect_test::expect![[r#"
        {__name__="m", a_replica="r1", pod="p1", tenant_id="t"} [0..119 Raw:120] [120..149 Raw:30]
        {__name__="m", a_replica="r1", pod="p2", tenant_id="t"} [0..119 Raw:120] [120..149 Raw:30]
        {__name__="m", a_replica="r1", pod="p3", tenant_id="t"} [0..119 Raw:120] [120..149 Raw:30]
        {__name__="m", a_replica="r2", pod="p1", tenant_id="t"} [0..119 Raw:120] [120..149 Raw:30]
        {__name__="m", a_replica="r2", pod="p2", tenant_id="t"} [0..119 Raw:120] [120..149 Raw:30]
        {__name__="m", a_replica="r2", pod="p3", tenant_id="t"} [0..119 Raw:120] [120..149 Raw:30]
    "#]]
    .assert_eq(&process.series(all()).await.unwrap());
    let late =
        SeriesRequest { min_time_ms: 120, max_time_ms: 130, limit: 2, response_batch_size: 64, ..all() };
    expect_test::expect![[r#"
        {__name__="m", a_replica="r1", pod="p1", tenant_id="t"} [120..149 Raw:30]
          + {__name__="m", a_replica="r1", pod="p2", tenant_id="t"} [120..149 Raw:30]
    "#]]
    .assert_eq(&process.series(late).await.unwrap());
    let matchers = vec![LabelMatcher { kind: 2, name: "tenant_id".into(), value: "x.*".into() }];
    assert_eq!(process.series(SeriesRequest { matchers, ..all() }).await.unwrap(), "");
}

#[tokio::test]
async fn series_that_only_replica_labels_told_apart_follow_each_other() {
    let mut process = process(pods());
    let without_replica_labels = vec!["a_replica".to_owned(), "other".to_owned()];
    let asked = SeriesRequest { skip_chunks: true, without_replica_labels, ..all() };
    expect_test::expect![[r#"
        {__name__="m", pod="p1", tenant_id="t"}
        {__name__="m", pod="p1", tenant_id="t"}
        {__name__="m", pod="p2", tenant_id="t"}
        {__name__="m", pod="p2", tenant_id="t"}
        {__name__="m", pod="p3", tenant_id="t"}
        {__name__="m", pod="p3", tenant_id="t"}
    "#]]
    .assert_eq(&process.series(asked).await.unwrap());
    // One that no series has changes nothing.
    let asked = SeriesRequest { skip_chunks: true, without_replica_labels: vec!["x".to_owned()], ..all() };
    let plain = SeriesRequest { skip_chunks: true, ..all() };
    assert_eq!(process.series(asked).await.unwrap(), process.series(plain).await.unwrap());
}

#[tokio::test]
async fn each_series_is_in_one_shard() {
    let mut process = process(pods());
    let mut found = Vec::new();
    for index in 0..3 {
        let shard_info = ShardInfo { index, total: 3, by: true, labels: vec!["pod".to_owned()] };
        let asked = SeriesRequest { skip_chunks: true, shard_info: Some(shard_info), ..all() };
        let told = process.series(asked).await.unwrap();
        let pods: std::collections::BTreeSet<_> =
            told.lines().map(|line| &line[line.find("pod").unwrap()..]).collect();
        assert_eq!(told.lines().count(), 2 * pods.len(), "both replicas of a pod are in one shard");
        found.extend(told.lines().map(str::to_owned));
    }
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 6);
}

/// What Go's xxhash makes of `pod\xffp1\xff`.
#[test]
fn shards_are_those_of_thanos() {
    let shard = |labels: &Labels, total| {
        let of = |index| {
            let info = ShardInfo { index, total, by: false, labels: vec!["a_replica".to_owned()] };
            sifted::Shard::of(Some(info)).unwrap().has(labels)
        };
        (0..total).find(|index| of(*index)).unwrap()
    };
    let of = |pod: &str| labels(&[("a_replica", "x"), ("pod", pod)]);
    let hash = |text: &[u8]| (twox_hash::XxHash64::oneshot(0, text) % 1_000) as i64;
    assert_eq!(shard(&of("p1"), 1_000), hash(b"pod\xffp1\xff"));
    assert!(sifted::Shard::of(None).is_none());
    assert!(sifted::Shard::of(Some(ShardInfo::default())).is_none());
}

fn downsampled() -> Fixed {
    let part = |n: usize| encode_floats((0..n as i64).map(|t| (t * 10, 1.0)));
    let (count, counter) = (part(3), part(4));
    let chunk = AggrChunk::default()
        .with(Aggregate::Count, Encoding::Xor, &count)
        .with(Aggregate::Sum, Encoding::Xor, &count)
        .with(Aggregate::Counter, Encoding::Xor, &counter)
        .encode();
    let chunk = |min_ms| Chunk {
        range: TimeRange::new(min_ms, min_ms + 20),
        encoding: Encoding::Aggr,
        data: chunk.clone().into(),
    };
    let series = Series { labels: labels(&[("__name__", "m")]), chunks: vec![chunk(0), chunk(30)].into() };
    Fixed { series: vec![series], ..Fixed::default() }
}

#[tokio::test]
async fn aggregates_are_sent_apart() {
    let mut process = process(downsampled());
    let mut told = String::new();
    for aggregates in
        [vec![Aggr::Count as i32, Aggr::Sum as i32], vec![Aggr::Counter as i32, Aggr::Min as i32], vec![]]
    {
        let asked = SeriesRequest { max_resolution_ms: 300_000, aggregates, ..all() };
        told += &process.series(asked).await.unwrap();
    }
    expect_test::expect![[r#"
        {__name__="m"} [0..20 Count:3 Sum:3] [30..50 Count:3 Sum:3]
        {__name__="m"} [0..20 Counter:4] [30..50 Counter:4]
        {__name__="m"} [0..20 Count:3 Sum:3 Counter:4] [30..50 Count:3 Sum:3 Counter:4]
    "#]]
    .assert_eq(&told);
}

#[tokio::test]
async fn a_part_of_an_answer_is_a_warning_or_an_error() {
    let mut process = process(Fixed { warnings: vec!["a block is gone".to_owned()], ..downsampled() });
    assert!(process.series(all()).await.unwrap().starts_with("warning: a block is gone\n{"));
    for strict in [
        SeriesRequest { partial_response_strategy: 1, ..all() },
        SeriesRequest { partial_response_disabled: true, ..all() },
    ] {
        let status = process.series(strict).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Aborted, "a block is gone"));
    }
    let names: LabelNamesResponse =
        process.ask("/thanos.Store/LabelNames", LabelNamesRequest::default()).await.unwrap();
    assert_eq!(names.warnings, ["a block is gone"]);
    let strict = LabelNamesRequest { partial_response_strategy: 1, ..LabelNamesRequest::default() };
    let status = process.ask::<_, LabelNamesResponse>("/thanos.Store/LabelNames", strict).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
}

#[tokio::test]
async fn limits_say_their_names() {
    let few = |max_series, max_samples, max_memory_bytes| StoreOptions {
        max_series,
        max_samples,
        max_memory_bytes,
        ..StoreOptions::default()
    };
    let without = SeriesRequest { without_replica_labels: vec!["a_replica".to_owned()], ..all() };
    for (options, asked, name) in [
        (few(5, 0, 0), all(), "store.limits.request-series"),
        (few(0, 11 * 120, 0), all(), "store.limits.request-samples"),
        (few(0, 0, 100), without, "query.max-memory"),
    ] {
        let status = Process::new(pods(), options, None).series(asked).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().contains(name), "{}", status.message());
    }
    assert!(Process::new(pods(), few(6, 12 * 120, 0), None).series(all()).await.is_ok());
}

#[tokio::test]
async fn mistakes_are_told_apart() {
    let mut process = process(pods());
    let matchers = vec![LabelMatcher { kind: 2, name: "a".into(), value: "(".into() }];
    let status = process.series(SeriesRequest { matchers, ..all() }).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = process
        .ask::<_, LabelValuesResponse>("/thanos.Store/LabelValues", LabelValuesRequest::default())
        .await;
    assert_eq!(status.unwrap_err().code(), Code::InvalidArgument);
    let status = process.ask::<_, Empty>("/thanos.Rules/Rules", Empty {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    let matchers = vec![LabelMatcher { kind: 0, name: "a".into(), value: "x".repeat(MAX_REQUEST_BYTES) }];
    let status = process.series(SeriesRequest { matchers, ..all() }).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    let text = crate::exposition::plain_text(&process.edge.registry.read());
    let mut counted: Vec<_> =
        text.lines().filter(|line| line.starts_with("grpc_server_handled_total{")).collect();
    counted.sort_unstable();
    expect_test::expect![[r#"
        grpc_server_handled_total{grpc_code="InvalidArgument",grpc_method="LabelValues",grpc_service="thanos.Store",grpc_type="unary"} 1
        grpc_server_handled_total{grpc_code="InvalidArgument",grpc_method="Series",grpc_service="thanos.Store",grpc_type="server_stream"} 1
        grpc_server_handled_total{grpc_code="OutOfRange",grpc_method="Series",grpc_service="thanos.Store",grpc_type="server_stream"} 1
    "#]]
    .assert_eq(&(counted.join("\n") + "\n"));
}

#[tokio::test]
async fn names_and_values() {
    let mut process = process(pods());
    let asked = LabelNamesRequest {
        end_ms: 10,
        without_replica_labels: vec!["a_replica".into()],
        ..LabelNamesRequest::default()
    };
    let names: LabelNamesResponse = process.ask("/thanos.Store/LabelNames", asked.clone()).await.unwrap();
    assert_eq!(names.names, ["__name__", "pod", "tenant_id"]);
    let names: LabelNamesResponse =
        process.ask("/thanos.Store/LabelNames", LabelNamesRequest { limit: 2, ..asked }).await.unwrap();
    assert_eq!(names.names, ["__name__", "pod"]);
    let asked =
        |label: &str| LabelValuesRequest { label: label.into(), end_ms: 10, ..LabelValuesRequest::default() };
    let values: LabelValuesResponse = process.ask("/thanos.Store/LabelValues", asked("pod")).await.unwrap();
    assert_eq!(values.values, ["p1", "p2", "p3"]);
    let matchers = vec![LabelMatcher { kind: 1, name: "pod".into(), value: "p1".into() }];
    let asked = LabelValuesRequest { matchers, limit: 1, ..asked("pod") };
    let values: LabelValuesResponse = process.ask("/thanos.Store/LabelValues", asked.clone()).await.unwrap();
    assert_eq!(values.values, ["p2"]);
    let asked = LabelValuesRequest { without_replica_labels: vec!["pod".into()], ..asked };
    let values: LabelValuesResponse = process.ask("/thanos.Store/LabelValues", asked).await.unwrap();
    assert!(values.values.is_empty());
}

#[tokio::test]
async fn what_is_held_and_whether_it_answers() {
    let mut process = process(pods());
    let info: InfoResponse = process.ask("/thanos.info.Info/Info", Empty {}).await.unwrap();
    let store = info.store.unwrap();
    assert_eq!((store.min_time_ms, store.max_time_ms, store.tsdb_infos.len()), (3, i64::MAX, 2));
    assert_eq!(Labels::from(&info.label_sets[1]).to_string(), r#"{tenant_id="b"}"#);
    assert_eq!(info.component, "store");
    let path = "/grpc.health.v1.Health/Check";
    let health: HealthResponse = process.ask(path, HealthRequest::default()).await.unwrap();
    assert_eq!(health.status, 2);
    process.edge.set_ready(true);
    let health: HealthResponse = process.ask(path, HealthRequest::default()).await.unwrap();
    assert_eq!(health.status, 1);
}

#[tokio::test]
async fn credentials_are_those_of_http() {
    let mut process = Process::new(pods(), StoreOptions::default(), Some(TENANTS));
    let status = process.series(all()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    process.edge.set_ready(true);
    let health: HealthResponse =
        process.ask("/grpc.health.v1.Health/Check", HealthRequest::default()).await.unwrap();
    assert_eq!(health.status, 1, "probes have no credential");
    process.authorization = Some("Bearer aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    assert_eq!(process.series(all()).await.unwrap(), "", "another tenant's");
    let info: InfoResponse = process.ask("/thanos.info.Info/Info", Empty {}).await.unwrap();
    assert_eq!(info.label_sets.len(), 1);
}

/// Series without end, which count how many of them were asked for.
struct Endless(Arc<()>);

impl Queryable for Endless {
    fn select(&self, _: Select) -> SeriesStream {
        let held = self.0.clone();
        Box::pin(stream::iter(0..).map(move |n: u64| {
            let _held = &held;
            let samples = encode_floats((0..100).map(|t| (t, n as f64 * 0.1 + t as f64)));
            let chunk = Chunk { range: TimeRange::new(0, 99), encoding: Encoding::Xor, data: samples.into() };
            let labels = Labels::from_pairs([("n", format!("{n:09}"))]);
            let series = vec![Series { labels, chunks: vec![chunk].into() }];
            Ok(SeriesBatch { series, warnings: Vec::new() })
        }))
    }

    fn label_names(&self, _: LabelQuery) -> BoxFuture<nilometer_model::Result<Names>> {
        Box::pin(future::ready(Ok(Names::default())))
    }

    fn label_values(&self, _: &str, query: LabelQuery) -> BoxFuture<nilometer_model::Result<Names>> {
        self.label_names(query)
    }
}

#[tokio::test]
async fn who_leaves_ends_it() {
    let held = Arc::new(());
    let left = Arc::downgrade(&held);
    let mut process = process(Endless(held));
    process.client.ready().await.unwrap();
    let codec = Raw(std::marker::PhantomData::<fn() -> SeriesRequest>);
    let path = PathAndQuery::from_static("/thanos.Store/Series");
    let mut messages =
        process.client.server_streaming(process.request(all()), path, codec).await.unwrap().into_inner();
    assert!(messages.message().await.unwrap().is_some());
    let held = left.strong_count();
    assert_eq!(held, 2, "the data, and one stream");
    drop(messages);
    while left.strong_count() > 1 {
        tokio::task::yield_now().await;
    }
}
