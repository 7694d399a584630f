//! A tenant's series in memory as a `Queryable`.

use crate::chunks::Pages;
use crate::open::Packed;
use crate::series::Series;
use crate::state::{Cut, State};
use crate::tenant::TenantHead;
use futures::{future, stream};
use nilometer_model::{Matcher, Result, TimeRange};
use nilometer_storage::{
    BoxFuture, Chunk, ExemplarSeries, Exemplars, LabelQuery, Names, Queryable, Select, SeriesBatch,
    SeriesStream,
};
use std::cell::RefCell;
use std::sync::Arc;

/// Series of one batch: the lock is held while one is put together.
const BATCH_SERIES: usize = 128;

/// One reader's view of a head. As long as it lives, nothing that it may read leaves memory or disk.
pub(crate) struct HeadView {
    tenant: Arc<TenantHead>,
    reader: Arc<()>,
    /// Cuts whose samples this reader finds in blocks.
    skip: Arc<[Cut]>,
}

impl HeadView {
    pub(crate) fn new(tenant: Arc<TenantHead>, reader: Arc<()>, skip: Vec<Cut>) -> Self {
        HeadView { tenant, reader, skip: skip.into() }
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
            _reader: self.reader.clone(),
            skip: self.skip.clone(),
            range: select.range,
            labels_only: select.hints.labels_only,
            ids: ids.into_iter(),
            pages: RefCell::default(),
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
    _reader: Arc<()>,
    skip: Arc<[Cut]>,
    range: TimeRange,
    labels_only: bool,
    ids: std::vec::IntoIter<(u64, u32)>,
    pages: RefCell<Pages>,
}

impl Iterator for Walk {
    type Item = Result<SeriesBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut batch = SeriesBatch::default();
        while batch.series.is_empty() && batch.warnings.is_empty() {
            if self.ids.as_slice().is_empty() {
                return None;
            }
            let tenant = self.tenant.clone();
            let inner = tenant.lock();
            let some: Vec<(u64, u32)> = self.ids.by_ref().take(BATCH_SERIES).collect();
            for (id, hint) in some {
                let Some(slot) = inner.state.slot_of(id, hint as usize) else { continue };
                let mut chunks = Vec::new();
                self.gather(&inner.state, &inner.state.series[slot], &mut chunks, &mut batch.warnings);
                if chunks.is_empty() {
                    continue;
                }
                if self.labels_only {
                    chunks.clear();
                }
                let labels = inner.state.index.labels(slot as u32);
                batch.series.push(nilometer_storage::Series { labels, chunks });
            }
        }
        Some(Ok(batch))
    }
}

impl Walk {
    /// The chunks of one series in the range, by time. A damaged one costs a warning, not the query.
    fn gather(&self, state: &State, series: &Series, chunks: &mut Vec<Chunk>, warnings: &mut Vec<String>) {
        let ended_ms = self.skip.iter().map(|cut| cut.end_ms).max().unwrap_or(i64::MIN);
        let skipped_ms = ended_ms.max(state.dropped_through_ms);
        let files = &state.files;
        let open = series.open.range().filter(|r| r.overlaps(&self.range) && r.max_ms >= skipped_ms);
        if let Some(packed) = open.and_then(|_| series.open.packed()) {
            chunks.push(chunk(packed));
        }
        let near = |pos| files.get_near(pos, &mut self.pages.borrow_mut());
        for closed in series.closed_by(self.range, skipped_ms, files, near) {
            match closed {
                Ok(closed) => chunks.push(chunk(closed.packed)),
                Err(e) => warnings.push(format!("a part of a series is damaged: {e}")),
            }
        }
        let Some(late) = &series.late else {
            chunks.reverse();
            return;
        };
        let wanted = |id: u64| !self.skip.iter().any(|cut| cut.id == id);
        for sealed in late.sealed.iter().filter(|s| s.range.overlaps(&self.range) && wanted(s.cut)) {
            match files.get(sealed.pos) {
                Ok(closed) => chunks.push(chunk(closed.packed)),
                Err(e) => warnings.push(format!("a part of a series is damaged: {e}")),
            }
        }
        chunks.extend(crate::open::pack(late.samples.iter().cloned()).into_iter().map(chunk));
        chunks.retain(|c| c.range.overlaps(&self.range));
        chunks.sort_by_key(|c| c.range.min_ms);
    }
}

fn chunk(packed: Packed) -> Chunk {
    Chunk { range: packed.range, encoding: packed.encoding, data: packed.data.into() }
}
