//! Rewriting against a naive model: all samples in a map.

use super::*;
use crate::merge::tests::{BLOCK_MS, DIR, Data, Texts, disk, float, read, text, ulid, write};
use nilometer_block::BlockDir;
use nilometer_model::MatchKind;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn labels(name: &str, pod: u32) -> Labels {
    Labels::from_pairs([("__name__", name), ("pod", &format!("p{pod}")), ("secret", "s")])
}

/// Two metrics of three pods, whose samples lie at different times.
fn data() -> Data {
    let series = |(name, pod): (&str, u32)| {
        let times = (0..900i64).map(|n| n * 1000 + i64::from(pod) % 2);
        (labels(name, pod), times.map(|t| (t, float(f64::from(pod) * 1e6 + t as f64))).collect())
    };
    ["a", "b"].into_iter().flat_map(|name| (0..3).map(move |pod| (name, pod))).map(series).collect()
}

fn relabel(rules: serde_json::Value) -> Relabel {
    serde_json::from_value(rules).unwrap()
}

fn deletion(matchers: &[(MatchKind, &str, &str)], intervals: &[(i64, i64)]) -> Deletion {
    Deletion {
        matchers: matchers.iter().map(|(k, n, v)| Matcher::new(*k, n, v).unwrap()).collect(),
        intervals: intervals.iter().map(|(from, to)| TimeRange::new(*from, *to)).collect(),
    }
}

/// What is left, what was told, and whether there was anything to do.
fn rewritten(fs: &Arc<dyn Fs>, block: &Block, changes: &Changes) -> (Option<Block>, Vec<String>, bool) {
    let mut told = Vec::new();
    let planned = plan_rewrite(block, changes, &mut |change| {
        told.push(match change {
            Change::Deleted { labels, ranges } => {
                let ranges: Vec<_> = ranges.iter().map(|r| (r.min_ms, r.max_ms)).collect();
                format!("{labels} without {ranges:?}")
            }
            Change::Relabelled { from, to } => format!("{from} is {to}"),
        });
        Ok(())
    });
    let planned = planned.unwrap();
    let is_change = planned.is_change;
    let meta = BlockMeta { ulid: ulid(500), ..block.meta().clone() };
    let made = planned.write(fs, Path::new(DIR), meta, &mut |_| Ok(())).unwrap();
    (made.map(|meta| BlockDir::new(fs.clone(), DIR).open(meta.ulid).unwrap()), told, is_change)
}

fn texts(data: &Data) -> Texts {
    data.iter().map(|(l, s)| (l.clone(), s.iter().map(|(t, v)| (*t, text(v))).collect())).collect()
}

fn symbols(block: &Block) -> Vec<String> {
    let scan = block.scan().unwrap();
    let (mut symbols, mut all) = (scan.symbols().unwrap(), Vec::new());
    while let Some(symbol) = symbols.next_symbol().unwrap() {
        all.push(symbol.to_owned());
    }
    all
}

#[test]
fn samples_go_and_what_nothing_has_any_more() {
    let (_, fs) = disk();
    let block = write(&fs, 1, (0, BLOCK_MS), &data(), 120);
    let deletions = vec![
        deletion(
            &[(MatchKind::Equal, "__name__", "a"), (MatchKind::Regex, "pod", "p[01]")],
            &[(10_000, 20_000), (500_000, 500_000)],
        ),
        deletion(&[(MatchKind::NotEqual, "pod", "p0"), (MatchKind::Equal, "__name__", "b")], &[]),
        // Of a label that nothing has, and of times that nothing has.
        deletion(&[(MatchKind::NotEqual, "zone", "x")], &[]),
        deletion(&[(MatchKind::Equal, "pod", "p2")], &[(-5, -1), (2_000_000, 3_000_000)]),
    ];
    let (made, told, is_change) = rewritten(&fs, &block, &Changes { deletions, ..Changes::default() });
    let mut expected = data();
    expected.retain(|l, _| l.metric_name() == "a" || l.get("pod") == "p0");
    for (labels, samples) in &mut expected {
        if labels.metric_name() == "a" && labels.get("pod") != "p2" {
            samples.retain(|t, _| !(10_000..=20_000).contains(t) && *t != 500_000);
        }
    }
    let made = made.unwrap();
    assert_eq!(read(&made).0, texts(&expected));
    assert_eq!(
        told[..2],
        [
            r#"{__name__="a", pod="p0", secret="s"} without [(10000, 20000), (500000, 500000)]"#,
            // What is told are times within chunks, whether there is a sample at them or not.
            r#"{__name__="a", pod="p1", secret="s"} without [(10000, 20000), (500000, 500000)]"#,
        ]
    );
    assert!(is_change && told.len() == 4, "{told:?}");
    let only_b = deletion(&[(MatchKind::Equal, "__name__", "b")], &[]);
    BlockDir::new(fs.clone(), DIR).delete(made.meta().ulid).unwrap();
    let (made, ..) = rewritten(&fs, &block, &Changes { deletions: vec![only_b], ..Changes::default() });
    assert_eq!(symbols(&made.unwrap()), ["__name__", "a", "p0", "p1", "p2", "pod", "s", "secret"]);
}

