//! The threads and runtimes of the process.
//!
//! Writes, queries, the log and the upkeep have threads of their own, so that none waits for another's work.

use crate::memory::Memory;
use nilometer_head::Head;
use nilometer_server::Hub;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;
use tokio::runtime::Runtime;

/// How often the head is kept in order.
const UPKEEP: Duration = Duration::from_secs(1);
/// How often certificates are looked at; whoever renews them does not tell.
const CERTIFICATES_EVERY: u32 = 60;
/// How often memory is measured.
const MEMORY_EVERY: u32 = 15;

/// More queries at a time share threads, so that no flag takes more of the system than it has.
const MAX_QUERY_THREADS: usize = 64;
const STORAGE_THREADS: usize = 2;
/// Of those that wait for files and the store.
const STORAGE_BLOCKING_THREADS: usize = 64;
/// How much less of a busy core a thread of queries gets than one of writes: a third.
const NICE: i32 = 5;

/// Sockets and writes: as many threads as there are cores.
pub(crate) fn ingest() -> std::io::Result<Runtime> {
    runtime("ingest", cores()).build()
}

/// Queries: a thread for each that is computed, since one may keep its thread for minutes and the system shares
/// cores out fairly; and some for who waits or is written to.
pub(crate) fn queries(max_concurrent: usize) -> std::io::Result<Runtime> {
    let threads = max_concurrent.min(MAX_QUERY_THREADS) + cores();
    let give_way = || {
        // Of this thread alone. Where it is not allowed, queries and writes are equals.
        let _ = rustix::process::nice(NICE);
    };
    runtime("query", threads).on_thread_start(give_way).build()
}

/// What goes to object storage and comes from there: mostly it waits.
pub(crate) fn storage() -> std::io::Result<Runtime> {
    runtime("storage", STORAGE_THREADS).max_blocking_threads(STORAGE_BLOCKING_THREADS).build()
}

fn runtime(name: &'static str, threads: usize) -> tokio::runtime::Builder {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(threads).thread_name(name).enable_all();
    builder
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// As many open files as the system lets: each connection takes one. Gives how many that are, `None` for any
/// number.
pub(crate) fn raise_file_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(e) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(error = %e, "the limit of open files stays as it is");
        return current;
    }
    maximum
}

/// Flushes what is appended, until the head is told to stop.
pub(crate) fn log(head: Arc<Head>) -> std::io::Result<JoinHandle<()>> {
    Builder::new().name("log".to_owned()).spawn(move || {
        let _end = EndOnPanic;
        head.run_log();
    })
}

/// Without the thread that holds it nothing works any more, and a new process brings back all that was
/// acknowledged.
struct EndOnPanic;

impl Drop for EndOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("a thread that the hub cannot do without ended in a panic: the process ends");
            std::process::abort();
        }
    }
}

/// The thread that keeps house.
pub(crate) struct Upkeep {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: JoinHandle<()>,
}

impl Upkeep {
    pub(crate) fn start(hub: Arc<Hub>, memory: Memory) -> std::io::Result<Upkeep> {
        let stop: Arc<(Mutex<bool>, Condvar)> = Arc::default();
        let theirs = stop.clone();
        let thread = Builder::new().name("upkeep".to_owned()).spawn(move || {
            let _end = EndOnPanic;
            for round in 1u32.. {
                hub.head.maintain();
                hub.count_tenants();
                if round % MEMORY_EVERY == 1 {
                    memory.measure(&hub);
                }
                if round.is_multiple_of(CERTIFICATES_EVERY)
                    && let Err(e) = hub.reload_certificates()
                {
                    tracing::error!(error = %e, "the certificates could not be read again; the old ones stay");
                }
                let (stop, told) = &*theirs;
                let mut stop = stop.lock();
                if !*stop {
                    told.wait_for(&mut stop, UPKEEP);
                }
                if *stop {
                    return;
                }
            }
        })?;
        Ok(Upkeep { stop, thread })
    }

    /// Returns when what it is doing is done.
    pub(crate) fn stop(self) {
        *self.stop.0.lock() = true;
        self.stop.1.notify_all();
        if self.thread.join().is_err() {
            tracing::error!("the upkeep thread ended in a panic");
        }
    }
}
