//! XOR chunks: floats, encoding 1.
//!
//! ```text
//! ┌─────────────┬──────────────┬─────────────┬────────────────────┬───────────┬────────────┬───────────┬───
//! │ count <u16> │ t_0 <varint> │ v_0 <8 b>   │ t_1 − t_0 <uvarint>│ v_1 <xor> │ t_2 <dod>  │ v_2 <xor> │ …
//! └─────────────┴──────────────┴─────────────┴────────────────────┴───────────┴────────────┴───────────┴───
//! dod: what the step in time differs from the step before
//!   0                     same step
//!   10     + 14 bits      −8191 … 8192
//!   110    + 17 bits      −65535 … 65536
//!   1110   + 20 bits      −524287 … 524288
//!   1111   + 64 bits      all others
//! xor: see `window`; the last byte is filled with zeros
//! ```
//!
//! All arithmetic on times wraps, as Prometheus' does, so that any two times can follow each other.

use crate::bits::{BitReader, BitWriter, Bits, WordWriter};
use crate::read::{corrupt, end_to_write_on};
use crate::window::Window;
use nilometer_model::Result;

mod saved;

/// Bytes in front of the first sample: how many samples there are.
pub(crate) const COUNT_BYTES: usize = 2;

/// What appending to an XOR chunk needs to know besides the chunk's bytes: plain data, 32 bytes.
///
/// The bytes are the caller's, always the same vector, and complete after each call: they can be read,
/// written to disk, or [resumed](XorState::resume) from at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XorState {
    t_ms: i64,
    t_delta: u64,
    v_bits: u64,
    window: Window,
    /// Bits in use of the last byte, 0 where it is full.
    used: u8,
    count: u16,
}

const _: () = assert!(size_of::<XorState>() <= 40);

impl Default for XorState {
    fn default() -> Self {
        XorState { t_ms: 0, t_delta: 0, v_bits: 0, window: Window::NONE, used: 0, count: 0 }
    }
}

impl XorState {
    /// An empty chunk; its vector must be empty too.
    pub fn new() -> Self {
        XorState::default()
    }

    /// The state after the samples in `bytes`, a whole chunk without anything behind it.
    pub fn resume(bytes: &[u8]) -> Result<Self> {
        if bytes.is_empty() {
            return Ok(XorState::default());
        }
        let mut decoder = XorDecoder::new(bytes)?;
        while decoder.next()?.is_some() {}
        let used = end_to_write_on(bytes, &decoder.from)?;
        Ok(XorState {
            t_ms: decoder.t_ms,
            t_delta: decoder.t_delta,
            v_bits: decoder.v_bits,
            window: decoder.window,
            used,
            count: decoder.count,
        })
    }

    /// Samples so far.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Time and value of the last sample; 0 and 0.0 where there is none.
    pub fn last(&self) -> (i64, f64) {
        (self.t_ms, f64::from_bits(self.v_bits))
    }

    /// Appends one sample to `bytes`, the vector of all calls before.
    ///
    /// # Panics
    /// At the 65,536th sample: no chunk can count so far, the caller has to start another long before.
    #[inline]
    pub fn append(&mut self, bytes: &mut Vec<u8>, t_ms: i64, v: f64) {
        assert!(self.count < u16::MAX, "an XOR chunk holds at most 65535 samples");
        if bytes.is_empty() {
            bytes.extend_from_slice(&[0; COUNT_BYTES]);
        }
        let mut out = BitWriter { bytes, used: self.used };
        let v_bits = v.to_bits();
        let t_delta = (t_ms as u64).wrapping_sub(self.t_ms as u64);
        match self.count {
            0 => {
                out.put_varint(t_ms);
                out.put(v_bits, 64);
            }
            1 => {
                out.put_uvarint(t_delta);
                out.put_all(self.window.encode(v_bits ^ self.v_bits));
            }
            _ => {
                let value = self.window.encode(v_bits ^ self.v_bits);
                match t_delta.wrapping_sub(self.t_delta) as i64 {
                    dod @ -524_287..=524_288 => out.put_all(encode_dod(dod).join(value)),
                    dod => {
                        out.put_all(Bits::new(0b1111, 4).then(dod as u64, 64));
                        out.put_all(value);
                    }
                }
            }
        }
        self.used = out.used;
        self.t_delta = if self.count == 0 { 0 } else { t_delta };
        self.t_ms = t_ms;
        self.v_bits = v_bits;
        self.count += 1;
        bytes[..COUNT_BYTES].copy_from_slice(&self.count.to_be_bytes());
    }
}

