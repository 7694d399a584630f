//! What PromQL computes with native histograms, as Prometheus does on float histograms. Sums are the model's.

pub(crate) mod quantile;
mod text;
mod trim;

pub(crate) use nilometer_model::histogram::arithmetic::{
    Done, How, Incompatible, Wide, add, detect_reset, sparse, subtract,
};
pub(crate) use text::describe;
pub(crate) use trim::{trim_above, trim_below};

use nilometer_model::histogram::arithmetic::to_spans;
use nilometer_model::{CounterReset, FloatHistogram};

/// Multiplies all counts and the sum. What is turned around is no counter any more.
pub(crate) fn scale(h: &mut FloatHistogram, by: f64) {
    each_count(h, |v| *v *= by);
    if by < 0.0 {
        h.reset = CounterReset::Gauge;
    }
}

/// Divides all counts and the sum. Division by zero leaves no buckets.
pub(crate) fn divide(h: &mut FloatHistogram, by: f64) {
    if by == 0.0 {
        h.positive.clear();
        h.negative.clear();
        h.positive_spans.clear();
        h.negative_spans.clear();
    }
    each_count(h, |v| *v /= by);
    if by < 0.0 {
        h.reset = CounterReset::Gauge;
    }
}

pub(crate) fn scale_compact(h: &mut FloatHistogram, by: f64) {
    scale(h, by);
    compact(h);
}

pub(crate) fn divide_compact(h: &mut FloatHistogram, by: f64) {
    divide(h, by);
    compact(h);
}

fn each_count(h: &mut FloatHistogram, f: impl Fn(&mut f64)) {
    f(&mut h.zero_count);
    f(&mut h.count);
    f(&mut h.sum);
    h.positive.iter_mut().chain(&mut h.negative).for_each(f);
}

/// Leaves out empty buckets.
pub(crate) fn compact(h: &mut FloatHistogram) {
    let full = |(_, v): &(i32, f64)| *v != 0.0;
    (h.positive_spans, h.positive) = to_spans(sparse(&h.positive_spans, &h.positive).filter(full));
    (h.negative_spans, h.negative) = to_spans(sparse(&h.negative_spans, &h.negative).filter(full));
}

pub(crate) fn equal(a: &FloatHistogram, b: &FloatHistogram) -> bool {
    a.same_bits(b)
}
