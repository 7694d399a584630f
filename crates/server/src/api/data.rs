//! What the endpoints need of whoever holds the data.

use crate::Hub;
use nilometer_access::ReadScope;
use nilometer_model::labels::METRIC_NAME;
use nilometer_model::{BlockMeta, Metadata, Result};
use nilometer_storage::Queryable;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The hub, or a stand-in of a test. All of it is what one reader sees.
pub(crate) trait Data: Send + Sync + 'static {
    fn queryable(&self, scope: &ReadScope) -> Arc<dyn Queryable>;

    /// What metric families say of themselves; only that of `family` where it is given.
    fn metadata(&self, scope: &ReadScope, family: Option<&str>) -> Result<BTreeMap<String, Vec<Metadata>>>;

    /// The local blocks.
    fn blocks(&self, scope: &ReadScope) -> Vec<BlockMeta>;

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
    /// For each label's name the bytes of its values.
    pub(crate) value_bytes_by_label: Vec<(String, u64)>,
    /// Of `name=value`.
    pub(crate) series_by_pair: Vec<(String, u64)>,
}

impl HeadStats {
    /// The numbers of several tenants laid on top of each other, with the `limit` largest of each list.
    pub(crate) fn of(heads: impl IntoIterator<Item = nilometer_head::HeadStats>, limit: usize) -> Self {
        let mut all = HeadStats::default();
        let mut pairs: Vec<(String, String, u64)> = Vec::new();
        for head in heads {
            all.series += head.series;
            all.chunks += head.chunks;
            all.min_ms = [all.min_ms, head.min_ms].into_iter().flatten().min();
            all.max_ms = [all.max_ms, head.max_ms].into_iter().flatten().max();
            pairs.extend(head.series_by_pair);
        }
        pairs.sort_unstable();
        pairs.dedup_by(|next, kept| {
            let same = next.0 == kept.0 && next.1 == kept.1;
            kept.2 += if same { next.2 } else { 0 };
            same
        });
        all.label_pairs = pairs.len() as u64;
        for of_name in pairs.chunk_by(|a, b| a.0 == b.0) {
            let name = &of_name[0].0;
            let bytes = of_name.iter().map(|(_, value, _)| value.len() as u64).sum();
            all.values_by_label.push((name.clone(), of_name.len() as u64));
            all.value_bytes_by_label.push((name.clone(), bytes));
            if name == METRIC_NAME {
                let metrics = of_name.iter().map(|(_, value, series)| (value.clone(), *series)).collect();
                all.series_by_metric = largest(metrics, limit);
            }
        }
        all.values_by_label = largest(all.values_by_label, limit);
        all.value_bytes_by_label = largest(all.value_bytes_by_label, limit);
        let pairs =
            pairs.into_iter().map(|(name, value, series)| (format!("{name}={value}"), series)).collect();
        all.series_by_pair = largest(pairs, limit);
        all
    }
}

/// The `limit` largest numbers, those with the same number by name.
fn largest(mut counts: Vec<(String, u64)>, limit: usize) -> Vec<(String, u64)> {
    let order = |a: &(String, u64), b: &(String, u64)| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0));
    if limit < counts.len() {
        counts.select_nth_unstable_by(limit, order);
        counts.truncate(limit);
    }
    counts.sort_unstable_by(order);
    counts
}

impl Data for Hub {
    fn queryable(&self, scope: &ReadScope) -> Arc<dyn Queryable> {
        Hub::queryable(self, scope)
    }

    fn metadata(&self, scope: &ReadScope, family: Option<&str>) -> Result<BTreeMap<String, Vec<Metadata>>> {
        let tenants = self.visible_tenants(scope);
        Ok(metadata_of(tenants.iter().map(|tenant| self.head.metadata(tenant)), family))
    }

    fn blocks(&self, scope: &ReadScope) -> Vec<BlockMeta> {
        self.visible_tenants(scope).iter().flat_map(|tenant| self.head.blocks(tenant)).collect()
    }

    fn stats(&self, scope: &ReadScope, limit: usize) -> Result<HeadStats> {
        let tenants = self.visible_tenants(scope);
        Ok(HeadStats::of(tenants.iter().map(|tenant| self.head.stats(tenant)), limit))
    }
}

/// What several tenants say, each thing once.
pub(super) fn metadata_of(
    tenants: impl IntoIterator<Item = BTreeMap<String, Metadata>>,
    family: Option<&str>,
) -> BTreeMap<String, Vec<Metadata>> {
    let mut all: BTreeMap<String, Vec<Metadata>> = BTreeMap::new();
    for (name, said) in tenants.into_iter().flatten() {
        if family.is_some_and(|wanted| wanted != name) {
            continue;
        }
        let known = all.entry(name).or_default();
        if !known.contains(&said) {
            known.push(said);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(pairs: &[(&str, &str, u64)], min_ms: Option<i64>) -> nilometer_head::HeadStats {
        let owned =
            |(name, value, series): &(&str, &str, u64)| ((*name).to_owned(), (*value).to_owned(), *series);
        nilometer_head::HeadStats {
            series: 3,
            min_ms,
            series_by_pair: pairs.iter().map(owned).collect(),
            ..nilometer_head::HeadStats::default()
        }
    }

    fn text(counts: &[(String, u64)]) -> String {
        counts.iter().map(|(name, count)| format!("{name}:{count} ")).collect()
    }

    #[test]
    fn numbers_of_tenants_add_up() {
        let a = head(&[("__name__", "up", 2), ("__name__", "abc", 1), ("job", "x", 3)], Some(5));
        let b = head(&[("job", "yy", 1), ("job", "x", 2), ("__name__", "up", 3)], None);
        let all = HeadStats::of([a, b], 2);
        assert_eq!((all.series, all.label_pairs, all.min_ms, all.max_ms), (6, 4, Some(5), None));
        assert_eq!(text(&all.series_by_metric), "up:5 abc:1 ");
        assert_eq!(text(&all.values_by_label), "__name__:2 job:2 ");
        assert_eq!(text(&all.value_bytes_by_label), "__name__:5 job:3 ");
        assert_eq!(text(&all.series_by_pair), "__name__=up:5 job=x:5 ");
        assert_eq!(HeadStats::of([], 2), HeadStats::default());
    }

    #[test]
    fn what_tenants_say_alike_is_said_once() {
        let says = |name: &str, help: &str| {
            BTreeMap::from([(name.to_owned(), Metadata { help: help.to_owned(), ..Metadata::default() })])
        };
        let tenants = || [says("a", "x"), says("a", "x"), says("a", "y"), says("b", "z")];
        let shown = |family| {
            let all = metadata_of(tenants(), family);
            all.iter().map(|(name, said)| format!("{name}:{} ", said.len())).collect::<String>()
        };
        assert_eq!(shown(None), "a:2 b:1 ");
        assert_eq!(shown(Some("b")), "b:1 ");
    }
}
