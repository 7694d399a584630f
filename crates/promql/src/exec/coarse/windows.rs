//! Which windows of time the rows of a column stand for, where some come from downsampled chunks.
//!
//! Nearly every row ends a window of the same length, right behind the one before. So a length is kept once for all
//! rows that have it, and of a row only where it begins later than its window.

/// Of one column of times; of raw samples alone nothing is kept.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    /// From which row on they are how long; 0 of raw samples.
    lengths: Vec<(usize, i64)>,
    /// Since when a row tells of samples, where that is not since its window's begin. In the order of rows.
    late: Vec<(usize, i64)>,
}

impl Windows {
    /// Nothing was downsampled.
    pub(crate) fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.lengths.clear();
        self.late.clear();
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

    /// Since when a row of the column `t` tells of samples.
    #[inline]
    pub(crate) fn begin_ms(&self, t: &[i64], row: usize) -> i64 {
        self.late_ms(row).unwrap_or_else(|| begin_ms(t[row], self.width_ms(row)))
    }

    fn late_ms(&self, row: usize) -> Option<i64> {
        let at = self.late.binary_search_by_key(&row, |(row, _)| *row).ok()?;
        Some(self.late[at].1)
    }

    /// The rows of a chunk, which begin with `from`. Neither it nor its block need begin where a window does:
    /// `first_ms` is when its first raw sample was, where that is known.
    pub(super) fn push(&mut self, t: &[i64], from: usize, (width_ms, first_ms): (i64, Option<i64>)) {
        let Some(first) = t.get(from) else { return };
        self.push_length(from, width_ms);
        self.push_begin(from, (*first, width_ms), first_ms);
        for (row, (before, t)) in (from + 1..).zip(t[from..].iter().zip(&t[from + 1..])) {
            // A whole window behind the row before: so is its begin.
            if t.wrapping_sub(*before) < width_ms {
                self.push_begin(row, (*t, width_ms), before.checked_add(1));
            }
        }
    }

    /// Puts the rows from one on in another order, or leaves some out.
    pub(crate) fn reorder(&mut self, from: usize, order: &[usize]) {
        if self.is_empty() {
            return;
        }
        let tail: Vec<_> = order.iter().map(|row| (self.width_ms(*row), self.late_ms(*row))).collect();
        self.lengths.retain(|(row, _)| *row < from);
        self.late.retain(|(row, _)| *row < from);
        for (row, (width_ms, late_ms)) in (from..).zip(tail) {
            self.push_length(row, width_ms);
            self.late.extend(late_ms.map(|ms| (row, ms)));
        }
    }

    fn push_length(&mut self, row: usize, width_ms: i64) {
        if self.lengths.last().is_none_or(|(_, before_ms)| *before_ms != width_ms) {
            self.lengths.push((row, width_ms));
        }
    }

    fn push_begin(&mut self, row: usize, (t, width_ms): (i64, i64), since_ms: Option<i64>) {
        let is_late = |ms: &i64| *ms > begin_ms(t, width_ms) && *ms <= t;
        self.late.extend(since_ms.filter(is_late).map(|ms| (row, ms)));
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
                windows.push(&t, from, (width_ms, first_ms));
                naive.push(&times, (width_ms, first_ms));
            }
            for (from, order) in &orders {
                if *from >= t.len() {
                    continue;
                }
                let order: Vec<usize> = order.iter().map(|row| from + row % (t.len() - from)).collect();
                let tail: Vec<_> = order.iter().map(|row| (t[*row], naive.0[*row])).collect();
                t.truncate(*from);
                t.extend(tail.iter().map(|(t, _)| *t));
                naive.0.truncate(*from);
                naive.0.extend(tail.iter().map(|(_, row)| *row));
                windows.reorder(*from, &order);
            }
            let rows: Vec<_> = (0..t.len()).map(|row| (windows.width_ms(row), windows.begin_ms(&t, row))).collect();
            prop_assert_eq!(rows, naive.0);
        }
    }
}
