//! Downsampled chunks beside raw ones, against what the raw samples say.

use futures::executor::block_on;
use futures::stream;
use nilometer_chunk::{Encoding, encode_floats};
use nilometer_compact::Downsampler;
use nilometer_model::{Labels, Result, TimeRange};
use nilometer_promql::value::SampleValue;
use nilometer_promql::{Engine, EngineOptions, Range, Resolution, Source, Value};
use nilometer_storage::{
    BoxFuture, Chunk, ChunkRef, Chunks, LabelQuery, Names, Queryable, ReadChunks, Select, Series,
    SeriesBatch, SeriesStream,
};
use proptest::prelude::*;
use std::sync::Arc;

const MINUTE: i64 = 60_000;
const M5: i64 = 5 * MINUTE;
const HOUR: i64 = 60 * MINUTE;
/// Some hour of no importance.
const START: i64 = 472_222 * HOUR;

type Points = Vec<(i64, f64)>;

/// One series.
#[derive(Clone)]
struct Holder(Chunks);

impl Queryable for Holder {
    fn select(&self, _: Select) -> SeriesStream {
        let labels = Labels::from_pairs([("__name__", "x_total")]);
        let series = vec![Series { labels, chunks: self.0.clone() }];
        Box::pin(stream::iter([Ok(SeriesBatch { series, warnings: Vec::new() })]))
    }

    fn label_names(&self, _: LabelQuery) -> BoxFuture<Result<Names>> {
        Box::pin(std::future::ready(Ok(Names::default())))
    }

    fn label_values(&self, _: &str, _: LabelQuery) -> BoxFuture<Result<Names>> {
        Box::pin(std::future::ready(Ok(Names::default())))
    }
}

/// What a block of these samples has.
fn block(points: &[(i64, f64)], resolution_ms: i64) -> Chunks {
    let raw = points.chunks(120).map(|part| {
        let range = TimeRange::new(part[0].0, part[part.len() - 1].0);
        (range, Encoding::Xor, encode_floats(part.iter().copied()))
    });
    let mut held: Vec<_> = raw.collect();
    for (from_ms, to_ms) in [(0, M5), (M5, HOUR)] {
        if to_ms <= resolution_ms {
            let refs: Vec<_> = held
                .iter()
                .map(|(range, encoding, data)| ChunkRef { range: *range, encoding: *encoding, data })
                .collect();
            let mut out = ReadChunks::default();
            Downsampler::new(from_ms, to_ms).unwrap().series(&refs, &mut out).unwrap();
            held = out.iter().map(|c| (c.range, c.encoding, c.data.to_vec())).collect();
        }
    }
    let chunk = |(range, encoding, data): (_, _, Vec<u8>)| Chunk { range, encoding, data: data.into() };
    Chunks::from(held.into_iter().map(chunk).collect::<Vec<_>>()).of_resolution(resolution_ms)
}

fn within(points: &[(i64, f64)], from_ms: i64, to_ms: i64) -> Points {
    points.iter().copied().filter(|(t, _)| (from_ms..to_ms).contains(t)).collect()
}

/// The blocks of some parts of the samples, `[from, to)` and resolution.
fn holder(points: &[(i64, f64)], parts: &[(i64, i64, i64)]) -> Holder {
    let mut all = Chunks::default();
    for (from_ms, to_ms, resolution_ms) in parts {
        let part = within(points, *from_ms, *to_ms);
        if !part.is_empty() {
            all.extend(block(&part, *resolution_ms));
        }
    }
    Holder(all)
}

fn source(holder: &Holder, resolution: Resolution) -> Source {
    Source { resolution, ..Source::new(Arc::new(holder.clone())) }
}

