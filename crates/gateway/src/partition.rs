//! Which blocks of a bucket are one process' own, so that several can share it.

use nilometer_model::{BlockMeta, Labels, Relabel, TimeRange};

/// The label by which a selector knows a block; it is on no series.
const BLOCK_ID: &str = "__block_id";

/// A time of the calendar, or one that moves on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeBound {
    AtMs(i64),
    /// Before now where it is negative.
    FromNowMs(i64),
}

impl TimeBound {
    fn at_ms(self, now_ms: i64) -> i64 {
        match self {
            TimeBound::AtMs(at_ms) => at_ms,
            TimeBound::FromNowMs(by_ms) => now_ms.saturating_add(by_ms),
        }
    }
}

/// Blocks that overlap a time, and whose external labels pass a selector.
#[derive(Clone, Debug)]
pub struct Partition {
    /// `--min-time`
    pub min_time: TimeBound,
    /// `--max-time`
    pub max_time: TimeBound,
    /// `--selector.relabel-config`
    pub selector: Relabel,
}

impl Partition {
    /// All blocks.
    pub fn all() -> Self {
        Partition {
            min_time: TimeBound::AtMs(i64::MIN),
            max_time: TimeBound::AtMs(i64::MAX),
            selector: Relabel::default(),
        }
    }

    pub(crate) fn has(&self, meta: &BlockMeta, now_ms: i64) -> bool {
        let range = TimeRange::new(self.min_time.at_ms(now_ms), self.max_time.at_ms(now_ms));
        if !meta.range().overlaps(&range) || self.selector.is_empty() {
            return meta.range().overlaps(&range);
        }
        let own = meta.thanos.iter().flat_map(|thanos| &thanos.labels);
        let own = own.map(|(name, value)| (name.clone(), value.clone()));
        let labels = Labels::from_pairs(own.chain([(BLOCK_ID.to_owned(), meta.ulid.to_string())]));
        self.selector.apply(&labels).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nilometer_model::{ThanosMeta, Ulid};

    const HOUR_MS: i64 = 3_600_000;

    /// Of the hour that begins then.
    fn block(start_ms: i64, tenant: &str, random: u64) -> BlockMeta {
        let labels = [("tenant_id".to_owned(), tenant.to_owned())].into();
        BlockMeta {
            ulid: format!("{random:026}").parse::<Ulid>().unwrap(),
            min_time_ms: start_ms,
            max_time_ms: start_ms + HOUR_MS,
            thanos: Some(ThanosMeta { labels, ..ThanosMeta::default() }),
            ..BlockMeta::default()
        }
    }

    #[test]
    fn times_of_the_calendar_and_from_now() {
        let day = 24 * HOUR_MS;
        let old = Partition { max_time: TimeBound::FromNowMs(-day), ..Partition::all() };
        let new = Partition { min_time: TimeBound::FromNowMs(-day), ..Partition::all() };
        let has = |partition: &Partition, now_ms| partition.has(&block(10 * HOUR_MS, "a", 1), now_ms);
        assert_eq!((has(&old, 11 * HOUR_MS), has(&new, 11 * HOUR_MS)), (false, true));
        let later = 12 * HOUR_MS + day;
        assert_eq!((has(&old, later), has(&new, later)), (true, false));
        let fixed = Partition { min_time: TimeBound::AtMs(11 * HOUR_MS), ..Partition::all() };
        assert!(!has(&fixed, later), "a block ends before its end");
    }

    #[test]
    fn each_block_is_in_one_of_several_partitions() {
        let selector = |rules: serde_json::Value| Partition {
            selector: serde_json::from_value(rules).unwrap(),
            ..Partition::all()
        };
        let shard = |n: u8| {
            selector(serde_json::json!([
                {"action": "hashmod", "source_labels": ["__block_id"], "target_label": "shard", "modulus": 3},
                {"action": "keep", "source_labels": ["shard"], "regex": n.to_string()},
            ]))
        };
        let shards = [0, 1, 2].map(shard);
        let mut counts = [0; 3];
        for ulid in 0..60 {
            let block = block(0, "a", ulid);
            let mine: Vec<_> = (0..3).filter(|n| shards[*n].has(&block, 0)).collect();
            assert_eq!(mine.len(), 1);
            counts[mine[0]] += 1;
        }
        assert!(counts.iter().all(|count| *count > 5), "{counts:?}");
        let only_a =
            selector(serde_json::json!([{"action": "keep", "source_labels": ["tenant_id"], "regex": "a|c"}]));
        assert_eq!((only_a.has(&block(0, "a", 1), 0), only_a.has(&block(0, "b", 1), 0)), (true, false));
    }
}
