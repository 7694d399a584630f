//! The series of a block that match, batch by batch.

use crate::Block;
use crate::index::{Plan, SeriesEntry, SymbolCache, plan};
use crate::recode;
use crate::segments::ChunkWindow;
use crate::source::Window;
use bytes::Bytes;
use nilometer_model::{Error, Kind, Labels, Result};
use nilometer_storage::{Chunk, Select, Series, SeriesBatch};

/// Each step is one batch, read and checked on the thread that asks.
pub(crate) struct SelectIter {
    block: Block,
    select: Select,
    /// Made at the first step.
    plan: Option<Plan>,
    next: usize,
    given: usize,
    last: Option<Labels>,
    reader: Reader,
    damage: Damage,
    failed: bool,
}

/// What reading goes on with from series to series.
#[derive(Default)]
struct Reader {
    entries: Window,
    chunks: ChunkWindow,
    symbols: SymbolCache,
    entry: SeriesEntry,
}

/// Warnings, as many as a user can read.
#[derive(Default)]
struct Damage {
    warnings: Vec<String>,
    seen: usize,
}

impl SelectIter {
    /// A batch is full with so many bytes of chunks, if it has some series.
    const BATCH_BYTES: usize = 1 << 20;
    const MIN_BATCH_SERIES: usize = 64;

    pub(crate) fn new(block: Block, select: Select) -> Self {
        SelectIter {
            block,
            select,
            plan: None,
            next: 0,
            given: 0,
            last: None,
            reader: Reader::default(),
            damage: Damage::default(),
            failed: false,
        }
    }

    fn make_plan(&mut self) -> Result<Plan> {
        if !self.block.meta().range().overlaps(&self.select.range) {
            return Ok(Plan { refs: Vec::new(), filter: Vec::new(), warnings: Vec::new() });
        }
        let mut plan = plan(&self.block.0.index, &self.select.matchers)?;
        for damage in plan.warnings.drain(..) {
            self.damage.note(&damage);
        }
        Ok(plan)
    }

    fn next_batch(&mut self) -> Result<Option<SeriesBatch>> {
        let plan = match self.plan.take() {
            Some(plan) => plan,
            None => self.make_plan()?,
        };
        let (mut batch, mut bytes) = (SeriesBatch::default(), 0);
        let limit = if self.select.hints.limit == 0 { usize::MAX } else { self.select.hints.limit };
        while let Some(&reference) = plan.refs.get(self.next)
            && self.given < limit
            && batch.series.len() < SeriesBatch::MAX_SERIES
            && (bytes < Self::BATCH_BYTES || batch.series.len() < Self::MIN_BATCH_SERIES)
        {
            self.next += 1;
            match self.read_series(reference, &plan) {
                Ok(Some(series)) => {
                    bytes += series.chunks.iter().map(|c| c.data.len()).sum::<usize>();
                    self.given += 1;
                    batch.series.push(series);
                }
                Ok(None) => {}
                Err(e) if is_damage(&e) => self.damage.note(&e),
                Err(e) => return Err(e),
            }
        }
        let more = self.next < plan.refs.len() && self.given < limit;
        self.plan = Some(plan);
        if !more {
            self.damage.close();
        }
        batch.warnings = std::mem::take(&mut self.damage.warnings);
        Ok((!batch.series.is_empty() || !batch.warnings.is_empty() || more).then_some(batch))
    }

    fn read_series(&mut self, reference: u32, plan: &Plan) -> Result<Option<Series>> {
        let (index, reader, range) = (&self.block.0.index, &mut self.reader, self.select.range);
        index.series.read(&mut reader.entries, &index.source, reference, &mut reader.entry)?;
        let deleted = self.block.0.tombstones.of(reference);
        reader.entry.chunks.retain(|c| c.range.overlaps(&range) && !deleted.covers(c.range));
        if reader.entry.chunks.is_empty() {
            return Ok(None);
        }
        let labels = index.labels(&reader.entry, &mut reader.symbols)?;
        if !plan.filter.iter().all(|m| m.matches_labels(&labels)) {
            return Ok(None);
        }
        if self.last.as_ref().is_some_and(|last| *last >= labels) {
            return Err(index.corrupt(reference, format!("series {labels} is not in order")));
        }
        self.last = Some(labels.clone());
        if self.select.hints.labels_only {
            return Ok(Some(Series { labels, chunks: Vec::new() }));
        }
        let chunks = self.read_chunks(reference)?;
        Ok((!chunks.is_empty()).then_some(Series { labels, chunks }))
    }

    /// The chunks of the entry that was read, those that are damaged left out. They share one allocation.
    fn read_chunks(&mut self, reference: u32) -> Result<Vec<Chunk>> {
        let deleted = self.block.0.tombstones.of(reference);
        let (mut data, mut places) = (Vec::new(), Vec::with_capacity(self.reader.entry.chunks.len()));
        let mut put = |range, encoding, bytes: &[u8]| {
            data.extend_from_slice(bytes);
            places.push((range, encoding, data.len() - bytes.len()..data.len()));
        };
        for chunk in &self.reader.entry.chunks {
            let read = self.block.0.segments.read(&mut self.reader.chunks, chunk.reference);
            let done = read.and_then(|(encoding, bytes)| {
                if !deleted.touches(chunk.range) {
                    put(chunk.range, encoding, bytes);
                    return Ok(());
                }
                for (range, encoding, bytes) in recode::without(deleted, encoding, bytes)? {
                    put(range, encoding, &bytes);
                }
                Ok(())
            });
            match done {
                Ok(()) => {}
                Err(e) if is_damage(&e) => self.damage.note(&e),
                Err(e) => return Err(e),
            }
        }
        let data = Bytes::from(data);
        let chunk = |(range, encoding, place)| Chunk { range, encoding, data: data.slice(place) };
        let mut chunks: Vec<_> = places.into_iter().map(chunk).collect();
        if !chunks.is_sorted_by_key(|c| c.range.min_ms) {
            chunks.sort_by_key(|c| c.range.min_ms);
        }
        Ok(chunks)
    }
}

impl Iterator for SelectIter {
    type Item = Result<SeriesBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let batch = self.next_batch();
        self.failed = batch.is_err();
        batch.transpose()
    }
}

impl Damage {
    const MAX_WARNINGS: usize = 10;

    fn note(&mut self, damage: &Error) {
        self.seen += 1;
        if self.seen <= Self::MAX_WARNINGS {
            self.warnings.push(damage.to_string());
        }
    }

    /// Says how many were not named.
    fn close(&mut self) {
        let more = self.seen.saturating_sub(Self::MAX_WARNINGS);
        if more > 0 {
            self.warnings.push(format!("{more} more damaged series or chunks of the block are left out"));
            self.seen = 0;
        }
    }
}

/// What leaves out one series or chunk, and lets all others be read. Reading anew would not help.
fn is_damage(e: &Error) -> bool {
    matches!(e.kind(), Kind::Corrupt { .. } | Kind::Invalid)
}
