//! What roles beside the hub serve over HTTP.

use crate::app::{finished, metrics};
use crate::{Edge, auth, blocks};
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use nilometer_compact::Compactor;
use nilometer_gateway::Gateway;
use std::sync::Arc;

/// What the HTTP address of a store serves.
pub fn store_routes(edge: &Arc<Edge>, gateway: Arc<Gateway>) -> Router {
    let blocks = Router::new()
        .route("/api/v1/blocks", get(blocks::blocks))
        .route_layer(from_fn_with_state(edge.clone(), auth::oversees))
        .with_state(gateway);
    finished(metrics(edge).merge(blocks), edge)
}

/// What the HTTP address of a compactor serves.
pub fn compact_routes(edge: &Arc<Edge>, compactor: Arc<Compactor>) -> Router {
    let status = Router::new()
        .route("/api/v1/status/compaction", get(blocks::compaction))
        .route_layer(from_fn_with_state(edge.clone(), auth::oversees))
        .with_state(compactor);
    finished(metrics(edge).merge(status), edge)
}
