//! Downsampled chunks: one aggregate of them, decoded into the same columns as raw samples.
//!
//! A row that comes from a downsampled chunk stands for a window of time, and has the time of the window's last
//! millisecond, or of the last raw sample before its chunk ended. Raw samples and windows of several lengths can
//! overlap where holders meet, and a sample must count once. So there is an order: the longest windows that the
//! query allows come first, then shorter ones, raw samples, and at last those longer than allowed, shortest first.
//! What tells of a time of which something before it told already is left out.
//!
//! Counters have their resets taken out when all is in order ([`counter`]).

mod counter;
mod windows;

pub(crate) use counter::Pieces;
pub(crate) use windows::{Windows, end_ms};

use super::samples::{Samples, merged_order};
use crate::histogram;
use crate::plan::aspect::Aspect;
use nilometer_chunk::{AggrChunk, Aggregate, Encoding, Samples as ChunkSamples, decode_floats};
use nilometer_model::{CounterReset, Error, FloatHistogram, Result, TimeRange};
use nilometer_storage::{ChunkRef, Hints, ReadChunks};
use std::sync::Arc;
use windows::begin_ms;

/// How downsampled chunks are read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Coarse {
    aspect: Aspect,
    max_resolution_ms: i64,
}

impl Coarse {
    pub(crate) fn of(aspect: Aspect, hints: &Hints) -> Self {
        Coarse { aspect, max_resolution_ms: hints.max_resolution_ms }
    }

    /// The length of the windows of a chunk; 0 of a raw one.
    fn width_ms(self, chunks: &ReadChunks, at: usize) -> i64 {
        const KNOWN_MS: [i64; 2] = [3_600_000, 300_000];
        match (chunks.get(at).encoding, chunks.resolution_ms(at)) {
            // Nobody told: they are as long as they may be.
            (Encoding::Aggr, ..=0) => {
                KNOWN_MS.into_iter().find(|ms| *ms <= self.max_resolution_ms).unwrap_or(KNOWN_MS[1])
            }
            (Encoding::Aggr, told) => told,
            _ => 0,
        }
    }

    /// The order in which lengths come, smallest first.
    fn rank(self, width_ms: i64) -> (bool, i64) {
        let is_coarser = width_ms > self.max_resolution_ms;
        (is_coarser, if is_coarser { width_ms } else { -width_ms })
    }
}

impl Samples {
    /// As [`load`](Samples::load), where some chunks are downsampled.
    pub(super) fn load_mixed(
        &mut self,
        chunks: &ReadChunks,
        range: TimeRange,
        (starts, coarse): (bool, Coarse),
    ) -> Result<()> {
        self.allowed_ms = coarse.max_resolution_ms;
        let mut wanted: Vec<(i64, usize)> =
            (0..chunks.len()).map(|at| (coarse.width_ms(chunks, at), at)).collect();
        wanted.retain(|(width_ms, at)| chunks.get(*at).range.overlaps(&reach(range, *width_ms)));
        self.widest_ms = wanted.iter().map(|(width_ms, _)| *width_ms).max().unwrap_or(0);
        // Stable: those of one length stay in the order of time, and all do where they do not meet.
        if lengths_meet(chunks, &wanted) {
            wanted.sort_by_key(|(width_ms, _)| coarse.rank(*width_ms));
            for same in wanted.chunk_by(|a, b| a.0 == b.0) {
                let before = self.decode_in_order(chunks, same, (starts, coarse.aspect))?;
                self.put_in_order((0, 0), before);
            }
        } else {
            self.decode_in_order(chunks, &wanted, (starts, coarse.aspect))?;
        }
        if coarse.aspect == Aspect::Counter {
            self.take_out_resets();
        }
        Ok(())
    }

    /// Chunks of which the earlier one counts where two overlap. Gives where their rows begin.
    fn decode_in_order(
        &mut self,
        chunks: &ReadChunks,
        wanted: &[(i64, usize)],
        how: (bool, Aspect),
    ) -> Result<(usize, usize)> {
        let before = (self.t.len(), self.ht.len());
        for &(width_ms, at) in wanted {
            let split = (self.t.len(), self.ht.len());
            self.decode_any(chunks.get(at), (at, width_ms), how)?;
            self.put_in_order(before, split);
        }
        Ok(before)
    }

