//! `cargo xtask year`: a simulated year over a bucket, then capacity queries over it, as a page for `bench/results/`.
//!
//! Each query gets a hub of its own, which has just been started on an empty folder: its first answer is the cold one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::server::{self, Running};
use super::{Latency, PORT, build, remove, table};
use crate::shell;

const USAGE: &str = "\
cargo xtask year [options]

  --series=N       active series every minute (20000)
  --days=N         simulated days (365)
  --dir=DIR        where it lies; a year that is there goes on where it stopped (target/year)
  --max-gb=N       end it before it takes more disk (15)
  --keep           leave the year in its folder
  --binary=FILE    another hub than the one that is built (target/release/nilometer)
  --what=WORDS     name of the page: bench/results/<date>-<words>.md (year)
";

/// What people ask of years: a thousand series each, with those that came and went up to 15,600.
const QUERIES: [&str; 13] = [
    "instant predict_linear(node_filesystem_avail_bytes[30d], 90 * 86400) < 0",
    "instant predict_linear(node_filesystem_avail_bytes[182d], 90 * 86400) < 0",
    "instant predict_linear(node_filesystem_avail_bytes[365d], 90 * 86400) < 0",
    "instant avg_over_time(node_memory_numa_used_bytes[24h]) / avg_over_time(node_memory_numa_used_bytes[24h] offset 335d)",
    "range 2592000 3600 sum by (cluster) (avg_over_time(node_memory_numa_used_bytes[24h]))",
    "range 2592000 86400 predict_linear(node_filesystem_avail_bytes[7d], 30 * 86400)",
    "range 2592000 21600 sum by (cluster) (avg_over_time(node_memory_numa_used_bytes[24h])) / sum by (cluster) (avg_over_time(node_memory_numa_used_bytes[24h] offset 330d))",
    "range 15724800 21600 sum by (cluster) (avg_over_time(node_memory_numa_used_bytes[24h]))",
    "range 15724800 86400 avg_over_time(node_memory_numa_used_bytes[24h])",
    "range 31536000 86400 avg_over_time(node_memory_numa_used_bytes[24h])",
    "range 31536000 86400 sum by (namespace) (avg_over_time(container_memory_working_set_bytes[24h]))",
    "range 31536000 86400 sum by (cluster) (rate(node_network_receive_bytes_total[24h]))",
    "range 31536000 3600 max(node_memory_numa_used_bytes)",
];
const RUNS: u32 = 7;

struct Options {
    series: u64,
    days: u64,
    dir: PathBuf,
    max_gb: u64,
    keep: bool,
    binary: Option<PathBuf>,
    what: String,
}

fn parse(args: &[&str]) -> Result<Options> {
    let dir = shell::root().join("target/year");
    let mut options = Options {
        series: 20_000,
        days: 365,
        dir,
        max_gb: 15,
        keep: false,
        binary: None,
        what: "year".into(),
    };
    for arg in args {
        let (name, value) = arg.split_once('=').unwrap_or((arg, ""));
        let number = || value.parse::<u64>().with_context(|| format!("{arg}: that is no number"));
        let path = || std::path::absolute(value).with_context(|| format!("{arg}: that is no path"));
        match name {
            "--series" => options.series = number()?,
            "--days" => options.days = number()?,
            "--dir" => options.dir = path()?,
            "--max-gb" => options.max_gb = number()?,
            "--keep" => options.keep = true,
            "--binary" => options.binary = Some(path()?),
            "--what" => options.what = value.to_owned(),
            _ => bail!("no such option: {arg}\n\n{USAGE}"),
        }
    }
    ensure!(options.series > 0 && options.days > 0, "a year has series and days");
    Ok(options)
}

/// The part of `bench year --json` that is shown.
#[derive(Deserialize)]
struct Year {
    series: u64,
    start_ms: i64,
    blocks: u64,
    samples: u64,
    peak_disk_bytes: u64,
    stages: BTreeMap<String, Stage>,
    bucket: BTreeMap<String, Held>,
}

#[derive(Deserialize)]
struct Stage {
    blocks: u64,
    seconds: f64,
    cpu_seconds: f64,
    peak_bytes: u64,
    bytes_in: u64,
    bytes_out: u64,
}

#[derive(Deserialize)]
struct Held {
    blocks: u64,
    samples: u64,
    bytes: u64,
    marked_bytes: u64,
}

/// One query of `bench query --json`.
#[derive(Deserialize)]
struct Times {
    refused: Option<String>,
    first_ms: f64,
    latency: Latency,
    series: u64,
    values: u64,
}

#[derive(Deserialize)]
struct Report {
    queries: Vec<Times>,
}

struct Asked {
    query: &'static str,
    times: Times,
    ready_seconds: f64,
    peak_bytes: u64,
}

pub(crate) fn run(args: &[&str]) -> Result<()> {
    let options = parse(args)?;
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => build()?,
    };
    crate::process::check_free(&[PORT, PORT + 1])?;
    let machine = table::machine();
    let year = walk(&options, &binary)?;
    let is_cold = drop_pages();
    let end_seconds = year.start_ms / 1_000 + year.blocks as i64 * super::RANGE_SECONDS;
    let mut asked = Vec::new();
    for query in QUERIES {
        println!("year: {query}");
        drop_pages();
        asked.push(ask(query, &options, &binary, end_seconds).with_context(|| format!("asking {query}"))?);
    }
    let text = page(&year, &machine, &asked, is_cold)?;
    let path = table::path(&options.what)?;
    fs::write(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    if !options.keep {
        remove(&options.dir)?;
    }
    println!("{text}\nyear: written to {}", path.display());
    Ok(())
}

