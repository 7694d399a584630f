//! Histogram chunks as a column of float histograms.

use nilometer_model::{Error, FloatHistogram, Result};
use nilometer_storage::Chunk;
use std::sync::Arc;

/// Appends the chunk's samples.
pub(super) fn decode(chunk: &Chunk, _t: &mut Vec<i64>, _h: &mut Vec<Arc<FloatHistogram>>) -> Result<()> {
    Err(Error::invalid(format!("chunks of encoding {} are not decoded yet", chunk.encoding)))
}
