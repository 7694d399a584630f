//! Which series are made, and that each is judged under the policy that holds when it is sent.

use super::world::{World, one_sample, series};
use crate::append::{SeriesLimits, SeriesPolicy};
use crate::{HeadOptions, Reason};
use nilometer_env::sim::SimRandom;
use nilometer_model::{Labels, Tenant};
use nilometer_wire::remote_write::encode::SentSeries;
use std::collections::BTreeMap;

const MINUTE: i64 = 60_000;

/// By generation: 1 takes everything, 2 wants `cluster` to be `a`, 3 sets it.
struct Cluster(u64);

impl SeriesPolicy for Cluster {
    fn limits(&self) -> SeriesLimits {
        SeriesLimits::default()
    }

    fn admit(&self, labels: Labels) -> Result<Labels, String> {
        match self.0 {
            2 if labels.get("cluster") != "a" => Err("the label cluster must be a".to_owned()),
            3 => Ok(labels.merged_with(&Labels::from_pairs([("cluster", "a")]))),
            _ => Ok(labels),
        }
    }

    fn generation(&self) -> u64 {
        self.0
    }
}

fn of_cluster(cluster: &str) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("cluster", cluster)])
}

fn series_of(world: &World) -> u64 {
    world.head().tenants().pop().map_or(0, |tenant| tenant.series)
}

fn key_bytes(world: &World) -> usize {
    world.head().find(&Tenant::new("a").unwrap()).unwrap().lock().state.keys.heap_bytes()
}

#[test]
fn a_changed_policy_holds_for_series_that_are_there() {
    let mut world = World::new(6);
    let now = world.now();
    let (good, bad) = (of_cluster("a"), of_cluster("b"));
    let send = |world: &World, after: i64, policy: u64| {
        let sent = [one_sample(&good, now + after), one_sample(&bad, now + after)];
        let appended = world.push_with("a", &sent, &Cluster(policy)).unwrap();
        (appended.samples, appended.refused.count(Reason::LabelPolicy))
    };
    assert_eq!(send(&world, 0, 1), (2, 0));
    assert_eq!(send(&world, 1, 2), (1, 1));
    assert_eq!(send(&world, 2, 2), (1, 1), "every time");
    assert_eq!(send(&world, 3, 1), (2, 0), "and back");
    world.head().flush_log().unwrap();
    world.restart();
    assert_eq!(send(&world, 4, 2), (1, 1), "after a restart");
    assert_eq!(send(&world, 5, 1), (2, 0));
    world.head().flush_log().unwrap();
    world.restart();
    // What a restarted tenant begins with is no generation that has judged anything.
    assert_eq!(send(&world, 6, 2), (1, 1));
}

#[test]
fn stamped_series_do_not_mix_with_those_from_before() {
    let mut world = World::new(7);
    let now = world.now();
    let bad = of_cluster("b");
    let mut model: BTreeMap<Labels, Vec<i64>> = BTreeMap::new();
    let random = SimRandom::new(7);
    for after in 0..60 {
        let policy = [1, 3][random.below(2) as usize];
        if random.below(8) == 0 {
            world.head().flush_log().unwrap();
            world.restart();
        }
        let sent = one_sample(&bad, now + after);
        let appended = world.push_with("a", &[sent], &Cluster(policy)).unwrap();
        assert_eq!((appended.samples, appended.refused.is_empty()), (1, true));
        model.entry(of_cluster(if policy == 3 { "a" } else { "b" })).or_default().push(now + after);
    }
    let tenant = Labels::from_pairs([("tenant_id", "a")]);
    let want: BTreeMap<_, Vec<_>> = model
        .into_iter()
        .map(|(labels, times)| {
            (labels.merged_with(&tenant), times.into_iter().map(|t| (t, 1f64.to_bits())).collect())
        })
        .collect();
    assert_eq!(world.read("a"), want);
}

#[test]
fn labels_that_are_stamped_take_no_endless_memory() {
    let world = World::new(8);
    let now = world.now();
    for round in 0..10 {
        let request: Vec<SentSeries> =
            (0..20_000).map(|n| one_sample(&of_cluster(&format!("{round}-{n}")), now)).collect();
        let appended = world.push_with("a", &request, &Cluster(3)).unwrap();
        assert_eq!((appended.samples, series_of(&world)), (20_000, 1));
    }
    assert!(key_bytes(&world) < 1 << 20, "{} bytes of keys for one series", key_bytes(&world));
}

#[test]
fn refused_samples_make_no_series() {
    let world = World::new(13);
    let now = world.now();
    let send = |n: u64, samples: &[(i64, f64)]| world.send("a", &[(series(n), samples.to_vec())]).unwrap();
    assert_eq!(send(0, &[(now, 1.0)]).samples, 1);
    let ahead = send(1, &[(now + 60 * MINUTE, 1.0), (now + 61 * MINUTE, 1.0)]);
    assert_eq!((ahead.samples, ahead.refused.count(Reason::TooFarInFuture)), (0, 2));
    let ancient = send(2, &[(now - 1_000 * 24 * 60 * MINUTE, 1.0)]);
    assert_eq!((ancient.samples, ancient.refused.count(Reason::TooOld)), (0, 1));
    assert_eq!(send(3, &[]).samples, 0);
    assert_eq!(series_of(&world), 1);
    let some = send(4, &[(now + 60 * MINUTE, 1.0), (now, 1.0), (now + 1, 2.0)]);
    assert_eq!((some.samples, some.refused.count(Reason::TooFarInFuture)), (2, 1));
    assert_eq!(series_of(&world), 2);
}

#[test]
fn late_samples_are_judged_before_their_series_is_made() {
    let mut world = World::with(
        14,
        HeadOptions { reserve_bytes: 0, out_of_order_window_ms: 600 * MINUTE, ..HeadOptions::default() },
    );
    let start = world.now();
    world.send("a", &[(series(1), vec![(start, 1.0)])]).unwrap();
    world.set_now(start + 300 * MINUTE);
    world.send("a", &[(series(2), vec![(world.now(), 1.0)])]).unwrap();
    world.head().maintain();
    world.head().maintain();
    assert_eq!((world.blocks("a"), series_of(&world)), (1, 1), "the first series is in a block, and left");
    let again = world.send("a", &[(series(1), vec![(start, 1.0)])]).unwrap();
    assert_eq!((again.samples, again.refused.is_empty(), series_of(&world)), (1, true, 1));
    let other = world.send("a", &[(series(1), vec![(start, 2.0)])]).unwrap();
    assert_eq!((other.samples, other.refused.count(Reason::Conflict), series_of(&world)), (0, 1, 1));
    let late = world.send("a", &[(series(1), vec![(start, 1.0), (start + 1, 2.0)])]).unwrap();
    assert_eq!((late.samples, late.refused.is_empty(), series_of(&world)), (2, true, 2));
    world.crash();
    assert_eq!(world.read("a").values().map(Vec::len).sum::<usize>(), 3);
}
