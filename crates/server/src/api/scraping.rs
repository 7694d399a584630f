//! What Prometheus tells of its targets. The hub scrapes none: lists are empty, and mistakes in a request are
//! answered as there.

use super::Api;
use super::answer::{Answer, Written};
use super::error::{ApiError, ApiResult};
use super::params::{Params, atoi};
use super::text::quoted;
use axum::extract::State;
use nilometer_promql::parse::parse_selector;
use std::sync::Arc;

/// `GET /targets`.
pub(crate) async fn targets(State(_): State<Arc<Api>>, params: Params) -> Answer {
    let state = params.get("state").to_lowercase();
    let counts: &[u8] = match state.as_str() {
        "" | "any" | "dropped" => b"{}",
        _ => b"null",
    };
    let mut out = br#"{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":"#.to_vec();
    out.extend_from_slice(counts);
    out.push(b'}');
    Answer::new(Written(out))
}

/// `GET /targets/metadata`.
pub(crate) async fn metadata(State(_): State<Arc<Api>>, params: Params) -> ApiResult<Answer> {
    let limit = params.get("limit");
    if !limit.is_empty() && atoi(limit).is_err() {
        return Err(ApiError::bad_data("limit must be a number"));
    }
    let target = params.get("match_target");
    if !target.is_empty() {
        parse_selector(target).map_err(|e| ApiError::parameter("match_target", e))?;
    }
    Ok(Answer::fixed(b"[]"))
}

/// `GET /targets/relabel_steps`.
pub(crate) async fn relabel_steps(State(_): State<Arc<Api>>, params: Params) -> ApiResult<Answer> {
    let pool = named_pool(&params)?;
    let labels = params.get("labels");
    if labels.is_empty() {
        return Err(ApiError::bad_data("no labels parameter provided"));
    }
    serde_json::from_str::<std::collections::BTreeMap<String, String>>(labels)
        .map_err(|e| ApiError::bad_data(format!("error parsing labels: {e}")))?;
    Err(no_pool(pool))
}

/// `GET /scrape_pools`.
pub(crate) async fn pools(State(_): State<Arc<Api>>) -> Answer {
    Answer::fixed(br#"{"scrapePools":[]}"#)
}

/// `GET /scrape_pools/config`.
pub(crate) async fn pool_config(State(_): State<Arc<Api>>, params: Params) -> ApiResult<Answer> {
    Err(no_pool(named_pool(&params)?))
}

fn named_pool(params: &Params) -> ApiResult<&str> {
    match params.get("scrapePool") {
        "" => Err(ApiError::bad_data("no scrapePool parameter provided")),
        pool => Ok(pool),
    }
}

fn no_pool(pool: &str) -> ApiError {
    ApiError::bad_data(format!("error retrieving scrape config: scrape pool {} not found", quoted(pool)))
}
