//! Merging and relabelling against a model that sorts everything.

use crate::*;
use futures::StreamExt;
use futures::executor::block_on;
use nilometer_chunk::decode_floats;
use nilometer_model::{Labels, Matcher, TimeRange};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

type Model = BTreeMap<Labels, Vec<(i64, u64)>>;

fn read_all(queryable: &dyn Queryable, select: Select) -> Vec<(Labels, Vec<(i64, u64)>)> {
    let batches: Vec<_> = block_on(queryable.select(select).collect());
    let mut all = Vec::new();
    for series in batches.into_iter().flat_map(|b| b.unwrap().series) {
        let mut samples = Vec::new();
        for chunk in series.chunks.read(&mut Vec::new()) {
            let (mut times, mut values) = (Vec::new(), Vec::new());
            decode_floats(&chunk.data, chunk.encoding, &mut times, &mut values).unwrap();
            samples.extend(times.into_iter().zip(values.into_iter().map(f64::to_bits)));
        }
        samples.sort_unstable();
        all.push((series.labels, samples));
    }
    all
}

fn some_labels() -> impl Strategy<Value = Labels> {
    // A stored series has at least one label.
    prop::collection::btree_map(prop::sample::select(vec!["a", "b", "c", "d", "e"]), 1..4u8, 1..4)
        .prop_map(|pairs| Labels::from_pairs(pairs.into_iter().map(|(n, v)| (n, v.to_string()))))
}

proptest! {
    #[test]
    fn merged_and_relabelled_equals_the_model(
        sources in prop::collection::vec((prop::collection::btree_set(some_labels(), 0..12), some_labels()), 1..4),
        matched in 1..4u8,
    ) {
        let mut model = Model::new();
        let mut holders: Vec<Arc<dyn Queryable>> = Vec::new();
        for (at, (set, external)) in sources.into_iter().enumerate() {
            let mut memory = MemoryQueryable::default();
            for (n, labels) in set.into_iter().enumerate() {
                let sample = ((at * 100 + n) as i64, n as f64);
                memory.push_floats(labels.clone(), &[sample]);
                model.entry(labels.merged_with(&external)).or_default().push((sample.0, sample.1.to_bits()));
            }
            holders.push(Arc::new(WithExternalLabels::new(Arc::new(memory), external)));
        }
        let merged = Merged::new(holders);
        for samples in model.values_mut() {
            samples.sort_unstable();
        }

        let everything: Vec<_> = model.clone().into_iter().collect();
        prop_assert_eq!(read_all(&merged, Select::new([], TimeRange::ALL)), everything);

        let matcher = Matcher::equal("c", &matched.to_string());
        let some: Vec<_> = model.iter().filter(|(l, _)| matcher.matches_labels(l)).map(|(l, s)| (l.clone(), s.clone())).collect();
        prop_assert_eq!(read_all(&merged, Select::new([matcher.clone()], TimeRange::ALL)), some.clone());

        let query = LabelQuery { matcher_sets: vec![vec![matcher]], range: TimeRange::ALL, limit: 0 };
        let names = block_on(merged.label_names(query.clone())).unwrap().names;
        let expected: std::collections::BTreeSet<_> = some.iter().flat_map(|(l, _)| l.iter().map(|(n, _)| n.to_owned())).collect();
        prop_assert_eq!(names, expected.into_iter().collect::<Vec<_>>());
        let values = block_on(merged.label_values("d", query)).unwrap().names;
        let expected: std::collections::BTreeSet<_> = some.iter().filter(|(l, _)| l.has("d")).map(|(l, _)| l.get("d").to_owned()).collect();
        prop_assert_eq!(values, expected.into_iter().collect::<Vec<_>>());
    }
}
