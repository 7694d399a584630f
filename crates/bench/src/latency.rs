//! How long answers took: all of them are kept, since a load of 48 million samples has but 24,000 requests.

use serde::Serialize;
use std::time::Duration;

#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies {
    micros: Vec<u32>,
}

impl Latencies {
    /// Gives the microseconds that it took.
    pub(crate) fn add(&mut self, took: Duration) -> u32 {
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        self.micros.push(micros);
        micros
    }

    pub(crate) fn merge(&mut self, other: Latencies) {
        self.micros.extend(other.micros);
    }

    pub(crate) fn spread(mut self) -> Spread {
        self.micros.sort_unstable();
        let at = |part: f64| {
            let rank = (self.micros.len() as f64 * part).ceil() as usize;
            self.micros.get(rank.saturating_sub(1)).map_or(0.0, |&micros| f64::from(micros) / 1_000.0)
        };
        Spread { p50_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1.0) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks() {
        let spread = |micros: &[u64]| {
            let mut all = Latencies::default();
            for &micros in micros {
                all.add(Duration::from_micros(micros));
            }
            let Spread { p50_ms, p99_ms, max_ms } = all.spread();
            [p50_ms, p99_ms, max_ms]
        };
        assert_eq!(spread(&[]), [0.0; 3]);
        assert_eq!(spread(&[3_000]), [3.0; 3]);
        let up: Vec<u64> = (1..=1_000).rev().map(|ms| ms * 1_000).collect();
        assert_eq!(spread(&up), [500.0, 990.0, 1_000.0]);
    }
}
