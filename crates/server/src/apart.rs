//! Answers that are made apart from writes.
//!
//! Reading a query's text, computing, and turning results into JSON or gzip all take a core's time, and the thread
//! of a connection takes writes, too. So whoever reads is answered on the query runtime, from its form to the last
//! byte; the connection only passes pieces on.

use crate::{Hub, QueryPool};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use axum::middleware::Next;
use bytes::Bytes;
use futures::stream;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Pieces that are ready while the client takes another.
const READY_PIECES: usize = 1;

pub(crate) async fn answered(State(hub): State<Arc<Hub>>, request: Request, next: Next) -> Response<Body> {
    let pool = &hub.query_pool;
    match pool.beside(next.run(request)).await {
        Ok(response) => response.map(|body| written_on(pool, body)),
        // Whoever watches over all handlers tells of it.
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// `body`, with its pieces made on the pool. One that is there whole stays as it is.
fn written_on(pool: &QueryPool, body: Body) -> Body {
    if body.size_hint().exact().is_some() {
        return body;
    }
    let (sender, receiver) = mpsc::channel(READY_PIECES);
    pool.spawn(write(body, sender));
    Body::from_stream(stream::unfold(Some(receiver), |receiver| async {
        let mut receiver: mpsc::Receiver<Piece> = receiver?;
        match receiver.recv().await {
            Some(Piece::Some(data)) => Some((Ok(data), Some(receiver))),
            Some(Piece::End) => None,
            Some(Piece::Failed(why)) => Some((Err(why), None)),
            None => Some((Err(axum::Error::new("the answer was broken off: the process ends")), None)),
        }
    }))
}

enum Piece {
    Some(Bytes),
    /// An answer without it is not whole.
    End,
    Failed(axum::Error),
}

async fn write(mut body: Body, sender: mpsc::Sender<Piece>) {
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            // Nobody listens any more, which one that waits for news would not notice.
            () = sender.closed() => return,
        };
        let (piece, last) = match frame {
            None => (Piece::End, true),
            Some(Err(why)) => (Piece::Failed(why), true),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => (Piece::Some(data), false),
                // No answer has trailers.
                Err(_) => continue,
            },
        };
        if sender.send(piece).await.is_err() || last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::sync::Weak;
    use std::time::Duration;

    fn pool(runtime: &tokio::runtime::Runtime) -> QueryPool {
        QueryPool::new(runtime.handle().clone(), 1, Duration::from_secs(60))
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap()
    }

    /// A body whose pieces say on which thread they were made.
    fn telling(pieces: usize) -> Body {
        let here = || std::thread::current().name().unwrap_or_default().to_owned();
        Body::from_stream(stream::iter((0..pieces).map(move |_| Ok::<_, Infallible>(here()))))
    }

    #[test]
    fn pieces_are_made_on_the_pool() {
        let (here, there) = (runtime(), runtime());
        let written = here.block_on(written_on(&pool(&there), telling(3)).collect()).unwrap().to_bytes();
        assert_eq!(written, "tokio-rt-worker".repeat(3));
        let small = written_on(&pool(&there), Body::from("whole"));
        assert_eq!(small.size_hint().exact(), Some(5));
    }

    #[test]
    fn what_breaks_off_does_not_look_whole() {
        let (here, there) = (runtime(), runtime());
        let broken = stream::iter([Ok(Bytes::from_static(b"a")), Err("gone")]);
        let body = written_on(&pool(&there), Body::from_stream(broken));
        assert!(here.block_on(body.collect()).is_err());
        let endless = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let body = written_on(&pool(&there), endless);
        there.shutdown_background();
        assert!(here.block_on(body.collect()).is_err());
    }

    #[test]
    fn what_nobody_reads_is_let_go_of() {
        let (here, there) = (runtime(), runtime());
        let held = Arc::new(());
        let left: Weak<()> = Arc::downgrade(&held);
        let endless = stream::poll_fn(move |_| {
            let _held = &held;
            std::task::Poll::<Option<Result<Bytes, Infallible>>>::Pending
        });
        drop(written_on(&pool(&there), Body::from_stream(endless)));
        here.block_on(async {
            while left.upgrade().is_some() {
                tokio::task::yield_now().await;
            }
        });
    }
}
