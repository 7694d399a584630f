//! What is measured: a time and a value, and what comes beside it.

use crate::{FloatHistogram, IntHistogram, Labels};
use std::sync::Arc;

/// The NaN by which Prometheus marks the end of a series.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Compares bits: other NaNs are ordinary values.
#[inline]
pub fn is_stale_nan(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// A float sample. Equality of values is of bits, see [`Sample::same_bits`].
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub t_ms: i64,
    pub v: f64,
}

impl Sample {
    pub fn same_bits(&self, other: &Sample) -> bool {
        self.t_ms == other.t_ms && self.v.to_bits() == other.v.to_bits()
    }
}

/// The value of a sample of any type. Histograms are shared: they are large and often repeated.
#[derive(Clone, Debug)]
pub enum Value {
    Float(f64),
    Int(Arc<IntHistogram>),
    FloatHistogram(Arc<FloatHistogram>),
}

/// A trace's mark on a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    pub labels: Labels,
    pub t_ms: i64,
    pub v: f64,
}

/// What kind of metric a family says it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MetricType {
    #[default]
    Unknown,
    Counter,
    Gauge,
    Histogram,
    GaugeHistogram,
    Summary,
    Info,
    StateSet,
}

impl MetricType {
    /// Prometheus' name, as in `/api/v1/metadata`.
    pub fn as_str(self) -> &'static str {
        match self {
            MetricType::Unknown => "unknown",
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
            MetricType::GaugeHistogram => "gaugehistogram",
            MetricType::Summary => "summary",
            MetricType::Info => "info",
            MetricType::StateSet => "stateset",
        }
    }
}

/// What a metric family says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Metadata {
    pub kind: MetricType,
    pub help: String,
    pub unit: String,
}
