//! What a query answers.

use crate::explain::TaskProfile;
use nilometer_model::{FloatHistogram, Labels, Sample};
use std::sync::Arc;

/// The answer, and what there is to say about it.
#[derive(Clone, Debug)]
pub struct QueryResult {
    pub value: Value,
    /// Texts as Prometheus writes them, with positions; in the order in which they came up.
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
    pub stats: QueryStats,
    /// Where asked for.
    pub steps: Option<StepSamples>,
    /// One entry for each task in the order of computation, where a stopwatch was given.
    pub profile: Vec<TaskProfile>,
}

#[derive(Clone, Debug)]
pub enum Value {
    Scalar {
        t_ms: i64,
        v: f64,
    },
    String {
        t_ms: i64,
        v: String,
    },
    /// In the order of evaluation; `sort` and its kin rely on that.
    Vector(Vec<VectorSample>),
    /// Sorted by labels.
    Matrix(Vec<MatrixSeries>),
}

/// One series of an instant vector.
#[derive(Clone, Debug)]
pub struct VectorSample {
    pub labels: Labels,
    pub t_ms: i64,
    pub value: SampleValue,
}

#[derive(Clone, Debug)]
pub enum SampleValue {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// One series of a matrix. Both kinds of points are sorted by time, and no time is in both.
#[derive(Clone, Debug)]
pub struct MatrixSeries {
    pub labels: Labels,
    pub floats: Vec<Sample>,
    pub histograms: Vec<HistogramSample>,
}

#[derive(Clone, Debug)]
pub struct HistogramSample {
    pub t_ms: i64,
    pub h: Arc<FloatHistogram>,
}

/// What a query cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Samples looked at, once for each step that looks at them: Prometheus' `totalQueryableSamples`.
    pub total_samples: u64,
    /// Samples read from storage, of a window that slides only those that are new: Prometheus' `samplesRead`.
    pub samples_read: u64,
    /// Most samples held at once.
    pub peak_samples: u64,
    /// Most bytes held at once.
    pub peak_bytes: u64,
    /// Series that selectors found, counted for each selector.
    pub series: u64,
}

/// What each step of a query cost: the first and the second number of [`QueryStats`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepSamples {
    pub start_ms: i64,
    pub step_ms: i64,
    pub total: Vec<u64>,
    pub read: Vec<u64>,
}
