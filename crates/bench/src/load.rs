//! Sends a plan: one thread for each connection, one request at a time on each, until acknowledged.

use crate::batch::Batch;
use crate::http::{Answer, Client, Endpoint};
use crate::journal::Journal;
use crate::latency::{Latencies, Spread};
use crate::plan::{Plan, Protocol, Shard};
use crate::process::{Usage, resident_bytes};
use nilometer_env::Clock;
use nilometer_model::{Error, Result};
use serde::Serialize;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A connection is at most so many scrapes ahead of the slowest: real senders are all in the same minute.
const MAX_LEAD_SCRAPES: u32 = 4;
/// Who waits looks again so often.
const POLL: Duration = Duration::from_millis(1);
/// Who sleeps longer would not see that the run has ended.
const MAX_SLEEP: Duration = Duration::from_millis(100);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(2);

pub struct LoadOptions {
    pub endpoint: Endpoint,
    /// Samples a second over all connections; `None` as fast as they are taken.
    pub rate: Option<f64>,
    /// A request that fails is sent again for so long.
    pub retry_for: Duration,
    /// The server, if it runs on this machine: what it uses is measured.
    pub server_pid: Option<u32>,
    /// The server's use is counted until so long after the last answer.
    pub settle: Duration,
}

#[derive(Clone, Debug, Serialize)]
pub struct LoadReport {
    pub plan: Plan,
    /// Why it ended before everything was acknowledged.
    pub stopped: Option<String>,
    /// Acknowledged by this run.
    pub samples: u64,
    pub requests: u64,
    /// Requests that were sent again.
    pub retries: u64,
    /// From the first request to the last answer.
    pub seconds: f64,
    pub protobuf_bytes: u64,
    pub snappy_bytes: u64,
    /// From when a request was due until its success.
    pub latency: Spread,
    /// What the generator itself took.
    pub own: Option<Usage>,
    /// What the server took for this run.
    pub server: Option<Usage>,
}

/// What happened in one second of a load.
#[derive(Clone, Debug, Serialize)]
pub struct Second {
    /// Its end, in milliseconds since 1970.
    pub at_ms: i64,
    /// The scrape at which the slowest connection is.
    pub scrape: u32,
    /// Acknowledged so far.
    pub samples: u64,
    /// How long each answer of this second took, in microseconds.
    pub answers: Vec<u32>,
    /// What the server has in memory, where it is known.
    pub resident_bytes: Option<u64>,
}

/// Sends everything that the journal does not have as acknowledged. `each_second` is told what happened.
///
/// # Errors
/// Where nothing could be sent at all; a load that ends early is a report that says why.
pub fn load(
    options: &LoadOptions,
    journal: &Journal,
    clock: &dyn Clock,
    each_second: &mut dyn FnMut(Second) -> Result<()>,
) -> Result<LoadReport> {
    let plan = journal.plan();
    let own_pid = std::process::id();
    let run = Run::new(options, journal, clock);
    let (done, ended) = channel::<()>();
    let mut sent = Sent::default();
    let mut before = [None, None];
    let mut started = Duration::ZERO;
    std::thread::scope(|scope| -> Result<()> {
        let mut workers = Vec::new();
        for connection in 0..plan.connections {
            let (run, done) = (&run, done.clone());
            let thread = std::thread::Builder::new();
            let worker = thread.spawn_scoped(scope, move || run.connection(connection, done));
            workers.push(worker.map_err(|e| {
                // Those that are there wait for all.
                run.stop("too few threads".to_owned());
                Error::io("starting threads; use fewer connections", e)
            })?);
        }
        drop(done);
        run.wait_until(|| run.prepared.load(Ordering::Acquire) == plan.connections);
        before = [options.server_pid, Some(own_pid)].map(|pid| pid.and_then(Usage::of));
        started = clock.monotonic();
        run.go.store(true, Ordering::Release);
        while ended.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
            if let Err(e) = each_second(run.second()) {
                run.stop(e.to_string());
            }
        }
        for worker in workers {
            sent.merge(worker.join().map_err(|_| Error::unavailable("a connection's thread panicked"))??);
        }
        Ok(())
    })?;
    let seconds = clock.monotonic().saturating_sub(started).as_secs_f64();
    let own = since(before[1], Usage::of(own_pid));
    let server = options.server_pid.and_then(|pid| {
        if run.stopped().is_none() {
            std::thread::sleep(options.settle);
        }
        since(before[0], Usage::of(pid))
    });
    Ok(LoadReport {
        plan: plan.clone(),
        stopped: run.stopped(),
        samples: sent.samples,
        requests: sent.requests,
        retries: sent.retries,
        seconds,
        protobuf_bytes: sent.protobuf_bytes,
        snappy_bytes: sent.snappy_bytes,
        latency: sent.latencies.spread(),
        own,
        server,
    })
}

