//! All routes, and what every request passes on its way to one.

use crate::{
    Edge, Hub, admin, answer, apart, api, auth, body, compress, home, origin, pages, receive, unread,
};
use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, Response, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::routing::{get, post};
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// What the HTTP address serves: everything, so that one port is enough.
pub fn main_routes(hub: &Arc<Hub>) -> Router {
    let layer = || hub.edge.clone();
    let apart = |routes: Router<Arc<Hub>>| {
        routes.route_layer(compress::layer()).route_layer(from_fn_with_state(hub.clone(), apart::answered))
    };
    let reads = apart(api::routes(hub)).route_layer(from_fn_with_state(layer(), auth::reads));
    let of_process = api::process_routes().route_layer(from_fn_with_state(layer(), auth::oversees));
    let api = reads.merge(of_process).route_layer(from_fn_with_state(hub.clone(), origin::cross_origin));
    let known =
        Router::new().route("/", get(home::home)).route_layer(from_fn_with_state(layer(), auth::known));
    let administers = Router::new()
        .route("/-/reload", post(admin::reload).put(admin::reload))
        .route("/api/v1/admin/tsdb/snapshot", post(admin::snapshot).put(admin::snapshot))
        .route_layer(from_fn_with_state(layer(), auth::administers));
    let all = api.merge(known).merge(administers).merge(writes(hub)).with_state(hub.clone());
    finished(all.merge(metrics(&hub.edge)), &hub.edge)
}

/// What the remote-write address serves.
pub fn write_routes(hub: &Arc<Hub>) -> Router {
    finished(writes(hub).with_state(hub.clone()), &hub.edge)
}

fn writes(hub: &Arc<Hub>) -> Router<Arc<Hub>> {
    Router::new()
        .route("/api/v1/receive", post(receive::receive))
        .route("/api/v1/write", post(receive::receive))
        .route_layer(from_fn_with_state(hub.edge.clone(), auth::known))
}

pub(crate) fn metrics(edge: &Arc<Edge>) -> Router {
    Router::new()
        .route("/metrics", get(pages::metrics))
        .route_layer(from_fn_with_state(edge.clone(), auth::oversees))
        .with_state(edge.clone())
}

/// With the probes, and what every request passes.
pub(crate) fn finished(routes: Router, edge: &Arc<Edge>) -> Router {
    let probes = Router::new()
        .route("/-/healthy", get(pages::healthy))
        .route("/-/ready", get(pages::ready))
        .with_state(edge.clone());
    // An unknown path tells nothing to who has no credential either.
    let unknown = Router::new()
        .fallback(|| async { answer::text(StatusCode::NOT_FOUND, "no such page; / says what there is") })
        .layer(from_fn_with_state(edge.clone(), auth::known));
    routes
        .merge(probes)
        .fallback_service(unknown)
        .layer(compress::layer())
        .layer(from_fn_with_state(edge.clone(), around))
}

/// Measures each request.
async fn around(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response<Body> {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let (handler, method) = (handler_name(path), method_name(request.method()));
    let started = edge.clock.monotonic();
    let _in_flight = edge.metrics.begin(handler, method);
    let response =
        guarded(&edge, request, next, || answer::text(StatusCode::INTERNAL_SERVER_ERROR, BUG)).await;
    let took = edge.clock.monotonic().saturating_sub(started);
    let status = response.status().as_u16();
    edge.metrics.answered(handler, method, status, took);
    tracing::debug!(handler, method, status, took_ms = took.as_millis(), "answered");
    response
}

pub(crate) const BUG: &str = "this is a bug in nilometer; its log says where: please report it";

/// Gives the body of a request and that of its answer a deadline, and answers for a handler that panics.
pub(crate) async fn guarded(
    edge: &Edge,
    request: Request,
    next: Next,
    bug: impl FnOnce() -> Response<Body>,
) -> Response<Body> {
    let patience = edge.patience;
    let answer = next.run(request.map(|body| body::patient(body, patience)));
    let response = AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|_| bug());
    response.map(|body| unread::watched(body, patience, &edge.metrics.connections.unread))
}

/// By the names that Thanos' dashboards and alerts know.
fn handler_name(path: &str) -> &'static str {
    match path {
        "/api/v1/receive" | "/api/v1/write" => "receive",
        "/api/v1/query" => "query",
        "/api/v1/query_range" => "query_range",
        "/api/v1/query_exemplars" => "exemplars",
        "/api/v1/series" => "series",
        "/api/v1/labels" => "label_names",
        "/api/v1/label/{name}/values" => "label_values",
        "/api/v1/metadata" => "metadata",
        "/api/v1/admin/tsdb/snapshot" => "snapshot",
        "/api/v1/read" => "remote_read",
        "/federate" => "federate",
        "/metrics" => "metrics",
        "/-/healthy" => "healthy",
        "/-/ready" => "ready",
        "/-/reload" => "reload",
        "/" => "home",
        other if other.starts_with("/api/v1/status/") => "status",
        other if other.starts_with("/api/v1/") => "api",
        _ => "unknown",
    }
}

fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::POST => "post",
        Method::PUT => "put",
        Method::HEAD => "head",
        Method::OPTIONS => "options",
        _ => "other",
    }
}
