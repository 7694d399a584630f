//! Threads for computing, as whoever computes sees them.

use std::pin::Pin;

/// Threads that others compute on too. The real one is the runtime of queries.
pub trait CpuPool: Send + Sync + 'static {
    /// How many threads there are, that of the caller included.
    fn threads(&self) -> usize;

    /// Does something beside the caller, as soon as a thread is free: perhaps never.
    fn spawn(&self, work: Pin<Box<dyn Future<Output = ()> + Send>>);
}
