//! A holder of a few series in memory, for tests of what computes.

use crate::queryable::{BoxFuture, LabelQuery, Names, Queryable, Select, SeriesStream};
use crate::{Chunk, Series, SeriesBatch};
use futures::{future, stream};
use nilometer_chunk::{Encoding, encode_floats};
use nilometer_model::{Labels, Matcher, Result, TimeRange};
use std::collections::BTreeMap;

/// Series of float samples, by labels.
#[derive(Clone, Debug, Default)]
pub struct MemoryQueryable {
    series: BTreeMap<Labels, Vec<Chunk>>,
}

impl MemoryQueryable {
    const SAMPLES_PER_CHUNK: usize = 120;

    /// Adds samples `(t_ms, value)` that are newer than those the series has.
    pub fn push_floats(&mut self, labels: Labels, samples: &[(i64, f64)]) {
        let chunks = self.series.entry(labels).or_default();
        for part in samples.chunks(Self::SAMPLES_PER_CHUNK) {
            let range = TimeRange::new(part[0].0, part[part.len() - 1].0);
            let data = encode_floats(part.iter().copied()).into();
            chunks.push(Chunk { range, encoding: Encoding::Xor, data });
        }
    }

    fn matching(&self, sets: &[Vec<Matcher>], range: TimeRange) -> Vec<&Labels> {
        let any = |labels: &Labels| {
            sets.is_empty() || sets.iter().any(|set| set.iter().all(|m| m.matches_labels(labels)))
        };
        self.series
            .iter()
            .filter(|(labels, chunks)| any(labels) && chunks.iter().any(|c| c.range.overlaps(&range)))
            .map(|(labels, _)| labels)
            .collect()
    }
}

impl Queryable for MemoryQueryable {
    fn select(&self, select: Select) -> SeriesStream {
        let mut found = Vec::new();
        for labels in self.matching(&[select.matchers.to_vec()], select.range) {
            let chunks =
                self.series[labels].iter().filter(|c| c.range.overlaps(&select.range)).cloned().collect();
            found.push(Series { labels: labels.clone(), chunks });
        }
        let batches: Vec<_> = found
            .chunks(SeriesBatch::MAX_SERIES)
            .map(|series| Ok(SeriesBatch { series: series.to_vec(), warnings: Vec::new() }))
            .collect();
        Box::pin(stream::iter(batches))
    }

    fn label_names(&self, query: LabelQuery) -> BoxFuture<Result<Names>> {
        let matching = self.matching(&query.matcher_sets, query.range);
        names(matching.iter().flat_map(|l| l.iter().map(|(name, _)| name.to_owned())), query.limit)
    }

    fn label_values(&self, name: &str, query: LabelQuery) -> BoxFuture<Result<Names>> {
        let matching = self.matching(&query.matcher_sets, query.range);
        names(matching.iter().filter(|l| l.has(name)).map(|l| l.get(name).to_owned()), query.limit)
    }
}

fn names(all: impl Iterator<Item = String>, limit: usize) -> BoxFuture<Result<Names>> {
    let mut names: Vec<String> = all.collect();
    names.sort_unstable();
    names.dedup();
    if limit > 0 {
        names.truncate(limit);
    }
    Box::pin(future::ready(Ok(Names { names, warnings: Vec::new() })))
}
