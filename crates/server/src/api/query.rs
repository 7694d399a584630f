//! `query` and `query_range`.

use super::answer::{self, Answer, Matrix, Wrapped, WriteSome, Written};
use super::error::{ApiError, ApiResult};
use super::explain::Analysis;
use super::json::{self, Escape};
use super::params::Params;
use super::text::quoted;
use super::time::{Timestamp, duration_ns};
use super::{Api, Reader};
use crate::query_log::Entry;
use axum::extract::State;
use nilometer_access::ReadScope;
use nilometer_env::Clock;
use nilometer_model::{FloatHistogram, Labels};
use nilometer_promql::ast::{Expr, ValueType};
use nilometer_promql::value::{QueryResult, SampleValue, StepSamples, Value};
use nilometer_promql::{Interrupt, Range, Resolution, Source, Stop, Stopwatch};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Steps of a range query: a week by minutes, a year by hours. As Prometheus.
const MAX_STEPS: i128 = 11_000;

/// `GET` and `POST /query`: the value at one time.
pub(crate) async fn instant(
    State(api): State<Arc<Api>>,
    reader: Reader,
    params: Params,
) -> ApiResult<Answer> {
    let limit = params.limit()?;
    let t_ms = at(&api, &params)?;
    Asked::read(params, limit, api.resolution)?.answer(&api, &reader, Times::At(t_ms)).await
}

/// `GET` and `POST /query_range`: the values at each step.
pub(crate) async fn range(State(api): State<Arc<Api>>, reader: Reader, params: Params) -> ApiResult<Answer> {
    let limit = params.limit()?;
    let range = steps(&params)?;
    Asked::read(params, limit, api.resolution)?.answer(&api, &reader, Times::Steps(range)).await
}

/// The time of an instant query.
pub(crate) fn at(api: &Api, params: &Params) -> ApiResult<i64> {
    Ok(params.time_or("time", Timestamp::from_ms(api.clock.wall_ms()))?.ms())
}

