//! Ranges of time.

/// Milliseconds since 1970, closed on both sides: `min_ms ..= max_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeRange {
    pub min_ms: i64,
    pub max_ms: i64,
}

impl TimeRange {
    pub const ALL: TimeRange = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };

    pub fn new(min_ms: i64, max_ms: i64) -> Self {
        TimeRange { min_ms, max_ms }
    }

    pub fn contains(&self, t_ms: i64) -> bool {
        self.min_ms <= t_ms && t_ms <= self.max_ms
    }

    pub fn overlaps(&self, other: &TimeRange) -> bool {
        self.min_ms <= other.max_ms && other.min_ms <= self.max_ms
    }
}