    /// Puts the rows from `split` on, floats and histograms, in order with those from `lo` on.
    fn put_in_order(&mut self, lo: (usize, usize), split: (usize, usize)) {
        let begin = |row| self.windows.begin_ms(&self.t, row);
        if let Some((from, order)) = merged_order(&self.t, begin, (lo.0, split.0)) {
            self.pieces.reorder(from, &order, (&self.t, &self.v));
            self.reorder_floats(from, &order);
        }
        let begin = |row| self.hwindows.begin_ms(&self.ht, row);
        if let Some((from, order)) = merged_order(&self.ht, begin, (lo.1, split.1)) {
            self.reorder_histograms(from, &order);
        }
    }

    fn decode_any(
        &mut self,
        chunk: ChunkRef<'_>,
        (number, width_ms): (usize, i64),
        (starts, aspect): (bool, Aspect),
    ) -> Result<()> {
        let (before, mut first_ms) = ((self.t.len(), self.ht.len()), None);
        if width_ms > 0 {
            let chunk = AggrChunk::read(chunk.data)?;
            first_ms = self.decode_aggregates(&chunk, number, aspect)?;
            self.st.resize(if starts { self.t.len() } else { 0 }, 0);
            self.hst.resize(if starts { self.ht.len() } else { 0 }, 0);
        } else {
            self.decode(chunk, starts)?;
            self.count_raw(aspect);
            if aspect == Aspect::Counter {
                self.pieces.push_raw(before.0..self.t.len());
            }
        }
        self.windows.push(before.0..self.t.len(), (width_ms, first_ms));
        self.hwindows.push(before.1..self.ht.len(), (width_ms, None));
        Ok(())
    }

    /// What stands beside raw samples in the column of counts.
    fn count_raw(&mut self, aspect: Aspect) {
        match aspect {
            Aspect::Mean => {
                self.n.resize(self.t.len(), 1.0);
                self.hn.resize(self.ht.len(), 1.0);
            }
            Aspect::Count => {
                // Of histograms, too, only the number matters.
                for (t, h) in self.ht.drain(..).zip(self.h.drain(..)) {
                    if !h.is_stale() {
                        self.t.push(t);
                        self.v.push(1.0);
                    }
                }
                self.n.resize(self.t.len(), 1.0);
            }
            _ => {}
        }
    }

    /// Gives when the first raw sample was, where the aggregates tell.
    fn decode_aggregates(
        &mut self,
        chunk: &AggrChunk<'_>,
        number: usize,
        aspect: Aspect,
    ) -> Result<Option<i64>> {
        if chunk.is_histogram() && aspect != Aspect::Count {
            self.decode_histograms(chunk, aspect)?;
            return Ok(None);
        }
        match aspect {
            Aspect::Sum => self.floats(chunk, Aggregate::Sum)?,
            Aspect::Min | Aspect::Resets => self.floats(chunk, Aggregate::Min)?,
            Aspect::Max => self.floats(chunk, Aggregate::Max)?,
            Aspect::Count => {
                self.floats(chunk, Aggregate::Count)?;
                self.n.extend_from_slice(&self.v[self.n.len()..]);
            }
            Aspect::Counter => return self.decode_counter(chunk, number),
            Aspect::Mean | Aspect::Average => self.decode_mean(chunk, aspect)?,
        }
        Ok(first_raw_ms(chunk))
    }

    fn floats(&mut self, chunk: &AggrChunk<'_>, aggregate: Aggregate) -> Result<()> {
        chunk
            .get(aggregate)
            .map_or(Ok(()), |(encoding, data)| decode_floats(data, encoding, &mut self.t, &mut self.v))
    }

    fn decode_mean(&mut self, chunk: &AggrChunk<'_>, aspect: Aspect) -> Result<()> {
        let before = self.t.len();
        self.floats(chunk, Aggregate::Sum)?;
        self.counts.decode(chunk, &self.t[before..])?;
        if aspect == Aspect::Mean {
            self.n.extend_from_slice(&self.counts.n);
        } else {
            self.v[before..].iter_mut().zip(&self.counts.n).for_each(|(v, n)| *v /= n);
        }
        Ok(())
    }

