//! A sum of histograms while it is being added up.

use super::{Done, Incompatible, bound, coarser, has_overflow, sparse, to_spans};
use crate::kahan::Sum;
use crate::{CounterReset, FloatHistogram};

/// How one histogram goes into another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Add,
    Subtract,
    /// Adds with compensation of rounding errors.
    Compensated,
}

impl How {
    fn into(self, sum: &mut Sum, v: f64) {
        match self {
            How::Add => sum.value += v,
            How::Subtract => sum.value -= v,
            How::Compensated => sum.add(v),
        }
    }
}

type Buckets = Vec<(i32, Sum)>;

/// A sum in the making: each count has a compensation beside it, and spans are only made at the end.
#[derive(Clone, Debug)]
pub struct Wide {
    pub reset: CounterReset,
    schema: i32,
    zero_threshold: f64,
    zero: Sum,
    pub count: Sum,
    sum: Sum,
    positive: Buckets,
    negative: Buckets,
    custom_values: Vec<f64>,
}

impl Wide {
    pub fn new(h: &FloatHistogram) -> Self {
        let wide = |buckets: &mut dyn Iterator<Item = (i32, f64)>| -> Buckets {
            buckets.map(|(index, v)| (index, Sum::of(v))).collect()
        };
        Wide {
            reset: h.reset,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            zero: Sum::of(h.zero_count),
            count: Sum::of(h.count),
            sum: Sum::of(h.sum),
            positive: wide(&mut sparse(&h.positive_spans, &h.positive)),
            negative: wide(&mut sparse(&h.negative_spans, &h.negative)),
            custom_values: h.custom_values.clone(),
        }
    }

    fn is_custom(&self) -> bool {
        self.schema == crate::histogram::CUSTOM_BUCKETS_SCHEMA
    }

    /// # Errors
    /// Leaves this one as it is.
    pub fn add(&mut self, other: &FloatHistogram, how: How) -> Result<Done, Incompatible> {
        if self.is_custom() != other.has_custom_buckets() {
            return Err(Incompatible);
        }
        let mut done = Done { reset_collision: self.adjust_reset(other.reset), bounds_reconciled: false };
        let mut other = Wide::new(other);
        if !self.is_custom() {
            self.reconcile_zero(&mut other);
            how.into(&mut self.zero, other.zero.value);
            if how == How::Compensated {
                self.zero.add(other.zero.compensation);
            }
        }
        how.into(&mut self.count, other.count.value);
        how.into(&mut self.sum, other.sum.value);
        if self.is_custom() {
            if self.custom_values == other.custom_values {
                merge(&mut self.positive, &other.positive, how);
            } else {
                done.bounds_reconciled = true;
                self.add_other_bounds(&other, how);
            }
            return Ok(done);
        }
        let schema = self.schema.min(other.schema);
        self.reduce_to(schema);
        other.reduce_to(schema);
        let outside = |buckets: &Buckets| -> Buckets {
            buckets.iter().skip_while(|(i, _)| bound(*i, schema) <= self.zero_threshold).copied().collect()
        };
        let (positive, negative) = (outside(&other.positive), outside(&other.negative));
        merge(&mut self.positive, &positive, how);
        merge(&mut self.negative, &negative, how);
        Ok(done)
    }

    /// What the sum says about counter resets; whether the two contradicted each other.
    fn adjust_reset(&mut self, other: CounterReset) -> bool {
        use CounterReset::{Gauge, Unknown};
        match (self.reset, other) {
            (a, b) if a == b => {}
            (Gauge | Unknown, Gauge) => self.reset = Gauge,
            (Gauge | Unknown, _) => {}
            (_, Gauge) => self.reset = Gauge,
            (_, Unknown) => self.reset = Unknown,
            _ => {
                self.reset = Unknown;
                return true;
            }
        }
        false
    }

    /// Widens the narrower zero bucket until both are equally wide.
    fn reconcile_zero(&mut self, other: &mut Wide) {
        while other.zero_threshold != self.zero_threshold {
            if self.zero_threshold > other.zero_threshold {
                (other.zero, other.zero_threshold) = other.zero_for(self.zero_threshold);
            }
            if other.zero_threshold > self.zero_threshold {
                (self.zero, self.zero_threshold) = self.zero_for(other.zero_threshold);
                self.drop_within_zero();
            }
            if self.zero_threshold.is_nan() || other.zero_threshold.is_nan() {
                return;
            }
        }
    }

