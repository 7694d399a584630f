//! `Series`: labels and chunks of all series that match, as a stream of messages.
//!
//! They are found, read and written into messages on the query pool, which waits while the client has not taken what
//! is ready: an answer of any size takes the memory of a few messages. A client that leaves ends it.

use super::codec::{Messages, Streamed};
use super::metrics::{Call, Method};
use super::sifted::{Shard, without_labels};
use super::{MAX_REQUEST_BYTES, StoreApi, caller, is_strict, limit, who};
use crate::Caller;
use crate::answer::grpc_status;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use futures::{Stream, StreamExt, stream};
use nilometer_chunk::{AggrChunk, Aggregate, Encoding};
use nilometer_model::{Error, Labels, Result, TimeRange};
use nilometer_storage::{Chunk, Hints, Queryable, Select, Series};
use nilometer_wire::store_api::{Aggr, ChunkParts, Frame, SeriesFrames, SeriesRequest, matchers};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::mpsc;
use tonic::server::Grpc;
use tonic::{Code, Status};

/// A message with chunks is about so large at most.
const MESSAGE_BYTES: usize = 1 << 20;
/// Messages are handed to the connection when they have so many bytes together.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that are ready while the client takes another.
const READY_PIECES: usize = 2;
/// Series in one message at most, whatever is asked for.
const MAX_BATCH: usize = 1_000;
/// What Thanos counts for a chunk.
const SAMPLES_PER_CHUNK: u64 = 120;

enum Piece {
    Frames(Vec<Frame>),
    /// An answer without it is not whole.
    End,
    Failed(Status),
}

pub(super) async fn series(State(api): State<Arc<StoreApi>>, request: Request) -> Response<Body> {
    let (caller, mut call) = (caller(&request), Some(api.metrics.begin(Method::SERIES)));
    let answer = Streamed(|asked: SeriesRequest| {
        let (sender, receiver) = mpsc::channel(READY_PIECES);
        // tonic asks once.
        if let Some(call) = call.take() {
            api.pool.spawn(answered(api.clone(), caller.clone(), asked, sender, call));
        }
        messages(receiver)
    });
    let grpc = Grpc::new(Messages::<SeriesRequest, Frame>::default());
    let response = grpc.max_decoding_message_size(MAX_REQUEST_BYTES).server_streaming(answer, request).await;
    let response = response.map(Body::new);
    match call {
        // It was not begun: the head says why.
        Some(call) => call.answered(response),
        None => response,
    }
}

fn messages(
    receiver: mpsc::Receiver<Piece>,
) -> impl Stream<Item = std::result::Result<Frame, Status>> + Send {
    stream::unfold(Some((receiver, VecDeque::new())), |state| async {
        let (mut receiver, mut ready) = state?;
        loop {
            if let Some(frame) = ready.pop_front() {
                return Some((Ok(frame), Some((receiver, ready))));
            }
            match receiver.recv().await {
                Some(Piece::Frames(frames)) => ready = frames.into(),
                Some(Piece::End) => return None,
                Some(Piece::Failed(status)) => return Some((Err(status), None)),
                None => {
                    return Some((
                        Err(Status::unavailable("the answer was broken off, see the log; retry")),
                        None,
                    ));
                }
            }
        }
    })
}

async fn answered(
    api: Arc<StoreApi>,
    caller: std::result::Result<Caller, Status>,
    asked: SeriesRequest,
    sender: mpsc::Sender<Piece>,
    call: Call,
) {
    let all = async {
        let caller = caller?;
        let waiting = tokio::time::timeout(api.pool.timeout(), api.places.enter(who(&caller)));
        let _place = waiting.await.map_err(|_| {
            let why =
                "no place was free in time for another Series call (limit store.grpc.series-max-concurrency)";
            Status::resource_exhausted(why)
        })?;
        let queryable = api.data.queryable(&caller.read_scope);
        let mut answer = Answer::new(&api, &asked, sender.clone());
        answer.send(&*queryable, asked).await
    };
    let (piece, code) = tokio::select! {
        // Who leaves ends it.
        () = sender.closed() => return,
        ended = all => match ended {
            Ok(()) => (Piece::End, Code::Ok),
            Err(status) => (Piece::Failed(status.clone()), status.code()),
        },
    };
    if sender.send(piece).await.is_ok() {
        call.end(code);
    }
}

/// What a call has sent, and may still send.
struct Answer {
    sender: mpsc::Sender<Piece>,
    frames: SeriesFrames,
    ready: Vec<Frame>,
    ready_bytes: usize,
    /// A warning is an error.
    is_strict: bool,
    aggregates: Vec<Aggr>,
    series: u64,
    chunks: u64,
    max_series: u64,
    max_samples: u64,
    max_memory_bytes: usize,
}

type Sent = std::result::Result<(), Status>;

impl Answer {
    fn new(api: &StoreApi, asked: &SeriesRequest, sender: mpsc::Sender<Piece>) -> Self {
        let batch = usize::try_from(asked.response_batch_size).unwrap_or(0).min(MAX_BATCH);
        Answer {
            sender,
            frames: SeriesFrames::new(batch, MESSAGE_BYTES),
            ready: Vec::new(),
            ready_bytes: 0,
            is_strict: is_strict(asked.partial_response_disabled, asked.partial_response_strategy),
            aggregates: asked.aggregates().collect(),
            series: 0,
            chunks: 0,
            max_series: api.options.max_series,
            max_samples: api.options.max_samples,
            max_memory_bytes: api.options.max_memory_bytes,
        }
    }

