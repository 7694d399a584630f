//! The Prometheus block: an immutable folder of series, one writer, one reader.
//!
//! ```text
//! 01ARZ3NDEKTSV4RRFFQ69G5FAV/
//!   meta.json     what it holds and where it came from      (nilometer_model::BlockMeta)
//!   index         symbols, series, postings                 (index format 2)
//!   chunks/000001 samples, at most 512 MiB a file
//!   tombstones    what was deleted since
//! ```
//!
//! - [`BlockWriter`] writes one from front to back; it is visible whole or not at all.
//! - [`Block`] answers as a `Queryable`, by ranged reads; every byte read is checked against its checksum.
//! - [`BlockDir`] is a folder of blocks: what is in it, what is left over, and how a block goes.
//! - [`Scan`] walks all of one, for who makes another of it; [`pack`] makes chunks of samples.
//! - [`verify()`] walks everything.
//!
//! Formats: Prometheus' `tsdb/docs/format/`, drawn in the heads of the modules here.

mod block;
mod bytes;
mod dir;
pub mod fuzz;
mod group;
mod index;
mod labels;
pub mod pack;
mod scan;
mod segments;
mod select;
mod source;
mod tombstones;
mod verify;
mod writer;

use nilometer_chunk::{AggrChunk, Encoding};
use nilometer_model::BlockStats;

pub use block::Block;
pub use dir::BlockDir;
pub use nilometer_storage::ChunkRef;
pub use scan::{Scan, SeriesScan, SymbolScan};
pub use tombstones::{Deleted, Tombstones};
pub use verify::{Report, verify, verify_index};
pub use writer::BlockWriter;

#[cfg(test)]
mod tests;

/// Chunks of samples begin with their number; of those with start timestamps the upper two bits of it are
/// something else. A chunk of aggregates has as many as windows, as Thanos counts them.
fn samples_of(encoding: Encoding, chunk: &[u8]) -> Option<u64> {
    if encoding == Encoding::Aggr {
        return AggrChunk::read(chunk).ok().map(|aggregates| aggregates.windows().into());
    }
    let count = u16::from_be_bytes(*chunk.first_chunk()?);
    let has_reset_bits = matches!(encoding, Encoding::HistogramSt | Encoding::FloatHistogramSt);
    Some(u64::from(if has_reset_bits { count & 0x3fff } else { count }))
}

/// Counts a chunk. Aggregates are neither floats nor histograms, as Thanos has it.
fn count(stats: &mut BlockStats, encoding: Encoding, samples: u64) {
    stats.num_chunks += 1;
    stats.num_samples += samples;
    match encoding {
        Encoding::Aggr => {}
        _ if encoding.is_float() => stats.num_float_samples += samples,
        _ => stats.num_histogram_samples += samples,
    }
}
