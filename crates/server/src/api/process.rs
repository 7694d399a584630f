//! `status/…` of the process itself: flags, configuration, run time.
//!
//! Paths and addresses of the machine concern its operators: these routes are behind `auth::oversees`, as
//! `/metrics` is.

use super::answer::{Answer, Written};
use super::error::{ApiError, ApiResult, ErrorType};
use crate::Hub;
use axum::extract::State;
use jiff::{Timestamp, Unit};
use serde_json::{Value, json};
use std::sync::Arc;

/// `GET /status/flags`.
pub(crate) async fn flags(State(hub): State<Arc<Hub>>) -> ApiResult<Answer> {
    written(&json!(hub.web.flags))
}

/// `GET /status/config`: what of a `prometheus.yml` the flags say.
pub(crate) async fn config(State(hub): State<Arc<Hub>>) -> ApiResult<Answer> {
    written(&json!({ "yaml": hub.web.config }))
}

/// `GET /status/runtimeinfo`, with Prometheus' names where they mean something.
pub(crate) async fn runtime(State(hub): State<Arc<Hub>>) -> ApiResult<Answer> {
    let reloaded = hub.last_reload();
    let cwd = std::env::current_dir().map(|path| path.display().to_string()).unwrap_or_default();
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    let flag = |name: &str| hub.web.flags.get(name).cloned().unwrap_or_default();
    written(&json!({
        "startTime": rfc3339(hub.started_ms),
        "CWD": cwd,
        "hostname": hostname.trim_end(),
        "serverTime": rfc3339(hub.clock.wall_ms()),
        "reloadConfigSuccess": reloaded.ok,
        "lastConfigTime": rfc3339(reloaded.at_ms),
        "corruptionCount": hub.head.corruptions(),
        // Threads are what comes closest; the other three are settings of a collector that is not here.
        "goroutineCount": threads,
        "GOMAXPROCS": std::thread::available_parallelism().map_or(1, usize::from),
        "GOMEMLIMIT": i64::MAX,
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": flag("tsdb.retention"),
    }))
}

/// `GET /status/compaction`: what is under way in the bucket, what is due, and what is left alone.
pub(crate) async fn compaction(State(hub): State<Arc<Hub>>) -> ApiResult<Answer> {
    let upkeep = hub.upkeep.as_ref();
    written(&json!({
        "compaction": upkeep.and_then(|upkeep| upkeep.compactor.as_ref()).map(|compactor| compactor.status()),
        "diskDaysUntilFull": upkeep.and_then(|upkeep| (upkeep.days_until_full)()),
    }))
}

fn rfc3339(t_ms: i64) -> String {
    let time = Timestamp::from_millisecond(t_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    time.round(Unit::Millisecond).unwrap_or(time).to_string()
}

fn written(json: &Value) -> ApiResult<Answer> {
    let json = serde_json::to_vec(json).map_err(|e| ApiError::new(ErrorType::Internal, e.to_string()))?;
    Ok(Answer::new(Written(json)))
}
