//! Reads fields from a message in place.

use nilometer_model::Error;

pub(crate) type Result<T, E = Malformed> = std::result::Result<T, E>;

/// How a field's value is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Bytes = 2,
}

/// What is wrong with the bytes and where, small enough to be passed up a hot path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) at: usize,
    pub(crate) expected: &'static str,
}

impl From<Malformed> for Error {
    fn from(m: Malformed) -> Error {
        Error::invalid(format!(
            "malformed protobuf: expected {} at byte {} of the decompressed body; check that the sender's \
             Content-Type names the message that it sends",
            m.expected, m.at
        ))
    }
}

/// A cursor over one message. `bytes` begins where the whole body begins and ends where this message ends,
/// so that positions of nested messages are offsets into the body as they stand.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads `bytes[at..end]`; both are clamped to the bytes that are there.
    pub(crate) fn new(bytes: &'a [u8], at: usize, end: usize) -> Self {
        let bytes = &bytes[..end.min(bytes.len())];
        Reader { bytes, at: at.min(bytes.len()) }
    }

    #[inline]
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    #[inline]
    pub(crate) fn end(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The body from its start to the end of this message.
    #[inline]
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Moves on to `at`, which a caller has found by looking at [`Reader::bytes`] itself.
    #[inline]
    pub(crate) fn skip_to(&mut self, at: usize) {
        debug_assert!(self.at <= at && at <= self.bytes.len());
        self.at = at;
    }

    #[cold]
    pub(crate) fn malformed(&self, expected: &'static str) -> Malformed {
        Malformed { at: self.at, expected }
    }

    /// The next field's tag, `None` at the message's end.
    #[inline(always)]
    pub(crate) fn tag(&mut self) -> Result<Option<u32>> {
        let Some(&first) = self.bytes.get(self.at) else { return Ok(None) };
        if (8..0x80).contains(&first) {
            self.at += 1;
            return Ok(Some(u32::from(first)));
        }
        self.long_tag().map(Some)
    }

    fn long_tag(&mut self) -> Result<u32> {
        let start = *self;
        match u32::try_from(self.varint()?) {
            Ok(tag) if tag >= 8 => Ok(tag),
            _ => Err(start.malformed("a field number from 1 to 536870911")),
        }
    }

    /// One and two bytes inline: those are the lengths and the references.
    #[inline(always)]
    pub(crate) fn varint(&mut self) -> Result<u64> {
        match *self.bytes.get(self.at..).unwrap_or_default() {
            [a, ..] if a < 0x80 => {
                self.at += 1;
                Ok(u64::from(a))
            }
            [a, b, ..] if b < 0x80 => {
                self.at += 2;
                Ok(u64::from(a & 0x7f) | u64::from(b) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for (i, &byte) in self.bytes[self.at..].iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                if i == 9 && byte > 1 {
                    break;
                }
                self.at += i + 1;
                return Ok(value);
            }
        }
        Err(self.malformed("a varint of at most 64 bits"))
    }

    /// A varint that must fit 32 bits. (Protobuf would silently drop the upper half.)
    #[inline(always)]
    pub(crate) fn varint32(&mut self) -> Result<u32> {
        let start = *self;
        u32::try_from(self.varint()?).map_err(|_| start.malformed("a varint of at most 32 bits"))
    }

    #[inline]
    pub(crate) fn int64(&mut self) -> Result<i64> {
        Ok(self.varint()? as i64)
    }

    /// Eight bytes as a float, bit for bit: NaNs carry meaning.
    #[inline]
    pub(crate) fn double(&mut self) -> Result<f64> {
        match self.bytes[self.at..].first_chunk::<8>() {
            Some(raw) => {
                self.at += 8;
                Ok(f64::from_bits(u64::from_le_bytes(*raw)))
            }
            None => Err(self.malformed("8 bytes of a double")),
        }
    }

    /// A length and as many bytes, as a reader of their own.
    #[inline(always)]
    pub(crate) fn nested(&mut self) -> Result<Reader<'a>> {
        let start = *self;
        let len = self.varint()?;
        let left = self.bytes.len() - self.at;
        if len > left as u64 {
            return Err(start.malformed("a length within its message"));
        }
        let inner = Reader { bytes: &self.bytes[..self.at + len as usize], at: self.at };
        self.at += len as usize;
        Ok(inner)
    }

    /// Passes over a field that this version does not know.
    pub(crate) fn skip(&mut self, tag: u32) -> Result<()> {
        match tag & 7 {
            0 => self.varint().map(drop),
            1 => self.double().map(drop),
            2 => self.nested().map(drop),
            5 if self.bytes.len() - self.at >= 4 => {
                self.at += 4;
                Ok(())
            }
            5 => Err(self.malformed("4 bytes of a fixed32")),
            _ => Err(self.malformed("a field of wire type 0, 1, 2 or 5")),
        }
    }

    /// Passes over a field with an unknown number; one of `known` must have come with another wire type.
    #[cold]
    pub(crate) fn unknown(&mut self, tag: u32, known: &[u32]) -> Result<()> {
        if known.contains(&(tag >> 3)) {
            return Err(self.malformed("another wire type for the field whose key ends here"));
        }
        self.skip(tag)
    }
}

#[inline]
pub(crate) fn unzigzag(raw: u64) -> i64 {
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &[u8]) -> Reader<'_> {
        Reader::new(bytes, 0, bytes.len())
    }

    #[test]
    fn varints_up_to_64_bits() {
        assert_eq!(reader(&[0x7f]).varint(), Ok(127));
        assert_eq!(reader(&[0x80, 0x01]).varint(), Ok(128));
        assert_eq!(
            reader(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]).varint(),
            Ok(u64::MAX)
        );
        assert_eq!(reader(&[0x80, 0x00]).varint(), Ok(0), "an overlong varint is a varint");
        for bad in
            [&[][..], &[0x80], &[0xff; 11], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]]
        {
            assert!(reader(bad).varint().is_err(), "{bad:x?}");
        }
    }

    #[test]
    fn tags_have_a_field_number() {
        assert_eq!(reader(&[]).tag(), Ok(None));
        assert_eq!(reader(&[0x0a]).tag(), Ok(Some(10)));
        assert_eq!(reader(&[0xf8, 0xff, 0xff, 0xff, 0x0f]).tag(), Ok(Some(0xffff_fff8)));
        assert!(reader(&[0x02]).tag().is_err());
        assert!(reader(&[0xf8, 0xff, 0xff, 0xff, 0x1f]).tag().is_err());
    }

    #[test]
    fn lengths_stay_within_their_message() {
        let bytes = [2, 0xaa, 0xbb, 0xcc];
        let mut outer = reader(&bytes);
        let inner = outer.nested().unwrap();
        assert_eq!((inner.at(), inner.end(), outer.at()), (1, 3, 3));
        assert_eq!(reader(&[3, 0, 0]).nested().err().map(|m| m.at), Some(0));
        assert!(reader(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]).nested().is_err());
    }

    #[test]
    fn groups_are_refused() {
        assert!(reader(&[0x00]).skip(0x0b).is_err());
        assert!(reader(&[0x00]).skip(0x0c).is_err());
        assert!(reader(&[0, 0, 0]).skip(0x0d).is_err());
        assert!(reader(&[0, 0, 0, 0]).skip(0x0d).is_ok());
    }

    #[test]
    fn zigzag() {
        assert_eq!([0, 1, 2, u64::MAX].map(unzigzag), [0, -1, 1, i64::MIN]);
    }
}
