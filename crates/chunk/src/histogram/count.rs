//! Where integer and float histograms differ: how a number is stored, and follows the one before it.
//!
//! ```text
//! field →       count            zero count       sum      buckets
//! integers  0   varbit unsigned  varbit unsigned  64 bits  varbit of the difference to the bucket below
//!           n   varbit of what the step from sample to sample differs from the step before; the sum: xor
//! floats    0   64 bits          64 bits          64 bits  64 bits
//!           n   xor              xor              xor      xor
//! ```

use crate::Encoding;
use crate::bits::{BitReader, BitWriter};
use crate::varbit;
use crate::window::Window;
use nilometer_model::{Count, CounterReset, Histogram, Value};
use std::fmt::Debug;
use std::sync::Arc;

/// A count that chunks can hold: `u64` or `f64`.
#[expect(private_bounds, reason = "nobody else can implement it")]
pub trait ChunkCount: Count + Codec {
    const ENCODING: Encoding;
    /// With start timestamps.
    const ENCODING_ST: Encoding;

    fn into_value(histogram: Histogram<Self>) -> Value;
}

/// The part of [`ChunkCount`] that is this crate's own.
pub(crate) trait Codec: Count {
    type Field: Field;

    /// What is stored of this count in a bucket whose neighbour below holds `below`.
    fn stored(self, below: Self) -> u64;

    /// The inverse of [`Codec::stored`].
    fn restored(stored: u64, below: Self) -> Self;

    /// Whether a bucket can hold it; no difference leads to another, but damage.
    fn is_storable(self) -> bool;

    /// The header of a new chunk by what its first histogram is to the chunk before, `cut` where that one was
    /// ended for its size. The kinds differ in Prometheus, and so they do here.
    fn header(verdict: Verdict, cut: bool) -> CounterReset;
}

/// What a counter histogram is to the chunk that it could continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its layout is the chunk's, or can be made so.
    Fits,
    Reset,
    /// The chunk holds gauges.
    OtherKind,
    /// Another schema or zero threshold, or the chunk ended with a stale marker: nobody looked for a reset.
    Unclear,
}

/// One number through all samples of a chunk: what must be known of it to write or read the next.
pub(crate) trait Field: Clone + Debug + Default {
    /// A bucket takes that many bits in the first sample, at least.
    const FIRST_BITS: usize;

    /// The number as it is stored in this sample.
    fn stored(&self) -> u64;

    /// `signed`: it is a difference, and may be negative.
    fn put_first(out: &mut BitWriter<'_>, stored: u64, signed: bool) -> Self;
    fn put_next(&mut self, out: &mut BitWriter<'_>, stored: u64);
    /// In a stale marker, whose counts mean nothing.
    fn put_stale(&mut self, out: &mut BitWriter<'_>);

    fn take_first(from: &mut BitReader<'_>, signed: bool) -> Self;
    /// `None`: it is none.
    fn take_next(&mut self, from: &mut BitReader<'_>) -> Option<()>;
}

impl ChunkCount for u64 {
    const ENCODING: Encoding = Encoding::Histogram;
    const ENCODING_ST: Encoding = Encoding::HistogramSt;

    fn into_value(histogram: Histogram<u64>) -> Value {
        Value::Int(Arc::new(histogram))
    }
}

impl Codec for u64 {
    type Field = Stepped;

    #[inline]
    fn stored(self, below: u64) -> u64 {
        self.wrapping_sub(below)
    }

    #[inline]
    fn restored(stored: u64, below: u64) -> u64 {
        below.wrapping_add(stored)
    }

    #[inline]
    fn is_storable(self) -> bool {
        i64::try_from(self).is_ok()
    }

    fn header(verdict: Verdict, _cut: bool) -> CounterReset {
        match verdict {
            Verdict::Fits | Verdict::OtherKind => CounterReset::NotReset,
            Verdict::Reset => CounterReset::Reset,
            Verdict::Unclear => CounterReset::Unknown,
        }
    }
}

/// An integer, stored by how its steps change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stepped {
    value: u64,
    step: u64,
}

impl Field for Stepped {
    const FIRST_BITS: usize = 1;

    #[inline]
    fn stored(&self) -> u64 {
        self.value
    }

    fn put_first(out: &mut BitWriter<'_>, stored: u64, signed: bool) -> Self {
        if signed {
            varbit::put_int(out, stored as i64);
        } else {
            varbit::put_uint(out, stored);
        }
        Stepped { value: stored, step: 0 }
    }

    #[inline]
    fn put_next(&mut self, out: &mut BitWriter<'_>, stored: u64) {
        let step = stored.wrapping_sub(self.value);
        varbit::put_int(out, step.wrapping_sub(self.step) as i64);
        *self = Stepped { value: stored, step };
    }

    fn put_stale(&mut self, out: &mut BitWriter<'_>) {
        varbit::put_int(out, 0);
    }

    fn take_first(from: &mut BitReader<'_>, signed: bool) -> Self {
        let value = if signed { varbit::take_int(from) as u64 } else { varbit::take_uint(from) };
        Stepped { value, step: 0 }
    }

    #[inline]
    fn take_next(&mut self, from: &mut BitReader<'_>) -> Option<()> {
        self.step = self.step.wrapping_add(varbit::take_int(from) as u64);
        self.value = self.value.wrapping_add(self.step);
        Some(())
    }
}

impl ChunkCount for f64 {
    const ENCODING: Encoding = Encoding::FloatHistogram;
    const ENCODING_ST: Encoding = Encoding::FloatHistogramSt;

    fn into_value(histogram: Histogram<f64>) -> Value {
        Value::FloatHistogram(Arc::new(histogram))
    }
}

impl Codec for f64 {
    type Field = Xored;

    #[inline]
    fn stored(self, _below: f64) -> u64 {
        self.to_bits()
    }

    #[inline]
    fn restored(stored: u64, _below: f64) -> f64 {
        f64::from_bits(stored)
    }

    #[inline]
    fn is_storable(self) -> bool {
        true
    }

    fn header(verdict: Verdict, cut: bool) -> CounterReset {
        match verdict {
            Verdict::Reset => CounterReset::Reset,
            _ if cut => CounterReset::NotReset,
            _ => CounterReset::Unknown,
        }
    }
}

/// A float, stored by the bits that change. The sums of both kinds are so, too.
#[derive(Clone, Debug)]
pub(crate) struct Xored {
    bits: u64,
    window: Window,
}

impl Default for Xored {
    fn default() -> Self {
        Xored { bits: 0, window: Window::NONE }
    }
}

impl Field for Xored {
    const FIRST_BITS: usize = 64;

    #[inline]
    fn stored(&self) -> u64 {
        self.bits
    }

    fn put_first(out: &mut BitWriter<'_>, stored: u64, _signed: bool) -> Self {
        out.put(stored, 64);
        Xored { bits: stored, window: Window::NONE }
    }

    #[inline]
    fn put_next(&mut self, out: &mut BitWriter<'_>, stored: u64) {
        out.put_all(self.window.encode(stored ^ self.bits));
        self.bits = stored;
    }

    fn put_stale(&mut self, out: &mut BitWriter<'_>) {
        self.put_next(out, 0);
    }

    fn take_first(from: &mut BitReader<'_>, _signed: bool) -> Self {
        Xored { bits: from.take(64), window: Window::NONE }
    }

    #[inline]
    fn take_next(&mut self, from: &mut BitReader<'_>) -> Option<()> {
        from.refill();
        self.bits ^= self.window.read(from)?;
        Some(())
    }
}
