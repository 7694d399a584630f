//! Plans as tables: blocks on the left, the plan on the right. The ranges and plans are those of Thanos' own tests.

use super::*;
use nilometer_model::{BlockFile, Downsample, ThanosMeta};

/// `number:min-max`, then `!` marked, `x` failed, `t3/10` tombstones and series, `i41` bytes of index, `r5` a
/// resolution of 5 ms.
fn block(text: &str) -> (BlockMeta, bool) {
    let mut words = text.split(',');
    let (number, range) = words.next().unwrap().split_once(':').unwrap();
    let (min, max) = range.split_once('-').unwrap();
    let mut meta = BlockMeta {
        ulid: Ulid::new(number.parse().unwrap(), [0; 10]),
        min_time_ms: min.parse().unwrap(),
        max_time_ms: max.parse().unwrap(),
        thanos: Some(ThanosMeta::default()),
        ..BlockMeta::default()
    };
    meta.compaction.sources = vec![meta.ulid];
    let mut marked = false;
    for word in words {
        let thanos = meta.thanos.as_mut().unwrap();
        match word.split_at(1) {
            ("!", _) => marked = true,
            ("x", _) => meta.compaction.failed = true,
            ("t", counts) => {
                let (stones, series) = counts.split_once('/').unwrap();
                meta.stats.num_tombstones = stones.parse().unwrap();
                meta.stats.num_series = series.parse().unwrap();
            }
            ("i", bytes) => thanos.files.push(BlockFile {
                rel_path: "index".to_owned(),
                size_bytes: bytes.parse().unwrap(),
                hash: None,
            }),
            ("r", ms) => thanos.downsample = Downsample { resolution_ms: ms.parse().unwrap() },
            _ => panic!("{word}"),
        }
    }
    (meta, marked)
}

/// What is planned, and what is marked after a `!`.
fn plan(planner: &Planner, blocks: &str) -> String {
    let (metas, marked): (Vec<_>, Vec<_>) = blocks.split_whitespace().map(block).unzip();
    let marks = metas.iter().zip(&marked).filter(|(_, marked)| **marked).map(|(m, _)| m.ulid).collect();
    let mut blocks: Vec<_> = metas.iter().collect();
    blocks.sort_by_key(|m| (m.min_time_ms, m.ulid));
    let group = Group { resolution_ms: 0, labels: nilometer_model::Labels::empty(), blocks };
    match planner.plan(&group, &marks, |_| Ok(0)) {
        Ok(plan) => {
            let marks = plan.marks.iter().map(|m| format!("!{}", m.ulid.ms()));
            plan.blocks.iter().map(|u| u.ms().to_string()).chain(marks).collect::<Vec<_>>().join(" ")
        }
        Err(e) => format!("{:?}", e.kind()),
    }
}

fn planner() -> Planner {
    Planner { ranges_ms: vec![20, 60, 180, 540, 1620], vertical: true, max_index_bytes: 64 << 30 }
}

fn check(planner: &Planner, table: &[(&str, &str)]) {
    for (blocks, expected) in table {
        assert_eq!(plan(planner, blocks), *expected, "{blocks}");
    }
}

#[test]
fn ranges() {
    check(
        &planner(),
        &[
            ("", ""),
            ("1:0-20", ""),
            ("1:0-20 2:20-40", ""),
            ("1:0-20 2:20-40 3:40-60", ""),
            ("1:0-20 2:20-40 3:40-60 4:60-80", "1 2 3"),
            ("6:0-60 7:60-120 8:120-180 9:180-200 10:200-220", "6 7 8"),
            ("1:0-20 2:20-40 4:60-80", ""),
            ("1:0-20 2:20-40 4:60-80 5:80-100", "1 2"),
            ("1:0-20 2:20-40 3:40-60 4:60-120 5:120-180", "1 2 3"),
            ("6:0-60 8:120-180 9:180-200 10:200-220", "6 8"),
            ("2:20-40 4:60-120 5:960-980 6:120-180 7:720-960", "2 4 6"),
            // The newest block is that of the newest time, not that of the newest name.
            ("5:0-360 6:540-560 7:360-420 8:420-540", "7 8"),
        ],
    );
}

#[test]
fn times_before_1970_are_aligned() {
    let metas: Vec<_> = [(-60, -40), (-40, -20), (-20, 0), (0, 20)]
        .into_iter()
        .map(|(min_time_ms, max_time_ms)| BlockMeta { min_time_ms, max_time_ms, ..BlockMeta::default() })
        .collect();
    let all: Vec<_> = metas.iter().collect();
    assert_eq!(split(&all, 60).iter().map(|p| p.len()).collect::<Vec<_>>(), [3, 1]);
}

#[test]
fn tombstones() {
    check(
        &planner(),
        &[
            ("1:0-540,t3/10", ""),
            ("1:0-540,t3/10 2:540-560", "1"),
            ("1:0-60,t3/10 2:60-80", ""),
            ("1:0-540,t0/0 2:540-560", ""),
            ("1:0-540,t3/10,! 2:540-560", ""),
        ],
    );
}

