//! Quantiles and fractions of native histograms.
//!
//! Within a bucket, observations are taken to be spread evenly for custom buckets and the zero bucket, and
//! evenly on a logarithmic scale for exponential ones.

use crate::annotations::Note;
use nilometer_model::FloatHistogram;
use nilometer_model::histogram::Bucket;

/// The value below which the share `q` of observations lies, and what to note.
pub(crate) fn quantile<'a>(q: f64, h: &FloatHistogram, name: &'a str) -> (f64, Option<Note<'a>>) {
    match q {
        _ if q < 0.0 => return (f64::NEG_INFINITY, None),
        _ if q > 1.0 => return (f64::INFINITY, None),
        _ if q.is_nan() || h.count == 0.0 => return (f64::NAN, None),
        _ => {}
    }
    // NaN observations are counted, but are in no bucket: they are taken as larger than all, so that such a
    // histogram has to be walked from below.
    let forward = h.sum.is_nan() || q < 0.5;
    let mut buckets: Box<dyn Iterator<Item = Bucket<f64>>> =
        if forward { Box::new(h.all_buckets()) } else { Box::new(h.all_buckets().rev()) };
    let mut rank = if forward { q * h.count } else { (1.0 - q) * h.count };
    let (mut count, mut bucket) = (0.0, NO_BUCKET);
    for next in buckets.by_ref() {
        bucket = next;
        if bucket.count == 0.0 {
            continue;
        }
        count += bucket.count;
        if count >= rank {
            break;
        }
    }
    if h.has_custom_buckets() {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return (bucket.upper, None);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return (bucket.lower, None);
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        narrow_zero(&mut bucket, h);
    }
    count = count.min(h.count);
    if count < rank {
        return if h.sum.is_nan() {
            (f64::NAN, Some(Note::QuantileOfNan { name }))
        } else {
            (bucket.upper, None)
        };
    }
    rank = if forward { rank - (count - bucket.count) } else { count - rank };
    let mut note = None;
    if h.sum.is_nan() {
        // Prometheus goes on with the last bucket here.
        for next in buckets {
            bucket = next;
            count += bucket.count;
        }
        if count < h.count {
            note = Some(Note::QuantileSkewedByNan { name });
        }
    }
    (within(&bucket, rank / bucket.count, h.has_custom_buckets()), note)
}

const NO_BUCKET: Bucket<f64> =
    Bucket { lower: 0.0, upper: 0.0, lower_inclusive: false, upper_inclusive: false, count: 0.0, index: 0 };

/// With buckets on one side only, the zero bucket holds nothing of the other side.
fn narrow_zero(bucket: &mut Bucket<f64>, h: &FloatHistogram) {
    if h.negative.is_empty() && !h.positive.is_empty() {
        bucket.lower = 0.0;
    } else if h.positive.is_empty() && !h.negative.is_empty() {
        bucket.upper = 0.0;
    }
}

/// The value at `fraction` of the way through a bucket.
fn within(b: &Bucket<f64>, fraction: f64, linear: bool) -> f64 {
    if linear || b.lower <= 0.0 && b.upper >= 0.0 {
        return b.lower + (b.upper - b.lower) * fraction;
    }
    let (lower, upper) = (b.lower.abs().log2(), b.upper.abs().log2());
    if b.lower > 0.0 {
        (lower + (upper - lower) * fraction).exp2()
    } else {
        -(upper + (lower - upper) * (1.0 - fraction)).exp2()
    }
}

/// The share of a bucket's observations that is below `v`, which lies in it.
pub(crate) fn fraction_below(b: &Bucket<f64>, v: f64, linear: bool) -> f64 {
    if linear {
        return (v - b.lower) / (b.upper - b.lower);
    }
    let (lower, upper, v_log) = (b.lower.abs().log2(), b.upper.abs().log2(), v.abs().log2());
    if v > 0.0 { (v_log - lower) / (upper - lower) } else { 1.0 - (v_log - upper) / (lower - upper) }
}

/// The share of observations between `lower` and `upper`, and what to note.
pub(crate) fn fraction<'a>(
    (lower, upper): (f64, f64),
    h: &FloatHistogram,
    name: &'a str,
) -> (f64, Option<Note<'a>>) {
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, None);
    }
    if lower >= upper {
        return (0.0, None);
    }
    let (mut count, mut rank) = (0.0, 0.0);
    let (mut lower_rank, mut upper_rank) = (None, None);
    let mut buckets = h.all_buckets();
    for mut b in buckets.by_ref() {
        count += b.count;
        let zero = b.lower <= 0.0 && b.upper >= 0.0;
        if zero {
            narrow_zero(&mut b, h);
        }
        let linear = zero || h.has_custom_buckets();
        let rank_at = |v: f64| {
            if b.lower >= v {
                Some(rank)
            } else if b.upper > v {
                // No evenness in a bucket without a lower end: all of it counts as below.
                let below = if linear && b.lower == f64::NEG_INFINITY {
                    b.count
                } else {
                    rank + b.count * fraction_below(&b, v, linear)
                };
                Some(below)
            } else {
                None
            }
        };
        lower_rank = lower_rank.or_else(|| rank_at(lower));
        upper_rank = upper_rank.or_else(|| rank_at(upper));
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        rank += b.count;
    }
    let mut note = None;
    if h.sum.is_nan() {
        count += buckets.map(|b| b.count).sum::<f64>();
        if count < h.count {
            note = Some(Note::FractionWithoutNan { name });
        }
    } else {
        count = h.count;
    }
    let cap = |rank: Option<f64>| match rank {
        Some(rank) if rank > count => count,
        rank => rank.unwrap_or(count),
    };
    ((cap(upper_rank) - cap(lower_rank)) / h.count, note)
}
