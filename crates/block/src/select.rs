//! The series of a block that match, batch by batch.

use crate::Block;
use crate::block::{OpenBlock, is_damage};
use crate::group::{Damage, GroupChunks};
use crate::index::{ChunkMeta, Plan, SeriesEntry, SymbolCache, plan};
use crate::source::Window;
use futures::Stream;
use nilometer_model::{Error, Labels, Matcher, Result, TimeRange};
use nilometer_storage::{Chunks, ReadChunks, Select, Series, SeriesBatch};
use std::collections::VecDeque;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Each step is one batch, read and checked on the thread that asks, but for the chunks of near files.
pub(crate) struct Selection {
    block: Block,
    select: Select,
    /// Made at the first step.
    plan: Option<(Arc<OpenBlock>, Plan)>,
    next: usize,
    /// How many series may still be given.
    left: usize,
    last: Option<Labels>,
    /// Series that match and were not given yet, and where their chunks are.
    found: VecDeque<Found>,
    group: Option<Arc<GroupChunks>>,
    batch: SeriesBatch,
    batch_bytes: usize,
    reader: Reader,
    damage: Arc<Damage>,
    done: bool,
}

struct Found {
    reference: u32,
    labels: Labels,
    /// Where in the group they are.
    chunks: Range<usize>,
}

/// What reading goes on with from series to series.
#[derive(Default)]
struct Reader {
    entries: Window,
    symbols: SymbolCache,
    entry: SeriesEntry,
    scratch: Vec<u8>,
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
            group: None,
            batch: SeriesBatch::default(),
            batch_bytes: 0,
            reader: Reader::default(),
            damage: Arc::default(),
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
                self.note(&e);
                return Ok(None);
            }
            open => open?,
        };
        let mut plan = plan(&open.index, &self.select.matchers)?;
        for damage in plan.warnings.drain(..) {
            self.note(&damage);
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
            let Some(chunks) = self.chunks_of(&found)? else { continue };
            self.batch_bytes += found.labels.as_bytes().len() + chunks.held_bytes();
            self.left -= 1;
            self.batch.series.push(Series { labels: found.labels, chunks });
        }
        let ends = self.left == 0 || self.found.is_empty() && self.next >= plan.refs.len();
        self.plan = Some((open, plan));
        Ok(Poll::Ready(self.take_batch(ends)))
    }

    /// Reads the entries of the next few series.
    fn find(&mut self, open: &Arc<OpenBlock>, plan: &Plan) -> Result<()> {
        let group = Self::GROUP_SERIES.min(self.left);
        let end = self.next.saturating_add(group).min(plan.refs.len());
        let references = &plan.refs[self.next..end];
        self.next = end;
        open.index.series.will_need(&open.index.source, references);
        let mut chunks = Vec::new();
        for &reference in references {
            match self.read_entry(open, (reference, &plan.filter), &mut chunks) {
                Ok(found) => self.found.extend(found),
                Err(e) if is_damage(&e) => self.note(&e),
                Err(e) => return Err(e),
            }
        }
        if !self.select.hints.labels_only {
            open.segments.will_need(chunks.iter().map(|chunk| chunk.reference));
            let (block, aggregates) = ((self.block.clone(), open.clone()), self.select.hints.aggregates);
            self.group = Some(Arc::new(GroupChunks::new(block, chunks, aggregates, self.damage.clone())));
        }
        Ok(())
    }

    /// The chunks of a series, to be read by who wants them, or here if that may take long. `None`: none of them can be
    /// read.
    fn chunks_of(&mut self, found: &Found) -> Result<Option<Chunks>> {
        let mut chunks = Chunks::default();
        let Some(group) = &self.group else { return Ok(Some(chunks)) };
        if group.are_far() {
            let mut read = ReadChunks::default();
            std::mem::swap(&mut read.scratch, &mut self.reader.scratch);
            group.read_some(found.reference, found.chunks.clone(), &mut read)?;
            self.batch.warnings.append(&mut read.warnings);
            std::mem::swap(&mut read.scratch, &mut self.reader.scratch);
            chunks = Chunks::from(read);
            if chunks.is_empty() {
                return Ok(None);
            }
        } else {
            let place = GroupChunks::place(found.chunks.clone());
            chunks.push_unread(group.clone(), found.reference.into(), place);
        }
        Ok(Some(chunks.of_resolution(self.block.meta().resolution_ms())))
    }

    fn note(&mut self, damage: &Error) {
        self.damage.note(&self.block, damage, &mut self.batch.warnings);
    }

    fn take_batch(&mut self, ends: bool) -> Option<SeriesBatch> {
        if ends {
            self.done = true;
        }
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        (!batch.series.is_empty() || !batch.warnings.is_empty()).then_some(batch)
    }

    /// A series that matches, with its chunks behind those of others.
    fn read_entry(
        &mut self,
        open: &OpenBlock,
        (reference, filter): (u32, &[Matcher]),
        chunks: &mut Vec<ChunkMeta>,
    ) -> Result<Option<Found>> {
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
        let before = chunks.len();
        chunks.extend_from_slice(&reader.entry.chunks);
        Ok(Some(Found { reference, labels, chunks: before..chunks.len() }))
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