#[test]
fn overlaps() {
    check(
        &planner(),
        &[
            ("1:0-20 2:19-40 3:40-60", "1 2"),
            ("1:0-20 2:20-40 3:30-50", "2 3"),
            ("1:0-20 2:10-40 3:30-50", "1 2 3"),
            ("5:0-360 6:340-560 7:360-420 8:420-540", "5 6 7 8"),
            ("1:0-10 2:9-20 3:30-40 4:39-50", "1 2"),
            ("1:0-20,! 2:19-40 3:40-60", ""),
            // Aggregates are not merged: they are marked, and what is left is planned.
            ("1:0-20,r5 2:19-40,r5 3:40-60,r5", "!1 !2"),
            ("1:0-20 2:19-40,r5 3:40-60", "!2"),
        ],
    );
    let strict = Planner { vertical: false, ..planner() };
    assert_eq!(plan(&strict, "1:0-20 2:19-40 3:40-60"), "Conflict");
    assert_eq!(plan(&strict, "1:0-20 2:20-40 3:40-60 4:60-80"), "1 2 3");
}

#[test]
fn failed() {
    check(
        &planner(),
        &[
            ("1:0-20 2:20-40,x 3:40-60 4:60-80", ""),
            ("1:0-20 2:20-40,x 4:60-80 5:80-100", ""),
            ("1:0-20 2:20-40,x 3:40-60 4:60-120 5:120-180 6:180-200", ""),
        ],
    );
}

#[test]
fn marked() {
    check(
        &planner(),
        &[
            ("1:0-20,!", ""),
            ("1:0-20,! 2:20-40 3:40-60 4:60-80", "2 3"),
            ("1:0-20 2:20-40,! 3:40-60 4:60-80", ""),
            ("1:0-20 2:20-40 3:40-60 4:60-80,!", "1 2 3"),
            ("1:0-20,! 2:20-40 3:40-60 4:60-80,!", "2 3"),
            ("1:0-20,! 2:20-40,! 3:40-60,! 4:60-80,!", ""),
            ("1:0-20 2:20-40,! 4:60-80 5:80-100", ""),
            ("2:20-40 4:60-120 5:960-980 6:120-180,! 7:720-960", "2 4"),
            ("2:20-40 4:60-120,! 5:960-980 6:120-180 7:720-960", ""),
        ],
    );
}

#[test]
fn large_indexes() {
    check(
        &Planner { max_index_bytes: 100, ..planner() },
        &[
            ("1:0-20,i100", ""),
            ("1:0-20,i41 2:20-40,i30 3:40-60,i30 4:60-80,i30", "2 3 !1"),
            ("1:0-20,i30 2:20-40,i41 3:40-60,i30 4:60-80,i20", "!2"),
            ("1:0-20,i10 2:20-40,i10 3:40-60,i10 4:60-80,i90", "1 2 3"),
            ("1:0-20,i90 2:20-40,i30 3:40-50,i30 4:50-60,i90 5:60-80,i90", "2 3 !1 !4"),
            ("1:0-20,i30 2:20-40,i90 4:60-80,i30 5:80-100,i30", "!2"),
            ("2:20-40,i30 4:60-120,i30 5:960-980,i30 6:120-180,i90 7:720-960,i30", "2 4 !6"),
            ("1:0-20,i90 2:19-40,i30 3:40-60,i30", "!1"),
        ],
    );
}

#[test]
fn default_ranges_are_those_of_thanos() {
    let hours = |h: i64| h * 3_600_000;
    let ranges = Planner::default().ranges_ms;
    assert_eq!(ranges, [hours(1), hours(2), hours(8), hours(48), hours(336)]);
}

#[test]
fn what_is_to_be_thinned_out() {
    let (h, day) = (HOUR_MS, DAY_MS);
    let of = |number, len_ms: i64, resolution_ms, sources: &[u64]| {
        let mut meta = block(&format!("{number}:0-{len_ms},r{resolution_ms}")).0;
        meta.compaction.sources = sources.iter().map(|s| Ulid::new(*s, [0; 10])).collect();
        meta
    };
    let five = FIVE_MINUTES_MS;
    let metas = [
        of(9, 40 * h, 0, &[1, 2]),
        of(8, 40 * h - 1, 0, &[3]),
        of(7, 2 * day, 0, &[4, 5]),
        of(6, 40 * h, five, &[4, 5, 6]),
        of(5, 40 * h - 1, five, &[7]),
        of(4, 14 * day, five, &[8]),
        of(3, 14 * day, ONE_HOUR_MS, &[8]),
        of(2, 14 * day, 0, &[4, 10]),
    ];
    let shown = |marked: &[u64], soon: &[u64]| -> Vec<(u64, i64)> {
        let set = |numbers: &[u64]| numbers.iter().map(|n| Ulid::new(*n, [0; 10])).collect();
        let jobs = downsampling(&metas, &set(marked), &set(soon));
        jobs.iter().map(|j| (j.ulid.ms(), j.resolution_ms)).collect()
    };
    assert_eq!(shown(&[], &[]), [(2, five), (6, ONE_HOUR_MS), (9, five)]);
    assert_eq!(shown(&[2, 6], &[]), [(9, five)]);
    assert_eq!(shown(&[], &[8, 5]), [(2, five), (5, ONE_HOUR_MS), (6, ONE_HOUR_MS), (8, five), (9, five)]);
}
