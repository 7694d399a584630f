//! Against what Thanos' own code makes of the same chunks, against its tables, and against a model.

use super::*;
use nilometer_chunk::{AggrChunk, Aggregate, Samples, Stamp, encode_floats};
use nilometer_model::histogram::CUSTOM_BUCKETS_SCHEMA;
use nilometer_model::{CounterReset, FloatHistogram, IntHistogram, STALE_NAN_BITS, Span, TimeRange, Value};
use proptest::prelude::*;
use std::collections::BTreeMap;

const H: i64 = crate::ONE_HOUR_MS;
const M5: i64 = FIVE_MINUTES_MS;

/// Chunks with memory of their own.
type Held = Vec<(TimeRange, Encoding, Vec<u8>)>;

fn refs(held: &Held) -> Vec<ChunkRef<'_>> {
    held.iter().map(|(range, encoding, data)| ChunkRef { range: *range, encoding: *encoding, data }).collect()
}

fn run(chunks: &Held, from_ms: i64, to_ms: i64) -> Held {
    let mut out = ReadChunks::default();
    Downsampler::new(from_ms, to_ms).unwrap().series(&refs(chunks), &mut out).unwrap();
    out.iter().map(|c| (c.range, c.encoding, c.data.to_vec())).collect()
}

fn rows(data: &[u8], encoding: Encoding) -> Vec<(i64, Value)> {
    Samples::new(data, encoding).unwrap().map(|s| s.unwrap()).collect()
}

/// The samples of an aggregate in a chunk, as text.
fn aggregate(chunk: &[u8], aggregate: Aggregate) -> Vec<String> {
    let chunk = AggrChunk::read(chunk).unwrap();
    let samples = chunk.get(aggregate).map(|(encoding, data)| rows(data, encoding)).unwrap_or_default();
    let text = |(t_ms, value): (i64, Value)| match value {
        Value::Float(v) => format!("{t_ms}:{v}"),
        Value::FloatHistogram(h) => format!(
            "{t_ms}: {:?} {} {} {} {} {} {:?} {:?}",
            h.reset == CounterReset::Gauge,
            h.schema,
            h.zero_threshold,
            h.zero_count,
            h.count,
            h.sum,
            h.all_buckets().map(|b| (b.index, b.count)).collect::<Vec<_>>(),
            h.custom_values
        ),
        Value::Int(_) => unreachable!("aggregates are floats"),
    };
    samples.into_iter().map(text).collect()
}

fn floats(samples: &[(i64, f64)]) -> (TimeRange, Encoding, Vec<u8>) {
    let range = TimeRange::new(samples[0].0, samples[samples.len() - 1].0);
    (range, Encoding::Xor, encode_floats(samples.iter().copied()))
}

/// `testdata/downsample.txt`: chunks that Prometheus packed and what Thanos' code (e103a81bd, of August 2026) makes
/// of them: `raw`, `five` minutes and one `hour`, each with its first and last time. Floats have to be the same
/// bytes; of histograms the samples count, since counter reset hints and empty buckets may differ.
#[test]
fn results_are_those_of_thanos() {
    let mut cases = 0;
    for case in include_str!("../../testdata/downsample.txt").split("case ").skip(1) {
        let (name, lines) = case.split_once('\n').unwrap();
        let mut chunks = BTreeMap::<&str, Held>::new();
        for line in lines.lines() {
            let mut words: Vec<_> = line.split(' ').collect();
            let hex = words.pop().unwrap();
            let data = (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap());
            let range = TimeRange::new(words[1].parse().unwrap(), words[2].parse().unwrap());
            let encoding = words.get(3).map_or(255, |e| e.parse().unwrap());
            let chunk = (range, Encoding::from_byte(encoding).unwrap(), data.collect());
            chunks.entry(words[0]).or_default().push(chunk);
        }
        let five = run(&chunks["raw"], 0, M5);
        check_same(&format!("{name}, 5m"), &five, &chunks["five"]);
        let hour = run(&chunks["five"], M5, H);
        check_same(&format!("{name}, 1h"), &hour, &chunks["hour"]);
        // From our own aggregates it is the same.
        check_same(&format!("{name}, 1h of ours"), &run(&five, M5, H), &hour);
        cases += 1;
    }
    assert_eq!(cases, 6);
}

