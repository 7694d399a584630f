//! For fuzzing: whatever the text, nothing panics, and an instant query answers as a range of one step does; and
//! random queries answer as another server's do.

pub mod answer;
pub mod compare;
pub mod data;
pub mod generate;
pub mod judge;
mod known;
mod native;
pub mod random;
pub mod shrink;
#[cfg(test)]
mod tests;
mod typed;

use self::answer::{Answer, Outcome};
use self::judge::Side;
use crate::budget::{Limits, Stop};
use crate::engine::{Engine, EngineOptions, Range, Source};
use crate::parse::ParseOptions;
use crate::script::Script;
use crate::value::{MatrixSeries, SampleValue, Value};
use futures::executor::block_on;
use nilometer_chunk::Stamp;
use nilometer_model::{CounterReset, FloatHistogram, Labels, Span, Value as Stored};
use nilometer_storage::MemoryQueryable;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Whose language, and whose data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Prometheus 2.42: floats.
    V2,
    /// Prometheus 3 with everything experimental.
    V3,
}

/// What of a server changes its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    pub dialect: Dialect,
    pub delayed_name_removal: bool,
    /// It keeps start timestamps, and counts with them.
    pub start_timestamps: bool,
    pub type_and_unit_labels: bool,
}

/// A query and when it is evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub text: String,
    pub times: Times,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    At(i64),
    Steps { start_ms: i64, end_ms: i64, step_ms: i64 },
}

/// Our engine over the fuzzer's data.
pub struct Ours {
    engine: Engine,
    source: Source,
}

impl Ours {
    pub fn new(features: Features) -> Ours {
        let Features { dialect, delayed_name_removal, start_timestamps, type_and_unit_labels } = features;
        let parse = if dialect == Dialect::V3 { ParseOptions::ALL } else { ParseOptions::default() };
        let engine = Engine::new(EngineOptions {
            parse,
            delayed_name_removal,
            start_timestamps,
            type_and_unit_labels,
            ..EngineOptions::default()
        });
        let held = data::queryable(&data::series(dialect));
        Ours { engine, source: Source::new(Arc::new(held)) }
    }
}

impl Side for Ours {
    fn ask(&mut self, asked: &Asked) -> Outcome {
        let result = match asked.times {
            Times::At(t_ms) => block_on(self.engine.instant(&self.source, &asked.text, t_ms)),
            Times::Steps { start_ms, end_ms, step_ms } => {
                block_on(self.engine.range(&self.source, &asked.text, Range { start_ms, end_ms, step_ms }))
            }
        };
        result.map(Answer::from).map_err(|e| e.message().to_owned())
    }
}

/// Evaluates `query` over a few series of every sort. Whether it was answered, and not refused.
pub fn evaluate(query: &str) -> bool {
    evaluate_at(&Arc::new(series()), query, 240_000)
}

/// The same over other series, at a time and around it.
fn evaluate_at(held: &Arc<MemoryQueryable>, query: &str, t_ms: i64) -> bool {
    let mut answered = false;
    for delayed_name_removal in [false, true] {
        let limits = Limits { max_samples: 100_000, max_memory_bytes: 4 << 20, max_steps: 100 };
        let engine = Engine::new(EngineOptions {
            limits,
            parse: ParseOptions::ALL,
            delayed_name_removal,
            start_timestamps: true,
            ..EngineOptions::default()
        });
        let asked = AtomicU32::new(0);
        let mut source = Source::new(held.clone());
        source.interrupt =
            Some(Arc::new(move || (asked.fetch_add(1, Ordering::Relaxed) > 200).then_some(Stop::TimedOut)));
        let at_once = block_on(engine.instant(&source, query, t_ms));
        let range = Range { start_ms: t_ms, end_ms: t_ms, step_ms: 1 };
        let in_range = block_on(engine.range(&source, query, range));
        let around = Range { start_ms: t_ms - 240_000, end_ms: t_ms + 360_000, step_ms: 60_000 };
        drop(block_on(engine.range(&source, query, around)));
        if let (Ok(a), Ok(b)) = (at_once, in_range) {
            assert_eq!(values(&a.value), values(&b.value), "{query}");
            answered = true;
        }
    }
    answered
}

