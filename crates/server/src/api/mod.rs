//! Prometheus' HTTP API.
//!
//! Each request that comes here carries a [`Caller`](crate::Caller) in its extensions, put there by
//! `auth`, and may read. Queries are computed by [`QueryPool::run`](crate::QueryPool::run) over
//! [`Hub::queryable`](crate::Hub::queryable).

use crate::Hub;
use axum::Router;
use std::sync::Arc;

/// The routes under `/api/v1` that read.
pub(crate) fn routes(_hub: &Arc<Hub>) -> Router<Arc<Hub>> {
    Router::new()
}
