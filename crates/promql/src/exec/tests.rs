//! Windows and folds against models that do the obvious.

use super::coarse::Coarse;
use super::grid::Grid;
use super::samples::Samples;
use super::window::{Place, RangeSpec, Seen, each_seen, each_window};
use crate::engine::{Engine, EngineOptions, Range, Source};
use crate::parse::ParseOptions;
use crate::value::Value;
use futures::executor::block_on;
use nilometer_chunk::{Encoding, Stamp};
use nilometer_model::{FloatHistogram, Labels, STALE_NAN_BITS, TimeRange, Value as Stored};
use nilometer_storage::{Chunk, MemoryQueryable, ReadChunks};
use proptest::prelude::*;
use std::sync::Arc;

const STALE: f64 = f64::from_bits(STALE_NAN_BITS);

/// Times that ascend, with values that now and then are special.
fn points() -> impl Strategy<Value = Vec<(i64, f64)>> {
    let value = prop_oneof![
        8 => (-5i8..20).prop_map(f64::from),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(-0.0),
        1 => Just(STALE),
        2 => -1e9..1e9f64,
    ];
    prop::collection::vec((1..90i64, value), 0..60).prop_map(|gaps| {
        let mut t = -200;
        gaps.into_iter()
            .map(|(gap, v)| {
                t += gap;
                (t, v)
            })
            .collect()
    })
}

fn grids() -> impl Strategy<Value = Grid> {
    (-300..800i64, 1..200i64, 1..30usize).prop_map(|(start_ms, step_ms, len)| Grid { start_ms, step_ms, len })
}

fn places() -> impl Strategy<Value = Place> {
    (prop::option::of(-300..800i64), -100..100i64).prop_map(|(at_ms, offset_ms)| Place { at_ms, offset_ms })
}

fn columns(points: &[(i64, f64)]) -> Samples {
    let (t, v) = points.iter().copied().unzip();
    Samples { t, v, ..Samples::default() }
}

