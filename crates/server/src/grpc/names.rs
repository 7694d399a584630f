//! `LabelNames` and `LabelValues`.

use super::metrics::Method;
use super::{StoreApi, caller, is_strict, limit, who};
use crate::Caller;
use crate::answer::grpc_status;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use nilometer_model::{Result, TimeRange};
use nilometer_storage::{LabelQuery, Names, Queryable};
use nilometer_wire::store_api::{
    LabelMatcher, LabelNamesRequest, LabelNamesResponse, LabelValuesRequest, LabelValuesResponse, matchers,
};
use std::sync::Arc;
use tonic::Status;

pub(super) async fn names(State(api): State<Arc<StoreApi>>, request: Request) -> Response<Body> {
    let caller = caller(&request);
    let answer = |asked: LabelNamesRequest| {
        let (api, caller) = (api.clone(), caller.clone());
        async move {
            let strict = is_strict(asked.partial_response_disabled, asked.partial_response_strategy);
            let found = computed(&api, &caller?, strict, |queryable| found_names(queryable, asked)).await?;
            Ok(LabelNamesResponse { names: found.names, warnings: found.warnings })
        }
    };
    api.unary(Method::LABEL_NAMES, request, answer).await
}

pub(super) async fn values(State(api): State<Arc<StoreApi>>, request: Request) -> Response<Body> {
    let caller = caller(&request);
    let answer = |asked: LabelValuesRequest| {
        let (api, caller) = (api.clone(), caller.clone());
        async move {
            if asked.label.is_empty() {
                return Err(Status::invalid_argument("a label's values are asked for without its name"));
            }
            let strict = is_strict(asked.partial_response_disabled, asked.partial_response_strategy);
            let found = computed(&api, &caller?, strict, |queryable| found_values(queryable, asked)).await?;
            Ok(LabelValuesResponse { values: found.names, warnings: found.warnings })
        }
    };
    api.unary(Method::LABEL_VALUES, request, answer).await
}

/// Finds on the query pool, at a place of the caller; where a part of an answer is no answer, a warning is an error.
async fn computed<T: Future<Output = Result<Names>> + Send + 'static>(
    api: &StoreApi,
    caller: &Caller,
    is_strict: bool,
    find: impl FnOnce(Arc<dyn Queryable>) -> T,
) -> std::result::Result<Names, Status> {
    let finding = find(api.data.queryable(&caller.read_scope));
    let found = api.pool.run(who(caller), None, finding).await.map_err(|e| grpc_status(&e))?;
    match found.warnings.first() {
        Some(warning) if is_strict => Err(Status::aborted(warning)),
        _ => Ok(found),
    }
}

async fn found_names(queryable: Arc<dyn Queryable>, asked: LabelNamesRequest) -> Result<Names> {
    let (limit, without) = (limit(asked.limit), asked.without_replica_labels);
    let mut query = query(&asked.matchers, asked.start_ms, asked.end_ms)?;
    if limit < usize::MAX {
        query.limit = limit.saturating_add(without.len());
    }
    let mut found = queryable.label_names(query).await?;
    found.names.retain(|name| !without.contains(name));
    found.names.truncate(limit);
    Ok(found)
}

async fn found_values(queryable: Arc<dyn Queryable>, asked: LabelValuesRequest) -> Result<Names> {
    if asked.without_replica_labels.contains(&asked.label) {
        return Ok(Names::default());
    }
    let mut query = query(&asked.matchers, asked.start_ms, asked.end_ms)?;
    query.limit = usize::try_from(asked.limit).unwrap_or(0);
    queryable.label_values(&asked.label, query).await
}

fn query(raw: &[LabelMatcher], start_ms: i64, end_ms: i64) -> Result<LabelQuery> {
    let matchers = matchers(raw)?;
    let matcher_sets = if matchers.is_empty() { Vec::new() } else { vec![matchers] };
    Ok(LabelQuery { matcher_sets, range: TimeRange::new(start_ms, end_ms), limit: 0 })
}
