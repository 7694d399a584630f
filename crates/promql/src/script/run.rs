//! Running a script over series in memory.

use super::compare::compare;
use super::parse::{Command, Eval, EvalTimes, Expect, ExpectKind, Load, Script};
use super::series::{Point, Stored};
use super::{nhcb, variants};
use crate::engine::{Engine, EngineOptions, Range, Source};
use crate::parse::ParseOptions;
use crate::value::{QueryResult, SampleValue, Value, VectorSample};
use futures::executor::block_on;
use nilometer_chunk::Stamp;
use nilometer_model::{Result, Value as Sample};
use nilometer_storage::MemoryQueryable;
use std::sync::Arc;

/// How a script went.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many evaluations gave what they should.
    pub passed: usize,
    pub failures: Vec<Failure>,
}

#[derive(Clone, Debug)]
pub struct Failure {
    /// From 1.
    pub line: usize,
    pub query: String,
    pub message: String,
}

impl Report {
    pub fn evaluations(&self) -> usize {
        self.passed + self.failures.len()
    }
}

/// The options under which Prometheus runs its own scripts: everything experimental is on.
pub fn script_options() -> EngineOptions {
    EngineOptions {
        parse: ParseOptions::ALL,
        delayed_name_removal: true,
        start_timestamps: true,
        ..EngineOptions::default()
    }
}

/// Runs all evaluations of a script, also behind one that fails, with [`script_options`].
///
/// # Errors
/// Only where the script itself cannot be read.
pub fn run(text: &str) -> Result<Report> {
    let script = Script::parse(text)?;
    let engine = Engine::new(script_options());
    let mut held = MemoryQueryable::default();
    let mut source: Option<Source> = None;
    let mut report = Report::default();
    for command in &script.commands {
        match command {
            Command::Clear => {
                held = MemoryQueryable::default();
                source = None;
            }
            Command::Load(load) => {
                add(load, &mut held)?;
                source = None;
            }
            Command::Eval(eval) => {
                let source = source.get_or_insert_with(|| Source::new(Arc::new(held.clone())));
                match evaluate(eval, &engine, source) {
                    Ok(()) => report.passed += 1,
                    Err(message) => {
                        report.failures.push(Failure { line: eval.line, query: eval.query.clone(), message });
                    }
                }
            }
        }
    }
    Ok(report)
}

fn add(load: &Load, held: &mut MemoryQueryable) -> Result<()> {
    for Stored { labels, samples } in load.samples()? {
        held.push(labels, &samples);
    }
    Ok(())
}

impl Load {
    /// The samples of each series, in order of time.
    ///
    /// # Errors
    /// `Invalid` where a histogram is none.
    pub fn samples(&self) -> Result<Vec<Stored>> {
        let mut all = Vec::new();
        for (at, (series, starts)) in self.series.iter().zip(&self.starts).enumerate() {
            // Of a series that is named twice the last counts.
            if self.series[at + 1..].iter().any(|later| later.labels == series.labels) {
                continue;
            }
            let mut samples = Vec::new();
            for (step, point) in series.points.iter().enumerate() {
                let t_ms = (step as i64).saturating_mul(self.step_ms);
                let start = starts.as_ref().and_then(|s| s[step]);
                let value = match point {
                    Point::Omitted => continue,
                    Point::Float(v) => Sample::Float(*v),
                    Point::Histogram { h, .. } => {
                        h.validate()?;
                        Sample::FloatHistogram(h.clone())
                    }
                };
                let start_ms = start.map_or(0, |start| t_ms.saturating_add(start));
                samples.push((Stamp { t_ms, start_ms }, value));
            }
            all.push(Stored { labels: series.labels.clone(), samples });
        }
        if self.with_nhcb {
            for (labels, steps) in nhcb::convert(self)? {
                let sample = |(step, h): (usize, _)| {
                    let t_ms = (step as i64).saturating_mul(self.step_ms);
                    (Stamp::at(t_ms), Sample::FloatHistogram(Arc::new(h)))
                };
                all.push(Stored { labels, samples: steps.into_iter().map(sample).collect() });
            }
        }
        Ok(all)
    }
}

/// What is wrong with the answer to an `eval`, if anything is. Of a refusal only the message counts.
pub fn judge(eval: &Eval, result: Result<QueryResult>) -> Result<(), String> {
    let times = match eval.times {
        EvalTimes::Range { start_ms, end_ms, step_ms } => (start_ms, end_ms, step_ms),
        EvalTimes::Instant(t_ms) => eval.matrix_times.unwrap_or((t_ms, t_ms, 1)),
    };
    check(eval, result, times).map(|_| ())
}

