//! A tenant's series in memory as a `Queryable`.

mod projected;

use crate::chunks::{ChunkPos, HotChunks, Pages, Written};
use crate::late::Late;
use crate::open::Packed;
use crate::series::Series;
use crate::state::{Cut, State};
use crate::tenant::TenantHead;
use futures::{future, stream};
use nilometer_chunk::{Encoding, encode_floats};
use nilometer_model::{Error, Matcher, Result, TimeRange};
use nilometer_storage::{
    BoxFuture, Chunk, ChunkHolder, Chunks, ExemplarSeries, Exemplars, LabelQuery, Names, Queryable,
    ReadChunks, Select, SeriesBatch, SeriesStream,
};
use parking_lot::Mutex;
use projected::Projected;
use std::sync::Arc;

/// Series of one batch: the lock is held while one is put together.
const BATCH_SERIES: usize = 64;

/// One reader's view of a head. As long as it lives, nothing that it may read leaves memory or disk.
pub(crate) struct HeadView {
    tenant: Arc<TenantHead>,
    reader: Arc<()>,
    /// Cuts whose samples this reader finds in blocks.
    skip: Arc<[Cut]>,
    hot: Arc<HotChunks>,
}

impl HeadView {
    pub(crate) fn new(tenant: Arc<TenantHead>, reader: Arc<()>, skip: Vec<Cut>, hot: Arc<HotChunks>) -> Self {
        HeadView { tenant, reader, skip: skip.into(), hot }
    }
}

impl Queryable for HeadView {
    fn select(&self, select: Select) -> SeriesStream {
        let mut inner = self.tenant.lock();
        let mut slots = inner.state.index.matching(&select.matchers);
        if !select.hints.unsorted {
            inner.state.index.sort();
            slots = inner.state.index.in_order(slots);
        }
        // Slots move when series are forgotten, ids do not.
        let ids: Vec<(u64, u32)> =
            slots.into_iter().map(|s| (inner.state.series[s as usize].id, s)).collect();
        drop(inner);
        let walk = Walk {
            tenant: self.tenant.clone(),
            reader: self.reader.clone(),
            skip: self.skip.clone(),
            hot: self.hot.clone(),
            range: select.range,
            labels_only: select.hints.labels_only,
            newest: select.hints.newest,
            projected: select.hints.projection.map(Projected::new),
            ids: ids.into_iter(),
        };
        Box::pin(stream::iter(walk))
    }

    fn label_names(&self, query: LabelQuery) -> BoxFuture<Result<Names>> {
        let inner = self.tenant.lock();
        let names = match slots_of(&inner.state, &query) {
            None => inner.state.index.label_names(None),
            Some(slots) => inner.state.index.label_names(Some(&slots)),
        };
        limited(names, query.limit)
    }

    fn label_values(&self, name: &str, query: LabelQuery) -> BoxFuture<Result<Names>> {
        let inner = self.tenant.lock();
        let values = match slots_of(&inner.state, &query) {
            None => inner.state.index.label_values(name, None),
            Some(slots) => inner.state.index.label_values(name, Some(&slots)),
        };
        limited(values, query.limit)
    }

    fn exemplars(&self, matchers: Vec<Vec<Matcher>>, range: TimeRange) -> BoxFuture<Result<Exemplars>> {
        let found = self.tenant.lock().state.extras.exemplars.matching(&matchers, range);
        let series =
            found.into_iter().map(|(labels, exemplars)| ExemplarSeries { labels, exemplars }).collect();
        Box::pin(future::ready(Ok(series)))
    }
}

fn limited(mut names: Vec<String>, limit: usize) -> BoxFuture<Result<Names>> {
    if limit > 0 {
        names.truncate(limit);
    }
    Box::pin(future::ready(Ok(Names { names, warnings: Vec::new() })))
}

