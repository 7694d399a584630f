//! Answers of a Series call as batches of series.

use bytes::Bytes;
use nilometer_chunk::{AggrChunk, Aggregate, Encoding};
use nilometer_model::{Error, Result};
use nilometer_storage::{Chunk, Series, SeriesBatch};
use nilometer_wire::store_api::{Aggr, ChunkParts, Response};

/// Collects messages until there are enough series for a batch.
#[derive(Default)]
pub(crate) struct Collector {
    batch: SeriesBatch,
    bytes: usize,
}

/// A batch is given on when its chunks have so many bytes, or it has as many series as it may.
const BATCH_BYTES: usize = 4 << 20;

impl Collector {
    /// Adds a message; chunks stay slices of it.
    ///
    /// # Errors
    /// `Invalid` where it is not what it should be, or out of order.
    pub(crate) fn add(&mut self, message: &Bytes) -> Result<()> {
        match Response::read(message)? {
            Response::Other => {}
            Response::Warning(text) => self.batch.warnings.push(text.to_owned()),
            Response::Series(all) => {
                for series in all {
                    let series = series?;
                    let labels = series.labels()?;
                    let chunks = series
                        .chunks()
                        .filter_map(|parts| parts.and_then(|p| chunk(message, &p)).transpose());
                    let chunks: Vec<Chunk> = chunks.collect::<Result<_>>()?;
                    self.bytes += chunks.iter().map(|chunk| chunk.data.len()).sum::<usize>();
                    match self.batch.series.last_mut() {
                        // A series that is large comes in parts.
                        Some(last) if last.labels == labels => last.chunks.extend(chunks.into()),
                        Some(last) if last.labels > labels => {
                            return Err(Error::invalid("it sent series that are not sorted by their labels"));
                        }
                        _ => self.batch.series.push(Series { labels, chunks: chunks.into() }),
                    }
                }
            }
        }
        Ok(())
    }

    /// A batch, if there is enough for one. The last series stays: more of it may come.
    pub(crate) fn full(&mut self) -> Option<SeriesBatch> {
        if self.batch.series.len() <= SeriesBatch::MAX_SERIES && self.bytes < BATCH_BYTES {
            return None;
        }
        let last = self.batch.series.pop()?;
        if self.batch.series.is_empty() {
            self.batch.series.push(last);
            return None;
        }
        self.bytes = 0;
        let next = SeriesBatch { series: vec![last], warnings: Vec::new() };
        Some(std::mem::replace(&mut self.batch, next))
    }

    /// What is left at the end.
    pub(crate) fn rest(&mut self) -> Option<SeriesBatch> {
        let rest = std::mem::take(&mut self.batch);
        (!rest.series.is_empty() || !rest.warnings.is_empty()).then_some(rest)
    }
}

/// `None` where nothing of it was sent.
fn chunk(message: &Bytes, parts: &ChunkParts<'_>) -> Result<Option<Chunk>> {
    let range = parts.range();
    if parts.is_empty() {
        return Ok(None);
    }
    if let Some((encoding, data)) = parts.get(Aggr::Raw) {
        let encoding = Encoding::from_byte(encoding)?;
        return Ok(Some(Chunk { range, encoding, data: message.slice_ref(data) }));
    }
    let mut all = AggrChunk::default();
    for (aggr, aggregate) in [
        (Aggr::Count, Aggregate::Count),
        (Aggr::Sum, Aggregate::Sum),
        (Aggr::Min, Aggregate::Min),
        (Aggr::Max, Aggregate::Max),
        (Aggr::Counter, Aggregate::Counter),
    ] {
        if let Some((encoding, data)) = parts.get(aggr) {
            all = all.with(aggregate, Encoding::from_byte(encoding)?, data);
        }
    }
    Ok(Some(Chunk { range, encoding: Encoding::Aggr, data: all.encode().into() }))
}
