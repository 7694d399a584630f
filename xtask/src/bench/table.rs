//! What was found, as a page for `bench/results/`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::kept::Plan;
use super::options::Options;
use super::{Found, Verified};
use crate::{shell, tools};

/// What the figures depend on.
pub(super) struct Machine {
    lines: Vec<(&'static str, String)>,
}

pub(super) fn machine() -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map_or_else(|| "?".to_owned(), |rest| rest.trim_start_matches([' ', '\t', ':']).to_owned())
    };
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = format!("{} × {}", cpus, field(&read("/proc/cpuinfo"), "model name"));
    let kernel = read("/proc/sys/kernel/osrelease").trim().to_owned();
    let load = read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" ");
    Machine {
        lines: vec![
            ("CPU", cpu),
            ("memory", field(&read("/proc/meminfo"), "MemTotal")),
            ("kernel", kernel),
            ("load average at the start", load),
            ("peers", tools::pinned(&["prometheus", "victoria-metrics"]).join(", ")),
        ],
    }
}

impl Machine {
    pub(super) fn rows(&self) -> String {
        self.lines.iter().map(|(name, value)| format!("| {name} | {value} |\n")).collect()
    }
}

pub(super) fn markdown(options: &Options, machine: &Machine, found: &[Found]) -> Result<String> {
    let mut text = format!(
        "# {} series, {} scrapes: {} samples\n\n",
        options.series,
        options.scrapes,
        options.series * options.scrapes
    );
    text += &format!(
        "`cargo xtask bench --series={} --scrapes={} --kill-at={}` on {} (UTC): remote write 1.0, 2,000 samples a request, \
         8 connections, as fast as they are taken. CPU is user and system of the server until a minute after the last \
         answer; memory is VmHWM.\n\n",
        options.series,
        options.scrapes,
        options.kill_at,
        date("+%F %H:%M")?
    );
    text += "| | CPU s per million samples | peak memory, MB | samples/s | answer p50 / p99 / max, ms | disk, bytes a \
             sample | blocks, bytes a sample | ready after SIGKILL, s | lost, extra, wrong of all, after SIGKILL at rest | \
             the same, SIGKILL in mid-load |\n|---|---|---|---|---|---|---|---|---|---|\n";
    for one in found {
        text += &row(one);
    }
    text += "\n| | |\n|---|---|\n";
    text += &machine.rows();
    for one in found {
        if let Some(revision) = &one.revision {
            text += &format!("| {} | revision {revision} |\n", one.name);
        }
    }
    if let Some(first) = found.first() {
        let samples = first.load.samples as f64;
        text += &format!(
            "| a sample | {:.1} B of protobuf, {:.1} B of snappy |\n",
            first.load.protobuf_bytes as f64 / samples,
            first.load.snappy_bytes as f64 / samples
        );
        if let Some(own) = &first.load.own {
            let (cpu, peak) = (own.cpu_seconds * 1e6 / samples, own.peak_bytes as f64 / 1e6);
            text += &format!("| the generator | {cpu:.3} s per million samples, {peak:.0} MB |\n");
        }
    }
    Ok(text)
}

/// The page of a run without a load, as far as the table of queries.
pub(super) fn queries_alone(
    plan: &Plan,
    machine: &Machine,
    revisions: &[(&str, Option<String>)],
) -> Result<String> {
    let mut text = format!(
        "# Queries over {} series, {} samples\n\n`cargo xtask bench --use=…` on {} (UTC), over the data of an earlier load \
         that ended at {}; each server was started again, one at a time.\n\n| | |\n|---|---|\n",
        plan.series(),
        plan.samples(),
        date("+%F %H:%M")?,
        plan.end_seconds()
    );
    text += &machine.rows();
    for (name, revision) in revisions {
        if let Some(revision) = revision {
            text += &format!("| {name} | revision {revision} |\n");
        }
    }
    Ok(text)
}

fn row(one: &Found) -> String {
    let load = &one.load;
    let samples = load.samples as f64;
    let each = |bytes: Option<u64>| bytes.map_or("–".to_owned(), |b| format!("{:.2}", b as f64 / samples));
    let usage = load.server.as_ref();
    let cells = [
        one.name.clone(),
        usage.map_or("–".to_owned(), |u| format!("{:.2}", u.cpu_seconds * 1e6 / samples)),
        usage.map_or("–".to_owned(), |u| format!("{:.0}", u.peak_bytes as f64 / 1e6)),
        format!("{:.0}", samples / load.seconds),
        format!("{:.1} / {:.1} / {:.1}", load.latency.p50_ms, load.latency.p99_ms, load.latency.max_ms),
        each(one.disk_bytes),
        each(one.block_bytes),
        one.ready_seconds.map_or("–".to_owned(), |s| format!("{s:.2}")),
        one.verified.as_ref().map_or("–".to_owned(), verified),
        one.killed.as_ref().map_or("–".to_owned(), verified),
    ];
    format!("| {} |\n", cells.join(" | "))
}

fn verified(found: &Verified) -> String {
    let Verified { acknowledged, lost, extra, wrong } = found;
    let percent = *lost as f64 * 100.0 / (*acknowledged).max(1) as f64;
    let lost = if *lost == 0 { "0".to_owned() } else { format!("{lost} ({percent:.1} %)") };
    format!("{lost}, {extra}, {wrong} of {acknowledged}")
}

pub(super) fn path(what: &str) -> Result<PathBuf> {
    let folder = shell::root().join("bench/results");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder.join(format!("{}-{what}.md", date("+%F")?)))
}

pub(super) fn date(format: &str) -> Result<String> {
    Ok(shell::output(shell::command("date").args(["-u", format]))?.trim().to_owned())
}

pub(super) fn now_seconds() -> Result<i64> {
    date("+%s")?.parse().context("`date` printed no number")
}

/// Bytes of all files in a folder.
pub(super) fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        // What the server removes meanwhile counts nothing.
        let Ok(about) = entry.metadata() else { continue };
        bytes += if about.is_dir() { size(&entry.path())? } else { about.len() };
    }
    Ok(bytes)
}
