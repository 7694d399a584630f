//! The series of a block that match, batch by batch.

use crate::Block;
use crate::block::{OpenBlock, is_damage};
use crate::index::{ChunkMeta, Plan, SeriesEntry, SymbolCache, plan};
use crate::pack;
use crate::segments::ChunkWindow;
use crate::source::Window;
use bytes::Bytes;
use futures::Stream;
use nilometer_chunk::{AggrChunk, Encoding};
use nilometer_model::{Error, Labels, Matcher, Result, TimeRange};
use nilometer_storage::{Chunk, ChunkRef, Chunks, ReadChunks, Select, Series, SeriesBatch};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Each step is one batch, read and checked on the thread that asks.
pub(crate) struct Selection {
    block: Block,
    select: Select,
    /// Made at the first step.
    plan: Option<(Arc<OpenBlock>, Plan)>,
    next: usize,
    /// How many series may still be given.
    left: usize,
    last: Option<Labels>,
    /// Series that match, whose chunks are not read yet.
    found: VecDeque<Found>,
    batch: SeriesBatch,
    batch_bytes: usize,
    reader: Reader,
    damage: Damage,
    done: bool,
}

struct Found {
    reference: u32,
    labels: Labels,
    chunks: Vec<ChunkMeta>,
}

/// What reading goes on with from series to series.
#[derive(Default)]
struct Reader {
    entries: Window,
    chunks: ChunkWindow,
    symbols: SymbolCache,
    entry: SeriesEntry,
    data: Vec<u8>,
}

/// Warnings, as many as a user can read.
#[derive(Default)]
struct Damage {
    warnings: Vec<String>,
    seen: usize,
}

impl Selection {
    /// After so many that did not match the thread is given back for a moment.
    const PAUSE_SERIES: usize = 8192;
    /// The entries of so many series are read before their chunks, so that a file far away is asked for all at once.
    const GROUP_SERIES: usize = 256;

    pub(crate) fn new(block: Block, mut select: Select) -> Self {
        let limit = select.hints.limit;
        select.range = reach(select.range, block.meta().resolution_ms(), select.hints.newest);
        Selection {
            block,
            select,
            plan: None,
            next: 0,
            left: if limit == 0 { usize::MAX } else { limit },
            last: None,
            found: VecDeque::new(),
            batch: SeriesBatch::default(),
            batch_bytes: 0,
            reader: Reader::default(),
            damage: Damage::default(),
            done: false,
        }
    }

    /// Nothing where there is nothing to read.
    fn make_plan(&mut self) -> Result<Option<(Arc<OpenBlock>, Plan)>> {
        if !self.block.meta().range().overlaps(&self.select.range) {
            return Ok(None);
        }
        let open = match self.block.open() {
            Err(e) if is_damage(&e) => {
                self.damage.note(&self.block, &e);
                return Ok(None);
            }
            open => open?,
        };
        let mut plan = plan(&open.index, &self.select.matchers)?;
        for damage in plan.warnings.drain(..) {
            self.damage.note(&self.block, &damage);
        }
        Ok(Some((open, plan)))
    }

    fn is_full(&self) -> bool {
        SeriesBatch::is_full(self.batch.series.len(), self.batch_bytes)
    }

    /// The next batch, `None` at the end; or not ready, so that others get their turn.
    fn step(&mut self) -> Result<Poll<Option<SeriesBatch>>> {
        let ready = match self.plan.take() {
            Some(plan) => Some(plan),
            None => self.make_plan()?,
        };
        let Some((open, plan)) = ready else { return Ok(Poll::Ready(self.take_batch(true))) };
        let pause_at = self.next + Self::PAUSE_SERIES;
        while self.left > 0 && !self.is_full() {
            let Some(found) = self.found.pop_front() else {
                if self.next >= plan.refs.len() {
                    break;
                }
                if self.next >= pause_at {
                    self.plan = Some((open, plan));
                    return Ok(Poll::Pending);
                }
                self.find(&open, &plan)?;
                continue;
            };
            let chunks = match self.select.hints.labels_only {
                true => Chunks::default(),
                false => match self.read_chunks(&open, &found)? {
                    chunks if chunks.is_empty() => continue,
                    chunks => Chunks::from(chunks).of_resolution(self.block.meta().resolution_ms()),
                },
            };
            self.left -= 1;
            self.batch.series.push(Series { labels: found.labels, chunks });
        }
        let ends = self.left == 0 || self.found.is_empty() && self.next >= plan.refs.len();
        self.plan = Some((open, plan));
        Ok(Poll::Ready(self.take_batch(ends)))
    }