    /// Counters of floats begin with the first raw sample, and end with the true value of the last one.
    fn decode_counter(&mut self, chunk: &AggrChunk<'_>, number: usize) -> Result<Option<i64>> {
        let before = self.t.len();
        self.floats(chunk, Aggregate::Counter)?;
        let first_ms = self.t.get(before).copied();
        let mut end = None;
        if let [.., last, again] = self.t[before..]
            && last == again
        {
            self.t.pop();
            end = self.v.pop();
        }
        // The first row may have the time of the second.
        if !self.t[before..].is_sorted_by(|a, b| a < b) {
            let mut kept = before;
            for at in before..self.t.len() {
                if kept == before || self.t[at] > self.t[kept - 1] {
                    (self.t[kept], self.v[kept]) = (self.t[at], self.v[at]);
                    kept += 1;
                }
            }
            self.t.truncate(kept);
            self.v.truncate(kept);
        }
        self.pieces.push_chunk(before..self.t.len(), &self.v, (number, end));
        Ok(first_ms)
    }

    fn decode_histograms(&mut self, chunk: &AggrChunk<'_>, aspect: Aspect) -> Result<()> {
        let aggregate = match aspect {
            // Nobody keeps these of histograms.
            Aspect::Min | Aspect::Max => return Ok(()),
            Aspect::Counter | Aspect::Resets => Aggregate::Counter,
            _ => Aggregate::Sum,
        };
        let Some((encoding, data)) = chunk.get(aggregate) else { return Ok(()) };
        let before = self.ht.len();
        let range = TimeRange::ALL;
        super::decode::histograms(ChunkRef { range, encoding, data }, &mut self.ht, &mut self.h, None)?;
        if !matches!(aspect, Aspect::Average | Aspect::Mean) {
            return Ok(());
        }
        self.counts.decode(chunk, &self.ht[before..])?;
        if aspect == Aspect::Mean {
            self.hn.extend_from_slice(&self.counts.n);
            return Ok(());
        }
        for (h, n) in self.h[before..].iter_mut().zip(&self.counts.n) {
            let mut average: FloatHistogram = (**h).clone();
            histogram::divide(&mut average, *n);
            average.reset = CounterReset::Gauge;
            *h = Arc::new(average);
        }
        Ok(())
    }

    fn take_out_resets(&mut self) {
        if self.v.iter().any(|v| v.is_nan()) {
            let rows: Vec<usize> = (0..self.v.len()).filter(|row| !self.v[*row].is_nan()).collect();
            self.pieces.reorder(0, &rows, (&self.t, &self.v));
            self.reorder_floats(0, &rows);
        }
        self.pieces.add_up(&self.t, &mut self.v);
        self.pieces.clear();
    }
}

/// Whether chunks with windows of different lengths tell of the same times. They come in the order of time.
fn lengths_meet(chunks: &ReadChunks, wanted: &[(i64, usize)]) -> bool {
    let Some((&(mut before_ms, first), rest)) = wanted.split_first() else { return false };
    let mut end_ms = chunks.get(first).range.max_ms;
    rest.iter().any(|&(width_ms, at)| {
        let range = chunks.get(at).range;
        let meets = width_ms != before_ms && begin_ms(range.min_ms, width_ms) <= end_ms;
        (before_ms, end_ms) = (width_ms, end_ms.max(range.max_ms));
        meets
    })
}

/// Of how many samples the windows of a chunk were made. Reused from chunk to chunk.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    t: Vec<i64>,
    n: Vec<f64>,
}

impl Counts {
    /// Those of the windows that end at these times.
    fn decode(&mut self, chunk: &AggrChunk<'_>, ends: &[i64]) -> Result<()> {
        self.t.clear();
        self.n.clear();
        if let Some((encoding, data)) = chunk.get(Aggregate::Count) {
            decode_floats(data, encoding, &mut self.t, &mut self.n)?;
        }
        if self.t != ends {
            let what = "sums and counts of a downsampled chunk do not tell of the same windows";
            return Err(Error::corrupt("chunk", 0, what));
        }
        Ok(())
    }
}

/// The times of rows that are looked at for a range: that of a window which begins within it, and that of one which
/// is seen until the first of those ends.
fn reach(range: TimeRange, width_ms: i64) -> TimeRange {
    TimeRange::new(
        range.min_ms.saturating_sub(width_ms.saturating_mul(2)),
        range.max_ms.saturating_add(width_ms),
    )
}

/// When the first raw sample was of which a chunk tells: counters of floats begin with it.
fn first_raw_ms(chunk: &AggrChunk<'_>) -> Option<i64> {
    let (encoding, data) = chunk.get(Aggregate::Counter).filter(|(encoding, _)| encoding.is_float())?;
    let (t_ms, _) = ChunkSamples::new(data, encoding).ok()?.next()?.ok()?;
    Some(t_ms)
}
