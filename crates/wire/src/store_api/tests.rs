//! What is written by hand against what prost makes of the same messages.

use super::*;
use nilometer_model::{Labels, MatchKind, Matcher, TimeRange};
use proptest::prelude::*;
use prost::Message as _;

/// Thanos' `.proto`, the alternatives of the `oneof` as optional fields.
#[derive(Clone, PartialEq, prost::Message)]
struct PlainResponse {
    #[prost(message, optional, tag = "1")]
    series: Option<PlainSeries>,
    #[prost(string, optional, tag = "2")]
    warning: Option<String>,
    #[prost(message, optional, tag = "4")]
    batch: Option<PlainBatch>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PlainBatch {
    #[prost(message, repeated, tag = "1")]
    series: Vec<PlainSeries>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PlainSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    chunks: Vec<PlainAggrChunk>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PlainAggrChunk {
    #[prost(int64, tag = "1")]
    min: i64,
    #[prost(int64, tag = "2")]
    max: i64,
    #[prost(message, optional, tag = "3")]
    raw: Option<PlainChunk>,
    #[prost(message, optional, tag = "4")]
    count: Option<PlainChunk>,
    #[prost(message, optional, tag = "5")]
    sum: Option<PlainChunk>,
    #[prost(message, optional, tag = "6")]
    min_of: Option<PlainChunk>,
    #[prost(message, optional, tag = "7")]
    max_of: Option<PlainChunk>,
    #[prost(message, optional, tag = "8")]
    counter: Option<PlainChunk>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PlainChunk {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(bytes = "vec", tag = "2")]
    data: Vec<u8>,
    #[prost(uint64, tag = "3")]
    hash: u64,
}

type Parts = [Option<(u8, Vec<u8>)>; 6];
const PARTS: [Aggr; 6] = [Aggr::Raw, Aggr::Count, Aggr::Sum, Aggr::Min, Aggr::Max, Aggr::Counter];

#[derive(Clone, Debug)]
struct Given {
    labels: Labels,
    chunks: Vec<(TimeRange, Parts)>,
}

impl Given {
    fn parts(&self) -> Vec<ChunkParts<'_>> {
        let mut out = Vec::new();
        for (range, parts) in &self.chunks {
            let mut chunk = ChunkParts::new(*range);
            for (part, given) in PARTS.iter().zip(parts) {
                if let Some((encoding, data)) = given {
                    chunk = chunk.with(*part, *encoding, data);
                }
            }
            out.push(chunk);
        }
        out
    }

    fn plain(&self) -> PlainSeries {
        let labels = LabelSet::from(&self.labels).labels;
        let chunk = |(range, parts): &(TimeRange, Parts)| {
            let part = |at: Aggr| {
                let (encoding, data) = parts[at as usize].clone()?;
                Some(PlainChunk { kind: i32::from(encoding) - 1, data, hash: 0 })
            };
            PlainAggrChunk {
                min: range.min_ms,
                max: range.max_ms,
                raw: part(Aggr::Raw),
                count: part(Aggr::Count),
                sum: part(Aggr::Sum),
                min_of: part(Aggr::Min),
                max_of: part(Aggr::Max),
                counter: part(Aggr::Counter),
            }
        };
        PlainSeries { labels, chunks: self.chunks.iter().map(chunk).collect() }
    }
}

fn given() -> impl Strategy<Value = Given> {
    let part = prop::option::of((1u8..=3, prop::collection::vec(any::<u8>(), 0..200)));
    let parts = [part.clone(), part.clone(), part.clone(), part.clone(), part.clone(), part];
    let chunk =
        (any::<(i64, i64)>(), parts).prop_map(|((min, max), parts)| (TimeRange::new(min, max), parts));
    let labels = prop::collection::btree_map("[a-z_]{1,5}", ".{1,9}", 0..6).prop_map(Labels::from_pairs);
    (labels, prop::collection::vec(chunk, 0..5)).prop_map(|(labels, chunks)| Given { labels, chunks })
}

fn encoded(frames: &[Frame]) -> Vec<Vec<u8>> {
    let one = |frame: &Frame| {
        let mut out = Vec::new();
        frame.encode(&mut out);
        out
    };
    frames.iter().map(one).collect()
}

fn frames(all: &[Given], batch: usize, max_bytes: usize) -> Vec<Vec<u8>> {
    let (mut frames, mut out) = (SeriesFrames::new(batch, max_bytes), Vec::new());
    for series in all {
        frames.put(&series.labels, &series.parts(), &mut out);
    }
    frames.flush(&mut out);
    encoded(&out)
}

/// The series of some messages, as they were read in place.
fn read(messages: &[Vec<u8>]) -> Vec<(Labels, Vec<ChunkParts<'_>>)> {
    let mut all = Vec::new();
    for message in messages {
        let Response::Series(series) = Response::read(message).unwrap() else { panic!("this is no series") };
        for series in series {
            let series = series.unwrap();
            all.push((series.labels().unwrap(), series.chunks().map(Result::unwrap).collect()));
        }
    }
    all
}

proptest! {
    #[test]
    fn messages_are_those_of_prost(all in prop::collection::vec(given(), 0..6)) {
        let singly = frames(&all, 0, usize::MAX);
        let plain = |series: &Given| PlainResponse { series: Some(series.plain()), ..PlainResponse::default() };
        prop_assert_eq!(&singly, &all.iter().map(|s| plain(s).encode_to_vec()).collect::<Vec<_>>());
        let batched = frames(&all, 4, usize::MAX);
        let batch = |series: &[Given]| {
            let batch = PlainBatch { series: series.iter().map(Given::plain).collect() };
            PlainResponse { batch: Some(batch), ..PlainResponse::default() }.encode_to_vec()
        };
        prop_assert_eq!(&batched, &all.chunks(4).map(batch).collect::<Vec<_>>());
        let want: Vec<_> = all.iter().map(|s| (s.labels.clone(), s.parts())).collect();
        prop_assert_eq!(read(&singly), want.clone());
        prop_assert_eq!(read(&batched), want);
    }

    #[test]
    fn large_series_have_several_messages(series in given(), max_bytes in 1usize..400) {
        let split = frames(std::slice::from_ref(&series), 1, max_bytes);
        let parts = read(&split);
        prop_assert!(parts.iter().all(|(labels, _)| *labels == series.labels));
        let joined: Vec<_> = parts.iter().flat_map(|(_, chunks)| chunks.clone()).collect();
        prop_assert_eq!(joined, series.parts());
        for (_, chunks) in &parts {
            let size = |chunk: &ChunkParts<'_>| PARTS.iter().filter_map(|p| chunk.get(*p)).map(|(_, d)| d.len()).sum::<usize>();
            let but_the_last = chunks.split_last().map_or(0, |(_, rest)| rest.iter().map(size).sum());
            prop_assert!(but_the_last < max_bytes);
        }
    }

    #[test]
    fn garbage_is_an_error_or_harmless(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        crate::fuzz::store_api(&bytes);
    }

    #[test]
    fn damage_is_an_error_or_harmless(series in given(), at: prop::sample::Index, to: u8) {
        let mut message = frames(&[series], 2, usize::MAX).remove(0);
        let at = at.index(message.len());
        message[at] = to;
        crate::fuzz::store_api(&message);
    }
}

#[test]
fn warnings_and_what_is_unknown() {
    let warning = encoded(&[Frame::warning("slow")]).remove(0);
    let plain = PlainResponse { warning: Some("slow".into()), ..PlainResponse::default() };
    assert_eq!(warning, plain.encode_to_vec());
    assert!(matches!(Response::read(&warning), Ok(Response::Warning("slow"))));
    assert!(matches!(Response::read(&[]), Ok(Response::Other)));
    // Hints.
    assert!(matches!(Response::read(&[0x1a, 0x00]), Ok(Response::Other)));
    assert!(Response::read(&[0x0a, 0x05]).is_err());
}

#[test]
fn labels_of_others_are_put_in_order() {
    let label = |name: &str, value: &str| Label { name: name.into(), value: value.into() };
    let labels = vec![label("b", "2"), label("c", ""), label("a", "1")];
    let series = PlainSeries { labels, chunks: Vec::new() };
    let message = PlainResponse { series: Some(series), ..PlainResponse::default() }.encode_to_vec();
    assert_eq!(read(&[message])[0].0.to_string(), r#"{a="1", b="2"}"#);
}

#[test]
fn chunks_of_unknown_types_are_refused() {
    let raw = Some(PlainChunk { kind: 3, ..PlainChunk::default() });
    let series =
        PlainSeries { chunks: vec![PlainAggrChunk { raw, ..PlainAggrChunk::default() }], labels: vec![] };
    let message = PlainResponse { series: Some(series), ..PlainResponse::default() }.encode_to_vec();
    let Ok(Response::Series(mut series)) = Response::read(&message) else { panic!("this is a series") };
    let chunk = series.next().unwrap().unwrap().chunks().next().unwrap();
    assert!(chunk.unwrap_err().to_string().contains("type 3"));
}

#[test]
fn matchers_there_and_back() {
    let kinds = [MatchKind::Equal, MatchKind::NotEqual, MatchKind::Regex, MatchKind::NotRegex];
    let given: Vec<_> = kinds.iter().map(|kind| Matcher::new(*kind, "a", "b.*").unwrap()).collect();
    let raw: Vec<_> = given.iter().map(LabelMatcher::from).collect();
    assert_eq!(raw.iter().map(|m| m.kind).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let back = matchers(&raw).unwrap();
    assert!(back.iter().zip(&given).all(|(a, b)| (a.kind, &a.name, &a.value) == (b.kind, &b.name, &b.value)));
    let wrong = |kind, value: &str| LabelMatcher { kind, name: "a".into(), value: value.into() };
    assert!(matchers(&[wrong(4, "")]).is_err());
    assert!(matchers(&[wrong(2, "(")]).is_err());
    assert!(
        matchers(&vec![wrong(0, "x"); MAX_MATCHERS + 1]).unwrap_err().to_string().contains("max_matchers")
    );
}

/// The bytes of a request as Thanos' own types encode it.
#[test]
fn a_request_is_read_as_thanos_writes_it() {
    let bytes = b"\x08\x01\x10\x02\x1a\x08\x08\x02\x12\x01a\x1a\x01b\x20\xe0\xa7\x12\x2a\x02\x01\x02\x38\x01\x40\x01\
                  \x62\x07\x12\x05\x0a\x03max\x6a\x09\x08\x01\x10\x03\x18\x01\x22\x01a\x72\x01r\x78\x05\x80\x01\x40";
    let request = SeriesRequest::decode(&bytes[..]).unwrap();
    let hints = QueryHints { func: Some(Func { name: "max".into() }), ..QueryHints::default() };
    let want = SeriesRequest {
        min_time_ms: 1,
        max_time_ms: 2,
        matchers: vec![LabelMatcher { kind: 2, name: "a".into(), value: "b".into() }],
        max_resolution_ms: 300_000,
        aggregates: vec![1, 2],
        partial_response_disabled: false,
        partial_response_strategy: PartialResponseStrategy::Abort as i32,
        skip_chunks: true,
        query_hints: Some(hints),
        shard_info: Some(ShardInfo { index: 1, total: 3, by: true, labels: vec!["a".into()] }),
        without_replica_labels: vec!["r".into()],
        limit: 5,
        response_batch_size: 64,
    };
    assert_eq!(request, want);
    assert_eq!(want.encode_to_vec(), bytes);
}
