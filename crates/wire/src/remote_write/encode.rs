//! Writes requests as a sender does: for tests, for the hub's own metrics and for generated load.

use super::metadata::number;
use crate::protobuf::{Writer, varint_len, zigzag};
use nilometer_model::{CounterReset, Exemplar, Histogram, Labels, Metadata, Span, Value};
use std::collections::HashMap;

/// One series to be sent. Nothing is checked or sorted: a test may want to send nonsense.
#[derive(Clone, Debug, Default)]
pub struct SentSeries {
    pub labels: Vec<(String, String)>,
    pub samples: Vec<super::FloatSample>,
    pub histograms: Vec<SentHistogram>,
    pub exemplars: Vec<Exemplar>,
    /// Sent by 2.0 only.
    pub metadata: Option<Metadata>,
}

impl SentSeries {
    pub fn new(labels: &Labels) -> Self {
        let labels = labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        SentSeries { labels, ..SentSeries::default() }
    }
}

/// A histogram sample; a `Value::Float` is not one and is left out.
#[derive(Clone, Debug)]
pub struct SentHistogram {
    pub t_ms: i64,
    /// Sent by 2.0 only.
    pub start_ms: i64,
    pub value: Value,
}

/// `prometheus.WriteRequest`, uncompressed. `families` are names and what is said of them.
pub fn v1(series: &[SentSeries], families: &[(String, Metadata)]) -> Vec<u8> {
    let mut request = Writer::default();
    for one in series {
        request.nested(1, |message| {
            put_labels(message, one.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            for sample in &one.samples {
                message.nested(2, |m| put_sample(m, sample.v, sample.t_ms));
            }
            for exemplar in &one.exemplars {
                message.nested(3, |m| {
                    put_labels(m, exemplar.labels.iter());
                    put_exemplar(m, exemplar);
                });
            }
            for histogram in &one.histograms {
                put_histogram(message, 4, histogram, 0);
            }
        });
    }
    for (family, metadata) in families {
        request.nested(3, |message| {
            message.uint64(1, number(metadata.kind));
            message.text(2, family);
            message.text(4, &metadata.help);
            message.text(5, &metadata.unit);
        });
    }
    request.into_bytes()
}

/// The bytes by which [`Identity::Key`](super::Identity) knows these labels.
pub fn put_key<'a>(out: &mut Vec<u8>, labels: impl IntoIterator<Item = (&'a str, &'a str)>) {
    let mut message = Writer::onto(std::mem::take(out));
    for (name, value) in labels {
        let len = 2 + varint_len(name.len()) + name.len() + varint_len(value.len()) + value.len();
        message.put_length(1, len);
        message.put_bytes(1, name.as_bytes());
        message.put_bytes(2, value.as_bytes());
    }
    *out = message.into_bytes();
}

pub(crate) fn put_labels<'a>(message: &mut Writer, labels: impl Iterator<Item = (&'a str, &'a str)>) {
    for (name, value) in labels {
        message.nested(1, |label| {
            label.text(1, name);
            label.text(2, value);
        });
    }
}

/// `io.prometheus.write.v2.Request`, uncompressed.
pub fn v2(series: &[SentSeries]) -> Vec<u8> {
    let mut symbols = Symbols::default();
    symbols.symbol("");
    let mut body = Writer::default();
    for one in series {
        body.nested(5, |message| {
            let refs: Vec<_> =
                one.labels.iter().flat_map(|(n, v)| [symbols.symbol(n), symbols.symbol(v)]).collect();
            message.packed_varints(1, refs.into_iter());
            for sample in &one.samples {
                message.nested(2, |m| {
                    put_sample(m, sample.v, sample.t_ms);
                    m.int64(3, sample.start_ms);
                });
            }
            for histogram in &one.histograms {
                put_histogram(message, 3, histogram, histogram.start_ms);
            }
            for exemplar in &one.exemplars {
                let refs: Vec<_> = exemplar
                    .labels
                    .iter()
                    .flat_map(|(n, v)| [symbols.symbol(n), symbols.symbol(v)])
                    .collect();
                message.nested(4, |m| {
                    m.packed_varints(1, refs.into_iter());
                    put_exemplar(m, exemplar);
                });
            }
            if let Some(metadata) = &one.metadata {
                let (help, unit) = (symbols.symbol(&metadata.help), symbols.symbol(&metadata.unit));
                message.nested(5, |m| {
                    m.uint64(1, number(metadata.kind));
                    m.uint64(3, help);
                    m.uint64(4, unit);
                });
            }
        });
    }
    let mut request = Writer::default();
    symbols.in_order.iter().for_each(|symbol| request.put_bytes(4, symbol.as_bytes()));
    request.append(&body);
    request.into_bytes()
}

