//! The index against a model that looks at every series.

use super::*;
use nilometer_env::sim::SimRandom;
use nilometer_model::{MatchKind, Matcher};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

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
fn text_has_room_by_what_is_new() {
    let mut index = Index::default();
    let labels = |v: &str| Labels::from_pairs([("a", v), ("b", "123456")]);
    assert!(!index.has_room(&labels("xy"), 9) && index.has_room(&labels("xy"), 10));
    index.add(&labels("xy"));
    assert!(index.has_room(&labels("xy"), 10) && !index.has_room(&labels("xyz"), 12));
    assert!(index.has_room(&labels("xyz"), 13) && !index.has_room(&labels("xyz"), 0));
}

fn key(n: u32) -> Key {
    KeyHasher::new(&SimRandom::new(5)).key(&n.to_le_bytes())
}

#[test]
fn keys_are_found_and_renumbered() {
    let mut keys = Keys::default();
    for n in 0..1000 {
        assert_eq!((keys.own(key(n)), keys.judged(key(n))), (None, None));
        keys.insert_own(key(n), n);
        keys.judge(key(1000 + n), key(n), n);
    }
    keys.renumber(|slot| (slot % 2 == 1).then_some(slot / 2));
    for n in 0..1000 {
        let slot = (n % 2 == 1).then_some(n / 2);
        assert_eq!((keys.own(key(n)), keys.judged(key(n))), (slot, None));
        assert_eq!((keys.own(key(1000 + n)), keys.judged(key(1000 + n))), (None, slot));
    }
}

/// What was judged, by generation, and what leads where: two plain maps.
#[test]
fn keys_equal_two_maps() {
    let random = SimRandom::new(9);
    let below = |n: u64| random.below(n) as u32;
    let (mut keys, mut own, mut judged) = (Keys::default(), BTreeMap::new(), BTreeMap::new());
    for _ in 0..20_000 {
        let (k, to) = (below(300), below(300));
        match below(100) {
            0 => {
                keys.forget_judged();
                judged.clear();
            }
            1 => {
                let new = |slot: u32| (!slot.is_multiple_of(7)).then_some(slot);
                keys.renumber(new);
                own.retain(|_, slot| new(*slot).is_some());
                judged.retain(|_, slot| new(*slot).is_some());
            }
            2..30 if !own.contains_key(&k) => {
                keys.insert_own(key(k), k);
                own.insert(k, k);
            }
            _ if own.contains_key(&to) && !judged.contains_key(&k) => {
                keys.judge(key(k), key(to), to);
                judged.insert(k, to);
            }
            _ => {}
        }
        assert_eq!((keys.own(key(k)), keys.judged(key(k))), (own.get(&k).copied(), judged.get(&k).copied()));
    }
}

#[test]
fn sent_keys_beyond_all_measure_are_forgotten_own_ones_never() {
    let mut keys = Keys::default();
    for n in 0..10 {
        keys.insert_own(key(n), n);
        keys.judge(key(n), key(n), n);
    }
    let mut most = 0;
    for n in 10..100_000 {
        keys.judge(key(n), key(n % 10), n % 10);
        assert_eq!(keys.judged(key(n)), Some(n % 10));
        most = most.max(keys.heap_bytes());
    }
    assert!(most < 400_000, "{most} bytes");
    assert!((0..10).all(|n| keys.own(key(n)) == Some(n) && keys.judged(key(n)) == Some(n)));
}
