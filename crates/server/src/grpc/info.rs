//! `Info`: what a process holds. `Health`: whether it answers.

use super::metrics::Method;
use super::{Holding, StoreApi, caller};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use nilometer_wire::store_api::{
    Empty, HealthRequest, HealthResponse, InfoResponse, LabelSet, StoreInfo, TsdbInfo,
};
use std::future::ready;
use std::sync::Arc;

pub(super) async fn info(State(api): State<Arc<StoreApi>>, request: Request) -> Response<Body> {
    let caller = caller(&request);
    let answer = |_: Empty| {
        let held = caller.clone().map(|caller| api.data.holdings(&caller.read_scope));
        ready(held.map(|held| told(&held, api.options.component)))
    };
    api.unary(Method::INFO, request, answer).await
}

fn told(held: &[Holding], component: &str) -> InfoResponse {
    let tsdb = |held: &Holding| TsdbInfo {
        labels: Some(LabelSet::from(&held.labels)),
        min_time_ms: held.range.min_ms,
        max_time_ms: held.range.max_ms,
    };
    let store = StoreInfo {
        // Nothing is held: no time is.
        min_time_ms: held.iter().map(|held| held.range.min_ms).min().unwrap_or(i64::MAX),
        max_time_ms: held.iter().map(|held| held.range.max_ms).max().unwrap_or(i64::MIN),
        supports_sharding: true,
        supports_without_replica_labels: true,
        tsdb_infos: held.iter().map(tsdb).collect(),
    };
    InfoResponse {
        label_sets: held.iter().map(|held| LabelSet::from(&held.labels)).collect(),
        component: component.to_owned(),
        store: Some(store),
    }
}

/// Of every service alike.
pub(super) async fn health(State(api): State<Arc<StoreApi>>, request: Request) -> Response<Body> {
    const SERVING: i32 = 1;
    const NOT_SERVING: i32 = 2;
    let status = if api.edge.is_ready() { SERVING } else { NOT_SERVING };
    api.unary(Method::HEALTH, request, |_: HealthRequest| ready(Ok(HealthResponse { status }))).await
}
