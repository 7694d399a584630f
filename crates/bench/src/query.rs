//! Times queries: each several times in turn, alone.

use crate::http::{Client, Endpoint, escaped};
use crate::latency::{Latencies, Spread};
use crate::verify::seconds;
use nilometer_env::Clock;
use nilometer_model::{Error, Result};
use serde::Serialize;
use std::fmt;

/// A query, and over what time.
#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    Instant(String),
    Range { expression: String, seconds: u32, step_seconds: u32 },
}

/// What dashboards and alerts ask of such a load.
const BUILT_IN: &str = r#"
instant up
instant count by (namespace, job) (up)
instant count({cluster=~"bench-.*"})
instant topk(10, process_resident_memory_bytes)
instant sum by (code) (rate(http_requests_total[5m]))
instant histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))
instant sum(rate(db_query_errors_total[5m])) / sum(rate(db_queries_total[5m])) > 0.01
range 3600 60 sum by (namespace) (rate(container_cpu_usage_seconds_total[5m]))
range 3600 60 sum by (pod) (container_memory_working_set_bytes{namespace="shop"})
range 3600 60 sum(rate(http_requests_total{code=~"5.."}[5m])) / sum(rate(http_requests_total[5m]))
range 3600 60 histogram_quantile(0.99, sum by (le, job) (rate(http_request_duration_seconds_bucket[5m])))
range 3600 60 max_over_time(go_goroutines{job="checkout"}[10m])
range 3600 15 rate(process_cpu_seconds_total{namespace="payments"}[2m])
"#;

impl Query {
    pub fn built_in() -> Vec<Query> {
        Query::parse_all(BUILT_IN).unwrap_or_default()
    }

    /// One query a line: `instant EXPRESSION` or `range SECONDS STEP EXPRESSION`; `#` begins a comment.
    ///
    /// # Errors
    /// `Invalid`, with the line.
    pub fn parse_all(text: &str) -> Result<Vec<Query>> {
        let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        lines
            .map(|(at, line)| {
                Query::parse(line).ok_or_else(|| {
                    Error::invalid(format!(
                        "line {at} is not like `instant EXPRESSION` or `range SECONDS STEP EXPRESSION`: {line}"
                    ))
                })
            })
            .collect()
    }

    fn parse(line: &str) -> Option<Query> {
        let (kind, rest) = line.split_once(' ')?;
        match kind {
            "instant" => Some(Query::Instant(rest.trim().to_owned())),
            "range" => {
                let mut parts = rest.trim().splitn(3, ' ');
                let seconds = parts.next()?.parse().ok()?;
                let step_seconds = parts.next()?.parse().ok().filter(|&step| step > 0)?;
                Some(Query::Range { expression: parts.next()?.trim().to_owned(), seconds, step_seconds })
            }
            _ => None,
        }
    }

    fn path(&self, at_ms: i64) -> String {
        match self {
            Query::Instant(expression) => {
                format!("/api/v1/query?query={}&time={}&nocache=1", escaped(expression), seconds(at_ms))
            }
            Query::Range { expression, seconds: range, step_seconds } => format!(
                "/api/v1/query_range?query={}&start={}&end={}&step={step_seconds}&nocache=1",
                escaped(expression),
                seconds(at_ms - i64::from(*range) * 1_000),
                seconds(at_ms)
            ),
        }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Query::Instant(expression) => write!(f, "instant {expression}"),
            Query::Range { expression, seconds, step_seconds } => {
                write!(f, "range {seconds} {step_seconds} {expression}")
            }
        }
    }
}

pub struct QueryOptions {
    /// The server's address, with what stands before `/api/v1`.
    pub endpoint: Endpoint,
    pub queries: Vec<Query>,
    /// How often each is asked.
    pub runs: u32,
    pub at_ms: i64,
}

#[derive(Clone, Debug, Serialize)]
pub struct QueryTimes {
    pub query: String,
    /// Why there are no times.
    pub refused: Option<String>,
    pub latency: Spread,
    pub answer_bytes: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct QueryReport {
    pub runs: u32,
    pub queries: Vec<QueryTimes>,
}

/// # Errors
/// When the server cannot be reached. A query that it refuses is part of the report.
pub fn time_queries(options: &QueryOptions, clock: &dyn Clock) -> Result<QueryReport> {
    let mut client = Client::new(&options.endpoint);
    let mut queries = Vec::new();
    for query in &options.queries {
        let path = query.path(options.at_ms);
        let (mut latencies, mut answer_bytes, mut refused) = (Latencies::default(), 0, None);
        for _ in 0..options.runs {
            let started = clock.monotonic();
            let answer = client.get(&path).map_err(|e| Error::io("asking the server", e))?;
            if !answer.is_success() {
                refused = Some(answer.text());
                break;
            }
            latencies.add(clock.monotonic().saturating_sub(started));
            answer_bytes = answer.body.len() as u64;
        }
        let (query, latency) = (query.to_string(), latencies.spread());
        queries.push(QueryTimes { query, refused, latency, answer_bytes });
    }
    Ok(QueryReport { runs: options.runs, queries })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let all = Query::parse_all("# x\n\ninstant a + b\n range 60 15  sum(c) \n").unwrap();
        let range = Query::Range { expression: "sum(c)".into(), seconds: 60, step_seconds: 15 };
        assert_eq!(all, [Query::Instant("a + b".into()), range.clone()]);
        assert_eq!(
            range.path(100_500),
            "/api/v1/query_range?query=sum%28c%29&start=40.500&end=100.500&step=15&nocache=1"
        );
        for bad in ["a", "instant", "range 60 a", "range 60 0 a", "rate 60 15 a"] {
            assert!(Query::parse_all(bad).is_err(), "{bad}");
        }
        assert_eq!(Query::built_in().len(), 13);
    }
}
