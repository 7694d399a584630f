//! A target: one pod, which exposes the whole catalogue. Who it is follows from seed, number and generation.

use crate::catalogue::{CATALOGUE, Source};
use crate::value::{Series, mix};
use std::borrow::Cow;

/// A label as it is sent; in a series they are sorted by name.
pub(crate) type Label = (&'static str, Cow<'static, str>);

/// Workloads, and the namespaces that they run in.
const WORKLOADS: [(&str, &str); 16] = [
    ("checkout", "shop"),
    ("cart", "shop"),
    ("catalogue-search", "shop"),
    ("recommendations", "shop"),
    ("payments-gateway", "payments"),
    ("ledger-writer", "payments"),
    ("fraud-scoring", "payments"),
    ("identity", "platform"),
    ("notifications", "platform"),
    ("audit-collector", "platform"),
    ("ingress-controller", "ingress"),
    ("image-resizer", "media"),
    ("video-transcoder", "media"),
    ("stock-keeper", "logistics"),
    ("route-planner", "logistics"),
    ("carrier-bridge", "logistics"),
];

/// Kubernetes' alphabet for names that it makes up.
const ALPHABET: [u8; 27] = *b"bcdfghjklmnpqrstvwxz2456789";
/// Names of so many letters stay different.
const SUFFIX: usize = 5;
const SUFFIXES: u64 = 27u64.pow(SUFFIX as u32);

/// What all values of the target's series follow from.
pub(crate) fn key(seed: u64, target: u32, generation: u32) -> u64 {
    mix(mix(seed) ^ (u64::from(generation) << 32 | u64::from(target)))
}

/// A series of the target.
pub(crate) fn series(target_key: u64, slot: usize) -> Series {
    Series::new(target_key, slot, CATALOGUE[slot].shape)
}

/// The label by which one load is told from others on the same server.
pub(crate) fn cluster(seed: u64) -> String {
    format!("bench-{seed}")
}

fn letters(mut n: u64, count: usize) -> String {
    (0..count)
        .map(|_| {
            let letter = ALPHABET[(n % 27) as usize];
            n /= 27;
            char::from(letter)
        })
        .collect()
}

fn workload(target: u32) -> (&'static str, &'static str) {
    WORKLOADS[target as usize % WORKLOADS.len()]
}

/// Another one for each target and generation.
pub(crate) fn pod(seed: u64, target: u32, generation: u32) -> String {
    let (workload, _) = workload(target);
    let revision = letters(mix(seed ^ u64::from(generation) << 8 ^ u64::from(target % 16)), 9);
    // Odd and no multiple of 3: it only swaps the names around.
    let own = (u64::from(target) | u64::from(generation) << 20).wrapping_mul(7_368_787) % SUFFIXES;
    format!("{workload}-{revision}-{}", letters(own, SUFFIX))
}

/// The labels of the series in `slot`, sorted.
pub(crate) fn labels_of(seed: u64, target: u32, generation: u32, slot: usize) -> Vec<Label> {
    let (workload, namespace) = workload(target);
    let slot = &CATALOGUE[slot];
    let own = key(seed, target, generation);
    let [_, a, b, c] = target.to_be_bytes();
    let mut labels: Vec<Label> = vec![
        ("__name__", slot.name.into()),
        ("cluster", cluster(seed).into()),
        ("container", workload.into()),
        ("endpoint", "https-metrics".into()),
        ("instance", format!("10.{}.{b}.{c}:8080", a ^ (generation as u8) << 4).into()),
        ("job", workload.into()),
        ("namespace", namespace.into()),
        ("pod", pod(seed, target, generation).into()),
        ("service", format!("{workload}-metrics").into()),
    ];
    labels.extend(slot.labels.iter().map(|&(name, value)| (name, value.into())));
    if slot.source == Source::Container {
        let word = |n: u64| format!("{:016x}", mix(own.wrapping_add(n)));
        let id: String = (1..=4).map(word).collect();
        labels.extend([
            ("id", format!("/kubepods/burstable/pod{}/{id}", word(5)).into()),
            ("image", format!("registry.example.org/{namespace}/{workload}:2.14.3-8f31c0d-202611").into()),
            ("name", id.into()),
            ("node", format!("worker-{:02}.example.org", mix(u64::from(target)) % 50).into()),
        ]);
    }
    labels.sort_unstable();
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_pods_have_a_name() {
        let names: BTreeSet<String> =
            (0..20_000).flat_map(|target| (0..5).map(move |g| pod(1, target, g))).collect();
        assert_eq!(names.len(), 100_000);
    }

    #[test]
    fn another_generation_has_other_series() {
        assert_eq!(labels_of(1, 3, 2, 9), labels_of(1, 3, 2, 9));
        assert_ne!(labels_of(1, 3, 2, 9), labels_of(1, 3, 3, 9));
        let [a, b] = [2, 3].map(|generation| series(key(1, 3, generation), 40));
        assert!((0..100).any(|age| a.at(age).to_bits() != b.at(age).to_bits()));
    }

    /// Who changes names or values raises `Plan::VERSION`: a journal of before says nothing of them.
    #[test]
    fn names_and_values_stay_as_they_are() {
        let mut digest = 0;
        for slot in 0..crate::catalogue::SLOTS {
            for (name, value) in labels_of(1, 2, 3, slot) {
                name.bytes().chain(value.bytes()).for_each(|byte| digest = mix(digest ^ u64::from(byte)));
            }
            let series = series(key(1, 2, 3), slot);
            [0, 1, 100, 5_000].into_iter().for_each(|age| digest = mix(digest ^ series.at(age).to_bits()));
        }
        assert_eq!((crate::Plan::VERSION, digest), (1, 14_431_498_518_704_885_994));
    }
}