fn since(before: Option<Usage>, after: Option<Usage>) -> Option<Usage> {
    let (before, after) = (before?, after?);
    Some(Usage { cpu_seconds: after.cpu_seconds - before.cpu_seconds, peak_bytes: after.peak_bytes })
}

/// What one connection got through, or all.
#[derive(Default)]
struct Sent {
    samples: u64,
    requests: u64,
    retries: u64,
    protobuf_bytes: u64,
    snappy_bytes: u64,
    latencies: Latencies,
}

impl Sent {
    fn merge(&mut self, other: Sent) {
        self.samples += other.samples;
        self.requests += other.requests;
        self.retries += other.retries;
        self.protobuf_bytes += other.protobuf_bytes;
        self.snappy_bytes += other.snappy_bytes;
        self.latencies.merge(other.latencies);
    }
}

/// What the connections share.
struct Run<'a> {
    options: &'a LoadOptions,
    journal: &'a Journal,
    clock: &'a dyn Clock,
    /// Connections that have their requests; when all have, all go at once.
    prepared: AtomicU32,
    go: AtomicBool,
    /// The scrape at which each connection is; `u32::MAX` at its end.
    at: Vec<AtomicU32>,
    samples: AtomicU64,
    /// Of the second that goes on.
    recent: Mutex<Vec<u32>>,
    stop: AtomicBool,
    why: Mutex<Option<String>>,
}

/// Whether a request went through.
enum Outcome {
    Acknowledged,
    /// The run ends.
    Stopped,
}

impl<'a> Run<'a> {
    fn new(options: &'a LoadOptions, journal: &'a Journal, clock: &'a dyn Clock) -> Self {
        let connections = journal.plan().connections;
        Run {
            options,
            journal,
            clock,
            prepared: AtomicU32::new(0),
            go: AtomicBool::new(false),
            at: (0..connections).map(|_| AtomicU32::new(0)).collect(),
            samples: AtomicU64::new(0),
            recent: Mutex::default(),
            stop: AtomicBool::new(false),
            why: Mutex::new(None),
        }
    }

    fn second(&self) -> Second {
        Second {
            at_ms: self.clock.wall_ms(),
            scrape: self.slowest(),
            samples: self.samples.load(Ordering::Relaxed),
            answers: std::mem::take(&mut self.recent.lock().unwrap_or_else(PoisonError::into_inner)),
            resident_bytes: self.options.server_pid.and_then(resident_bytes),
        }
    }

    fn slowest(&self) -> u32 {
        self.at.iter().map(|at| at.load(Ordering::Relaxed)).min().unwrap_or(0)
    }

