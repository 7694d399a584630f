//! `status/…`: what this is, and what is in memory.

use super::answer::{Answer, Wrapped, Written};
use super::data::HeadStats;
use super::error::{ApiError, ApiResult, ErrorType};
use super::json::{Escape, push_text};
use super::params::{Params, atoi};
use super::{Api, Reader};
use axum::extract::State;
use std::io::Write;
use std::sync::Arc;

/// Entries of each list of `status/tsdb`.
const DEFAULT_TOP: usize = 10;
const MAX_TOP: usize = 10_000;

/// `GET /status/buildinfo`.
pub(crate) async fn build_info(State(api): State<Arc<Api>>) -> Answer {
    let mut out = b"{".to_vec();
    let build = &api.build;
    for (i, (name, value)) in [
        ("version", build.version),
        ("revision", build.revision),
        ("branch", ""),
        ("buildUser", ""),
        ("buildDate", ""),
        // A program of another language has none; the field is expected to be there.
        ("goVersion", ""),
        ("application", "Nilometer"),
        ("rustVersion", build.rustc),
    ]
    .into_iter()
    .enumerate()
    {
        if i > 0 {
            out.push(b',');
        }
        push_text(&mut out, name, Escape::Html);
        out.push(b':');
        push_text(&mut out, value, Escape::Html);
    }
    out.push(b'}');
    Answer::new(Written(out))
}

/// `GET /status/tsdb`: what makes the head large.
pub(crate) async fn tsdb(State(api): State<Arc<Api>>, reader: Reader, params: Params) -> ApiResult<Answer> {
    let limit = match params.get("limit") {
        "" => DEFAULT_TOP,
        text => match atoi(text).ok().and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0) {
            Some(limit) if limit <= MAX_TOP => limit,
            Some(_) => return Err(ApiError::bad_data(format!("limit must not exceed {MAX_TOP}"))),
            None => return Err(ApiError::bad_data("limit must be a positive number")),
        },
    };
    let pool_api = api.clone();
    let stats = api
        .compute(reader.who(), None, async move { Ok(pool_api.data.stats(&reader.scope, limit)?) })
        .await?;
    Ok(Answer::new(Written(written(&stats))))
}

/// `GET /status/tsdb/blocks`: the local blocks, as their `meta.json` says.
pub(crate) async fn blocks(State(api): State<Arc<Api>>, reader: Reader) -> ApiResult<Answer> {
    let pool_api = api.clone();
    let metas =
        api.compute(reader.who(), None, async move { Ok(pool_api.data.blocks(&reader.scope)) }).await?;
    let json = serde_json::to_vec(&metas).map_err(|e| ApiError::new(ErrorType::Internal, e.to_string()))?;
    Ok(Answer::new(Wrapped::new(br#"{"blocks":"#.to_vec(), Written(json), b"}".to_vec())))
}

/// `GET /status/walreplay`: the log was read again before anybody could ask.
pub(crate) async fn log_replay(State(_): State<Arc<Api>>) -> Answer {
    Answer::fixed(br#"{"min":0,"max":0,"current":0}"#)
}

fn written(stats: &HeadStats) -> Vec<u8> {
    let mut out = Vec::new();
    // Prometheus' empty head: the smallest time is the largest number, and the other way round.
    let (min_ms, max_ms) = (stats.min_ms.unwrap_or(i64::MAX), stats.max_ms.unwrap_or(i64::MIN));
    let _ = write!(
        out,
        "{{\"headStats\":{{\"numSeries\":{},\"numLabelPairs\":{},\"chunkCount\":{},\"minTime\":{min_ms},\
         \"maxTime\":{max_ms}}}",
        stats.series, stats.label_pairs, stats.chunks
    );
    for (name, counts) in [
        ("seriesCountByMetricName", &stats.series_by_metric),
        ("labelValueCountByLabelName", &stats.values_by_label),
        ("memoryInBytesByLabelName", &stats.value_bytes_by_label),
        ("seriesCountByLabelValuePair", &stats.series_by_pair),
    ] {
        let _ = write!(out, ",\"{name}\":[");
        for (i, (name, count)) in counts.iter().enumerate() {
            out.extend_from_slice(if i > 0 { b",{\"name\":" } else { b"{\"name\":" });
            push_text(&mut out, name, Escape::Html);
            let _ = write!(out, ",\"value\":{count}}}");
        }
        out.push(b']');
    }
    out.push(b'}');
    out
}
