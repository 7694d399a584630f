//! `series`: the labels of all series that match.

use super::answer::{Answer, label_sets};
use super::error::{ApiError, ApiResult};
use super::params::Params;
use super::{Api, Reader};
use axum::extract::State;
use futures::StreamExt;
use nilometer_model::{Error, Labels, Matcher, TimeRange};
use nilometer_storage::{Hints, Queryable, Select};
use std::sync::Arc;

/// `GET` and `POST /series`.
pub(crate) async fn series(State(api): State<Arc<Api>>, reader: Reader, params: Params) -> ApiResult<Answer> {
    if params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let limit = params.limit()?;
    let range = params.range()?;
    let mut warnings = params.thanos()?;
    let mut found = Found { limit, max_bytes: api.max_memory_bytes, ..Found::default() };
    let (queryable, pool_api) = (reader.queryable(&api), api.clone());
    let found = api.compute(reader.who(), None, async move {
        let sets = params.matcher_sets().map_err(|e| ApiError::parameter("match[]", e.message))?;
        params.stores()?;
        for set in sets {
            found.add(&*queryable, set, range).await?;
        }
        params.refuse_parts(&found.warnings)?;
        let room = pool_api.unsent.room_for(found.bytes).await;
        Ok((found, room))
    });
    let (mut found, room) = found.await?;
    // Each set's are in order: what is left is to merge, which a stable sort does.
    found.labels.sort();
    found.labels.dedup();
    warnings.append(&mut found.warnings);
    if limit > 0 && found.labels.len() > limit {
        found.labels.truncate(limit);
        warnings.push("results truncated due to limit".to_owned());
    }
    Ok(Answer::new(label_sets(found.labels)).with_warnings(warnings).in_room(room))
}

#[derive(Default)]
struct Found {
    labels: Vec<Labels>,
    warnings: Vec<String>,
    /// 0 is all.
    limit: usize,
    bytes: usize,
    max_bytes: usize,
}

impl Found {
    /// The series of one set; of those one more than the limit, which shows whether there are more.
    async fn add(&mut self, queryable: &dyn Queryable, set: Vec<Matcher>, range: TimeRange) -> ApiResult<()> {
        let limit = self.limit.saturating_add(usize::from(self.limit > 0));
        let hints = Hints { labels_only: true, limit, ..Hints::default() };
        let mut batches = queryable.select(Select { matchers: set.into(), range, hints });
        let mut left = if limit > 0 { limit } else { usize::MAX };
        while let Some(batch) = batches.next().await {
            let mut batch = batch?;
            self.warnings.append(&mut batch.warnings);
            for series in batch.series.into_iter().take(left) {
                left -= 1;
                self.bytes += series.labels.as_bytes().len() + size_of::<Labels>();
                self.labels.push(series.labels);
            }
            if self.bytes > self.max_bytes {
                return Err(too_many(self.max_bytes).into());
            }
            if left == 0 {
                break;
            }
        }
        Ok(())
    }
}

fn too_many(max_bytes: usize) -> Error {
    let message =
        "the labels of so many series need more memory than is allowed: match fewer or give a limit";
    Error::limit("query.max-memory", max_bytes as u64, message)
}
