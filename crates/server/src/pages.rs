//! Pages for probes and for who scrapes the edge.

use crate::exposition::{OPEN_METRICS, PLAIN_TEXT, open_metrics, plain_text};
use crate::{Edge, answer};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use std::sync::Arc;

/// The process is alive.
pub(crate) async fn healthy() -> Response<Body> {
    answer::text(StatusCode::OK, "Nilometer is healthy.")
}

/// Writes and queries are taken.
pub(crate) async fn ready(State(edge): State<Arc<Edge>>) -> Response<Body> {
    if edge.is_ready() {
        answer::text(StatusCode::OK, "Nilometer is ready.")
    } else {
        answer::text(StatusCode::SERVICE_UNAVAILABLE, "Nilometer is starting or stopping.")
    }
}

/// In the format that is asked for, the older one where none is.
pub(crate) async fn metrics(State(edge): State<Arc<Edge>>, headers: HeaderMap) -> Response<Body> {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let registry = edge.registry.read();
    let (text, kind) = if accept.contains("application/openmetrics-text") {
        (open_metrics(&registry), OPEN_METRICS)
    } else {
        (plain_text(&registry), PLAIN_TEXT)
    };
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
