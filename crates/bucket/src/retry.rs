//! One operation, until it succeeds, cannot, or has taken too long.
//!
//! ```text
//! attempt ──failed, may pass──▶ pause by chance, longer each time ──▶ attempt …
//!    │ each with a time-out: 30 s, and a second for each 256 KiB it moves
//!    └── all together within a deadline: 2 min, and three times what the bytes may take
//! ```

use crate::backend::{Attempt, Failure};
use nilometer_env::Random;
use nilometer_model::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// As many as the client that Thanos uses for S3.
const DEFAULT_RETRIES: u32 = 10;
const ATTEMPT: Duration = Duration::from_secs(30);
const DEADLINE: Duration = Duration::from_secs(120);
/// Slower than that is as good as standing still.
const BYTES_PER_SECOND: u64 = 256 << 10;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

#[derive(Clone)]
pub(crate) struct Retry {
    pub(crate) max_retries: u32,
    pub(crate) attempt: Duration,
    pub(crate) random: Arc<dyn Random>,
}

/// Why an operation was given up.
#[derive(Debug)]
pub(crate) struct GaveUp {
    pub(crate) error: Error,
    pub(crate) attempts: u32,
    /// An attempt that was not answered may have been carried out all the same.
    pub(crate) is_unsure: bool,
}

impl Retry {
    pub(crate) fn new(max_retries: Option<u32>, attempt: Option<Duration>, random: Arc<dyn Random>) -> Self {
        Retry {
            max_retries: max_retries.unwrap_or(DEFAULT_RETRIES),
            attempt: attempt.unwrap_or(ATTEMPT),
            random,
        }
    }

    /// `bytes` is about how many are moved.
    pub(crate) async fn run<'a, T>(
        &self,
        bytes: u64,
        retried: impl Fn(),
        attempt: impl Fn() -> Attempt<'a, T>,
    ) -> Result<T, GaveUp> {
        let moving = Duration::from_secs(bytes / BYTES_PER_SECOND);
        let limit = self.attempt + moving;
        let deadline = Instant::now() + DEADLINE.max(self.attempt) + 3 * moving;
        let mut is_unsure = false;
        for attempts in 1.. {
            let failure = match timeout(limit, attempt()).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(failure)) => failure,
                Err(_) => {
                    let text = format!("no answer in {} s", limit.as_secs());
                    Failure::passing(Error::unavailable(text))
                }
            };
            let pause = self.pause(attempts);
            let is_over = attempts > self.max_retries || Instant::now() + pause > deadline;
            if !failure.again || is_over {
                let is_unsure = is_unsure || failure.again;
                return Err(GaveUp { error: failure.error, attempts, is_unsure });
            }
            is_unsure = true;
            retried();
            sleep(pause).await;
        }
        unreachable!("the loop ends by returning")
    }

    /// Anything up to twice as long as the last time: those who failed together do not come back together.
    fn pause(&self, attempts: u32) -> Duration {
        let longest = FIRST_PAUSE.saturating_mul(1 << (attempts - 1).min(16)).min(LONGEST_PAUSE);
        let ms = self.random.u64() % (longest.as_millis() as u64 + 1);
        Duration::from_millis(ms).max(SHORTEST_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use nilometer_env::sim::SimRandom;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    fn retry() -> Retry {
        Retry::new(Some(3), None, Arc::new(SimRandom::new(1)))
    }

    /// Attempts that fail so often before they succeed.
    async fn run(failures: u32, again: bool) -> (Result<(), GaveUp>, u32) {
        let calls = AtomicU32::new(0);
        let attempt = || {
            let call = calls.fetch_add(1, Relaxed);
            async move {
                match call < failures {
                    true => Err(Failure { error: Error::unavailable("no"), again }),
                    false => Ok(()),
                }
            }
            .boxed()
        };
        let result = retry().run(0, || {}, attempt).await;
        (result, calls.load(Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_tried_again_up_to_the_limit() {
        assert!(matches!(run(3, true).await, (Ok(()), 4)));
        let (result, calls) = run(9, true).await;
        let gave_up = result.unwrap_err();
        assert_eq!((gave_up.attempts, calls, gave_up.is_unsure), (4, 4, true));
        let (result, calls) = run(9, false).await;
        assert_eq!((result.unwrap_err().is_unsure, calls), (false, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_is_given_up() {
        let start = Instant::now();
        let hangs = || std::future::pending::<Result<(), Failure>>().boxed();
        let gave_up = retry().run(1 << 20, || {}, hangs).await.unwrap_err();
        assert!(gave_up.error.to_string().contains("no answer in 34 s"), "{}", gave_up.error);
        assert!(start.elapsed() <= Duration::from_secs(180));
    }

    #[test]
    fn pauses_grow_and_have_a_bound() {
        let retry = retry();
        for attempts in 1..40 {
            let pause = retry.pause(attempts);
            assert!(pause >= SHORTEST_PAUSE && pause <= LONGEST_PAUSE);
            assert!(attempts > 1 || pause <= FIRST_PAUSE);
        }
    }
}