    async fn send(&mut self, queryable: &dyn Queryable, asked: SeriesRequest) -> Sent {
        let failed = |e: Error| grpc_status(&e);
        let range = TimeRange::new(asked.min_time_ms, asked.max_time_ms);
        let limit = limit(asked.limit);
        let mut shard = Shard::of(asked.shard_info);
        let mut hints = Hints {
            labels_only: asked.skip_chunks,
            max_resolution_ms: asked.max_resolution_ms.max(0),
            ..Hints::default()
        };
        if let Some(given) = asked.query_hints {
            hints.step_ms = given.step_ms;
            hints.range_ms = given.range.map_or(0, |range| range.range_ms);
        }
        if shard.is_none() && asked.without_replica_labels.is_empty() && limit < usize::MAX {
            hints.limit = limit;
        }
        let select = Select { matchers: matchers(&asked.matchers).map_err(failed)?.into(), range, hints };
        let without = &asked.without_replica_labels;
        let mut batches =
            without_labels(queryable, select, without, self.max_memory_bytes).await.map_err(failed)?;
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(failed)?;
            self.warn(batch.warnings)?;
            for series in batch.series {
                if self.series >= limit as u64 {
                    return self.finish().await;
                }
                if shard.as_mut().is_none_or(|shard| shard.has(&series.labels)) {
                    self.put(series, range, asked.skip_chunks)?;
                    self.flush(PIECE_BYTES).await?;
                }
            }
        }
        self.finish().await
    }

    fn put(&mut self, series: Series, range: TimeRange, skip_chunks: bool) -> Sent {
        let labels = series.labels.clone();
        let mut chunks = Vec::new();
        if !skip_chunks {
            let mut warnings = Vec::new();
            chunks = series.into_plain_chunks(&mut warnings).map_err(|e| grpc_status(&e))?;
            self.warn(warnings)?;
            chunks.retain(|chunk| chunk.range.overlaps(&range));
            if chunks.is_empty() {
                return Ok(());
            }
        }
        (self.series, self.chunks) = (self.series + 1, self.chunks + chunks.len() as u64);
        within("store.limits.request-series", self.series, self.max_series)?;
        within("store.limits.request-samples", self.chunks * SAMPLES_PER_CHUNK, self.max_samples)?;
        self.encode(&labels, &chunks).map_err(|e| grpc_status(&e))
    }

    fn encode(&mut self, labels: &Labels, chunks: &[Chunk]) -> Result<()> {
        let parts = chunks.iter().map(|chunk| parts(chunk, &self.aggregates));
        let parts: Vec<_> = parts.collect::<Result<_>>()?;
        let before = self.ready.len();
        self.frames.put(labels, &parts, &mut self.ready);
        self.ready_bytes += self.ready[before..].iter().map(Frame::len_bytes).sum::<usize>();
        Ok(())
    }

    fn warn(&mut self, warnings: Vec<String>) -> Sent {
        for warning in warnings {
            if self.is_strict {
                return Err(Status::aborted(warning));
            }
            self.ready.push(Frame::warning(&warning));
        }
        Ok(())
    }

    /// Waits until the client has taken enough of what was sent before, if there are `at_least` so many bytes.
    async fn flush(&mut self, at_least: usize) -> Sent {
        if self.ready_bytes < at_least || self.ready.is_empty() {
            return Ok(());
        }
        self.ready_bytes = 0;
        let frames = std::mem::take(&mut self.ready);
        self.sender.send(Piece::Frames(frames)).await.map_err(|_| Status::cancelled("the client has left"))
    }

    async fn finish(&mut self) -> Sent {
        self.frames.flush(&mut self.ready);
        self.flush(0).await
    }
}

fn within(name: &'static str, found: u64, max: u64) -> Sent {
    if max == 0 || found <= max {
        return Ok(());
    }
    Err(Status::resource_exhausted(format!(
        "a Series call found more than is allowed (limit {name} = {max}): match fewer series, or ask for a shorter time"
    )))
}

/// What of a chunk is wanted: raw ones as they are, of downsampled ones the aggregates.
fn parts<'a>(chunk: &'a Chunk, wanted: &[Aggr]) -> Result<ChunkParts<'a>> {
    let parts = ChunkParts::new(chunk.range);
    if chunk.encoding != Encoding::Aggr {
        return Ok(parts.with(Aggr::Raw, chunk.encoding.byte(), &chunk.data));
    }
    let aggregates = AggrChunk::read(&chunk.data)?;
    let each = [
        (Aggr::Count, Aggregate::Count),
        (Aggr::Sum, Aggregate::Sum),
        (Aggr::Min, Aggregate::Min),
        (Aggr::Max, Aggregate::Max),
        (Aggr::Counter, Aggregate::Counter),
    ];
    // Who wants none in particular gets all.
    let is_wanted = |aggr: Aggr| wanted.is_empty() || wanted.contains(&aggr);
    let found = each.into_iter().filter(|(aggr, _)| is_wanted(*aggr));
    Ok(found.fold(parts, |parts, (aggr, aggregate)| match aggregates.get(aggregate) {
        Some((encoding, data)) => parts.with(aggr, encoding.byte(), data),
        None => parts,
    }))
}