proptest! {
    #[test]
    fn a_window_holds_what_lies_in_it(
        points in points(),
        grid in grids(),
        place in places(),
        range_ms in 0..400i64,
    ) {
        let samples = columns(&points);
        let spec = RangeSpec { place, range_ms, mode: None, lookback_ms: 0, least_windows: 0 };
        let mut found = Vec::new();
        each_window(&samples, &spec, grid, |w| found.push((w.step, w.t().to_vec())));
        let mut expected = Vec::new();
        for step in 0..grid.len {
            let end = place.at_ms.unwrap_or(grid.start_ms + step as i64 * grid.step_ms) - place.offset_ms;
            let inside: Vec<i64> =
                points.iter().map(|p| p.0).filter(|t| *t > end - range_ms && *t <= end).collect();
            if !inside.is_empty() {
                expected.push((step, inside));
            }
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn an_instant_selector_sees_the_newest(
        points in points(),
        grid in grids(),
        place in places(),
        lookback_ms in 1..400i64,
    ) {
        let samples = columns(&points);
        let mut found = Vec::new();
        each_seen(&samples, (place, lookback_ms), grid, |step, seen| {
            let Seen::Float { t_ms, v, .. } = seen else { panic!("no histograms here") };
            found.push((step, t_ms, v.to_bits()));
        });
        let mut expected = Vec::new();
        for step in 0..grid.len {
            let at = place.at_ms.unwrap_or(grid.start_ms + step as i64 * grid.step_ms) - place.offset_ms;
            let newest = points.iter().rev().find(|p| p.0 <= at);
            if let Some((t, v)) = newest.filter(|(t, v)| *t > at - lookback_ms && v.to_bits() != STALE_NAN_BITS) {
                expected.push((step, *t, v.to_bits()));
            }
        }
        prop_assert_eq!(found, expected);
    }

    /// Chunks that overlap, from several sources: of one time the first chunk's sample counts.
    #[test]
    fn overlapping_chunks_are_merged(mut runs in prop::collection::vec(points(), 1..5)) {
        runs.retain(|run| !run.is_empty());
        runs.sort_by_key(|run| run[0].0);
        let mut expected = std::collections::BTreeMap::new();
        let mut chunks = Vec::new();
        for run in &runs {
            for (t, v) in run {
                expected.entry(*t).or_insert(v.to_bits());
            }
            let range = TimeRange::new(run[0].0, run[run.len() - 1].0);
            let data = nilometer_chunk::encode_floats(run.iter().copied()).into();
            chunks.push(Chunk { range, encoding: Encoding::Xor, data });
        }
        let mut samples = Samples::default();
        let mut read = ReadChunks::default();
        read.load(&chunks.into());
        samples.load(&read, TimeRange::ALL, (true, Coarse::default())).unwrap();
        let found: Vec<(i64, u64)> = samples.t.iter().copied().zip(samples.v.iter().map(|v| v.to_bits())).collect();
        prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(samples.st.len(), samples.t.len());
    }

    /// Every function over a range, for all steps at once, is what it is for each step alone.
    #[test]
    fn steps_do_not_depend_on_each_other(points in points(), grid in grids(), which in 0..QUERIES.len()) {
        let engine = Engine::new(EngineOptions { parse: crate::parse::ParseOptions::ALL, ..Default::default() });
        let mut memory = MemoryQueryable::default();
        memory.push_floats(Labels::from_pairs([("__name__", "m")]), &points);
        memory.push_floats(Labels::from_pairs([("__name__", "m"), ("l", "1")]), &points);
        let source = Source::new(Arc::new(memory));
        let query = QUERIES[which];
        let range = Range { start_ms: grid.start_ms, end_ms: grid.end_ms(), step_ms: grid.step_ms };
        let together = bits(&block_on(engine.range(&source, query, range)).unwrap().value);
        let mut alone = Vec::new();
        for t_ms in grid.times() {
            let one = Range { start_ms: t_ms, end_ms: t_ms, step_ms: 1 };
            alone.extend(bits(&block_on(engine.range(&source, query, one)).unwrap().value));
        }
        let mut together = together;
        together.sort();
        alone.sort();
        prop_assert_eq!(together, alone, "{}", query);
    }
}

/// All samples of a matrix: labels, time, bits of the value.
fn bits(value: &Value) -> Vec<(Labels, i64, u64)> {
    let Value::Matrix(series) = value else { panic!("no matrix") };
    let of = |s: &crate::value::MatrixSeries| {
        let labels = s.labels.clone();
        // The payload of a NaN that arithmetic made is the processor's.
        let canonical = |v: f64| if v.is_nan() { f64::NAN.to_bits() } else { v.to_bits() };
        s.floats.iter().map(move |p| (labels.clone(), p.t_ms, canonical(p.v))).collect::<Vec<_>>()
    };
    series.iter().flat_map(of).collect()
}

const QUERIES: [&str; 34] = [
    "rate(m[300ms])",
    "increase(m[150ms])",
    "delta(m[300ms])",
    "irate(m[300ms])",
    "idelta(m[300ms])",
    "deriv(m[300ms])",
    "predict_linear(m[300ms], 60)",
    "avg_over_time(m[300ms])",
    "sum_over_time(m[200ms])",
    "min_over_time(m[200ms])",
    "max_over_time(m[500ms])",
    "ts_of_max_over_time(m[500ms])",
    "ts_of_min_over_time(m[100ms])",
    "count_over_time(m[200ms])",
    "first_over_time(m[200ms])",
    "last_over_time(m[200ms])",
    "stddev_over_time(m[200ms])",
    "stdvar_over_time(m[200ms])",
    "mad_over_time(m[200ms])",
    "quantile_over_time(0.3, m[200ms])",
    "changes(m[300ms])",
    "resets(m[300ms])",
    "present_over_time(m[100ms])",
    "absent_over_time(m[100ms])",
    "absent(m)",
    "sum(m)",
    "avg by (l) (m)",
    "count(m > 3)",
    "topk(1, m)",
    "quantile(0.4, m)",
    "m - on (l) m",
    "m > bool 2 or m offset 50ms",
    "max_over_time(m[300ms:50ms])",
    "count_values(\"v\", round(m))",
];

#[test]
fn a_subquery_of_too_many_steps_is_refused() {
    let engine = Engine::new(EngineOptions::default());
    let source = Source::new(Arc::new(MemoryQueryable::default()));
    let error = block_on(engine.instant(&source, "sum_over_time(m[200y:1ms])", 0)).unwrap_err();
    assert!(error.to_string().contains("query.max-memory"), "{error}");
}

/// The parser refuses what is deeper; all else has to fit a thread's usual stack.
#[test]
fn the_deepest_queries_fit_the_stack() {
    let deep = crate::parse::MAX_DEPTH - 8;
    let queries = [
        format!("m{}", " + m".repeat(deep)),
        format!("{}m{}", "abs(".repeat(deep), ")".repeat(deep)),
        format!("{}m{}", "sum(".repeat(deep), ")".repeat(deep)),
        format!("vector({}1{})", "scalar(vector(".repeat(deep / 2), "))".repeat(deep / 2)),
        format!("{}m{}", "topk(scalar(".repeat(deep / 2), "), m)".repeat(deep / 2)),
        format!("{}m{}", "-(1 + ".repeat(deep / 3), ")".repeat(deep / 3)),
        format!("{}m{}", "label_join(".repeat(deep), ", \"a\", \",\", \"b\")".repeat(deep)),
        format!("{}m{}", "(m or ".repeat(deep / 2), ")".repeat(deep / 2)),
        format!("{}m{}", "max_over_time(".repeat(deep / 2), "[1m:1m])".repeat(deep / 2)),
        format!("{}m{}", "(".repeat(deep), ")".repeat(deep)),
        format!("{}m", "-".repeat(deep)),
        format!("{}m", "m ^ ".repeat(deep)),
        format!("m{}", " == bool m unless m".repeat(deep / 2)),
        format!("{}m{}", "m * on () group_left () (".repeat(deep / 2), ")".repeat(deep / 2)),
        format!("vector({}1)", "1 + ".repeat(deep - 2)),
        format!("count_over_time(m[{}5m{}])", "(".repeat(deep - 4), ")".repeat(deep - 4)),
        format!("count_over_time(m[{}1s])", "1s + ".repeat(deep - 4)),
        format!("m offset {}step()", "-".repeat(deep - 4)),
        format!("m offset ({}1s{})", "max_of(1s, ".repeat(deep - 4), ")".repeat(deep - 4)),
    ];
    let run = move || {
        let parse = crate::parse::ParseOptions::ALL;
        let engine = Engine::new(EngineOptions { parse, ..EngineOptions::default() });
        let mut memory = MemoryQueryable::default();
        memory.push_floats(Labels::from_pairs([("__name__", "m")]), &[(0, 1.0)]);
        let source = Source::new(Arc::new(memory));
        for query in queries {
            let result = block_on(engine.instant(&source, &query, 0));
            assert!(result.is_ok(), "{}: {:?}", &query[..30], result.err());
            let range = Range { start_ms: 0, end_ms: 1, step_ms: 1 };
            let result = block_on(engine.range(&source, &query, range));
            assert!(result.is_ok(), "{}: {:?}", &query[..30], result.err());
        }
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(run);
    thread.unwrap().join().unwrap();
}

/// What a query may hold is bounded, and the refusal says by what.
#[test]
fn limits_are_named() {
    let mut memory = MemoryQueryable::default();
    for i in 0..200 {
        let labels = Labels::from_pairs([("__name__", "m".to_owned()), ("i", i.to_string())]);
        memory.push_floats(labels, &[(0, 1.0), (1000, 2.0)]);
    }
    let source = Source::new(Arc::new(memory));
    let with = |limits: crate::Limits| Engine::new(EngineOptions { limits, ..EngineOptions::default() });
    let none = crate::Limits { max_samples: 0, max_memory_bytes: 0, max_steps: 0 };
    let range = Range { start_ms: 0, end_ms: 100_000, step_ms: 1000 };
    let error = |engine: Engine, query| match block_on(engine.range(&source, query, range)) {
        Ok(_) => String::new(),
        Err(e) => e.to_string(),
    };
    let samples = with(crate::Limits { max_samples: 1000, ..none });
    assert!(error(samples.clone(), "m").contains("too many samples into memory"));
    assert_eq!(error(samples, "sum(m)"), "", "only the sum is held");
    let bytes = with(crate::Limits { max_memory_bytes: 20_000, ..none });
    for query in
        ["m", "topk(3, m)", "quantile(0.5, m)", "count_values by (i) (\"x\", m)", "sum by (i) (m)", "m + m"]
    {
        assert!(error(bytes.clone(), query).contains("query.max-memory"), "{query}");
    }
    // The steps of a subquery fit, but not beside the same as samples.
    assert!(error(bytes.clone(), "max_over_time(vector(1)[1s:50ms])").contains("query.max-memory"));
    assert_eq!(error(bytes, "sum(m)"), "");
    assert!(error(with(crate::Limits { max_steps: 100, ..none }), "m").contains("query.max-steps"));
}

#[test]
fn interrupts_end_a_query() {
    let engine = Engine::new(EngineOptions::default());
    let mut source = Source::new(Arc::new(MemoryQueryable::default()));
    source.interrupt = Some(Arc::new(|| Some(crate::Stop::TimedOut)));
    let error = block_on(engine.instant(&source, "m", 0)).unwrap_err();
    assert_eq!(error.message(), "query timed out in expression evaluation");
}

/// Type and unit go with the name, whether the feature is on or not: series that differ in nothing else become one.
#[test]
fn series_that_only_types_tell_apart() {
    let mut held = MemoryQueryable::default();
    for (at, kind) in ["gauge", "counter"].into_iter().enumerate() {
        let labels = |name| Labels::from_pairs([("__name__", name), ("__type__", kind), ("job", "x")]);
        held.push_floats(labels("m"), &[(0, 1.0), (1000, 2.0 + at as f64)]);
        let h = Stored::FloatHistogram(Arc::new(FloatHistogram { count: 2.0, ..FloatHistogram::default() }));
        held.push(labels("h"), &[(Stamp::at(1000), h)]);
    }
    let source = Source::new(Arc::new(held));
    for type_and_unit_labels in [false, true] {
        let options =
            EngineOptions { type_and_unit_labels, parse: ParseOptions::ALL, ..EngineOptions::default() };
        let engine = Engine::new(options);
        let count = |query: &str| -> Result<usize, String> {
            match block_on(engine.instant(&source, query, 1000)).map_err(|e| e.message().to_owned())?.value {
                Value::Vector(samples) => Ok(samples.len()),
                other => panic!("{other:?}"),
            }
        };
        for (query, expected) in [
            ("sum without () (m)", 2),
            ("sum by (__type__) (m)", 2),
            ("sum(m)", 1),
            ("abs(m{__type__=\"gauge\"})", 1),
            ("histogram_count(h)", 2),
        ] {
            assert_eq!(count(query), Ok(expected), "{query}");
        }
        for query in [
            "abs(m)",
            "rate(m[5s])",
            "sum(-m)",
            "abs(sum without () (m))",
            "abs(sum by (__type__) (m))",
            "abs(histogram_count(h))",
            "sum(abs(m))",
        ] {
            let error = "vector cannot contain metrics with the same labelset".to_owned();
            assert_eq!(count(query), Err(error), "{query}");
        }
    }
}

/// A server moves queries between threads.
#[test]
fn queries_can_be_sent() {
    fn is_send<T: Send>(_: &T) {}
    let engine = Engine::new(EngineOptions::default());
    let source = Source::new(Arc::new(MemoryQueryable::default()));
    is_send(&engine.instant(&source, "m", 0));
    is_send(&engine.range(&source, "m", Range { start_ms: 0, end_ms: 1, step_ms: 1 }));
}
