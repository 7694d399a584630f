//! `metadata`: what metric families say of themselves.

use super::answer::Answer;
use super::error::{ApiError, ApiResult};
use super::params::{Params, atoi};
use super::{Api, Reader};
use axum::extract::State;
use nilometer_model::Metadata;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// `GET /metadata`.
pub(crate) async fn metadata(
    State(api): State<Arc<Api>>,
    reader: Reader,
    params: Params,
) -> ApiResult<Answer> {
    let families = number(&params, "limit")?;
    let per_family = number(&params, "limit_per_metric")?.filter(|limit| *limit > 0);
    let metric = Some(params.get("metric")).filter(|name| !name.is_empty()).map(str::to_owned);
    let pool_api = api.clone();
    let found = api.compute(None, async move { Ok(pool_api.data.metadata(&reader.0, metric.as_deref())?) });
    let shown: Map<String, Value> = found
        .await?
        .into_iter()
        .take(families.unwrap_or(usize::MAX))
        .map(|(family, said)| {
            let said = said.iter().take(per_family.unwrap_or(usize::MAX)).map(entry);
            (family, said.collect())
        })
        .collect();
    Ok(Answer::json(&Value::Object(shown)))
}

/// A number that may be left out; one below zero is as if it were.
fn number(params: &Params, name: &str) -> ApiResult<Option<usize>> {
    match params.get(name) {
        "" => Ok(None),
        text => match atoi(text) {
            Ok(limit) => Ok(usize::try_from(limit).ok()),
            Err(_) => Err(ApiError::bad_data(format!("{name} must be a number"))),
        },
    }
}

fn entry(metadata: &Metadata) -> Value {
    json!({ "type": metadata.kind.as_str(), "unit": metadata.unit, "help": metadata.help })
}
