//! `metadata`: what metric families say of themselves.

use super::answer::{Answer, Written};
use super::error::{ApiError, ApiResult};
use super::json::{Escape, push_text};
use super::params::{Params, atoi};
use super::{Api, Reader};
use axum::extract::State;
use nilometer_model::Metadata;
use std::sync::Arc;

/// `GET /metadata`.
pub(crate) async fn metadata(
    State(api): State<Arc<Api>>,
    reader: Reader,
    params: Params,
) -> ApiResult<Answer> {
    let families = number(&params, "limit")?.unwrap_or(usize::MAX);
    let per_family = number(&params, "limit_per_metric")?.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let metric = Some(params.get("metric")).filter(|name| !name.is_empty()).map(str::to_owned);
    let pool_api = api.clone();
    let written = api.compute(reader.who(), None, async move {
        let found = pool_api.data.metadata(&reader.scope, metric.as_deref())?;
        let mut out = b"{".to_vec();
        for (i, (family, said)) in found.iter().take(families).enumerate() {
            if i > 0 {
                out.push(b',');
            }
            push_family(&mut out, family, &said[..said.len().min(per_family)]);
        }
        out.push(b'}');
        Ok(out)
    });
    Ok(Answer::new(Written(written.await?)))
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

/// `"up":[{"type":"gauge","unit":"","help":"…"}]`
fn push_family(out: &mut Vec<u8>, family: &str, said: &[Metadata]) {
    push_text(out, family, Escape::Html);
    out.extend_from_slice(b":[");
    for (i, metadata) in said.iter().enumerate() {
        out.extend_from_slice(if i > 0 { b",{\"type\":" } else { b"{\"type\":" });
        push_text(out, metadata.kind.as_str(), Escape::Html);
        out.extend_from_slice(b",\"unit\":");
        push_text(out, &metadata.unit, Escape::Html);
        out.extend_from_slice(b",\"help\":");
        push_text(out, &metadata.help, Escape::Html);
        out.push(b'}');
    }
    out.push(b']');
}
