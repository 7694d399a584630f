//! Streams of bits, the most significant bit of a byte first.
//!
//! Reading never fails: past the end it yields zeros and says so in [`BitReader::overrun`]. That takes the
//! check out of the decoders' inner loops; whoever uses the values has to ask before believing them.

/// Reads through a 64-bit register that is refilled by whole, unaligned words.
#[derive(Clone)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// The next byte that is not in the register yet; runs on past the end.
    next: usize,
    /// Unread bits, the first one on top; what lies below `valid` may be set already, and correctly so.
    register: u64,
    valid: u32,
}

/// As many bits as one [`BitReader::refill`] makes sure of.
pub(crate) const REFILLED: u32 = 56;

impl<'a> BitReader<'a> {
    /// `at` is the byte to begin with.
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        BitReader { bytes, next: at, register: 0, valid: 0 }
    }

    /// At least [`REFILLED`] bits are valid afterwards.
    #[inline(always)]
    pub(crate) fn refill(&mut self) {
        let word = match self.bytes.get(self.next..).and_then(|rest| rest.first_chunk::<8>()) {
            Some(word) => u64::from_be_bytes(*word),
            None => tail(self.bytes, self.next),
        };
        self.register |= word >> self.valid;
        self.next += ((63 - self.valid) >> 3) as usize;
        self.valid |= REFILLED;
    }

    /// Refills unless `n` bits, at most [`REFILLED`], are valid already.
    #[inline(always)]
    pub(crate) fn ensure(&mut self, n: u32) {
        if self.valid < n {
            self.refill();
        }
    }

    /// How many of the next bits are 0, as far as the register goes.
    #[inline(always)]
    pub(crate) fn zeros_held(&self) -> u32 {
        self.register.leading_zeros().min(self.valid)
    }

    /// The unread bits from the top; only the first `valid` count, so refill before.
    #[inline(always)]
    pub(crate) fn peek(&self) -> u64 {
        self.register
    }

    /// Skips `n` bits that are in the register.
    #[inline(always)]
    pub(crate) fn skip(&mut self, n: u32) {
        debug_assert!(n <= self.valid);
        self.register <<= n;
        self.valid -= n;
    }

    /// The next `n` bits, 1 to [`REFILLED`], of which the register holds enough.
    #[inline(always)]
    pub(crate) fn take_held(&mut self, n: u32) -> u64 {
        debug_assert!(0 < n && n <= self.valid);
        let bits = self.register >> (64 - n);
        self.skip(n);
        bits
    }

    /// The next `n` bits, 1 to 64.
    #[inline(always)]
    pub(crate) fn take(&mut self, n: u32) -> u64 {
        if n > self.valid {
            self.refill();
            if n > REFILLED {
                let high = self.take_held(32);
                self.refill();
                return high << (n - 32) | self.take_held(n - 32);
            }
        }
        self.take_held(n)
    }

    /// A variable-length integer of whole bytes; `None` where it does not fit 64 bits.
    pub(crate) fn take_uvarint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(8);
            if shift == 63 && byte > 1 {
                return None;
            }
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    pub(crate) fn take_varint(&mut self) -> Option<i64> {
        self.take_uvarint().map(|zigzag| (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    /// Bits from the first byte of the slice (not of where reading began) to the next unread one.
    pub(crate) fn position(&self) -> usize {
        self.next * 8 - self.valid as usize
    }

    /// Unread bits, 0 past the end.
    pub(crate) fn left(&self) -> usize {
        (self.bytes.len() * 8).saturating_sub(self.position())
    }

    /// Whether more was read than there is.
    #[inline(always)]
    pub(crate) fn overrun(&self) -> bool {
        self.position() > self.bytes.len() * 8
    }
}

/// The last bytes with zeros behind them. Takes no `&self`: a reader whose address is known to another
/// function is kept in memory, not in registers.
#[cold]
#[inline(never)]
fn tail(bytes: &[u8], next: usize) -> u64 {
    let mut word = [0; 8];
    let rest = bytes.get(next..).unwrap_or_default();
    word[..rest.len()].copy_from_slice(rest);
    u64::from_be_bytes(word)
}

/// Bits to be written, put together so that they are written at once.
#[derive(Clone, Copy)]
pub(crate) struct Bits {
    /// The lowest `n`; those above are 0.
    bits: u128,
    n: u32,
}

impl Bits {
    #[inline]
    pub(crate) fn new(bits: u64, n: u32) -> Self {
        Bits { bits: bits.into(), n }
    }

    /// With the lowest `n` of `bits` behind; those above must be 0.
    #[inline]
    #[must_use]
    pub(crate) fn then(self, bits: u64, n: u32) -> Self {
        self.join(Bits::new(bits, n))
    }

    #[inline]
    #[must_use]
    pub(crate) fn join(self, behind: Bits) -> Self {
        Bits { bits: self.bits << behind.n | behind.bits, n: self.n + behind.n }
    }
}

/// Appends to a byte vector whose last byte may be begun.
pub(crate) struct BitWriter<'a> {
    pub(crate) bytes: &'a mut Vec<u8>,
    /// Bits in use of the last byte, 0 where it is full.
    pub(crate) used: u8,
}

impl BitWriter<'_> {
    /// Appends up to 120 bits.
    #[inline]
    pub(crate) fn put_all(&mut self, Bits { bits, n }: Bits) {
        debug_assert!(0 < n && n <= 120 && bits >> n == 0);
        let used = u32::from(self.used);
        let total = used + n;
        let mut word = bits << (128 - total);
        if used > 0
            && let Some(last) = self.bytes.pop()
        {
            word |= u128::from(last) << 120;
        }
        // All of it and then cut off: a fixed size is stored without a call.
        let end = self.bytes.len() + total.div_ceil(8) as usize;
        self.bytes.extend_from_slice(&word.to_be_bytes());
        self.bytes.truncate(end);
        self.used = (total % 8) as u8;
    }

    /// Appends the lowest `n` bits, 1 to 64, whatever stands above them.
    #[inline]
    pub(crate) fn put(&mut self, bits: u64, n: u32) {
        self.put_all(Bits { bits: u128::from(bits << (64 - n) >> (64 - n)), n });
    }

    pub(crate) fn put_uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.put(value, 8);
    }

    pub(crate) fn put_varint(&mut self, value: i64) {
        self.put_uvarint((value << 1 ^ value >> 63) as u64);
    }
}