    /// Reads the entries of the next few series.
    fn find(&mut self, open: &OpenBlock, plan: &Plan) -> Result<()> {
        let group = Self::GROUP_SERIES.min(self.left);
        let end = self.next.saturating_add(group).min(plan.refs.len());
        let references = &plan.refs[self.next..end];
        self.next = end;
        open.index.series.will_need(&open.index.source, references);
        for &reference in references {
            match self.read_entry(open, reference, &plan.filter) {
                Ok(found) => self.found.extend(found),
                Err(e) if is_damage(&e) => self.damage.note(&self.block, &e),
                Err(e) => return Err(e),
            }
        }
        if !self.select.hints.labels_only {
            let chunks = self.found.iter().flat_map(|found| &found.chunks);
            open.segments.will_need(chunks.map(|chunk| chunk.reference));
        }
        Ok(())
    }

    fn take_batch(&mut self, ends: bool) -> Option<SeriesBatch> {
        if ends {
            self.done = true;
            self.damage.close();
        }
        self.batch.warnings.append(&mut self.damage.warnings);
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        (!batch.series.is_empty() || !batch.warnings.is_empty()).then_some(batch)
    }

    fn read_entry(&mut self, open: &OpenBlock, reference: u32, filter: &[Matcher]) -> Result<Option<Found>> {
        let (index, reader, range) = (&open.index, &mut self.reader, self.select.range);
        index.series.read(&mut reader.entries, &index.source, reference, &mut reader.entry)?;
        let deleted = open.tombstones.of(reference);
        reader.entry.chunks.retain(|c| c.range.overlaps(&range) && !deleted.covers(c.range));
        if reader.entry.chunks.is_empty() {
            return Ok(None);
        }
        let labels = index.labels(&reader.entry, &mut reader.symbols)?;
        if !filter.iter().all(|m| m.matches_labels(&labels)) {
            return Ok(None);
        }
        if self.last.as_ref().is_some_and(|last| *last >= labels) {
            return Err(index.corrupt(reference, format!("series {labels} is not in order")));
        }
        self.last = Some(labels.clone());
        Ok(Some(Found { reference, labels, chunks: reader.entry.chunks.clone() }))
    }

    /// The chunks of a series, those that are damaged left out. They share one allocation.
    fn read_chunks(&mut self, open: &OpenBlock, found: &Found) -> Result<Vec<Chunk>> {
        let deleted = open.tombstones.of(found.reference);
        let (mut data, mut places) =
            (std::mem::take(&mut self.reader.data), Vec::with_capacity(found.chunks.len()));
        data.clear();
        let aggregates = self.select.hints.aggregates;
        let mut put = |range, encoding, bytes: &[u8]| {
            let start = data.len();
            match aggregates.filter(|_| encoding == Encoding::Aggr).map(|kept| (kept, AggrChunk::read(bytes)))
            {
                Some((kept, Ok(chunk))) => chunk.only(kept).encode_to(&mut data),
                // What is wrong with it is told by who decodes it.
                _ => data.extend_from_slice(bytes),
            }
            places.push((range, encoding, start..data.len()));
        };
        for chunk in &found.chunks {
            let read = open.segments.read(&mut self.reader.chunks, chunk.reference);
            let done = read.and_then(|(encoding, bytes)| {
                if !deleted.touches(chunk.range) {
                    put(chunk.range, encoding, bytes);
                    return Ok(());
                }
                let mut left = ReadChunks::default();
                pack::without(deleted, ChunkRef { range: chunk.range, encoding, data: bytes }, &mut left)?;
                left.iter().for_each(|left| put(left.range, left.encoding, left.data));
                Ok(())
            });
            match done {
                Ok(()) => {}
                Err(e) if is_damage(&e) => self.damage.note(&self.block, &e),
                Err(e) => return Err(e),
            }
        }
        self.batch_bytes += data.len();
        let shared = Bytes::copy_from_slice(&data);
        self.reader.data = data;
        let chunk = |(range, encoding, place)| Chunk { range, encoding, data: shared.slice(place) };
        Ok(places.into_iter().map(chunk).collect())
    }
}

/// What of a block is looked at for a range. A downsampled sample stands for a window of time, at the end of it: so
/// also the windows that only reach into the range are wanted, and the one that is seen until the first of them ends.
fn reach(range: TimeRange, resolution_ms: i64, newest: bool) -> TimeRange {
    let after_ms = if newest { 0 } else { resolution_ms };
    TimeRange::new(
        range.min_ms.saturating_sub(resolution_ms.saturating_mul(2)),
        range.max_ms.saturating_add(after_ms),
    )
}

impl Stream for Selection {
    type Item = Result<SeriesBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.done {
            return Poll::Ready(None);
        }
        match self.step() {
            Ok(Poll::Ready(batch)) => Poll::Ready(batch.map(Ok)),
            Ok(Poll::Pending) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Err(e) => {
                self.done = true;
                Poll::Ready(Some(Err(e)))
            }
        }
    }
}

impl Damage {
    const MAX_WARNINGS: usize = 10;

    fn note(&mut self, block: &Block, damage: &Error) {
        block.count_damage();
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