/// The slots that any of the sets selects, in order; `None` where there are no sets, which is all. The index
/// knows no times, so a range either touches what the head has, or finds nothing.
fn slots_of(state: &State, query: &LabelQuery) -> Option<Vec<u32>> {
    let touched = state
        .oldest_ms()
        .is_some_and(|oldest| query.range.overlaps(&TimeRange::new(oldest, state.newest_ms)));
    if !touched {
        return Some(Vec::new());
    }
    if query.matcher_sets.is_empty() {
        return None;
    }
    let mut slots: Vec<u32> = query.matcher_sets.iter().flat_map(|set| state.index.matching(set)).collect();
    slots.sort_unstable();
    slots.dedup();
    Some(slots)
}

struct Walk {
    tenant: Arc<TenantHead>,
    reader: Arc<()>,
    skip: Arc<[Cut]>,
    hot: Arc<HotChunks>,
    range: TimeRange,
    labels_only: bool,
    newest: bool,
    projected: Option<Projected>,
    ids: std::vec::IntoIter<(u64, u32)>,
}

impl Iterator for Walk {
    type Item = Result<SeriesBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut batch = SeriesBatch::default();
        while batch.series.is_empty() && batch.warnings.is_empty() {
            if self.ids.as_slice().is_empty() {
                return None;
            }
            self.fill(&mut batch);
            if self.labels_only {
                leave_labels(&mut batch);
            }
        }
        Some(Ok(batch))
    }
}

impl Walk {
    /// Adds the next few series that may have something in the range.
    fn fill(&mut self, batch: &mut SeriesBatch) {
        let some: Vec<(u64, u32)> = self.ids.by_ref().take(BATCH_SERIES).collect();
        let inner = self.tenant.lock();
        let ended_ms = self.skip.iter().map(|cut| cut.end_ms).max().unwrap_or(i64::MIN);
        let closed = Arc::new(Closed {
            tenant: self.tenant.clone(),
            _reader: self.reader.clone(),
            written: inner.state.files.written(),
            range: self.range,
            skipped_ms: ended_ms.max(inner.state.dropped_through_ms),
            hot: self.hot.clone(),
            pages: Mutex::new(Pages::new(self.hot.clone())),
        });
        if let Some(projected) = &mut self.projected {
            projected.refresh(&inner.state.index);
        }
        for (id, hint) in some {
            let Some(slot) = inner.state.slot_of(id, hint as usize) else { continue };
            let series = &inner.state.series[slot];
            let is_there = self.labels_only && self.wanted_open(series, &closed).is_some();
            let chunks = if is_there {
                Chunks::default()
            } else {
                self.gather(series, &inner.state, &closed, &mut batch.warnings)
            };
            if is_there || !chunks.is_empty() {
                let labels = match &mut self.projected {
                    Some(projected) => projected.labels(&inner.state.index, slot as u32),
                    None => inner.state.index.labels(slot as u32),
                };
                batch.series.push(nilometer_storage::Series { labels, chunks });
            }
        }
    }

    /// The time of what is open, if any of it is wanted.
    fn wanted_open(&self, series: &Series, closed: &Closed) -> Option<TimeRange> {
        series.open.range().filter(|r| r.overlaps(&self.range) && r.max_ms >= closed.skipped_ms)
    }

    /// The chunks of one series in the range. A damaged one costs a warning, not the query.
    fn gather(
        &self,
        series: &Series,
        state: &State,
        closed: &Arc<Closed>,
        warnings: &mut Vec<String>,
    ) -> Chunks {
        let mut chunks = Chunks::default();
        let (open, since_ms) = (series.open.range(), closed.skipped_ms.max(self.range.min_ms));
        if self.newest
            && series.late.is_none()
            && let Some((t_ms, v)) = series.open.last_float().filter(|(t_ms, _)| *t_ms <= self.range.max_ms)
        {
            if t_ms >= since_ms {
                let (range, data) = (TimeRange::new(t_ms, t_ms), encode_floats([(t_ms, v)]).into());
                chunks.push(Chunk { range, encoding: Encoding::Xor, data });
            }
            return chunks;
        }
        if let Some(packed) = self.wanted_open(series, closed).and_then(|_| series.open.packed()) {
            chunks.push(chunk(packed));
        }
        // What came in order is all before the open chunk.
        let has_closed = !closed.written.is_gone(series.chain);
        if has_closed && open.is_none_or(|open| open.min_ms > since_ms) {
            chunks.push_unread(closed.clone(), series.id, series.chain.to_bits());
        }
        if let Some(late) = &series.late {
            for chunk in self.late(late, state, warnings) {
                chunks.push(chunk);
            }
        }
        chunks
    }

