//! How many samples a second: a token bucket, kept as one number.
//!
//! The generic cell rate algorithm keeps, instead of a level and a time, the moment at which the bucket will
//! be full again. One atomic is enough for that, so a bucket is 8 bytes, needs no lock and no timer, and one
//! that was never used is full.
//!
//! ```text
//!        now                full_at              now + burst
//! ────────┼────────────────────┼──────────────────────┼──────▶ time
//!         └──── spent ─────────┴──── still left ──────┘
//! ```

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub per_second: u64,
    /// The bucket holds what flows in during this many seconds: that much may come at once.
    pub burst_seconds: u64,
}

impl Rate {
    /// The time in which `amount` flows in, rounded up, so that rounding never grants more than the rate.
    fn cost_ns(self, amount: u64) -> u64 {
        let ns = (u128::from(amount) * 1_000_000_000).div_ceil(u128::from(self.per_second.max(1)));
        u64::try_from(ns).unwrap_or(u64::MAX)
    }

    fn burst_ns(self) -> u64 {
        self.burst_seconds.saturating_mul(1_000_000_000)
    }
}

/// A token bucket. All times are those of one monotonic clock.
#[derive(Debug, Default)]
pub struct Bucket {
    full_at_ns: AtomicU64,
}

impl Bucket {
    /// Takes `amount` at `now`, or nothing and says after how long it is there.
    ///
    /// More than the bucket holds is let through when the bucket is full, and paid off afterwards: the
    /// average stays that of the rate, and no request waits for ever.
    pub fn take(&self, amount: u64, rate: Rate, now: Duration) -> Result<(), Duration> {
        self.take_ns(rate.cost_ns(amount), rate.burst_ns(), now)
    }

    /// Returns what [`Bucket::take`] took, because it was not used after all.
    pub fn give_back(&self, amount: u64, rate: Rate) {
        self.give_back_ns(rate.cost_ns(amount));
    }

    pub(crate) fn take_ns(&self, cost_ns: u64, burst_ns: u64, now: Duration) -> Result<(), Duration> {
        let now_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let mut full_at = self.full_at_ns.load(Relaxed);
        loop {
            let from = full_at.max(now_ns);
            let spent = from - now_ns;
            let short = spent.saturating_add(cost_ns.min(burst_ns)).saturating_sub(burst_ns);
            if short > 0 {
                return Err(Duration::from_nanos(short));
            }
            let next = from.saturating_add(cost_ns);
            match self.full_at_ns.compare_exchange_weak(full_at, next, Relaxed, Relaxed) {
                Ok(_) => return Ok(()),
                Err(changed) => full_at = changed,
            }
        }
    }