fn walk(options: &Options, binary: &Path) -> Result<Year> {
    let mut command = Command::new(binary);
    command.args(["bench", "year", "--json"]).arg(format!("--dir={}", options.dir.display()));
    command.arg(format!("--series={}", options.series)).arg(format!("--days={}", options.days));
    command.arg(format!("--max-gb={}", options.max_gb)).stderr(Stdio::inherit());
    serde_json::from_str(&shell::output(&mut command)?).context("what the year reports is not understood")
}

/// Whether the system let go of what it has read of files; only root may ask it to.
fn drop_pages() -> bool {
    let synced = Command::new("sync").status().is_ok_and(|status| status.success());
    synced && fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

fn ask(query: &'static str, options: &Options, binary: &Path, end_seconds: i64) -> Result<Asked> {
    let dir = options.dir.join("hub");
    remove(&dir)?;
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let bucket = options.dir.join("bucket");
    let config = format!("type: FILESYSTEM\nconfig:\n  directory: {}\n", bucket.display());
    fs::write(dir.join(server::OBJSTORE), config).context("cannot write the bucket's config")?;
    let file = dir.join("query");
    fs::write(&file, query).context("cannot write the query")?;
    let hub = server::over_bucket(binary);
    let running = Running::start(&hub, &dir, PORT)?;
    let mut command = Command::new(binary);
    command.args(["bench", "query", "--json"]).arg(format!("--url={}", running.url()));
    command.arg(format!("--file={}", file.display())).arg(format!("--time={end_seconds}"));
    command.arg(format!("--runs={RUNS}"));
    let Report { queries } = serde_json::from_str(&shell::output(&mut command)?)?;
    let peak_bytes = crate::process::status_bytes(running.pid(), "VmHWM:");
    let peak_bytes = peak_bytes.context("the hub is gone, or the kernel tells no VmHWM")?;
    let ready_seconds = running.ready_seconds;
    running.kill()?;
    remove(&dir)?;
    let times = queries.into_iter().next().context("no query was timed")?;
    Ok(Asked { query, times, ready_seconds, peak_bytes })
}

fn page(year: &Year, machine: &table::Machine, asked: &[Asked], is_cold: bool) -> Result<String> {
    let days = year.blocks / 12;
    let gb = |bytes: u64| bytes as f64 / 1e9;
    let mut text = format!(
        "# A simulated year: {} active series, {days} days, {} samples\n\n`cargo xtask year` on {} (UTC): a sample a minute, \
         2 % of the series replaced in a day, raw samples kept for 30 days, those of 5 m for 90, those of 1 h for ever; \
         a mark for deletion stands for 48 h. On disk were at most {:.2} GB.\n\n",
        year.series,
        year.samples,
        table::date("+%F %H:%M")?,
        gb(year.peak_disk_bytes)
    );
    text +=
        "Blocks made, wall and CPU seconds (user and system), VmHWM of the whole process in that stage.\n\n";
    text += "| stage | blocks | wall, s | CPU, s | peak memory, MB | GB in | GB out |\n|---|---|---|---|---|---|---|\n";
    for (name, stage) in &year.stages {
        let (peak, bytes_in, bytes_out) =
            (stage.peak_bytes as f64 / 1e6, gb(stage.bytes_in), gb(stage.bytes_out));
        text += &format!(
            "| {name} | {} | {:.1} | {:.1} | {peak:.0} | {bytes_in:.2} | {bytes_out:.2} |\n",
            stage.blocks, stage.seconds, stage.cpu_seconds
        );
    }
    text += "\n| in the bucket at the end | blocks | samples | GB | of them marked for deletion |\n|---|---|---|---|---|\n";
    for (resolution_ms, held) in &year.bucket {
        let name = match resolution_ms.parse::<i64>() {
            Ok(0) => "raw".to_owned(),
            Ok(ms) => format!("{} m", ms / 60_000),
            Err(_) => resolution_ms.clone(),
        };
        let (all, marked) = (gb(held.bytes), gb(held.marked_bytes));
        text += &format!("| {name} | {} | {} | {all:.2} | {marked:.2} |\n", held.blocks, held.samples);
    }
    text += &format!(
        "\n## Queries\n\nEach in a hub that was started for it on an empty folder; {}. Cold is the first answer, warm the \
         median of {RUNS} after it, memory VmHWM of the hub since its start.\n\n",
        if is_cold {
            "the system's pages of files were dropped before"
        } else {
            "pages of files were not dropped before"
        }
    );
    text += "| query | series | values | ready, s | cold, ms | warm, ms | memory, MB |\n|---|---|---|---|---|---|---|\n";
    for Asked { query, times, ready_seconds, peak_bytes } in asked {
        let peak = *peak_bytes as f64 / 1e6;
        text += &match &times.refused {
            Some(why) => format!("| `{query}` | refused: {why} | | {ready_seconds:.2} | | | {peak:.0} |\n"),
            None => format!(
                "| `{query}` | {} | {} | {ready_seconds:.2} | {:.0} | {:.0} | {peak:.0} |\n",
                times.series, times.values, times.first_ms, times.latency.p50_ms
            ),
        };
    }
    text += "\n| | |\n|---|---|\n";
    text += &machine.rows();
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let found = parse(&["--series=200", "--days=60", "--keep", "--max-gb=2"]).unwrap();
        assert_eq!((found.series, found.days, found.keep, found.max_gb), (200, 60, true, 2));
        for bad in ["--series=x", "--series=0", "--days=", "--nothing"] {
            assert!(parse(&[bad]).is_err(), "{bad}");
        }
    }
}
