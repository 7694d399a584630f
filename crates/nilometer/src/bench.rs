//! `nilometer bench`: load for any remote-write receiver, and what became of it.

use crate::flags::Millis;
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use nilometer_bench::{
    Endpoint, Journal, LoadOptions, Plan, Protocol, Query, QueryOptions, VerifyOptions, YearOptions,
    YearParts, load, time_queries, verify, walk,
};
use nilometer_env::{Clock, RealFs, SystemClock, SystemRandom};
use serde::Serialize;
use std::fmt::Display;
use std::fs::File;
use std::io::{LineWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// So many seconds from one line about the progress to the next.
const PROGRESS_EVERY: u32 = 10;

#[derive(Subcommand, Debug)]
pub(crate) enum BenchFlags {
    /// Sends a Kubernetes-like load by remote write, until all of it is acknowledged
    Load(LoadFlags),
    /// Reads a load back, and counts lost, extra and wrong samples
    Verify(VerifyFlags),
    /// Times queries
    Query(QueryFlags),
    /// Lets a simulated year pass over a bucket: blocks, compaction, downsampling, retention
    Year(YearFlags),
}

#[derive(Args, Debug)]
struct ServerFlags {
    /// Header of each request, such as THANOS-TENANT=a; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE")]
    headers: Vec<String>,
    /// Tenant, in the header THANOS-TENANT
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// File with `user:password`
    #[arg(long, value_name = "FILE", conflicts_with = "bearer_token_file")]
    basic_auth_file: Option<PathBuf>,
    #[arg(long, value_name = "FILE")]
    bearer_token_file: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct LoadFlags {
    /// Where samples go
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:19291/api/v1/receive")]
    url: String,
    #[command(flatten)]
    server: ServerFlags,
    /// What is sent and what is acknowledged is kept here: `verify` needs it
    #[arg(long, value_name = "FILE", default_value = "bench.journal")]
    journal: PathBuf,
    /// Go on with the load of the journal; what it sends is not changed by flags
    #[arg(long)]
    resume: bool,
    /// So many series, a hundred to a target
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    series: u32,
    /// From scrape to scrape
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    interval: Millis,
    /// Simulated time that is sent
    #[arg(long, value_name = "DURATION", default_value = "2h", conflicts_with = "scrapes")]
    duration: Millis,
    /// The same, as a number of scrapes
    #[arg(long, value_name = "N")]
    scrapes: Option<u32>,
    /// Seconds since 1970 of the last scrape's end; what lies ahead is sent when its time has come [default: now]
    #[arg(long, value_name = "SECONDS")]
    end: Option<i64>,
    /// About so many: a connection's series are divided evenly
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    samples_per_request: u32,
    #[arg(long, value_name = "N", default_value_t = 8)]
    connections: u32,
    /// Samples a second; 0: as fast as they are taken
    #[arg(long, value_name = "N", default_value_t = 0.0)]
    rate: f64,
    /// Percent of the series that new pods replace in an hour
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    churn: f64,
    /// Names and values follow from it; the label cluster="bench-N" too
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Send remote write 2.0
    #[arg(long)]
    v2: bool,
    /// Send a failed request again for so long
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    retry_for: Millis,
    /// The server's process, on this machine: its CPU and memory are measured
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// A line of JSON for each second: samples, how long answers took, the server's memory
    #[arg(long, value_name = "FILE")]
    timeline: Option<PathBuf>,
    /// Its CPU is counted until so long after the last answer
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    settle: Millis,
}

#[derive(Args, Debug)]
pub(crate) struct VerifyFlags {
    /// The server, up to /api/v1
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:10902")]
    url: String,
    #[command(flatten)]
    server: ServerFlags,
    /// Of the load
    #[arg(long, value_name = "FILE", default_value = "bench.journal")]
    journal: PathBuf,
    #[arg(long, value_name = "N", default_value_t = 2)]
    connections: u32,
    /// By how much of itself a value may differ, for servers that round (VictoriaMetrics: 1e-11)
    #[arg(long, value_name = "PART", default_value_t = 0.0)]
    tolerance: f64,
}

#[derive(Args, Debug)]
pub(crate) struct QueryFlags {
    /// The server, up to /api/v1
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:10902")]
    url: String,
    #[command(flatten)]
    server: ServerFlags,
    /// Queries, one a line: `instant EXPRESSION`, `range SECONDS STEP EXPRESSION`, `series SELECTOR…`,
    /// `labels [SELECTOR…]` or `values LABEL [SELECTOR]` [default: a set that fits the load]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How often each is asked, after once that does not count
    #[arg(long, value_name = "N", default_value_t = 7)]
    runs: u32,
    /// The server's process, on this machine: what memory each query takes is measured
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// The answers are kept here, as 1.json and so on in the order of the queries
    #[arg(long, value_name = "DIR")]
    answers: Option<PathBuf>,
    /// Seconds since 1970 that the queries look back from [default: now]
    #[arg(long, value_name = "SECONDS")]
    time: Option<i64>,
}

#[derive(Args, Debug)]
pub(crate) struct YearFlags {
    /// Folder of the bucket and of what the year needs beside it; a year that was stopped goes on where it was
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// So many active series, a hundred to a target; 2 % of them are replaced in a day
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    series: u32,
    #[arg(long, value_name = "N", default_value_t = 365)]
    days: u64,
    /// Seconds since 1970 of the first day's midnight
    #[arg(long, value_name = "SECONDS", default_value_t = 1_735_689_600)]
    start: i64,
    /// Stop before it takes more disk
    #[arg(long, value_name = "GB", default_value_t = 15)]
    max_gb: u64,
    /// Leave the blocks of two hours as they are
    #[arg(long)]
    blocks_only: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(flags: BenchFlags) -> Result<()> {
    let clock = SystemClock::default();
    match flags {
        BenchFlags::Load(flags) => run_load(&flags, &clock),
        BenchFlags::Verify(flags) => run_verify(&flags),
        BenchFlags::Query(flags) => run_query(&flags, &clock),
        BenchFlags::Year(flags) => run_year(&flags, clock),
    }
}

fn run_load(flags: &LoadFlags, clock: &SystemClock) -> Result<()> {
    ensure!(flags.rate >= 0.0 && flags.rate.is_finite(), "--rate: {} is no rate", flags.rate);
    let journal = if flags.resume {
        Journal::open(&RealFs, &flags.journal)?
    } else {
        Journal::create(&RealFs, &flags.journal, &plan(flags, clock.wall_ms())?)?
    };
    let options = LoadOptions {
        endpoint: endpoint(&flags.url, &flags.server)?,
        rate: (flags.rate > 0.0).then_some(flags.rate),
        retry_for: flags.retry_for.duration(),
        server_pid: flags.server_pid,
        settle: flags.settle.duration(),
    };
    let all = journal.plan().samples();
    let create = |path: &PathBuf| File::create(path).with_context(|| format!("creating {}", path.display()));
    let mut timeline = flags.timeline.as_ref().map(create).transpose()?.map(LineWriter::new);
    let mut seconds = 0u32;
    let report = load(&options, &journal, clock, &mut |second| {
        seconds += 1;
        if seconds.is_multiple_of(PROGRESS_EVERY) {
            eprintln!("{} of {all} samples acknowledged", second.samples);
        }
        let Some(file) = &mut timeline else { return Ok(()) };
        let line = serde_json::to_string(&second).map_err(std::io::Error::other);
        let written = line.and_then(|line| writeln!(file, "{line}"));
        written.map_err(|e| nilometer_model::Error::io("writing the timeline", e))
    })?;
    show(&report, flags.server.json)?;
    match &report.stopped {
        Some(why) => bail!("the load stopped early: {why}"),
        None => Ok(()),
    }
}

fn plan(flags: &LoadFlags, now_ms: i64) -> Result<Plan> {
    let interval_ms = flags.interval.0;
    ensure!(interval_ms > 0, "--interval: it must be longer than 0");
    let scrapes = match flags.scrapes {
        Some(scrapes) => scrapes,
        None => u32::try_from(flags.duration.0 / interval_ms).context("--duration: that is too long")?,
    };
    let end_ms = flags.end.map_or(now_ms, |seconds| seconds.saturating_mul(1_000));
    Ok(Plan {
        version: Plan::VERSION,
        seed: flags.seed,
        series: flags.series,
        interval_ms,
        first_ms: end_ms.saturating_sub(i64::from(scrapes).saturating_mul(interval_ms)),
        scrapes,
        per_request: flags.samples_per_request,
        connections: flags.connections,
        churn_percent: flags.churn,
        protocol: if flags.v2 { Protocol::V2 } else { Protocol::V1 },
    })
}

fn run_verify(flags: &VerifyFlags) -> Result<()> {
    ensure!((1..=64).contains(&flags.connections), "--connections: there can be 1 to 64");
    let journal = Journal::open(&RealFs, &flags.journal)?;
    let endpoint = endpoint(&flags.url, &flags.server)?;
    let options = VerifyOptions { endpoint, connections: flags.connections, tolerance: flags.tolerance };
    let report = verify(&options, &journal)?;
    show(&report, flags.server.json)?;
    ensure!(report.is_clean(), "the server does not have what it acknowledged, or has more");
    Ok(())
}

fn run_query(flags: &QueryFlags, clock: &SystemClock) -> Result<()> {
    ensure!(flags.runs > 0, "--runs: each query must be asked at least once");
    let queries = match &flags.file {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
            Query::parse_all(&text).map_err(|e| e.context(path.display()))?
        }
        None => Query::built_in(),
    };
    let options = QueryOptions {
        endpoint: endpoint(&flags.url, &flags.server)?,
        queries,
        runs: flags.runs,
        at_ms: flags.time.map_or_else(|| clock.wall_ms(), |seconds| seconds.saturating_mul(1_000)),
        server_pid: flags.server_pid,
    };
    if let Some(folder) = &flags.answers {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let report = time_queries(&options, clock, &mut |number, body| {
        let Some(folder) = &flags.answers else { return Ok(()) };
        let path = folder.join(format!("{}.json", number + 1));
        std::fs::write(&path, body).map_err(|e| nilometer_model::Error::io(path.display(), e))
    })?;
    show(&report, flags.server.json)
}

fn run_year(flags: &YearFlags, clock: SystemClock) -> Result<()> {
    ensure!(flags.series > 0 && flags.start >= 0, "--series, --start: they must be more than 0");
    let options = YearOptions {
        dir: flags.dir.clone(),
        series: flags.series,
        days: flags.days,
        start_ms: flags.start.saturating_mul(1_000),
        max_bytes: flags.max_gb.saturating_mul(1_000_000_000),
        compacts: !flags.blocks_only,
    };
    let parts = YearParts { fs: Arc::new(RealFs), clock: Arc::new(clock), random: Arc::new(SystemRandom) };
    let report = walk(&options, &parts, &mut |report| {
        if report.days().is_multiple_of(10) {
            let disk = report.peak_disk_bytes as f64 / 1e9;
            eprintln!("{} of {} days, at most {disk:.2} GB of disk", report.days(), flags.days);
        }
    })?;
    show(&report, flags.json)
}

fn endpoint(url: &str, flags: &ServerFlags) -> Result<Endpoint> {
    let mut headers = Vec::new();
    for header in &flags.headers {
        let (name, value) = header.split_once('=').context("--header: a header is like NAME=VALUE")?;
        headers.push((name.to_owned(), value.to_owned()));
    }
    if let Some(tenant) = &flags.tenant {
        headers.push(("THANOS-TENANT".to_owned(), tenant.clone()));
    }
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        anyhow::Ok(text.trim_end_matches(['\n', '\r']).to_owned())
    };
    if let Some(path) = &flags.basic_auth_file {
        headers.push(("Authorization".to_owned(), format!("Basic {}", base64(read(path)?.as_bytes()))));
    }
    if let Some(path) = &flags.bearer_token_file {
        headers.push(("Authorization".to_owned(), format!("Bearer {}", read(path)?)));
    }
    Ok(Endpoint::new(url, &headers)?)
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let encode = |group: &[u8]| {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(group.get(at).copied().unwrap_or(0)));
        let digit = |at: usize| char::from(DIGITS[(bits >> (18 - 6 * at) & 63) as usize]);
        (0..4).map(|at| if at <= group.len() { digit(at) } else { '=' }).collect::<String>()
    };
    bytes.chunks(3).map(encode).collect()
}

fn show(report: &(impl Serialize + Display), json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string(report).context("writing the report")?);
    } else {
        print!("{report}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_rfc_4648() {
        for (text, encoded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }
}