/// Reads a test script.
pub fn script(text: &str) {
    drop(Script::parse(text));
}

/// By labels. A NaN's payload is the processor's, so only that it is one counts.
fn values(value: &Value) -> BTreeMap<Labels, Vec<String>> {
    let canonical = |v: f64| if v.is_nan() { "NaN".to_owned() } else { format!("{:x}", v.to_bits()) };
    let of_matrix = |s: &MatrixSeries| {
        let floats = s.floats.iter().map(|p| canonical(p.v));
        let histograms = s.histograms.iter().map(|p| crate::histogram::describe(&p.h));
        (s.labels.clone(), floats.chain(histograms).collect())
    };
    match value {
        Value::Scalar { v, .. } => BTreeMap::from([(Labels::empty(), vec![canonical(*v)])]),
        Value::String { .. } => BTreeMap::new(),
        Value::Matrix(series) => series.iter().map(of_matrix).collect(),
        Value::Vector(samples) => {
            let text = |v: &SampleValue| match v {
                SampleValue::Float(v) => canonical(*v),
                SampleValue::Histogram(h) => crate::histogram::describe(h),
            };
            samples.iter().map(|s| (s.labels.clone(), vec![text(&s.value)])).collect()
        }
    }
}

fn series() -> MemoryQueryable {
    let mut held = MemoryQueryable::default();
    let labels = |name: &str, more: &[(&str, &str)]| {
        Labels::from_pairs(std::iter::once(("__name__", name)).chain(more.iter().copied()))
    };
    let times = || (0..20i64).map(|i| i * 30_000);
    for (at, job) in ["a", "b"].into_iter().enumerate() {
        let floats = |f: &dyn Fn(i64) -> f64| times().map(|t| (t, f(t / 30_000))).collect::<Vec<_>>();
        held.push_floats(labels("m", &[("job", job)]), &floats(&|i| (i % 7) as f64 * (at + 1) as f64));
        held.push_floats(labels("m_total", &[("job", job), ("l", "1")]), &floats(&|i| (i % 11) as f64));
        for le in ["0.1", "1", "+Inf", "x"] {
            held.push_floats(labels("m_bucket", &[("job", job), ("le", le)]), &floats(&|i| i as f64));
        }
        let special = [f64::NAN, f64::INFINITY, -0.0, f64::MAX, f64::MIN_POSITIVE];
        held.push_floats(labels("odd", &[("job", job)]), &floats(&|i| special[i as usize % 5]));
        let mixed = times().map(|t| (Stamp { t_ms: t, start_ms: t - 10_000 }, stored(t / 30_000)));
        held.push(labels("h", &[("job", job)]), &mixed.collect::<Vec<_>>());
    }
    held
}

/// Histograms of several layouts, and a float now and then.
fn stored(i: i64) -> Stored {
    let count = (i % 9) as f64;
    let mut h = FloatHistogram {
        schema: (i % 3) as i32,
        count: count * 2.0,
        sum: if i == 5 { f64::NAN } else { count },
        positive_spans: vec![Span { offset: (i % 2) as i32, length: 2 }],
        positive: vec![count, count],
        ..FloatHistogram::default()
    };
    match i % 5 {
        4 => return Stored::Float(count),
        3 => {
            h.schema = nilometer_model::histogram::CUSTOM_BUCKETS_SCHEMA;
            h.custom_values = vec![1.0, 2.0, (3 + i % 2) as f64];
        }
        2 => h.reset = CounterReset::Gauge,
        _ => h.zero_threshold = 0.001,
    }
    Stored::FloatHistogram(Arc::new(h))
}
