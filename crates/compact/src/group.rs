//! Groups: streams of blocks of one origin and one resolution. Only blocks of one group become one.

use nilometer_model::{BlockMeta, Labels};
use std::collections::BTreeMap;
use std::hash::Hasher;
use twox_hash::XxHash64;

/// Blocks with the same external labels and resolution, oldest samples first.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    pub resolution_ms: i64,
    pub labels: Labels,
    pub blocks: Vec<&'a BlockMeta>,
}

impl Group<'_> {
    /// As Thanos names the group in metrics: the resolution and a hash of the labels. Who compares groups
    /// compares the labels themselves.
    pub fn key(&self) -> String {
        let mut hash = XxHash64::with_seed(0);
        for (name, value) in &self.labels {
            for text in [name, value] {
                hash.write(text.as_bytes());
                hash.write(&[0xff]);
            }
        }
        format!("{}@{}", self.resolution_ms, hash.finish())
    }
}

/// All groups, in a fixed order. `without` are the labels that tell replicas apart, where those are to be
/// merged; where no label is left, the first of them stands for all as "deduped", as in Thanos.
pub fn groups<'a>(metas: impl IntoIterator<Item = &'a BlockMeta>, without: &[String]) -> Vec<Group<'a>> {
    let mut groups = BTreeMap::<(i64, Labels), Vec<&BlockMeta>>::new();
    for meta in metas {
        groups.entry((resolution_ms(meta), labels_without(meta, without))).or_default().push(meta);
    }
    let group = |((resolution_ms, labels), mut blocks): ((i64, Labels), Vec<&'a BlockMeta>)| {
        blocks.sort_by_key(|m| (m.min_time_ms, m.ulid));
        Group { resolution_ms, labels, blocks }
    };
    groups.into_iter().map(group).collect()
}

/// 0 for a block of raw samples.
pub fn resolution_ms(meta: &BlockMeta) -> i64 {
    meta.thanos.as_ref().map_or(0, |t| t.downsample.resolution_ms)
}

/// The tenant that a block is of, by the external label that names it; empty where it has none.
pub fn tenant_of<'a>(meta: &'a BlockMeta, tenant_label: &str) -> &'a str {
    meta.thanos.as_ref().and_then(|t| t.labels.get(tenant_label)).map_or("", String::as_str)
}

pub(crate) fn labels_without(meta: &BlockMeta, without: &[String]) -> Labels {
    let all = meta.thanos.iter().flat_map(|t| &t.labels);
    let labels = Labels::from_pairs(all.filter(|(name, _)| !without.contains(name)));
    match without.first() {
        Some(first) if labels.is_empty() && meta.thanos.as_ref().is_some_and(|t| !t.labels.is_empty()) => {
            Labels::from_pairs([(first.as_str(), "deduped")])
        }
        _ => labels,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nilometer_model::{Downsample, ThanosMeta, Ulid};

    fn meta(number: u64, resolution_ms: i64, labels: &[(&str, &str)]) -> BlockMeta {
        let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let thanos = ThanosMeta { labels, downsample: Downsample { resolution_ms }, ..ThanosMeta::default() };
        BlockMeta { ulid: Ulid::new(number, [0; 10]), thanos: Some(thanos), ..BlockMeta::default() }
    }

    #[test]
    fn one_origin_and_one_resolution() {
        let metas = [
            meta(3, 0, &[("tenant_id", "a"), ("replica", "2")]),
            meta(1, 0, &[("tenant_id", "a"), ("replica", "1")]),
            meta(2, 300_000, &[("tenant_id", "a"), ("replica", "1")]),
            meta(4, 0, &[("replica", "1")]),
        ];
        let shown = |groups: Vec<Group<'_>>| -> Vec<(i64, String, Vec<u64>)> {
            let one = |g: &Group<'_>| {
                let numbers = g.blocks.iter().map(|b| b.ulid.ms()).collect();
                (g.resolution_ms, g.labels.to_string(), numbers)
            };
            groups.iter().map(one).collect()
        };
        assert_eq!(groups(&metas, &[]).len(), 4);
        assert_eq!(
            shown(groups(&metas, &["replica".to_owned()])),
            [
                (0, r#"{replica="deduped"}"#.to_owned(), vec![4]),
                (0, r#"{tenant_id="a"}"#.to_owned(), vec![1, 3]),
                (300_000, r#"{tenant_id="a"}"#.to_owned(), vec![2]),
            ]
        );
    }

    /// From Thanos' `TestGroupKey` and the definition of its hash.
    #[test]
    fn keys_are_those_of_thanos() {
        let key = |resolution, labels: &[(&str, &str)]| groups(&[meta(1, resolution, labels)], &[])[0].key();
        assert_eq!(key(0, &[]), "0@17241709254077376921");
        assert_eq!(key(0, &[("foo", "bar"), ("foo1", "bar2")]), "0@2124638872457683483");
        let odd = [("foo/some..thing/some.thing/../", r"a_b_c/bar-something-a\metric/a\x")];
        assert_eq!(key(0, &odd), "0@16590761456214576373");
    }
}
