//! `labels` and `label/<name>/values`.

use super::answer::{Answer, texts};
use super::error::{ApiError, ApiResult};
use super::params::Params;
use super::text::{quoted, unescaped_name};
use super::{Api, Reader};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use nilometer_model::TimeRange;
use nilometer_storage::{BoxFuture, LabelQuery, Names};
use std::sync::Arc;

/// `GET` and `POST /labels`: all names of labels.
pub(crate) async fn names(State(api): State<Arc<Api>>, reader: Reader, params: Params) -> ApiResult<Answer> {
    let asked = Asked::read(params)?;
    let queryable = reader.queryable(&api);
    asked.answer((&api, &reader), move |query| queryable.label_names(query)).await
}

/// `GET /label/<name>/values`: all values of one label.
pub(crate) async fn values(
    State(api): State<Arc<Api>>,
    reader: Reader,
    name: Result<Path<String>, PathRejection>,
    params: Params,
) -> ApiResult<Answer> {
    let Ok(Path(name)) = name else {
        return Err(ApiError::bad_data("invalid label name: it is not UTF-8"));
    };
    let name = unescaped_name(&name);
    if name.is_empty() {
        return Err(ApiError::bad_data(format!("invalid label name: {}", quoted(&name))));
    }
    let asked = Asked::read(params)?;
    let queryable = reader.queryable(&api);
    asked.answer((&api, &reader), move |query| queryable.label_values(&name, query)).await
}

struct Asked {
    params: Params,
    range: TimeRange,
    limit: usize,
    warnings: Vec<String>,
}

impl Asked {
    fn read(params: Params) -> ApiResult<Self> {
        let limit = params.limit()?;
        let range = params.range()?;
        let warnings = params.thanos()?;
        Ok(Asked { params, range, limit, warnings })
    }

    async fn answer(
        self,
        (api, reader): (&Arc<Api>, &Reader),
        ask: impl FnOnce(LabelQuery) -> BoxFuture<nilometer_model::Result<Names>> + Send + 'static,
    ) -> ApiResult<Answer> {
        let Asked { params, range, limit, mut warnings } = self;
        let pool_api = api.clone();
        let found = api.compute(reader.who(), None, async move {
            let matcher_sets = params.matcher_sets()?;
            params.stores()?;
            // One more than asked for shows whether there are more.
            let limit = limit.saturating_add(usize::from(limit > 0));
            let found = ask(LabelQuery { matcher_sets, range, limit }).await?;
            params.refuse_parts(&found.warnings)?;
            let bytes = found.names.iter().map(|name| name.len() + size_of::<String>()).sum();
            Ok((found, pool_api.unsent.room_for(bytes).await))
        });
        let (mut found, room) = found.await?;
        warnings.append(&mut found.warnings);
        if limit > 0 && found.names.len() > limit {
            found.names.truncate(limit);
            warnings.push("results truncated due to limit".to_owned());
        }
        Ok(Answer::new(texts(found.names)).with_warnings(warnings).in_room(room))
    }
}