/// Values at the steps that have one.
fn steps(source: &Source, query: &str, range: Range) -> Points {
    let engine = Engine::new(EngineOptions::default());
    let result = block_on(engine.range(source, query, range)).unwrap_or_else(|e| panic!("{query}: {e}"));
    let Value::Matrix(series) = result.value else { panic!("{query} is no matrix") };
    series.into_iter().flat_map(|s| s.floats).map(|s| (s.t_ms, s.v)).collect()
}

fn value(source: &Source, query: &str, t_ms: i64) -> Option<f64> {
    let engine = Engine::new(EngineOptions::default());
    let Value::Vector(samples) = block_on(engine.instant(source, query, t_ms)).unwrap().value else {
        panic!("{query} is no vector")
    };
    samples.first().map(|sample| match &sample.value {
        SampleValue::Float(v) => *v,
        SampleValue::Histogram(_) => panic!("{query} is a histogram"),
    })
}

fn upto(ms: i64) -> Resolution {
    Resolution::UpTo { ms }
}

const RESOLUTIONS: [i64; 3] = [0, M5, HOUR];

/// Samples at odd times over two days and a half, with pauses.
fn some_points() -> impl Strategy<Value = Points> {
    let gap = prop_oneof![30 => 20_000..7 * MINUTE, 1 => HOUR..5 * HOUR];
    prop::collection::vec((gap, -50i32..50), 200..700).prop_map(|steps| {
        let mut t = START + 123;
        let mut all = Points::new();
        for (gap, v) in steps {
            all.push((t, f64::from(v)));
            t += gap;
        }
        all
    })
}

/// Blocks with whole hours that overlap anyhow and leave nothing out.
fn some_parts() -> impl Strategy<Value = Vec<(i64, i64, i64)>> {
    let resolution = || prop::sample::select(RESOLUTIONS.to_vec());
    let more = prop::collection::vec((0i64..60, 1i64..40, resolution()), 0..6);
    (prop::collection::vec((1i64..30, resolution()), 1..8), more).prop_map(|(tiles, more)| {
        let (mut parts, mut from) = (Vec::new(), 0);
        for (hours, resolution) in tiles {
            parts.push((START + from * HOUR, START + (from + hours) * HOUR, resolution));
            from += hours;
        }
        parts.push((START + from * HOUR, START + 400 * HOUR, 0));
        let more = more.into_iter().map(|(at, hours, r)| (START + at * HOUR, START + (at + hours) * HOUR, r));
        parts.extend(more);
        parts
    })
}

/// A counter that rises by one in each second, but for its resets: then it goes on from zero.
fn some_counter(resets: usize) -> impl Strategy<Value = Points> {
    prop::collection::btree_set(0usize..3600, 0..=resets).prop_map(|resets| {
        let mut v = 1e9;
        let point = |n: usize| {
            v = if resets.contains(&n) { 60.0 } else { v + 60.0 };
            (START + n as i64 * MINUTE + 30_000, v)
        };
        (0..3600).map(point).collect()
    })
}