/// Strings and their numbers.
#[derive(Default)]
struct Symbols {
    numbers: HashMap<String, u64>,
    in_order: Vec<String>,
}

impl Symbols {
    fn symbol(&mut self, text: &str) -> u64 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.in_order.len() as u64;
        self.in_order.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }
}

pub(crate) fn put_sample(message: &mut Writer, v: f64, t_ms: i64) {
    message.double(1, v);
    message.int64(2, t_ms);
}

fn put_exemplar(message: &mut Writer, exemplar: &Exemplar) {
    message.double(2, exemplar.v);
    message.int64(3, exemplar.t_ms);
}

pub(crate) fn put_histogram(series: &mut Writer, field: u32, sent: &SentHistogram, start_ms: i64) {
    match &sent.value {
        Value::Float(_) => {}
        Value::Int(histogram) => series.nested(field, |m| {
            m.put_uint64(1, histogram.count);
            put_common(m, histogram);
            m.put_uint64(6, histogram.zero_count);
            put_spans(m, 8, &histogram.negative_spans);
            m.packed_varints(9, deltas(&histogram.negative));
            put_spans(m, 11, &histogram.positive_spans);
            m.packed_varints(12, deltas(&histogram.positive));
            put_rest(m, histogram, sent.t_ms, start_ms);
        }),
        Value::FloatHistogram(histogram) => series.nested(field, |m| {
            m.put_double(2, histogram.count);
            put_common(m, histogram);
            m.put_double(7, histogram.zero_count);
            put_spans(m, 8, &histogram.negative_spans);
            m.packed_doubles(10, &histogram.negative);
            put_spans(m, 11, &histogram.positive_spans);
            m.packed_doubles(13, &histogram.positive);
            put_rest(m, histogram, sent.t_ms, start_ms);
        }),
    }
}

fn put_common<C>(message: &mut Writer, histogram: &Histogram<C>) {
    message.double(3, histogram.sum);
    message.uint64(4, zigzag(histogram.schema.into()));
    message.double(5, histogram.zero_threshold);
}

fn put_rest<C>(message: &mut Writer, histogram: &Histogram<C>, t_ms: i64, start_ms: i64) {
    let hint = match histogram.reset {
        CounterReset::Unknown => 0,
        CounterReset::Reset => 1,
        CounterReset::NotReset => 2,
        CounterReset::Gauge => 3,
    };
    message.uint64(14, hint);
    message.int64(15, t_ms);
    message.packed_doubles(16, &histogram.custom_values);
    message.int64(17, start_ms);
}

fn put_spans(message: &mut Writer, field: u32, spans: &[Span]) {
    for span in spans {
        message.nested(field, |m| {
            m.uint64(1, zigzag(span.offset.into()));
            m.uint64(2, span.length.into());
        });
    }
}

/// Differences from bucket to bucket; they wrap where a bucket is over 63 bits, as no real one is.
fn deltas(buckets: &[u64]) -> impl Iterator<Item = u64> {
    let before = std::iter::once(0).chain(buckets.iter().copied());
    buckets.iter().zip(before).map(|(&bucket, before)| zigzag(bucket.wrapping_sub(before) as i64))
}
