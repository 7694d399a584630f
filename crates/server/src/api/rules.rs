//! What Prometheus tells of its rules, alerts and notifications. The hub evaluates no rules: lists are empty,
//! and mistakes in a request are answered as there.

use super::Api;
use super::answer::Answer;
use super::error::{ApiError, ApiResult};
use super::params::{Params, parse_bool, parse_int32};
use super::text::quoted;
use axum::extract::State;
use axum::http::StatusCode;
use std::sync::Arc;

/// `GET /rules`.
pub(crate) async fn rules(State(_): State<Arc<Api>>, params: Params) -> ApiResult<Answer> {
    params.matcher_sets()?;
    let kind = params.get("type").to_lowercase();
    if !matches!(kind.as_str(), "" | "alert" | "record") {
        return Err(ApiError::parameter("type", format!("not supported value {}", quoted(&kind))));
    }
    parse_bool(&params.get("exclude_alerts").to_lowercase()).map_err(|e| {
        ApiError::parameter("exclude_alerts", format!("error converting exclude_alerts: {e}"))
    })?;
    check_page(params.get("group_limit"), params.get("group_next_token"))?;
    Ok(Answer::fixed(br#"{"groups":[]}"#))
}

fn check_page(limit: &str, token: &str) -> ApiResult<()> {
    let wrong_limit = |what: String| Err(ApiError::parameter("group_limit", what));
    match limit {
        "" if token.is_empty() => return Ok(()),
        "" => {
            let what = "group_limit needs to be present in order to paginate over the groups";
            return Err(ApiError::parameter("group_next_token", what));
        }
        limit => match parse_int32(limit) {
            Err(e) => return wrong_limit(format!("group_limit needs to be a valid number: {e}")),
            Ok(..=0) => return wrong_limit("group_limit needs to be greater than 0".to_owned()),
            Ok(_) => {}
        },
    }
    if !token.is_empty() {
        let what = format!("invalid group_next_token '{token}'. were rule groups changed?");
        return Err(ApiError::parameter("group_next_token", what));
    }
    Ok(())
}

/// `GET /alerts`.
pub(crate) async fn alerts(State(_): State<Arc<Api>>) -> Answer {
    Answer::fixed(br#"{"alerts":[]}"#)
}

/// `GET /alertmanagers`.
pub(crate) async fn alertmanagers(State(_): State<Arc<Api>>) -> Answer {
    Answer::fixed(br#"{"activeAlertmanagers":[],"droppedAlertmanagers":[]}"#)
}

/// `GET /notifications`: what the hub wants to tell its users, which is nothing so far.
pub(crate) async fn notifications(State(_): State<Arc<Api>>) -> Answer {
    Answer::fixed(b"[]")
}

/// `GET /notifications/live`: 204 tells a page not to wait for any, as where Prometheus has as many listeners
/// as it may.
pub(crate) async fn live_notifications(State(_): State<Arc<Api>>) -> StatusCode {
    StatusCode::NO_CONTENT
}
