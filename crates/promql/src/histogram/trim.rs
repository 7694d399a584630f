//! Leaving out the observations above or below a value (`</`, `>/`).
//!
//! Within the bucket that the value cuts, observations are taken to be spread as for quantiles. The sum is
//! estimated from the middles of what is left. Source: `FloatHistogram.TrimBuckets` of Prometheus.

use super::compact;
use super::quantile::fraction_below;
use nilometer_model::FloatHistogram;
use nilometer_model::histogram::Bucket;

pub(crate) fn trim_above(h: &mut FloatHistogram, at: f64) {
    trim(h, at, true);
}

pub(crate) fn trim_below(h: &mut FloatHistogram, at: f64) {
    trim(h, at, false);
}

/// What is left so far.
#[derive(Default)]
struct Kept {
    count: f64,
    sum: f64,
    trimmed: bool,
}

fn trim(h: &mut FloatHistogram, at: f64, above: bool) {
    let custom = h.has_custom_buckets();
    let mut kept = Kept::default();
    let positive: Vec<Bucket<f64>> = h.positive_buckets().collect();
    let negative: Vec<Bucket<f64>> = h.negative_buckets().collect();
    let used = |buckets: &[Bucket<f64>]| buckets.iter().any(|b| b.count != 0.0);
    let sides = (used(&negative), used(&positive));
    for (bucket, count) in positive.iter().zip(&mut h.positive) {
        kept.take(bucket, count, (at, above), Shape { positive: true, linear: custom });
    }
    for (bucket, count) in negative.iter().zip(&mut h.negative) {
        kept.take(bucket, count, (at, above), Shape { positive: false, linear: custom });
    }
    if h.zero_count > 0.0 {
        let (count, middle) = trim_zero(&h.zero_bucket(), at, sides, above);
        kept.trimmed |= h.zero_count != count;
        h.zero_count = count;
        kept.sum += middle * count;
        kept.count += count;
    }
    if kept.trimmed {
        h.count = kept.count;
        h.sum = kept.sum;
        compact(h);
    }
}

#[derive(Clone, Copy)]
struct Shape {
    positive: bool,
    linear: bool,
}

impl Kept {
    fn take(&mut self, bucket: &Bucket<f64>, count: &mut f64, (at, above): (f64, bool), shape: Shape) {
        if bucket.count == 0.0 {
            return;
        }
        let whole = if above { bucket.upper <= at } else { bucket.lower >= at };
        let cut = if above { bucket.lower < at } else { bucket.upper > at };
        let (left, middle) = if whole {
            (bucket.count, middle(bucket.lower, bucket.upper, shape))
        } else if cut {
            cut_bucket(bucket, at, above, shape)
        } else {
            (0.0, 0.0)
        };
        if left != bucket.count || !(whole || cut) {
            self.trimmed = true;
        }
        *count = left;
        if whole || cut {
            self.count += left;
            self.sum += middle * left;
        }
    }
}

/// How many are left, and their middle.
fn cut_bucket(b: &Bucket<f64>, at: f64, above: bool, shape: Shape) -> (f64, f64) {
    if b.lower == f64::NEG_INFINITY || b.upper == f64::INFINITY {
        return cut_endless(b, at, above);
    }
    let below = if at <= b.lower {
        0.0
    } else if at >= b.upper {
        b.count
    } else {
        b.count * fraction_below(b, at, shape.linear)
    };
    if above { (below, middle(b.lower, at, shape)) } else { (b.count - below, middle(at, b.upper, shape)) }
}

/// A bucket without an end cannot be split evenly: it counts as ending at 0 where that makes sense, else as
/// lying at its other end.
fn cut_endless(b: &Bucket<f64>, at: f64, above: bool) -> (f64, f64) {
    let finite = |v: f64| if v.is_infinite() { 0.0 } else { v };
    if b.lower == f64::NEG_INFINITY {
        if above {
            return match () {
                () if at >= b.upper => (b.count, 0.0),
                () if at > 0.0 && b.upper > 0.0 && b.upper != f64::INFINITY => {
                    (b.count * at / b.upper, at / 2.0)
                }
                () if b.upper <= 0.0 => (b.count, at),
                () => (0.0, finite(b.upper)),
            };
        }
        return match () {
            () if at <= b.lower => (b.count, 0.0),
            () if at >= 0.0 && b.upper > at && b.upper != f64::INFINITY => {
                (b.count * (1.0 - at / b.upper), (at + b.upper) / 2.0)
            }
            () => (0.0, finite(b.upper)),
        };
    }
    if !above && at >= b.lower { (b.count, at) } else { (0.0, finite(b.lower)) }
}

/// The zero bucket reaches to 0 only on a side where there are no buckets.
fn trim_zero(
    zero: &Bucket<f64>,
    at: f64,
    (has_negative, has_positive): (bool, bool),
    above: bool,
) -> (f64, f64) {
    let upper = if has_negative && !has_positive { 0.0 } else { zero.upper };
    let lower = if has_positive && !has_negative { 0.0 } else { zero.lower };
    let whole = (zero.count, (lower + upper) / 2.0);
    let part = |from: f64, to: f64| (zero.count * ((to - from) / (upper - lower)), (from + to) / 2.0);
    match (at <= lower, at >= upper, above) {
        (true, _, true) | (false, true, false) => (0.0, 0.0),
        (true, _, false) | (false, true, true) => whole,
        (false, false, true) => part(lower, at),
        (false, false, false) => part(at, upper),
    }
}

fn middle(lower: f64, upper: f64, shape: Shape) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) if upper > 0.0 => upper / 2.0,
        (true, false) => upper,
        (false, true) => lower,
        _ if shape.linear => (lower + upper) / 2.0,
        _ => {
            let geometric = (lower * upper).abs().sqrt();
            if shape.positive { geometric } else { -geometric }
        }
    }
}
