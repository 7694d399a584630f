//! Series as a request wants them beyond its matchers: without the labels that tell replicas apart, and only those
//! of one shard.

use futures::{StreamExt, stream};
use nilometer_model::{Error, Labels, Result};
use nilometer_storage::{LabelQuery, Queryable, Select, Series, SeriesBatch, SeriesStream};
use nilometer_wire::store_api::ShardInfo;
use std::collections::BTreeSet;

/// The series of `select` without some labels, sorted by those that are left: series that only those labels told apart
/// follow each other.
///
/// To be sorted they stand in memory together, with what of their chunks is not to be read later. Where no series has
/// such a label, they pass as they are.
///
/// # Errors
/// `Limit` where they take more than `max_bytes`.
pub(super) async fn without_labels(
    queryable: &dyn Queryable,
    select: Select,
    without: &[String],
    max_bytes: usize,
) -> Result<SeriesStream> {
    let without: BTreeSet<&str> = without.iter().map(String::as_str).collect();
    let is_there = |names: Vec<String>| names.iter().any(|name| without.contains(name.as_str()));
    if without.is_empty() || !is_there(queryable.label_names(LabelQuery::all(select.range)).await?.names) {
        return Ok(queryable.select(select));
    }
    let mut batches = queryable.select(select);
    let (mut all, mut warnings, mut bytes) = (Vec::new(), Vec::new(), 0);
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        warnings.extend(batch.warnings);
        for Series { labels, chunks } in batch.series {
            let labels = labels.filter(|name| !without.contains(name));
            bytes += labels.as_bytes().len() + size_of::<Series>() + chunks.held_bytes();
            all.push(Series { labels, chunks });
        }
        if max_bytes > 0 && bytes > max_bytes {
            let message = "so many series have to be sorted without their replica labels that they need more memory \
                           than is allowed: match fewer, or ask for a shorter time";
            return Err(Error::limit("query.max-memory", max_bytes as u64, message));
        }
    }
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    let mut rest = all.into_iter();
    let first = SeriesBatch { series: Vec::new(), warnings };
    let sorted = std::iter::from_fn(move || {
        let series: Vec<_> = rest.by_ref().take(SeriesBatch::MAX_SERIES).collect();
        (!series.is_empty()).then_some(SeriesBatch { series, warnings: Vec::new() })
    });
    Ok(stream::iter(std::iter::once(first).chain(sorted).map(Ok)).boxed())
}

/// Which series are wanted of all: as Thanos hashes, so that each of several stores leaves out the same ones.
///
/// Source: Thanos' `pkg/store/storepb/shard_info.go`.
pub(super) struct Shard {
    index: u64,
    total: u64,
    by: bool,
    names: BTreeSet<String>,
    bytes: Vec<u8>,
}

impl Shard {
    /// `None`: all of them.
    pub(super) fn of(info: Option<ShardInfo>) -> Option<Shard> {
        let ShardInfo { index, total, by, labels } = info?;
        let total = u64::try_from(total).ok().filter(|total| *total > 0)?;
        // One that there is not has no series.
        let index = u64::try_from(index).unwrap_or(u64::MAX);
        Some(Shard { index, total, by, names: labels.into_iter().collect(), bytes: Vec::new() })
    }

    pub(super) fn has(&mut self, labels: &Labels) -> bool {
        self.bytes.clear();
        for (name, value) in labels {
            if self.names.contains(name) == self.by {
                for text in [name, value] {
                    self.bytes.extend_from_slice(text.as_bytes());
                    self.bytes.push(0xff);
                }
            }
        }
        twox_hash::XxHash64::oneshot(0, &self.bytes) % self.total == self.index
    }
}
