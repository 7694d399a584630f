//! Histograms: sent again they are the same, and large ones do not pile up in memory.

use super::world::{World, series};
use crate::open::{is_same, pack};
use nilometer_chunk::Stamp;
use nilometer_model::{CounterReset, FloatHistogram, IntHistogram, Span, Value};
use nilometer_wire::remote_write::encode::{SentHistogram, SentSeries};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

fn int(spans: &[(i32, u32)], positive: &[u64], reset: CounterReset) -> Value {
    Value::Int(Arc::new(IntHistogram {
        count: positive.iter().sum(),
        sum: 1.0,
        positive_spans: spans.iter().map(|&(offset, length)| Span { offset, length }).collect(),
        positive: positive.to_vec(),
        reset,
        ..IntHistogram::default()
    }))
}

fn float(spans: &[(i32, u32)], positive: &[f64]) -> Value {
    Value::FloatHistogram(Arc::new(FloatHistogram {
        count: positive.iter().sum(),
        sum: 1.0,
        positive_spans: spans.iter().map(|&(offset, length)| Span { offset, length }).collect(),
        positive: positive.to_vec(),
        ..FloatHistogram::default()
    }))
}

fn sent(t_ms: i64, value: &Value) -> SentSeries {
    let mut sent = SentSeries::new(&series(1));
    sent.histograms.push(SentHistogram { t_ms, start_ms: 0, value: value.clone() });
    sent
}

#[test]
fn a_histogram_sent_again_is_the_same() {
    use CounterReset::{Gauge, NotReset, Reset, Unknown};
    let (one, gap) = (&[(0, 1)][..], &[(0, 1), (3, 1)][..]);
    for (what, first, second) in [
        ("grows", int(one, &[1], Unknown), int(gap, &[1, 1], Unknown)),
        ("shrinks, with an empty bucket", int(gap, &[1, 0], Unknown), int(one, &[2], Unknown)),
        ("reset", int(one, &[5], Unknown), int(one, &[1], Reset)),
        ("not reset", int(one, &[1], Unknown), int(one, &[2], NotReset)),
        ("gauge", int(one, &[5], Gauge), int(gap, &[1, 1], Gauge)),
        ("floats grow", float(one, &[1.0]), float(gap, &[1.0, 1.5])),
        ("floats shrink", float(gap, &[1.0, 0.0]), float(one, &[1.5])),
        ("split spans", int(&[(0, 1), (0, 1)], &[1, 1], Unknown), int(gap, &[1, 1], Unknown)),
    ] {
        let world = World::new(17);
        let now = world.now();
        let both = [sent(now, &first), sent(now + 1, &second)];
        for again in ["", "again, ", "once more, "] {
            let appended = world.push_series("a", &both).unwrap();
            assert!(appended.refused.is_empty(), "{again}{what}: {}", appended.refused);
        }
        world.head().cut_everything().unwrap();
        world.head().maintain();
        let appended = world.push_series("a", &both).unwrap();
        assert!(appended.refused.is_empty(), "in a block, {what}: {}", appended.refused);
    }
}

#[test]
fn another_histogram_is_another() {
    let world = World::new(18);
    let now = world.now();
    let stored = int(&[(0, 2)], &[1, 2], CounterReset::Unknown);
    assert!(world.push_series("a", &[sent(now, &stored)]).unwrap().refused.is_empty());
    for other in [
        int(&[(0, 2)], &[2, 1], CounterReset::Unknown),
        int(&[(1, 2)], &[1, 2], CounterReset::Unknown),
        int(&[(0, 1), (1, 1)], &[1, 2], CounterReset::Unknown),
        float(&[(0, 2)], &[1.0, 2.0]),
    ] {
        let appended = world.push_series("a", &[sent(now, &other)]).unwrap();
        assert_eq!(appended.refused.count(crate::Reason::Conflict), 1, "{other:?}");
    }
}

