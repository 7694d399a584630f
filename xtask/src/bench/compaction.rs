//! `cargo xtask compaction`: the same blocks of two hours for our compactor and for Prometheus', as a page for
//! `bench/results/`.
//!
//! Each merges by its own plan (8 h and 2 d here, 6 h and 18 h there), so what counts is samples written in a second of
//! compaction: by Prometheus' own histogram of it, and by our log, which has fetching, checking and uploading in it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::{PORT, build, remove, table};
use crate::{process, shell, tools};

const USAGE: &str = "\
cargo xtask compaction [options]

  --series=N       active series every minute (20000)
  --days=N         of blocks of two hours (4)
  --runs=N         how often each compacts the same blocks (3)
  --dir=DIR        where they lie (target/compaction)
  --binary=FILE    another hub than the one that is built (target/release/nilometer)
  --what=WORDS     name of the page: bench/results/<date>-<words>.md (compaction)
";

/// The folder of the blocks that both get copies of.
const BLOCKS: &str = "blocks";
const POLL: Duration = Duration::from_millis(20);
/// Prometheus looks a minute after its start whether there is anything to compact.
const PATIENCE_POLLS: u32 = 60_000;

struct Options {
    series: u64,
    days: u64,
    runs: u32,
    dir: PathBuf,
    binary: Option<PathBuf>,
    what: String,
}

fn parse(args: &[&str]) -> Result<Options> {
    let dir = shell::root().join("target/compaction");
    let mut options =
        Options { series: 20_000, days: 4, runs: 3, dir, binary: None, what: "compaction".to_owned() };
    for arg in args {
        let (name, value) = arg.split_once('=').unwrap_or((arg, ""));
        let number = || value.parse::<u32>().with_context(|| format!("{arg}: that is no number"));
        let path = || std::path::absolute(value).with_context(|| format!("{arg}: that is no path"));
        match name {
            "--series" => options.series = number()?.into(),
            "--days" => options.days = number()?.into(),
            "--runs" => options.runs = number()?,
            "--dir" => options.dir = path()?,
            "--binary" => options.binary = Some(path()?),
            "--what" => options.what = value.to_owned(),
            _ => bail!("no such option: {arg}\n\n{USAGE}"),
        }
    }
    ensure!(options.series > 0 && options.days > 0 && options.runs > 0, "there must be something to compact");
    Ok(options)
}

/// What one run of one compactor took.
#[derive(Clone, Copy, Default)]
struct Took {
    /// Compacting, by what the program says of itself.
    seconds: f64,
    cpu_seconds: f64,
    /// Written by all compactions together.
    samples: u64,
    compactions: u64,
    /// At the same time, and of that what is not a file's.
    resident_bytes: u64,
    own_bytes: u64,
}

impl Took {
    fn samples_per_second(&self) -> f64 {
        self.samples as f64 / self.seconds
    }
}

pub(crate) fn run(args: &[&str]) -> Result<()> {
    let options = parse(args)?;
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => build()?,
    };
    tools::run()?;
    process::check_free(&[PORT])?;
    let machine = table::machine();
    let from = write_blocks(&options, &binary)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for run in 1..=options.runs {
        println!("compaction: run {run}");
        ours.push(compact_ours(&options, &binary, &from).context("our compactor")?);
        theirs.push(compact_theirs(&options, &from).context("Prometheus")?);
    }
    let text = page(&options, &machine, &ours, &theirs)?;
    let path = table::path(&options.what)?;
    fs::write(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    remove(&options.dir.join(BLOCKS))?;
    println!("{text}\ncompaction: written to {}", path.display());
    Ok(())
}

fn write_blocks(options: &Options, binary: &Path) -> Result<PathBuf> {
    let dir = options.dir.join(BLOCKS);
    remove(&dir)?;
    let mut command = Command::new(binary);
    command.args(["bench", "year", "--json", "--blocks-only"]).arg(format!("--dir={}", dir.display()));
    command.arg(format!("--series={}", options.series)).arg(format!("--days={}", options.days));
    shell::output(command.stderr(Stdio::inherit()))?;
    Ok(dir.join("bucket"))
}

