//! Whether a histogram that counts was reset between two samples.

use super::{Wide, bound, coarser, sparse};
use crate::{CounterReset, FloatHistogram, Span};
use std::collections::BTreeMap;

/// As [`falls_to`], but a hint that the sample carries decides.
pub fn detect_reset(now: &FloatHistogram, before: &FloatHistogram) -> bool {
    match now.reset {
        CounterReset::Reset => true,
        CounterReset::NotReset => false,
        _ => falls_to(before, now),
    }
}

/// Whether any count went down from `before` to `now`, or the layout tells the same.
fn falls_to(before: &FloatHistogram, now: &FloatHistogram) -> bool {
    if now.count < before.count {
        return true;
    }
    if now.has_custom_buckets() {
        if !before.has_custom_buckets() {
            return true;
        }
        if now.custom_values != before.custom_values {
            return custom_falls(before, now);
        }
    }
    if now.schema > before.schema || now.zero_threshold < before.zero_threshold {
        return true;
    }
    if !now.has_custom_buckets() && now.zero_threshold != before.zero_threshold {
        let (zero, threshold) = Wide::new(before).zero_bucket_for(now.zero_threshold);
        if threshold != now.zero_threshold || now.zero_count < zero {
            return true;
        }
    } else if now.zero_count < before.zero_count {
        return true;
    }
    side_falls(
        (&before.positive_spans, &before.positive, before.schema),
        (&now.positive_spans, &now.positive),
        now,
    ) || side_falls(
        (&before.negative_spans, &before.negative, before.schema),
        (&now.negative_spans, &now.negative),
        now,
    )
}

type Side<'a> = (&'a [Span], &'a [f64]);

fn side_falls(before: (&[Span], &[f64], i32), now: Side<'_>, layout: &FloatHistogram) -> bool {
    let (spans, counts, schema) = before;
    let current: BTreeMap<i32, f64> = sparse(now.0, now.1).collect();
    let mut merged: Vec<(i32, f64)> = Vec::new();
    for (index, count) in sparse(spans, counts) {
        let index = if schema == layout.schema { index } else { coarser(index, schema, layout.schema) };
        match merged.last_mut() {
            Some((last, sum)) if *last == index => *sum += count,
            _ => merged.push((index, count)),
        }
    }
    let in_zero = |index: i32| {
        !layout.has_custom_buckets()
            && layout.zero_threshold > 0.0
            && bound(index, layout.schema) <= layout.zero_threshold
    };
    merged.iter().skip_while(|(index, _)| in_zero(*index)).any(|(index, count)| match current.get(index) {
        Some(now) => now < count,
        None => *count != 0.0,
    })
}

/// With custom bounds that differ, what lies between the bounds that both have is compared.
fn custom_falls(before: &FloatHistogram, now: &FloatHistogram) -> bool {
    let shared = now.custom_values.iter().copied().filter(|b| before.custom_values.contains(b));
    let mut now_buckets = now.positive_buckets().peekable();
    let mut before_buckets = before.positive_buckets().peekable();
    shared.chain([f64::INFINITY]).any(|bound| {
        let mut rolled_up = 0.0;
        while let Some(bucket) = now_buckets.next_if(|b| b.upper <= bound) {
            rolled_up += bucket.count;
        }
        let mut rolled_up_before = 0.0;
        while let Some(bucket) = before_buckets.next_if(|b| b.upper <= bound) {
            rolled_up_before += bucket.count;
        }
        rolled_up < rolled_up_before
    })
}
