//! A connection to another process, and calls over it.
//!
//! One connection each, made when it is needed and again when it broke; many calls go over it at a time. A peer that
//! does not answer pings is gone, and one that sends nothing for too long has failed.

use crate::tls::ClientTls;
use bytes::{Buf, Bytes};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::http::Uri;
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use nilometer_env::Fs;
use nilometer_model::{Error, Kind, Result};
use prost::Message;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tonic::body::Body;
use tonic::client::{Grpc, GrpcService};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Status, Streaming};

/// A peer has so long to take a connection.
const CONNECT: Duration = Duration::from_secs(5);
const PING_EVERY: Duration = Duration::from_secs(10);
/// A peer that did not answer a ping for so long is gone.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// One message of a peer may be so large; its own stores send about a MiB, Thanos' all chunks of a series.
const MAX_MESSAGE_BYTES: usize = 128 << 20;
/// So much of an answer, and of all answers, may be under way.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// What connections are made with, the same for all peers.
pub(crate) struct Means {
    /// Connections are its tasks.
    pub(crate) runtime: Handle,
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) tls: Option<ClientTls>,
    /// A bearer token for all of them, in a file.
    pub(crate) token_file: Option<PathBuf>,
    /// A peer that sends nothing for so long has failed; `None` waits for ever.
    pub(crate) response_timeout: Option<Duration>,
}

pub(crate) struct Channel {
    address: String,
    origin: Uri,
    means: Arc<Means>,
    connection: Mutex<Option<SendRequest<Body>>>,
}

impl Channel {
    /// # Errors
    /// `Invalid` where `address` is not like `host:port`.
    pub(crate) fn new(address: &str, means: Arc<Means>) -> Result<Self> {
        let wrong = || Error::invalid(format!("{address}: an endpoint is like host:10901"));
        let scheme = if means.tls.is_some() { "https" } else { "http" };
        let origin: Uri = format!("{scheme}://{address}").parse().map_err(|_| wrong())?;
        let is_plain = origin.path() == "/" && origin.query().is_none() && origin.port_u16().is_some();
        if !is_plain {
            return Err(wrong());
        }
        Ok(Channel { address: address.to_owned(), origin, means, connection: Mutex::default() })
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.means.runtime
    }

    /// What `answer` gives, unless it takes too long.
    pub(crate) async fn in_time<T>(&self, answer: impl Future<Output = Result<T>>) -> Result<T> {
        let Some(patience) = self.means.response_timeout else { return answer.await };
        tokio::time::timeout(patience, answer).await.unwrap_or_else(|_| {
            Err(Error::unavailable(format!(
                "store {}: it sent nothing for {patience:?} (--store.response-timeout)",
                self.address
            )))
        })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// A call with one answer.
    pub(crate) async fn unary<Q, A>(&self, path: &'static str, message: Q) -> Result<A>
    where
        Q: Message + 'static,
        A: Message + Default,
    {
        let called = async {
            let mut grpc = self.grpc().await?;
            grpc.unary(self.request(message)?, PathAndQuery::from_static(path), Raw::new()).await
        };
        let answer = called.await.map_err(|status| self.failed(&status))?.into_inner();
        A::decode(answer)
            .map_err(|e| Error::invalid(format!("store {} sent what is no answer: {e}", self.address)))
    }

    /// A call with a stream of answers.
    pub(crate) async fn streaming<Q>(&self, path: &'static str, message: Q) -> Result<Streaming<Bytes>>
    where
        Q: Message + 'static,
    {
        let called = async {
            let mut grpc = self.grpc().await?;
            grpc.server_streaming(self.request(message)?, PathAndQuery::from_static(path), Raw::new()).await
        };
        called.await.map(tonic::Response::into_inner).map_err(|status| self.failed(&status))
    }

    pub(crate) fn failed(&self, status: &Status) -> Error {
        let kind = match status.code() {
            Code::InvalidArgument | Code::Unauthenticated | Code::PermissionDenied => Kind::Invalid,
            Code::NotFound => Kind::NotFound,
            _ => Kind::Unavailable,
        };
        let why = if status.message().is_empty() { status.code().description() } else { status.message() };
        Error::new(kind, format!("store {}: {why}", self.address))
    }

    /// With the token, which may be another one by now.
    fn request<Q>(&self, message: Q) -> std::result::Result<tonic::Request<Q>, Status> {
        let mut request = tonic::Request::new(message);
        if let Some(path) = &self.means.token_file {
            let wrong =
                |why: &dyn std::fmt::Display| Status::unauthenticated(format!("{}: {why}", path.display()));
            let token = self.means.fs.read(path).map_err(|e| wrong(&e))?;
            let value = format!("Bearer {}", String::from_utf8_lossy(token.trim_ascii()));
            let value = value.parse().map_err(|_| wrong(&"this is no token"))?;
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }

    async fn grpc(&self) -> std::result::Result<Grpc<Connected>, Status> {
        let mut connection = self.connection.lock().await;
        let sender = match connection.as_ref().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender.clone(),
            None => connection.insert(self.connect().await?).clone(),
        };
        drop(connection);
        let mut grpc = Grpc::with_origin(Connected(sender), self.origin.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES);
        grpc.ready().await.map_err(|e| Status::unavailable(e.to_string()))?;
        Ok(grpc)
    }

    /// Sockets belong to the runtime that they are made on, and calls come from others.
    async fn connect(&self) -> Connection {
        let host = self.origin.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let connected = self.means.runtime.spawn(connect(self.address.clone(), host, self.means.clone()));
        connected.await.map_err(no_connection)?
    }
}

async fn connect(address: String, host: String, means: Arc<Means>) -> Connection {
    let connecting = tokio::time::timeout(CONNECT, TcpStream::connect(&address));
    let stream = connecting.await.map_err(|_| no_connection("nobody answers"))?.map_err(no_connection)?;
    let _ = stream.set_nodelay(true);
    let Some(tls) = &means.tls else { return handshake(stream, address).await };
    let (connector, name) = tls.connector(&host, &*means.fs).map_err(no_connection)?;
    let securing = tokio::time::timeout(CONNECT, connector.connect(name, stream));
    let stream = securing.await.map_err(|_| no_connection("nobody speaks TLS"))?;
    handshake(stream.map_err(|e| no_connection(format!("TLS: {e}")))?, address).await
}

type Connection = std::result::Result<SendRequest<Body>, Status>;

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    address: String,
) -> Connection {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(no_connection)?;
    tokio::spawn(async move {
        if let Err(e) = connection.await {
            tracing::debug!(address, error = %e, "the connection to a store ended");
        }
    });
    Ok(sender)
}

fn no_connection(why: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("no connection: {why}"))
}

/// What tonic sends requests over.
struct Connected(SendRequest<Body>);

impl GrpcService<Body> for Connected {
    type ResponseBody = Incoming;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// Requests of prost's; answers as they came.
struct Raw<Q>(PhantomData<fn() -> Q>);

impl<Q> Raw<Q> {
    fn new() -> Self {
        Raw(PhantomData)
    }
}

impl<Q: Message + 'static> Codec for Raw<Q> {
    type Encode = Q;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self::new()
    }

    fn decoder(&mut self) -> Self {
        Self::new()
    }
}

impl<Q: Message> Encoder for Raw<Q> {
    type Item = Q;
    type Error = Status;

    fn encode(&mut self, message: Q, out: &mut EncodeBuf<'_>) -> std::result::Result<(), Status> {
        message.encode(out).map_err(|e| Status::internal(e.to_string()))
    }
}

impl<Q> Decoder for Raw<Q> {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> std::result::Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
