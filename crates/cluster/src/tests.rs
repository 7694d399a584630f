//! Against peers that do as they are told, over real sockets.

use crate::{Stores, StoresOptions, StoresView};
use bytes::{BufMut, Bytes};
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame as BodyFrame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nilometer_chunk::{AggrChunk, Aggregate, Encoding, encode_floats};
use nilometer_env::RealFs;
use nilometer_model::{Labels, TimeRange};
use nilometer_storage::{Hints, LabelQuery, Queryable, ReadChunks, Select};
use nilometer_wire::store_api::{
    Aggr, ChunkParts, Frame, InfoResponse, LabelNamesResponse, SeriesFrames, SeriesRequest, StoreInfo,
};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use prost::Message;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// What a peer does to answer a Series call.
#[derive(Clone)]
enum Step {
    Message(Vec<u8>),
    /// Not even a message.
    Bytes(Vec<u8>),
    Wait(Duration),
    /// For ever.
    Stall,
    BreakOff,
    Fail(&'static str),
}

struct Peer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<SeriesRequest>>>,
    serving: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Peer {
    async fn start(steps: Vec<Step>) -> Peer {
        Self::start_at("127.0.0.1:0", steps).await
    }

    async fn start_at(address: &str, steps: Vec<Step>) -> Peer {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (steps, noted) = (Arc::new(steps), asked.clone());
        let serving = tokio::spawn(async move {
            // Ends with whom it is part of.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (steps, noted) = (steps.clone(), noted.clone());
                let service = service_fn(move |request| answer(request, steps.clone(), noted.clone()));
                connections.spawn(async move {
                    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Peer { address, asked, serving }
    }
}

type Body = StreamBody<stream::BoxStream<'static, Result<BodyFrame<Bytes>, std::io::Error>>>;

async fn answer(
    request: Request<Incoming>,
    steps: Arc<Vec<Step>>,
    noted: Arc<Mutex<Vec<SeriesRequest>>>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let steps = match path.as_str() {
        "/thanos.info.Info/Info" => vec![Step::Message(info().encode_to_vec())],
        "/thanos.Store/Series" => {
            noted.lock().push(SeriesRequest::decode(&body[5..]).unwrap());
            steps.to_vec()
        }
        _ => match &steps[..] {
            [Step::Message(_), ..] => {
                let found = LabelNamesResponse { names: vec!["a".into()], warnings: vec!["w".into()] };
                vec![Step::Message(found.encode_to_vec())]
            }
            others => others.to_vec(),
        },
    };
    let frames = stream::iter(steps.into_iter().chain([Step::Fail("")])).then(|step| async move {
        Ok(match step {
            Step::Message(message) => BodyFrame::data(framed(&message).into()),
            Step::Bytes(bytes) => BodyFrame::data(bytes.into()),
            Step::Wait(time) => {
                tokio::time::sleep(time).await;
                BodyFrame::data(Bytes::new())
            }
            Step::Stall => std::future::pending().await,
            Step::BreakOff => return Err(std::io::Error::other("broken off")),
            Step::Fail(why) => {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", if why.is_empty() { "0" } else { "14" }.parse().unwrap());
                trailers.insert("grpc-message", why.parse().unwrap());
                BodyFrame::trailers(trailers)
            }
        })
    });
    let response = Response::builder().header("content-type", "application/grpc");
    Ok(response.body(StreamBody::new(frames.boxed())).unwrap())
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    framed.put_u32(message.len() as u32);
    framed.extend_from_slice(message);
    framed
}

fn info() -> InfoResponse {
    let store = StoreInfo { max_time_ms: i64::MAX, ..StoreInfo::default() };
    InfoResponse { store: Some(store), ..InfoResponse::default() }
}

fn message(frame: &Frame) -> Step {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    Step::Message(bytes)
}

/// A message with a series `{a="<a>"}` and a chunk of one sample for each of `times`.
fn series(a: &str, times: &[i64]) -> Step {
    let chunks: Vec<_> = times.iter().map(|&t| (t, encode_floats([(t, t as f64)]))).collect();
    let parts = |(t, data): &'_ (i64, Vec<u8>)| (TimeRange::new(*t, *t), data.clone());
    let held: Vec<_> = chunks.iter().map(parts).collect();
    let parts: Vec<_> = held
        .iter()
        .map(|(range, data)| ChunkParts::new(*range).with(Aggr::Raw, Encoding::Xor as u8, data))
        .collect();
    one(a, &parts)
}

fn one(a: &str, parts: &[ChunkParts<'_>]) -> Step {
    let (mut frames, mut out) = (SeriesFrames::new(1, usize::MAX), Vec::new());
    frames.put(&Labels::from_pairs([("a", a)]), parts, &mut out);
    message(&out[0])
}

fn options(peers: &[SocketAddr]) -> StoresOptions {
    StoresOptions {
        addresses: peers.iter().map(ToString::to_string).collect(),
        response_timeout: Some(Duration::from_secs(20)),
        ..StoresOptions::default()
    }
}

async fn opened(options: &StoresOptions) -> Arc<Stores> {
    let outside = (&tokio::runtime::Handle::current(), Arc::new(RealFs) as _);
    let stores = Stores::new(options, outside, &mut Registry::default()).unwrap();
    stores.refresh().await;
    stores
}

async fn view(peers: &[&Peer]) -> StoresView {
    opened(&options(&peers.iter().map(|peer| peer.address).collect::<Vec<_>>())).await.view(Vec::new())
}

fn all() -> Select {
    Select { matchers: Arc::new([]), range: TimeRange::new(0, 1_000_000), hints: Hints::default() }
}

/// Series with the times of their chunks, and warnings without addresses.
async fn selected(view: &StoresView, select: Select) -> (Vec<String>, Vec<String>) {
    let (mut found, mut warnings) = (Vec::new(), Vec::new());
    let mut batches = view.select(select);
    while let Some(batch) = batches.next().await {
        let batch = batch.unwrap();
        for series in batch.series {
            let mut chunks = ReadChunks::default();
            chunks.load(&series.chunks);
            let times: Vec<_> = (0..chunks.len()).map(|at| chunks.get(at).range.min_ms).collect();
            found.push(format!("{} {times:?}", series.labels.get("a")));
        }
        warnings.extend(batch.warnings);
    }
    (found, warnings.iter().map(|warning| without_address(warning)).collect())
}

fn without_address(text: &str) -> String {
    let words = text.split(' ').map(|word| if word.starts_with("127.0.0.1") { "HOST:" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// What is there when a peer does `steps`, and what is said of the rest.
async fn told(steps: Vec<Step>) -> (Vec<String>, Vec<String>) {
    selected(&view(&[&Peer::start(steps).await]).await, all()).await
}

#[tokio::test]
async fn two_peers_are_one_holder() {
    let one = Peer::start(vec![series("1", &[10, 20]), series("3", &[10])]).await;
    let two = Peer::start(vec![series("1", &[30]), series("2", &[10])]).await;
    let (found, warnings) = selected(&view(&[&one, &two]).await, all()).await;
    assert_eq!(found, ["1 [10, 20, 30]", "2 [10]", "3 [10]"]);
    assert_eq!(warnings, [""; 0]);
}

#[tokio::test]
async fn series_may_come_in_parts_and_chunks_in_any_order() {
    let parts = vec![series("1", &[30, 10]), series("1", &[20]), series("2", &[10, 10])];
    let (found, warnings) = told(parts).await;
    assert_eq!(found, ["1 [10, 20, 30]", "2 [10, 10]"]);
    assert_eq!(warnings, [""; 0]);
}

#[tokio::test]
async fn what_came_before_trouble_counts() {
    let whole = || series("1", &[10]);
    for (trouble, said) in [
        (Step::Fail("no disk"), "store HOST: no disk: what is there is missing"),
        (Step::Bytes(vec![7, 0, 0, 0, 1, 9]), "what is there is missing"),
        (Step::Bytes(vec![0, 0xff, 0xff, 0xff, 0xff]), "too large"),
        (Step::Message(vec![0x0a, 0x7f, 1]), "what is there is missing"),
        (Step::Message(vec![0x0a, 4, 0x12, 2, 0x1a, 9]), "what is there is missing"),
        (series("0", &[10]), "it sent series that are not sorted by their labels"),
    ] {
        let (found, warnings) = told(vec![whole(), trouble]).await;
        assert_eq!(found, ["1 [10]"], "{said}");
        assert!(warnings.len() == 1 && warnings[0].contains(said), "{warnings:?}, not {said}");
    }
    // Of a connection that broke, what was not looked at yet may be gone too.
    let (_, warnings) = told(vec![whole(), Step::BreakOff]).await;
    assert!(warnings.len() == 1 && warnings[0].ends_with("what is there is missing"), "{warnings:?}");
    let (found, warnings) = told(vec![Step::Fail("no")]).await;
    assert_eq!(
        (found.len(), &warnings[..]),
        (0, &["store HOST: no: what is there is missing".to_owned()][..])
    );
}

#[tokio::test]
async fn a_peer_may_be_slow_but_not_silent() {
    let slow = vec![series("1", &[10]), Step::Wait(Duration::from_millis(50)), series("2", &[10])];
    assert_eq!(told(slow).await, (vec!["1 [10]".into(), "2 [10]".into()], vec![]));

    for stalls in [vec![Step::Stall], vec![series("1", &[10]), Step::Stall]] {
        let (stalled, well) =
            (Peer::start(stalls.clone()).await, Peer::start(vec![series("2", &[10])]).await);
        let options = StoresOptions {
            response_timeout: Some(Duration::from_millis(200)),
            ..options(&[stalled.address, well.address])
        };
        let view = opened(&options).await.view(Vec::new());
        let (found, warnings) = selected(&view, all()).await;
        assert_eq!(found.len(), stalls.len(), "{found:?}");
        let said =
            "store HOST: it sent nothing for 200ms (--store.response-timeout): what is there is missing";
        assert_eq!(warnings, [said]);
        if stalls.len() == 1 {
            let names = view.label_names(LabelQuery::all(TimeRange::ALL)).await.unwrap();
            assert_eq!(names.names, ["a"]);
            assert!(names.warnings.iter().any(|w| without_address(w) == said), "{:?}", names.warnings);
        }
    }
}

#[tokio::test]
async fn warnings_come_through_but_not_without_end() {
    let warnings = || (0..1_000).map(|n| message(&Frame::warning(&format!("{n} {}", "é".repeat(5_000)))));
    let (found, said) = told(warnings().chain([series("1", &[10])]).collect()).await;
    assert_eq!(found, ["1 [10]"]);
    assert_eq!(said.len(), 32);
    assert!(said[31].starts_with("31 é") && said[31].chars().count() == 1024);
}

#[tokio::test]
async fn a_series_without_end_is_given_up() {
    let chunk = encode_floats([(10, 1.0)]);
    let mut padded = chunk.clone();
    padded.resize(60 << 20, 0);
    let part = ChunkParts::new(TimeRange::new(10, 10)).with(Aggr::Raw, Encoding::Xor as u8, &padded);
    let (found, warnings) = told(vec![one("1", &[part]); 8]).await;
    assert_eq!(found.len(), 1);
    assert!(warnings[0].contains("store-series-bytes"), "{warnings:?}");
}

#[tokio::test]
async fn gone_and_back() {
    let peer = Peer::start(vec![series("1", &[10])]).await;
    let address = peer.address;
    let stores = opened(&options(&[address])).await;
    let view = stores.view(Vec::new());
    assert_eq!(selected(&view, all()).await.0, ["1 [10]"]);
    drop(peer);
    let (found, warnings) = selected(&view, all()).await;
    assert!(found.is_empty() && warnings.len() == 1, "before anybody noticed: {warnings:?}");
    stores.refresh().await;
    assert_eq!(selected(&view, all()).await.1.len(), 1);
    let _peer = Peer::start_at(&address.to_string(), vec![series("2", &[10])]).await;
    stores.refresh().await;
    assert_eq!(selected(&view, all()).await, (vec!["2 [10]".to_owned()], vec![]));
}

#[tokio::test]
async fn only_what_is_looked_at_is_asked_for() {
    let peer = Peer::start(vec![series("1", &[10])]).await;
    let view = view(&[&peer]).await;
    let hints = Hints { aggregates: Some(&[Aggregate::Count, Aggregate::Counter]), ..Hints::default() };
    selected(&view, Select { hints, ..all() }).await;
    selected(&view, all()).await;
    let year = TimeRange::new(0, 365 * 86_400_000);
    selected(&view, Select { range: year, ..all() }).await;
    let asked = peer.asked.lock().clone();
    assert_eq!(asked[0].aggregates, [Aggr::Count as i32, Aggr::Counter as i32]);
    assert_eq!(asked[1].aggregates, [1, 2, 3, 4, 5]);
    assert_eq!((asked[1].response_batch_size, asked[2].response_batch_size), (64, 3));
}

/// Nobody says how long windows are: their ends do.
#[tokio::test]
async fn lengths_of_windows() {
    const HOUR: i64 = 3_600_000;
    let cases: [(&[i64], i64); 6] = [
        (&[299_999, 599_999, 899_999], 300_000),
        (&[HOUR - 1, HOUR + 299_999, HOUR + 599_999], 300_000),
        (&[HOUR - 1, 2 * HOUR - 1, 3 * HOUR - 1], HOUR),
        (&[HOUR - 1, 2 * HOUR - 1, 2 * HOUR + 17], HOUR),
        (&[HOUR - 1], 0),
        (&[i64::MAX - 1, i64::MAX], 300_000),
    ];
    for (ends, resolution_ms) in cases {
        let counts = encode_floats(ends.iter().map(|t| (*t, 1.0)));
        let range = TimeRange::new(ends[0], ends[ends.len() - 1]);
        let part = ChunkParts::new(range).with(Aggr::Count, Encoding::Xor as u8, &counts);
        let peer = Peer::start(vec![one("1", &[part])]).await;
        let view = view(&[&peer]).await;
        let batch = view.select(all()).next().await.unwrap().unwrap();
        let mut chunks = ReadChunks::default();
        chunks.load(&batch.series[0].chunks);
        assert_eq!(chunks.resolution_ms(0), resolution_ms, "{ends:?}");
        assert!(AggrChunk::read(chunks.get(0).data).unwrap().get(Aggregate::Count).is_some());
    }
}
