//! The simulator: a disk that forgets, a clock moved by hand, random numbers that repeat.
//!
//! Everything follows from a seed, so a failure is reproduced by its number.

mod disk;

pub use disk::{Faults, SimFs};

use crate::{Clock, Random};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// A clock that stands still until it is told to move.
#[derive(Debug)]
pub struct SimClock {
    wall_ms: AtomicI64,
    start_ms: i64,
}

impl SimClock {
    pub fn new(wall_ms: i64) -> Self {
        SimClock { wall_ms: AtomicI64::new(wall_ms), start_ms: wall_ms }
    }

    pub fn advance_ms(&self, by_ms: i64) {
        assert!(by_ms >= 0, "time does not go back");
        self.wall_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for SimClock {
    fn wall_ms(&self) -> i64 {
        self.wall_ms.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis((self.wall_ms() - self.start_ms) as u64)
    }
}

/// SplitMix64: small, quick, and the same everywhere.
#[derive(Debug)]
pub struct SimRandom(Mutex<u64>);

impl SimRandom {
    pub fn new(seed: u64) -> Self {
        SimRandom(Mutex::new(seed))
    }

    fn next(&self) -> u64 {
        let mut state = self.0.lock();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, evenly enough for tests.
    pub fn below(&self, bound: u64) -> u64 {
        assert!(bound > 0, "there is no number below 0");
        self.next() % bound
    }

    /// True once in `n` times.
    pub fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }
}

impl Random for SimRandom {
    fn fill(&self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}
