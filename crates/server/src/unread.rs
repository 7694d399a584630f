//! Answers that their client does not take.
//!
//! A large answer stands in memory until it is sent. A client that asks for one and reads nothing, or a little
//! now and then, would keep it there: what is left of such an answer is let go of, and its connection ends where
//! the protocol allows that (an HTTP/2 stream that is given no room is only ended by its client, but holds
//! nothing by then).

use crate::Patience;
use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

/// The client was too slow.
#[derive(Debug)]
struct Unread;

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer was not read in time, and the rest of it is gone (--http.unread-timeout)")
    }
}

impl std::error::Error for Unread {}

/// Lets go of `body` where its client dawdles. Bodies that are there whole pass as they are: they are small.
pub(crate) fn watched(body: Body, patience: Patience, given_up: &Counter) -> Body {
    if body.size_hint().exact().is_some() {
        return body;
    }
    let now = Instant::now();
    let rest = Arc::new(Mutex::new(Rest { body: Some(body), asked: now }));
    let watch = watch(Arc::downgrade(&rest), now, patience, given_up.clone());
    Body::new(Watched { rest, watch: tokio::spawn(watch).abort_handle() })
}

async fn watch(rest: Weak<Mutex<Rest>>, began: Instant, patience: Patience, given_up: Counter) {
    let mut due = began + patience.answer_pause;
    loop {
        sleep_until(due).await;
        let Some(rest) = rest.upgrade() else { return };
        let mut rest = rest.lock();
        due = (rest.asked + patience.answer_pause).min(began + patience.answer);
        if Instant::now() >= due {
            let body = rest.body.take();
            drop(rest);
            if body.is_some() {
                given_up.inc();
            }
            return;
        }
    }
}

/// What is not sent yet.
struct Rest {
    /// `None` once it is given up.
    body: Option<Body>,
    /// When more of it was asked for last.
    asked: Instant,
}

struct Watched {
    rest: Arc<Mutex<Rest>>,
    watch: AbortHandle,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut rest = self.rest.lock();
        rest.asked = Instant::now();
        match &mut rest.body {
            None => Poll::Ready(Some(Err(Unread.into()))),
            Some(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(axum::Error::into_inner))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.lock().body.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use http_body_util::BodyExt;
    use std::convert::Infallible;
    use std::time::Duration;

    const LONG: Duration = Duration::from_secs(3600);
    const SHORT: Duration = Duration::from_millis(20);

    /// A body without end, and what says whether it is still there.
    fn endless(patience: Patience) -> (Body, Weak<()>, Counter) {
        let (held, counter) = (Arc::new(()), Counter::default());
        let there = Arc::downgrade(&held);
        let pieces = stream::repeat_with(move || {
            let _held = &held;
            Ok::<_, Infallible>(Bytes::from_static(b"x"))
        });
        (watched(Body::from_stream(pieces), patience, &counter), there, counter)
    }

    #[tokio::test]
    async fn what_is_not_read_is_let_go_of() {
        let patience = Patience { answer_pause: SHORT, answer: LONG, ..Patience::default() };
        let (mut body, there, counter) = endless(patience);
        assert!(body.frame().await.unwrap().is_ok());
        while there.upgrade().is_some() {
            tokio::time::sleep(SHORT).await;
        }
        assert!(body.frame().await.unwrap().unwrap_err().to_string().contains("--http.unread-timeout"));
        assert_eq!(counter.get(), 1);
    }

    #[tokio::test]
    async fn a_drop_at_a_time_does_not_keep_it_for_ever() {
        // The first look comes after the pause; it is then too late for all of it.
        let patience = Patience { answer_pause: SHORT, answer: SHORT * 3, ..Patience::default() };
        let (mut body, there, counter) = endless(patience);
        while body.frame().await.unwrap().is_ok() {
            tokio::task::yield_now().await;
        }
        assert!(there.upgrade().is_none());
        assert_eq!(counter.get(), 1);
    }

    #[tokio::test]
    async fn what_is_read_passes_and_leaves_nothing_behind() {
        let counter = Counter::default();
        let pieces = [Ok::<_, Infallible>(Bytes::from_static(b"ab")), Ok(Bytes::from_static(b"c"))];
        let patience = Patience { answer_pause: SHORT, answer: SHORT, ..Patience::default() };
        let body = watched(Body::from_stream(stream::iter(pieces)), patience, &counter);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
        tokio::time::sleep(SHORT * 2).await;
        assert_eq!(counter.get(), 0);
    }
}