/// One chunk with all of two columns in place of what is in `bytes`: the same that [`XorState::append`] makes of them, in
/// less time, since it is complete only at the end.
///
/// # Panics
/// Beyond 65,535 samples, and where one column is longer than the other.
pub fn encode_columns(t_ms: &[i64], v: &[f64], bytes: &mut Vec<u8>) {
    assert_eq!(t_ms.len(), v.len(), "each time has a value");
    let count = u16::try_from(t_ms.len()).expect("an XOR chunk holds at most 65535 samples");
    bytes.clear();
    let mut state = XorState::new();
    let early = t_ms.len().min(2);
    t_ms[..early].iter().zip(v).for_each(|(&t_ms, &v)| state.append(bytes, t_ms, v));
    let XorState { t_ms: mut last_ms, mut t_delta, mut v_bits, mut window, used, .. } = state;
    let mut out = WordWriter::new(bytes, used);
    for (&t_ms, &v) in t_ms.iter().zip(v).skip(2) {
        let delta = (t_ms as u64).wrapping_sub(last_ms as u64);
        let dod = delta.wrapping_sub(t_delta) as i64;
        let xor = v.to_bits() ^ v_bits;
        (last_ms, t_delta, v_bits) = (t_ms, delta, v.to_bits());
        match dod {
            // The step's bit and the value's control bits at once.
            0 if xor == 0 => {
                out.put(0, 2);
                continue;
            }
            0 if window.covers(Window::around(xor)) => {
                out.put(0b010, 3);
                out.put(xor >> window.trailing, window.bits());
                continue;
            }
            -524_287..=524_288 => out.put_all(encode_dod(dod)),
            _ => {
                out.put(0b1111, 4);
                out.put(dod as u64, 64);
            }
        }
        out.put_all(window.encode(xor));
    }
    out.finish();
    if count > 0 {
        bytes[..COUNT_BYTES].copy_from_slice(&count.to_be_bytes());
    }
}

/// For all but the longest form.
#[inline]
fn encode_dod(dod: i64) -> Bits {
    match dod {
        0 => Bits::new(0, 1),
        -8_191..=8_192 => Bits::new(0b10, 2).then(dod as u64 & 0x3fff, 14),
        -65_535..=65_536 => Bits::new(0b110, 3).then(dod as u64 & 0x1_ffff, 17),
        _ => Bits::new(0b1110, 4).then(dod as u64 & 0xf_ffff, 20),
    }
}

/// Bits of a sample that are looked at before it is known whether more are needed: a time of 24 and the head
/// of a value of 13.
const HELD: u32 = 37;

/// Walks the samples of an XOR chunk.
#[derive(Clone)]
pub(crate) struct XorDecoder<'a> {
    from: BitReader<'a>,
    count: u16,
    read: u16,
    t_ms: i64,
    t_delta: u64,
    v_bits: u64,
    window: Window,
    /// A window that cannot be was met; all after it is worthless.
    broken: bool,
}

