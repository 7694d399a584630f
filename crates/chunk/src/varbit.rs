//! Integers in buckets of bits, as histogram chunks and start timestamps store them.
//!
//! As many ones as the bucket's number, a zero (but for the last bucket), then the bits:
//!
//! ```text
//! 0                  0
//! 10       + 3       −3 … 4             0 … 7
//! 110      + 6       −31 … 32           … 63
//! 1110     + 9       −255 … 256         … 511
//! 11110    + 12      −2047 … 2048       … 4095
//! 111110   + 18      −131071 … 131072   … 262143
//! 1111110  + 25      ± 2²⁴              … 2²⁵ − 1
//! 11111110 + 56      ± 2⁵⁵              … 2⁵⁶ − 1
//! 11111111 + 64      all others
//! ```

use crate::bits::{BitReader, BitWriter, Bits};

/// Bits of payload by the number of ones in front.
const WIDTHS: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

pub(crate) fn put_int(out: &mut BitWriter<'_>, value: i64) {
    // A bucket of n bits holds −(2ⁿ⁻¹ − 1) … 2ⁿ⁻¹: two's complement turned round.
    let needed = match value {
        0 => 0,
        1.. => 65 - (value - 1).leading_zeros(),
        _ => 65 - value.unsigned_abs().leading_zeros(),
    };
    put(out, value as u64, needed);
}

pub(crate) fn put_uint(out: &mut BitWriter<'_>, value: u64) {
    put(out, value, 64 - value.leading_zeros());
}

fn put(out: &mut BitWriter<'_>, value: u64, needed: u32) {
    let ones = WIDTHS.partition_point(|&width| width < needed);
    let width = WIDTHS[ones.min(8)];
    let prefix = if ones >= 8 { Bits::new(0xff, 8) } else { Bits::new((2 << ones) - 2, ones as u32 + 1) };
    let payload = if width == 0 { 0 } else { value << (64 - width) >> (64 - width) };
    out.put_all(prefix.then(payload, width));
}

#[inline]
pub(crate) fn take_int(from: &mut BitReader<'_>) -> i64 {
    let (raw, width) = take(from);
    if width == 0 || width == 64 {
        return raw as i64;
    }
    if raw > 1 << (width - 1) { raw as i64 - (1 << width) } else { raw as i64 }
}

#[inline]
pub(crate) fn take_uint(from: &mut BitReader<'_>) -> u64 {
    take(from).0
}

#[inline]
fn take(from: &mut BitReader<'_>) -> (u64, u32) {
    from.refill();
    let ones = from.peek().leading_ones().min(8);
    from.skip((ones + 1).min(8));
    let width = WIDTHS[ones as usize];
    if width == 0 { (0, 0) } else { (from.take(width), width) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bits_of(write: impl FnOnce(&mut BitWriter<'_>)) -> (Vec<u8>, usize) {
        let mut bytes = vec![];
        let mut out = BitWriter { bytes: &mut bytes, used: 0 };
        write(&mut out);
        let used = usize::from(out.used);
        let n = bytes.len() * 8 - (8 - used) % 8;
        (bytes, n)
    }

    /// The borders of the buckets, from the table above.
    #[test]
    fn widths() {
        for (value, bits) in [
            (0, 1),
            (1, 5),
            (4, 5),
            (-3, 5),
            (5, 9),
            (-4, 9),
            (32, 9),
            (-31, 9),
            (33, 13),
            (-32, 13),
            (256, 13),
            (257, 17),
            (-256, 17),
            (2048, 17),
            (2049, 24),
            (131_072, 24),
            (131_073, 32),
            (-131_072, 32),
            (1 << 24, 32),
            ((1 << 24) + 1, 64),
            (1 << 55, 64),
            ((1 << 55) + 1, 72),
            (i64::MAX, 72),
            (i64::MIN, 72),
            (-(1 << 55), 72),
            (-(1 << 55) + 1, 64),
        ] {
            assert_eq!(bits_of(|out| put_int(out, value)).1, bits, "{value}");
        }
        for (value, bits) in [(0, 1), (7, 5), (8, 9), (63, 9), (64, 13), (511, 13), (512, 17), (u64::MAX, 72)]
        {
            assert_eq!(bits_of(|out| put_uint(out, value)).1, bits, "{value}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(value in any::<i64>(), shift in 0u32..64) {
            let value = value >> shift;
            let (bytes, n) = bits_of(|out| put_int(out, value));
            let mut from = BitReader::new(&bytes, 0);
            prop_assert_eq!(take_int(&mut from), value);
            prop_assert_eq!(from.position(), n);
            let (bytes, _) = bits_of(|out| put_uint(out, value as u64));
            prop_assert_eq!(take_uint(&mut BitReader::new(&bytes, 0)), value as u64);
        }
    }
}
