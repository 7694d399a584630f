//! Enough series that every table has many runs and every read many windows.

use super::fixture::*;
use crate::{BlockDir, verify};
use futures::executor::block_on;
use nilometer_model::{MatchKind, Matcher, TimeRange};
use nilometer_storage::{LabelQuery, Queryable, Select, SeriesBatch};

fn large_data() -> Data {
    (0..6000i64)
        .map(|n| {
            let (pod, node) = (format!("pod-{n:05}"), format!("node-{}", n % 70));
            let name = format!("metric_{}", n % 11);
            let mut set = vec![("__name__", name.as_str()), ("pod", &pod), ("node", &node), ("cluster", "x")];
            if n % 500 == 3 {
                set.push(("long", "x"));
            }
            (labels(&set), vec![(0..6).map(|i| (n % 1000 + i * 60_000, n as f64)).collect()])
        })
        .collect()
}

#[test]
fn a_large_block_answers_as_the_model() {
    let data = large_data();
    let (_, fs) = disk(1);
    let meta = write_segments(&fs, DIR, meta(1), &data, 64 << 10).unwrap();
    let block = BlockDir::new(fs, DIR).open(meta.ulid).unwrap();
    let report = verify(&block);
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!((report.stats, report.label_pairs), (meta.stats, 6000 + 70 + 11 + 1 + 1));

    let m = |kind, name, value| Matcher::new(kind, name, value).unwrap();
    let queries = [
        vec![],
        vec![Matcher::equal("pod", "pod-03999")],
        vec![Matcher::equal("cluster", "x"), Matcher::equal("pod", "pod-03999")],
        vec![m(MatchKind::NotEqual, "node", "node-1"), Matcher::equal("pod", "pod-03999")],
        vec![Matcher::equal("__name__", "metric_3"), Matcher::equal("node", "node-13")],
        vec![m(MatchKind::Regex, "pod", "pod-0[12]...")],
        vec![m(MatchKind::Regex, "pod", "pod-0(1234|5678|9999)"), m(MatchKind::NotEqual, "node", "node-1")],
        vec![m(MatchKind::NotRegex, "node", "node-.*[0-8]")],
        vec![Matcher::equal("node", "node-13"), m(MatchKind::NotRegex, "pod", "pod-0[0-2].*")],
        vec![m(MatchKind::NotEqual, "long", "")],
        vec![Matcher::equal("long", ""), m(MatchKind::Regex, "pod", ".*0")],
        vec![m(MatchKind::Regex, "pod", ".+"), m(MatchKind::NotRegex, "long", ".+")],
    ];
    for matchers in queries {
        let truth = expected(&data, &matchers, TimeRange::ALL);
        assert!(!truth.is_empty(), "{matchers:?}");
        let batches = batches(&block, Select::new(matchers.clone(), TimeRange::ALL));
        let sizes: Vec<_> = batches.iter().map(|b| b.as_ref().unwrap().series.len()).collect();
        let (_, full) = sizes.split_last().unwrap();
        assert!(full.iter().all(|n| (16..=SeriesBatch::MAX_SERIES).contains(n)), "{sizes:?}");
        assert_eq!(
            read(&block, Select::new(matchers.clone(), TimeRange::ALL)).unwrap().0,
            truth,
            "{matchers:?}"
        );

        let query = LabelQuery { matcher_sets: vec![matchers], range: TimeRange::ALL, limit: 0 };
        for name in ["node", "pod", "long"] {
            let mut values: Vec<_> =
                truth.iter().map(|r| r.0.get(name).to_owned()).filter(|v| !v.is_empty()).collect();
            values.sort_unstable();
            values.dedup();
            assert_eq!(block_on(block.label_values(name, query.clone())).unwrap().names, values);
        }
    }
}
