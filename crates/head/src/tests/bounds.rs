//! What a tenant may take of memory, counted in bytes.

use super::world::{World, one_sample, series};
use crate::open::is_same;
use crate::series::Series;
use crate::{HeadOptions, Reason};
use nilometer_model::{IntHistogram, Labels, Span, Tenant, Value};
use nilometer_wire::remote_write::encode::{SentHistogram, SentSeries};
use std::sync::Arc;

fn with_text(n: u64, bytes: usize) -> Labels {
    let value = format!("{n}{}", "x".repeat(bytes));
    series(n).merged_with(&Labels::from_pairs([("text", value)]))
}

#[test]
fn label_text_is_bounded_and_comes_free() {
    let options = HeadOptions { reserve_bytes: 0, max_label_text_bytes: 100_000, ..HeadOptions::default() };
    let mut world = World::with(14, options);
    let now = world.now();
    let sent: Vec<_> = (0..50).map(|n| one_sample(&with_text(n, 4_000), now)).collect();
    let appended = world.push_series("a", &sent).unwrap();
    let refused = appended.refused.count(Reason::LabelTextLimit);
    assert!((20..=25).contains(&appended.samples) && appended.samples + refused == 50, "{appended:?}");
    assert!(appended.refused.to_string().contains("max_label_text_bytes"), "{}", appended.refused);
    // What is there goes on, and so does what needs little.
    let known = world.push_series("a", &[one_sample(&with_text(3, 4_000), now + 1)]).unwrap();
    let small = world.push_series("a", &[one_sample(&series(1_000), now)]).unwrap();
    assert_eq!((known.samples, small.samples), (1, 1));
    world.head().flush_log().unwrap();
    world.restart();
    assert_eq!(world.push_series("a", &sent).unwrap().samples, appended.samples);
    world.head().cut_everything().unwrap();
    world.head().maintain();
    let sent: Vec<_> = (100..120).map(|n| one_sample(&with_text(n, 4_000), now + 2)).collect();
    assert!(world.push_series("a", &sent).unwrap().refused.is_empty(), "with series their text leaves");
}

/// So many buckets as a request may have in one histogram, and all of them filled.
fn large(first: i32, scale: u64) -> Value {
    const BUCKETS: u32 = 20_000;
    let positive: Vec<u64> = (0..u64::from(BUCKETS)).map(|n| n * 7_919 % 1_000_003 * scale).collect();
    Value::Int(Arc::new(IntHistogram {
        count: positive.iter().sum(),
        sum: 1.0,
        positive_spans: vec![Span { offset: first, length: BUCKETS }],
        positive,
        ..IntHistogram::default()
    }))
}

fn sent(t_ms: i64, value: &Value) -> SentSeries {
    let mut sent = SentSeries::new(&series(1));
    sent.histograms.push(SentHistogram { t_ms, start_ms: 0, value: value.clone() });
    sent
}

/// Memory of the tenant's series, without closed chunks that wait to be written.
fn held(world: &World) -> usize {
    let tenant = world.head().find(&Tenant::new("a").unwrap()).unwrap();
    let inner = tenant.lock();
    inner.state.series.iter().map(Series::heap_bytes).sum()
}

fn check(world: &World, all: &[(i64, Value)], what: &str) {
    let found = world.read_values("a");
    assert_eq!((found.len(), world.read_starts("a").len()), (all.len(), all.len()), "{what}, each once");
    for (found, want) in found.iter().zip(all) {
        assert!(found.0 == want.0 && is_same(&found.1, &want.1), "{what} at {}", want.0);
    }
}

/// Sends each alone, and all once more: in memory, after a crash, from a snapshot, in a block.
fn live_through(all: &[(i64, Value)], order: &[usize]) {
    let mut world = World::new(20);
    world.set_now(all[all.len() - 1].0);
    let send_all = |world: &World, what: &str| {
        for &n in order {
            let (t_ms, value) = &all[n];
            let appended = world.push_series("a", &[sent(*t_ms, value)]).unwrap();
            assert!(appended.refused.is_empty(), "{what}: {}", appended.refused);
            assert!(held(world) < 2 * (64 << 10), "{what}: {} bytes are held", held(world));
        }
        world.head().flush_log().unwrap();
    };
    send_all(&world, "at first");
    send_all(&world, "again");
    check(&world, all, "in memory");
    world.crash();
    check(&world, all, "from the log");
    send_all(&world, "after a crash");
    world.head().snapshot();
    world.crash();
    check(&world, all, "from a snapshot");
    send_all(&world, "after a snapshot");
    check(&world, all, "and again");
    let between = (all[1].0 + all[0].0) / 2;
    let appended = world.push_series("a", &[sent(between, &all[0].1)]).unwrap();
    assert!(appended.refused.is_empty(), "a late one between them is no chunk in their line");
    let mut all = all.to_vec();
    all.insert(1, (between, all[0].1.clone()));
    check(&world, &all, "with a late one");
    world.head().cut_everything().unwrap();
    check(&world, &all, "in a block");
}

#[test]
fn large_histograms_do_not_pile_up() {
    let start = World::new(20).now();
    let all: Vec<(i64, Value)> = (0..12).map(|n| (start + n * 1_000, large(0, 1 + n as u64))).collect();
    live_through(&all, &(0..12).collect::<Vec<_>>());
}

#[test]
fn large_histograms_do_not_pile_up_when_late() {
    let start = World::new(20).now();
    let all: Vec<(i64, Value)> = (0..12).map(|n| (start + n * 1_000, large(0, 1 + n as u64))).collect();
    live_through(&all, &(0..12).rev().collect::<Vec<_>>());
}

#[test]
fn histograms_of_ever_other_buckets_do_not_pile_up() {
    let start = World::new(20).now();
    let one = |n: u32| IntHistogram {
        reset: nilometer_model::CounterReset::Gauge,
        count: 1_500,
        sum: 1.0,
        positive_spans: (0..1_500).map(|_| Span { offset: 90 + n as i32, length: 1 }).collect(),
        positive: vec![1; 1_500],
        ..IntHistogram::default()
    };
    let all: Vec<(i64, Value)> =
        (0..24).map(|n| (start + i64::from(n) * 1_000, Value::Int(Arc::new(one(n))))).collect();
    live_through(&all, &(0..24).collect::<Vec<_>>());
}
