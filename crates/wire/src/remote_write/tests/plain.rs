//! A decoded request as plain values that compare and print, floats by their bits.

use crate::remote_write::{Identity, LabelIter, Series, WriteRequest};
use nilometer_model::{Count, Histogram, MetricType, Span, Value};

pub(super) type Bytes = Vec<u8>;
pub(super) type Pairs = Vec<(Bytes, Bytes)>;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct PlainRequest {
    pub(super) series: Vec<PlainSeries>,
    pub(super) families: Vec<PlainMetadata>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct PlainSeries {
    /// `None` where the series is refused.
    pub(super) labels: Option<Pairs>,
    /// Time, bits of the value, start.
    pub(super) samples: Vec<(i64, u64, i64)>,
    pub(super) histograms: Vec<(i64, i64, Option<PlainHistogram>)>,
    pub(super) exemplars: Vec<(Option<Pairs>, i64, u64)>,
    pub(super) metadata: Option<PlainMetadata>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct PlainMetadata {
    pub(super) family: Bytes,
    pub(super) kind: MetricType,
    pub(super) help: Bytes,
    pub(super) unit: Bytes,
}

/// Counts are numbers of integer histograms, bits of float ones.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PlainHistogram {
    pub(super) is_float: bool,
    pub(super) reset: u8,
    pub(super) schema: i32,
    /// Bits of sum and of the zero threshold.
    pub(super) sum_and_threshold: (u64, u64),
    pub(super) count_and_zero: (u64, u64),
    pub(super) spans: [Vec<(i32, u32)>; 2],
    pub(super) buckets: [Vec<u64>; 2],
    pub(super) custom_values: Vec<u64>,
}

pub(super) fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

pub(super) fn plain(request: &WriteRequest) -> PlainRequest {
    let metadata = |m: crate::remote_write::MetadataRef<'_>| PlainMetadata {
        family: m.family.to_vec(),
        kind: m.kind,
        help: m.help.to_vec(),
        unit: m.unit.to_vec(),
    };
    let series = |s: Series<'_>| PlainSeries {
        labels: (!matches!(s.identity(), Identity::Refused(_))).then(|| pairs(s.labels())),
        samples: s.samples().iter().map(|s| (s.t_ms, s.v.to_bits(), s.start_ms)).collect(),
        histograms: s
            .histograms()
            .map(|h| (h.t_ms, h.start_ms, h.decode().ok().map(|v| histogram(&v))))
            .collect(),
        exemplars: s.exemplars().map(|e| (e.labels.ok().map(pairs), e.t_ms, e.v.to_bits())).collect(),
        metadata: s.metadata().map(metadata),
    };
    PlainRequest {
        series: request.series().map(series).collect(),
        families: request.families().map(metadata).collect(),
    }
}

pub(super) fn pairs(labels: LabelIter<'_>) -> Pairs {
    labels.map(|(n, v)| (n.to_vec(), v.to_vec())).collect()
}

pub(super) fn histogram(value: &Value) -> PlainHistogram {
    match value {
        Value::Float(_) => panic!("a histogram decoded to a float"),
        Value::Int(h) => from_parts(h, false, |n| n),
        Value::FloatHistogram(h) => from_parts(h, true, f64::to_bits),
    }
}

fn from_parts<C: Count>(h: &Histogram<C>, is_float: bool, raw: fn(C) -> u64) -> PlainHistogram {
    let spans = |spans: &[Span]| spans.iter().map(|s| (s.offset, s.length)).collect();
    PlainHistogram {
        is_float,
        reset: h.reset as u8,
        schema: h.schema,
        sum_and_threshold: (h.sum.to_bits(), h.zero_threshold.to_bits()),
        count_and_zero: (raw(h.count), raw(h.zero_count)),
        spans: [spans(&h.negative_spans), spans(&h.positive_spans)],
        buckets: [&h.negative, &h.positive].map(|side| side.iter().map(|&c| raw(c)).collect()),
        custom_values: bits(&h.custom_values),
    }
}
