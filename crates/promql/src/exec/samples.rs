//! The samples of one series, decoded once into columns.

use super::coarse::{Coarse, Counts, Pieces, Windows};
use crate::histogram::detect_reset;
use nilometer_model::{CounterReset, FloatHistogram, Result, TimeRange, is_stale_nan};
use nilometer_storage::{ChunkRef, ReadChunks};
use std::sync::Arc;

/// Columns of floats and of histograms, each sorted by time. Reused from series to series.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    pub(crate) t: Vec<i64>,
    pub(crate) v: Vec<f64>,
    pub(crate) ht: Vec<i64>,
    pub(crate) h: Vec<Arc<FloatHistogram>>,
    /// Start timestamps beside both kinds, 0 where not known; empty where they were not asked for.
    pub(crate) st: Vec<i64>,
    pub(crate) hst: Vec<i64>,
    /// Where some come from downsampled chunks: which windows they stand for.
    pub(crate) windows: Windows,
    pub(crate) hwindows: Windows,
    /// Where that matters and some come from downsampled chunks: of how many raw samples they were made.
    pub(crate) n: Vec<f64>,
    pub(crate) hn: Vec<f64>,
    /// Where some come from downsampled chunks: longer windows are only there because nothing else is left.
    pub(crate) allowed_ms: i64,
    /// How long the longest window is, 0 where all are raw.
    pub(crate) widest_ms: i64,
    /// Of counters, until their resets are taken out: see [`coarse`](super::coarse).
    pub(crate) pieces: Pieces,
    /// While a downsampled chunk is decoded.
    pub(crate) counts: Counts,
}

impl Samples {
    pub(crate) fn clear(&mut self) {
        self.t.clear();
        self.v.clear();
        self.ht.clear();
        self.h.clear();
        self.st.clear();
        self.hst.clear();
        self.windows.clear();
        self.hwindows.clear();
        self.n.clear();
        self.hn.clear();
        self.pieces.clear();
        self.widest_ms = 0;
    }

    /// Decodes the chunks that touch `range`, with start timestamps where they are wanted. Samples may reach past it.
    pub(crate) fn load(
        &mut self,
        chunks: &ReadChunks,
        range: TimeRange,
        (starts, coarse): (bool, Coarse),
    ) -> Result<()> {
        self.clear();
        if chunks.any_aggregates() {
            return self.load_mixed(chunks, range, (starts, coarse));
        }
        for chunk in chunks.iter().filter(|c| c.range.overlaps(&range)) {
            let (floats, histograms) = (self.t.len(), self.ht.len());
            self.decode(chunk, starts)?;
            self.keep_sorted(floats, histograms);
        }
        Ok(())
    }

    pub(super) fn decode(&mut self, chunk: ChunkRef<'_>, starts: bool) -> Result<()> {
        if chunk.encoding.is_float() {
            nilometer_chunk::decode_floats(chunk.data, chunk.encoding, &mut self.t, &mut self.v)?;
            if starts {
                super::decode::float_starts(chunk, &mut self.st)?;
            }
            return Ok(());
        }
        let starts = starts.then_some(&mut self.hst);
        super::decode::histograms(chunk, &mut self.ht, &mut self.h, starts)
    }

    /// Puts what was appended from these lengths on in order, where it reaches back before them. Of two
    /// samples of one time the earlier chunk's counts.
    fn keep_sorted(&mut self, floats: usize, histograms: usize) {
        if let Some((from, order)) = merged_order(&self.t, |row| self.t[row], (0, floats)) {
            self.reorder_floats(from, &order);
        }
        if let Some((from, order)) = merged_order(&self.ht, |row| self.ht[row], (0, histograms)) {
            self.reorder_histograms(from, &order);
        }
    }

    /// The floats from a row on, in another order, or without some.
    pub(super) fn reorder_floats(&mut self, from: usize, order: &[usize]) {
        self.windows.reorder(from, order, &self.t);
        reorder_tail(&mut self.t, from, order);
        reorder_tail(&mut self.v, from, order);
        reorder_tail(&mut self.st, from, order);
        reorder_tail(&mut self.n, from, order);
    }

    pub(super) fn reorder_histograms(&mut self, from: usize, order: &[usize]) {
        self.hwindows.reorder(from, order, &self.ht);
        reorder_tail(&mut self.ht, from, order);
        reorder_tail(&mut self.h, from, order);
        reorder_tail(&mut self.hst, from, order);
        reorder_tail(&mut self.hn, from, order);
    }

    /// Leaves out stale markers: range selectors do not see them.
    pub(crate) fn drop_stale(&mut self) {
        if self.v.iter().any(|v| is_stale_nan(*v)) {
            let rows: Vec<usize> = (0..self.v.len()).filter(|i| !is_stale_nan(self.v[*i])).collect();
            self.reorder_floats(0, &rows);
        }
        if self.h.iter().any(|h| h.is_stale()) {
            let rows: Vec<usize> = (0..self.h.len()).filter(|i| !self.h[*i].is_stale()).collect();
            self.reorder_histograms(0, &rows);
        }
    }

    /// Leaves only sum and count of histograms, and the hint whether there was a reset, which the buckets
    /// tell. What lies before `range` is not asked.
    pub(crate) fn keep_stats(&mut self, range: TimeRange) {
        let mut before: Option<Arc<FloatHistogram>> = None;
        for (t, h) in self.ht.iter().zip(&mut self.h) {
            let full = h.clone();
            let mut reset = full.reset;
            if reset == CounterReset::Unknown
                && !full.is_stale()
                && let Some(before) = &before
            {
                reset =
                    if detect_reset(&full, before) { CounterReset::Reset } else { CounterReset::NotReset };
            }
            let (schema, count, sum) = (full.schema, full.count, full.sum);
            *h = Arc::new(FloatHistogram { reset, schema, count, sum, ..FloatHistogram::default() });
            if !full.is_stale() && *t >= range.min_ms.saturating_sub(1) {
                before = Some(full);
            }
        }
    }

    /// Of so many floats.
    pub(crate) fn bytes_of(len: usize) -> usize {
        len * 16
    }

    pub(crate) fn bytes(&self) -> usize {
        Self::bytes_of(self.t.len() + self.st.len() + self.n.len())
            + self.h.iter().map(|h| super::table::histogram_samples(h) * 16).sum::<usize>()
    }
}

/// Where the rows from `split` on reach back into those between `lo` and it, and the order by time from there on.
/// A row tells of the time from its `begin` to its `t`; of rows that tell of the same time the earlier ones are left.
/// `None`: all is in order.
pub(super) fn merged_order(
    t: &[i64],
    begin: impl Fn(usize) -> i64,
    (lo, split): (usize, usize),
) -> Option<(usize, Vec<usize>)> {
    let last = *t[lo..split].last()?;
    let first = (split < t.len()).then(|| begin(split))?;
    if first > last {
        return None;
    }
    let from = lo + t[lo..split].partition_point(|t| *t < first);
    let (mut order, mut old) = (Vec::with_capacity(t.len() - from), from);
    for new in split..t.len() {
        let begins = begin(new);
        while old < split && t[old] < begins {
            order.push(old);
            old += 1;
        }
        if old == split || begin(old) > t[new] {
            order.push(new);
        }
    }
    order.extend(old..split);
    Some((from, order))
}

/// A column that is not in use is empty, and stays so.
pub(super) fn reorder_tail<T: Clone>(column: &mut Vec<T>, from: usize, order: &[usize]) {
    if !column.is_empty() {
        let tail: Vec<T> = order.iter().map(|i| column[*i].clone()).collect();
        column.truncate(from);
        column.extend(tail);
    }
}