fn check_same(name: &str, ours: &Held, theirs: &Held) {
    let ranges = |held: &Held| held.iter().map(|(range, ..)| *range).collect::<Vec<_>>();
    assert_eq!(ranges(ours), ranges(theirs), "{name}");
    for ((_, _, ours), (range, _, theirs)) in ours.iter().zip(theirs) {
        for of in Aggregate::ALL {
            assert_eq!(aggregate(ours, of), aggregate(theirs, of), "{name}: {of:?} of {range:?}");
        }
        let is_histogram = AggrChunk::read(theirs).unwrap().is_histogram();
        assert!(is_histogram || ours == theirs, "{name}: {range:?}");
    }
}

fn table(chunks: &[&[(i64, f64)]]) -> Held {
    chunks.iter().map(|samples| floats(samples)).collect()
}

const STALE: f64 = f64::from_bits(STALE_NAN_BITS);

/// From Thanos' `TestDownsample`.
#[test]
fn tables_of_raw_samples() {
    let first =
        [(20, 1.), (40, 2.), (60, 3.), (80, 1.), (100, 2.), (101, STALE), (120, 5.), (180, 10.), (250, 1.)];
    let out = run(&table(&[&first]), 0, 100);
    let of = |a| aggregate(&out[0].2, a);
    assert_eq!(of(Aggregate::Count), ["99:4", "199:3", "250:1"]);
    assert_eq!(of(Aggregate::Sum), ["99:7", "199:17", "250:1"]);
    assert_eq!(of(Aggregate::Min), ["99:1", "199:2", "250:1"]);
    assert_eq!(of(Aggregate::Max), ["99:3", "199:10", "250:1"]);
    assert_eq!(of(Aggregate::Counter), ["20:1", "99:4", "199:13", "250:14", "250:1"]);

    let nan = [(20, f64::NAN), (100, f64::NAN), (101, STALE), (250, f64::NAN)];
    let second = [(260, 1.), (300, 10.), (340, 15.), (380, 25.), (420, 35.)];
    let third = [(460, STALE), (500, 10.), (540, 3.)];
    let out = run(&table(&[&nan, &second, &third]), 0, 100);
    let of = |a| aggregate(&out[0].2, a);
    assert_eq!((out.len(), out[0].0), (1, TimeRange::new(299, 540)));
    assert_eq!(of(Aggregate::Count), ["299:1", "399:3", "499:1", "540:2"]);
    assert_eq!(of(Aggregate::Sum), ["299:1", "399:50", "499:35", "540:13"]);
    assert_eq!(of(Aggregate::Min), ["299:1", "399:10", "499:35", "540:3"]);
    assert_eq!(of(Aggregate::Max), ["299:1", "399:25", "499:35", "540:10"]);
    assert_eq!(of(Aggregate::Counter), ["260:1", "299:1", "399:25", "499:35", "540:48", "540:3"]);

    let overlapping = table(&[&first, &first]);
    let mut out = ReadChunks::default();
    let refused = Downsampler::new(0, 100).unwrap().series(&refs(&overlapping), &mut out);
    assert!(refused.unwrap_err().to_string().contains("overlap"));
    assert!(run(&table(&[&[(5, STALE), (9, f64::NAN)]]), 0, 100).is_empty());
    assert!(Downsampler::new(100, 100).is_err() && Downsampler::new(-1, 100).is_err());
}

/// A chunk of aggregates: what is counted, summed and so on, and the counter.
fn aggr(windows: &[(i64, f64)], counter: &[(i64, f64)]) -> (TimeRange, Encoding, Vec<u8>) {
    let (range, _, data) = floats(windows);
    let counter = encode_floats(counter.iter().copied());
    let chunk = [Aggregate::Count, Aggregate::Sum, Aggregate::Min, Aggregate::Max]
        .into_iter()
        .fold(AggrChunk::default(), |chunk, a| chunk.with(a, Encoding::Xor, &data))
        .with(Aggregate::Counter, Encoding::Xor, &counter);
    (range, Encoding::Aggr, chunk.encode())
}

