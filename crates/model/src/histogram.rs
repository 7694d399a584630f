//! Native histograms, one type for integer and float counts.
//!
//! Buckets are **absolute** counts here, in both kinds; the deltas of the wire and of chunks exist only in
//! the codecs. Where a bucket lies follows from its index and the schema, see [`bound`]; which indexes there
//! are is told by spans, so that empty stretches cost nothing.
//!
//! Of what is computed with histograms only sums and differences are here ([`arithmetic`]); the rest is PromQL's.

pub mod arithmetic;
mod bounds;
mod buckets;
mod resolution;
mod validate;

pub use bounds::bound;
pub use buckets::{Bucket, bucket_indexes};

use crate::is_stale_nan;

/// A run of buckets: `offset` from the end of the run before (from bucket 0 for the first), `length` buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    pub offset: i32,
    pub length: u32,
}

/// Whether a histogram counts on from the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CounterReset {
    #[default]
    Unknown,
    Reset,
    NotReset,
    Gauge,
}

/// The type of a bucket's count.
pub trait Count:
    Copy + PartialEq + PartialOrd + Default + std::fmt::Debug + std::fmt::Display + Send + Sync + 'static
{
    fn to_f64(self) -> f64;

    /// Bits that are equal exactly where the counts are the same data.
    fn bits(self) -> u64;

    /// The sum, wrapping for integers: whoever minds has validated before.
    #[must_use]
    fn plus(self, other: Self) -> Self;

    /// What is wrong with `histogram`'s counts, its layout being right.
    fn check_counts(histogram: &Histogram<Self>) -> Result<(), String>;
}

/// A histogram with exponential buckets, or with custom ones where `schema` is [`CUSTOM_BUCKETS_SCHEMA`].
#[derive(Clone, Debug, Default)]
pub struct Histogram<C> {
    pub reset: CounterReset,
    pub schema: i32,
    pub zero_threshold: f64,
    pub zero_count: C,
    pub count: C,
    /// The stale NaN here marks the whole sample as stale.
    pub sum: f64,
    pub positive_spans: Vec<Span>,
    pub negative_spans: Vec<Span>,
    /// Absolute counts, as many as the spans' lengths add up to.
    pub positive: Vec<C>,
    pub negative: Vec<C>,
    /// Upper bounds of custom buckets, ascending, without +Inf.
    pub custom_values: Vec<f64>,
}

pub type IntHistogram = Histogram<u64>;
pub type FloatHistogram = Histogram<f64>;

/// Buckets between the bounds in `custom_values`, as classic histograms have them.
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;
/// Exponential schemas that may be stored: 2^(2^-schema) lies between two bounds.
pub const EXPONENTIAL_SCHEMAS: std::ops::RangeInclusive<i32> = -4..=8;
/// Exponential schemas that may be met; those above 8 are to be [reduced](Histogram::reduce_to) to it.
pub const RESERVED_SCHEMAS: std::ops::RangeInclusive<i32> = -9..=52;

impl<C: Count> Histogram<C> {
    /// The sample that marks the end of a series of histograms.
    pub fn stale() -> Self {
        Histogram { sum: f64::from_bits(crate::STALE_NAN_BITS), ..Histogram::default() }
    }

    pub fn is_stale(&self) -> bool {
        is_stale_nan(self.sum)
    }

    pub fn has_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// Whether both are the same data: counts, sum and bounds by their bits, the buckets by their indexes,
    /// however the spans are cut. The counter reset hint is no data, it depends on the neighbours.
    pub fn same_bits(&self, other: &Self) -> bool {
        let same = |a: &[C], b: &[C]| a.iter().map(|c| c.bits()).eq(b.iter().map(|c| c.bits()));
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        self.schema == other.schema
            && self.count.bits() == other.count.bits()
            && self.sum.to_bits() == other.sum.to_bits()
            && self.zero_threshold.to_bits() == other.zero_threshold.to_bits()
            && self.zero_count.bits() == other.zero_count.bits()
            && same(&self.positive, &other.positive)
            && same(&self.negative, &other.negative)
            && same_layout(&self.positive_spans, &other.positive_spans)
            && same_layout(&self.negative_spans, &other.negative_spans)
            && bits(&self.custom_values) == bits(&other.custom_values)
    }

    /// Whether both tell the same of what was observed: as [`Self::same_bits`], but a bucket that is there and
    /// empty is as one that is not there, and of two stale markers nothing else counts. A histogram stays the
    /// same through a chunk in this sense, where its neighbours may give it empty buckets.
    pub fn same_meaning(&self, other: &Self) -> bool {
        if self.is_stale() || other.is_stale() {
            return self.is_stale() && other.is_stale();
        }
        // A bound of −0 is one of 0.
        let same_bound = |(a, b): (&f64, &f64)| a == b || a.to_bits() == b.to_bits();
        self.schema == other.schema
            && self.count.bits() == other.count.bits()
            && self.sum.to_bits() == other.sum.to_bits()
            && same_bound((&self.zero_threshold, &other.zero_threshold))
            && self.zero_count.bits() == other.zero_count.bits()
            && self.custom_values.len() == other.custom_values.len()
            && self.custom_values.iter().zip(&other.custom_values).all(same_bound)
            && filled(&self.positive_spans, &self.positive).eq(filled(&other.positive_spans, &other.positive))
            && filled(&self.negative_spans, &self.negative).eq(filled(&other.negative_spans, &other.negative))
    }

    /// With float counts; exact up to 2^53, rounded as `as` does above.
    pub fn to_float(&self) -> FloatHistogram {
        Histogram {
            reset: self.reset,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count.to_f64(),
            count: self.count.to_f64(),
            sum: self.sum,
            positive_spans: self.positive_spans.clone(),
            negative_spans: self.negative_spans.clone(),
            positive: self.positive.iter().map(|c| c.to_f64()).collect(),
            negative: self.negative.iter().map(|c| c.to_f64()).collect(),
            custom_values: self.custom_values.clone(),
        }
    }
}

/// Whether the spans name the same indexes, compared run by run so that a long span costs nothing.
fn same_layout(a: &[Span], b: &[Span]) -> bool {
    a == b || buckets::runs(a).eq(buckets::runs(b))
}

/// The indexes of the buckets that are not empty, each with the bits of its count.
fn filled<C: Count>(spans: &[Span], counts: &[C]) -> impl Iterator<Item = (i32, u64)> {
    let indexed = bucket_indexes(spans, counts.len()).zip(counts);
    indexed.filter(|(_, count)| **count != C::default()).map(|(index, count)| (index, count.bits()))
}

/// Absolute counts from the deltas that integer histograms have on the wire. `None`: a count is negative or
/// too large.
pub fn from_deltas(deltas: &[i64]) -> Option<Vec<u64>> {
    let mut last = 0i64;
    deltas
        .iter()
        .map(|&delta| {
            last = last.checked_add(delta)?;
            u64::try_from(last).ok()
        })
        .collect()
}

/// The inverse of [`from_deltas`]; of counts beyond 2^63 − 1 it is the inverse modulo 2^64.
pub fn to_deltas(counts: &[u64]) -> impl Iterator<Item = i64> {
    let mut last = 0u64;
    counts.iter().map(move |&count| {
        let delta = count.wrapping_sub(last) as i64;
        last = count;
        delta
    })
}

#[cfg(test)]
mod tests;
