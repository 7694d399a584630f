//! Quantiles and fractions of classic histograms: buckets that are series, with their upper bound in `le`.

/// One bucket: all observations not above `upper`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    pub(crate) upper: f64,
    pub(crate) count: f64,
}

/// Relative differences of counts below this are taken for rounding errors.
const SMALL_DELTA: f64 = 1e-12;

/// Where counts went down with growing bounds and had to be raised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forced {
    pub(crate) min_bucket: f64,
    pub(crate) max_bucket: f64,
    pub(crate) max_diff: f64,
}

/// The value below which the share `q` of observations lies, evenly spread within a bucket.
///
/// `buckets` is not empty; it is put in order.
pub(crate) fn quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<Forced>) {
    match q {
        _ if q.is_nan() => return (f64::NAN, None),
        _ if q < 0.0 => return (f64::NEG_INFINITY, None),
        _ if q > 1.0 => return (f64::INFINITY, None),
        _ => {}
    }
    if !put_in_order(buckets) {
        return (f64::NAN, None);
    }
    let forced = make_monotonic(buckets);
    let last = buckets.len() - 1;
    if last < 1 || buckets[last].count == 0.0 {
        return (f64::NAN, forced);
    }
    let rank = q * buckets[last].count;
    let b = first_not_below(&buckets[..last], rank);
    let value = if b == last {
        buckets[last - 1].upper
    } else if b == 0 && buckets[0].upper <= 0.0 {
        buckets[0].upper
    } else {
        let (start, below) = if b > 0 { (buckets[b - 1].upper, buckets[b - 1].count) } else { (0.0, 0.0) };
        start + (buckets[b].upper - start) * ((rank - below) / (buckets[b].count - below))
    };
    (value, forced)
}

/// By Go's `sort.Search`: where counts are NaN, its way decides the result.
fn first_not_below(buckets: &[Bucket], rank: f64) -> usize {
    let (mut from, mut to) = (0, buckets.len());
    while from < to {
        let middle = usize::midpoint(from, to);
        if buckets[middle].count >= rank { to = middle } else { from = middle + 1 }
    }
    from
}

/// The share of observations in `(lower, upper]`.
///
/// `buckets` is not empty; it is put in order.
pub(crate) fn fraction((lower, upper): (f64, f64), buckets: &mut Vec<Bucket>) -> f64 {
    if !put_in_order(buckets) {
        return f64::NAN;
    }
    let count = buckets[buckets.len() - 1].count;
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    (rank_of(upper, buckets) - rank_of(lower, buckets)) / count
}

/// How many observations are below `v`.
fn rank_of(v: f64, buckets: &[Bucket]) -> f64 {
    let count = buckets[buckets.len() - 1].count;
    let mut start = if buckets[0].upper <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    let mut rank = 0.0;
    for b in buckets {
        let found = if start >= v {
            Some(rank)
        } else if b.upper > v {
            // Nothing can be even in a bucket without a lower end.
            let endless = start == f64::NEG_INFINITY;
            Some(if endless { b.count } else { rank + (b.count - rank) * (v - start) / (b.upper - start) })
        } else {
            None
        };
        if let Some(found) = found {
            return if found > count { count } else { found };
        }
        (rank, start) = (b.count, b.upper);
    }
    count
}

/// Sorts by bound and joins equal bounds. False if there is no bucket for all observations.
fn put_in_order(buckets: &mut Vec<Bucket>) -> bool {
    buckets.sort_by(|a, b| a.upper.partial_cmp(&b.upper).unwrap_or(std::cmp::Ordering::Equal));
    if buckets.last().is_none_or(|b| b.upper != f64::INFINITY) {
        return false;
    }
    buckets.dedup_by(|later, earlier| {
        let same = later.upper == earlier.upper;
        if same {
            earlier.count += later.count;
        }
        same
    });
    true
}

fn make_monotonic(buckets: &mut [Bucket]) -> Option<Forced> {
    let mut forced = None;
    let mut before = buckets[0].count;
    for b in &mut buckets[1..] {
        if b.count == before {
            continue;
        }
        if almost_equal(before, b.count) {
            b.count = before;
        } else if b.count < before {
            let Forced { min_bucket, max_bucket, max_diff } = *forced.get_or_insert(Forced {
                min_bucket: f64::INFINITY,
                max_bucket: f64::NEG_INFINITY,
                max_diff: 0.0,
            });
            forced = Some(Forced {
                min_bucket: min_bucket.min(b.upper),
                max_bucket: max_bucket.max(b.upper),
                max_diff: max_diff.max(before - b.count),
            });
            b.count = before;
        } else {
            before = b.count;
        }
    }
    forced
}

fn almost_equal(a: f64, b: f64) -> bool {
    crate::number::almost_equal(a, b, SMALL_DELTA)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(of: &[(f64, f64)]) -> Vec<Bucket> {
        of.iter().map(|(upper, count)| Bucket { upper: *upper, count: *count }).collect()
    }

    #[test]
    fn within_a_bucket() {
        let of = [(f64::INFINITY, 10.0), (1.0, 4.0), (2.0, 8.0)];
        assert_eq!(quantile(0.6, &mut buckets(&of)).0, 1.5);
        assert_eq!(quantile(0.99, &mut buckets(&of)).0, 2.0, "the highest bucket has no upper end");
        assert_eq!(fraction((1.0, 2.0), &mut buckets(&of)), 0.4);
    }

    #[test]
    fn counts_that_fall_are_raised_and_told() {
        let (_, forced) = quantile(0.5, &mut buckets(&[(1.0, 5.0), (2.0, 3.0), (f64::INFINITY, 6.0)]));
        assert_eq!(forced.map(|f| (f.min_bucket, f.max_diff)), Some((2.0, 2.0)));
    }

    #[test]
    fn no_bucket_for_all() {
        assert!(quantile(0.5, &mut buckets(&[(1.0, 5.0)])).0.is_nan());
        assert!(quantile(0.5, &mut buckets(&[(f64::INFINITY, 5.0)])).0.is_nan());
    }
}