impl<'a> XorDecoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self> {
        let count = read_count(bytes, COUNT_BYTES)?;
        Ok(XorDecoder {
            from: BitReader::new(bytes, COUNT_BYTES),
            count,
            read: 0,
            t_ms: 0,
            t_delta: 0,
            v_bits: 0,
            window: Window::NONE,
            broken: false,
        })
    }

    /// The next sample, checked.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(i64, f64)>> {
        if self.read == self.count {
            return Ok(None);
        }
        if self.read < 2 {
            self.early();
        } else {
            self.from.ensure(HELD);
            self.later();
        }
        self.check()?;
        self.read += 1;
        Ok(Some((self.t_ms, f64::from_bits(self.v_bits))))
    }

    pub(crate) fn count(&self) -> u16 {
        self.count
    }

    /// Fills two columns of [`XorDecoder::count`] rows with all samples, none of which was read yet.
    pub(crate) fn fill(&mut self, t_ms: &mut [i64], v: &mut [f64]) -> Result<()> {
        debug_assert!(self.read == 0 && t_ms.len() == usize::from(self.count) && v.len() == t_ms.len());
        let early = t_ms.len().min(2);
        let (t_early, t_ms) = t_ms.split_at_mut(early);
        let (v_early, v) = v.split_at_mut(early);
        for (t, v) in t_early.iter_mut().zip(v_early) {
            self.early();
            (*t, *v) = (self.t_ms, f64::from_bits(self.v_bits));
            self.read += 1;
        }
        // A copy whose address nobody knows stays in registers.
        let mut hot = self.clone();
        hot.fill_later(t_ms, v);
        hot.read = hot.count;
        *self = hot;
        self.check()
    }

    #[inline(always)]
    fn fill_later(&mut self, t_ms: &mut [i64], v: &mut [f64]) {
        let mut rows = t_ms.iter_mut().zip(v);
        loop {
            self.from.ensure(HELD);
            // Two zeros are a whole sample: the same step, the same value. They come in runs.
            let mut run = self.from.zeros_held() / 2;
            if run == 0 {
                let Some((t, v)) = rows.next() else { return };
                self.later();
                (*t, *v) = (self.t_ms, f64::from_bits(self.v_bits));
                continue;
            }
            while run > 0 {
                let Some((t, v)) = rows.next() else { return };
                self.from.skip(2);
                self.t_ms = self.t_ms.wrapping_add(self.t_delta as i64);
                (*t, *v) = (self.t_ms, f64::from_bits(self.v_bits));
                run -= 1;
            }
        }
    }

    /// The first two samples have a form of their own.
    fn early(&mut self) {
        if self.read == 0 {
            self.t_ms = self.from.take_varint().unwrap_or_else(|| self.break_off());
            self.v_bits = self.from.take(64);
        } else {
            self.t_delta = self.from.take_uvarint().unwrap_or_else(|| self.break_off());
            self.t_ms = self.t_ms.wrapping_add(self.t_delta as i64);
            self.from.refill();
            self.read_value();
        }
    }

    /// Any later sample; the register has to hold [`HELD`] bits.
    #[inline(always)]
    fn later(&mut self) {
        if self.from.peek() >> 63 == 0 {
            self.from.skip(1);
        } else {
            self.t_delta = self.t_delta.wrapping_add(self.read_dod() as u64);
        }
        self.t_ms = self.t_ms.wrapping_add(self.t_delta as i64);
        self.read_value();
    }

    /// The difference of steps where it is not 0. Leaves 13 bits for the value's head.
    #[inline(always)]
    fn read_dod(&mut self) -> i64 {
        let ones = self.from.peek().leading_ones();
        if ones > 3 {
            self.from.skip(4);
            return self.from.take(64) as i64;
        }
        // 10, 110 and 1110 stand before 14, 17 and 20 bits.
        self.from.skip(ones + 1);
        let bits = 11 + 3 * ones;
        let raw = self.from.take_held(bits);
        // The range is −(2ⁿ⁻¹ − 1) to 2ⁿ⁻¹, one above two's complement.
        ((raw.wrapping_sub(1) << (64 - bits)) as i64 >> (64 - bits)) + 1
    }

    #[inline(always)]
    fn read_value(&mut self) {
        match self.window.read(&mut self.from) {
            Some(xor) => self.v_bits ^= xor,
            None => self.broken = true,
        }
    }

    fn break_off<T: Default>(&mut self) -> T {
        self.broken = true;
        T::default()
    }

    #[inline]
    fn check(&self) -> Result<()> {
        if self.broken || self.from.overrun() {
            return Err(corrupt(
                self.from.position() / 8,
                if self.broken {
                    "an XOR chunk holds bits that nobody writes"
                } else {
                    "an XOR chunk ends before its last sample"
                },
            ));
        }
        Ok(())
    }
}

/// How many samples a chunk says it has, where its `header` bytes are all there.
pub(crate) fn read_count(bytes: &[u8], header: usize) -> Result<u16> {
    match bytes.first_chunk() {
        Some(&count) if bytes.len() >= header => {
            let count = u16::from_be_bytes(count);
            // A sample takes a bit at the very least; this bounds what a false count makes us allocate.
            if usize::from(count) > (bytes.len() - header) * 8 {
                return Err(corrupt(
                    0,
                    format!("a chunk of {} bytes says it has {count} samples", bytes.len()),
                ));
            }
            Ok(count)
        }
        _ => Err(corrupt(0, format!("a chunk of {} bytes is shorter than its header", bytes.len()))),
    }
}

#[cfg(test)]
pub(crate) mod tests;
