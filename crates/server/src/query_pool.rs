//! Where queries are computed: a runtime of its own, so that a heavy query never delays a write.

use crate::gate::{Gate, Who};
use nilometer_env::CpuPool;
use nilometer_model::{Error, Result};
use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinError;

/// Runs at most so many queries at a time; the others wait, within the time that they have.
#[derive(Clone)]
pub struct QueryPool {
    handle: Handle,
    gate: Gate,
    timeout: Duration,
    helpers: Arc<Helpers>,
}

impl QueryPool {
    /// `timeout` includes the time spent waiting.
    pub fn new(handle: Handle, max_concurrent: usize, timeout: Duration) -> Self {
        let helpers = Arc::new(Helpers::new(handle.clone()));
        QueryPool { handle, gate: Gate::new(max_concurrent), timeout, helpers }
    }

    /// What helps queries that can use several threads.
    pub(crate) fn helpers(&self) -> Arc<dyn CpuPool> {
        self.helpers.clone()
    }

    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Does on the pool's threads what ends by itself, beside the queries that have places.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(work);
    }

    /// Does on the pool's threads what takes no place. Dropping the future that this returns ends it at its next
    /// await; where it panics, that is the error.
    pub(crate) async fn beside<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> std::result::Result<T, Box<dyn Any + Send>> {
        match AbortOnDrop(self.handle.spawn(work)).await {
            Ok(done) => Ok(done),
            Err(e) => match e.try_into_panic() {
                Ok(panic) => Err(panic),
                // Only the end of the runtime is left, and then nobody waits for this.
                Err(_) => std::future::pending().await,
            },
        }
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
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Error::canceled(format!(
                "query timed out: it took longer than {} s, waiting for a free place included",
                timeout.as_secs_f64()
            ))),
            Err(_) => Err(Error::unavailable("the query was broken off, see the log; retry")),
        }
    }
}

/// Threads beside those of the runtime, one less than there are cores: a query alone uses all cores, and many
/// queries have one each.
struct Helpers {
    handle: Handle,
    threads: usize,
    free: Arc<Semaphore>,
}

impl Helpers {
    fn new(handle: Handle) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Helpers { handle, threads, free: Arc::new(Semaphore::new(threads.saturating_sub(1))) }
    }
}

impl CpuPool for Helpers {
    fn threads(&self) -> usize {
        self.threads
    }

    fn spawn(&self, work: Pin<Box<dyn Future<Output = ()> + Send>>) {
        if let Ok(place) = self.free.clone().try_acquire_owned() {
            // Not as a task: one that a task spawns may wait for it to yield.
            self.handle.spawn_blocking(move || {
                futures::executor::block_on(work);
                drop(place);
            });
        }
    }
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Future for AbortOnDrop<T> {
    /// An error where the task panicked, or the runtime ends.
    type Output = std::result::Result<T, JoinError>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
