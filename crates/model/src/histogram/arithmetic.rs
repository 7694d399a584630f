//! Sums and differences of native histograms, as Prometheus has them for float histograms.
//!
//! They go through [`Wide`], where buckets are a sorted list with a compensation beside each count; spans are only
//! made at the end.

mod reset;
mod wide;

pub use reset::detect_reset;
pub use wide::{How, Wide};

use super::bucket_indexes;
use crate::{FloatHistogram, Span};

/// One has exponential buckets, the other custom ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incompatible;

/// What is worth a note about a sum.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// One said that its counter was reset, the other that it was not.
    pub reset_collision: bool,
    /// Custom bounds differed; those that both had are left.
    pub bounds_reconciled: bool,
}

pub fn add(h: &mut FloatHistogram, other: &FloatHistogram) -> Result<Done, Incompatible> {
    combine(h, other, How::Add)
}

pub fn subtract(h: &mut FloatHistogram, other: &FloatHistogram) -> Result<Done, Incompatible> {
    combine(h, other, How::Subtract)
}

fn combine(h: &mut FloatHistogram, other: &FloatHistogram, how: How) -> Result<Done, Incompatible> {
    let mut wide = Wide::new(h);
    let done = wide.add(other, how)?;
    *h = wide.into_histogram();
    Ok(done)
}

/// Whether a count or the sum became infinite.
pub fn has_overflow(h: &FloatHistogram) -> bool {
    let counts = h.positive.iter().chain(&h.negative).chain(&h.custom_values);
    [h.zero_count, h.count, h.sum].iter().chain(counts).any(|v| v.is_infinite())
}

/// Buckets as index and count.
pub fn sparse<'a>(spans: &'a [Span], counts: &'a [f64]) -> impl Iterator<Item = (i32, f64)> + 'a {
    bucket_indexes(spans, counts.len()).zip(counts.iter().copied())
}

/// The opposite of [`sparse`]; indexes ascend.
pub fn to_spans(buckets: impl Iterator<Item = (i32, f64)>) -> (Vec<Span>, Vec<f64>) {
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
    super::bound(index, schema, &[])
}

/// Where bucket `index` of one schema falls in a coarser one.
fn coarser(index: i32, from: i32, to: i32) -> i32 {
    let shift = from.saturating_sub(to).clamp(0, 62);
    (((i64::from(index) - 1) >> shift) + 1) as i32
}
