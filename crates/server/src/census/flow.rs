//! How many samples a tenant stores, in all and a second.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A rate is over so long.
const WINDOW: Duration = Duration::from_secs(60);
/// Looks that are remembered at most, however often somebody looks.
const MAX_LOOKS: usize = 121;

#[derive(Debug, Default)]
pub(super) struct Flow {
    floats: AtomicU64,
    histograms: AtomicU64,
    /// What there was in all, and when; oldest first.
    looks: Mutex<VecDeque<(Duration, u64)>>,
}

impl Flow {
    pub(super) fn add(&self, floats: u64, histograms: u64) {
        self.floats.fetch_add(floats, Relaxed);
        self.histograms.fetch_add(histograms, Relaxed);
    }

    /// Floats and histograms since the start.
    pub(super) fn stored(&self) -> (u64, u64) {
        (self.floats.load(Relaxed), self.histograms.load(Relaxed))
    }

    /// Samples a second since the look that is nearest to a minute old, or the first.
    pub(super) fn look(&self, now: Duration) -> Option<f64> {
        let (floats, histograms) = self.stored();
        let total = floats + histograms;
        let mut looks = self.looks.lock();
        while looks.len() >= MAX_LOOKS
            || looks.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= WINDOW)
        {
            looks.pop_front();
        }
        looks.push_back((now, total));
        let (since, before) = looks.front()?;
        let seconds = now.saturating_sub(*since).as_secs_f64();
        (seconds > 0.0).then(|| (total - before) as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_the_last_minute() {
        let flow = Flow::default();
        let at = Duration::from_secs;
        assert_eq!(flow.look(at(10)), None, "there is nothing to compare with");
        flow.add(5, 1);
        assert_eq!(flow.look(at(12)), Some(3.0), "since the first look");
        for second in 13..=100 {
            flow.add(20, 0);
            flow.look(at(second));
        }
        flow.add(20, 0);
        assert_eq!(flow.look(at(101)), Some(20.0), "what came at first no longer counts");
        assert_eq!(flow.look(at(131)), Some(10.0));
        assert_eq!(flow.look(at(500)), Some(0.0));
        assert_eq!(flow.stored(), (5 + 89 * 20, 1));
    }

    #[test]
    fn impatient_lookers_take_no_memory() {
        let flow = Flow::default();
        for n in 0..10_000 {
            flow.look(Duration::from_millis(n));
        }
        assert_eq!(flow.looks.lock().len(), MAX_LOOKS);
    }
}
