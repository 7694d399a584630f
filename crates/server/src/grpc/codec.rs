//! Messages of calls, for tonic: requests are prost's, answers are that or frames of series.

use nilometer_wire::store_api::Frame;
use prost::Message;
use std::marker::PhantomData;
use std::pin::Pin;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status};

/// What can be sent.
pub(super) trait Sent: Send + 'static {
    fn put(&self, out: &mut EncodeBuf<'_>) -> Result<(), Status>;
}

/// A message of prost's.
pub(super) struct Plain<M>(pub(super) M);

impl<M: Message + 'static> Sent for Plain<M> {
    fn put(&self, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        self.0.encode(out).map_err(|e| Status::internal(e.to_string()))
    }
}

impl Sent for Frame {
    fn put(&self, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        self.encode(out);
        Ok(())
    }
}

/// Reads requests `R`, and writes answers `A`.
pub(super) struct Messages<R, A>(PhantomData<fn() -> (R, A)>);

impl<R, A> Default for Messages<R, A> {
    fn default() -> Self {
        Messages(PhantomData)
    }
}

impl<R: Message + Default + 'static, A: Sent> Codec for Messages<R, A> {
    type Encode = A;
    type Decode = R;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self::default()
    }

    fn decoder(&mut self) -> Self {
        Self::default()
    }
}

impl<R, A: Sent> Encoder for Messages<R, A> {
    type Item = A;
    type Error = Status;

    fn encode(&mut self, answer: A, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        answer.put(out)
    }
}

impl<R: Message + Default, A> Decoder for Messages<R, A> {
    type Item = R;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<R>, Status> {
        let wrong = |e: prost::DecodeError| {
            Status::invalid_argument(format!("the request is not of the type that its path names: {e}"))
        };
        R::decode(from).map(Some).map_err(wrong)
    }
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A function from a request to its answer, as tonic's server calls it.
pub(super) struct Unary<F>(pub(super) F);

impl<R, A, F, T> UnaryService<R> for Unary<F>
where
    F: FnMut(R) -> T,
    T: Future<Output = Result<A, Status>> + Send + 'static,
{
    type Response = Plain<A>;
    type Future = BoxFuture<Result<Response<Plain<A>>, Status>>;

    fn call(&mut self, request: Request<R>) -> Self::Future {
        let answer = (self.0)(request.into_inner());
        Box::pin(async { Ok(Response::new(Plain(answer.await?))) })
    }
}

/// The same where the answer is a stream of messages.
pub(super) struct Streamed<F>(pub(super) F);

impl<R, S, A, F> ServerStreamingService<R> for Streamed<F>
where
    F: FnMut(R) -> S,
    S: futures::Stream<Item = Result<A, Status>> + Send + 'static,
{
    type Response = A;
    type ResponseStream = S;
    type Future = std::future::Ready<Result<Response<S>, Status>>;

    fn call(&mut self, request: Request<R>) -> Self::Future {
        std::future::ready(Ok(Response::new((self.0)(request.into_inner()))))
    }
}