    fn stopped(&self) -> Option<String> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first reason stays.
    fn stop(&self, why: String) {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Or until the run ends.
    fn wait_until(&self, is_so: impl Fn() -> bool) {
        while !self.stop.load(Ordering::Relaxed) && !is_so() {
            std::thread::sleep(POLL);
        }
    }

    /// `_done` is dropped at the end, which tells that it has come.
    fn connection(&self, connection: u32, _done: Sender<()>) -> Result<Sent> {
        let plan = self.journal.plan();
        let shard = plan.shard(connection);
        let first = self.journal.acknowledged()[connection as usize];
        let (scrape, _) = shard.request(first);
        let mut batches: Vec<Batch> =
            shard.batches.iter().map(|spans| Batch::new(plan, spans.clone(), scrape)).collect();
        self.at[connection as usize].store(scrape, Ordering::Relaxed);
        self.prepared.fetch_add(1, Ordering::Release);
        self.wait_until(|| self.go.load(Ordering::Acquire));
        let sent = self.send_all(connection, &shard, &mut batches);
        // Those that wait for the slowest must not wait for this one.
        self.at[connection as usize].store(u32::MAX, Ordering::Relaxed);
        if let Err(e) = &sent {
            self.stop(e.to_string());
        }
        sent
    }

    fn send_all(&self, connection: u32, shard: &Shard, batches: &mut [Batch]) -> Result<Sent> {
        let plan = self.journal.plan();
        let (mut client, mut sent) = (Client::new(&self.options.endpoint), Sent::default());
        let started = self.clock.monotonic();
        let first = self.journal.acknowledged()[connection as usize];
        for number in first..shard.requests(plan.scrapes) {
            let (scrape, batch) = shard.request(number);
            let batch = &mut batches[batch];
            self.at[connection as usize].store(scrape, Ordering::Relaxed);
            let due = started + self.turn(connection, sent.samples);
            self.wait_for(due, batch.newest_ms(plan, scrape), scrape);
            let due = if self.options.rate.is_some() { due } else { self.clock.monotonic() };
            let body = batch.fill(plan, scrape);
            let body_len = body.len() as u64;
            match self.send(&mut client, body, &mut sent.retries)? {
                Outcome::Stopped => break,
                Outcome::Acknowledged => {}
            }
            let micros = sent.latencies.add(self.clock.monotonic().saturating_sub(due));
            self.recent.lock().unwrap_or_else(PoisonError::into_inner).push(micros);
            self.journal.record(connection, number + 1)?;
            sent.requests += 1;
            sent.samples += batch.samples();
            sent.protobuf_bytes += batch.plain_len() as u64;
            sent.snappy_bytes += body_len;
            self.samples.fetch_add(batch.samples(), Ordering::Relaxed);
        }
        Ok(sent)
    }

    /// When the request behind so many samples is due, from the start on: connections take turns.
    fn turn(&self, connection: u32, samples: u64) -> Duration {
        let Some(rate) = self.options.rate else { return Duration::ZERO };
        let plan = self.journal.plan();
        let share = rate / f64::from(plan.connections);
        let ahead = f64::from(plan.per_request) * f64::from(connection) / f64::from(plan.connections);
        Duration::from_secs_f64((samples as f64 + ahead) / share)
    }

    /// Nothing is sent before its turn, before its time, or far ahead of the others.
    fn wait_for(&self, due: Duration, newest_ms: i64, scrape: u32) {
        while !self.stop.load(Ordering::Relaxed) {
            let early_ms = newest_ms.saturating_sub(self.clock.wall_ms()).max(0) as u64;
            let left = due.saturating_sub(self.clock.monotonic()).max(Duration::from_millis(early_ms));
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(MAX_SLEEP));
        }
        self.wait_until(|| scrape <= self.slowest().saturating_add(MAX_LEAD_SCRAPES));
    }

    /// Until it is acknowledged, refused for good, or failing for too long.
    fn send(&self, client: &mut Client<'_>, body: &[u8], retries: &mut u64) -> Result<Outcome> {
        let headers = match self.journal.plan().protocol {
            Protocol::V1 => HEADERS_V1,
            Protocol::V2 => HEADERS_V2,
        };
        let mut failing_since = None;
        let mut pause = FIRST_PAUSE;
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(Outcome::Stopped);
            }
            let answer = client.post(headers, body);
            let why = match &answer {
                Ok(answer) if answer.is_success() => return Ok(Outcome::Acknowledged),
                Ok(answer) => answer.text(),
                Err(e) => e.to_string(),
            };
            let now = self.clock.monotonic();
            let since = *failing_since.get_or_insert(now);
            if !is_temporary(&answer) || now.saturating_sub(since) >= self.options.retry_for {
                self.stop(format!("a request was not acknowledged: {why}"));
                return Ok(Outcome::Stopped);
            }
            *retries += 1;
            let told = answer.ok().and_then(|answer| answer.retry_after);
            std::thread::sleep(told.unwrap_or(pause).min(MAX_PAUSE));
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }
}

/// Whether the same request may work later.
fn is_temporary(answer: &std::io::Result<Answer>) -> bool {
    answer.as_ref().map_or(true, |answer| answer.status == 429 || answer.status >= 500)
}

const HEADERS_V1: &str = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
    X-Prometheus-Remote-Write-Version: 0.1.0\r\nUser-Agent: nilometer-bench\r\n";
const HEADERS_V2: &str = "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\n\
    Content-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 2.0.0\r\nUser-Agent: nilometer-bench\r\n";