/// Counts by absolute index, which is all that buckets say; and a way to write them down among many.
#[derive(Clone, Debug)]
struct Side {
    counts: BTreeMap<i32, u64>,
    /// Indexes that are written down whether anything was counted there or not.
    named: Vec<i32>,
    /// Where a run of neighbours is cut in two.
    cut: i32,
}

impl Side {
    fn spans(&self) -> (Vec<Span>, Vec<u64>) {
        let all: std::collections::BTreeSet<i32> = self.counts.keys().chain(&self.named).copied().collect();
        let (mut spans, mut end) = (Vec::<Span>::new(), 0);
        for &index in &all {
            match spans.last_mut() {
                Some(span) if index == end && index != self.cut => span.length += 1,
                _ => spans.push(Span { offset: index - end, length: 1 }),
            }
            end = index + 1;
        }
        (spans, all.iter().map(|index| self.counts.get(index).copied().unwrap_or(0)).collect())
    }
}

fn side() -> impl Strategy<Value = Side> {
    let counts = prop::collection::btree_map(-4..4i32, 1..3u64, 0..3);
    let named = prop::collection::vec(-4..4i32, 0..3);
    (counts, named, -4..4i32).prop_map(|(counts, named, cut)| Side { counts, named, cut })
}

fn any_reset() -> impl Strategy<Value = CounterReset> {
    use CounterReset::{Gauge, NotReset, Reset, Unknown};
    prop::sample::select(vec![Unknown, Unknown, Unknown, Gauge, Reset, NotReset])
}

fn of_sides(positive: &Side, negative: &Side, reset: CounterReset) -> IntHistogram {
    let ((positive_spans, positive), (negative_spans, negative)) = (positive.spans(), negative.spans());
    let count = positive.iter().chain(&negative).sum();
    IntHistogram {
        count,
        positive_spans,
        positive,
        negative_spans,
        negative,
        reset,
        ..IntHistogram::default()
    }
}

fn value(histogram: IntHistogram, is_float: bool) -> Value {
    match is_float {
        true => Value::FloatHistogram(Arc::new(histogram.to_float())),
        false => Value::Int(Arc::new(histogram)),
    }
}

proptest! {
    #[test]
    fn histograms_are_the_same_where_their_counts_are(
        a in (side(), side(), any_reset()), b in (side(), side(), any_reset()), is_float: bool
    ) {
        let (x, y) = (of_sides(&a.0, &a.1, a.2), of_sides(&b.0, &b.1, b.2));
        prop_assert!(x.validate().is_ok() && y.validate().is_ok());
        let same = a.0.counts == b.0.counts && a.1.counts == b.1.counts;
        prop_assert_eq!(is_same(&value(x.clone(), is_float), &value(y, is_float)), same);
        let other = Side { counts: a.0.counts.clone(), ..b.0 };
        let y = of_sides(&other, &Side { counts: a.1.counts.clone(), ..b.1 }, b.2);
        prop_assert!(is_same(&value(x, is_float), &value(y, is_float)), "however it is written down");
    }

    #[test]
    fn histograms_are_the_same_after_a_chunk(
        all in prop::collection::vec((side(), side(), any_reset(), 0..8u8), 1..30), is_float: bool
    ) {
        let sent: Vec<(Stamp, Value)> = all.iter().enumerate().map(|(n, (positive, negative, reset, kind))| {
            let histogram = match kind {
                0 => IntHistogram { reset: *reset, ..IntHistogram::stale() },
                _ => of_sides(positive, negative, *reset),
            };
            (Stamp::at(n as i64), value(histogram, is_float))
        }).collect();
        let stored: Vec<_> = pack(sent.iter().cloned()).iter().flat_map(|p| p.samples().unwrap()).collect();
        prop_assert_eq!(stored.len(), sent.len());
        for (stored, sent) in stored.iter().zip(&sent) {
            prop_assert!(stored.0 == sent.0 && is_same(&stored.1, &sent.1), "{:?} {:?}", stored, sent);
        }
    }
}
