//! Times queries: each several times in turn, alone.

use crate::answer;
use crate::http::{Client, Endpoint};
use crate::latency::{Latencies, Spread};
use crate::process::{self, Usage};
use crate::query::Query;
use nilometer_env::Clock;
use nilometer_model::{Error, Result};
use serde::Serialize;
use std::time::Duration;

pub struct QueryOptions {
    /// The server's address, with what stands before `/api/v1`.
    pub endpoint: Endpoint,
    pub queries: Vec<Query>,
    /// How often each is asked, after once that does not count.
    pub runs: u32,
    pub at_ms: i64,
    /// The server, on this machine: its memory is measured.
    pub server_pid: Option<u32>,
}

#[derive(Clone, Debug, Serialize)]
pub struct QueryTimes {
    pub query: String,
    /// Why there are no times.
    pub refused: Option<String>,
    /// Of the run that does not count: what a query takes of a server that was just started.
    pub first_ms: f64,
    pub latency: Spread,
    pub answer_bytes: u64,
    pub series: u64,
    pub values: u64,
    /// By how much the server's memory exceeded, at most, what it was before the first of the runs.
    pub extra_bytes: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct QueryReport {
    pub runs: u32,
    pub queries: Vec<QueryTimes>,
    /// CPUs that neither the server nor we used, on average: what others took away while times were measured.
    pub others_cpus: Option<f64>,
}

/// `each_answer` gets the number of each query that was answered, and the last answer.
///
/// # Errors
/// When the server cannot be reached, and those of `each_answer`. A query that the server refuses is part of the report.
pub fn time_queries(
    options: &QueryOptions,
    clock: &dyn Clock,
    each_answer: &mut dyn FnMut(usize, &[u8]) -> Result<()>,
) -> Result<QueryReport> {
    let mut client = Client::new(&options.endpoint);
    let mut queries = Vec::new();
    let started = clock.monotonic();
    let before = others_cpu_seconds(options);
    for (number, query) in options.queries.iter().enumerate() {
        let asked = ask(options, query, &mut client, clock)?;
        let size = answer::size(&asked.body).unwrap_or_default();
        if asked.refused.is_none() {
            each_answer(number, &asked.body)?;
        }
        queries.push(QueryTimes {
            query: query.to_string(),
            refused: asked.refused,
            first_ms: asked.first.as_secs_f64() * 1e3,
            latency: asked.latencies.spread(),
            answer_bytes: asked.body.len() as u64,
            series: size.series,
            values: size.values,
            extra_bytes: asked.extra_bytes,
        });
    }
    let seconds = clock.monotonic().saturating_sub(started).as_secs_f64();
    let others = before.zip(others_cpu_seconds(options)).map(|(before, after)| (after - before).max(0.0));
    let others_cpus = others.map(|others| others / seconds.max(f64::MIN_POSITIVE));
    Ok(QueryReport { runs: options.runs, queries, others_cpus })
}

/// What the machine's other processes have used so far.
fn others_cpu_seconds(options: &QueryOptions) -> Option<f64> {
    let [server, own] = [options.server_pid?, std::process::id()].map(Usage::of);
    Some(process::machine_cpu_seconds()? - server?.cpu_seconds - own?.cpu_seconds)
}

#[derive(Default)]
struct Asked {
    refused: Option<String>,
    first: Duration,
    latencies: Latencies,
    body: Vec<u8>,
    extra_bytes: Option<u64>,
}

fn ask(options: &QueryOptions, query: &Query, client: &mut Client<'_>, clock: &dyn Clock) -> Result<Asked> {
    let path = query.path(options.at_ms);
    let mut asked = Asked::default();
    let before = options.server_pid.and_then(process::reset_peak);
    for run in 0..=options.runs {
        let started = clock.monotonic();
        let answer = client.get(&path).map_err(|e| Error::io(format!("asking for {query}"), e))?;
        let took = clock.monotonic().saturating_sub(started);
        if !answer.is_success() {
            asked.refused = Some(answer.text());
            return Ok(asked);
        }
        // The first warms the server up.
        if run > 0 {
            asked.latencies.add(took);
        } else {
            asked.first = took;
        }
        asked.body = answer.body;
    }
    let peak = options.server_pid.and_then(process::peak_bytes);
    asked.extra_bytes = peak.zip(before).map(|(peak, before)| peak.saturating_sub(before));
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nilometer_env::SystemClock;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// Gives a body for each request on one connection.
    fn answering(answers: &'static [(u16, &'static str)]) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for (status, body) in answers {
                let _ = stream.read(&mut [0; 4096]).unwrap();
                let len = body.len();
                let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {len}\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        Endpoint::new(&url, &[]).unwrap()
    }

    #[test]
    fn the_first_run_does_not_count() {
        let options = QueryOptions {
            endpoint: answering(&[
                (200, r#"{"data":[]}"#),
                (200, r#"{"data":["a"]}"#),
                (200, r#"{"data":["a","b"]}"#),
                (422, "no"),
            ]),
            queries: Query::parse_all("labels\ninstant a").unwrap(),
            runs: 2,
            at_ms: 8_000_000,
            server_pid: Some(std::process::id()),
        };
        let mut answers = Vec::new();
        let mut each = |number, body: &[u8]| {
            answers.push((number, String::from_utf8(body.to_vec()).unwrap()));
            Ok(())
        };
        let report = time_queries(&options, &SystemClock::default(), &mut each).unwrap();
        assert_eq!(answers, [(0, r#"{"data":["a","b"]}"#.to_owned())], "the last answer of what is answered");
        assert!(report.others_cpus.is_some_and(f64::is_finite), "{report:?}");
        let [labels, refused] = &report.queries[..] else { panic!("{report:?}") };
        assert_eq!((labels.series, labels.values, labels.answer_bytes), (2, 2, 18));
        assert!(labels.refused.is_none() && labels.extra_bytes.is_some());
        assert_eq!(refused.refused.as_deref(), Some("422: no"));
    }
}
