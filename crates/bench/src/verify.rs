//! Reads a load back over the query API and counts what is lost, extra or wrong.
//!
//! One range selector for each pod and stretch of time; the stretches lie end to end, so that a sample at a time that
//! was never sent is seen too.

use crate::catalogue::SLOTS;
use crate::expected::Expected;
use crate::http::{Client, Endpoint, escaped};
use crate::journal::Journal;
use crate::plan::{Plan, Pod, Shard};
use crate::target;
use nilometer_model::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

/// Samples that one query asks for at most: a few MiB of JSON.
const MAX_SAMPLES: usize = 100_000;
const MAX_EXAMPLES: usize = 5;
/// A query that fails is asked so often.
const ATTEMPTS: u32 = 3;

pub struct VerifyOptions {
    /// The server's address, with what stands before `/api/v1`.
    pub endpoint: Endpoint,
    pub connections: u32,
    /// By how much of itself a value may differ; 0: not by a bit.
    pub tolerance: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct VerifyReport {
    /// Samples that were acknowledged: all must be there.
    pub acknowledged: u64,
    /// Of them, those that are there, right or wrong.
    pub found: u64,
    pub lost: u64,
    /// Samples that were never sent, or are there twice.
    pub extra: u64,
    pub wrong: u64,
    /// Sent without an answer, and there: rightly.
    pub unanswered: u64,
    /// The first few of what is not as it should be.
    pub examples: Vec<String>,
}

impl VerifyReport {
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.extra == 0 && self.wrong == 0
    }

    pub(crate) fn example(&mut self, text: impl FnOnce() -> String) {
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(text());
        }
    }

    fn merge(&mut self, other: VerifyReport) {
        self.acknowledged += other.acknowledged;
        self.found += other.found;
        self.lost += other.lost;
        self.extra += other.extra;
        self.wrong += other.wrong;
        self.unanswered += other.unanswered;
        self.examples.extend(other.examples);
        self.examples.truncate(MAX_EXAMPLES);
    }
}

/// # Errors
/// When the server does not answer: nothing is known then.
pub fn verify(options: &VerifyOptions, journal: &Journal) -> Result<VerifyReport> {
    let plan = journal.plan();
    let places = Places::new(journal);
    let next = AtomicU32::new(0);
    let worker = || {
        let mut client = Client::new(&options.endpoint);
        let mut report = VerifyReport::default();
        loop {
            let target = next.fetch_add(1, Ordering::Relaxed);
            if target >= plan.targets() {
                return Ok(report);
            }
            verify_target(options, &places, &mut client, target, &mut report)?;
        }
    };
    let mut report = VerifyReport::default();
    std::thread::scope(|scope| -> Result<()> {
        let workers: Vec<_> = (0..options.connections).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            let part: Result<VerifyReport> =
                worker.join().map_err(|_| Error::unavailable("a thread panicked"))?;
            report.merge(part?);
        }
        Ok(())
    })?;
    find_strangers(&options.endpoint, plan, &mut report)?;
    Ok(report)
}

fn verify_target(
    options: &VerifyOptions,
    places: &Places<'_>,
    client: &mut Client<'_>,
    target: u32,
    report: &mut VerifyReport,
) -> Result<()> {
    let plan = places.plan;
    let stretch = (MAX_SAMPLES / plan.slots(target)).max(1) as u32;
    let sent = places.sent();
    let mut scrape = 0;
    while scrape < sent {
        let pod = plan.pod(target, scrape);
        let expected = Expected::new(plan, target, pod);
        let ends = (pod.ends as u32).min(sent);
        while scrape < ends {
            let scrapes = scrape..ends.min(scrape + stretch);
            let rows = ask(client, &selector(plan, target, pod, &scrapes))?;
            let due = |slot: usize, scrape: u32| places.due(target, slot, scrape);
            expected.compare(&rows, scrapes.clone(), options.tolerance, &due, report);
            scrape = scrapes.end;
        }
    }
    Ok(())
}

/// The query for all samples of a pod in some scrapes, half an interval around each included.
fn selector(plan: &Plan, target: u32, pod: Pod, scrapes: &Range<u32>) -> String {
    let (cluster, pod) = (target::cluster(plan.seed), target::pod(plan.seed, target, pod.generation));
    let range_ms = (scrapes.len() as i64) * plan.interval_ms;
    let at_ms = plan.time_ms(target, scrapes.end - 1) + plan.interval_ms / 2;
    let query = format!("{{cluster=\"{cluster}\",pod=\"{pod}\"}}[{range_ms}ms]");
    // VictoriaMetrics moves the time of a query about what is recent, unless told that nothing is cached.
    format!("/api/v1/query?query={}&time={}&nocache=1", escaped(&query), seconds(at_ms))
}