/// What a function says of the raw samples in a window.
fn naive(query: &str, v: &[f64]) -> f64 {
    let (sum, count) = (v.iter().sum::<f64>(), v.len() as f64);
    match query {
        "min" => v.iter().copied().fold(f64::INFINITY, f64::min),
        "max" => v.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "sum" => sum,
        "count" => count,
        "present" => 1.0,
        _ => sum / count,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever is coarse and whatever overlaps, whole windows have each sample once.
    #[test]
    fn whole_windows_are_exact(
        points in some_points(),
        parts in some_parts(),
        allowed in prop::sample::select(RESOLUTIONS.to_vec()),
        hours in 1i64..8,
        step_hours in 1i64..5,
    ) {
        let source = source(&holder(&points, &parts), upto(allowed));
        let range = Range { start_ms: START + HOUR - 1, end_ms: START + 60 * HOUR - 1, step_ms: step_hours * HOUR };
        for name in ["min", "max", "sum", "count", "present", "avg"] {
            let got = steps(&source, &format!("{name}_over_time(x_total[{hours}h])"), range);
            let mut expected = Points::new();
            for t in (range.start_ms..=range.end_ms).step_by(range.step_ms as usize) {
                let window = within(&points, t - hours * HOUR + 1, t + 1);
                let v: Vec<f64> = window.into_iter().map(|(_, v)| v).collect();
                if !v.is_empty() {
                    expected.push((t, naive(name, &v)));
                }
            }
            prop_assert_eq!(got.len(), expected.len(), "{}", name);
            for (got, expected) in got.iter().zip(&expected) {
                let is_same = got.0 == expected.0 && (got.1 - expected.1).abs() <= 1e-9 * expected.1.abs();
                prop_assert!(is_same, "{}: {:?}, not {:?}", name, got, expected);
            }
        }
    }

    /// Where only windows longer than the range are left, what happened in one is shared out evenly, and no step is
    /// without a value between the first sample and the last.
    #[test]
    fn ranges_shorter_than_windows(
        counter in some_counter(3),
        resolution in prop::sample::select(vec![M5, HOUR]),
        minutes in 1i64..90,
        step_minutes in 1i64..40,
    ) {
        let source = source(&holder(&counter, &[(START, i64::MAX, resolution)]), Resolution::Auto);
        let least = |windows: i64| minutes * MINUTE < windows * resolution;
        let (first, last) = (START + 2 * HOUR, START + 58 * HOUR);
        let range = Range { start_ms: first, end_ms: last, step_ms: step_minutes * MINUTE };
        let times: Vec<i64> = (first..=last).step_by(range.step_ms as usize).collect();
        let of_window = |t: i64| {
            let end = t - t.rem_euclid(resolution) + if t.rem_euclid(resolution) == resolution - 1 { 0 } else { resolution };
            let begin = end - resolution;
            within(&counter, begin, end).into_iter().map(|(_, v)| v).collect::<Vec<_>>()
        };
        if least(2) {
            let got = steps(&source, &format!("rate(x_total[{minutes}m])"), range);
            prop_assert_eq!(got.iter().map(|p| p.0).collect::<Vec<_>>(), times.clone());
            // It rises by one in each second; a chunk's last row has the time of its last sample, not of its window.
            let odd: Vec<_> = got.iter().filter(|(_, v)| !(0.75..1.12).contains(v)).collect();
            prop_assert!(odd.is_empty(), "{:?}", odd);
            let increase = steps(&source, &format!("increase(x_total[{minutes}m])"), range);
            for (rate, increase) in got.iter().zip(&increase) {
                prop_assert!((rate.1 * (minutes * 60) as f64 - increase.1).abs() < 1e-6);
            }
        }
        if least(1) {
            for name in ["min", "max", "avg", "count", "sum"] {
                let got = steps(&source, &format!("{name}_over_time(x_total[{minutes}m])"), range);
                prop_assert_eq!(got.len(), times.len(), "{}", name);
                for (t, v) in got {
                    let share = match name {
                        "count" | "sum" => (minutes * MINUTE) as f64 / resolution as f64,
                        _ => 1.0,
                    };
                    let expected = naive(name, &of_window(t)) * share;
                    // Chunks of five minutes may end within a window, which has two rows then.
                    prop_assert!(resolution == M5 || (v - expected).abs() <= 1e-9 * expected.abs(), "{} at {}: {}, not {}", name, t, v, expected);
                }
            }
        }
    }

    /// Blocks that begin and end in the midst of windows: none is missing, and none counts twice.
    #[test]
    fn boundaries_anywhere(
        points in some_points(),
        cuts in prop::collection::btree_map(1..60 * HOUR, prop::sample::select(RESOLUTIONS.to_vec()), 0..8),
        allowed in prop::sample::select(RESOLUTIONS.to_vec()),
    ) {
        let (mut parts, mut from, mut of) = (Vec::new(), START, HOUR);
        for (cut, resolution) in cuts {
            parts.push((from, START + cut, of));
            (from, of) = (START + cut, resolution);
        }
        parts.push((from, i64::MAX, of));
        let source = source(&holder(&points, &parts), upto(allowed));
        let v: Vec<f64> = points.iter().map(|(_, v)| *v).collect();
        for name in ["min", "max", "sum", "count"] {
            let got = value(&source, &format!("{name}_over_time(x_total[1000d])"), START + 400 * HOUR);
            prop_assert_eq!(got, Some(naive(name, &v)), "{}", name);
        }
    }

    /// An instant selector sees something at each step, whatever meets there, and nothing invented.
    #[test]
    fn no_gaps(
        values in prop::collection::vec(-50i32..50, 60 * 12),
        parts in some_parts(),
        allowed in prop::sample::select(RESOLUTIONS.to_vec()),
        offset in 0..HOUR,
        step_ms in MINUTE..3 * HOUR,
    ) {
        let points: Points =
            values.iter().enumerate().map(|(n, v)| (START + n as i64 * M5 + 7_000, f64::from(*v))).collect();
        let source = source(&holder(&points, &parts), upto(allowed));
        // The first window has to have ended.
        let range = Range { start_ms: START + HOUR + offset, end_ms: START + 59 * HOUR, step_ms };
        let got = steps(&source, "x_total", range);
        let all = (range.start_ms..=range.end_ms).step_by(step_ms as usize);
        let missing: Vec<i64> = all.filter(|t| got.binary_search_by_key(t, |s| s.0).is_err()).collect();
        prop_assert_eq!(missing, [0i64; 0]);
        for (t, v) in got {
            let near = within(&points, t - 2 * HOUR, t + HOUR);
            let least = naive("min", &near.iter().map(|p| p.1).collect::<Vec<_>>());
            let most = naive("max", &near.iter().map(|p| p.1).collect::<Vec<_>>());
            prop_assert!((least..=most).contains(&v), "{v} at {t}");
        }
    }

    /// However blocks overlap: what is seen of a counter may end with the window before, and where one goes over into
    /// another in the midst of a chunk with resets, a window may be off.
    #[test]
    fn counters_do_not_jump(
        points in some_counter(12),
        parts in some_parts(),
        allowed in prop::sample::select(RESOLUTIONS.to_vec()),
        step_ms in MINUTE..3 * HOUR,
    ) {
        let source = source(&holder(&points, &parts), upto(allowed));
        let range = Range { start_ms: START + 7 * HOUR, end_ms: START + 59 * HOUR, step_ms };
        let rates = steps(&source, "rate(x_total[6h])", range);
        prop_assert_eq!(rates.len() as i64, (range.end_ms - range.start_ms) / step_ms + 1);
        for (t, v) in rates {
            prop_assert!((0.98 - 1.0 / 6.0..1.02 + 1.0 / 6.0).contains(&v), "{v} at {t}");
        }
    }

    /// As blocks are where they thin out with age, whichever of them a query wants.
    #[test]
    fn counters_rise_by_as_much(
        points in some_counter(1),
        (hours, fives) in (5i64..25, 25i64..50),
        overlaps in (0i64..5, 0i64..20),
        allowed in prop::sample::select(RESOLUTIONS.to_vec()),
        step_ms in MINUTE..3 * HOUR,
    ) {
        let parts = [
            (START, START + hours * HOUR, HOUR),
            (START + (hours - overlaps.0) * HOUR, START + fives * HOUR, M5),
            (START + (fives - overlaps.1) * HOUR, i64::MAX, 0),
        ];
        let source = source(&holder(&points, &parts), upto(allowed));
        let range = Range { start_ms: START + 7 * HOUR, end_ms: START + 59 * HOUR, step_ms };
        for (t, v) in steps(&source, "rate(x_total[6h])", range) {
            prop_assert!((v - 1.0).abs() < 0.01, "{v} at {t}");
        }
    }
}
