//! What all histograms of a chunk share: schema, zero threshold, which buckets there are.
//!
//! ```text
//! ┌────────────────┬─────────────────┬────────────────┬────────────────┬──────────────────────────┐
//! │ zero threshold │ schema <varbit> │ positive spans │ negative spans │ bounds, if schema is −53 │
//! └────────────────┴─────────────────┴────────────────┴────────────────┴──────────────────────────┘
//! threshold: byte 0 for 0; byte e from 1 to 254 for 2^(e − 244); byte 255 and 64 bits for all others
//! spans:     number <varbit unsigned>, then for each: length <varbit unsigned>, offset <varbit>
//! bounds:    number <varbit unsigned>, then for each:
//!            1000 times it, plus 1 <varbit unsigned>, where that is a whole number up to 33554431;
//!            0 and 64 bits for all others
//! ```

use crate::bits::{BitReader, BitWriter};
use crate::varbit;
use nilometer_model::histogram::CUSTOM_BUCKETS_SCHEMA;
use nilometer_model::{Count, Histogram, Span};

#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) positive: Vec<Span>,
    pub(super) negative: Vec<Span>,
    pub(super) custom_values: Vec<f64>,
}

impl Layout {
    pub(super) fn of<C: Count>(histogram: &Histogram<C>) -> Self {
        Layout {
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            positive: histogram.positive_spans.clone(),
            negative: histogram.negative_spans.clone(),
            custom_values: histogram.custom_values.clone(),
        }
    }

    pub(super) fn write(&self, out: &mut BitWriter<'_>) {
        put_threshold(out, self.zero_threshold);
        varbit::put_int(out, self.schema.into());
        for spans in [&self.positive, &self.negative] {
            varbit::put_uint(out, spans.len() as u64);
            for span in spans {
                varbit::put_uint(out, span.length.into());
                varbit::put_int(out, span.offset.into());
            }
        }
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            varbit::put_uint(out, self.custom_values.len() as u64);
            for &bound in &self.custom_values {
                put_bound(out, bound);
            }
        }
    }

    /// `None`: it is none. What it says of numbers is bounded by the bits that are left, `bucket_bits` for
    /// each bucket.
    pub(super) fn read(from: &mut BitReader<'_>, bucket_bits: usize) -> Option<Self> {
        let zero_threshold = take_threshold(from);
        let schema = i32::try_from(varbit::take_int(from)).ok()?;
        let positive = take_spans(from)?;
        let negative = take_spans(from)?;
        let mut custom_values = Vec::new();
        if schema == CUSTOM_BUCKETS_SCHEMA {
            let n = varbit::take_uint(from);
            let n = fitting(from, n, 1)?;
            custom_values.extend((0..n).map(|_| take_bound(from)));
        }
        let buckets: u64 = positive.iter().chain(&negative).map(|s| u64::from(s.length)).sum();
        fitting(from, buckets, bucket_bits)?;
        Some(Layout { schema, zero_threshold, positive, negative, custom_values })
    }
}

/// How many buckets the spans name; of a layout that was read, or a histogram that was validated.
pub(super) fn buckets(spans: &[Span]) -> usize {
    spans.iter().map(|s| s.length as usize).sum()
}

/// `n` where that many things of at least `bits` can follow.
fn fitting(from: &BitReader<'_>, n: u64, bits: usize) -> Option<usize> {
    let n = usize::try_from(n).ok()?;
    (n.checked_mul(bits)? <= from.left()).then_some(n)
}

fn take_spans(from: &mut BitReader<'_>) -> Option<Vec<Span>> {
    let n = varbit::take_uint(from);
    let n = fitting(from, n, 2)?;
    (0..n)
        .map(|_| {
            let length = u32::try_from(varbit::take_uint(from)).ok()?;
            let offset = i32::try_from(varbit::take_int(from)).ok()?;
            Some(Span { offset, length })
        })
        .collect()
}

/// What the one-byte form adds to the exponent, less the bias of a float's own.
const THRESHOLD_BIAS: u64 = 1023 - 244;

fn put_threshold(out: &mut BitWriter<'_>, threshold: f64) {
    let bits = threshold.to_bits();
    // Sign and exponent; of a power of two all else is 0.
    let exponent = bits >> 52;
    let short = exponent.wrapping_sub(THRESHOLD_BIAS);
    if threshold == 0.0 {
        out.put(0, 8);
    } else if bits << 12 == 0 && (1..=254).contains(&short) {
        out.put(short, 8);
    } else {
        out.put(255, 8);
        out.put(bits, 64);
    }
}

fn take_threshold(from: &mut BitReader<'_>) -> f64 {
    match from.take(8) {
        0 => 0.0,
        255 => f64::from_bits(from.take(64)),
        short => f64::from_bits((short + THRESHOLD_BIAS) << 52),
    }
}

/// The largest bound, in thousandths, whose short form takes no more than four bytes.
const MAX_THOUSANDTHS: f64 = 33_554_430.0;

fn put_bound(out: &mut BitWriter<'_>, bound: f64) {
    let thousandths = bound * 1000.0;
    let whole = thousandths.round();
    if (0.0..=MAX_THOUSANDTHS).contains(&thousandths) && whole / 1000.0 == bound {
        varbit::put_uint(out, whole as u64 + 1);
    } else {
        out.put(0, 1);
        out.put(bound.to_bits(), 64);
    }
}

fn take_bound(from: &mut BitReader<'_>) -> f64 {
    match varbit::take_uint(from) {
        0 => f64::from_bits(from.take(64)),
        thousandths => (thousandths - 1) as f64 / 1000.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values and how many bits they take; all but −0 come back by their bits.
    #[test]
    fn thresholds() {
        let two = |e: i32| 2f64.powi(e);
        for (value, bits) in [
            (0.0, 8),
            (two(-128), 8),
            (two(-243), 8),
            (two(10), 8),
            (two(-244), 72),
            (two(11), 72),
            (0.001, 72),
            (-1.0, 72),
            (f64::INFINITY, 72),
            (5e-324, 72),
            (f64::NAN, 72),
        ] {
            let mut bytes = vec![];
            put_threshold(&mut BitWriter { bytes: &mut bytes, used: 0 }, value);
            assert_eq!(bytes.len() * 8, bits, "{value}");
            assert_eq!(take_threshold(&mut BitReader::new(&bytes, 0)).to_bits(), value.to_bits());
        }
    }

    #[test]
    fn bounds() {
        for (value, bytes_long) in [
            (0.0, 1),
            (0.001, 1),
            (0.005, 1),
            (1.0, 3),
            (33_554.430, 4),
            (33_554.431, 9),
            (-0.5, 9),
            (0.0005, 9),
            (1e9, 9),
            (f64::MAX, 9),
        ] {
            let mut bytes = vec![];
            put_bound(&mut BitWriter { bytes: &mut bytes, used: 0 }, value);
            assert_eq!(bytes.len(), bytes_long, "{value}");
            assert_eq!(take_bound(&mut BitReader::new(&bytes, 0)).to_bits(), value.to_bits());
        }
    }
}
