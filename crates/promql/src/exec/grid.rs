//! The times at which an expression is evaluated.

/// `len` evaluation times, `step_ms` apart. Subqueries have grids of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Grid {
    pub(crate) start_ms: i64,
    /// At least 1, also where there is one time only.
    pub(crate) step_ms: i64,
    pub(crate) len: usize,
}

impl Grid {
    pub(crate) fn single(t_ms: i64) -> Self {
        Grid { start_ms: t_ms, step_ms: 1, len: 1 }
    }

    /// The times from `start_ms` up to `end_ms` where a step hits it; none if it is before.
    pub(crate) fn new(start_ms: i64, end_ms: i64, step_ms: i64) -> Self {
        let step_ms = step_ms.max(1);
        let len = match end_ms.checked_sub(start_ms) {
            Some(width) if width >= 0 => (width / step_ms) as u64 + 1,
            Some(_) => 0,
            None => u64::MAX,
        };
        Grid { start_ms, step_ms, len: usize::try_from(len).unwrap_or(usize::MAX) }
    }

    #[inline]
    pub(crate) fn time(&self, step: usize) -> i64 {
        self.start_ms.saturating_add((step as i64).saturating_mul(self.step_ms))
    }

    /// The last time; of an empty grid its start.
    pub(crate) fn end_ms(&self) -> i64 {
        self.time(self.len.saturating_sub(1))
    }

    pub(crate) fn times(self) -> impl Iterator<Item = i64> {
        (0..self.len).map(move |step| self.time(step))
    }
}
