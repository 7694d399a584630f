//! The blocks of a bucket, as Thanos' pages ask for them.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use nilometer_gateway::Gateway;
use serde_json::json;
use std::sync::Arc;

/// `GET /api/v1/blocks`: the `meta.json` of all blocks that answer.
pub(crate) async fn blocks(State(gateway): State<Arc<Gateway>>) -> impl IntoResponse {
    let data = json!({"label": "", "err": null, "blocks": gateway.metas()});
    let answer = json!({"status": "success", "data": data});
    ([(header::CONTENT_TYPE, "application/json")], answer.to_string())
}
