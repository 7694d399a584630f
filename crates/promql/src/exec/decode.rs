//! Chunks read sample by sample: histograms, and floats where start timestamps are wanted.

use nilometer_chunk::Samples as ChunkSamples;
use nilometer_model::{FloatHistogram, Result, Value};
use nilometer_storage::ChunkRef;
use std::sync::Arc;

/// Appends the chunk's histograms, and their start timestamps.
pub(super) fn histograms(
    chunk: ChunkRef<'_>,
    t: &mut Vec<i64>,
    h: &mut Vec<Arc<FloatHistogram>>,
    starts: Option<&mut Vec<i64>>,
) -> Result<()> {
    let mut samples = ChunkSamples::new(chunk.data, chunk.encoding)?;
    let mut all_starts = Vec::new();
    while let Some(sample) = samples.next() {
        let (t_ms, value) = sample?;
        let histogram = match value {
            Value::Float(_) => continue,
            Value::Int(int) => Arc::new(int.to_float()),
            Value::FloatHistogram(float) => float,
        };
        t.push(t_ms);
        h.push(histogram);
        all_starts.push(samples.start_ms());
    }
    if let Some(starts) = starts {
        starts.append(&mut all_starts);
    }
    Ok(())
}

/// The start timestamps of a chunk of floats.
pub(super) fn float_starts(chunk: ChunkRef<'_>, starts: &mut Vec<i64>) -> Result<()> {
    let mut samples = ChunkSamples::new(chunk.data, chunk.encoding)?;
    while let Some(sample) = samples.next() {
        sample?;
        starts.push(samples.start_ms());
    }
    Ok(())
}
