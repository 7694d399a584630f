//! The head on a simulated disk, clock and random source, held against a model of what was sent.

mod adopt;
mod bounds;
mod damage;
mod exemplars;
mod faults;
mod histograms;
mod policy;
mod simulation;
mod world;

use crate::HeadOptions;
use crate::refused::Reason;
use nilometer_model::{Labels, TimeRange};
use world::{World, series};

const MINUTE: i64 = 60_000;

#[test]
fn a_sample_goes_in_and_comes_out() {
    let world = World::new(1);
    let now = world.now();
    world.send("a", &[(series(1), vec![(now, 1.0), (now + 1, 2.0)])]).unwrap();
    let labels = Labels::from_pairs([("__name__", "m"), ("n", "1"), ("tenant_id", "a")]);
    assert_eq!(world.read("a"), [(labels, vec![(now, 1f64.to_bits()), (now + 1, 2f64.to_bits())])].into());
    assert!(world.head().queryable(&nilometer_model::Tenant::new("b").unwrap()).is_none());
}

#[test]
fn refusals_store_the_rest() {
    let world = World::new(2);
    let now = world.now();
    world.send("a", &[(series(1), vec![(now, 1.0)])]).unwrap();
    let refused = |samples: Vec<(i64, f64)>| {
        let appended = world.send("a", &[(series(2), vec![(now, 5.0)]), (series(1), samples)]).unwrap();
        let only: Vec<_> = Reason::ALL.into_iter().filter(|r| appended.refused.count(*r) > 0).collect();
        (appended.samples, only)
    };
    assert_eq!(refused(vec![(now, 1.0)]), (2, vec![]), "the same again is a success");
    assert_eq!(refused(vec![(now, 2.0)]), (1, vec![Reason::Conflict]));
    assert_eq!(refused(vec![(now + 11 * MINUTE, 2.0)]), (1, vec![Reason::TooFarInFuture]));
    assert_eq!(refused(vec![(now - 16 * 24 * 60 * MINUTE, 2.0)]), (1, vec![Reason::TooOld]));
    assert_eq!(refused(vec![(now - 5 * MINUTE, 2.0)]), (2, vec![]), "late, in the window");
    assert_eq!(refused(vec![(now - 5 * MINUTE, 3.0)]), (1, vec![Reason::Conflict]), "late, another value");
    assert_eq!(refused(vec![(now - 15 * MINUTE, 3.0)]), (1, vec![Reason::OutOfOrder]));
    assert_eq!(refused(vec![(i64::MIN, 3.0)]), (1, vec![Reason::TooOld]));
    assert_eq!(refused(vec![(i64::MAX, 3.0)]), (1, vec![Reason::TooFarInFuture]));
}

#[test]
fn labels_that_no_series_can_have_are_named() {
    let world = World::new(3);
    let now = world.now();
    let send = |labels: &[(&str, &str)]| {
        let appended = world.send_raw("a", labels, &[(now, 1.0)]).unwrap();
        appended.refused.to_string()
    };
    for (labels, says) in [
        (&[][..], "no labels"),
        (&[("a", "b")], "no metric name"),
        (&[("__name__", "")], "no labels"),
        (&[("__name__", "m"), ("a", "1"), ("a", "2")], "twice"),
        (&[("__name__", "m"), ("", "1")], "no name"),
        (&[("__name__", "m"), ("a", &"x".repeat(5000))], "too long"),
    ] {
        assert!(send(labels).contains(says), "{labels:?}: {}", send(labels));
    }
    let unsorted = world.send_raw("a", &[("z", "1"), ("__name__", "m")], &[(now, 1.0)]).unwrap();
    assert_eq!((unsorted.samples, unsorted.refused.is_empty()), (1, true));
    assert_eq!(world.read("a").len(), 1);
}

#[test]
fn a_cut_moves_samples_into_a_block() {
    let mut world = World::new(4);
    let start = world.now() / (120 * MINUTE) * (120 * MINUTE);
    let sent: Vec<(i64, f64)> = (0..700).map(|n| (start + n * 15_000, n as f64)).collect();
    for (t, v) in &sent {
        world.set_now(*t);
        world.send("a", &[(series(1), vec![(*t, *v)])]).unwrap();
        if *t < start + 10 * MINUTE {
            world.send("a", &[(series(2), vec![(*t, *v)])]).unwrap();
        }
    }
    assert_eq!(world.blocks("a"), 0);
    let before = world.read("a");
    // Two hours and a half: the first range is due at the third hour.
    world.set_now(start + 181 * MINUTE);
    world.send("a", &[(series(1), vec![(start + 181 * MINUTE, 7.0)])]).unwrap();
    world.head().maintain();
    assert_eq!(world.blocks("a"), 1);
    world.head().maintain();
    let after = world.read_in("a", TimeRange::new(0, start + 180 * MINUTE));
    assert_eq!(after, before);
    let info = world.head().tenants().pop().unwrap();
    assert_eq!((info.series, info.blocks), (1, 1), "the series without samples is forgotten");
    world.restart();
    assert_eq!(world.read_in("a", TimeRange::new(0, start + 180 * MINUTE)), before);
}

