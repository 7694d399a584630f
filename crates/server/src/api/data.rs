//! What the endpoints need of whoever holds the data.

use crate::Hub;
use nilometer_access::ReadScope;
use nilometer_model::{Error, Metadata, Result};
use nilometer_storage::Queryable;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The hub, or a stand-in of a test. All of it is what one reader sees.
pub(crate) trait Data: Send + Sync + 'static {
    fn queryable(&self, scope: &ReadScope) -> Arc<dyn Queryable>;

    /// What metric families say of themselves; only that of `family` where it is given.
    fn metadata(&self, scope: &ReadScope, family: Option<&str>) -> Result<BTreeMap<String, Vec<Metadata>>>;

    /// What is in memory, with the `limit` largest of each list.
    fn stats(&self, scope: &ReadScope, limit: usize) -> Result<HeadStats>;
}

/// The size of what is in memory, by what makes it large. Lists are sorted by number, largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeadStats {
    pub(crate) series: u64,
    pub(crate) label_pairs: u64,
    pub(crate) chunks: u64,
    /// `None` where there is nothing.
    pub(crate) min_ms: Option<i64>,
    pub(crate) max_ms: Option<i64>,
    pub(crate) series_by_metric: Vec<(String, u64)>,
    pub(crate) values_by_label: Vec<(String, u64)>,
    /// For each label's name the bytes of its values, once for each series.
    pub(crate) value_bytes_by_label: Vec<(String, u64)>,
    /// Of `name=value`.
    pub(crate) series_by_pair: Vec<(String, u64)>,
}

impl HeadStats {
    /// Lays another tenant's numbers on top and keeps the `limit` largest of each list.
    pub(crate) fn add(&mut self, other: HeadStats, limit: usize) {
        self.series += other.series;
        self.label_pairs += other.label_pairs;
        self.chunks += other.chunks;
        self.min_ms = [self.min_ms, other.min_ms].into_iter().flatten().min();
        self.max_ms = [self.max_ms, other.max_ms].into_iter().flatten().max();
        add_counts(&mut self.series_by_metric, other.series_by_metric, limit);
        add_counts(&mut self.values_by_label, other.values_by_label, limit);
        add_counts(&mut self.value_bytes_by_label, other.value_bytes_by_label, limit);
        add_counts(&mut self.series_by_pair, other.series_by_pair, limit);
    }
}

fn add_counts(counts: &mut Vec<(String, u64)>, more: Vec<(String, u64)>, limit: usize) {
    let mut by_name: BTreeMap<String, u64> = BTreeMap::new();
    for (name, count) in counts.drain(..).chain(more) {
        *by_name.entry(name).or_default() += count;
    }
    counts.extend(by_name);
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.truncate(limit);
}

impl Data for Hub {
    fn queryable(&self, scope: &ReadScope) -> Arc<dyn Queryable> {
        Hub::queryable(self, scope)
    }

    fn metadata(&self, _: &ReadScope, _: Option<&str>) -> Result<BTreeMap<String, Vec<Metadata>>> {
        Err(Error::unavailable("the head does not give its metadata away yet"))
    }

    fn stats(&self, _: &ReadScope, _: usize) -> Result<HeadStats> {
        Err(Error::unavailable("the head does not give its numbers away yet"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_tenants_add_up() {
        let counts =
            |pairs: &[(&str, u64)]| pairs.iter().map(|(n, c)| ((*n).to_owned(), *c)).collect::<Vec<_>>();
        let mut all = HeadStats {
            series: 3,
            min_ms: Some(5),
            series_by_metric: counts(&[("up", 2), ("a", 1)]),
            ..HeadStats::default()
        };
        let other = HeadStats {
            series: 4,
            min_ms: Some(-5),
            max_ms: Some(9),
            series_by_metric: counts(&[("b", 3), ("a", 1)]),
            ..HeadStats::default()
        };
        all.add(other, 2);
        assert_eq!((all.series, all.min_ms, all.max_ms), (7, Some(-5), Some(9)));
        assert_eq!(all.series_by_metric, counts(&[("b", 3), ("a", 2)]));
    }
}