    fn late(&self, late: &Late, state: &State, warnings: &mut Vec<String>) -> Vec<Chunk> {
        let wanted = |id: u64| !self.skip.iter().any(|cut| cut.id == id);
        let mut chunks = Vec::new();
        for sealed in late.sealed.iter().filter(|s| s.range.overlaps(&self.range) && wanted(s.cut)) {
            match state.files.get(sealed.pos) {
                Ok(closed) => chunks.push(chunk(closed.packed)),
                Err(e) => warnings.push(damaged(&e)),
            }
        }
        let waiting = crate::open::pack(late.samples.iter().cloned()).into_iter().map(chunk);
        chunks.extend(waiting.filter(|c| c.range.overlaps(&self.range)));
        chunks
    }
}

/// Where only labels are wanted: leaves the series that have anything. Those without chunks are known to.
fn leave_labels(batch: &mut SeriesBatch) {
    let SeriesBatch { series, warnings } = batch;
    let mut read = ReadChunks::default();
    series.retain_mut(|series| {
        if series.chunks.is_empty() {
            return true;
        }
        read.load(&std::mem::take(&mut series.chunks));
        warnings.append(&mut read.warnings);
        read.iter().next().is_some()
    });
}

/// Closed chunks of the series of one batch, read without the tenant's lock.
struct Closed {
    tenant: Arc<TenantHead>,
    _reader: Arc<()>,
    written: Written,
    range: TimeRange,
    /// What is before is cut.
    skipped_ms: i64,
    hot: Arc<HotChunks>,
    pages: Mutex<Pages>,
}

impl ChunkHolder for Closed {
    fn read(&self, series: u64, place: u64, out: &mut ReadChunks) {
        let mark = out.mark();
        if self.read_chain(series, ChunkPos::from_bits(place), out).is_none() {
            out.back_to(mark);
            self.read_locked(series, out);
        }
    }
}

impl Closed {
    /// Reads a series' chunks, newest first; `None` where one cannot be read, or is not written yet.
    fn read_chain(&self, series: u64, mut pos: ChunkPos, out: &mut ReadChunks) -> Option<()> {
        let range = TimeRange::new(self.range.min_ms.max(self.skipped_ms), self.range.max_ms);
        // Two threads at one batch are rare; the second does without.
        let (mut shared, mut own) = (self.pages.try_lock(), None);
        let pages = match shared.as_deref_mut() {
            Some(pages) => pages,
            None => own.insert(Pages::new(self.hot.clone())),
        };
        while !self.written.is_gone(pos) {
            let body = self.written.get(pos, pages).filter(|body| body.series == series)?;
            if body.range.max_ms < range.min_ms {
                break;
            }
            if body.range.overlaps(&range) {
                out.push(body.range, body.encoding, body.data);
            }
            // What is before it is all out of the range.
            pos = if body.range.min_ms <= range.min_ms { ChunkPos::NONE } else { body.previous };
        }
        Some(())
    }

    /// The same with the lock, which also finds what is not written yet, and goes around damage.
    fn read_locked(&self, series: u64, out: &mut ReadChunks) {
        let inner = self.tenant.lock();
        let Some(slot) = inner.state.slot_of(series, usize::MAX) else { return };
        for closed in inner.state.series[slot].closed(self.range, self.skipped_ms, &inner.state.files) {
            match closed {
                Ok(closed) => out.push(closed.packed.range, closed.packed.encoding, &closed.packed.data),
                Err(e) => out.warnings.push(damaged(&e)),
            }
        }
    }
}

fn damaged(e: &Error) -> String {
    format!("a part of a series is damaged: {e}")
}

fn chunk(packed: Packed) -> Chunk {
    Chunk { range: packed.range, encoding: packed.encoding, data: packed.data.into() }
}
