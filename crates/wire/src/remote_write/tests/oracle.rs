//! The naive reader: prost's messages, declared from Prometheus' .proto files, turned into plain values the
//! slow and obvious way.
//!
//! Strings are declared as bytes, since UTF-8 is not this crate's business, and the alternatives of a
//! `oneof` as optional fields, since a message with both is refused. 1.0 samples and histograms have 2.0's
//! start here too.

use super::plain::{Bytes, Pairs};
use super::plain::{PlainHistogram, PlainMetadata, PlainRequest, PlainSeries, bits};
use crate::remote_write::Message;
use nilometer_model::MetricType;
use prost::Message as _;

#[derive(Clone, PartialEq, prost::Message)]
struct RequestV1 {
    #[prost(message, repeated, tag = "1")]
    series: Vec<SeriesV1>,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<MetadataV1>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SeriesV1 {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    exemplars: Vec<ExemplarV1>,
    #[prost(message, repeated, tag = "4")]
    histograms: Vec<Histogram>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Label {
    #[prost(bytes = "vec", tag = "1")]
    name: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    time: i64,
    #[prost(int64, tag = "3")]
    start: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ExemplarV1 {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(int64, tag = "3")]
    time: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MetadataV1 {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(bytes = "vec", tag = "2")]
    family: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    help: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    unit: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RequestV2 {
    #[prost(bytes = "vec", repeated, tag = "4")]
    symbols: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "5")]
    series: Vec<SeriesV2>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SeriesV2 {
    #[prost(uint32, repeated, tag = "1")]
    label_refs: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    histograms: Vec<Histogram>,
    #[prost(message, repeated, tag = "4")]
    exemplars: Vec<ExemplarV2>,
    #[prost(message, tag = "5")]
    metadata: Option<MetadataV2>,
    #[prost(int64, tag = "6")]
    created: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ExemplarV2 {
    #[prost(uint32, repeated, tag = "1")]
    label_refs: Vec<u32>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(int64, tag = "3")]
    time: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MetadataV2 {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(uint32, tag = "3")]
    help: u32,
    #[prost(uint32, tag = "4")]
    unit: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct BucketSpan {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Histogram {
    #[prost(uint64, optional, tag = "1")]
    count_int: Option<u64>,
    #[prost(double, optional, tag = "2")]
    count_float: Option<f64>,
    #[prost(double, tag = "3")]
    sum: f64,
    #[prost(sint32, tag = "4")]
    schema: i32,
    #[prost(double, tag = "5")]
    zero_threshold: f64,
    #[prost(uint64, optional, tag = "6")]
    zero_int: Option<u64>,
    #[prost(double, optional, tag = "7")]
    zero_float: Option<f64>,
    #[prost(message, repeated, tag = "8")]
    negative_spans: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "9")]
    negative_deltas: Vec<i64>,
    #[prost(double, repeated, tag = "10")]
    negative_counts: Vec<f64>,
    #[prost(message, repeated, tag = "11")]
    positive_spans: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "12")]
    positive_deltas: Vec<i64>,
    #[prost(double, repeated, tag = "13")]
    positive_counts: Vec<f64>,
    #[prost(int32, tag = "14")]
    reset_hint: i32,
    #[prost(int64, tag = "15")]
    time: i64,
    #[prost(double, repeated, tag = "16")]
    custom_values: Vec<f64>,
    #[prost(int64, tag = "17")]
    start: i64,
}

/// What `bytes` say according to prost, `None` where it is not the message.
pub(super) fn read(message: Message, bytes: &[u8]) -> Option<PlainRequest> {
    match message {
        Message::V1 => RequestV1::decode(bytes).ok().map(from_v1),
        Message::V2 => RequestV2::decode(bytes).ok().as_ref().map(from_v2),
    }
}

fn from_v1(request: RequestV1) -> PlainRequest {
    let labels = |labels: Vec<Label>| Some(labels.into_iter().map(|l| (l.name, l.value)).collect());
    let series = |s: SeriesV1| PlainSeries {
        labels: labels(s.labels),
        samples: samples(&s.samples, 0),
        histograms: histograms(&s.histograms, 0),
        exemplars: s.exemplars.into_iter().map(|e| (labels(e.labels), e.time, e.value.to_bits())).collect(),
        metadata: None,
    };
    let metadata =
        |m: MetadataV1| PlainMetadata { family: m.family, kind: kind(m.kind), help: m.help, unit: m.unit };
    PlainRequest {
        series: request.series.into_iter().map(series).collect(),
        families: request.metadata.into_iter().map(metadata).collect(),
    }
}