#[test]
fn an_idle_tenant_is_released() {
    let world = World::new(5);
    let now = world.now();
    world.send("a", &[(series(1), vec![(now, 1.0)])]).unwrap();
    world.advance(61 * MINUTE);
    world.head().maintain();
    world.head().maintain();
    let info = world.head().tenants().pop().unwrap();
    assert_eq!((info.series, info.blocks), (0, 1));
    assert_eq!(world.read("a").len(), 1);
}

#[test]
fn late_samples_of_a_cut_range_go_to_a_late_block() {
    let mut world = World::new(6);
    let start = world.now() / (120 * MINUTE) * (120 * MINUTE);
    world.set_now(start + 119 * MINUTE);
    world.send("a", &[(series(1), vec![(start + 119 * MINUTE, 1.0)])]).unwrap();
    world.head().cut_everything().unwrap();
    let late = start + 118 * MINUTE;
    world.set_now(start + 125 * MINUTE);
    world
        .send("a", &[(series(1), vec![(start + 125 * MINUTE, 2.0)]), (series(2), vec![(late, 3.0)])])
        .unwrap();
    let conflict = world.send("a", &[(series(1), vec![(start + 119 * MINUTE, 9.0)])]).unwrap();
    assert_eq!(conflict.refused.count(Reason::Conflict), 1, "compared with the local block");
    let same = world.send("a", &[(series(1), vec![(start + 119 * MINUTE, 1.0)])]).unwrap();
    assert_eq!(same.samples, 1);
    let before = world.read("a");
    world.head().cut_everything().unwrap();
    assert_eq!(world.blocks("a"), 3);
    assert_eq!(world.late_blocks("a"), 1);
    assert_eq!(world.read("a"), before);
    world.crash();
    assert_eq!(world.read("a"), before);
}

#[test]
fn a_second_process_is_refused() {
    let world = World::new(7);
    let error = world.open_beside().unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let world = World::new(8);
    let now = world.now();
    world.send("a", &[(series(1), vec![(now, 1.0)])]).unwrap();
    world.fill_disk(true);
    world.head().maintain();
    let error = world.send("a", &[(series(1), vec![(now + 1, 1.0)])]).unwrap_err();
    assert!(error.to_string().contains("nearly full"), "{error}");
    assert_eq!(world.read("a").len(), 1, "queries go on");
    world.fill_disk(false);
    world.head().maintain();
    world.send("a", &[(series(1), vec![(now + 1, 1.0)])]).unwrap();
}

#[test]
fn a_cut_in_the_middle_of_a_range_keeps_order() {
    let mut world = World::new(9);
    let start = world.now() / (120 * MINUTE) * (120 * MINUTE);
    for n in 0..20 {
        world.set_now(start + n * MINUTE);
        world.send("a", &[(series(1), vec![(start + n * MINUTE, n as f64)])]).unwrap();
        if n == 10 {
            world.head().cut_everything().unwrap();
        }
    }
    let before = world.read("a");
    assert_eq!(before.values().map(Vec::len).sum::<usize>(), 20);
    assert_eq!(world.blocks("a"), 1);
    world.crash();
    assert_eq!(world.read("a"), before);
    world.head().cut_everything().unwrap();
    assert_eq!((world.blocks("a"), world.read("a")), (2, before));
}

