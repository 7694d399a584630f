//! Several sorted streams of series as one.
//!
//! Series with equal labels become one, their chunks joined. Memory is one batch a source.

use crate::queryable::{BoxFuture, LabelQuery, Names, Queryable, Select, SeriesStream};
use crate::{Chunks, Exemplars, Series, SeriesBatch};
use futures::future::join_all;
use futures::{StreamExt, stream};
use nilometer_model::{Labels, Matcher, Result, TimeRange};
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

/// Several holders as one. Of equal series the chunks of all are kept, those of earlier holders first.
pub struct Merged {
    sources: Vec<Arc<dyn Queryable>>,
    /// No two of them have equal series.
    disjoint: bool,
}

impl Merged {
    pub fn new(sources: Vec<Arc<dyn Queryable>>) -> Self {
        Merged { sources, disjoint: false }
    }

    /// Of holders no two of which have equal series: they differ in an external label.
    pub fn of_disjoint(sources: Vec<Arc<dyn Queryable>>) -> Self {
        Merged { sources, disjoint: true }
    }
}

/// Puts a stream whose labels got others laid on top back into order. Where none was replaced, that moves a
/// series only behind its own extensions (`{a}` behind `{a,b}` when `c` is laid on top), and the sorted input
/// brings those right after it: a small heap is enough. Where one may be replaced (`may_clash`),
/// order is lost and all is sorted at the end.
pub(crate) fn resorted(input: SeriesStream, may_clash: bool) -> SeriesStream {
    let resort = Resort { input, held: BinaryHeap::new(), hold_all: may_clash, arrived: 0, done: false };
    batches(resort, |mut resort| async move { Ok(resort.next_batch().await?.map(|batch| (batch, resort))) })
}

