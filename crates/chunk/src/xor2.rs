//! XOR2 chunks: floats with optional start timestamps, encoding 4. Prometheus reads it since 3.11 and writes
//! it only when told to.
//!
//! ```text
//! ┌─────────────┬────────────────┬──────────────┬───────────┬────────────────┬───
//! │ count <u16> │ starts <1 b>   │ t_0 <varint> │ v_0 <8 b> │ start_0        │
//! └─────────────┴────────────────┴──────────────┴───────────┴────────────────┴───
//!  ┌─────────────────────┬─────────────┬─────────┬────────────┬─────────┬───
//!  │ t_1 − t_0 <uvarint> │ v_1 <xor2>  │ start_1 │ t_2 & v_2  │ start_2 │ …
//!  └─────────────────────┴─────────────┴─────────┴────────────┴─────────┴───
//! t & v: dod is what the step in time differs from the step before
//!   0                 dod 0, value unchanged
//!   10                dod 0, value changed:  0 window of before, 1 leading <5> significant <6>; the window
//!   110   + 13 bits   dod −4096 … 4095       and xor2
//!   1110  + 20 bits   dod −524288 … 524287   and xor2
//!   11110 + 64 bits   all others             and xor2
//!   11111             dod 0, stale marker
//! xor2: 0 unchanged, 10 window of before, 110 leading, significant, window, 111 stale marker
//! ```
//!
//! "Before" is the last value that is no stale marker, 0.0 at first. Starts: see `start`.

use crate::bits::{BitReader, BitWriter, Bits};
use crate::read::{corrupt, end_to_write_on};
use crate::start::{Stamp, StartTimes};
use crate::window::Window;
use crate::xor::read_count;
use nilometer_model::{Result, STALE_NAN_BITS};

/// Bytes in front of the first sample: the count and the header of the starts.
pub(crate) const HEADER_BYTES: usize = 3;

/// What appending to an XOR2 chunk needs to know besides the chunk's bytes; see [`crate::XorState`], which
/// has the same rules.
#[derive(Clone, Copy, Debug)]
pub struct Xor2State {
    t_ms: i64,
    t_delta: u64,
    /// The last value that is no stale marker.
    base: u64,
    starts: StartTimes,
    window: Window,
    used: u8,
    last_is_stale: bool,
    count: u16,
}

impl Default for Xor2State {
    fn default() -> Self {
        Xor2State {
            t_ms: 0,
            t_delta: 0,
            base: 0,
            starts: StartTimes::default(),
            window: Window::NONE,
            used: 0,
            last_is_stale: false,
            count: 0,
        }
    }
}

impl Xor2State {
    /// An empty chunk; its vector must be empty too.
    pub fn new() -> Self {
        Xor2State::default()
    }

    /// The state after the samples in `bytes`, a whole chunk without anything behind it.
    pub fn resume(bytes: &[u8]) -> Result<Self> {
        if bytes.is_empty() {
            return Ok(Xor2State::default());
        }
        let mut decoder = Xor2Decoder::new(bytes)?;
        let mut last_is_stale = false;
        while let Some((_, v)) = decoder.next()? {
            last_is_stale = v.to_bits() == STALE_NAN_BITS;
        }
        let used = end_to_write_on(bytes, &decoder.from)?;
        decoder.starts.check_header(decoder.count)?;
        Ok(Xor2State {
            t_ms: decoder.t_ms,
            t_delta: decoder.t_delta,
            base: decoder.base,
            starts: decoder.starts,
            window: decoder.window,
            used,
            last_is_stale,
            count: decoder.count,
        })
    }

    /// Samples so far.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Time and value of the last sample; 0 and 0.0 where there is none.
    pub fn last(&self) -> (i64, f64) {
        (self.t_ms, f64::from_bits(if self.last_is_stale { STALE_NAN_BITS } else { self.base }))
    }

