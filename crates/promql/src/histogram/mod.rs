//! Arithmetic on native histograms, as Prometheus does it on float histograms.
//!
//! Sums go through [`Wide`], where buckets are a sorted list with a compensation beside each count; spans
//! are only made at the end.

pub(crate) mod quantile;
mod reset;
mod text;
mod trim;
mod wide;

pub(crate) use reset::detect_reset;
pub(crate) use text::describe;
pub(crate) use trim::{trim_above, trim_below};
pub(crate) use wide::{How, Wide};

use nilometer_model::histogram::bucket_indexes;
use nilometer_model::{CounterReset, FloatHistogram, Span};

/// One has exponential buckets, the other custom ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Incompatible;

/// What is worth a note about a sum.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    /// One said that its counter was reset, the other that it was not.
    pub(crate) reset_collision: bool,
    /// Custom bounds differed; those that both had are left.
    pub(crate) bounds_reconciled: bool,
}

pub(crate) fn add(h: &mut FloatHistogram, other: &FloatHistogram) -> Result<Done, Incompatible> {
    combine(h, other, How::Add)
}

pub(crate) fn subtract(h: &mut FloatHistogram, other: &FloatHistogram) -> Result<Done, Incompatible> {
    combine(h, other, How::Subtract)
}

fn combine(h: &mut FloatHistogram, other: &FloatHistogram, how: How) -> Result<Done, Incompatible> {
    let mut wide = Wide::new(h);
    let done = wide.add(other, how)?;
    *h = wide.into_histogram();
    Ok(done)
}

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

/// Whether a count or the sum became infinite.
pub(crate) fn has_overflow(h: &FloatHistogram) -> bool {
    let counts = h.positive.iter().chain(&h.negative).chain(&h.custom_values);
    [h.zero_count, h.count, h.sum].iter().chain(counts).any(|v| v.is_infinite())
}

/// Buckets as index and count.
pub(crate) fn sparse<'a>(spans: &'a [Span], counts: &'a [f64]) -> impl Iterator<Item = (i32, f64)> + 'a {
    bucket_indexes(spans, counts.len()).zip(counts.iter().copied())
}

/// The opposite of [`sparse`]; indexes ascend.
fn to_spans(buckets: impl Iterator<Item = (i32, f64)>) -> (Vec<Span>, Vec<f64>) {
    let (mut spans, mut counts) = (Vec::<Span>::new(), Vec::new());
    let mut next = 0i64;
    for (index, count) in buckets {
        match spans.last_mut() {
            Some(span) if i64::from(index) == next => span.length += 1,
            _ => spans.push(Span { offset: (i64::from(index) - next) as i32, length: 1 }),
        }
        next = i64::from(index) + 1;
        counts.push(count);
    }
    (spans, counts)
}

/// Upper bound, away from zero, of an exponential bucket.
fn bound(index: i32, schema: i32) -> f64 {
    nilometer_model::histogram::bound(index, schema, &[])
}

/// Where bucket `index` of one schema falls in a coarser one.
fn coarser(index: i32, from: i32, to: i32) -> i32 {
    let shift = from.saturating_sub(to).clamp(0, 62);
    (((i64::from(index) - 1) >> shift) + 1) as i32
}
