//! What travels: batches of series, each with its chunks.

use bytes::Bytes;
use nilometer_chunk::Encoding;
use nilometer_model::{Labels, TimeRange};

/// Some series, in the order that the stream promises; 64 to 1,024 of them but for the last batch.
#[derive(Clone, Debug, Default)]
pub struct SeriesBatch {
    pub series: Vec<Series>,
    /// What went wrong without failing the query: shown to the user as a warning.
    pub warnings: Vec<String>,
}

impl SeriesBatch {
    pub const MAX_SERIES: usize = 1024;
}

/// A series and the chunks of it that overlap the range asked for.
#[derive(Clone, Debug)]
pub struct Series {
    pub labels: Labels,
    /// Sorted by `range.min_ms`. Chunks may overlap where data came out of order or from several sources:
    /// of two samples with one timestamp, that of the earlier chunk in this list counts.
    pub chunks: Vec<Chunk>,
}

/// Encoded samples and the range that they lie in. They may reach past the range asked for.
#[derive(Clone, Debug)]
pub struct Chunk {
    pub range: TimeRange,
    pub encoding: Encoding,
    pub data: Bytes,
}