    /// Appends one sample.
    ///
    /// # Panics
    /// At the 65,536th sample, as [`crate::XorState::append`].
    pub fn append(&mut self, bytes: &mut Vec<u8>, at: Stamp, v: f64) {
        let Stamp { t_ms, start_ms } = at;
        assert!(self.count < u16::MAX, "an XOR2 chunk holds at most 65535 samples");
        if bytes.is_empty() {
            bytes.extend_from_slice(&[0; HEADER_BYTES]);
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
                out.put_all(self.encode_value(v_bits));
            }
            _ => self.write_joint(&mut out, t_delta.wrapping_sub(self.t_delta) as i64, v_bits),
        }
        self.starts.write(&mut out, self.count, (self.t_ms, t_ms), start_ms);
        self.used = out.used;
        self.t_delta = if self.count == 0 { 0 } else { t_delta };
        self.t_ms = t_ms;
        self.last_is_stale = v_bits == STALE_NAN_BITS;
        if !self.last_is_stale {
            self.base = v_bits;
        }
        self.count += 1;
        bytes[..2].copy_from_slice(&self.count.to_be_bytes());
        bytes[2] = self.starts.header();
    }

    /// Time and value of a later sample.
    #[inline]
    fn write_joint(&mut self, out: &mut BitWriter<'_>, dod: i64, v_bits: u64) {
        if dod == 0 {
            out.put_all(if v_bits == STALE_NAN_BITS {
                Bits::new(0b11111, 5)
            } else if v_bits == self.base {
                Bits::new(0, 1)
            } else {
                self.window.encode_changed(v_bits ^ self.base, Bits::new(0b100, 3), Bits::new(0b101, 3))
            });
            return;
        }
        let value = self.encode_value(v_bits);
        match dod {
            -4_096..=4_095 => out.put_all(Bits::new(0b110, 3).then(dod as u64 & 0x1fff, 13).join(value)),
            -524_288..=524_287 => {
                out.put_all(Bits::new(0b1110, 4).then(dod as u64 & 0xf_ffff, 20).join(value));
            }
            _ => {
                out.put_all(Bits::new(0b11110, 5).then(dod as u64, 64));
                out.put_all(value);
            }
        }
    }

    #[inline]
    fn encode_value(&mut self, v_bits: u64) -> Bits {
        if v_bits == STALE_NAN_BITS {
            Bits::new(0b111, 3)
        } else if v_bits == self.base {
            Bits::new(0, 1)
        } else {
            self.window.encode_changed(v_bits ^ self.base, Bits::new(0b10, 2), Bits::new(0b110, 3))
        }
    }
}

/// Bits of a sample that are looked at before it is known whether more are needed: a time of 24 and the head
/// of a value of 14.
const HELD: u32 = 38;

/// Walks the samples of an XOR2 chunk.
#[derive(Clone)]
pub(crate) struct Xor2Decoder<'a> {
    from: BitReader<'a>,
    count: u16,
    read: u16,
    t_ms: i64,
    t_delta: u64,
    base: u64,
    starts: StartTimes,
    window: Window,
    /// Something that cannot be was met; all after it is worthless.
    broken: bool,
}