/// A copy of the blocks, without what else is in the bucket.
fn copy_blocks(from: &Path, to: &Path) -> Result<()> {
    remove(to)?;
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let entries = fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))?;
    for entry in entries {
        let path = entry.context("cannot list blocks")?.path();
        if path.join("meta.json").exists() {
            shell::run(Command::new("cp").arg("-r").arg(&path).arg(to))?;
        }
    }
    // Neither pays for writing the copy.
    shell::run(&mut Command::new("sync"))
}

/// The part of `meta.json` that is looked at.
#[derive(Deserialize)]
struct Meta {
    stats: Stats,
    compaction: Compaction,
}

#[derive(Deserialize)]
struct Stats {
    #[serde(rename = "numSamples")]
    samples: u64,
}

#[derive(Deserialize)]
struct Compaction {
    level: u64,
}

/// How many samples all compactions wrote: each level of a block is once.
fn written(dir: &Path) -> Result<u64> {
    let mut samples = 0;
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = entry.context("cannot list blocks")?.path();
        let is_marked = path.join("deletion-mark.json").exists();
        let Ok(json) = fs::read_to_string(path.join("meta.json")) else { continue };
        let meta: Meta = serde_json::from_str(&json).with_context(|| path.display().to_string())?;
        if !is_marked {
            samples += meta.stats.samples * (meta.compaction.level - 1);
        }
    }
    Ok(samples)
}

fn compact_ours(options: &Options, binary: &Path, from: &Path) -> Result<Took> {
    let dir = options.dir.join("ours");
    remove(&dir)?;
    let bucket = dir.join("bucket");
    copy_blocks(from, &bucket)?;
    let config = format!("type: FILESYSTEM\nconfig:\n  directory: {}\n", bucket.display());
    let mut command = Command::new(binary);
    command.args(["compact", "--consistency-delay=0s", "--downsampling.disable", "--log.format=json"]);
    command
        .arg(format!("--objstore.config={config}"))
        .arg(format!("--data-dir={}", dir.join("data").display()));
    let log = dir.join("log");
    let mut child = start(&mut command, &log)?;
    let mut took = Took::default();
    let status = loop {
        look(child.id(), &mut took);
        if let Some(status) = child.try_wait().context("cannot wait for the compactor")? {
            break status;
        }
        sleep(POLL);
    };
    let log = fs::read_to_string(&log).context("its log is gone")?;
    ensure!(status.success(), "it ended with {status}:\n{log}");
    for line in log.lines() {
        let Ok(line) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let took_ms = line["took_ms"].as_str().and_then(|text| text.parse::<f64>().ok());
        if let Some(ms) = took_ms {
            took.seconds += ms / 1e3;
            took.compactions += 1;
        }
    }
    ensure!(took.compactions > 0, "its log tells of no compaction:\n{log}");
    took.samples = written(&bucket)?;
    remove(&dir)?;
    Ok(took)
}