/// The times of a range query.
pub(crate) fn steps(params: &Params) -> ApiResult<Range> {
    let (start, end) = (params.time("start")?, params.time("end")?);
    if end < start {
        return Err(ApiError::parameter("end", "end timestamp must not be before start time"));
    }
    let step_ns = duration_ns(params.get("step")).map_err(|what| ApiError::parameter("step", what))?;
    // Steps are whole milliseconds: less than one would be none.
    if step_ns < 1_000_000 {
        return Err(ApiError::parameter(
            "step",
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    if (end.0 - start.0) / i128::from(step_ns) > MAX_STEPS {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution \
             (?step=XX)",
        ));
    }
    Ok(Range { start_ms: start.ms(), end_ms: end.ms(), step_ms: step_ns / 1_000_000 })
}

#[derive(Clone, Copy)]
enum Times {
    At(i64),
    Steps(Range),
}

/// What both kinds of queries are asked with.
struct Asked {
    params: Arc<Params>,
    limit: usize,
    timeout: Option<Duration>,
    lookback_ms: Option<i64>,
    resolution: Resolution,
    stats: bool,
    per_step_stats: bool,
    analyze: bool,
    warnings: Vec<String>,
}

impl Asked {
    fn read(params: Params, limit: usize, default: Resolution) -> ApiResult<Self> {
        let timeout = params.timeout()?;
        let lookback_ms = match params.get("lookback_delta") {
            "" => None,
            text => match duration_ns(text) {
                // Prometheus takes its default instead of what is not positive.
                Ok(ns) => Some(ns / 1_000_000).filter(|ms| *ms > 0),
                Err(what) => {
                    return Err(ApiError::bad_data(format!("error parsing lookback delta duration: {what}")));
                }
            },
        };
        let mut warnings = params.thanos()?;
        let resolution = params.resolution(default)?;
        let stats = params.get("stats");
        if !matches!(stats, "" | "true" | "all") {
            warnings.push(format!(
                "value {} for parameter \"stats\" is deprecated and will be rejected in the next major release, \
                 use \"true\" or \"all\"",
                quoted(stats)
            ));
        }
        let (stats, per_step_stats, analyze) = (!stats.is_empty(), stats == "all", params.analyze());
        let params = Arc::new(params);
        Ok(Asked {
            params,
            limit,
            timeout,
            lookback_ms,
            resolution,
            stats,
            per_step_stats,
            analyze,
            warnings,
        })
    }

    async fn answer(self, api: &Arc<Api>, reader: &Reader, times: Times) -> ApiResult<Answer> {
        let timeout = self.timeout.map_or(api.pool.timeout(), |t| t.min(api.pool.timeout()));
        let began = api.clock.monotonic();
        let watch = Arc::new(Watch {
            clock: api.clock.clone(),
            deadline: began.saturating_add(timeout),
            left: AtomicBool::new(false),
        });
        let _leaves = LeavesOnDrop(watch.clone());
        let logged = Logged::new(api, reader, self.params.get("query"), times);
        let source = Source {
            queryable: reader.queryable(api),
            lookback_ms: self.lookback_ms,
            resolution: self.resolution,
            interrupt: Some(watch.clone()),
            stopwatch: self.analyze.then(|| {
                let clock = api.clock.clone();
                Arc::new(move || clock.monotonic()) as Stopwatch
            }),
            per_step_stats: self.per_step_stats,
            pool: Some(api.pool.helpers()),
        };
        let (pool_api, params) = (api.clone(), self.params.clone());
        let evaluated = api.compute(reader.who(), Some(timeout), async move {
            let started = pool_api.clock.monotonic();
            if watch.interrupted().is_some() {
                return Err(ApiError::timed_out("query timed out in query queue"));
            }
            params.stores()?;
            let result = evaluate(&pool_api, &source, params.get("query"), times).await?;
            params.refuse_parts(&result.warnings)?;
            let ended = pool_api.clock.monotonic();
            let room = pool_api.unsent.room_for(size(&result.value)).await;
            let queued = started.saturating_sub(began);
            let computed = ended.saturating_sub(started);
            Ok((result, Timings { queued, computed }, room))
        });
        let evaluated = evaluated.await;
        logged.end(&evaluated);
        let (result, timings, room) = evaluated?;
        Ok(self.written(result, timings).in_room(room))
    }

    fn written(mut self, mut result: QueryResult, timings: Timings) -> Answer {
        let mut warnings = std::mem::take(&mut result.warnings);
        if self.limit > 0 && truncate(&mut result.value, self.limit) {
            warnings.push("results truncated due to limit".to_owned());
        }
        warnings.append(&mut self.warnings);
        let mut after = Vec::new();
        if self.stats {
            after.extend_from_slice(b",\"stats\":");
            timings.write(&mut after, &result);
        }
        if self.analyze {
            Analysis::of(&mut result).write(&mut after, timings.computed);
        }
        after.push(b'}');
        let mut answer = match result.value {
            Value::Scalar { t_ms, v } => data("scalar", pair(t_ms, |out| json::push_scalar(out, v)), after),
            Value::String { t_ms, v } => {
                data("string", pair(t_ms, |out| json::push_text(out, &v, Escape::Html)), after)
            }
            Value::Vector(samples) => data("vector", answer::vector(samples), after),
            Value::Matrix(series) => data("matrix", Matrix::new(series), after),
        };
        answer.warnings = warnings;
        answer.infos = result.infos;
        answer
    }
}

/// What is wrong with the query itself is the request's fault; what comes up later is not.
async fn evaluate(api: &Api, source: &Source, query: &str, times: Times) -> ApiResult<QueryResult> {
    let wrong = |e: nilometer_model::Error| ApiError::parameter("query", e);
    let expr: Expr = api.engine.parse(query).map_err(wrong)?;
    Ok(match times {
        Times::At(t_ms) => api.engine.instant_expr(source, (query, &expr), t_ms).await?,
        Times::Steps(range) => {
            let kind = expr.value_type();
            if !matches!(kind, ValueType::Vector | ValueType::Scalar) {
                return Err(ApiError::parameter(
                    "query",
                    format!(
                        "invalid expression type {} for range query, must be Scalar or instant Vector",
                        quoted(kind.documented())
                    ),
                ));
            }
            api.engine.range_expr(source, (query, &expr), range).await?
        }
    })
}

/// Cuts a list; scalars and strings are no lists.
fn truncate(value: &mut Value, limit: usize) -> bool {
    let len = match value {
        Value::Vector(samples) => samples.len(),
        Value::Matrix(series) => series.len(),
        Value::Scalar { .. } | Value::String { .. } => 0,
    };
    match value {
        Value::Vector(samples) => samples.truncate(limit),
        Value::Matrix(series) => series.truncate(limit),
        Value::Scalar { .. } | Value::String { .. } => {}
    }
    len > limit
}

/// About how many bytes a result has in memory.
fn size(value: &Value) -> usize {
    let labels = |labels: &Labels| labels.as_bytes().len();
    let histogram = |h: &FloatHistogram| {
        size_of_val(h) + (h.positive.len() + h.negative.len() + h.custom_values.len()) * size_of::<f64>()
    };
    match value {
        Value::Scalar { .. } => 0,
        Value::String { v, .. } => v.len(),
        Value::Vector(samples) => samples
            .iter()
            .map(|sample| {
                let shared = match &sample.value {
                    SampleValue::Float(_) => 0,
                    SampleValue::Histogram(h) => histogram(h),
                };
                size_of_val(sample) + labels(&sample.labels) + shared
            })
            .sum(),
        Value::Matrix(series) => series
            .iter()
            .map(|one| {
                let shared: usize = one.histograms.iter().map(|sample| histogram(&sample.h)).sum();
                size_of_val(&*one.floats) + size_of_val(&*one.histograms) + labels(&one.labels) + shared
            })
            .sum(),
    }
}

/// `{"resultType":…,"result":…,"stats":…,"analysis":…}`
fn data(kind: &str, result: impl WriteSome, after: Vec<u8>) -> Answer {
    let before = format!("{{\"resultType\":\"{kind}\",\"result\":");
    Answer::new(Wrapped::new(before.into_bytes(), result, after))
}

fn pair(t_ms: i64, value: impl FnOnce(&mut Vec<u8>)) -> Written {
    let mut out = vec![b'['];
    json::push_scalar_time(&mut out, t_ms);
    out.push(b',');
    value(&mut out);
    out.push(b']');
    Written(out)
}

/// How long a query waited for its place, and how long it took then.
#[derive(Clone, Copy)]
struct Timings {
    queued: Duration,
    computed: Duration,
}

impl Timings {
    /// The statistics, with Prometheus' names. Its parts of an evaluation are not told apart here.
    fn write(self, out: &mut Vec<u8>, result: &QueryResult) {
        let (queued, computed) = (self.queued.as_secs_f64(), self.computed.as_secs_f64());
        let _ = write!(
            out,
            "{{\"timings\":{{\"evalTotalTime\":{computed},\"resultSortTime\":0,\"queryPreparationTime\":0,\
             \"innerEvalTime\":{computed},\"execQueueTime\":{queued},\"execTotalTime\":{}}},\"samples\":{{",
            queued + computed,
        );
        let (stats, steps) = (&result.stats, result.steps.as_ref());
        if let Some(steps) = steps {
            out.extend_from_slice(b"\"totalQueryableSamplesPerStep\":");
            push_steps(out, steps, &steps.total);
        }
        let _ = write!(out, "\"totalQueryableSamples\":{},", stats.total_samples);
        if let Some(steps) = steps {
            out.extend_from_slice(b"\"samplesReadPerStep\":");
            push_steps(out, steps, &steps.read);
        }
        let _ =
            write!(out, "\"samplesRead\":{},\"peakSamples\":{}}}}}", stats.samples_read, stats.peak_samples);
    }
}

/// `[[1435781451.781,3],…],`
fn push_steps(out: &mut Vec<u8>, steps: &StepSamples, counts: &[u64]) {
    out.push(b'[');
    for (step, count) in counts.iter().enumerate() {
        let t_ms = steps.start_ms.saturating_add(steps.step_ms.saturating_mul(step as i64));
        out.extend_from_slice(if step > 0 { b",[" } else { b"[" });
        json::push_scalar_time(out, t_ms);
        let _ = write!(out, ",{count}]");
    }
    out.extend_from_slice(b"],");
}

/// Writes a query to the log when it ends, also where its client leaves before.
struct Logged(Option<(Arc<Api>, Entry)>);

impl Logged {
    fn new(api: &Arc<Api>, reader: &Reader, query: &str, times: Times) -> Self {
        if api.query_log.is_none() {
            return Logged(None);
        }
        let (start_ms, end_ms, step_ms) = match times {
            Times::At(t_ms) => (t_ms, t_ms, 0),
            Times::Steps(range) => (range.start_ms, range.end_ms, range.step_ms),
        };
        let entry = Entry {
            t_ms: 0,
            query: query.to_owned(),
            start_ms,
            end_ms,
            step_ms,
            error: Some("query was canceled: its client has left".to_owned()),
            stats: None,
            identity: reader.identity.name.clone(),
            tenant: match &reader.scope {
                ReadScope::All => None,
                ReadScope::Only(tenant) => Some(tenant.to_string()),
            },
            client: reader.client.to_string(),
            method: reader.method.to_string(),
            path: reader.path.clone(),
        };
        Logged(Some((api.clone(), entry)))
    }

    fn end<R>(mut self, ended: &ApiResult<(QueryResult, Timings, R)>) {
        let Some((_, entry)) = &mut self.0 else { return };
        entry.error = ended.as_ref().err().map(|e| e.message.clone());
        entry.stats = ended.as_ref().ok().and_then(|(result, timings, _)| {
            let mut out = Vec::new();
            timings.write(&mut out, result);
            serde_json::from_slice(&out).ok()
        });
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        if let Some((api, mut entry)) = self.0.take()
            && let Some(log) = &api.query_log
        {
            entry.t_ms = api.clock.wall_ms();
            log.write(&entry);
        }
    }
}

/// Ends a query whose time is over or whose client is gone, also where it never awaits.
struct Watch {
    clock: Arc<dyn Clock>,
    deadline: Duration,
    left: AtomicBool,
}

impl Interrupt for Watch {
    fn interrupted(&self) -> Option<Stop> {
        if self.left.load(Ordering::Relaxed) {
            return Some(Stop::Canceled);
        }
        (self.clock.monotonic() >= self.deadline).then_some(Stop::TimedOut)
    }
}

struct LeavesOnDrop(Arc<Watch>);

impl Drop for LeavesOnDrop {
    fn drop(&mut self) {
        self.0.left.store(true, Ordering::Relaxed);
    }
}
