//! `read`: whole series for another Prometheus, as samples or as chunks.
//!
//! Chunks are streamed as they are found: the query's thread waits while its client has not taken what is
//! ready, so that an answer of any size takes the memory of a few frames. Samples are one message that stands in
//! memory whole, as the protocol wants it; that one has a limit.

use super::error::{ApiError, ApiResult, ErrorType};
use super::{Api, Reader};
use crate::answer;
use crate::options::RemoteReadOptions;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use futures::{StreamExt, stream};
use nilometer_model::Error;
use nilometer_storage::{Queryable, Select};
use nilometer_wire::content::SNAPPY;
use nilometer_wire::remote_read::{
    CHUNKS_TYPE, Frames, ReadQuery, ReadRequest, ResponseType, SAMPLES_TYPE, put_result, put_series,
};
use nilometer_wire::snappy;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// A request may be so large, compressed and not.
const MAX_BODY_BYTES: u64 = 4 << 20;
const MAX_PLAIN_BYTES: usize = 32 << 20;
/// A piece of a streamed answer has about so many bytes, where frames are smaller.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that are ready while the client takes another.
const READY_PIECES: usize = 2;
/// The message with samples, its compressed form and what they are made of stand in memory at once.
const COPIES: usize = 4;

/// The places of requests that are being answered.
pub(super) struct Places(Arc<Semaphore>);

impl Places {
    pub(super) fn new(options: RemoteReadOptions) -> Self {
        let places = match options.max_concurrent {
            0 => Semaphore::MAX_PERMITS,
            some => some,
        };
        Places(Arc::new(Semaphore::new(places)))
    }
}

/// `POST /read`. Mistakes are answered as text, as Prometheus' handler does.
pub(crate) async fn read(
    State(api): State<Arc<Api>>,
    reader: Result<Reader, ApiError>,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    let found = async { answered(&api, &reader?, &headers, body).await };
    found.await.unwrap_or_else(|e| answer::text(e.kind.status(), e.message))
}

async fn answered(
    api: &Arc<Api>,
    reader: &Reader,
    headers: &HeaderMap,
    body: Body,
) -> ApiResult<Response<Body>> {
    let body = api.received(reader, headers, body, MAX_BODY_BYTES).await?;
    // What follows holds its regular expressions, so that only so many may.
    let place = tokio::time::timeout(api.pool.timeout(), api.read_places.0.clone().acquire_owned()).await;
    let Ok(Ok(place)) = place else {
        let what = "remote read timed out waiting for a place (limit storage.remote.read-concurrent-limit)";
        return Err(ApiError::new(ErrorType::Timeout, what));
    };
    let wrong = |e: Error| ApiError::bad_data(e.to_string());
    let request = api.compute(reader.who(), None, async move {
        ReadRequest::read(&body.bytes, MAX_PLAIN_BYTES).map_err(wrong)
    });
    let request = request.await?;
    let kind = request.response_type().map_err(wrong)?;
    match kind {
        ResponseType::Samples => samples(api, reader, request, place).await,
        ResponseType::StreamedChunks => chunks(api, reader, request, place).await,
    }
}

async fn samples(
    api: &Arc<Api>,
    reader: &Reader,
    request: ReadRequest,
    place: OwnedSemaphorePermit,
) -> ApiResult<Response<Body>> {
    let (queryable, pool_api) = (reader.queryable(api), api.clone());
    let (body, room) = api
        .compute(reader.who(), None, async move {
            let _place = place;
            let mut response = Vec::new();
            for query in request.queries {
                let result = one_result(&pool_api, &*queryable, query, response.len()).await?;
                put_result(&mut response, &result);
            }
            let body = snappy::compress(&response)?;
            drop(response);
            let room = pool_api.unsent.room_for(body.len()).await;
            Ok((body, room))
        })
        .await?;
    let headers = [(header::CONTENT_TYPE, SAMPLES_TYPE), (header::CONTENT_ENCODING, SNAPPY)];
    // In pieces, so that the room is given back when it is sent.
    let body = Bytes::from(body);
    let pieces = stream::unfold((body, room), |(mut rest, room)| async move {
        let piece = rest.split_to(rest.len().min(PIECE_BYTES));
        (!piece.is_empty()).then_some((Ok::<_, std::convert::Infallible>(piece), (rest, room)))
    });
    Ok((StatusCode::OK, headers, Body::from_stream(pieces)).into_response())
}

