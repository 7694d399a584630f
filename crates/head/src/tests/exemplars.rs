//! Exemplars: a copy of something else, so whatever becomes of them, the request stands.

use super::world::{World, one_sample, series};
use crate::Reason;
use nilometer_model::{Exemplar, Labels, Matcher, Tenant, TimeRange};
use nilometer_wire::remote_write::encode::SentSeries;

fn exemplar(t_ms: i64, v: f64, trace: &str) -> Exemplar {
    Exemplar { labels: Labels::from_pairs([("trace", trace)]), t_ms, v }
}

fn with(labels: &Labels, t_ms: i64, exemplars: &[Exemplar]) -> SentSeries {
    SentSeries { exemplars: exemplars.to_vec(), ..one_sample(labels, t_ms) }
}

fn stored(world: &World) -> Vec<Exemplar> {
    let queryable = world.head().queryable(&Tenant::new("a").unwrap()).unwrap();
    let sets = vec![vec![Matcher::equal("__name__", "m")]];
    let found = futures::executor::block_on(queryable.exemplars(sets, TimeRange::ALL)).unwrap();
    found.into_iter().flat_map(|series| series.exemplars).collect()
}

#[test]
fn a_retry_is_a_success() {
    let world = World::new(7);
    let now = world.now();
    let all = [exemplar(now, 1.0, "a"), exemplar(now + 1, 2.0, "b"), exemplar(now + 1, 2.0, "c")];
    let sent = with(&series(1), now, &all);
    for _ in 0..3 {
        let appended = world.push_series("a", std::slice::from_ref(&sent)).unwrap();
        assert_eq!((appended.exemplars, appended.refused.total()), (3, 0));
    }
    assert_eq!(stored(&world), all);
}

#[test]
fn what_cannot_be_kept_is_counted_and_fails_nothing() {
    let world = World::new(8);
    let now = world.now();
    let long = "x".repeat(200);
    let all = [
        exemplar(now, 1.0, "a"),
        exemplar(now - 1, 1.0, "out of order"),
        exemplar(now + 100 * 60_000, 1.0, "too far"),
        exemplar(now + 1, 1.0, &long),
    ];
    let appended = world.push_series("a", &[with(&series(1), now, &all)]).unwrap();
    assert_eq!((appended.samples, appended.exemplars, appended.refused.count(Reason::Exemplar)), (1, 1, 3));
    assert!(!appended.refused.fails_request());
    assert_eq!(stored(&world), all[..1]);
    // Where something else is wrong, they neither hide a conflict nor go unmentioned.
    let mut other = with(&series(1), now, &all);
    other.samples[0].v = 7.0;
    let appended = world.push_series("a", &[other]).unwrap();
    assert!(appended.refused.fails_request() && appended.refused.only_conflicts());
    assert!(appended.refused.to_string().contains("3 exemplars"), "{}", appended.refused);
}

#[test]
fn a_series_without_samples_takes_none() {
    let mut world = World::new(9);
    let now = world.now();
    let mut sent = with(&series(1), now, &[exemplar(now, 1.0, "a")]);
    let sample = std::mem::take(&mut sent.samples);
    let appended = world.push_series("a", std::slice::from_ref(&sent)).unwrap();
    assert_eq!((appended.exemplars, appended.refused.count(Reason::Exemplar)), (0, 1));
    assert!(!appended.refused.fails_request() && stored(&world).is_empty());
    assert_eq!(world.head().tenants().pop().unwrap().series, 0);
    sent.samples = sample;
    assert_eq!(world.push_series("a", &[sent]).unwrap().exemplars, 1);
    world.head().flush_log().unwrap();
    world.crash();
    assert_eq!(stored(&world).len(), 1, "from the log");
    world.head().snapshot();
    world.crash();
    assert_eq!(stored(&world).len(), 1, "from the snapshot");
}
