//! Snappy's block format, the one compression that remote write knows.
//!
//! ```text
//! ┌──────────────────────────────┬──────────────────────────────────────────────┐
//! │ decompressed length (varint) │ elements: literal, or copy of earlier bytes  │ …
//! └──────────────────────────────┴──────────────────────────────────────────────┘
//! ```
//!
//! The length is the sender's claim: it is held against the caller's limit, and against what so many
//! compressed bytes can become at most, before anything is allocated.

use nilometer_model::{Error, Result};

/// A copy element of 3 bytes gives at most 64: no element gives more per byte.
const MAX_GAIN: (u64, u64) = (64, 3);

/// Bytes that grow and shrink without being zeroed again: what one request leaves behind, the next
/// overwrites.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    len: usize,
}

impl Buffer {
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Replaces the content by a copy of `plain`.
    pub fn copy_from(&mut self, plain: &[u8]) {
        self.resize(plain.len()).copy_from_slice(plain);
    }

    /// Forgets the content; keeps at most `keep_bytes` of memory.
    pub fn clear(&mut self, keep_bytes: usize) {
        self.len = 0;
        if self.bytes.capacity() > keep_bytes {
            self.bytes = Vec::new();
        }
    }

    pub fn allocated_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    fn resize(&mut self, len: usize) -> &mut [u8] {
        if self.bytes.len() < len {
            // Fresh zeroed pages are free, a grown vector would be copied and filled. Rounded up, so that
            // requests that creep upwards do not each bring a new one.
            self.bytes = vec![0; len.next_power_of_two()];
        }
        self.len = len;
        &mut self.bytes[..len]
    }
}

/// Decompresses `body` into `out`, replacing what is there.
///
/// # Errors
/// `Limit` when it claims to become more than `max_bytes`, `Invalid` when it is not snappy's block format or
/// claims more than it can hold. `out` is empty then.
pub fn decompress(body: &[u8], max_bytes: usize, out: &mut Buffer) -> Result<()> {
    out.len = 0;
    let len = claimed_len(body, max_bytes)?;
    let written = snap::raw::Decoder::new().decompress(body, out.resize(len));
    if written.as_ref().ok() != Some(&len) {
        out.len = 0;
        let why = written.map_or_else(|e| e.to_string(), |n| format!("{n} bytes of {len} came out"));
        return Err(Error::invalid(format!("the body is not valid snappy (block format): {why}")));
    }
    Ok(())
}

/// The length that `body` claims, once it is found small enough and possible.
fn claimed_len(body: &[u8], max_bytes: usize) -> Result<usize> {
    if body.is_empty() {
        return Err(Error::invalid("the body is empty; a snappy-compressed protobuf message is expected"));
    }
    let len = snap::raw::decompress_len(body).map_err(|_| {
        Error::invalid("the body does not begin with snappy's length (block format, not the framed one)")
    })?;
    if len > max_bytes {
        return Err(Error::limit(
            "max_decompressed_bytes",
            max_bytes as u64,
            format!("the body would decompress to {len} bytes; send fewer samples per request"),
        ));
    }
    let (gain, per) = MAX_GAIN;
    if len as u64 > body.len() as u64 * gain / per {
        return Err(Error::invalid(format!(
            "the body is not valid snappy: {} bytes cannot decompress to the claimed {len}",
            body.len()
        )));
    }
    Ok(len)
}

/// Compresses `plain` as senders do.
///
/// # Errors
/// `Invalid` when it is larger than the format can hold (4 GiB).
pub fn compress(plain: &[u8]) -> Result<Vec<u8>> {
    snap::raw::Encoder::new()
        .compress_vec(plain)
        .map_err(|e| Error::invalid(format!("{} bytes cannot be compressed: {e}", plain.len())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nilometer_model::Kind;

    fn roundtrip(plain: &[u8]) {
        let mut out = Buffer::default();
        decompress(&compress(plain).unwrap(), plain.len(), &mut out).unwrap();
        assert!(out.as_slice() == plain, "{} bytes changed on the way", plain.len());
    }

    #[test]
    fn round_trips_up_to_the_limit() {
        roundtrip(b"");
        roundtrip(b"a");
        roundtrip(&vec![0; 1 << 20]);
        roundtrip(
            &(0..100_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect::<Vec<_>>(),
        );
    }

    #[test]
    fn the_most_repetitive_body_stays_under_the_gain() {
        for len in [64, 1_000, 65_536, 1 << 22] {
            let body = compress(&vec![b'x'; len]).unwrap();
            assert!(len as u64 <= body.len() as u64 * MAX_GAIN.0 / MAX_GAIN.1, "{len} from {}", body.len());
        }
    }

    #[test]
    fn a_claim_is_checked_before_memory_is_taken() {
        let mut out = Buffer::default();
        let four_gib = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00, b'x'];
        let error = decompress(&four_gib, 32 << 20, &mut out).unwrap_err();
        assert_eq!(*error.kind(), Kind::Limit { name: "max_decompressed_bytes", max: 32 << 20 });
        let error = decompress(&four_gib, usize::MAX, &mut out).unwrap_err();
        assert_eq!(*error.kind(), Kind::Invalid);
        assert!(error.message().contains("cannot decompress to the claimed 4294967295"), "{error}");
        assert_eq!(out.bytes.capacity(), 0);
    }

    #[test]
    fn garbage_is_invalid_and_leaves_nothing() {
        let mut out = Buffer::default();
        let good = compress(b"some words, some words, some words").unwrap();
        let mut longer = good.clone();
        longer[0] += 1;
        let framed = b"\xff\x06\x00\x00sNaPpY";
        for bad in
            [&[][..], &[0x80], &good[..good.len() - 1], &longer, framed, &[4, 0xf0, 1], &[8, 0x01, 0x00]]
        {
            assert_eq!(*decompress(bad, 1 << 20, &mut out).unwrap_err().kind(), Kind::Invalid, "{bad:x?}");
            assert!(out.as_slice().is_empty());
        }
    }

    #[test]
    fn an_old_content_never_shows() {
        let mut out = Buffer::default();
        decompress(&compress(&[7; 5_000]).unwrap(), 1 << 20, &mut out).unwrap();
        decompress(&compress(b"short").unwrap(), 1 << 20, &mut out).unwrap();
        assert_eq!(out.as_slice(), b"short");
        out.clear(100);
        assert_eq!((out.as_slice().len(), out.bytes.capacity()), (0, 0));
    }
}
