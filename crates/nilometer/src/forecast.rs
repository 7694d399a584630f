//! When the disk that holds the bucket will be full, at the rate of the last day.

use nilometer_env::{Clock, Fs};
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// What is free is noted this often.
const EVERY: Duration = Duration::from_secs(600);
/// Less tells of one upload, not of a rate.
const AT_LEAST: Duration = Duration::from_secs(3600);

pub(crate) struct Forecast {
    fs: Arc<dyn Fs>,
    clock: Arc<dyn Clock>,
    dir: PathBuf,
    /// When, and how many bytes were free; of the last day.
    seen: Mutex<VecDeque<(Duration, u64)>>,
    days: Gauge<f64, AtomicU64>,
    free: Gauge,
}

impl Forecast {
    pub(crate) fn new(fs: Arc<dyn Fs>, clock: Arc<dyn Clock>, dir: PathBuf, registry: &mut Registry) -> Self {
        let (days, free) = (Gauge::default(), Gauge::default());
        days.set(f64::INFINITY);
        let help =
            "Days until the disk of the bucket is full at the rate of the last day; +Inf: it does not fill";
        registry.register("nilometer_disk_days_until_full", help, days.clone());
        registry.register("nilometer_disk_free_bytes", "Free on the disk of the bucket", free.clone());
        Forecast { fs, clock, dir, seen: Mutex::default(), days, free }
    }

    /// To be called now and then.
    pub(crate) fn look(&self) {
        let Ok(free) = self.fs.available_bytes(&self.dir) else { return };
        let now = self.clock.monotonic();
        let mut seen = self.seen.lock();
        if seen.back().is_none_or(|(at, _)| now.saturating_sub(*at) >= EVERY) {
            seen.push_back((now, free));
        }
        while seen.front().is_some_and(|(at, _)| now.saturating_sub(*at) > DAY) {
            seen.pop_front();
        }
        self.free.set(free as i64);
        self.days.set(seen.front().map_or(f64::INFINITY, |first| days_left(*first, (now, free))));
    }

    /// `None` where the disk does not fill, or is not known long enough.
    pub(crate) fn days(&self) -> Option<f64> {
        Some(self.days.get()).filter(|days| days.is_finite())
    }
}

fn days_left((from, before): (Duration, u64), (now, free): (Duration, u64)) -> f64 {
    let passed = now.saturating_sub(from);
    let used = before.saturating_sub(free);
    if passed < AT_LEAST || used == 0 {
        return f64::INFINITY;
    }
    free as f64 / used as f64 * (passed.as_secs_f64() / DAY.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days() {
        let at = |hours: u64, free| (Duration::from_secs(hours * 3600), free);
        assert_eq!(days_left(at(0, 1000), at(24, 900)), 9.0);
        assert_eq!(days_left(at(10, 1000), at(16, 900)), 2.25);
        assert_eq!(days_left(at(0, 900), at(24, 1000)), f64::INFINITY);
        assert_eq!(days_left(at(0, 1000), at(0, 10)), f64::INFINITY);
    }
}
