//! What travels: batches of series, each with its chunks.

use crate::Chunks;
use nilometer_model::Labels;

/// Some series, in the order that the stream promises; 16 to 1,024 of them but for the last batch.
#[derive(Clone, Debug, Default)]
pub struct SeriesBatch {
    pub series: Vec<Series>,
    /// What went wrong without failing the query: shown to the user as a warning.
    pub warnings: Vec<String>,
}

impl SeriesBatch {
    pub const MAX_SERIES: usize = 1024;
    const SOME_SERIES: usize = 16;
    const ENOUGH_BYTES: usize = 256 << 10;

    /// Whether a batch of so many series with so many bytes of chunks is to go on its way. Many batches are on their
    /// way at once, of each block of a query some, and a series may have a year of chunks.
    pub fn is_full(series: usize, bytes: usize) -> bool {
        series >= Self::MAX_SERIES || series >= Self::SOME_SERIES && bytes >= Self::ENOUGH_BYTES
    }
}

/// A series and the chunks of it that overlap the range asked for.
#[derive(Clone, Debug)]
pub struct Series {
    pub labels: Labels,
    pub chunks: Chunks,
}
