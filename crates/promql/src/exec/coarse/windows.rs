//! Which windows of time the rows of a column stand for, where some come from downsampled chunks.
//!
//! Nearly every row ends a window of the same length, right behind the one before. So a length is kept once for all
//! rows that have it, and since when rows tell of samples only for the first of those that follow each other.

use std::ops::Range;

/// Of one column of times; of raw samples alone nothing is kept.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    /// From which row on they are how long; 0 of raw samples.
    lengths: Vec<(usize, i64)>,
    /// From which row on rows follow each other, and since when the first tells of samples, if that is known.
    chunks: Vec<(usize, Option<i64>)>,
}

impl Windows {
    /// Nothing was downsampled.
    pub(crate) fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.lengths.clear();
        self.chunks.clear();
    }

    /// How long the window of a row is; 0 of a raw sample.
    #[inline]
    pub(crate) fn width_ms(&self, row: usize) -> i64 {
        match self.lengths.as_slice() {
            [] => 0,
            [(_, width_ms)] => *width_ms,
            lengths => lengths[lengths.partition_point(|(from, _)| *from <= row) - 1].1,
        }
    }

    /// Since when a row of the column `t` tells of samples: since its window begins, or since the row before.
    pub(crate) fn begin_ms(&self, t: &[i64], row: usize) -> i64 {
        let (from, first_ms) = self.chunks[self.chunk_of(row)];
        let since_ms = if row == from { first_ms } else { t[row - 1].checked_add(1) };
        let of_window = begin_ms(t[row], self.width_ms(row));
        since_ms.filter(|ms| (of_window..=t[row]).contains(ms)).unwrap_or(of_window)
    }

    fn chunk_of(&self, row: usize) -> usize {
        self.chunks.partition_point(|(from, _)| *from <= row) - 1
    }

    /// The rows of a chunk. Neither it nor its block need begin where a window does: `first_ms` is when its first raw
    /// sample was, where that is known.
    pub(super) fn push(&mut self, rows: Range<usize>, (width_ms, first_ms): (i64, Option<i64>)) {
        if !rows.is_empty() {
            self.push_length(rows.start, width_ms);
            self.chunks.push((rows.start, first_ms));
        }
    }

    /// Before the rows from one on are put in another order, or some are left out.
    pub(crate) fn reorder(&mut self, from: usize, order: &[usize], t: &[i64]) {
        if self.is_empty() {
            return;
        }
        let runs = order.chunk_by(|a, b| *b == a + 1 && self.chunk_of(*a) == self.chunk_of(*b));
        let runs: Vec<_> =
            runs.map(|run| (run.len(), self.width_ms(run[0]), self.begin_ms(t, run[0]))).collect();
        self.lengths.retain(|(row, _)| *row < from);
        self.chunks.retain(|(row, _)| *row < from);
        let mut row = from;
        for (len, width_ms, begin_ms) in runs {
            self.push(row..row + len, (width_ms, Some(begin_ms)));
            row += len;
        }
    }

    fn push_length(&mut self, row: usize, width_ms: i64) {
        if self.lengths.last().is_none_or(|(_, before_ms)| *before_ms != width_ms) {
            self.lengths.push((row, width_ms));
        }
    }
}

/// Where a row's window begins; that of a raw sample is as short as can be.
#[inline]
pub(super) fn begin_ms(t: i64, width_ms: i64) -> i64 {
    if width_ms == 0 { t } else { t.saturating_sub(t.rem_euclid(width_ms)) }
}

/// The last millisecond of a row's window, if its chunk had not ended before.
#[inline]
pub(crate) fn end_ms(t: i64, width_ms: i64) -> i64 {
    if width_ms == 0 { t } else { begin_ms(t, width_ms).saturating_add(width_ms - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WIDTH_MS: i64 = 10;

    /// Of each row its length and its begin, in columns of their own.
    #[derive(Default)]
    struct Naive(Vec<(i64, i64)>);

    impl Naive {
        fn push(&mut self, chunk: &[i64], (width_ms, first_ms): (i64, Option<i64>)) {
            let mut since_ms = first_ms;
            for &t in chunk {
                let window_ms = if width_ms == 0 { t } else { t - t.rem_euclid(width_ms) };
                let begin_ms = since_ms.filter(|ms| *ms <= t).map_or(window_ms, |ms| ms.max(window_ms));
                self.0.push((width_ms, begin_ms));
                since_ms = Some(t + 1);
            }
        }
    }

    fn chunk() -> impl Strategy<Value = (Vec<i64>, i64, Option<i64>)> {
        let steps = prop::collection::vec(prop_oneof![6 => Just(WIDTH_MS), 1 => 0..3 * WIDTH_MS], 0..8);
        let width = prop::sample::select(vec![0, WIDTH_MS, 3 * WIDTH_MS]);
        (steps, 0..4 * WIDTH_MS, width, prop::option::of(0..2 * WIDTH_MS)).prop_map(
            |(steps, start, width_ms, before)| {
                let times = steps.iter().scan(start, |t, step| {
                    *t += step;
                    Some(*t)
                });
                (times.collect(), width_ms, before.map(|ms| start - ms))
            },
        )
    }

    proptest! {
        #[test]
        fn as_if_each_row_had_its_own(
            chunks in prop::collection::vec(chunk(), 0..5),
            orders in prop::collection::vec((0..20usize, prop::collection::vec(0..1000usize, 0..20)), 0..3),
        ) {
            let (mut t, mut windows, mut naive) = (Vec::new(), Windows::default(), Naive::default());
            for (times, width_ms, first_ms) in chunks {
                let from = t.len();
                t.extend_from_slice(&times);
                windows.push(from..t.len(), (width_ms, first_ms));
                naive.push(&times, (width_ms, first_ms));
            }
            for (from, order) in &orders {
                if *from >= t.len() {
                    continue;
                }
                let order: Vec<usize> = order.iter().map(|row| from + row % (t.len() - from)).collect();
                let tail: Vec<_> = order.iter().map(|row| (t[*row], naive.0[*row])).collect();
                windows.reorder(*from, &order, &t);
                t.truncate(*from);
                t.extend(tail.iter().map(|(t, _)| *t));
                naive.0.truncate(*from);
                naive.0.extend(tail.iter().map(|(_, row)| *row));
            }
            let rows: Vec<_> = (0..t.len()).map(|row| (windows.width_ms(row), windows.begin_ms(&t, row))).collect();
            prop_assert_eq!(rows, naive.0);
        }
    }
}