fn from_v2(request: &RequestV2) -> PlainRequest {
    let symbols = &request.symbols;
    let symbol = |r: u32| symbols.get(r as usize).cloned();
    let labels = |refs: &[u32]| -> Option<Pairs> {
        let pairs = refs.chunks(2).map(|pair| Some((symbol(pair[0])?, symbol(*pair.get(1)?)?)));
        pairs.collect::<Option<Vec<(Bytes, Bytes)>>>()
    };
    let series = |s: &SeriesV2| {
        let m = s.metadata.clone().unwrap_or_default();
        let metadata = || Some((symbol(m.help)?, symbol(m.unit)?));
        let texts = labels(&s.label_refs).and_then(|labels| Some((labels, metadata()?)));
        let (labels_of_series, metadata) = match texts {
            None => (None, None),
            Some((labels, (help, unit))) => {
                let says_nothing = kind(m.kind) == MetricType::Unknown && help.is_empty() && unit.is_empty();
                let metadata = PlainMetadata { family: vec![], kind: kind(m.kind), help, unit };
                (Some(labels), (!says_nothing).then_some(metadata))
            }
        };
        let exemplar = |e: &ExemplarV2| (labels(&e.label_refs), e.time, e.value.to_bits());
        PlainSeries {
            labels: labels_of_series,
            samples: samples(&s.samples, s.created),
            histograms: histograms(&s.histograms, s.created),
            exemplars: s.exemplars.iter().map(exemplar).collect(),
            metadata,
        }
    };
    PlainRequest { series: request.series.iter().map(series).collect(), families: vec![] }
}

fn samples(samples: &[Sample], created: i64) -> Vec<(i64, u64, i64)> {
    let start = |own: i64| if own == 0 { created } else { own };
    samples.iter().map(|s| (s.time, s.value.to_bits(), start(s.start))).collect()
}

fn histograms(histograms: &[Histogram], created: i64) -> Vec<(i64, i64, Option<PlainHistogram>)> {
    let start = |own: i64| if own == 0 { created } else { own };
    histograms.iter().map(|h| (h.time, start(h.start), histogram(h))).collect()
}

fn histogram(h: &Histogram) -> Option<PlainHistogram> {
    let some_floats = h.count_float.is_some()
        || h.zero_float.is_some()
        || !h.negative_counts.is_empty()
        || !h.positive_counts.is_empty();
    let some_ints = h.count_int.is_some()
        || h.zero_int.is_some()
        || !h.negative_deltas.is_empty()
        || !h.positive_deltas.is_empty();
    if some_floats && (some_ints || h.count_float.is_none()) {
        return None;
    }
    let spans = |spans: &[BucketSpan]| spans.iter().map(|s| (s.offset, s.length)).collect::<Vec<_>>();
    let (count_and_zero, buckets) = if some_floats {
        let count = (h.count_float.unwrap_or(0.0).to_bits(), h.zero_float.unwrap_or(0.0).to_bits());
        (count, [bits(&h.negative_counts), bits(&h.positive_counts)])
    } else {
        let count = (h.count_int.unwrap_or(0), h.zero_int.unwrap_or(0));
        (count, [absolute(&h.negative_deltas)?, absolute(&h.positive_deltas)?])
    };
    Some(PlainHistogram {
        is_float: some_floats,
        reset: u8::try_from(h.reset_hint).ok().filter(|hint| *hint < 4).unwrap_or(0),
        schema: h.schema,
        sum_and_threshold: (h.sum.to_bits(), h.zero_threshold.to_bits()),
        count_and_zero,
        spans: [spans(&h.negative_spans), spans(&h.positive_spans)],
        buckets,
        custom_values: bits(&h.custom_values),
    })
}

fn absolute(deltas: &[i64]) -> Option<Vec<u64>> {
    let mut sum = 0i128;
    let next = |delta: &i64| {
        sum += i128::from(*delta);
        u64::try_from(sum).ok()
    };
    deltas.iter().map(next).collect()
}

fn kind(number: i32) -> MetricType {
    const KINDS: [MetricType; 8] = [
        MetricType::Unknown,
        MetricType::Counter,
        MetricType::Gauge,
        MetricType::Histogram,
        MetricType::GaugeHistogram,
        MetricType::Summary,
        MetricType::Info,
        MetricType::StateSet,
    ];
    usize::try_from(number).ok().and_then(|n| KINDS.get(n).copied()).unwrap_or_default()
}