    pub(crate) fn give_back_ns(&self, cost_ns: u64) {
        let less = |full_at: u64| Some(full_at.saturating_sub(cost_ns));
        // The closure never returns `None`, so this cannot fail.
        let _ = self.full_at_ns.fetch_update(Relaxed, Relaxed, less);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RATE: Rate = Rate { per_second: 100, burst_seconds: 2 };

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn burst_then_rate() {
        let bucket = Bucket::default();
        assert_eq!(bucket.take(150, RATE, at(0)), Ok(()));
        assert_eq!(bucket.take(60, RATE, at(0)), Err(at(100)), "10 are missing, at 100 a second");
        assert_eq!(bucket.take(50, RATE, at(0)), Ok(()));
        assert_eq!(bucket.take(1, RATE, at(0)), Err(at(10)));
        assert_eq!(bucket.take(1, RATE, at(10)), Ok(()));
    }

    #[test]
    fn more_than_the_burst_waits_for_a_full_bucket_and_is_paid_off() {
        let bucket = Bucket::default();
        assert_eq!(bucket.take(1_000, RATE, at(0)), Ok(()));
        assert_eq!(bucket.take(1, RATE, at(0)), Err(at(8_010)));
        assert_eq!(bucket.take(1, RATE, at(8_010)), Ok(()));
    }

    #[test]
    fn refused_costs_nothing_and_given_back_counts_again() {
        let bucket = Bucket::default();
        assert_eq!(bucket.take(200, RATE, at(0)), Ok(()));
        for _ in 0..1_000 {
            assert!(bucket.take(200, RATE, at(0)).is_err());
        }
        bucket.give_back(200, RATE);
        assert_eq!(bucket.take(200, RATE, at(0)), Ok(()));
    }

    #[test]
    fn extremes_do_not_overflow() {
        let bucket = Bucket::default();
        let odd = Rate { per_second: 0, burst_seconds: u64::MAX };
        assert_eq!(bucket.take(u64::MAX, odd, Duration::MAX), Ok(()));
        let _ = bucket.take(u64::MAX, odd, Duration::MAX);
        bucket.give_back(u64::MAX, odd);
    }

    /// A bucket as one would write it first: a level and a time, in billionths of a token so as to be exact.
    struct Naive {
        level: u128,
        at_ns: u128,
    }

    impl Naive {
        fn take(&mut self, amount: u64, rate: Rate, now: Duration) -> bool {
            let burst = u128::from(rate.burst_seconds * rate.per_second) * 1_000_000_000;
            let flown_in = (now.as_nanos() - self.at_ns) * u128::from(rate.per_second);
            self.at_ns = now.as_nanos();
            // Below zero after more than a burst: `level` is kept above it by counting from a deep floor.
            self.level = (self.level + flown_in).min(FLOOR + burst);
            let amount = u128::from(amount) * 1_000_000_000;
            let enough = self.level >= FLOOR + amount.min(burst);
            if enough {
                self.level -= amount;
            }
            enough
        }
    }

    const FLOOR: u128 = 1 << 100;

    proptest! {
        #[test]
        fn same_as_a_level_and_a_time(
            // Rates that divide a second into whole nanoseconds, so that both are exact.
            per_second in prop::sample::select(vec![1u64, 8, 1_000, 25_000, 1_000_000]),
            burst_seconds in 1u64..20,
            steps in prop::collection::vec((0u64..3_000_000_000, 0u64..60_000), 1..200),
        ) {
            let rate = Rate { per_second, burst_seconds };
            let bucket = Bucket::default();
            let mut naive = Naive { level: FLOOR + u128::from(burst_seconds * per_second) * 1_000_000_000, at_ns: 0 };
            let mut now = Duration::ZERO;
            for (wait_ns, amount) in steps {
                now += Duration::from_nanos(wait_ns);
                let taken = bucket.take(amount, rate, now);
                prop_assert_eq!(taken.is_ok(), naive.take(amount, rate, now));
                if let Err(wait) = taken {
                    // The promised wait is enough, and no shorter one is.
                    let probe = Bucket { full_at_ns: AtomicU64::new(bucket.full_at_ns.load(Relaxed)) };
                    prop_assert!(probe.take(amount, rate, now + wait - Duration::from_nanos(1)).is_err());
                    prop_assert!(probe.take(amount, rate, now + wait).is_ok());
                }
            }
        }

        #[test]
        fn never_more_than_rate_and_burst(
            per_second in 1u64..5_000_000,
            burst_seconds in 1u64..20,
            steps in prop::collection::vec((0u64..1_000_000_000, 0u64..10_000), 1..200),
        ) {
            let rate = Rate { per_second, burst_seconds };
            let burst = u128::from(per_second * burst_seconds);
            let (bucket, mut now, mut sum, mut largest) = (Bucket::default(), Duration::ZERO, 0u128, 0u128);
            for (wait_ns, amount) in steps {
                now += Duration::from_nanos(wait_ns);
                if bucket.take(amount, rate, now).is_ok() {
                    sum += u128::from(amount);
                    largest = largest.max(u128::from(amount));
                }
            }
            let flown_in = now.as_nanos() * u128::from(per_second) / 1_000_000_000;
            prop_assert!(sum <= flown_in + 1 + burst.max(largest));
        }
    }
}