/// Appends to a byte vector by whole words: for many bits in a row, of which nobody looks at the first before the last.
pub(crate) struct WordWriter<'a> {
    bytes: &'a mut Vec<u8>,
    /// Bits that are not in `bytes` yet, the first one on top, below them zeros.
    word: u64,
    used: u32,
}

impl<'a> WordWriter<'a> {
    /// Goes on behind the bits in use of the last byte, 0 where it is full.
    pub(crate) fn new(bytes: &'a mut Vec<u8>, used: u8) -> Self {
        let begun = if used > 0 { bytes.pop() } else { None };
        let word = begun.map_or(0, |last| u64::from(last) << 56);
        WordWriter { bytes, word, used: used.into() }
    }

    /// Appends the lowest `n` bits, 1 to 64; those above must be 0.
    #[inline(always)]
    pub(crate) fn put(&mut self, bits: u64, n: u32) {
        debug_assert!(0 < n && n <= 64 && (n == 64 || bits >> n == 0));
        let bits = bits << (64 - n);
        self.word |= bits >> self.used;
        self.used += n;
        if self.used >= 64 {
            self.bytes.extend_from_slice(&self.word.to_be_bytes());
            self.used -= 64;
            // Those that did not fit.
            self.word = bits << 1 << (n - self.used - 1);
            self.word = if self.used == 0 { 0 } else { self.word };
        }
    }

    #[inline]
    pub(crate) fn put_all(&mut self, Bits { bits, n }: Bits) {
        if n > 64 {
            self.put((bits >> 64) as u64, n - 64);
            self.put(bits as u64, 64);
        } else {
            self.put(bits as u64, n);
        }
    }

    pub(crate) fn finish(self) {
        let len = self.used.div_ceil(8) as usize;
        self.bytes.extend_from_slice(&self.word.to_be_bytes()[..len]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn written_bits_are_read(fields in prop::collection::vec((any::<u64>(), 1u32..=64), 0..200)) {
            let mut bytes = vec![0xaa];
            let mut writer = BitWriter { bytes: &mut bytes, used: 0 };
            for &(bits, n) in &fields {
                writer.put(bits, n);
            }
            let mut reader = BitReader::new(&bytes, 1);
            for &(bits, n) in &fields {
                prop_assert_eq!(reader.take(n), bits & u64::MAX >> (64 - n));
            }
            prop_assert!(!reader.overrun());
            prop_assert_eq!(reader.position().div_ceil(8), bytes.len());
            reader.take(8);
            prop_assert!(reader.overrun());
        }

        #[test]
        fn words_and_bits_are_the_same(fields in prop::collection::vec((any::<u64>(), 1u32..=64), 0..200), split: prop::sample::Index) {
            let (mut bits_, mut words) = (vec![0xaa], vec![0xaa]);
            let (first, rest) = fields.split_at(split.index(fields.len() + 1));
            let mut writer = BitWriter { bytes: &mut bits_, used: 0 };
            first.iter().for_each(|&(bits, n)| writer.put(bits, n));
            let used = writer.used;
            words.clone_from(writer.bytes);
            rest.iter().for_each(|&(bits, n)| writer.put(bits, n));
            let mut writer = WordWriter::new(&mut words, used);
            rest.iter().for_each(|&(bits, n)| writer.put(bits << (64 - n) >> (64 - n), n));
            writer.finish();
            prop_assert_eq!(words, bits_);
        }

        #[test]
        fn varints_round_trip(values in prop::collection::vec(any::<i64>(), 0..20), shift in 0u32..64) {
            let mut bytes = vec![];
            let mut writer = BitWriter { bytes: &mut bytes, used: 0 };
            writer.put(1, 3);
            for &v in &values {
                writer.put_varint(v >> shift);
            }
            let mut reader = BitReader::new(&bytes, 0);
            reader.take(3);
            for &v in &values {
                prop_assert_eq!(reader.take_varint(), Some(v >> shift));
            }
        }
    }

    #[test]
    fn too_long_a_varint_is_refused() {
        assert_eq!(BitReader::new(&[0xff; 12], 0).take_uvarint(), None);
        let mut largest = [0xff; 10];
        largest[9] = 1;
        assert_eq!(BitReader::new(&largest, 0).take_uvarint(), Some(u64::MAX));
        largest[9] = 2;
        assert_eq!(BitReader::new(&largest, 0).take_uvarint(), None);
    }
}
