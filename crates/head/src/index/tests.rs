//! The index against a model that looks at every series.

use super::*;
use nilometer_env::sim::SimRandom;
use nilometer_model::{MatchKind, Matcher};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn some_labels() -> impl Strategy<Value = Labels> {
    prop::collection::btree_map(prop::sample::select(vec!["__name__", "job", "pod", "zone"]), 0..30u8, 1..5)
        .prop_map(|pairs| Labels::from_pairs(pairs.into_iter().map(|(n, v)| (n, format!("v{v}")))))
}

fn some_matcher() -> impl Strategy<Value = Matcher> {
    let kind = prop::sample::select(vec![
        MatchKind::Equal,
        MatchKind::NotEqual,
        MatchKind::Regex,
        MatchKind::NotRegex,
    ]);
    let name = prop::sample::select(vec!["__name__", "job", "pod", "zone", "none"]);
    let value = prop::sample::select(vec!["", "v1", "v2", "v.*", ".*", ".+", "v1|v2|x", "v[0-9]", "v1.*"]);
    (kind, name, value).prop_map(|(kind, name, value)| Matcher::new(kind, name, value).unwrap())
}

proptest! {
    #[test]
    fn matching_equals_the_model(
        sets in prop::collection::btree_set(some_labels(), 0..80),
        matchers in prop::collection::vec(some_matcher(), 0..4),
        keep: u64,
    ) {
        // Slots are not in the order of labels.
        let mut sets: Vec<_> = sets.into_iter().collect();
        sets.sort_by_key(|l| l.as_bytes().iter().fold(7u64, |h, b| h.wrapping_mul(31) ^ u64::from(*b)));
        let mut index = Index::default();
        for (n, labels) in sets.iter().enumerate() {
            prop_assert_eq!(index.add(labels) as usize, n);
            if n % 17 == 0 {
                index.sort();
            }
        }
        index.sort();
        check(&index, &sets, &matchers)?;
        let kept: Vec<_> = (0..sets.len()).filter(|n| keep >> (n % 64) & 1 == 1).collect();
        let mut rebuilt = index.rebuilt(|slot| kept.contains(&(slot as usize)));
        rebuilt.sort();
        check(&rebuilt, &kept.iter().map(|&n| sets[n].clone()).collect::<Vec<_>>(), &matchers)?;
    }
}

fn check(index: &Index, sets: &[Labels], matchers: &[Matcher]) -> Result<(), TestCaseError> {
    let expected: Vec<Slot> = (0..sets.len())
        .filter(|&n| matchers.iter().all(|m| m.matches_labels(&sets[n])))
        .map(|n| n as Slot)
        .collect();
    let found = index.matching(matchers);
    prop_assert_eq!(&found, &expected);
    let labels: Vec<_> = index.in_order(found.clone()).into_iter().map(|slot| index.labels(slot)).collect();
    let mut sorted: Vec<_> = expected.iter().map(|&n| sets[n as usize].clone()).collect();
    sorted.sort();
    prop_assert_eq!(&labels, &sorted);
    let names: BTreeSet<_> = sorted.iter().flat_map(|l| l.iter().map(|(n, _)| n.to_owned())).collect();
    prop_assert_eq!(index.label_names(Some(&found)), names.into_iter().collect::<Vec<_>>());
    let values: BTreeSet<_> = sets.iter().filter(|l| l.has("pod")).map(|l| l.get("pod").to_owned()).collect();
    prop_assert_eq!(index.label_values("pod", None), values.into_iter().collect::<Vec<_>>());
    Ok(())
}

#[test]
fn keys_are_found_and_renumbered() {
    let hasher = KeyHasher::new(&SimRandom::new(5));
    let mut keys = Keys::default();
    let key = |n: u32| hasher.key(&n.to_le_bytes());
    for n in 0..1000 {
        assert_eq!(keys.get(key(n)), None);
        keys.insert(key(n), n);
    }
    keys.renumber(|slot| (slot % 2 == 1).then_some(slot / 2));
    for n in 0..1000 {
        assert_eq!(keys.get(key(n)), (n % 2 == 1).then_some(n / 2));
    }
}
