//! Chunks: runs of samples of one series, packed into bytes exactly as Prometheus packs them.
//!
//! A chunk here is only its data; the length, the encoding byte and the checksum around it belong to the
//! file that holds it (`block`). Everything is bytes in, values out: no file, no clock, no thread.
//!
//! - [`Encoding`] names the formats by their byte on disk.
//! - [`XorState`] and [`Xor2State`] append floats to a byte vector that the caller owns, so that an open chunk
//!   costs its bytes and a few words. [`encode_columns`] makes a chunk at once.
//! - [`HistogramAppender`] appends native histograms and says when a new chunk must start.
//! - [`AggrChunk`] holds the chunks of several aggregates, of downsampled series.
//! - [`decode_floats`] fills columns at once: the path of queries. [`Samples`] walks any chunk.
//!
//! Source of the formats: Prometheus' `tsdb/chunkenc` and `tsdb/docs/format/chunks.md`, Thanos'
//! `pkg/compact/downsample` for aggregates.

pub mod aggr;
mod bits;
mod encoding;
#[doc(hidden)]
pub mod fuzz;
pub mod histogram;
mod read;
mod samples;
mod start;
mod varbit;
mod window;
pub mod xor;
pub mod xor2;

pub use aggr::{AggrChunk, Aggregate};
pub use encoding::Encoding;
pub use histogram::{Appended, ChunkCount, HistogramAppender};
pub use read::{decode_floats, encode_floats};
pub use samples::Samples;
pub use start::Stamp;
pub use xor::{XorState, encode_columns};
pub use xor2::Xor2State;