/// From the same, aggregates of aggregates. The counter of the first is three chunks in one.
#[test]
fn tables_of_aggregates() {
    let windows = [(199, 5.), (299, 1.), (399, 10.), (400, -3.), (499, 10.), (699, 0.), (999, 100.)];
    let counter = [
        (99, 100.),
        (299, 150.),
        (499, 210.),
        (499, 10.),
        (599, 20.),
        (799, 50.),
        (999, 120.),
        (999, 50.),
        (1099, 40.),
        (1199, 80.),
        (1299, 110.),
    ];
    let out = run(&vec![aggr(&windows, &counter)], 10, 500);
    let of = |a| aggregate(&out[0].2, a);
    assert_eq!(of(Aggregate::Count), ["499:23", "999:100"]);
    assert_eq!(of(Aggregate::Min), ["499:-3", "999:0"]);
    assert_eq!(of(Aggregate::Max), ["499:10", "999:100"]);
    assert_eq!(of(Aggregate::Counter), ["99:100", "499:210", "999:320", "1299:430", "1299:110"]);

    // What old compactors left behind: an empty chunk, and one of raw samples.
    let raw = [(2_000_000, 3.), (2_010_000, 4.)];
    let left = vec![
        aggr(&windows, &counter),
        (TimeRange::new(5000, 5000), Encoding::Xor, encode_floats([])),
        floats(&raw),
    ];
    let out = run(&left, M5, H);
    assert_eq!(out.len(), 1);
    assert_eq!(aggregate(&out[0].2, Aggregate::Count), ["2010000:125"]);
}

fn custom(count: u64, bounds: &[f64]) -> Value {
    let length = bounds.len() as u32 + 1;
    Value::Int(Arc::new(IntHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: count * u64::from(length),
        sum: count as f64,
        positive_spans: vec![Span { offset: 0, length }],
        positive: vec![count; length as usize],
        custom_values: bounds.to_vec(),
        ..IntHistogram::default()
    }))
}

fn packed(samples: impl IntoIterator<Item = (i64, Value)>) -> Held {
    let (mut packer, mut out) = (pack::Packer::new(false), ReadChunks::default());
    for (t_ms, value) in samples {
        packer.append(Stamp::at(t_ms), &value, &mut out).unwrap();
    }
    packer.finish(&mut out);
    out.iter().map(|c| (c.range, c.encoding, c.data.to_vec())).collect()
}

/// Also where their bounds change.
#[test]
fn custom_buckets() {
    let samples = (0..20).map(|n| (n * 60_000, custom(n as u64 + 1, &[1.0, 2.0])));
    // A reset, and other bounds: another chunk.
    let reset = (20..25).map(|n| (n * 60_000, custom(n as u64 - 19, &[1.0, 2.0])));
    let others = (25..30).map(|n| (n * 60_000, custom(7, &[1.0, 3.0])));
    let five = run(&packed(samples.chain(reset).chain(others)), 0, M5);
    assert_eq!(five.len(), 2);
    let first = &five[0].2;
    assert_eq!(
        aggregate(first, Aggregate::Count),
        ["299999:5", "599999:5", "899999:5", "1199999:5", "1440000:5"]
    );
    let counter = AggrChunk::read(first).unwrap().get(Aggregate::Counter).unwrap();
    let counts: Vec<_> = rows(counter.1, counter.0)
        .into_iter()
        .map(|(_, value)| match value {
            Value::FloatHistogram(h) => (h.count, h.custom_values.len()),
            _ => unreachable!("histograms"),
        })
        .collect();
    assert_eq!(counts, [(15.0, 2), (30.0, 2), (45.0, 2), (60.0, 2), (75.0, 2)], "the reset is taken out");
    let hour = run(&five, M5, H);
    assert_eq!(hour.len(), 2);
    assert_eq!(aggregate(&hour[0].2, Aggregate::Count), ["1440000:25"]);
}

