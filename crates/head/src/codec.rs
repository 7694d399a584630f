//! Numbers and strings as bytes, for the bodies of log records and snapshots.

use nilometer_model::{Error, Labels, Result};

pub(crate) fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Small for numbers near 0 on both sides.
pub(crate) fn put_varint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, ((value << 1) ^ (value >> 63)) as u64);
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uvarint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(crate) fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    put_uvarint(out, labels.len() as u64);
    for (name, value) in labels {
        put_bytes(out, name.as_bytes());
        put_bytes(out, value.as_bytes());
    }
}

/// Takes values from the front of a body; an error says that it is shorter or other than it should be.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(*self.array()?))
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N]> {
        let (head, rest) = self.0.split_first_chunk().ok_or_else(short)?;
        self.0 = rest;
        Ok(head)
    }

    #[inline]
    pub(crate) fn uvarint(&mut self) -> Result<u64> {
        // Most numbers are small.
        if let Some((&byte, rest)) = self.0.split_first()
            && byte < 0x80
        {
            self.0 = rest;
            return Ok(u64::from(byte));
        }
        self.long_uvarint()
    }

    fn long_uvarint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::invalid("a number is longer than ten bytes"))
    }

    pub(crate) fn varint(&mut self) -> Result<i64> {
        let raw = self.uvarint()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = usize::try_from(self.uvarint()?).map_err(|_| short())?;
        let (head, rest) = self.0.split_at_checked(len).ok_or_else(short)?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn str(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Error::invalid("a text is not UTF-8"))
    }

    /// The bytes of labels, not looked at.
    pub(crate) fn skip_labels(&mut self) -> Result<&'a [u8]> {
        let whole = self.0;
        for _ in 0..self.uvarint()? {
            self.bytes()?;
            self.bytes()?;
        }
        Ok(&whole[..whole.len() - self.0.len()])
    }

    pub(crate) fn labels(&mut self) -> Result<Labels> {
        let count = self.uvarint()?;
        let mut pairs = Vec::new();
        for _ in 0..count {
            pairs.push((self.str()?, self.str()?));
        }
        Ok(Labels::from_pairs(pairs))
    }
}

fn short() -> Error {
    Error::invalid("a body ends too early")
}
