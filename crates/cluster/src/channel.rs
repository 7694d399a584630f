//! A connection to another process, and calls over it.
//!
//! One connection each, made when it is needed and again when it broke; many calls go over it at a time. A peer that
//! does not answer pings is gone.

use bytes::{Buf, Bytes};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::http::Uri;
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use nilometer_model::{Error, Kind, Result};
use prost::Message;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
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
/// One message of a peer may be so large; its own stores send about a MiB.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

pub(crate) struct Channel {
    address: String,
    origin: Uri,
    runtime: Handle,
    connection: Mutex<Option<SendRequest<Body>>>,
}

impl Channel {
    /// # Errors
    /// `Invalid` where `address` is not like `host:port`.
    pub(crate) fn new(address: &str, runtime: Handle) -> Result<Self> {
        let wrong = || Error::invalid(format!("{address}: an endpoint is like host:10901"));
        let origin: Uri = format!("http://{address}").parse().map_err(|_| wrong())?;
        let is_plain = origin.path() == "/" && origin.query().is_none() && origin.port_u16().is_some();
        if !is_plain {
            return Err(wrong());
        }
        Ok(Channel { address: address.to_owned(), origin, runtime, connection: Mutex::default() })
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
            grpc.unary(tonic::Request::new(message), PathAndQuery::from_static(path), Raw::new()).await
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
            let request = tonic::Request::new(message);
            grpc.server_streaming(request, PathAndQuery::from_static(path), Raw::new()).await
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

    async fn grpc(&self) -> std::result::Result<Grpc<Connected>, Status> {
        let mut connection = self.connection.lock().await;
        let sender = match connection.as_ref().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender.clone(),
            None => connection.insert(connect(self.address.clone(), &self.runtime).await?).clone(),
        };
        drop(connection);
        let mut grpc = Grpc::with_origin(Connected(sender), self.origin.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES);
        grpc.ready().await.map_err(|e| Status::unavailable(e.to_string()))?;
        Ok(grpc)
    }
}

/// Sockets belong to the runtime that they are made on, and queries come from others.
async fn connect(address: String, runtime: &Handle) -> std::result::Result<SendRequest<Body>, Status> {
    let connected = runtime.spawn(async move {
        let connecting = tokio::time::timeout(CONNECT, TcpStream::connect(&address));
        let stream = connecting.await.map_err(|_| no_connection("nobody answers"))?.map_err(no_connection)?;
        let _ = stream.set_nodelay(true);
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(no_connection)?;
        tokio::spawn(async move {
            if let Err(e) = connection.await {
                tracing::debug!(address, error = %e, "the connection to a store ended");
            }
        });
        Ok(sender)
    });
    connected.await.map_err(no_connection)?
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
