//! The samples of one series, decoded once into columns.

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
}

impl Samples {
    pub(crate) fn clear(&mut self) {
        self.t.clear();
        self.v.clear();
        self.ht.clear();
        self.h.clear();
        self.st.clear();
        self.hst.clear();
    }

    /// Decodes the chunks that touch `range`. Samples may reach past it.
    pub(crate) fn load(&mut self, chunks: &ReadChunks, range: TimeRange, starts: bool) -> Result<()> {
        self.clear();
        for chunk in chunks.iter().filter(|c| c.range.overlaps(&range)) {
            let (floats, histograms) = (self.t.len(), self.ht.len());
            self.decode(chunk, starts)?;
            self.keep_sorted(floats, histograms);
        }
        Ok(())
    }

    fn decode(&mut self, chunk: ChunkRef<'_>, starts: bool) -> Result<()> {
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
        if let Some((from, order)) = merged_order(&self.t, floats) {
            reorder_tail(&mut self.t, from, &order);
            reorder_tail(&mut self.v, from, &order);
            reorder_tail(&mut self.st, from, &order);
        }
        if let Some((from, order)) = merged_order(&self.ht, histograms) {
            reorder_tail(&mut self.ht, from, &order);
            reorder_tail(&mut self.h, from, &order);
            reorder_tail(&mut self.hst, from, &order);
        }
    }

    /// Leaves out stale markers: range selectors do not see them.
    pub(crate) fn drop_stale(&mut self) {
        if self.v.iter().any(|v| is_stale_nan(*v)) {
            let rows: Vec<usize> = (0..self.v.len()).filter(|i| !is_stale_nan(self.v[*i])).collect();
            keep(&mut self.t, &rows);
            keep(&mut self.v, &rows);
            keep(&mut self.st, &rows);
        }
        if self.h.iter().any(|h| h.is_stale()) {
            let rows: Vec<usize> = (0..self.h.len()).filter(|i| !self.h[*i].is_stale()).collect();
            keep(&mut self.ht, &rows);
            keep(&mut self.h, &rows);
            keep(&mut self.hst, &rows);
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
        Self::bytes_of(self.t.len() + self.st.len())
            + self.h.iter().map(|h| super::table::histogram_samples(h) * 16).sum::<usize>()
    }
}

/// Where the run that starts at `split` reaches back into the one before it, and the order by time from there
/// on; of equal times the earlier run's is left. `None`: all is in order.
fn merged_order(t: &[i64], split: usize) -> Option<(usize, Vec<usize>)> {
    let (last, first) = (*t[..split].last()?, *t.get(split)?);
    if first > last {
        return None;
    }
    let from = t[..split].partition_point(|t| *t < first);
    let mut order: Vec<usize> = (from..t.len()).collect();
    order.sort_by_key(|i| (t[*i], *i >= split));
    order.dedup_by_key(|i| t[*i]);
    Some((from, order))
}

/// A column that is not in use is empty, and stays so.
fn reorder_tail<T: Clone>(column: &mut Vec<T>, from: usize, order: &[usize]) {
    if !column.is_empty() {
        let tail: Vec<T> = order.iter().map(|i| column[*i].clone()).collect();
        column.truncate(from);
        column.extend(tail);
    }
}

/// Keeps these rows.
fn keep<T: Clone>(column: &mut Vec<T>, rows: &[usize]) {
    if !column.is_empty() {
        *column = rows.iter().map(|i| column[*i].clone()).collect();
    }
}
