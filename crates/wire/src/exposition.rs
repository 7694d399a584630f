//! Metric families as a scraper reads them: Prometheus' text format and its protobuf, as `/federate` sends them.
//!
//! Both have samples with their times. Names that are not of letters, digits, `_` and `:` are escaped unless the
//! scraper says that it understands all of UTF-8. Native histograms are for protobuf only; those with custom
//! buckets are told as the classic histograms that they stand for.
//!
//! Sources: `expfmt` and `model/metric.go` of `prometheus/common`, `io/prometheus/client/metrics.proto`.

mod names;
mod negotiate;
mod protobuf;
mod text;

#[cfg(test)]
mod tests;

use nilometer_model::{CounterReset, FloatHistogram};
use std::borrow::Cow;

pub use names::Escaping;

/// How families are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exposition {
    pub format: Format,
    pub escaping: Escaping,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `text/plain; version=0.0.4`
    Text,
    /// `io.prometheus.client.MetricFamily`, each behind its length.
    Protobuf,
}

/// What `# TYPE` says. Whether a float is a counter's is not known of stored samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyType {
    Untyped,
    Histogram,
    GaugeHistogram,
}

/// One sample of a family.
#[derive(Clone, Debug)]
pub struct Metric<'a> {
    /// Without the name.
    pub labels: Vec<(&'a str, &'a str)>,
    pub t_ms: i64,
    pub value: MetricValue<'a>,
}

#[derive(Clone, Copy, Debug)]
pub enum MetricValue<'a> {
    Float(f64),
    Histogram(&'a FloatHistogram),
}

impl MetricValue<'_> {
    pub fn family_type(self) -> FamilyType {
        match self {
            MetricValue::Float(_) => FamilyType::Untyped,
            MetricValue::Histogram(h) if h.reset == CounterReset::Gauge => FamilyType::GaugeHistogram,
            MetricValue::Histogram(_) => FamilyType::Histogram,
        }
    }
}

/// The head of a family.
#[derive(Clone, Copy, Debug)]
pub struct Family<'a> {
    pub name: &'a str,
    pub kind: FamilyType,
}

impl Exposition {
    /// Whether there is a form for this value.
    pub fn takes(&self, value: MetricValue<'_>) -> bool {
        match value {
            MetricValue::Float(_) => true,
            MetricValue::Histogram(h) => self.format == Format::Protobuf || h.has_custom_buckets(),
        }
    }

    /// Appends some metrics of a family, all of its type. One that is large may come in several parts;
    /// `is_first` says which is the first.
    pub fn put(&self, out: &mut Vec<u8>, family: Family<'_>, is_first: bool, metrics: &[Metric<'_>]) {
        let family = Family { name: &self.name(family.name), ..family };
        match self.format {
            Format::Text => text::put(self, out, family, is_first, metrics),
            Format::Protobuf => protobuf::put(self, out, family, metrics),
        }
    }

    fn name<'a>(&self, name: &'a str) -> Cow<'a, str> {
        self.escaping.apply(name)
    }
}

/// Upper bounds and counts up to them of a histogram with custom buckets, without that of all.
fn cumulative(h: &FloatHistogram) -> impl Iterator<Item = (f64, f64)> {
    let mut counts = vec![0.0; h.custom_values.len()];
    let indexes = nilometer_model::histogram::bucket_indexes(&h.positive_spans, h.positive.len());
    for (index, count) in indexes.zip(&h.positive) {
        if let Some(slot) = usize::try_from(index).ok().and_then(|index| counts.get_mut(index)) {
            *slot = *count;
        }
    }
    let mut sum = 0.0;
    h.custom_values.iter().zip(counts).map(move |(bound, count)| {
        sum += count;
        (*bound, sum)
    })
}
