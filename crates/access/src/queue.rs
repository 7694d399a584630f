//! Credentials that wait for the one password hash at a time.
//!
//! ```text
//! request ─▶ cache? ──no──▶ tries left? ──▶ queue ──▶ Worker, on a thread where blocking is allowed
//!    ▲                                                  │ takes one after the other, ends when none is left
//!    └──────────── Pending (a future) ◀─────────────────┘
//! ```
//!
//! A hash takes a core for 50 ms and more, so at most one runs, however many ask. Requests with the same
//! credential (a Prometheus sends with up to 50 connections) wait for the same hash. Those that were verified
//! before the last reload go first and always have room, so that guesses do not keep them out.

use crate::access::Inner;
use crate::identity::Identity;
use crate::refusal::{Reason, Refusal};
use futures::channel::oneshot;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Different credentials that may wait, besides those that were verified before.
const MAX_JOBS: usize = 256;
/// Requests that may wait for one of them.
const MAX_WAITERS: usize = 1_000;
/// By then some 50 credentials more have been hashed.
const RETRY_AFTER: Duration = Duration::from_secs(5);

pub(crate) type Answer = Result<Arc<Identity>, Refusal>;

/// A user name and password that are neither known to be right nor to be wrong.
pub(crate) struct Job {
    pub(crate) digest: u128,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) peer: IpAddr,
    /// It was verified before the last reload. Otherwise a try was taken for it, which is given back if the
    /// password is right or nobody waits any more.
    pub(crate) trusted: bool,
}

#[derive(Default)]
pub(crate) struct Queue(Mutex<State>);

#[derive(Default)]
struct State {
    trusted: VecDeque<Job>,
    others: VecDeque<Job>,
    /// By digest, of the queued jobs and of the one that is being hashed.
    waiters: HashMap<u128, Vec<oneshot::Sender<Answer>>>,
    working: bool,
}

pub(crate) struct Queued {
    pub(crate) pending: Pending,
    /// No worker runs: the caller starts one.
    pub(crate) start_worker: bool,
}

impl Queue {
    /// Waits with those who sent the same credential, or at the end of the queue, if `charge` agrees.
    pub(crate) fn push(
        &self,
        job: Job,
        charge: impl FnOnce(&Job) -> Result<(), Refusal>,
    ) -> Result<Queued, Refusal> {
        let mut state = self.0.lock();
        let State { trusted, others, waiters, working } = &mut *state;
        let (answer, pending) = oneshot::channel();
        if let Some(waiting) = waiters.get_mut(&job.digest) {
            if waiting.len() >= MAX_WAITERS {
                waiting.retain(|w| !w.is_canceled());
            }
            if waiting.len() >= MAX_WAITERS {
                return Err(full());
            }
            waiting.push(answer);
            return Ok(Queued { pending: Pending(pending), start_worker: false });
        }
        if !job.trusted {
            if others.len() >= MAX_JOBS {
                return Err(full());
            }
            charge(&job)?;
        }
        waiters.insert(job.digest, vec![answer]);
        let queue = if job.trusted { trusted } else { others };
        queue.push_back(job);
        let start_worker = !std::mem::replace(working, true);
        Ok(Queued { pending: Pending(pending), start_worker })
    }

    pub(crate) fn len(&self) -> usize {
        let state = self.0.lock();
        state.trusted.len() + state.others.len()
    }

    /// The next job for which somebody waits; those for which nobody does go to `given_up`. With none left,
    /// the worker that asks has to end.
    fn next(&self, mut given_up: impl FnMut(&Job)) -> Option<Job> {
        let mut state = self.0.lock();
        let State { trusted, others, waiters, working } = &mut *state;
        while let Some(job) = trusted.pop_front().or_else(|| others.pop_front()) {
            let waiting = waiters.get(&job.digest).is_some_and(|w| w.iter().any(|w| !w.is_canceled()));
            if waiting {
                return Some(job);
            }
            waiters.remove(&job.digest);
            given_up(&job);
        }
        *working = false;
        None
    }

    fn answer(&self, digest: u128, answer: &Answer) {
        let waiting = self.0.lock().waiters.remove(&digest).unwrap_or_default();
        for waiter in waiting {
            // Fails where the request has gone away meanwhile.
            let _ = waiter.send(answer.clone());
        }
    }

    /// Turns everybody away: their worker will not come back to them.
    fn abandon(&self) {
        let state = std::mem::take(&mut *self.0.lock());
        // Dropping the senders answers `Pending` with `full()`.
        drop(state);
    }
}

fn full() -> Refusal {
    Refusal::retry(Reason::HashQueueFull, RETRY_AFTER, "too many credentials wait to be checked: retry")
}

/// The answer of [`crate::Access::authenticate`], once a password hash has been computed. May be dropped.
#[must_use = "await it for the identity"]
pub struct Pending(oneshot::Receiver<Answer>);

impl Future for Pending {
    type Output = Result<Arc<Identity>, Refusal>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|got| got.unwrap_or_else(|_| Err(full())))
    }
}

/// Hashes what is queued, one after the other. [`Worker::run`] keeps a core busy for as long as that takes:
/// call it where blocking is allowed, never on a thread that serves requests.
pub struct Worker {
    inner: Arc<Inner>,
    done: bool,
}

impl Worker {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Worker { inner, done: false }
    }

    pub fn run(mut self) {
        let queue = &self.inner.queue;
        while let Some(job) = queue.next(|given_up| self.inner.give_back(given_up)) {
            let answer = self.inner.judge(&job);
            queue.answer(job.digest, &answer);
        }
        self.done = true;
    }
}

impl Drop for Worker {
    /// A worker that was never run (the runtime is shutting down) or that panicked leaves nobody waiting.
    fn drop(&mut self) {
        if !self.done {
            self.inner.queue.abandon();
        }
    }
}
