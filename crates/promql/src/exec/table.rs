//! Intermediate results: series with one column of values, a value for each step of the grid or none.
//!
//! A step without a value holds the stale marker. That is sound: selectors never pass a stale marker on,
//! and no arithmetic makes one, since it is a signalling NaN and the processor quiets every result. So a
//! column is plain `f64`s, without a bitmap beside it.

use nilometer_model::{Error, FloatHistogram, Labels, Result, STALE_NAN_BITS};
use std::collections::HashMap;
use std::sync::Arc;

/// "No value at this step."
pub(crate) const ABSENT: f64 = f64::from_bits(STALE_NAN_BITS);

#[inline(always)]
pub(crate) fn is_absent(v: f64) -> bool {
    v.to_bits() == STALE_NAN_BITS
}

/// One series of an intermediate result.
#[derive(Clone, Debug)]
pub(crate) struct StepSeries {
    pub(crate) labels: Labels,
    /// The metric name goes at the end of the query; set only where its removal is delayed.
    pub(crate) drop_name: bool,
    /// As long as the grid; [`ABSENT`] where there is no float.
    pub(crate) floats: Vec<f64>,
    /// Empty, or as long as the grid. A step has a float or a histogram, never both.
    pub(crate) histograms: Vec<Option<Arc<FloatHistogram>>>,
}

/// The value of one step.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'a> {
    None,
    Float(f64),
    Histogram(&'a Arc<FloatHistogram>),
}

impl StepSeries {
    pub(crate) fn new(labels: Labels, steps: usize) -> Self {
        StepSeries { labels, drop_name: false, floats: vec![ABSENT; steps], histograms: Vec::new() }
    }

    #[inline]
    pub(crate) fn cell(&self, step: usize) -> Cell<'_> {
        let v = self.floats[step];
        if !is_absent(v) {
            return Cell::Float(v);
        }
        match self.histograms.get(step) {
            Some(Some(h)) => Cell::Histogram(h),
            _ => Cell::None,
        }
    }

    #[inline]
    pub(crate) fn is_present(&self, step: usize) -> bool {
        !is_absent(self.floats[step]) || matches!(self.histograms.get(step), Some(Some(_)))
    }

    pub(crate) fn set_histogram(&mut self, step: usize, h: Arc<FloatHistogram>) {
        if self.histograms.is_empty() {
            self.histograms = vec![None; self.floats.len()];
        }
        self.floats[step] = ABSENT;
        self.histograms[step] = Some(h);
    }

    pub(crate) fn set(&mut self, step: usize, cell: Cell<'_>) {
        match cell {
            Cell::None => {}
            Cell::Float(v) => self.floats[step] = v,
            Cell::Histogram(h) => self.set_histogram(step, h.clone()),
        }
    }

    pub(crate) fn has_any(&self) -> bool {
        self.floats.iter().any(|v| !is_absent(*v)) || self.histograms.iter().any(Option::is_some)
    }

    /// How many samples Prometheus would count this series as: a histogram counts by its size.
    pub(crate) fn sample_count(&self) -> usize {
        let floats = self.floats.iter().filter(|v| !is_absent(**v)).count();
        floats + self.histograms.iter().flatten().map(|h| histogram_samples(h)).sum::<usize>()
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.floats.capacity() * 8
            + self.histograms.capacity() * 8
            + self.labels.as_bytes().len()
    }
}

/// What a histogram counts as in the limit on samples: its size in units of a float sample.
pub(crate) fn histogram_samples(h: &FloatHistogram) -> usize {
    let spans = h.positive_spans.len() + h.negative_spans.len();
    let words = spans + h.positive.len() + h.negative.len() + h.custom_values.len();
    (168 + words * 8 + 8) / 16
}

/// Labels without those that say what the metric is: the name, and the type and unit that may stand
/// beside it.
pub(crate) fn without_metadata(labels: &Labels) -> Labels {
    if labels.iter().any(|(name, _)| is_metadata(name)) {
        labels.filter(|n| !is_metadata(n))
    } else {
        labels.clone()
    }
}

/// What says which metric it is.
pub(crate) const METADATA: [&str; 3] = ["__name__", "__type__", "__unit__"];

pub(crate) fn is_metadata(name: &str) -> bool {
    METADATA.contains(&name)
}

/// The error of two series that became the same.
pub(crate) fn same_labels_error() -> Error {
    Error::invalid("vector cannot contain metrics with the same labelset")
}

/// Joins series with equal labels, which must have no step in common.
pub(crate) fn join_same_labels(series: Vec<StepSeries>) -> Result<Vec<StepSeries>> {
    if !has_same_labels(&series) {
        return Ok(series);
    }
    let mut found: HashMap<Labels, usize> = HashMap::with_capacity(series.len());
    let mut joined: Vec<StepSeries> = Vec::with_capacity(series.len());
    for one in series {
        if let Some(at) = found.get(&one.labels) {
            let into = &mut joined[*at];
            for step in 0..one.floats.len() {
                if !one.is_present(step) {
                    continue;
                }
                if into.is_present(step) {
                    return Err(same_labels_error());
                }
                into.set(step, one.cell(step));
            }
        } else {
            found.insert(one.labels.clone(), joined.len());
            joined.push(one);
        }
    }
    Ok(joined)
}

pub(crate) fn has_same_labels(series: &[StepSeries]) -> bool {
    if series.len() < 2 || series.windows(2).all(|pair| pair[0].labels < pair[1].labels) {
        return false;
    }
    let mut seen = std::collections::HashSet::with_capacity(series.len());
    !series.iter().all(|s| seen.insert(&s.labels))
}

/// A scalar for each step.
#[derive(Clone, Debug)]
pub(crate) enum Scalars {
    Same(f64),
    Each(Arc<[f64]>),
}

impl Scalars {
    #[inline]
    pub(crate) fn at(&self, step: usize) -> f64 {
        match self {
            Scalars::Same(v) => *v,
            Scalars::Each(all) => all[step],
        }
    }

    pub(crate) fn map2(&self, other: &Scalars, steps: usize, f: impl Fn(f64, f64) -> f64) -> Scalars {
        match (self, other) {
            (Scalars::Same(a), Scalars::Same(b)) => Scalars::Same(f(*a, *b)),
            _ => Scalars::Each((0..steps).map(|i| f(self.at(i), other.at(i))).collect()),
        }
    }
}