fn evaluate(eval: &Eval, engine: &Engine, source: &Source) -> Result<(), String> {
    match eval.times {
        EvalTimes::Range { start_ms, end_ms, step_ms } => {
            let range = Range { start_ms, end_ms, step_ms };
            judge(eval, block_on(engine.range(source, &eval.query, range)))
        }
        EvalTimes::Instant(t_ms) => {
            instant(eval, engine, source, (&eval.query, t_ms))?;
            let Ok(expr) = engine.parse(&eval.query) else { return Ok(()) };
            let Some((query, times)) = variants::pinned(&expr, t_ms) else { return Ok(()) };
            times.into_iter().try_for_each(|t_ms| {
                instant(eval, engine, source, (&query, t_ms))
                    .map_err(|e| format!("as {query} at {t_ms}: {e}"))
            })
        }
    }
}

fn instant(eval: &Eval, engine: &Engine, source: &Source, (query, t_ms): (&str, i64)) -> Result<(), String> {
    let times = eval.matrix_times.unwrap_or((t_ms, t_ms, 1));
    let result = block_on(engine.instant(source, query, t_ms));
    let Some(result) = check(eval, result, times)? else { return Ok(()) };
    if eval.matrix_times.is_some() || eval.string.is_some() || variants::depends_on_range(query) {
        return Ok(());
    }
    let range = Range { start_ms: t_ms - 60_000, end_ms: t_ms + 60_000, step_ms: 60_000 };
    let in_range =
        block_on(engine.range(source, query, range)).map_err(|e| format!("in a range: {}", e.message()))?;
    if eval.ordered {
        return Ok(());
    }
    let value = middle(&in_range.value, t_ms, matches!(result.value, Value::Scalar { .. }));
    compare(eval, &value, times).map_err(|e| format!("in a range: {e}"))
}

/// What a matrix says at one time, as an instant query would.
fn middle(value: &Value, t_ms: i64, scalar: bool) -> Value {
    let Value::Matrix(series) = value else { return value.clone() };
    let mut samples = Vec::new();
    for one in series {
        let float = one.floats.iter().find(|s| s.t_ms == t_ms).map(|s| SampleValue::Float(s.v));
        let histogram =
            || one.histograms.iter().find(|s| s.t_ms == t_ms).map(|s| SampleValue::Histogram(s.h.clone()));
        if let Some(value) = float.or_else(histogram) {
            samples.push(VectorSample { labels: one.labels.clone(), t_ms, value });
        }
    }
    match samples.first().map(|s| &s.value) {
        Some(SampleValue::Float(v)) if scalar => Value::Scalar { t_ms, v: *v },
        _ => Value::Vector(samples),
    }
}

/// The result, unless failing was right.
fn check(
    eval: &Eval,
    result: Result<QueryResult>,
    times: (i64, i64, i64),
) -> Result<Option<QueryResult>, String> {
    let of = |kind: ExpectKind| eval.expects.iter().filter(move |(k, _)| *k == kind).map(|(_, e)| e);
    let fail = of(ExpectKind::Fail).next();
    let result = match (result, fail) {
        (Err(e), None) => return Err(format!("error: {}", e.message())),
        (Err(e), Some(expected)) if expected.holds(e.message()) => return Ok(None),
        (Err(e), Some(expected)) => return Err(format!("expected error {expected:?}, got {}", e.message())),
        (Ok(_), Some(_)) => return Err("expected an error but got none".to_owned()),
        (Ok(result), None) => result,
    };
    annotations("warn", &of(ExpectKind::Warn).collect::<Vec<_>>(), &result.warnings)?;
    annotations("info", &of(ExpectKind::Info).collect::<Vec<_>>(), &result.infos)?;
    for (kind, said) in [(ExpectKind::NoWarn, &result.warnings), (ExpectKind::NoInfo, &result.infos)] {
        if of(kind).next().is_some() && !said.is_empty() {
            return Err(format!("unexpected annotations: {said:?}"));
        }
    }
    compare(eval, &result.value, times)?;
    Ok(Some(result))
}

fn annotations(kind: &str, expected: &[&Expect], said: &[String]) -> Result<(), String> {
    if expected.is_empty() {
        return Ok(());
    }
    if said.is_empty() {
        return Err(format!("expected {kind} annotations but got none"));
    }
    if let Some(missing) = expected.iter().find(|e| !said.iter().any(|s| e.holds(s))) {
        return Err(format!("expected {kind} annotation {missing:?}, got {said:?}"));
    }
    match said.iter().find(|s| !expected.iter().any(|e| e.holds(s))) {
        Some(unexpected) => Err(format!("unexpected {kind} annotation {unexpected:?}")),
        None => Ok(()),
    }
}