fn gauge(counts: [f64; 2]) -> Value {
    Value::FloatHistogram(Arc::new(FloatHistogram {
        reset: CounterReset::Gauge,
        count: counts.iter().sum(),
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive: counts.to_vec(),
        ..FloatHistogram::default()
    }))
}

/// 0.2, and 0.9 − 0.2 more, and 0 − 0.9 more: less than nothing, where changes are added up.
#[test]
fn gauges_that_rounding_would_take_below_nothing() {
    let changes = [[0.2, 1.0], [0.9, 1.0], [0.0, 1.0]];
    let five = run(&packed((0..).map(|n| n * 300_000).zip(changes.map(gauge))), 0, M5);
    let last = |chunk: &[u8]| aggregate(chunk, Aggregate::Counter).pop().unwrap();
    assert!(last(&five[0].2).ends_with("[(0, 0.0), (1, 1.0)] []"), "{}", last(&five[0].2));

    // As Thanos writes it.
    let mut chunk = (nilometer_chunk::HistogramAppender::<f64>::new(false), Vec::new());
    for (t_ms, v) in [(299_999, 0.5), (599_999, -2e-17)] {
        let Value::FloatHistogram(h) = gauge([v, 1.0]) else { unreachable!("histograms") };
        let _ = chunk.0.append(&mut chunk.1, Stamp::at(t_ms), &h);
    }
    let (counts, sum) = (
        encode_floats([(299_999, 5.0), (599_999, 5.0)]),
        packed([299_999, 599_999].map(|t| (t, gauge([1.0, 1.0])))),
    );
    let theirs = AggrChunk::default()
        .with(Aggregate::Count, Encoding::Xor, &counts)
        .with(Aggregate::Sum, Encoding::FloatHistogram, &sum[0].2)
        .with(Aggregate::Counter, Encoding::FloatHistogram, &chunk.1);
    let hour = run(&vec![(TimeRange::new(0, 599_999), Encoding::Aggr, theirs.encode())], M5, H);
    assert!(last(&hour[0].2).ends_with("[(0, 0.0), (1, 1.0)] []"), "{}", last(&hour[0].2));
}

#[test]
fn zero_buckets_that_widen() {
    let histogram = |n: i64| {
        let zero_threshold = if n < 60 { 0.001 } else { 0.01 };
        let positive_spans = vec![Span { offset: 3, length: 1 }];
        Value::FloatHistogram(Arc::new(FloatHistogram {
            zero_threshold,
            count: n as f64,
            positive_spans,
            positive: vec![n as f64],
            ..FloatHistogram::default()
        }))
    };
    let five = run(&packed((1..120).map(|n| (n * 60_000, histogram(n)))), 0, M5);
    let windows: usize = five.iter().map(|(_, _, c)| aggregate(c, Aggregate::Sum).len()).sum();
    assert_eq!((windows, five.len()), (24, 2), "no window is lost where a chunk has to end");
}

/// Of whole numbers, so that sums are exact.
fn some_series() -> impl Strategy<Value = Vec<(i64, f64)>> {
    let step = prop_oneof![8 => 1..20_000i64, 2 => 20_000..900_000i64, 1 => 1_000_000..9_000_000i64];
    let value = prop_oneof![12 => (0..1000i32).prop_map(f64::from), 1 => Just(f64::NAN), 1 => Just(STALE)];
    (-2_000_000..2_000_000i64, prop::collection::vec((step, value), 1..900)).prop_map(|(start, steps)| {
        let mut t_ms = start;
        steps
            .into_iter()
            .map(|(step, v)| {
                t_ms += step;
                (t_ms, v)
            })
            .collect()
    })
}

/// Count, sum, minimum and maximum of each window, whatever chunks there are.
fn model(samples: &[(i64, f64)], to_ms: i64) -> BTreeMap<i64, (f64, f64, f64, f64)> {
    let mut windows = BTreeMap::new();
    for &(t_ms, v) in samples.iter().filter(|(_, v)| !v.is_nan()) {
        let (count, sum, min, max) =
            windows.entry(t_ms.div_euclid(to_ms)).or_insert((0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY));
        (*count, *sum) = (*count + 1.0, *sum + v);
        (*min, *max) = (v.min(*min), v.max(*max));
    }
    windows
}