/// As the API takes times.
pub(crate) fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms.div_euclid(1_000), ms.rem_euclid(1_000))
}

/// One series of an answer.
#[derive(Debug, Deserialize)]
pub(crate) struct Row {
    pub(crate) metric: BTreeMap<String, String>,
    pub(crate) values: Vec<(f64, String)>,
}

#[derive(Deserialize)]
struct Matrix {
    data: MatrixData,
}

#[derive(Deserialize)]
struct MatrixData {
    result: Vec<Row>,
}

fn ask(client: &mut Client<'_>, path: &str) -> Result<Vec<Row>> {
    let body = get(client, path)?;
    let matrix: Matrix = serde_json::from_slice(&body)
        .map_err(|e| Error::invalid(format!("this is no answer of a query API: {e}")))?;
    Ok(matrix.data.result)
}

fn get(client: &mut Client<'_>, path: &str) -> Result<Vec<u8>> {
    let mut attempt = 1;
    loop {
        match client.get(path) {
            Ok(answer) if answer.is_success() => return Ok(answer.body),
            Ok(answer) if answer.status < 500 => {
                return Err(Error::invalid(format!("a query was refused: {}", answer.text())));
            }
            Ok(answer) if attempt == ATTEMPTS => {
                return Err(Error::unavailable(format!("a query failed: {}", answer.text())));
            }
            Err(e) if attempt == ATTEMPTS => return Err(Error::io("asking the server", e)),
            _ => attempt += 1,
        }
    }
}

/// Pods of this load's cluster that it never had.
fn find_strangers(endpoint: &Endpoint, plan: &Plan, report: &mut VerifyReport) -> Result<()> {
    #[derive(Deserialize)]
    struct Names {
        data: Vec<String>,
    }
    let matcher = escaped(&format!("{{cluster=\"{}\"}}", target::cluster(plan.seed)));
    let last = plan.first_ms + i64::from(plan.scrapes + 1) * plan.interval_ms;
    let (start, end) = (seconds(plan.first_ms), seconds(last));
    let path = format!("/api/v1/label/pod/values?match%5B%5D={matcher}&start={start}&end={end}");
    let body = get(&mut Client::new(endpoint), &path)?;
    let names: Names = serde_json::from_slice(&body)
        .map_err(|e| Error::invalid(format!("this is no answer of a query API: {e}")))?;
    let last_scrape = plan.scrapes - 1;
    let known: HashSet<String> = (0..plan.targets())
        .flat_map(|target| {
            let generations = 0..=plan.pod(target, last_scrape).generation;
            generations.map(move |generation| target::pod(plan.seed, target, generation))
        })
        .collect();
    for stranger in names.data.into_iter().filter(|name| !known.contains(name)) {
        report.extra += 1;
        report.example(|| format!("extra: pod {stranger} was never sent"));
    }
    Ok(())
}

/// Whether a sample must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// It was acknowledged.
    Yes,
    /// It was sent, and not answered.
    Maybe,
    No,
}

/// In which request each series stands, and how far its connection came.
struct Places<'a> {
    plan: &'a Plan,
    journal: &'a Journal,
    /// By target and slot.
    batches: Vec<u32>,
    /// By connection.
    shards: Vec<Shard>,
}

impl<'a> Places<'a> {
    fn new(journal: &'a Journal) -> Self {
        let plan = journal.plan();
        let mut batches = vec![0; plan.series as usize];
        let shards: Vec<Shard> = (0..plan.connections).map(|connection| plan.shard(connection)).collect();
        for shard in &shards {
            for (batch, spans) in shard.batches.iter().enumerate() {
                for span in spans {
                    let first = span.target as usize * SLOTS;
                    span.slots.iter().for_each(|&slot| batches[first + usize::from(slot)] = batch as u32);
                }
            }
        }
        Places { plan, journal, batches, shards }
    }

    fn due(&self, target: u32, slot: usize, scrape: u32) -> Due {
        let connection = self.plan.connection(target, slot) as usize;
        let batch = self.batches[target as usize * SLOTS + slot];
        let number = self.shards[connection].number(scrape, batch as usize);
        match number.cmp(&self.journal.acknowledged()[connection]) {
            std::cmp::Ordering::Less => Due::Yes,
            std::cmp::Ordering::Equal => Due::Maybe,
            std::cmp::Ordering::Greater => Due::No,
        }
    }

    /// Scrapes of which something may have been sent.
    fn sent(&self) -> u32 {
        let at = |(shard, &requests): (&Shard, &u64)| shard.request(requests).0 + 1;
        let most = self.shards.iter().zip(self.journal.acknowledged()).map(at).max();
        self.plan.scrapes.min(most.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests;
