//! Histogram chunks: encodings 2 (integer counts) and 3 (float counts), and 5 and 6, which are the same with
//! start timestamps.
//!
//! ```text
//!             ┌─────────────┬──────────────────────┬────────┬──────────┬───
//! 2, 3        │ count <u16> │ reset <2 bit> 0 <6>  │ layout │ sample 0 │ sample 1 …
//!             ├─────────────┴──────────┬───────────┼────────┼──────────┼─────────┬───
//! 5, 6        │ reset <2> count <14>   │ starts <8>│ layout │ sample 0 │ start 0 │ sample 1 …
//!             └────────────────────────┴───────────┴────────┴──────────┴─────────┴───
//! reset: 00 unknown, 10 counter reset, 01 no counter reset, 11 gauge
//! ```
//!
//! The first sample dictates the layout (`layout`), all others have the same buckets; how counts are stored
//! is in `count`, where the integer and the float kind differ. Starts: see `start`.

mod append;
mod count;
mod decode;
mod layout;
mod merge;
mod state;

pub use append::{Appended, HistogramAppender};
pub use count::ChunkCount;
pub(crate) use decode::HistogramDecoder;

use crate::Encoding;
use crate::read::corrupt;
use nilometer_model::{CounterReset, Result};

/// Bytes in front of the layout.
const HEADER_BYTES: usize = 3;

/// What the chunk's first bytes tell of counter resets: whether its first sample counts on from the chunk
/// that was before it when it was written, or whether all of it are gauges.
pub fn counter_reset(chunk: &[u8], encoding: Encoding) -> Result<CounterReset> {
    Ok(Header::read(chunk, has_starts(encoding))?.reset)
}

fn has_starts(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::HistogramSt | Encoding::FloatHistogramSt)
}

#[derive(Clone, Copy, Debug)]
struct Header {
    count: u16,
    reset: CounterReset,
    /// The header of the starts, 0 in chunks without them.
    starts: u8,
}

impl Header {
    /// The most samples that the count has room for.
    fn max_count(with_starts: bool) -> u16 {
        if with_starts { 0x3fff } else { u16::MAX }
    }

    fn read(chunk: &[u8], with_starts: bool) -> Result<Header> {
        let Some(&[high, low, third]) = chunk.first_chunk() else {
            return Err(corrupt(0, format!("a chunk of {} bytes is shorter than its header", chunk.len())));
        };
        let (flags, starts) = if with_starts { (high, third) } else { (third, 0) };
        let reset = match flags >> 6 {
            0b00 => CounterReset::Unknown,
            0b10 => CounterReset::Reset,
            0b01 => CounterReset::NotReset,
            _ => CounterReset::Gauge,
        };
        let count = u16::from_be_bytes([high, low]) & Header::max_count(with_starts);
        // A sample takes four bits at the very least; this bounds the work that a false count makes.
        if usize::from(count) > (chunk.len() - HEADER_BYTES) * 8 {
            return Err(corrupt(0, format!("a chunk of {} bytes says it has {count} samples", chunk.len())));
        }
        Ok(Header { count, reset, starts })
    }

    fn write(self, chunk: &mut [u8], with_starts: bool) {
        let flags = match self.reset {
            CounterReset::Unknown => 0,
            CounterReset::Reset => 0b10,
            CounterReset::NotReset => 0b01,
            CounterReset::Gauge => 0b11,
        } << 6;
        let [high, low] = self.count.to_be_bytes();
        let bytes = if with_starts { [high | flags, low, self.starts] } else { [high, low, flags] };
        chunk[..HEADER_BYTES].copy_from_slice(&bytes);
    }
}

#[cfg(test)]
mod tests;