#[test]
fn series_with_the_same_labels_become_one() {
    let (_, fs) = disk();
    let block = write(&fs, 1, (0, BLOCK_MS), &data(), 120);
    let relabel = relabel(serde_json::json!([
        {"action": "labeldrop", "regex": "pod|secret"},
        {"action": "replace", "source_labels": ["__name__"], "regex": "a", "target_label": "__name__", "replacement": "z"},
    ]));
    let deletions = vec![deletion(&[(MatchKind::Equal, "__name__", "z")], &[(0, 99_999)])];
    let (made, told, _) = rewritten(&fs, &block, &Changes { relabel, deletions, ..Changes::default() });
    let mut expected = Texts::new();
    for (labels, samples) in data() {
        let is_a = labels.metric_name() == "a";
        let one =
            expected.entry(Labels::from_pairs([("__name__", if is_a { "z" } else { "b" })])).or_default();
        for (t, v) in samples.into_iter().filter(|(t, _)| !is_a || *t > 99_999) {
            // The first pod of those with the same times.
            one.entry(t).or_insert(text(&v));
        }
    }
    let made = made.unwrap();
    assert_eq!(read(&made).0, expected);
    assert_eq!(symbols(&made), ["__name__", "b", "z"]);
    assert!(
        told.contains(&r#"{__name__="a", pod="p0", secret="s"} is {__name__="z"}"#.to_owned()),
        "{told:?}"
    );
}

#[test]
fn nothing_changes_and_nothing_is_left() {
    let (_, fs) = disk();
    let block = write(&fs, 1, (0, BLOCK_MS), &data(), 120);
    let none =
        Changes { deletions: vec![deletion(&[(MatchKind::Equal, "pod", "p9")], &[])], ..Changes::default() };
    let (made, told, is_change) = rewritten(&fs, &block, &none);
    assert!(!is_change && told.is_empty());
    assert_eq!(read(&made.unwrap()), read(&block));
    BlockDir::new(fs.clone(), DIR).delete(ulid(500)).unwrap();
    let all = Changes { relabel: relabel(serde_json::json!([{"action": "drop"}])), ..Changes::default() };
    let (made, told, _) = rewritten(&fs, &block, &all);
    assert!(made.is_none() && told.len() == 6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_deletion(
        parts in prop::collection::vec((0..3u32, 0..900_000i64, 0..300_000i64), 0..5),
        joins in any::<bool>(),
    ) {
        let (_, fs) = disk();
        let block = write(&fs, 1, (0, BLOCK_MS), &data(), 50);
        let deletions = parts.iter().map(|(pod, from, len)| {
            deletion(&[(MatchKind::Equal, "pod", &format!("p{pod}"))], &[(*from, from + len)])
        });
        let rules = serde_json::json!([{"action": "labeldrop", "regex": if joins { "secret" } else { "none" }}]);
        let changes = Changes { relabel: relabel(rules), deletions: deletions.collect(), drop_outside: false };
        let mut expected = BTreeMap::new();
        for (labels, mut samples) in data() {
            let pod = labels.get("pod").to_owned();
            samples.retain(|t, _| !parts.iter().any(|(p, from, len)| {
                pod == format!("p{p}") && (*from..=from + len).contains(t)
            }));
            expected.insert(if joins { labels.without("secret") } else { labels }, samples);
        }
        let (made, ..) = rewritten(&fs, &block, &changes);
        prop_assert_eq!(read(&made.unwrap()).0, texts(&expected));
    }
}
