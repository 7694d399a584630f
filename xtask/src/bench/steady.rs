//! `cargo xtask steady`: the hub alone under a long load, with churn and cuts, as a page for `bench/results/`.
//!
//! The load writes down what happened in each second (`bench load --timeline`), the hub logs each cut. Laid over each
//! other they say whether memory grows, and what senders feel of a cut.

use std::fmt::Write;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use serde::Deserialize;

use super::server::{self, Running};
use super::{Load, PORT, build, remove, table};
use crate::shell;

const USAGE: &str = "\
cargo xtask steady [options]

  --hours=N        simulated hours (24)
  --series=N       series every 15 s (100000)
  --churn=N        percent of them that new ones replace in an hour (10)
  --rate=N         samples a second; 0: as fast as they are taken (800000)
  --what=WORDS     name of the page: bench/results/<date>-<words>.md (steady)
";

const SCRAPES_AN_HOUR: f64 = 240.0;
/// Written and synced this often, to know what the disk takes.
const SYNCS: usize = 300;
/// What a flush of the hub has at 6,000 samples a second, about.
const SYNC_BYTES: usize = 16 << 10;

struct Options {
    hours: f64,
    series: u64,
    churn: f64,
    rate: f64,
    what: String,
}

fn parse(args: &[&str]) -> Result<Options> {
    let mut options =
        Options { hours: 24.0, series: 100_000, churn: 10.0, rate: 800_000.0, what: "steady".to_owned() };
    for arg in args {
        let (name, value) = arg.split_once('=').unwrap_or((arg, ""));
        let number = || value.parse::<f64>().with_context(|| format!("{arg}: that is no number"));
        match name {
            "--hours" => options.hours = number()?,
            "--series" => options.series = number()? as u64,
            "--churn" => options.churn = number()?,
            "--rate" => options.rate = number()?,
            "--what" => options.what = value.to_owned(),
            _ => bail!("no such option: {arg}\n\n{USAGE}"),
        }
    }
    Ok(options)
}

/// A line of the timeline.
#[derive(Deserialize)]
struct Second {
    at_ms: i64,
    scrape: u32,
    answers: Vec<u32>,
    resident_bytes: Option<u64>,
}

impl Second {
    fn hour(&self) -> usize {
        (f64::from(self.scrape) / SCRAPES_AN_HOUR) as usize
    }

    fn resident(&self) -> f64 {
        self.resident_bytes.unwrap_or_default() as f64 / 1e6
    }
}

/// From when to when, in milliseconds since 1970.
type Cut = (i64, i64);

pub(crate) fn run(args: &[&str]) -> Result<()> {
    let options = parse(args)?;
    let binary = build()?;
    crate::process::check_free(&[PORT, PORT + 1])?;
    let dir = shell::root().join("target/bench/steady");
    remove(&dir)?;
    fs::create_dir_all(&dir).context("cannot make a folder")?;
    let syncs = time_syncs(&dir)?;
    let machine = table::machine();
    let server = server::all(&binary).swap_remove(0);
    let running = Running::start(&server, &dir, PORT)?;
    let revision = running.revision().unwrap_or_default();
    let (journal, timeline) = (dir.join("journal"), dir.join("timeline"));
    let _ = fs::remove_file(&journal);
    let scrapes = (options.hours * SCRAPES_AN_HOUR).round();
    let mut load = Command::new(&binary);
    load.args(["bench", "load", "--json"]).arg(format!("--url={}", running.write_url()));
    load.arg(format!("--server-pid={}", running.pid())).arg(format!("--journal={}", journal.display()));
    load.arg(format!("--series={}", options.series)).arg(format!("--scrapes={scrapes}"));
    load.arg(format!("--churn={}", options.churn)).arg(format!("--rate={}", options.rate));
    load.arg(format!("--timeline={}", timeline.display()));
    let load: Load = serde_json::from_str(&shell::output(&mut load)?)?;
    ensure!(load.stopped.is_none(), "the load did not get through");
    let text = fs::read_to_string(&timeline).context("reading the timeline")?;
    let seconds: Vec<Second> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let cuts = cuts(&fs::read_to_string(dir.join("log")).context("reading the hub's log")?);
    running.kill()?;
    let mut page = format!(
        "# {} series, {} simulated hours, {} % churn an hour\n\n`cargo xtask steady --hours={} --series={} --churn={} \
         --rate={}` on {} (UTC). Memory is VmRSS once a second; an answer's time counts from when its request was due.\n\n",
        options.series,
        options.hours,
        options.churn,
        options.hours,
        options.series,
        options.churn,
        options.rate,
        table::date("+%F %H:%M")?
    );
    page += &report(&load, &seconds, &cuts, &syncs)?;
    page += &machine.rows();
    writeln!(page, "| revision | {revision} |")?;
    let path = table::path(&options.what)?;
    fs::write(&path, &page).with_context(|| format!("cannot write {}", path.display()))?;
    remove(&dir)?;
    println!("{page}\nsteady: written to {}", path.display());
    Ok(())
}

