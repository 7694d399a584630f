//! A histogram as text, as `count_values` makes a label of it.

use crate::number::shortest;
use nilometer_model::FloatHistogram;
use nilometer_model::histogram::Bucket;
use std::fmt::Write;

/// `{count:3, sum:4, (0.5,1]:3}`
pub(crate) fn describe(h: &FloatHistogram) -> String {
    let mut out = format!("{{count:{}, sum:{}", shortest(h.count), shortest(h.sum));
    let zero = (h.zero_count != 0.0 && !h.has_custom_buckets()).then(|| h.zero_bucket());
    let all = h.negative_buckets().rev().chain(zero).chain(h.positive_buckets());
    for bucket in all.filter(|b| b.count != 0.0) {
        let _ = write!(out, ", {}", interval(&bucket));
    }
    out.push('}');
    out
}

fn interval(b: &Bucket<f64>) -> String {
    let open = if b.lower_inclusive { '[' } else { '(' };
    let close = if b.upper_inclusive { ']' } else { ')' };
    format!("{open}{},{}{close}:{}", shortest(b.lower), shortest(b.upper), shortest(b.count))
}
