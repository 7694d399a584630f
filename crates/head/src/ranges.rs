//! Time as blocks divide it.

use nilometer_model::TimeRange;

/// Times further from 1970 than this (285,000 years) are refused, so that no arithmetic on them overflows.
pub(crate) const MAX_TIME_MS: i64 = 1 << 53;

/// Ranges of one width, aligned to 1970. Widths are at least a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ranges {
    pub(crate) width_ms: i64,
}

impl Ranges {
    /// The start of the range that holds a time.
    #[inline]
    pub(crate) fn start(self, t_ms: i64) -> i64 {
        t_ms - t_ms.rem_euclid(self.width_ms)
    }

    /// All times of the range that starts at `start_ms`.
    pub(crate) fn range(self, start_ms: i64) -> TimeRange {
        TimeRange::new(start_ms, self.end(start_ms) - 1)
    }

    /// The start of the next range.
    pub(crate) fn end(self, start_ms: i64) -> i64 {
        start_ms + self.width_ms
    }
}
