//! Sockets: accepted up to a limit, given a moment to say what they want, and drained at the end.
//!
//! A connection beyond the limit is closed at once, so that its sender knows and tries again, rather than
//! left in the system's queue, where it waits for an answer that may never come.

use crate::Edge;
use crate::auth::Peer;
use crate::metrics::ConnectionMetrics;
use crate::socket::Socket;
use crate::tls::TlsKeys;
use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use nilometer_model::{Error, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// Between requests a connection may be idle for so long, and a further head may take so long.
const NEXT_REQUEST: Duration = Duration::from_secs(180);
/// All headers of a request together, in HTTP/1.1 with the rest of the buffer.
const MAX_HEADER_BYTES: usize = 64 << 10;
const MAX_HEADERS: usize = 100;
/// Requests at a time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;
/// Of an answer over HTTP/2, what is taken from it before its client takes it.
const MAX_SEND_BYTES: usize = 128 << 10;
/// After an error of `accept` (no file descriptors left), wait for connections to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An address that answers.
pub struct Listener {
    /// For logs: `http`, `remote-write`.
    pub name: &'static str,
    socket: TcpListener,
    routes: Router,
    tls: Option<TlsAcceptor>,
}

impl Listener {
    /// Takes the address; nothing is accepted yet.
    pub async fn bind(
        name: &'static str,
        address: SocketAddr,
        routes: Router,
        tls: Option<&Arc<TlsKeys>>,
    ) -> Result<Listener> {
        let socket = TcpListener::bind(address)
            .await
            .map_err(|e| Error::io(format!("listening on {address} ({name})"), e))?;
        let tls = tls.map(|keys| keys.server_config()).transpose()?.map(TlsAcceptor::from);
        Ok(Listener { name, socket, routes, tls })
    }

    /// The real one where port 0 was asked for.
    pub fn address(&self) -> Result<SocketAddr> {
        self.socket.local_addr().map_err(|e| Error::io("asking for the own address", e))
    }
}

/// What all listeners share.
#[derive(Clone)]
pub struct Server {
    edge: Arc<Edge>,
    open: Arc<AtomicU64>,
    graceful: Arc<GracefulShutdown>,
}

impl Server {
    pub fn new(edge: Arc<Edge>) -> Self {
        Server { edge, open: Arc::default(), graceful: Arc::new(GracefulShutdown::new()) }
    }

    /// Accepts until `stop` says true.
    pub async fn accept(&self, listener: Listener, mut stop: watch::Receiver<bool>) {
        let listener = Arc::new(listener);
        loop {
            let accepted = tokio::select! {
                accepted = listener.socket.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            match accepted {
                Ok((stream, peer)) => self.take(&listener, stream, peer),
                Err(e) if is_of_connection(&e) => {}
                Err(e) => {
                    tracing::warn!(error = %e, listener = listener.name, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Waits until all requests are answered, at most `deadline`. True if they were.
    pub async fn drained(self, deadline: Duration) -> bool {
        let open = self.open.clone();
        drop(self.edge);
        let Ok(graceful) = Arc::try_unwrap(self.graceful) else {
            tracing::error!("a listener still accepts");
            return false;
        };
        let all = async {
            graceful.shutdown().await;
            while open.load(Ordering::Relaxed) > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(deadline, all).await.is_ok()
    }

    fn take(&self, listener: &Arc<Listener>, stream: TcpStream, peer: SocketAddr) {
        let metrics = &self.edge.metrics.connections;
        let Some(open) = Open::count(&self.open, self.edge.max_connections(), metrics) else {
            metrics.refused.inc();
            return;
        };
        metrics.accepted.inc();
        let (listener, watcher) = (listener.clone(), self.graceful.watcher());
        let first_request = self.edge.patience.first_request;
        let metrics = metrics.clone();
        tokio::spawn(async move {
            let _open = open;
            let _ = stream.set_nodelay(true);
            let first = tokio::time::Instant::now() + first_request;
            let Some(tls) = &listener.tls else {
                let conversation = Conversation { peer, first, watcher, metrics };
                return conversation.hold(stream, listener.routes.clone()).await;
            };
            match tokio::time::timeout_at(first, tls.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let conversation = Conversation { peer, first, watcher, metrics };
                    conversation.hold(stream, listener.routes.clone()).await;
                }
                Ok(Err(e)) => {
                    metrics.tls_failures.inc();
                    tracing::debug!(%peer, error = %e, "a TLS handshake failed");
                }
                Err(_) => drop(metrics.timed_out.inc()),
            }
        });
    }
}

/// One connection, from its first byte to its last answer.
struct Conversation {
    peer: SocketAddr,
    /// When its first request must be there.
    first: tokio::time::Instant,
    watcher: hyper_util::server::graceful::Watcher,
    metrics: ConnectionMetrics,
}

impl Conversation {
    async fn hold<S>(self, stream: S, routes: Router)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let began = Arc::new(AtomicBool::new(false));
        let (peer, asked) = (Peer(self.peer), began.clone());
        let routes = TowerToHyperService::new(routes);
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(peer);
            routes.call(request.map(Body::new))
        });
        let builder = builder();
        let connection = builder.serve_connection(TokioIo::new(Socket::new(stream)), service).into_owned();
        let mut connection = std::pin::pin!(self.watcher.watch(connection));
        let ended = tokio::select! {
            biased;
            ended = &mut connection => ended,
            () = tokio::time::sleep_until(self.first) => {
                if began.load(Ordering::Relaxed) {
                    connection.await
                } else {
                    self.metrics.timed_out.inc();
                    return;
                }
            }
        };
        if let Err(e) = ended {
            tracing::debug!(peer = %self.peer, error = %e, "a connection ended");
        }
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(NEXT_REQUEST)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_send_buf_size(MAX_SEND_BYTES)
        .max_header_list_size(MAX_HEADER_BYTES as u32)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// Errors of `accept` that are of the connection that would have been, not of the listener.
fn is_of_connection(e: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(e.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Counts as a connection as long as it lives.
struct Open {
    open: Arc<AtomicU64>,
    metrics: ConnectionMetrics,
}

impl Open {
    fn count(open: &Arc<AtomicU64>, max: u64, metrics: &ConnectionMetrics) -> Option<Open> {
        open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < max).then_some(n + 1)).ok()?;
        metrics.open.inc();
        Some(Open { open: open.clone(), metrics: metrics.clone() })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.metrics.open.dec();
    }
}