/// The same from aggregates. Windows of one time may be told in two chunks where those had to end within it.
fn told(chunks: &Held, to_ms: i64) -> BTreeMap<i64, (f64, f64, f64, f64)> {
    let mut windows = BTreeMap::new();
    for (_, _, data) in chunks {
        let chunk = AggrChunk::read(data).unwrap();
        let column = |a| -> Vec<(i64, f64)> {
            let (encoding, data) = chunk.get(a).unwrap();
            let float =
                |(t, value)| if let Value::Float(v) = value { (t, v) } else { unreachable!("floats") };
            rows(data, encoding).into_iter().map(float).collect()
        };
        let [count, sum, min, max] =
            [Aggregate::Count, Aggregate::Sum, Aggregate::Min, Aggregate::Max].map(column);
        for n in 0..count.len() {
            let window = windows.entry(count[n].0.div_euclid(to_ms)).or_insert((
                0.0,
                0.0,
                f64::INFINITY,
                f64::NEG_INFINITY,
            ));
            assert!([sum[n].0, min[n].0, max[n].0].iter().all(|t| *t == count[n].0));
            (window.0, window.1) = (window.0 + count[n].1, window.1 + sum[n].1);
            (window.2, window.3) = (min[n].1.min(window.2), max[n].1.max(window.3));
        }
    }
    windows
}

/// What a counter rose by, resets taken out, from its aggregates in all chunks.
fn rise(chunks: &Held) -> Option<f64> {
    let (mut counter, mut first, mut last) = (nilometer_chunk::aggr::Counter::default(), None, None);
    for (_, _, data) in chunks {
        let (encoding, data) = AggrChunk::read(data).unwrap().get(Aggregate::Counter).unwrap();
        for (t_ms, value) in rows(data, encoding) {
            let Value::Float(v) = value else { unreachable!("floats") };
            last = counter.next(t_ms, v).or(last);
            first = first.or(last);
        }
    }
    Some(last? - first?)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn aggregates_tell_of_all_samples(mut samples in some_series(), cut in 1..200usize) {
        samples.iter_mut().for_each(|(_, v)| *v -= 300.0);
        let five = run(&samples.chunks(cut).map(floats).collect(), 0, M5);
        prop_assert!(five.is_sorted_by(|a, b| a.0.max_ms < b.0.min_ms));
        prop_assert_eq!(told(&five, M5), model(&samples, M5));
        let hour = run(&five, M5, H);
        prop_assert_eq!(told(&hour, H), model(&samples, H));
        let total: f64 = told(&hour, H).values().map(|w| w.0).sum();
        prop_assert_eq!(total, samples.iter().filter(|(_, v)| !v.is_nan()).count() as f64);
    }

    #[test]
    fn counters_rise_by_as_much(samples in some_series(), cut in 1..200usize) {
        let five = run(&samples.chunks(cut).map(floats).collect(), 0, M5);
        let mut counter = nilometer_chunk::aggr::Counter::default();
        let totals: Vec<_> = samples.iter().filter_map(|&(t, v)| counter.next(t, v)).collect();
        let rose = totals.last().map(|last| last - totals[0]);
        prop_assert_eq!(rise(&five), rose);
        prop_assert_eq!(rise(&run(&five, M5, H)), rose);
    }

    /// Bytes from outside are an error at worst.
    #[test]
    fn damaged_chunks(samples in some_series(), hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let five = run(&samples.chunks(100).map(floats).collect(), 0, M5);
        for (mut held, from_ms) in [(samples.chunks(100).map(floats).collect::<Held>(), 0), (five, M5)] {
            if let Some((_, _, data)) = held.first_mut() {
                for (at, byte) in &hits {
                    let at = at.index(data.len());
                    data[at] ^= byte;
                }
            }
            let mut out = ReadChunks::default();
            drop(Downsampler::new(from_ms, H).unwrap().series(&refs(&held), &mut out));
        }
    }
}
