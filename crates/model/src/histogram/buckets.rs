//! Walking the buckets: from spans to indexes to bounds.

use super::{Count, Histogram, Span, bound};
use std::iter::FusedIterator;

/// A bucket with its bounds, lower ≤ upper, and which of them it includes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket<C> {
    pub lower: f64,
    pub upper: f64,
    pub lower_inclusive: bool,
    pub upper_inclusive: bool,
    pub count: C,
    /// Within its schema and side; 0 for the zero bucket.
    pub index: i32,
}

impl<C: Count> Histogram<C> {
    /// The buckets above zero, away from it.
    pub fn positive_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket<C>> {
        bucket_indexes(&self.positive_spans, self.positive.len())
            .zip(self.positive.iter())
            .map(|(index, &count)| self.bucket(index, count, true))
    }

    /// The buckets below zero, away from it.
    pub fn negative_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket<C>> {
        bucket_indexes(&self.negative_spans, self.negative.len())
            .zip(self.negative.iter())
            .map(|(index, &count)| self.bucket(index, count, false))
    }

    pub fn zero_bucket(&self) -> Bucket<C> {
        Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
            index: 0,
        }
    }

    /// All buckets from the lowest up, the zero bucket where it counts anything. A bucket that reaches into
    /// the zero bucket is cut off at the threshold.
    pub fn all_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket<C>> {
        let zero = (self.zero_count > C::default()).then(|| self.zero_bucket());
        let cut = |mut bucket: Bucket<C>| {
            if bucket.upper < 0.0 && bucket.upper > -self.zero_threshold {
                bucket.upper = -self.zero_threshold;
            } else if bucket.lower > 0.0 && bucket.lower < self.zero_threshold {
                bucket.lower = self.zero_threshold;
            }
            bucket
        };
        self.negative_buckets().rev().map(cut).chain(zero).chain(self.positive_buckets().map(cut))
    }

    fn bucket(&self, index: i32, count: C, positive: bool) -> Bucket<C> {
        let inner = bound(index.wrapping_sub(1), self.schema, &self.custom_values);
        let outer = bound(index, self.schema, &self.custom_values);
        let (lower, upper) = if positive { (inner, outer) } else { (-outer, -inner) };
        let (lower_inclusive, upper_inclusive) =
            if self.has_custom_buckets() { (index == 0, true) } else { (lower < 0.0, upper > 0.0) };
        Bucket { lower, upper, lower_inclusive, upper_inclusive, count, index }
    }
}

/// The indexes that `spans` name, at most `limit` of them. An index that no `i32` holds wraps; such spans are
/// refused where histograms come in.
pub fn bucket_indexes(spans: &[Span], limit: usize) -> BucketIndexes<'_> {
    let total: u64 = spans.iter().map(|s| u64::from(s.length)).sum();
    let len = total.min(limit as u64) as usize;
    // The back begins behind the last bucket that counts; find the span it is in.
    let (mut end, mut seen, mut back) = (0i64, 0u64, 0);
    let mut back_left = 0;
    for (i, span) in spans.iter().enumerate() {
        let taken = u64::from(span.length).min(len as u64 - seen);
        end += i64::from(span.offset) + taken as i64;
        seen += taken;
        (back, back_left) = (i, taken);
        if seen == len as u64 {
            break;
        }
    }
    BucketIndexes { spans, front: 0, front_used: 0, next: 0, started: false, back, back_left, end, len }
}

/// See [`bucket_indexes`].
#[derive(Clone)]
pub struct BucketIndexes<'a> {
    spans: &'a [Span],
    /// The span that the front is in, and how much of it was taken.
    front: usize,
    front_used: u32,
    next: i64,
    started: bool,
    /// The span that the back is in, and how much of it is left.
    back: usize,
    back_left: u64,
    /// One behind the bucket that the back yields next.
    end: i64,
    len: usize,
}

impl Iterator for BucketIndexes<'_> {
    type Item = i32;

    fn next(&mut self) -> Option<i32> {
        if self.len == 0 {
            return None;
        }
        if !self.started {
            self.started = true;
            self.next = i64::from(self.spans[0].offset);
        }
        while self.front_used >= self.spans[self.front].length {
            self.front += 1;
            self.front_used = 0;
            self.next += i64::from(self.spans[self.front].offset);
        }
        let index = self.next;
        self.next += 1;
        self.front_used += 1;
        self.len -= 1;
        Some(index as i32)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len, Some(self.len))
    }
}

impl DoubleEndedIterator for BucketIndexes<'_> {
    fn next_back(&mut self) -> Option<i32> {
        if self.len == 0 {
            return None;
        }
        while self.back_left == 0 {
            self.end -= i64::from(self.spans[self.back].offset);
            self.back -= 1;
            self.back_left = u64::from(self.spans[self.back].length);
        }
        self.end -= 1;
        self.back_left -= 1;
        self.len -= 1;
        Some(self.end as i32)
    }
}

impl ExactSizeIterator for BucketIndexes<'_> {}
impl FusedIterator for BucketIndexes<'_> {}

/// The longest runs of neighbouring indexes, as first index and length.
pub(super) fn runs(spans: &[Span]) -> impl Iterator<Item = (i64, u64)> {
    let mut spans = spans.iter();
    let mut at = 0i64;
    let mut open: Option<(i64, u64)> = None;
    std::iter::from_fn(move || {
        for span in spans.by_ref() {
            at += i64::from(span.offset);
            let (start, length) = (at, u64::from(span.length));
            at += length as i64;
            match &mut open {
                _ if length == 0 => {}
                Some((first, len)) if *first + *len as i64 == start => *len += length,
                _ => {
                    if let Some(run) = open.replace((start, length)) {
                        return Some(run);
                    }
                }
            }
        }
        open.take()
    })
}
