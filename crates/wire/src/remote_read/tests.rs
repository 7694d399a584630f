//! Beside prost's messages, declared from Prometheus' .proto files.

use super::*;
use crate::snappy::compress;
use nilometer_model::{IntHistogram, Kind, Labels, TimeRange, Value};
use proptest::prelude::*;
use prost::Message as _;
use std::sync::Arc;

#[derive(Clone, PartialEq, prost::Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    queries: Vec<Query>,
    #[prost(int32, repeated, tag = "2")]
    accepted_response_types: Vec<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Query {
    #[prost(int64, tag = "1")]
    start_timestamp_ms: i64,
    #[prost(int64, tag = "2")]
    end_timestamp_ms: i64,
    #[prost(message, repeated, tag = "3")]
    matchers: Vec<LabelMatcher>,
    /// `ReadHints`, not looked into.
    #[prost(bytes = "vec", optional, tag = "4")]
    hints: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LabelMatcher {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Response {
    #[prost(message, repeated, tag = "1")]
    results: Vec<QueryResult>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct QueryResult {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    histograms: Vec<Histogram>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Histogram {
    #[prost(uint64, tag = "1")]
    count_int: u64,
    #[prost(int64, tag = "15")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ChunkedReadResponse {
    #[prost(message, repeated, tag = "1")]
    chunked_series: Vec<ChunkedSeries>,
    #[prost(int64, tag = "2")]
    query_index: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ChunkedSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    chunks: Vec<Chunk>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Chunk {
    #[prost(int64, tag = "1")]
    min_time_ms: i64,
    #[prost(int64, tag = "2")]
    max_time_ms: i64,
    #[prost(int32, tag = "3")]
    kind: i32,
    #[prost(bytes = "vec", tag = "4")]
    data: Vec<u8>,
}

fn matcher(kind: i32, name: &str, value: &str) -> LabelMatcher {
    LabelMatcher { kind, name: name.into(), value: value.into() }
}

fn read(request: &Request) -> nilometer_model::Result<ReadRequest> {
    ReadRequest::read(&compress(&request.encode_to_vec()).unwrap(), 1 << 20)
}

#[test]
fn requests_are_read() {
    let all_kinds = [(0, "a"), (1, "b"), (2, "c.*"), (3, "d|e")];
    let query = Query {
        start_timestamp_ms: -5,
        end_timestamp_ms: 1_700_000_000_000,
        matchers: all_kinds.map(|(kind, value)| matcher(kind, "n", value)).into(),
        hints: Some(vec![8, 1]),
    };
    let request = Request { queries: vec![query, Query::default()], accepted_response_types: vec![7, 1, 0] };
    let got = read(&request).unwrap();
    assert_eq!(got.response_type().unwrap(), ResponseType::StreamedChunks);
    assert_eq!(got.queries[0].range, TimeRange::new(-5, 1_700_000_000_000));
    let shown: Vec<String> =
        got.queries[0].matchers.iter().map(|m| format!("{}{}{}", m.name, m.kind.as_str(), m.value)).collect();
    assert_eq!(shown, ["n=a", "n!=b", "n=~c.*", "n!~d|e"]);
    assert!(got.queries[1].matchers.is_empty());
    assert_eq!(read(&Request::default()).unwrap().response_type().unwrap(), ResponseType::Samples);
    // Written one by one, as old senders do.
    let unpacked = ReadRequest::read_plain(&[0x10, 1, 0x10, 0]).unwrap();
    assert_eq!(unpacked.response_type().unwrap(), ResponseType::StreamedChunks);
}

#[test]
fn what_is_no_request_is_refused() {
    let with =
        |matchers| Request { queries: vec![Query { matchers, ..Query::default() }], ..Request::default() };
    let refused = |request: &Request| read(request).unwrap_err();
    assert!(refused(&with(vec![matcher(4, "a", "b")])).message().contains("matcher type"));
    assert!(refused(&with(vec![matcher(2, "a", "(")])).message().contains("missing closing )"));
    let many = with(vec![matcher(0, "a", "b"); MAX_MATCHERS + 1]);
    assert!(matches!(refused(&many).kind(), Kind::Limit { name: "max_read_matchers", .. }));
    assert!(read(&with(vec![matcher(0, "a", "b"); MAX_MATCHERS])).is_ok());
    let large = with(vec![matcher(2, "a", "\\pL{80}"); 100]);
    assert!(matches!(refused(&large).kind(), Kind::Limit { name: "regex_total_bytes", .. }));
    let many = Request { queries: vec![Query::default(); 100_000], ..Request::default() };
    assert!(matches!(refused(&many).kind(), Kind::Limit { name: "max_read_queries", .. }));
    let unknown = Request { accepted_response_types: vec![5], ..Request::default() };
    assert!(read(&unknown).unwrap().response_type().unwrap_err().message().contains("[5]"));
    for body in [
        &b"\x0a"[..],
        b"\x0a\x05",
        b"\x0a\x02\x1a\x05",
        b"\x0a\x04\x1a\x02\x12\x03",
        b"\x12\x01\xff",
        b"\x08\x01",
    ] {
        assert_eq!(*ReadRequest::read_plain(body).unwrap_err().kind(), Kind::Invalid, "{body:x?}");
    }
    assert!(ReadRequest::read(b"\xff\xff\xff\xff\x0f", 1 << 20).is_err());
    assert!(ReadRequest::read(b"", 1 << 20).is_err());
}

fn labels() -> Labels {
    Labels::from_pairs([("__name__", "up"), ("job", "é")])
}

fn prost_labels() -> Vec<Label> {
    labels().iter().map(|(name, value)| Label { name: name.into(), value: value.into() }).collect()
}

#[test]
fn samples_are_written() {
    let histogram = Value::Int(Arc::new(IntHistogram { count: 3, zero_count: 3, ..IntHistogram::default() }));
    let mut result = Vec::new();
    put_series(&mut result, &labels(), &[(1, Value::Float(-0.0)), (2, histogram)]);
    put_series(&mut result, &Labels::empty(), &[]);
    let mut response = Vec::new();
    put_result(&mut response, &result);
    put_result(&mut response, &[]);
    let response = Response::decode(response.as_slice()).unwrap();
    assert_eq!(response.results.len(), 2);
    let [first, second] = response.results[0].timeseries.as_slice() else { panic!("two series") };
    assert_eq!(first.labels, prost_labels());
    assert_eq!((first.samples[0].timestamp, first.samples[0].value.to_bits()), (1, (-0.0f64).to_bits()));
    assert_eq!((first.histograms[0].timestamp, first.histograms[0].count_int), (2, 3));
    assert_eq!(*second, TimeSeries::default());
}

/// As Prometheus' reader does.
fn frames(mut bytes: &[u8]) -> Vec<ChunkedReadResponse> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let len = prost::decode_length_delimiter(&mut bytes).unwrap();
        let (checksum, rest) = bytes.split_at(4);
        let (message, rest) = rest.split_at(len);
        let want = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, message) as u32;
        assert_eq!(checksum, want.to_be_bytes());
        out.push(ChunkedReadResponse::decode(message).unwrap());
        bytes = rest;
    }
    out
}

#[test]
fn long_series_have_several_frames() {
    let data = [7u8; 40];
    let chunks = (0..5).map(|i| (TimeRange::new(i * 10, i * 10 + 9), 1, &data[..]));
    let mut out = Vec::new();
    Frames::new(3, 100).put(&mut out, &labels(), chunks);
    Frames::new(0, 100).put(&mut out, &labels(), [(TimeRange::new(-1, 0), 2, &data[..1])]);
    Frames::new(0, 100).put(&mut out, &labels(), []);
    let frames = frames(&out);
    let shown: Vec<_> = frames.iter().map(|f| (f.query_index, f.chunked_series[0].chunks.len())).collect();
    assert_eq!(shown, [(3, 2), (3, 2), (3, 1), (0, 1)]);
    assert!(frames.iter().all(|f| f.chunked_series[0].labels == prost_labels()));
    let last = &frames[3].chunked_series[0].chunks[0];
    assert_eq!((last.min_time_ms, last.max_time_ms, last.kind, &*last.data), (-1, 0, 2, &[7u8][..]));
    assert_eq!(frames[1].chunked_series[0].chunks[0].min_time_ms, 20);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(body: Vec<u8>) {
        crate::fuzz::remote_read(&body);
    }
}
