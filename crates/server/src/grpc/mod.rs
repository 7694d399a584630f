//! The StoreAPI: Thanos' queriers, and other hubs, read here what a process holds.
//!
//! ```text
//! listen ──▶ guarded ──▶ auth ──▶ Info
//!                          ├────▶ LabelNames, LabelValues ──▶ query pool ──▶ StoreData::queryable
//!                          └────▶ Series ──▶ gate ──▶ query pool ──▶ … ──▶ messages, as their client takes them
//! ```
//!
//! Framing and statuses are tonic's; sockets, TLS and limits of connections are those of all listeners.

mod codec;
mod data;
mod info;
mod metrics;
mod names;
mod series;
mod sifted;

pub use data::{BucketData, Holding, StoreData};

use self::codec::{Messages, Plain, Unary};
use self::metrics::{GrpcMetrics, Method};
use crate::gate::{Gate, Who};
use crate::{Caller, Edge, QueryPool, app, auth};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use axum::middleware::{Next, from_fn_with_state};
use axum::routing::post;
use nilometer_access::{ReadScope, Scopes};
use nilometer_wire::store_api::PartialResponseStrategy;
use prost::Message;
use std::sync::Arc;
use tonic::Status;
use tonic::server::Grpc;

/// A request may be so large.
const MAX_REQUEST_BYTES: usize = 1 << 20;

/// What a start decides about the StoreAPI.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// What the process is to Thanos: `receive`, `store`.
    pub component: &'static str,
    /// `--store.grpc.series-max-concurrency`: so many Series calls are answered at a time; others wait.
    pub max_concurrent: usize,
    /// `--store.limits.request-series`: of one call; 0 is without limit.
    pub max_series: u64,
    /// `--store.limits.request-samples`: of one call, 120 for each chunk; 0 is without limit.
    pub max_samples: u64,
    /// Of series that have to be sorted before they can be sent, of one call.
    pub max_memory_bytes: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            component: "store",
            max_concurrent: 20,
            max_series: 0,
            max_samples: 0,
            max_memory_bytes: 1 << 30,
        }
    }
}

/// What the calls share.
struct StoreApi {
    edge: Arc<Edge>,
    data: Arc<dyn StoreData>,
    pool: QueryPool,
    options: StoreOptions,
    places: Gate,
    metrics: GrpcMetrics,
}

/// What the gRPC address serves.
pub fn grpc_routes(
    edge: &Arc<Edge>,
    data: Arc<dyn StoreData>,
    pool: QueryPool,
    options: StoreOptions,
) -> Router {
    let api = Arc::new(StoreApi {
        edge: edge.clone(),
        data,
        pool,
        options,
        places: Gate::new(options.max_concurrent),
        metrics: GrpcMetrics::register(&mut edge.registry.write(), edge.clock.clone()),
    });
    let reads = Router::new()
        .route("/thanos.info.Info/Info", post(info::info))
        .route("/thanos.Store/Series", post(series::series))
        .route("/thanos.Store/LabelNames", post(names::names))
        .route("/thanos.Store/LabelValues", post(names::values))
        .route_layer(from_fn_with_state(edge.clone(), auth::grpc_reads));
    reads
        .route("/grpc.health.v1.Health/Check", post(info::health))
        .fallback(|| async {
            Status::unimplemented("there is no such service or method here").into_http::<Body>()
        })
        .layer(from_fn_with_state(edge.clone(), guarded))
        .with_state(api)
}

async fn guarded(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response<Body> {
    app::guarded(&edge, request, next, || Status::internal(app::BUG).into_http()).await
}

impl StoreApi {
    /// Answers a call with one message.
    async fn unary<R, A, F, T>(&self, method: Method, request: Request, answer: F) -> Response<Body>
    where
        R: Message + Default + 'static,
        A: Message + 'static,
        F: FnMut(R) -> T,
        T: Future<Output = Result<A, Status>> + Send + 'static,
    {
        let call = self.metrics.begin(method);
        let grpc = Grpc::new(Messages::<R, Plain<A>>::default());
        let response = grpc.max_decoding_message_size(MAX_REQUEST_BYTES).unary(Unary(answer), request).await;
        call.answered(response.map(Body::new))
    }
}

/// Who asks; without it, a route is not behind its guard.
fn caller(request: &Request) -> Result<Caller, Status> {
    let caller = request.extensions().get::<Caller>().cloned();
    caller
        .ok_or_else(|| Status::internal("the call came here without being authenticated: please report this"))
}

/// By whom places are shared out: its tenant, or its own name where it sees all.
fn who(caller: &Caller) -> Who {
    match &caller.read_scope {
        ReadScope::Only(tenant) => Some(tenant.as_str().into()),
        ReadScope::All if caller.identity.scopes == Scopes::ALL => None,
        ReadScope::All => Some(caller.identity.name.as_str().into()),
    }
}

/// Whether a part of an answer is no answer.
fn is_strict(partial_response_disabled: bool, strategy: i32) -> bool {
    partial_response_disabled || strategy == PartialResponseStrategy::Abort as i32
}

/// 0 is all.
fn limit(asked: i64) -> usize {
    usize::try_from(asked).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
