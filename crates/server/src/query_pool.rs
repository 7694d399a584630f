//! Where queries are computed: a runtime of its own, so that a heavy query never delays a write.

use crate::gate::{Gate, Who};
use nilometer_model::{Error, Result};
use std::future::Future;
use std::time::Duration;
use tokio::runtime::Handle;

/// Runs at most so many queries at a time; the others wait, within the time that they have.
#[derive(Clone)]
pub struct QueryPool {
    handle: Handle,
    gate: Gate,
    timeout: Duration,
}

impl QueryPool {
    /// `timeout` includes the time spent waiting.
    pub fn new(handle: Handle, max_concurrent: usize, timeout: Duration) -> Self {
        QueryPool { handle, gate: Gate::new(max_concurrent), timeout }
    }

    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Does on the pool's threads what ends by itself, beside the queries that have places.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(work);
    }

    /// Computes `query` on the pool. Dropping the future that this returns cancels it at its next await; one
    /// that takes longer than `timeout` (bounded by the pool's own) ends with `Canceled`.
    pub(crate) async fn run<T, F>(&self, who: Who, timeout: Option<Duration>, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let timeout = timeout.map_or(self.timeout, |t| t.min(self.timeout));
        let gate = self.gate.clone();
        let placed = async move {
            let _place = gate.enter(who).await;
            query.await
        };
        let task = AbortOnDrop(self.handle.spawn(tokio::time::timeout(timeout, placed)));
        match task.await {
            Some(Ok(answer)) => answer,
            Some(Err(_)) => Err(Error::canceled(format!(
                "query timed out: it took longer than {} s, waiting for a free place included",
                timeout.as_secs_f64()
            ))),
            None => Err(Error::unavailable("the query was broken off, see the log; retry")),
        }
    }
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Future for AbortOnDrop<T> {
    /// `None` where the task panicked, or the runtime ends.
    type Output = Option<T>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<T>> {
        std::pin::Pin::new(&mut self.0).poll(cx).map(Result::ok)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
