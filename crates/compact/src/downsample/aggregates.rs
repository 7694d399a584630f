//! Aggregates become coarser ones.
//!
//! Only whole chunks are put together: the first and the last sample of a counter in each are those of the raw
//! series, and go on into the new one.

use super::float::{Window, drop_stale, keep, windows};
use super::histogram::{CounterSum, HistogramParts, Kind, Layout, add_to};
use super::window::{FloatParts, MAX_WINDOWS, end_ms, target_chunks};
use nilometer_chunk::aggr::Counter;
use nilometer_chunk::{AggrChunk, Aggregate, Samples, decode_floats};
use nilometer_model::{Error, FloatHistogram, Result, TimeRange, Value};
use nilometer_storage::{ChunkRef, ReadChunks};
use std::sync::Arc;

#[derive(Default)]
pub(super) struct Aggregates {
    t_ms: Vec<i64>,
    v: Vec<f64>,
    parts: FloatParts,
}

/// A chunk that was looked into.
struct Held<'a> {
    range: TimeRange,
    chunk: AggrChunk<'a>,
    /// Of histograms.
    layout: Option<Layout>,
}

impl Aggregates {
    pub(super) fn downsample(
        &mut self,
        chunks: &[ChunkRef<'_>],
        (from_ms, to_ms): (i64, i64),
        out: &mut ReadChunks,
    ) -> Result<()> {
        let held = chunks.iter().map(Held::new).collect::<Result<Vec<_>>>()?;
        for run in held.chunk_by(Held::is_same_kind) {
            let windows = run.iter().map(|h| usize::from(h.chunk.windows())).sum();
            let range = TimeRange::new(run[0].range.min_ms, run[run.len() - 1].range.max_ms);
            let size = (run.len() / target_chunks(range, from_ms, to_ms, windows)).max(1);
            for batch in run.chunks(size) {
                match &batch[0].layout {
                    None => self.floats(batch, to_ms, out)?,
                    Some(_) => self.histograms(batch, to_ms, out)?,
                }
            }
        }
        Ok(())
    }

    fn floats(&mut self, batch: &[Held<'_>], to_ms: i64, out: &mut ReadChunks) -> Result<()> {
        for aggregate in [Aggregate::Count, Aggregate::Sum, Aggregate::Min, Aggregate::Max] {
            let value = |window: &Window| match aggregate {
                Aggregate::Min => window.min,
                Aggregate::Max => window.max,
                _ => window.sum,
            };
            self.load(batch, aggregate)?;
            let parts = &mut self.parts;
            windows(&self.t_ms, &self.v, to_ms, |end_ms, window| {
                parts.push(aggregate, end_ms, value(window));
                parts.widen(end_ms);
            });
        }
        self.counter(batch, to_ms)?;
        self.parts.finish(out);
        Ok(())
    }

    /// The resets are taken out once more, between the chunks.
    fn counter(&mut self, batch: &[Held<'_>], to_ms: i64) -> Result<()> {
        let mut counter = Counter::default();
        self.decode(batch, Aggregate::Counter)?;
        keep(&mut self.t_ms, &mut self.v, |_, t_ms, v| counter.next(t_ms, v));
        check_count(&self.t_ms)?;
        let ([first_ms, ..], [.., last_ms], [first, ..]) = (&self.t_ms[..], &self.t_ms[..], &self.v[..])
        else {
            return Ok(());
        };
        let parts = &mut self.parts;
        parts.push(Aggregate::Counter, *first_ms, *first);
        windows(&self.t_ms, &self.v, to_ms, |end_ms, window| {
            parts.push(Aggregate::Counter, end_ms, window.counter);
            parts.widen(end_ms);
        });
        if let Some(last) = counter.last() {
            parts.push(Aggregate::Counter, *last_ms, last);
        }
        Ok(())
    }

    /// The samples of an aggregate in all chunks.
    fn load(&mut self, batch: &[Held<'_>], aggregate: Aggregate) -> Result<()> {
        self.decode(batch, aggregate)?;
        drop_stale(&mut self.t_ms, &mut self.v);
        check_count(&self.t_ms)
    }

    fn decode(&mut self, batch: &[Held<'_>], aggregate: Aggregate) -> Result<()> {
        self.t_ms.clear();
        self.v.clear();
        for held in batch {
            if let Some((encoding, data)) = held.chunk.get(aggregate) {
                decode_floats(data, encoding, &mut self.t_ms, &mut self.v)?;
            }
        }
        Ok(())
    }

    fn histograms(&mut self, batch: &[Held<'_>], to_ms: i64, out: &mut ReadChunks) -> Result<()> {
        let kind = Kind::of(batch.iter().filter_map(|h| h.layout.as_ref()));
        self.load(batch, Aggregate::Count)?;
        let mut counts = Vec::new();
        windows(&self.t_ms, &self.v, to_ms, |end_ms, window| counts.push((end_ms, window.sum)));
        let last_ms = self.t_ms.last().copied().unwrap_or(0);
        let counters = histogram_windows(batch, Aggregate::Counter, kind, (to_ms, last_ms))?;
        let sums = histogram_windows(batch, Aggregate::Sum, kind, (to_ms, last_ms))?;
        let ends = |of: &[(i64, FloatHistogram)]| of.iter().map(|(end_ms, _)| *end_ms).collect::<Vec<_>>();
        let told: Vec<_> = counts.iter().map(|(end_ms, _)| *end_ms).collect();
        if told != ends(&counters) || told != ends(&sums) {
            return Err(Error::invalid("the aggregates of a histogram do not tell of the same windows"));
        }
        let mut parts = HistogramParts::default();
        for (((t_ms, count), (_, counter)), (_, sum)) in counts.into_iter().zip(counters).zip(sums) {
            parts.push(t_ms, &counter, &sum, count, out)?;
        }
        parts.finish(out);
        Ok(())
    }
}

/// Only damage can put so much together.
fn check_count(t_ms: &[i64]) -> Result<()> {
    if t_ms.len() <= MAX_WINDOWS {
        return Ok(());
    }
    let (max, count) = (MAX_WINDOWS as u64, t_ms.len());
    Err(Error::limit("chunk-windows", max, format!("{count} windows would go into one chunk")))
}

/// What the histograms of an aggregate are in coarser windows, by their ends.
fn histogram_windows(
    batch: &[Held<'_>],
    aggregate: Aggregate,
    kind: Kind,
    (to_ms, last_ms): (i64, i64),
) -> Result<Vec<(i64, FloatHistogram)>> {
    let (mut all, mut open_ms) = (Vec::new(), None);
    let (mut counter, mut sum) = (CounterSum::new(kind), None);
    for held in batch {
        for sample in held.histograms(aggregate)? {
            let (t_ms, histogram) = sample?;
            if open_ms.is_none_or(|open_ms| t_ms > open_ms) {
                if let Some(open_ms) = open_ms {
                    let done = if aggregate == Aggregate::Counter { counter.total() } else { sum.take() };
                    all.extend(done.map(|h| (open_ms, h)));
                }
                open_ms = Some(end_ms(t_ms, to_ms).min(last_ms));
            }
            match aggregate {
                Aggregate::Counter => counter.add(&histogram)?,
                _ => add_to(&mut sum, &histogram, kind)?,
            }
        }
    }
    if let Some(open_ms) = open_ms {
        let done = if aggregate == Aggregate::Counter { counter.total() } else { sum.take() };
        all.extend(done.map(|h| (open_ms, h)));
    }
    Ok(all)
}

impl<'a> Held<'a> {
    fn new(chunk: &ChunkRef<'a>) -> Result<Self> {
        let mut held = Held { range: chunk.range, chunk: AggrChunk::read(chunk.data)?, layout: None };
        if held.chunk.is_histogram() {
            let first = held.histograms(Aggregate::Counter)?.next().transpose()?;
            held.layout = first.map(|(_, histogram)| Layout::of(&histogram));
        }
        Ok(held)
    }

    fn is_same_kind(&self, other: &Self) -> bool {
        match (&self.layout, &other.layout) {
            (Some(a), Some(b)) => a.is_same_kind(b),
            (a, b) => a.is_none() && b.is_none(),
        }
    }

    /// Those of an aggregate that are no stale markers.
    fn histograms(
        &self,
        aggregate: Aggregate,
    ) -> Result<impl Iterator<Item = Result<(i64, Arc<FloatHistogram>)>> + use<'a>> {
        let samples = self.chunk.get(aggregate).map(|(encoding, data)| Samples::new(data, encoding));
        Ok(samples.transpose()?.into_iter().flatten().filter_map(|sample| match sample {
            Ok((t_ms, Value::FloatHistogram(h))) if !h.is_stale() => Some(Ok((t_ms, h))),
            Ok(_) => None,
            Err(e) => Some(Err(e)),
        }))
    }
}