fn report(load: &Load, seconds: &[Second], cuts: &[Cut], syncs: &[u32]) -> Result<String> {
    let samples = load.samples as f64;
    let mut page = "| | |\n|---|---|\n".to_owned();
    writeln!(
        page,
        "| samples | {samples:.0} in {:.0} s: {:.0} a second |",
        load.seconds,
        samples / load.seconds
    )?;
    if let Some(usage) = &load.server {
        let cpu = usage.cpu_seconds;
        writeln!(
            page,
            "| CPU | {:.2} s per million samples, {:.3} cores |",
            cpu * 1e6 / samples,
            cpu / load.seconds
        )?;
        writeln!(page, "| peak memory | {:.0} MB |", usage.peak_bytes as f64 / 1e6)?;
    }
    writeln!(page, "| a write of 16 KiB and its fsync | {} |", spread(syncs))?;
    writeln!(page, "| all answers | {} |", spread(&answers(seconds, |_| true)))?;
    if !cuts.is_empty() {
        let in_cut = |second: &Second| cuts.iter().any(|c| (c.0..c.1 + 1_000).contains(&second.at_ms));
        writeln!(page, "| cuts | {} |", cuts.len())?;
        let longest = cuts.iter().map(|(from, to)| to - from).max().unwrap_or_default();
        writeln!(page, "| the longest cut | {:.1} s |", longest as f64 / 1e3)?;
        writeln!(page, "| answers during cuts | {} |", spread(&answers(seconds, in_cut)))?;
        writeln!(page, "| answers between them | {} |", spread(&answers(seconds, |s| !in_cut(s))))?;
        let ratios: Vec<f64> = cuts.iter().filter_map(|cut| growth(seconds, *cut)).collect();
        let (worst, mean) = (
            ratios.iter().copied().fold(0.0, f64::max),
            ratios.iter().sum::<f64>() / ratios.len().max(1) as f64,
        );
        writeln!(
            page,
            "| memory during a cut, to that of the minute before | at most {worst:.2}×, mean {mean:.2}× |"
        )?;
    }
    page += "\n| simulated hour | memory, MB: least | median | most |\n|---|---|---|---|\n";
    let last = seconds.last().map_or(0, Second::hour);
    for hour in 0..=last {
        let mut memory: Vec<f64> =
            seconds.iter().filter(|s| s.hour() == hour).map(Second::resident).collect();
        memory.sort_by(f64::total_cmp);
        let (Some(least), Some(most)) = (memory.first(), memory.last()) else { continue };
        writeln!(page, "| {hour} | {least:.0} | {:.0} | {most:.0} |", memory[memory.len() / 2])?;
    }
    page += "\n| | |\n|---|---|\n";
    Ok(page)
}

/// By how much the most memory during a cut is above the most in the minute before.
fn growth(seconds: &[Second], (from, to): Cut) -> Option<f64> {
    let most = |from: i64, to: i64| {
        let within = seconds.iter().filter(|s| (from..to).contains(&s.at_ms)).map(Second::resident);
        within.fold(None, |most: Option<f64>, mb| Some(most.map_or(mb, |most| most.max(mb))))
    };
    Some(most(from, to + 1_000)? / most(from - 60_000, from)?)
}

fn answers(seconds: &[Second], which: impl Fn(&Second) -> bool) -> Vec<u32> {
    seconds.iter().filter(|s| which(s)).flat_map(|s| s.answers.iter().copied()).collect()
}

fn spread(micros: &[u32]) -> String {
    let mut sorted = micros.to_vec();
    sorted.sort_unstable();
    let at = |part: f64| {
        let rank = ((sorted.len() as f64 * part).ceil() as usize).max(1);
        sorted.get(rank - 1).map_or(0.0, |&micros| f64::from(micros) / 1e3)
    };
    format!(
        "p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms ({} of them)",
        at(0.5),
        at(0.99),
        at(1.0),
        sorted.len()
    )
}

/// The cuts that the hub's log tells of.
fn cuts(log: &str) -> Vec<Cut> {
    let field = |line: &str, name: &str| {
        let value = line
            .split_once(&format!(" {name}="))
            .map(|(_, rest)| rest)
            .or(line.strip_prefix(&format!("{name}=")))?;
        Some(value.split(' ').next()?.trim_matches('"').to_owned())
    };
    let cut = |line: &str| {
        let ended: Timestamp = field(line, "ts")?.parse().ok()?;
        let seconds: f64 = field(line, "seconds")?.parse().ok()?;
        let to = ended.as_millisecond();
        Some((to - (seconds * 1e3) as i64, to))
    };
    log.lines().filter(|line| line.contains("a range was cut into a block")).filter_map(cut).collect()
}

/// How long the disk takes to make a flush durable.
#[expect(clippy::disallowed_methods, reason = "automation runs on the real clock")]
fn time_syncs(dir: &Path) -> Result<Vec<u32>> {
    let path = dir.join("syncs");
    let mut file = File::create(&path).context("cannot make a file")?;
    let mut micros = Vec::new();
    for _ in 0..SYNCS {
        let started = std::time::Instant::now();
        file.write_all(&[7; SYNC_BYTES]).and_then(|()| file.sync_data()).context("writing to the disk")?;
        micros.push(u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX));
        std::thread::sleep(Duration::from_millis(5));
    }
    fs::remove_file(&path).context("cannot remove a file")?;
    Ok(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_found_in_the_log() {
        let log = "ts=2026-01-01T00:00:10.500Z level=info room=head msg=\"a range was cut into a block\" tenant=a \
                   block=01ABC samples=5 series=1 seconds=1.5\nts=2026-01-01T00:00:11Z level=info msg=other\n";
        let ended = 1_767_225_610_500;
        assert_eq!(cuts(log), [(ended - 1_500, ended)]);
    }

    #[test]
    fn growth_is_against_the_minute_before() {
        let second = |at_ms, mb: u64| Second {
            at_ms,
            scrape: 0,
            answers: vec![],
            resident_bytes: Some(mb * 1_000_000),
        };
        let seconds = [
            second(0, 500),
            second(70_000, 100),
            second(90_000, 80),
            second(101_000, 120),
            second(103_000, 90),
        ];
        assert_eq!(growth(&seconds, (100_000, 102_000)), Some(1.2));
        assert_eq!(growth(&seconds, (300_000, 302_000)), None);
    }
}
