//! Answers of a Series call as batches of series.

use bytes::Bytes;
use nilometer_chunk::{AggrChunk, Aggregate, Encoding, Samples};
use nilometer_model::{Error, Result};
use nilometer_storage::{Chunk, Chunks, Series, SeriesBatch};
use nilometer_wire::store_api::{Aggr, ChunkParts, Response, SeriesView};

/// Collects messages until there are enough series for a batch.
#[derive(Default)]
pub(crate) struct Collector {
    batch: SeriesBatch,
    /// Of the messages that the batch has slices of.
    bytes: usize,
    /// How many there were in all.
    warnings: usize,
}

/// A batch of few series is given on too when its messages have so many bytes.
const BATCH_BYTES: usize = 4 << 20;
/// A series of which more comes is given up.
const MAX_SERIES_BYTES: usize = 256 << 20;
/// Of one answer; the rest say nothing new.
const MAX_WARNINGS: usize = 32;
const MAX_WARNING_CHARS: usize = 1024;

impl Collector {
    /// Adds a message; chunks stay slices of it.
    ///
    /// # Errors
    /// `Invalid` where it is not what it should be, or out of order; `Limit` where a series is too large.
    pub(crate) fn add(&mut self, message: &Bytes) -> Result<()> {
        match Response::read(message)? {
            Response::Other => {}
            Response::Warning(text) => self.warn(text),
            Response::Series(all) => {
                for series in all {
                    self.add_series(message, &series?)?;
                }
                self.bytes += message.len();
            }
        }
        if self.bytes > MAX_SERIES_BYTES {
            return Err(Error::limit(
                "store-series-bytes",
                MAX_SERIES_BYTES as u64,
                "one series has more: ask for a shorter time",
            ));
        }
        Ok(())
    }

    fn add_series(&mut self, message: &Bytes, series: &SeriesView<'_>) -> Result<()> {
        let labels = series.labels()?;
        let mut chunks = Chunks::default();
        for parts in series.chunks() {
            push_chunk(message, &parts?, &mut chunks)?;
        }
        match self.batch.series.last_mut() {
            // A series that is large comes in parts.
            Some(last) if last.labels == labels => last.chunks.extend(chunks),
            Some(last) if last.labels > labels => {
                return Err(Error::invalid("it sent series that are not sorted by their labels"));
            }
            _ => self.batch.series.push(Series { labels, chunks }),
        }
        Ok(())
    }

    fn warn(&mut self, text: &str) {
        if self.warnings < MAX_WARNINGS {
            self.batch.warnings.push(text.chars().take(MAX_WARNING_CHARS).collect());
        }
        self.warnings += 1;
    }

    /// A batch, if there is enough for one. The last series stays: more of it may come.
    pub(crate) fn full(&mut self) -> Option<SeriesBatch> {
        let is_full = SeriesBatch::is_full(self.batch.series.len().saturating_sub(1), self.bytes);
        if !is_full && self.bytes < BATCH_BYTES {
            return None;
        }
        let last = self.batch.series.pop()?;
        if self.batch.series.is_empty() {
            self.batch.series.push(last);
            return None;
        }
        self.bytes = last.chunks.held_bytes();
        let next = SeriesBatch { series: vec![last], warnings: Vec::new() };
        Some(std::mem::replace(&mut self.batch, next))
    }

    /// What is left at the end.
    pub(crate) fn rest(&mut self) -> Option<SeriesBatch> {
        let rest = std::mem::take(&mut self.batch);
        (!rest.series.is_empty() || !rest.warnings.is_empty()).then_some(rest)
    }
}

/// Adds nothing where nothing of it was sent.
fn push_chunk(message: &Bytes, parts: &ChunkParts<'_>, out: &mut Chunks) -> Result<()> {
    let range = parts.range();
    if parts.is_empty() {
        return Ok(());
    }
    if let Some((encoding, data)) = parts.get(Aggr::Raw) {
        let encoding = Encoding::from_byte(encoding)?;
        out.push(Chunk { range, encoding, data: message.slice_ref(data) });
        return Ok(());
    }
    let mut all = AggrChunk::default();
    for (aggr, aggregate) in AGGREGATES {
        if let Some((encoding, data)) = parts.get(aggr) {
            all = all.with(aggregate, Encoding::from_byte(encoding)?, data);
        }
    }
    let chunk = Chunk { range, encoding: Encoding::Aggr, data: all.encode().into() };
    out.extend(Chunks::from(vec![chunk]).of_resolution(resolution_ms(&all)));
    Ok(())
}

/// By their numbers in requests, and in chunks.
pub(crate) const AGGREGATES: [(Aggr, Aggregate); 5] = [
    (Aggr::Count, Aggregate::Count),
    (Aggr::Sum, Aggregate::Sum),
    (Aggr::Min, Aggregate::Min),
    (Aggr::Max, Aggregate::Max),
    (Aggr::Counter, Aggregate::Counter),
];

const FIVE_MINUTES_MS: i64 = 300_000;
const HOUR_MS: i64 = 3_600_000;

/// How long the windows of a chunk are, which nobody says: those of five minutes rarely end with an hour. 0 where it
/// cannot be told.
fn resolution_ms(chunk: &AggrChunk<'_>) -> i64 {
    // A counter begins with a sample that is no window's end; the last window of all ends early.
    let of = |aggregate| chunk.get(aggregate).map(|part| (part, aggregate == Aggregate::Counter));
    let Some(((encoding, data), is_counter)) = AGGREGATES.iter().find_map(|(_, aggregate)| of(*aggregate))
    else {
        return 0;
    };
    let Ok(samples) = Samples::new(data, encoding) else { return 0 };
    let mut ends = samples.map_while(|sample| Some(sample.ok()?.0)).skip(usize::from(is_counter)).peekable();
    let mut seen = 0;
    while let Some(end_ms) = ends.next() {
        if ends.peek().is_none() {
            break;
        }
        if end_ms.rem_euclid(HOUR_MS) != HOUR_MS - 1 {
            return FIVE_MINUTES_MS;
        }
        seen += 1;
        if seen == 2 {
            return HOUR_MS;
        }
    }
    0
}