    /// The count of a zero bucket that reaches to `threshold`, or further where a bucket in use would be
    /// cut, and how far it reaches.
    fn zero_for(&self, mut threshold: f64) -> (Sum, f64) {
        'widen: loop {
            let mut zero = self.zero;
            for (side, negative) in [(&self.positive, false), (&self.negative, true)] {
                for (index, count) in side {
                    if bound(index.wrapping_sub(1), self.schema) >= threshold {
                        break;
                    }
                    zero.add(count.value);
                    zero.add(count.compensation);
                    let upper = bound(*index, self.schema);
                    if upper > threshold {
                        if count.value != 0.0 {
                            threshold = upper;
                            if negative {
                                continue 'widen;
                            }
                        }
                        break;
                    }
                }
            }
            return (zero, threshold);
        }
    }

    /// As [`zero_for`](Wide::zero_for), the count rounded.
    pub(super) fn zero_bucket_for(&self, threshold: f64) -> (f64, f64) {
        let (zero, threshold) = self.zero_for(threshold);
        (zero.value, threshold)
    }

    fn drop_within_zero(&mut self) {
        let (schema, threshold) = (self.schema, self.zero_threshold);
        let keep = |(index, count): &(i32, Sum)| {
            bound(index.wrapping_sub(1), schema) >= threshold && !count.is_zero()
        };
        self.positive.retain(keep);
        self.negative.retain(keep);
    }

    fn reduce_to(&mut self, schema: i32) {
        if schema >= self.schema {
            return;
        }
        for side in [&mut self.positive, &mut self.negative] {
            let mut reduced = Buckets::with_capacity(side.len());
            for (index, count) in side.iter() {
                let index = coarser(*index, self.schema, schema);
                match reduced.last_mut() {
                    Some((last, sum)) if *last == index => {
                        sum.add(count.value);
                        sum.add(count.compensation);
                    }
                    _ => reduced.push((index, *count)),
                }
            }
            *side = reduced;
        }
        self.schema = schema;
    }

    /// Adds custom buckets of other bounds: what both have stays.
    fn add_other_bounds(&mut self, other: &Wide, how: How) {
        let shared: Vec<f64> =
            self.custom_values.iter().copied().filter(|b| other.custom_values.contains(b)).collect();
        let mut target = vec![Sum::default(); shared.len() + 1];
        let place = |index: i32, bounds: &[f64]| match usize::try_from(index).ok().and_then(|i| bounds.get(i))
        {
            Some(bound) => shared.partition_point(|s| s < bound),
            None => shared.len(),
        };
        for (index, count) in &self.positive {
            let sum = &mut target[place(*index, &self.custom_values)];
            sum.add(count.value);
            sum.add(count.compensation);
        }
        for (index, count) in &other.positive {
            let sum = &mut target[place(*index, &other.custom_values)];
            sum.add(if how == How::Subtract { -count.value } else { count.value });
        }
        if how != How::Compensated {
            target.iter_mut().for_each(|s| s.compensation = 0.0);
        }
        let used = target.into_iter().enumerate().filter(|(_, s)| !s.is_zero());
        self.positive = used.map(|(i, s)| (i as i32, s)).collect();
        self.custom_values = shared;
    }

    /// Multiplies everything, compensations too.
    pub fn scale(&mut self, by: f64) {
        self.each(|sum| {
            sum.value *= by;
            sum.compensation *= by;
        });
    }

    pub fn divide(&mut self, by: f64) {
        self.each(|sum| {
            sum.value /= by;
            sum.compensation /= by;
        });
    }

    fn each(&mut self, f: impl Fn(&mut Sum)) {
        [&mut self.zero, &mut self.count, &mut self.sum].into_iter().for_each(&f);
        self.positive.iter_mut().chain(&mut self.negative).for_each(|(_, sum)| f(sum));
    }

    pub fn has_overflow(&self) -> bool {
        let bare = |buckets: &Buckets| buckets.iter().map(|(_, s)| s.value).collect();
        has_overflow(&FloatHistogram {
            zero_count: self.zero.value,
            count: self.count.value,
            sum: self.sum.value,
            positive: bare(&self.positive),
            negative: bare(&self.negative),
            ..FloatHistogram::default()
        })
    }

    /// With compensations added in.
    pub fn into_histogram(self) -> FloatHistogram {
        let total = |buckets: Buckets| to_spans(buckets.into_iter().map(|(i, s)| (i, s.total())));
        let (positive_spans, positive) = total(self.positive);
        let (negative_spans, negative) = total(self.negative);
        FloatHistogram {
            reset: self.reset,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero.total(),
            count: self.count.total(),
            sum: self.sum.total(),
            positive_spans,
            negative_spans,
            positive,
            negative,
            custom_values: self.custom_values,
        }
    }
}

fn merge(into: &mut Buckets, other: &Buckets, how: How) {
    let mut merged = Buckets::with_capacity(into.len() + other.len());
    let mut own = into.iter().copied().peekable();
    for (index, count) in other {
        while let Some(one) = own.next_if(|(i, _)| i < index) {
            merged.push(one);
        }
        let mut sum = own.next_if(|(i, _)| i == index).map_or(Sum::default(), |(_, sum)| sum);
        how.into(&mut sum, count.value);
        if how == How::Compensated && count.compensation != 0.0 {
            sum.add(count.compensation);
        }
        merged.push((*index, sum));
    }
    merged.extend(own);
    *into = merged;
}