impl<'a> Xor2Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self> {
        let count = read_count(bytes, HEADER_BYTES)?;
        Ok(Xor2Decoder {
            from: BitReader::new(bytes, HEADER_BYTES),
            count,
            read: 0,
            t_ms: 0,
            t_delta: 0,
            base: 0,
            starts: StartTimes::new(bytes[HEADER_BYTES - 1]),
            window: Window::NONE,
            broken: false,
        })
    }

    /// The start of the sample that was read last, 0 where it is not known.
    pub(crate) fn start_ms(&self) -> i64 {
        self.starts.start_ms
    }

    pub(crate) fn count(&self) -> u16 {
        self.count
    }

    /// The next sample, checked.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(i64, f64)>> {
        if self.read == self.count {
            return Ok(None);
        }
        let v_bits = self.any();
        self.check()?;
        Ok(Some((self.t_ms, f64::from_bits(v_bits))))
    }

    /// Fills two columns of [`Xor2Decoder::count`] rows with all samples, none of which was read yet.
    pub(crate) fn fill(&mut self, t_ms: &mut [i64], v: &mut [f64]) -> Result<()> {
        debug_assert!(self.read == 0 && t_ms.len() == usize::from(self.count) && v.len() == t_ms.len());
        // With starts that change, every sample has bits more; all others have runs of zeros.
        let alike = if self.starts.changes() { 0 } else { t_ms.len().saturating_sub(2) };
        let (t_first, t_alike) = t_ms.split_at_mut(t_ms.len() - alike);
        let (v_first, v_alike) = v.split_at_mut(v.len() - alike);
        for (t, v) in t_first.iter_mut().zip(v_first) {
            let v_bits = self.any();
            (*t, *v) = (self.t_ms, f64::from_bits(v_bits));
        }
        // A copy whose address nobody knows stays in registers.
        let mut hot = self.clone();
        hot.fill_alike(t_alike, v_alike);
        hot.read = hot.count;
        *self = hot;
        self.check()
    }

    #[inline(always)]
    fn fill_alike(&mut self, t_ms: &mut [i64], v: &mut [f64]) {
        let mut rows = t_ms.iter_mut().zip(v);
        loop {
            self.from.ensure(HELD);
            // A zero is a whole sample: the same step, the same value.
            let mut run = self.from.zeros_held();
            if run == 0 {
                let Some((t, v)) = rows.next() else { return };
                let v_bits = self.later();
                (*t, *v) = (self.t_ms, f64::from_bits(v_bits));
                continue;
            }
            while run > 0 {
                let Some((t, v)) = rows.next() else { return };
                self.from.skip(1);
                self.t_ms = self.t_ms.wrapping_add(self.t_delta as i64);
                (*t, *v) = (self.t_ms, f64::from_bits(self.base));
                run -= 1;
            }
        }
    }

    /// The value of the next sample, whichever it is; its time is in the state.
    fn any(&mut self) -> u64 {
        let before_ms = self.t_ms;
        let v_bits = if self.read < 2 {
            self.early()
        } else {
            self.from.ensure(HELD);
            self.later()
        };
        if self.starts.read(&mut self.from, self.read, (before_ms, self.t_ms)).is_none() {
            self.broken = true;
        }
        self.read += 1;
        v_bits
    }

    /// The first two samples have a form of their own.
    fn early(&mut self) -> u64 {
        if self.read == 0 {
            match self.from.take_varint() {
                Some(t_ms) => self.t_ms = t_ms,
                None => self.broken = true,
            }
            let v_bits = self.from.take(64);
            if v_bits != STALE_NAN_BITS {
                self.base = v_bits;
            }
            return v_bits;
        }
        match self.from.take_uvarint() {
            Some(t_delta) => self.t_delta = t_delta,
            None => self.broken = true,
        }
        self.t_ms = self.t_ms.wrapping_add(self.t_delta as i64);
        self.from.refill();
        self.read_value()
    }

    /// Any later sample but for its start; the register has to hold [`HELD`] bits.
    #[inline(always)]
    fn later(&mut self) -> u64 {
        let ones = self.from.peek().leading_ones();
        let dod = match ones {
            0 | 1 => 0,
            2 => {
                self.from.skip(3);
                (self.from.take_held(13) << 51) as i64 >> 51
            }
            3 => {
                self.from.skip(4);
                (self.from.take_held(20) << 44) as i64 >> 44
            }
            4 => {
                self.from.skip(5);
                self.from.take(64) as i64
            }
            _ => 0,
        };
        self.t_delta = self.t_delta.wrapping_add(dod as u64);
        self.t_ms = self.t_ms.wrapping_add(self.t_delta as i64);
        match ones {
            0 => {
                self.from.skip(1);
                self.base
            }
            1 => {
                self.from.skip(2);
                let renewed = self.from.take_held(1) == 1;
                self.read_changed(renewed)
            }
            2..=4 => self.read_value(),
            _ => {
                self.from.skip(5);
                STALE_NAN_BITS
            }
        }
    }

    /// The register has to hold the 14 bits of control and of a window's measures.
    #[inline(always)]
    fn read_value(&mut self) -> u64 {
        match self.from.peek().leading_ones() {
            0 => {
                self.from.skip(1);
                self.base
            }
            1 => {
                self.from.skip(2);
                self.read_changed(false)
            }
            ones => {
                self.from.skip(3);
                if ones == 2 { self.read_changed(true) } else { STALE_NAN_BITS }
            }
        }
    }

    #[inline(always)]
    fn read_changed(&mut self, renewed: bool) -> u64 {
        let xor = if renewed {
            self.window.read_renewed(&mut self.from)
        } else {
            Some(self.window.read_reused(&mut self.from))
        };
        match xor {
            Some(xor) => self.base ^= xor,
            None => self.broken = true,
        }
        self.base
    }

    #[inline]
    fn check(&self) -> Result<()> {
        if self.broken {
            return Err(corrupt(self.from.position() / 8, "an XOR2 chunk holds bits that nobody writes"));
        }
        if self.from.overrun() {
            return Err(corrupt(self.from.position() / 8, "an XOR2 chunk ends before its last sample"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
