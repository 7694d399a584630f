//! Raw samples become aggregates.

use super::float::{drop_stale, keep, windows};
use super::histogram::{Kind, Layout, Windows};
use super::window::{FloatParts, MAX_WINDOWS, end_ms, target_chunks};
use nilometer_chunk::{Aggregate, Samples, decode_floats};
use nilometer_model::{FloatHistogram, Result, TimeRange, Value};
use nilometer_storage::{ChunkRef, ReadChunks};
use std::sync::Arc;

/// How dense raw samples are taken to be where the size of chunks is chosen; often they are denser.
const RAW_MS: i64 = 60 * 1000;

#[derive(Default)]
pub(super) struct Raw {
    t_ms: Vec<i64>,
    v: Vec<f64>,
    parts: FloatParts,
}

impl Raw {
    pub(super) fn downsample(
        &mut self,
        chunks: &[ChunkRef<'_>],
        to_ms: i64,
        out: &mut ReadChunks,
    ) -> Result<()> {
        for run in chunks.chunk_by(|a, b| a.encoding.is_float() == b.encoding.is_float()) {
            if run[0].encoding.is_float() {
                self.floats(run, to_ms, out)?;
            } else {
                histograms(run, to_ms, out)?;
            }
        }
        Ok(())
    }

    fn floats(&mut self, chunks: &[ChunkRef<'_>], to_ms: i64, out: &mut ReadChunks) -> Result<()> {
        let Raw { t_ms, v, .. } = self;
        t_ms.clear();
        v.clear();
        for chunk in chunks {
            decode_floats(chunk.data, chunk.encoding, t_ms, v)?;
        }
        drop_stale(t_ms, v);
        let mut from = 0;
        let size = batch_size(t_ms, to_ms);
        // NaN are no samples, but count where chunks are cut.
        let has_nan = v.iter().any(|v| v.is_nan());
        while from < t_ms.len() {
            let to = from + batch_len(&t_ms[from..], size, to_ms);
            if has_nan {
                let (mut t_ms, mut v) = (t_ms[from..to].to_vec(), v[from..to].to_vec());
                keep(&mut t_ms, &mut v, |_, _, v| (!v.is_nan()).then_some(v));
                float_chunk(&t_ms, &v, to_ms, &mut self.parts);
            } else {
                float_chunk(&t_ms[from..to], &v[from..to], to_ms, &mut self.parts);
            }
            self.parts.finish(out);
            from = to;
        }
        Ok(())
    }
}

fn float_chunk(t_ms: &[i64], v: &[f64], to_ms: i64, parts: &mut FloatParts) {
    let ([first_ms, ..], [.., last_ms], [first, ..], [.., last]) = (t_ms, t_ms, v, v) else { return };
    parts.push(Aggregate::Counter, *first_ms, *first);
    windows(t_ms, v, to_ms, |end_ms, window| {
        parts.push(Aggregate::Sum, end_ms, window.sum);
        parts.push(Aggregate::Min, end_ms, window.min);
        parts.push(Aggregate::Max, end_ms, window.max);
        parts.push(Aggregate::Count, end_ms, window.count as f64);
        parts.push(Aggregate::Counter, end_ms, window.counter);
        parts.widen(end_ms);
    });
    parts.push(Aggregate::Counter, *last_ms, *last);
}

fn batch_size(t_ms: &[i64], to_ms: i64) -> usize {
    let (Some(&first), Some(&last)) = (t_ms.first(), t_ms.last()) else { return 0 };
    t_ms.len() / target_chunks(TimeRange::new(first, last), RAW_MS, to_ms, t_ms.len()) + 1
}

/// How many of the first samples go into a chunk: the rest of the last window too.
fn batch_len(t_ms: &[i64], size: usize, to_ms: i64) -> usize {
    let least = size.min(t_ms.len()).min(MAX_WINDOWS);
    let end = end_ms(t_ms[least - 1], to_ms);
    least + t_ms[least..].iter().take_while(|t| **t <= end).count()
}

/// Read twice: first the times and layouts, which say where chunks end, then the histograms themselves.
fn histograms(chunks: &[ChunkRef<'_>], to_ms: i64, out: &mut ReadChunks) -> Result<()> {
    let (mut times, mut layouts) = (Vec::new(), Vec::<Arc<Layout>>::new());
    for_each(chunks, |t_ms, histogram| {
        times.push(t_ms);
        // Those of one chunk have the same, and so mostly have those of the next.
        let layout = Layout::of(histogram);
        let known = layouts.last().filter(|last| ***last == layout).cloned();
        layouts.push(known.unwrap_or_else(|| Arc::new(layout)));
        Ok(())
    })?;
    let (mut batches, mut at) = (Vec::new(), 0);
    for run in layouts.chunk_by(|a, b| a.is_same_kind(b)) {
        let end = at + run.len();
        let size = batch_size(&times[at..end], to_ms);
        while at < end {
            let len = batch_len(&times[at..end], size, to_ms);
            let kind = Kind::of(layouts[at..at + len].iter().map(|l| &**l));
            batches.push((len, kind));
            at += len;
        }
    }
    let mut batches = batches.into_iter();
    let mut open: Option<(usize, Windows)> = None;
    for_each(chunks, |t_ms, histogram| {
        if open.as_ref().is_none_or(|(left, _)| *left == 0) {
            if let Some((_, mut done)) = open.take() {
                done.finish(out)?;
            }
            open = batches.next().map(|(len, kind)| (len, Windows::new(kind, to_ms)));
        }
        let Some((left, windows)) = &mut open else { return Ok(()) };
        *left -= 1;
        windows.add(t_ms, histogram, out)
    })?;
    open.map_or(Ok(()), |(_, mut done)| done.finish(out))
}

/// Histograms that are no stale markers, as floats, each after the one before.
fn for_each(chunks: &[ChunkRef<'_>], mut each: impl FnMut(i64, &FloatHistogram) -> Result<()>) -> Result<()> {
    let mut last_ms = None;
    for chunk in chunks {
        for sample in Samples::new(chunk.data, chunk.encoding)? {
            let (t_ms, value) = sample?;
            let histogram = match value {
                Value::Int(h) => Arc::new(h.to_float()),
                Value::FloatHistogram(h) => h,
                Value::Float(_) => continue,
            };
            if !histogram.is_stale() && last_ms.is_none_or(|last| t_ms > last) {
                last_ms = Some(t_ms);
                each(t_ms, &histogram)?;
            }
        }
    }
    Ok(())
}