/// A stream of what `step` gives from one state to the next; ends with the first `None` or error.
fn batches<S, F>(state: S, step: impl Fn(S) -> F + Send + Copy + 'static) -> SeriesStream
where
    S: Send + 'static,
    F: Future<Output = Result<Option<(SeriesBatch, S)>>> + Send,
{
    Box::pin(stream::unfold(Some(state), move |state| async move {
        match step(state?).await {
            Ok(Some((batch, state))) => Some((Ok(batch), Some(state))),
            Ok(None) => None,
            Err(e) => Some((Err(e), None)),
        }
    }))
}

impl Queryable for Merged {
    fn select(&self, mut select: Select) -> SeriesStream {
        if let [only] = self.sources.as_slice() {
            return only.select(select);
        }
        if self.disjoint && select.hints.unsorted {
            let all: Vec<_> = self.sources.iter().map(|s| s.select(select.clone())).collect();
            return Box::pin(stream::iter(all).flatten());
        }
        // Equal series of two sources are found by order.
        (select.hints.unsorted, select.hints.projection) = (false, None);
        let cursors = self.sources.iter().map(|s| Cursor::new(s.select(select.clone()))).collect();
        let merge = Merge { cursors, next: BTreeMap::new(), warnings: Vec::new(), started: false };
        batches(merge, |mut merge| async move { Ok(merge.next_batch().await?.map(|batch| (batch, merge))) })
    }

    fn label_names(&self, query: LabelQuery) -> BoxFuture<Result<Names>> {
        union(self.sources.iter().map(|s| s.label_names(query.clone())).collect(), query.limit)
    }

    fn label_values(&self, name: &str, query: LabelQuery) -> BoxFuture<Result<Names>> {
        union(self.sources.iter().map(|s| s.label_values(name, query.clone())).collect(), query.limit)
    }

    fn exemplars(&self, matchers: Vec<Vec<Matcher>>, range: TimeRange) -> BoxFuture<Result<Exemplars>> {
        let all: Vec<_> = self.sources.iter().map(|s| s.exemplars(matchers.clone(), range)).collect();
        Box::pin(async move {
            let mut merged = BTreeMap::new();
            for exemplars in join_all(all).await {
                for series in exemplars? {
                    merged.entry(series.labels.clone()).or_insert_with(Vec::new).extend(series.exemplars);
                }
            }
            let series = merged.into_iter().map(|(labels, mut exemplars)| {
                exemplars.sort_by_key(|e| e.t_ms);
                exemplars.dedup();
                crate::ExemplarSeries { labels, exemplars }
            });
            Ok(series.collect())
        })
    }
}

fn union(parts: Vec<BoxFuture<Result<Names>>>, limit: usize) -> BoxFuture<Result<Names>> {
    Box::pin(async move {
        let mut all = Names::default();
        for part in join_all(parts).await {
            let part = part?;
            all.names.extend(part.names);
            all.warnings.extend(part.warnings);
        }
        all.names.sort_unstable();
        all.names.dedup();
        if limit > 0 {
            all.names.truncate(limit);
        }
        Ok(all)
    })
}

/// One source, a batch ahead.
struct Cursor {
    stream: SeriesStream,
    ready: VecDeque<Series>,
}

impl Cursor {
    fn new(stream: SeriesStream) -> Self {
        Cursor { stream, ready: VecDeque::new() }
    }

    async fn next(&mut self, warnings: &mut Vec<String>) -> Result<Option<Series>> {
        while self.ready.is_empty() {
            match self.stream.next().await {
                None => return Ok(None),
                Some(batch) => {
                    let batch = batch?;
                    warnings.extend(batch.warnings);
                    self.ready = batch.series.into();
                }
            }
        }
        Ok(self.ready.pop_front())
    }
}

struct Merge {
    cursors: Vec<Cursor>,
    /// The next series of each source, with the source's number. Most sources have the same series, so there are few
    /// labels to be compared with.
    next: BTreeMap<Labels, Vec<(usize, Chunks)>>,
    warnings: Vec<String>,
    started: bool,
}

impl Merge {
    async fn next_batch(&mut self) -> Result<Option<SeriesBatch>> {
        if !self.started {
            self.started = true;
            for source in 0..self.cursors.len() {
                self.refill(source).await?;
            }
        }
        let (mut out, mut bytes) = (SeriesBatch::default(), 0);
        while !SeriesBatch::is_full(out.series.len(), bytes) {
            let Some((labels, mut same)) = self.next.pop_first() else { break };
            let mut chunks = Chunks::default();
            // Again where a source has it twice.
            while !same.is_empty() {
                same.sort_unstable_by_key(|(source, _)| *source);
                for (source, more) in std::mem::take(&mut same) {
                    self.refill(source).await?;
                    chunks.extend(more);
                }
                let again = self.next.first_entry().filter(|next| *next.key() == labels);
                same = again.map(|next| next.remove()).unwrap_or_default();
            }
            bytes += chunks.held_bytes();
            out.series.push(Series { labels, chunks });
        }
        out.warnings.append(&mut self.warnings);
        Ok((!out.series.is_empty() || !out.warnings.is_empty()).then_some(out))
    }

    async fn refill(&mut self, source: usize) -> Result<()> {
        if let Some(Series { labels, chunks }) = self.cursors[source].next(&mut self.warnings).await? {
            self.next.entry(labels).or_default().push((source, chunks));
        }
        Ok(())
    }
}

/// A series waiting in a heap; of equal ones that with the lower `order` first.
struct Entry {
    series: Series,
    order: usize,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.series.labels.cmp(&other.series.labels).then(self.order.cmp(&other.order))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

struct Resort {
    input: SeriesStream,
    held: BinaryHeap<Reverse<Entry>>,
    /// Order cannot be told from what has come so far: wait for the end.
    hold_all: bool,
    arrived: usize,
    done: bool,
}

impl Resort {
    async fn next_batch(&mut self) -> Result<Option<SeriesBatch>> {
        let mut out = SeriesBatch::default();
        while !self.done && out.series.is_empty() {
            let Some(batch) = self.input.next().await else {
                self.done = true;
                break;
            };
            let batch = batch?;
            out.warnings.extend(batch.warnings);
            for series in batch.series {
                while !self.hold_all
                    && self.held.peek().is_some_and(|Reverse(h)| h.series.labels < series.labels)
                {
                    self.pop_into(&mut out);
                }
                self.held.push(Reverse(Entry { series, order: self.arrived }));
                self.arrived += 1;
            }
        }
        if self.done {
            while out.series.len() < SeriesBatch::MAX_SERIES && !self.held.is_empty() {
                self.pop_into(&mut out);
            }
        }
        Ok((!out.series.is_empty() || !out.warnings.is_empty()).then_some(out))
    }

    /// Moves the lowest held series out, joining it with its equal before.
    fn pop_into(&mut self, out: &mut SeriesBatch) {
        let Some(Reverse(Entry { mut series, .. })) = self.held.pop() else { return };
        while self.held.peek().is_some_and(|Reverse(h)| h.series.labels == series.labels) {
            let Some(Reverse(same)) = self.held.pop() else { break };
            series.chunks.extend(same.series.chunks);
        }
        out.series.push(series);
    }
}