fn compact_theirs(options: &Options, from: &Path) -> Result<Took> {
    let dir = options.dir.join("prometheus");
    remove(&dir)?;
    let data = dir.join("data");
    copy_blocks(from, &data)?;
    fs::write(dir.join("prometheus.yml"), "global: {}\n").context("cannot write a configuration")?;
    let mut command = Command::new(tools::path("prometheus"));
    command.arg(format!("--config.file={}", dir.join("prometheus.yml").display()));
    command.arg(format!("--storage.tsdb.path={}", data.display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{PORT}"));
    command.args(["--storage.tsdb.retention.time=100y", "--storage.tsdb.min-block-duration=2h"]);
    command.arg("--storage.tsdb.max-block-duration=2d");
    let log = dir.join("log");
    let mut child = start(&mut command, &log)?;
    let took = follow(&mut child, &log);
    let _ = child.kill();
    child.wait().context("cannot wait for Prometheus")?;
    let mut took = took?;
    took.samples = written(&data)?;
    remove(&dir)?;
    Ok(took)
}

/// Until it has compacted all that it will.
fn follow(child: &mut Child, log: &Path) -> Result<Took> {
    let mut took = Took::default();
    let (mut quiet, mut before) = (0, 0.0);
    for poll in 0..PATIENCE_POLLS {
        look(child.id(), &mut took);
        if let Some(status) = child.try_wait().context("cannot wait for Prometheus")? {
            bail!("it ended with {status}:\n{}", fs::read_to_string(log).unwrap_or_default());
        }
        if poll % 50 == 0
            && let Some((200, metrics)) = process::get(PORT, "/metrics", None)
        {
            took.seconds = metric(&metrics, "prometheus_tsdb_compaction_duration_seconds_sum");
            let compactions = metric(&metrics, "prometheus_tsdb_compaction_duration_seconds_count");
            let triggered = metric(&metrics, "prometheus_tsdb_compactions_triggered_total");
            (quiet, before) = (if compactions == before { quiet + 1 } else { 0 }, compactions);
            took.compactions = compactions as u64;
            // A block is written and looked at before the next plan; half a minute without any is the end.
            if triggered > 0.0 && compactions > 0.0 && quiet >= 30 {
                return Ok(took);
            }
        }
        sleep(POLL);
    }
    bail!("it did not compact everything in time:\n{}", fs::read_to_string(log).unwrap_or_default())
}

fn metric(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or(0.0)
}

fn start(command: &mut Command, log: &Path) -> Result<Child> {
    let log = File::create(log).context("cannot make a log file")?;
    command.stdin(Stdio::null()).stdout(log.try_clone().context("cannot make a log file")?).stderr(log);
    command.spawn().context("cannot start it")
}

/// What the kernel says of a process right now.
fn look(pid: u32, took: &mut Took) {
    let bytes = |field| process::status_bytes(pid, field).unwrap_or(0);
    took.resident_bytes = took.resident_bytes.max(bytes("VmHWM:"));
    took.own_bytes = took.own_bytes.max(bytes("RssAnon:"));
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name, which may have blanks: user and system time, in hundredths of a second.
    let fields =
        stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect::<Vec<_>>()).unwrap_or_default();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok());
    if let Some((user, system)) = ticks(11).zip(ticks(12)) {
        took.cpu_seconds = took.cpu_seconds.max((user + system) / 100.0);
    }
}

fn median(all: &[Took], of: impl Fn(&Took) -> f64) -> f64 {
    let mut values: Vec<f64> = all.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn page(options: &Options, machine: &table::Machine, ours: &[Took], theirs: &[Took]) -> Result<String> {
    let mut text = format!(
        "# Compaction: {} days of blocks of two hours, {} series a minute\n\n`cargo xtask compaction --series={} --days={} --runs={}` on \
         {} (UTC). Both compact copies of the same blocks on the same disk, ours in a bucket that is a folder. Seconds are \
         `prometheus_tsdb_compaction_duration_seconds` there, and all of fetching, merging, checking and uploading here; \
         medians of the runs.\n\n",
        options.days,
        options.series,
        options.series,
        options.days,
        options.runs,
        table::date("+%F %H:%M")?
    );
    text += "| | compactions | samples written | seconds | samples/s | CPU s of the process | memory, MB (VmHWM) | of that not of files, MB |\n|---|---|---|---|---|---|---|---|\n";
    for (name, all) in [("nilometer", ours), ("prometheus", theirs)] {
        text += &format!(
            "| {name} | {} | {} | {:.2} | {:.2} million | {:.2} | {:.0} | {:.0} |\n",
            median(all, |t| t.compactions as f64),
            median(all, |t| t.samples as f64),
            median(all, |t| t.seconds),
            median(all, Took::samples_per_second) / 1e6,
            median(all, |t| t.cpu_seconds),
            median(all, |t| t.resident_bytes as f64) / 1e6,
            median(all, |t| t.own_bytes as f64) / 1e6,
        );
    }
    let ratio = |of: fn(&Took) -> f64| median(ours, of) / median(theirs, of);
    text += &format!(
        "\n{:.1} times the samples a second with {:.0} % of the memory ({:.0} % of what is not of files).\n\n| | |\n|---|---|\n",
        ratio(Took::samples_per_second),
        100.0 * ratio(|t| t.resident_bytes as f64),
        100.0 * ratio(|t| t.own_bytes as f64),
    );
    text += &machine.rows();
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let found = parse(&["--series=200", "--days=1", "--runs=2"]).unwrap();
        assert_eq!((found.series, found.days, found.runs), (200, 1, 2));
        for bad in ["--series=x", "--runs=0", "--nothing"] {
            assert!(parse(&[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn metrics() {
        let text = "# HELP a b\na_sum 1.5\na_sum_total 3\n";
        assert_eq!((metric(text, "a_sum"), metric(text, "b")), (1.5, 0.0));
    }
}
