//! Thanos' `query_explain` and `query_range_explain`, and the `analysis` beside an answer: what is computed,
//! and where the time went.

use super::answer::{Answer, Written};
use super::error::{ApiError, ApiResult};
use super::json::{Escape, push_text};
use super::params::Params;
use super::query::{at, steps};
use super::{Api, Reader};
use axum::extract::State;
use nilometer_promql::value::{QueryResult, QueryStats};
use nilometer_promql::{PlanNode, Range, TaskProfile};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

/// `GET` and `POST /query_explain`.
pub(crate) async fn instant(
    State(api): State<Arc<Api>>,
    reader: Reader,
    params: Params,
) -> ApiResult<Answer> {
    let t_ms = at(&api, &params)?;
    explained(&api, &reader, params, Range { start_ms: t_ms, end_ms: t_ms, step_ms: 0 }).await
}

/// `GET` and `POST /query_range_explain`.
pub(crate) async fn range(State(api): State<Arc<Api>>, reader: Reader, params: Params) -> ApiResult<Answer> {
    let range = steps(&params)?;
    explained(&api, &reader, params, range).await
}

async fn explained(api: &Arc<Api>, reader: &Reader, params: Params, range: Range) -> ApiResult<Answer> {
    let warnings = params.thanos()?;
    params.resolution(api.resolution)?;
    let engine = api.engine.clone();
    let work = async move {
        params.stores()?;
        let wrong = |e: nilometer_model::Error| ApiError::parameter("query", e);
        let expr = engine.parse(params.get("query")).map_err(wrong)?;
        let mut out = Vec::new();
        push_plan(&mut out, &engine.explain(&expr, range).map_err(wrong)?);
        Ok(out)
    };
    Ok(Answer::new(Written(api.compute(reader.who(), None, work).await?)).with_warnings(warnings))
}

/// `{"name":…,"children":[…]}`
fn push_plan(out: &mut Vec<u8>, node: &PlanNode) {
    out.extend_from_slice(b"{\"name\":");
    push_text(out, &node.name, Escape::Plain);
    for (i, child) in node.children.iter().enumerate() {
        out.extend_from_slice(if i > 0 { b"," } else { b",\"children\":[" });
        push_plan(out, child);
    }
    out.extend_from_slice(if node.children.is_empty() { b"}" } else { b"]}" });
}

/// What is remembered of a result to be told as its `analysis`.
pub(crate) struct Analysis {
    stats: QueryStats,
    tasks: Vec<TaskProfile>,
}

impl Analysis {
    pub(crate) fn of(result: &mut QueryResult) -> Self {
        Analysis { stats: result.stats, tasks: std::mem::take(&mut result.profile) }
    }

    /// `,"analysis":{…}`: the whole query, and below it its tasks in the order of computation. Their samples
    /// are those that each looked at, and those that were held when it was done.
    pub(crate) fn write(&self, out: &mut Vec<u8>, computed: Duration) {
        let stats = &self.stats;
        let whole = Entry {
            name: "query",
            took: computed,
            samples: (stats.peak_samples, stats.total_samples),
            bytes: stats.peak_bytes,
        };
        out.extend_from_slice(b",\"analysis\":");
        whole.open(out);
        for (i, task) in self.tasks.iter().enumerate() {
            out.extend_from_slice(if i > 0 { b"," } else { b",\"children\":[" });
            let samples = (task.held_samples, task.total_samples);
            Entry { name: &task.name, took: task.took, samples, bytes: task.held_bytes }.open(out);
            out.push(b'}');
        }
        out.extend_from_slice(if self.tasks.is_empty() { b"}" } else { b"]}" });
    }
}

struct Entry<'a> {
    name: &'a str,
    took: Duration,
    /// Held at most, and looked at.
    samples: (u64, u64),
    bytes: u64,
}

impl Entry<'_> {
    /// Without the brace at the end.
    fn open(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"name\":");
        push_text(out, self.name, Escape::Plain);
        let (peak, total) = self.samples;
        let _ = write!(
            out,
            ",\"executionTime\":\"{}\",\"peakSamples\":{peak},\"totalSamples\":{total},\"peakBytes\":{}",
            go_duration(self.took),
            self.bytes
        );
    }
}

/// As Go writes durations: `1h2m3.5s`, `1.5ms`, `20µs`.
fn go_duration(d: Duration) -> String {
    let ns = d.as_nanos();
    match ns {
        0 => "0s".to_owned(),
        1..1_000 => format!("{ns}ns"),
        1_000..1_000_000 => format!("{}µs", ns as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{}ms", ns as f64 / 1e6),
        _ => {
            let (minutes, rest) = (d.as_secs() / 60, d.as_secs_f64() % 60.0);
            // Nanoseconds are what there is; the rest of the digits is the division's.
            let seconds = (rest * 1e9).round() / 1e9;
            match minutes {
                0 => format!("{seconds}s"),
                1..60 => format!("{minutes}m{seconds}s"),
                _ => format!("{}h{}m{seconds}s", minutes / 60, minutes % 60),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go_writes_them() {
        for (ns, text) in [
            (0, "0s"),
            (5, "5ns"),
            (1_500, "1.5µs"),
            (2_000_000, "2ms"),
            (1_234_567_890, "1.23456789s"),
            (61_000_000_000, "1m1s"),
            (3_723_500_000_000, "1h2m3.5s"),
        ] {
            assert_eq!(go_duration(Duration::from_nanos(ns)), text);
        }
    }
}
