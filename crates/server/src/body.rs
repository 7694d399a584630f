//! Request bodies that neither take for ever nor take more memory than there is for them.

use crate::Patience;
use axum::BoxError;
use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, SizeHint};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until};

/// The sender was too slow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooSlow(Patience);

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pause, all) = (self.0.body_pause.as_secs_f64(), self.0.body.as_secs_f64());
        write!(f, "the body did not come in time: pauses may last {pause} s, all of it {all} s")
    }
}

impl std::error::Error for TooSlow {}

/// Ends with [`TooSlow`] where the sender dawdles.
pub(crate) fn patient(body: Body, patience: Patience) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let now = Instant::now();
    let sleep = Box::pin(sleep_until(now + patience.body_pause));
    Body::new(Patient { body, patience, deadline: now + patience.body, sleep })
}

struct Patient {
    body: Body,
    patience: Patience,
    deadline: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl hyper::body::Body for Patient {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            let next = (Instant::now() + self.patience.body_pause).min(self.deadline);
            self.sleep.as_mut().reset(next);
            return Poll::Ready(frame.map(|f| f.map_err(axum::Error::into_inner)));
        }
        let patience = self.patience;
        self.sleep.as_mut().poll(cx).map(|()| Some(Err(TooSlow(patience).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Memory for bodies that are being received, of all requests together and of each sender: a tenant, or whoever
/// else has a name.
///
/// It is taken as bytes arrive, so that who announces much and sends little holds little.
pub(crate) struct BodyBudget {
    all: Arc<Semaphore>,
    senders: Mutex<HashMap<Arc<str>, OfSender>>,
    max_bytes: usize,
    turns: usize,
}

#[derive(Clone)]
struct OfSender {
    free: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

/// What the semaphores count in.
const UNIT_BYTES: usize = 1 << 10;
/// What a request takes besides its body.
const REQUEST_BYTES: usize = 4 << 10;
/// The first piece of memory for a body.
const FIRST_BYTES: usize = 16 << 10;
/// No sender gets more than this part of it all, so that one that sends slowly cannot stop the others.
const SENDER_PART: usize = 4;

/// A body, and its share of the budget.
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    shares: [Share; 2],
    turns: Arc<Semaphore>,
}

struct Share {
    free: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
}

/// Why there is no body.
#[derive(Debug)]
pub(crate) enum NoBody {
    TooLarge {
        max: u64,
    },
    /// All bodies of the sender, or of all senders, take what there is for them.
    NoMemory,
    TooSlow(TooSlow),
    /// The sender or something on the way broke off.
    Broken(String),
    /// What came is not HTTP.
    Malformed(String),
}

impl BodyBudget {
    pub(crate) fn new(max_bytes: usize) -> Self {
        let all = Arc::new(Semaphore::new(max_bytes / UNIT_BYTES));
        // One at a tenant's memory, and the next ones ready for it: more would only be decoded earlier.
        let turns = std::thread::available_parallelism().map_or(1, usize::from) + 1;
        BodyBudget { all, senders: Mutex::default(), max_bytes, turns }
    }

    /// What bodies take now, in bytes.
    pub(crate) fn used_bytes(&self) -> usize {
        self.max_bytes.saturating_sub(self.all.available_permits() * UNIT_BYTES)
    }

    /// Reads a body of at most `max` bytes. Says no by the announced length where that is known, before a
    /// byte is read.
    pub(crate) async fn receive(
        &self,
        sender: &str,
        headers: &HeaderMap,
        mut body: Body,
        max: u64,
    ) -> Result<Received, NoBody> {
        // What could never fit is too large: no retry would mend it.
        let max = max.min((self.max_bytes / SENDER_PART).saturating_sub(REQUEST_BYTES) as u64);
        let announced = headers.get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
        if announced.is_some_and(|len| len > max) {
            return Err(NoBody::TooLarge { max });
        }
        let mut received = self.nothing_yet(sender)?;
        let mut shared = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(broken)?;
            let Some(data) = frame.data_ref() else { continue };
            let len = received.bytes.len() + data.len();
            if len as u64 > max {
                return Err(NoBody::TooLarge { max });
            }
            // The vector doubles as it grows, and so does its share, up to what was announced.
            if len > shared {
                let most = announced.unwrap_or(max).min(max) as usize;
                let want = len.max((shared * 2).max(FIRST_BYTES).min(most));
                received.grow(want - shared)?;
                received.bytes.reserve_exact(want - received.bytes.len());
                shared = want;
            }
            received.bytes.extend_from_slice(data);
        }
        Ok(received)
    }

    fn nothing_yet(&self, sender: &str) -> Result<Received, NoBody> {
        let of_sender = || OfSender {
            free: Arc::new(Semaphore::new(self.max_bytes / SENDER_PART / UNIT_BYTES)),
            turns: Arc::new(Semaphore::new(self.turns)),
        };
        let mut senders = self.senders.lock();
        let known = senders.get(sender).cloned();
        let OfSender { free, turns } =
            known.unwrap_or_else(|| senders.entry(Arc::from(sender)).or_insert_with(of_sender).clone());
        drop(senders);
        let shares = [free, self.all.clone()].map(|free| Share { free, taken: None });
        let mut received = Received { bytes: Vec::new(), shares, turns };
        received.grow(REQUEST_BYTES)?;
        Ok(received)
    }
}

impl Received {
    /// Waits until the body may be decoded, which takes several times its memory: of each sender, only a few are
    /// at a time.
    pub(crate) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // Nobody closes it.
        self.turns.clone().acquire_owned().await.ok()
    }

    fn grow(&mut self, bytes: usize) -> Result<(), NoBody> {
        self.shares.iter_mut().try_for_each(|share| share.grow(bytes))
    }
}

impl Share {
    fn grow(&mut self, bytes: usize) -> Result<(), NoBody> {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        let more = self.free.clone().try_acquire_many_owned(units).map_err(|_| NoBody::NoMemory)?;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
}

fn broken(e: axum::Error) -> NoBody {
    let inner = e.into_inner();
    match inner.downcast_ref::<TooSlow>() {
        Some(too_slow) => NoBody::TooSlow(*too_slow),
        None if inner.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) => {
            NoBody::Malformed(inner.to_string())
        }
        None => NoBody::Broken(inner.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use futures::stream;

    fn body(frames: &[&'static [u8]]) -> Body {
        let frames: Vec<_> = frames.iter().map(|f| Ok::<_, std::io::Error>(Bytes::from_static(f))).collect();
        Body::from_stream(stream::iter(frames))
    }

    fn receive(budget: &BodyBudget, headers: &HeaderMap, body: Body, max: u64) -> Result<Received, NoBody> {
        receive_of("a", budget, headers, body, max)
    }

    fn receive_of(
        tenant: &str,
        budget: &BodyBudget,
        headers: &HeaderMap,
        body: Body,
        max: u64,
    ) -> Result<Received, NoBody> {
        block_on(budget.receive(tenant, headers, body, max))
    }

    #[test]
    fn a_body_up_to_the_limit() {
        let budget = BodyBudget::new(1 << 20);
        let headers = HeaderMap::new();
        let got =
            receive(&budget, &headers, body(&[b"ab", b"", b"cde"]), 5).unwrap_or_else(|e| panic!("{e:?}"));
        assert_eq!(got.bytes, b"abcde");
        let over = receive(&budget, &headers, body(&[b"ab", b"cdef"]), 5);
        assert!(matches!(over, Err(NoBody::TooLarge { max: 5 })));
    }

    #[test]
    fn an_announced_length_is_believed_only_for_refusing() {
        let budget = BodyBudget::new(1 << 20);
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, 6.into());
        assert!(matches!(receive(&budget, &headers, Body::empty(), 5), Err(NoBody::TooLarge { .. })));
        headers.insert(header::CONTENT_LENGTH, 3.into());
        assert!(matches!(receive(&budget, &headers, body(&[b"abcdef"]), 5), Err(NoBody::TooLarge { .. })));
    }

    #[test]
    fn all_bodies_together_are_bounded_and_give_back() {
        const TENANT: usize = 16 * UNIT_BYTES;
        let budget = BodyBudget::new(SENDER_PART * TENANT);
        let headers = HeaderMap::new();
        let large: &'static [u8] = &[7; TENANT - REQUEST_BYTES];
        let mut held = Vec::new();
        for tenant in ["a", "b", "c", "d"] {
            let got = receive_of(tenant, &budget, &headers, body(&[large]), 1 << 20);
            held.push(got.unwrap_or_else(|e| panic!("{tenant}: {e:?}")));
            let more = receive_of(tenant, &budget, &headers, Body::empty(), 1 << 20);
            assert!(matches!(more, Err(NoBody::NoMemory)), "{tenant} has its part");
        }
        let fifth = receive_of("e", &budget, &headers, Body::empty(), 1 << 20);
        assert!(matches!(fifth, Err(NoBody::NoMemory)), "all is taken");
        drop(held);
        let never = receive(&budget, &headers, body(&[large, b"1"]), 1 << 20);
        assert!(matches!(never, Err(NoBody::TooLarge { .. })), "no retry would mend that");
        assert!(receive(&budget, &headers, body(&[large]), 1 << 20).is_ok());
        assert_eq!(budget.all.available_permits() * UNIT_BYTES, SENDER_PART * TENANT);
    }
}
