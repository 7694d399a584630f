//! `query_exemplars`: the marks of traces on the series that a query selects.

use super::answer::{Answer, List};
use super::error::{ApiError, ApiResult};
use super::json;
use super::params::Params;
use super::time::Timestamp;
use super::{Api, Reader};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use nilometer_model::{Matcher, TimeRange};
use nilometer_storage::ExemplarSeries;
use std::sync::Arc;

/// `GET` and `POST /query_exemplars`.
pub(crate) async fn exemplars(
    State(api): State<Arc<Api>>,
    reader: Reader,
    params: Params,
) -> ApiResult<Response> {
    let start = params.time_or("start", Timestamp::MIN)?;
    let end = params.time_or("end", Timestamp::MAX)?;
    if end < start {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
    }
    let range = TimeRange::new(start.ms(), end.ms());
    let (queryable, query) = (reader.queryable(&api), params.get("query").to_owned());
    let engine = api.engine.clone();
    let found = api.compute(reader.who(), None, async move {
        let expr = engine.parse(&query).map_err(|e| ApiError::bad_data(e.to_string()))?;
        let selectors: Vec<Vec<Matcher>> = expr.selectors().into_iter().map(<[Matcher]>::to_vec).collect();
        if selectors.is_empty() {
            return Ok(None);
        }
        Ok(Some(queryable.exemplars(selectors, range).await?))
    });
    Ok(match found.await? {
        // A query without selectors has nothing to say, as in Prometheus.
        None => StatusCode::NO_CONTENT.into_response(),
        Some(found) => Answer::new(List::new(found, push)).into_response(),
    })
}

fn push(out: &mut Vec<u8>, series: &ExemplarSeries) {
    out.extend_from_slice(b"{\"seriesLabels\":");
    json::push_labels(out, &series.labels);
    out.extend_from_slice(b",\"exemplars\":[");
    for (i, exemplar) in series.exemplars.iter().enumerate() {
        out.extend_from_slice(if i > 0 { b",{\"labels\":" } else { b"{\"labels\":" });
        json::push_labels(out, &exemplar.labels);
        out.extend_from_slice(b",\"value\":");
        json::push_value(out, exemplar.v);
        out.extend_from_slice(b",\"timestamp\":");
        json::push_time(out, exemplar.t_ms);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
}
