//! What a histogram must be to be stored: Prometheus' rules on append.

use super::{CUSTOM_BUCKETS_SCHEMA, Count, EXPONENTIAL_SCHEMAS, Histogram, Span};
use crate::{Error, Result};

impl<C: Count> Histogram<C> {
    /// Fails with the first rule that is broken.
    ///
    /// Schemas above 8 are refused here; a reader that wants to be lenient [reduces](Histogram::reduce_to)
    /// first. A stale marker is a histogram too, and its other fields are empty.
    pub fn validate(&self) -> Result<()> {
        self.check().map_err(|what| Error::invalid(format!("histogram: {what}")))
    }

    fn check(&self) -> Result<(), String> {
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            self.check_custom().map_err(|what| format!("custom buckets: {what}"))?;
        } else if EXPONENTIAL_SCHEMAS.contains(&self.schema) {
            check_spans(&self.positive_spans, self.positive.len())
                .map_err(|w| format!("positive side: {w}"))?;
            check_spans(&self.negative_spans, self.negative.len())
                .map_err(|w| format!("negative side: {w}"))?;
            if !self.custom_values.is_empty() {
                return Err(format!("schema {} is exponential and must not have custom bounds", self.schema));
            }
        } else {
            return Err(format!(
                "schema {} is not supported: it must be from {} to {}, or {CUSTOM_BUCKETS_SCHEMA} for custom buckets",
                self.schema,
                EXPONENTIAL_SCHEMAS.start(),
                EXPONENTIAL_SCHEMAS.end(),
            ));
        }
        C::check_counts(self)
    }

    fn check_custom(&self) -> Result<(), String> {
        let bounds = &self.custom_values;
        for (i, &bound) in bounds.iter().enumerate() {
            if bound.is_nan() {
                return Err(format!("bound {} is NaN", i + 1));
            }
            if i > 0 && bound <= bounds[i - 1] {
                return Err(format!("bounds must ascend, but {bound} follows {}", bounds[i - 1]));
            }
        }
        if bounds.last() == Some(&f64::INFINITY) {
            return Err("the last bucket's bound is +Inf always and must not be given".into());
        }
        if let Some(n) = self.positive_spans.iter().position(|s| s.offset < 0) {
            return Err(format!("span {} has the negative offset {}", n + 1, self.positive_spans[n].offset));
        }
        check_spans(&self.positive_spans, self.positive.len())?;
        let reach: i64 = self.positive_spans.iter().map(|s| i64::from(s.offset) + i64::from(s.length)).sum();
        if bounds.len() as i64 + 1 < reach {
            return Err(format!("{} bounds are too few for spans that reach bucket {reach}", bounds.len()));
        }
        if self.zero_count != C::default() {
            return Err(format!("the zero count must be 0, but is {}", self.zero_count));
        }
        if self.zero_threshold != 0.0 {
            return Err(format!("the zero threshold must be 0, but is {}", self.zero_threshold));
        }
        if !self.negative_spans.is_empty() || !self.negative.is_empty() {
            return Err("there must be no negative buckets".into());
        }
        Ok(())
    }
}

/// Prometheus' rules, and one more: every index fits an `i32`, where its arithmetic would wrap.
pub(super) fn check_spans(spans: &[Span], buckets: usize) -> Result<(), String> {
    let (mut named, mut end) = (0u64, 0i64);
    for (n, span) in spans.iter().enumerate() {
        if n > 0 && span.offset < 0 {
            return Err(format!("span {} has the negative offset {}", n + 1, span.offset));
        }
        named += u64::from(span.length);
        end += i64::from(span.offset) + i64::from(span.length);
    }
    if named != buckets as u64 {
        return Err(format!("the spans name {named} buckets, but there are {buckets}"));
    }
    if end > i64::from(i32::MAX) {
        return Err(format!("the spans reach bucket {end}, which is beyond {}", i32::MAX));
    }
    Ok(())
}

impl Count for u64 {
    fn to_f64(self) -> f64 {
        self as f64
    }

    fn bits(self) -> u64 {
        self
    }

    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }

    /// All observations are in buckets, but for NaNs, which make the sum NaN.
    fn check_counts(histogram: &Histogram<u64>) -> Result<(), String> {
        let mut in_buckets = histogram.zero_count;
        let sides = [("negative", &histogram.negative), ("positive", &histogram.positive)];
        for (side, counts) in sides {
            for (n, &count) in counts.iter().enumerate() {
                // On the wire and in chunks a bucket is a difference of signed integers.
                if count > i64::MAX as u64 {
                    return Err(format!(
                        "{side} side: bucket {} counts {count}, which cannot be stored",
                        n + 1
                    ));
                }
                in_buckets = in_buckets
                    .checked_add(count)
                    .ok_or_else(|| format!("{side} side: the counts of all buckets together overflow"))?;
            }
        }
        let count = histogram.count;
        if in_buckets > count || (in_buckets < count && !histogram.sum.is_nan()) {
            let rule = if histogram.sum.is_nan() { "at least" } else { "exactly" };
            return Err(format!("the count is {count}, but must be {rule} the {in_buckets} of all buckets"));
        }
        Ok(())
    }
}

impl Count for f64 {
    fn to_f64(self) -> f64 {
        self
    }

    fn bits(self) -> u64 {
        self.to_bits()
    }

    fn plus(self, other: Self) -> Self {
        self + other
    }

    /// Sums of floats need not meet the count exactly, so only the signs are checked; NaN passes, as in
    /// Prometheus.
    fn check_counts(histogram: &Histogram<f64>) -> Result<(), String> {
        if histogram.zero_count < 0.0 {
            return Err(format!("the zero bucket has the negative count {}", histogram.zero_count));
        }
        if histogram.count < 0.0 {
            return Err(format!("the count {} is negative", histogram.count));
        }
        let sides = [("negative", &histogram.negative), ("positive", &histogram.positive)];
        for (side, counts) in sides {
            if let Some(n) = counts.iter().position(|&c| c < 0.0) {
                return Err(format!("{side} side: bucket {} has the negative count {}", n + 1, counts[n]));
            }
        }
        Ok(())
    }
}