#[test]
fn all_kinds_come_back() {
    use nilometer_model::{Exemplar, FloatHistogram, IntHistogram, Matcher, STALE_NAN_BITS, Span, Value};
    use nilometer_wire::remote_write::encode::{SentHistogram, SentSeries};
    use std::sync::Arc;
    let mut world = World::new(10);
    let now = world.now();
    let spans = vec![Span { offset: 0, length: 2 }];
    let int = IntHistogram {
        count: 3,
        sum: 4.5,
        positive_spans: spans.clone(),
        positive: vec![1, 2],
        ..IntHistogram::default()
    };
    let custom = FloatHistogram {
        schema: nilometer_model::histogram::CUSTOM_BUCKETS_SCHEMA,
        count: 3.5,
        sum: 4.5,
        positive_spans: spans,
        positive: vec![1.5, 2.0],
        custom_values: vec![1.0],
        ..FloatHistogram::default()
    };
    let stale = FloatHistogram { sum: f64::from_bits(STALE_NAN_BITS), ..FloatHistogram::default() };
    let values = [
        (now, Value::Int(Arc::new(int))),
        (now + 1, Value::FloatHistogram(Arc::new(custom))),
        (now + 2, Value::FloatHistogram(Arc::new(stale))),
        (now + 3, Value::Float(f64::from_bits(STALE_NAN_BITS))),
    ];
    let exemplar = Exemplar { labels: Labels::from_pairs([("trace", "x")]), t_ms: now, v: 1.0 };
    let mut sent = SentSeries::new(&series(1));
    for (t_ms, value) in &values[..3] {
        sent.histograms.push(SentHistogram { t_ms: *t_ms, start_ms: 0, value: value.clone() });
    }
    sent.exemplars.push(exemplar.clone());
    world.push_series("a", &[sent]).unwrap();
    world.send("a", &[(series(1), vec![(now + 3, f64::from_bits(STALE_NAN_BITS))])]).unwrap();
    let check = |world: &World, what: &str| {
        let found = world.read_values("a");
        assert_eq!(found.len(), 4, "{what}: {found:?}");
        for ((t, value), (want_t, want)) in found.iter().zip(&values) {
            assert!(t == want_t && crate::open::is_same(value, want), "{what}: {value:?} is not {want:?}");
        }
    };
    check(&world, "in memory");
    world.crash();
    check(&world, "from the log");
    world.head().snapshot();
    world.crash();
    check(&world, "from a snapshot");
    let queryable = world.head().queryable(&nilometer_model::Tenant::new("a").unwrap()).unwrap();
    let sets = vec![vec![Matcher::equal("n", "1")]];
    let exemplars = futures::executor::block_on(queryable.exemplars(sets, TimeRange::ALL)).unwrap();
    assert_eq!(exemplars[0].exemplars, [exemplar]);
    world.head().cut_everything().unwrap();
    check(&world, "in a block");
}

#[test]
fn start_timestamps_are_in_blocks_on_demand() {
    use nilometer_model::{IntHistogram, Value};
    use nilometer_wire::remote_write::FloatSample;
    use nilometer_wire::remote_write::encode::{SentHistogram, SentSeries};
    use std::sync::Arc;
    for keep_starts in [false, true] {
        let options = HeadOptions { reserve_bytes: 1 << 20, keep_starts, ..HeadOptions::default() };
        let world = World::with(12, options);
        let now = world.now();
        let mut floats = SentSeries::new(&series(1));
        floats.samples =
            [5, 9, 7].map(|n| FloatSample { t_ms: now + n, v: n as f64, start_ms: now - 50 + n }).to_vec();
        let mut counts = SentSeries::new(&series(2));
        let value = Value::Int(Arc::new(IntHistogram::default()));
        counts.histograms.push(SentHistogram { t_ms: now, start_ms: now - 60, value });
        world.push_v2("a", &[floats, counts]).unwrap();
        let head = [(now, now - 60), (now + 5, now - 45), (now + 7, now - 43), (now + 9, now - 41)];
        assert_eq!(world.read_starts("a"), head, "always in memory");
        world.head().cut_everything().unwrap();
        let kept = if keep_starts { head.to_vec() } else { head.map(|(t, _)| (t, 0)).to_vec() };
        assert_eq!(world.read_starts("a"), kept, "{keep_starts}");
    }
}

#[test]
fn a_damaged_chunk_does_not_refuse_late_samples() {
    let mut world = World::new(11);
    let start = world.now();
    let sent: Vec<(i64, f64)> = (0..130).map(|n| (start + n * 2_000, n as f64)).collect();
    world.set_now(start + 300_000);
    world.send("a", &[(series(1), sent)]).unwrap();
    world.head().snapshot();
    let chunks = |path: &std::path::Path| path.extension().is_some_and(|e| e == "chunks");
    // The file's head and the frame's make 52 bytes; a bit of what is behind them is the chunk's.
    while world.fs.flip_bit(chunks).is_none_or(|(_, at)| at < 60) {}
    let late = world.send("a", &[(series(1), vec![(start + 1_000, 7.0)])]).unwrap();
    assert_eq!((late.samples, late.refused.is_empty()), (1, true));
    let (contents, warnings) = world.read_with_warnings("a");
    let samples = contents.into_values().next().unwrap();
    assert!(warnings > 0 && samples.contains(&(start + 1_000, 7f64.to_bits())), "{warnings} {samples:?}");
}
