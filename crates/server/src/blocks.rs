//! The blocks of a bucket, as Thanos' pages ask for them, and what becomes of them.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use nilometer_compact::Compactor;
use nilometer_gateway::Gateway;
use serde_json::json;
use std::sync::Arc;

/// `GET /api/v1/blocks`: the `meta.json` of all blocks that answer.
pub(crate) async fn blocks(State(gateway): State<Arc<Gateway>>) -> impl IntoResponse {
    let data = json!({"label": "", "err": null, "blocks": gateway.metas()});
    let answer = json!({"status": "success", "data": data});
    ([(header::CONTENT_TYPE, "application/json")], answer.to_string())
}

/// `GET /api/v1/status/compaction` of a compactor.
pub(crate) async fn compaction(State(compactor): State<Arc<Compactor>>) -> impl IntoResponse {
    let answer = json!({"status": "success", "data": {"compaction": compactor.status()}});
    ([(header::CONTENT_TYPE, "application/json")], answer.to_string())
}
