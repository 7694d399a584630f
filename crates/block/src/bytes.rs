//! Numbers and checksums as Prometheus' files hold them: big endian, LEB128, CRC-32C.

/// Longest form of a 64-bit number in LEB128.
pub(crate) const MAX_VARINT_BYTES: usize = 10;
pub(crate) const CRC_BYTES: usize = 4;

pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// A CRC-32C over bytes that come piece by piece.
pub(crate) struct Crc(crc_fast::Digest);

impl Crc {
    pub(crate) fn new() -> Self {
        Crc(crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The sum so far; the next one starts anew.
    pub(crate) fn take(&mut self) -> u32 {
        self.0.finalize_reset() as u32
    }
}

pub(crate) fn put_uvarint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

pub(crate) fn put_varint(out: &mut Vec<u8>, n: i64) {
    put_uvarint(out, (n << 1 ^ n >> 63) as u64);
}

pub(crate) fn put_str(out: &mut Vec<u8>, text: &str) {
    put_uvarint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// How many bytes [`put_uvarint`] takes.
pub(crate) fn uvarint_len(n: u64) -> u64 {
    u64::from((64 - (n | 1).leading_zeros()).div_ceil(7))
}

/// Walks bytes from outside: each step says `None` where they do not reach.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Cursor { bytes, at: 0 }
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(n)?)?;
        self.at += n;
        Some(taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }

    pub(crate) fn be32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    pub(crate) fn be64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_be_bytes)
    }

    pub(crate) fn uvarint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..MAX_VARINT_BYTES as u32).map(|i| 7 * i) {
            let byte = self.u8()?;
            // The tenth byte holds the 64th bit only.
            if shift == 63 && byte > 1 {
                return None;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    pub(crate) fn varint(&mut self) -> Option<i64> {
        self.uvarint().map(|n| (n >> 1) as i64 ^ -((n & 1) as i64))
    }

    /// Bytes behind their length.
    pub(crate) fn prefixed(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.uvarint()?).ok()?;
        self.take(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip() {
        for shift in 0..64 {
            for n in [1u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                put_uvarint(&mut out, n);
                put_varint(&mut out, n as i64);
                put_varint(&mut out, (n as i64).wrapping_neg());
                let mut cursor = Cursor::new(&out);
                assert_eq!(cursor.uvarint(), Some(n));
                assert_eq!(cursor.position() as u64, uvarint_len(n));
                assert_eq!(cursor.varint(), Some(n as i64));
                assert_eq!(cursor.varint(), Some((n as i64).wrapping_neg()));
                assert_eq!((cursor.remaining(), cursor.u8()), (0, None));
            }
        }
    }

    #[test]
    fn overlong_and_cut_numbers_are_refused() {
        assert_eq!(Cursor::new(&[0xff; 11]).uvarint(), None);
        assert_eq!(Cursor::new(&[0x80; 3]).uvarint(), None);
        let past = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2];
        assert_eq!(Cursor::new(&past).uvarint(), None);
        assert_eq!(
            Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 7]).prefixed(),
            None
        );
    }

    #[test]
    fn checksum_is_castagnoli() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        let mut crc = Crc::new();
        crc.update(b"12345");
        crc.update(b"6789");
        assert_eq!((crc.take(), crc.take()), (0xe306_9283, 0));
    }
}
