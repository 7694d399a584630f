//! Reads that take long are asked for a second time; the first answer counts.

use crate::backend::{Attempt, Failure};
use crate::config::Hedging;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// So many recent reads are looked at.
const RECENT: usize = 256;
/// Before there were so many, nothing is known of how long a read takes.
const ENOUGH: usize = 20;

/// How long recent reads took.
#[derive(Default)]
pub(crate) struct Latencies(Mutex<VecDeque<Duration>>);

impl Latencies {
    fn add(&self, took: Duration) {
        let mut recent = self.0.lock();
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back(took);
    }

    fn quantile(&self, quantile: f64) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.0.lock().iter().copied().collect();
        if sorted.len() < ENOUGH {
            return None;
        }
        sorted.sort_unstable();
        let at = (quantile * (sorted.len() - 1) as f64).round() as usize;
        sorted.get(at).copied()
    }
}

/// One attempt of a read, or several side by side.
pub(crate) async fn hedged<'a, T>(
    hedging: Option<Hedging>,
    latencies: &Latencies,
    counted: impl Fn(),
    attempt: impl Fn() -> Attempt<'a, T>,
) -> Result<T, Failure> {
    let Some(hedging) = hedging else { return attempt().await };
    let delay = latencies.quantile(hedging.quantile);
    let start = Instant::now();
    let mut running = FuturesUnordered::from_iter([attempt()]);
    let mut started = 1;
    loop {
        let next = async {
            match delay.filter(|_| started < hedging.up_to) {
                Some(delay) => sleep(delay).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(result) = running.next() => match result {
                Ok(done) => {
                    latencies.add(start.elapsed());
                    return Ok(done);
                }
                Err(failure) if running.is_empty() => return Err(failure),
                Err(_) => {}
            },
            () = next => {
                started += 1;
                counted();
                running.push(attempt());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    const HEDGING: Option<Hedging> = Some(Hedging { up_to: 3, quantile: 0.9 });

    async fn read(latencies: &Latencies, delays_ms: &[u64]) -> (u128, u32) {
        let calls = AtomicU32::new(0);
        let attempt = || {
            let ms = delays_ms[calls.fetch_add(1, Relaxed) as usize];
            async move {
                sleep(Duration::from_millis(ms)).await;
                Ok::<(), Failure>(())
            }
            .boxed()
        };
        let start = Instant::now();
        hedged(HEDGING, latencies, || {}, attempt).await.unwrap();
        (start.elapsed().as_millis(), calls.load(Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_read_is_overtaken_once_it_is_known_what_slow_is() {
        let latencies = Latencies::default();
        assert_eq!(read(&latencies, &[5_000]).await, (5_000, 1), "nothing is known yet");
        for _ in 0..100 {
            assert_eq!(read(&latencies, &[10]).await, (10, 1));
        }
        assert_eq!(read(&latencies, &[5_000, 10]).await, (20, 2));
        assert_eq!(read(&latencies, &[5_000, 5_000, 5_000]).await, (5_000, 3), "no more than up_to");
    }
}