/// A `QueryResult`; `before` bytes of the answer are there already.
async fn one_result(
    api: &Api,
    queryable: &dyn Queryable,
    query: ReadQuery,
    before: usize,
) -> ApiResult<Vec<u8>> {
    let (mut result, mut count) = (Vec::new(), 0);
    let (max_samples, max_bytes) = (api.remote_read.max_samples, api.max_memory_bytes / COPIES);
    let mut batches = queryable.select(Select::new(query.matchers, query.range));
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        log(batch.warnings);
        for series in batch.series {
            let (labels, mut warnings) = (series.labels.clone(), Vec::new());
            let samples = series.samples(query.range, &mut warnings)?;
            log(warnings);
            count += samples.len();
            if max_samples > 0 && count > max_samples {
                return Err(ApiError::bad_data(format!("exceeded sample limit ({max_samples})")));
            }
            if !samples.is_empty() {
                put_series(&mut result, &labels, &samples);
            }
            if max_bytes > 0 && before + result.len() > max_bytes {
                return Err(ApiError::bad_data(format!(
                    "so many samples need more memory than is allowed (limit query.max-memory: {}): accept \
                     STREAMED_XOR_CHUNKS, match fewer series or ask for a shorter time",
                    api.max_memory_bytes
                )));
            }
        }
    }
    Ok(result)
}

async fn chunks(
    api: &Arc<Api>,
    reader: &Reader,
    request: ReadRequest,
    place: OwnedSemaphorePermit,
) -> ApiResult<Response<Body>> {
    let queryable = reader.queryable(api);
    let (sender, mut pieces) = mpsc::channel(READY_PIECES);
    let frame_bytes = api.remote_read.frame_bytes;
    api.pool.spawn(async move {
        let _place = place;
        let mut out = Pieces { sender: sender.clone(), ready: Vec::new() };
        let all = async {
            for (index, query) in request.queries.into_iter().enumerate() {
                send(&mut out, &*queryable, query, Frames::new(index, frame_bytes)).await?;
            }
            out.flush().await
        };
        tokio::select! {
            // Who leaves ends it.
            () = sender.closed() => {}
            ended = all => if let Err(e) = ended {
                let _ = sender.send(Err(e)).await;
            }
        }
    });
    // What fails at once has a status to say so; what fails later breaks the answer off.
    let first = match tokio::time::timeout(api.pool.timeout(), pieces.recv()).await {
        Ok(Some(Err(e))) => return Err(e.into()),
        Ok(first) => first,
        Err(_) => return Err(ApiError::new(ErrorType::Timeout, "remote read timed out")),
    };
    let rest = stream::unfold(pieces, |mut pieces| async move { Some((pieces.recv().await?, pieces)) });
    let body = Body::from_stream(stream::iter(first).chain(rest));
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, CHUNKS_TYPE)], body).into_response())
}

/// All series of one query.
async fn send(
    out: &mut Pieces,
    queryable: &dyn Queryable,
    query: ReadQuery,
    frames: Frames,
) -> nilometer_model::Result<()> {
    let mut batches = queryable.select(Select::new(query.matchers, query.range));
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        log(batch.warnings);
        for series in batch.series {
            let (labels, mut warnings) = (series.labels.clone(), Vec::new());
            let mut chunks = series.into_plain_chunks(&mut warnings)?;
            log(warnings);
            chunks.retain(|chunk| chunk.range.overlaps(&query.range));
            if chunks.is_empty() {
                continue;
            }
            let encoded = chunks.iter().map(|chunk| (chunk.range, chunk.encoding.byte(), &chunk.data[..]));
            frames.put(&mut out.ready, &labels, encoded);
            if out.ready.len() >= PIECE_BYTES {
                out.flush().await?;
            }
        }
    }
    Ok(())
}

/// Where frames go.
struct Pieces {
    sender: mpsc::Sender<nilometer_model::Result<Bytes>>,
    ready: Vec<u8>,
}

impl Pieces {
    /// Waits until the client has taken enough of what was sent before.
    async fn flush(&mut self) -> nilometer_model::Result<()> {
        if self.ready.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::take(&mut self.ready));
        self.sender.send(Ok(piece)).await.map_err(|_| Error::canceled("the client has left"))
    }
}

fn log(warnings: Vec<String>) {
    for warning in warnings {
        tracing::warn!(warning, "a remote read met a warning");
    }
}
