//! What travels: batches of series, each with its chunks.

use crate::Chunks;
use nilometer_model::Labels;

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
    pub chunks: Chunks,
}
