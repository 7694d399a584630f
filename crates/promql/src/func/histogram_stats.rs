//! Numbers that a native histogram tells.

use nilometer_model::FloatHistogram;
use nilometer_model::kahan::Sum;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stat {
    Count,
    Sum,
    Average,
    StandardDeviation,
    Variance,
}

impl Stat {
    pub(crate) fn by_name(name: &str) -> Option<Stat> {
        Some(match name {
            "histogram_count" => Stat::Count,
            "histogram_sum" => Stat::Sum,
            "histogram_avg" => Stat::Average,
            "histogram_stddev" => Stat::StandardDeviation,
            "histogram_stdvar" => Stat::Variance,
            _ => return None,
        })
    }

    pub(crate) fn of(self, h: &FloatHistogram) -> f64 {
        match self {
            Stat::Count => h.count,
            Stat::Sum => h.sum,
            Stat::Average => h.sum / h.count,
            Stat::StandardDeviation => variance(h).sqrt(),
            Stat::Variance => variance(h),
        }
    }
}

/// All observations of a bucket are taken to be at its middle: the geometric one for exponential buckets.
fn variance(h: &FloatHistogram) -> f64 {
    let mean = h.sum / h.count;
    let mut sum = Sum::default();
    for b in h.all_buckets().filter(|b| b.count != 0.0) {
        let middle = if h.has_custom_buckets() {
            (b.upper + b.lower) / 2.0
        } else if b.lower <= 0.0 && b.upper >= 0.0 {
            0.0
        } else {
            let geometric = (b.upper * b.lower).sqrt();
            if b.upper < 0.0 { -geometric } else { geometric }
        };
        let delta = middle - mean;
        sum.add(b.count * delta * delta);
    }
    sum.total() / h.count
}
