//! Random blocks answer as a list that is searched from front to back.

use super::fixture::*;
use crate::verify;
use futures::executor::block_on;
use nilometer_model::{Labels, MatchKind, Matcher, TimeRange};
use nilometer_storage::{LabelQuery, Queryable, Select};
use proptest::prelude::*;
use std::collections::BTreeSet;

const NAMES: [&str; 4] = ["__name__", "a", "b", "c"];
const VALUES: [&str; 6] = ["", "1", "2", "10", "x", "é"];
const PATTERNS: [&str; 14] =
    ["", "1", ".*", ".+", "1|2", "1|", "|", "x|é|nope", "1.*", "[0-9]+", "nope", "é", "(?i)X", "1?"];

fn some_labels() -> impl Strategy<Value = Labels> {
    prop::collection::vec(prop::sample::select(&VALUES[..]), 4)
        .prop_map(|values| Labels::from_pairs(NAMES.into_iter().zip(values)))
        .prop_filter("a series has labels", |l| !l.is_empty())
}

fn some_chunks() -> impl Strategy<Value = Vec<Vec<(i64, f64)>>> {
    let sample = (1..100i64, any::<f64>());
    prop::collection::vec(prop::collection::vec(sample, 1..6), 1..4).prop_map(|mut chunks| {
        let mut t_ms = -1;
        for (step, _) in chunks.iter_mut().flatten().map(|s| (&mut s.0, ())) {
            t_ms += *step;
            *step = t_ms;
        }
        chunks
    })
}

fn some_matcher() -> impl Strategy<Value = Matcher> {
    let name = prop::sample::select(vec!["__name__", "a", "b", "c", "missing", ""]);
    let kind = prop::sample::select(vec![
        MatchKind::Equal,
        MatchKind::NotEqual,
        MatchKind::Regex,
        MatchKind::NotRegex,
    ]);
    (name, kind, prop::sample::select(&VALUES[..]), prop::sample::select(&PATTERNS[..])).prop_map(
        |(name, kind, value, pattern)| {
            let is_regex = matches!(kind, MatchKind::Regex | MatchKind::NotRegex);
            Matcher::new(kind, name, if is_regex { pattern } else { value }).unwrap()
        },
    )
}

fn some_range() -> impl Strategy<Value = TimeRange> {
    prop_oneof![Just(TimeRange::ALL), (-50..600i64, 0..200i64).prop_map(|(t, n)| TimeRange::new(t, t + n))]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, ..ProptestConfig::default() })]
    #[test]
    fn a_block_answers_as_the_model(
        data in prop::collection::btree_map(some_labels(), some_chunks(), 0..60),
        queries in prop::collection::vec((prop::collection::vec(some_matcher(), 0..4), some_range()), 12),
        limit in 0..4usize,
    ) {
        let (_, block) = block(&data);
        let report = verify(&block);
        prop_assert!(report.is_clean(), "{:?}", report.problems);
        prop_assert_eq!(report.stats, block.meta().stats);
        for (matchers, range) in queries {
            let rows = expected(&data, &matchers, range);
            let (read_rows, warnings) = read(&block, Select::new(matchers.clone(), range)).unwrap();
            prop_assert_eq!(&read_rows, &rows, "{:?} {:?}", &matchers, range);
            prop_assert!(warnings.is_empty());

            let mut only = Select::new(matchers.clone(), range);
            (only.hints.labels_only, only.hints.limit) = (true, limit);
            let found: Vec<_> = batches(&block, only).into_iter().flat_map(|b| b.unwrap().series).collect();
            let limited = if limit == 0 { rows.len() } else { limit.min(rows.len()) };
            prop_assert!(found.iter().all(|s| s.chunks.is_empty()));
            prop_assert!(found.iter().map(|s| &s.labels).eq(rows[..limited].iter().map(|r| &r.0)));

            // Names and values are those of the block, whatever the time.
            let query = LabelQuery { matcher_sets: vec![matchers.clone()], range: TimeRange::ALL, limit };
            let matching: Vec<_> = expected(&data, &matchers, TimeRange::ALL).into_iter().map(|r| r.0).collect();
            check_names(&block, &query, &matching)?;
            let all = LabelQuery { matcher_sets: Vec::new(), ..query };
            check_names(&block, &all, &data.keys().cloned().collect::<Vec<_>>())?;
        }
    }
}

fn check_names(block: &crate::Block, query: &LabelQuery, matching: &[Labels]) -> Result<(), TestCaseError> {
    let first = |all: BTreeSet<String>| -> Vec<String> {
        all.into_iter().take(if query.limit == 0 { usize::MAX } else { query.limit }).collect()
    };
    let names = matching.iter().flatten().map(|(name, _)| name.to_owned()).collect();
    prop_assert_eq!(block_on(block.label_names(query.clone())).unwrap().names, first(names));
    for name in ["a", "c", "missing", ""] {
        let values = matching.iter().map(|l| l.get(name).to_owned()).filter(|v| !v.is_empty()).collect();
        prop_assert_eq!(block_on(block.label_values(name, query.clone())).unwrap().names, first(values));
    }
    Ok(())
}
