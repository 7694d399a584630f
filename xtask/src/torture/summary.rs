//! All steps as a page for `bench/results/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::options::ALL;
use super::output;
use super::plan::{Part, covered, done};
use super::state::{State, Step};
use crate::shell;

pub(super) fn write(state: &State) -> Result<PathBuf> {
    let folder = shell::root().join("bench/results");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let path = folder.join(format!("{}-torture.md", output("date", &["-u", "+%F"])?));
    fs::write(&path, page(&state.steps) + &machine()).with_context(|| path.display().to_string())?;
    Ok(path)
}

fn page(steps: &[Step]) -> String {
    let mut text = String::from(
        "# Torture\n\nWhat `cargo xtask torture` ran so far: nothing acknowledged may be lost, altered or doubled, \
         and nothing may crash.\n\n\
         | | full count | done | failed | minutes | | revisions |\n|---|---|---|---|---|---|---|\n",
    );
    for (part, name, full) in [
        (Part::Seeds, "simulated disk that forgets, fails and tears: seeds", ALL.seeds),
        (Part::Flips, "a durable bit is flipped: seeds", ALL.flips),
        (Part::Compactors, "compactors that die at a change of the bucket: seeds", ALL.compactors),
    ] {
        let all = of(steps, part, "");
        let ranges = covered(all.iter().copied());
        let done = ranges.iter().map(|range| range.end - range.start).sum();
        let note = ranges.iter().map(|r| format!("{}..{}", r.start, r.end)).collect::<Vec<_>>().join(", ");
        text += &Row { name, full: full.end, done, note }.line(&all);
    }
    let all = of(steps, Part::Kills, "");
    let done_kills = done(steps, Part::Kills, "");
    let row =
        Row { name: "SIGKILLs of the real binary", full: ALL.kills, done: done_kills, note: kills(&all) };
    text += &row.line(&all);
    let fuzzed = steps.iter().filter(|step| step.part == Part::Fuzz);
    for target in fuzzed.map(|step| step.target.as_str()).collect::<BTreeSet<_>>() {
        let all = of(steps, Part::Fuzz, target);
        let row = Row {
            name: &format!("fuzz target `{target}`: seconds"),
            full: ALL.fuzz_seconds,
            done: done(steps, Part::Fuzz, target),
            note: format!("{} inputs", grouped(sum(&all, "inputs"))),
        };
        text += &row.line(&all);
    }
    text + &failures(steps)
}

fn failures(steps: &[Step]) -> String {
    let mut text = String::new();
    for (at, step) in steps.iter().enumerate() {
        let Some(failure) = &step.failure else { continue };
        let again = |later: &&Step| {
            (later.part, &later.target, later.first) == (step.part, &step.target, step.first)
                && later.failure.is_none()
        };
        let since = steps[at..].iter().find(again);
        let since = since.map_or(String::new(), |later| format!(" (passed since, at {})", later.revision));
        let (part, revision, date) = (step.part.name(), &step.revision, &step.date);
        text += &format!("- {part} at {revision}, {date} UTC: `{}`{since}\n", failure.repeat);
    }
    match text.as_str() {
        "" => "\nNothing failed.\n".to_owned(),
        list => format!("\nWhat failed, and how to see it again:\n\n{list}"),
    }
}

struct Row<'a> {
    name: &'a str,
    full: u64,
    done: u64,
    note: String,
}

impl Row<'_> {
    fn line(&self, steps: &[&Step]) -> String {
        let failed = steps.iter().filter(|step| step.failure.is_some()).count();
        let minutes = steps.iter().map(|step| step.seconds).sum::<u64>().div_ceil(60);
        let revisions: BTreeSet<&str> = steps.iter().map(|step| step.revision.as_str()).collect();
        let revisions = revisions.into_iter().collect::<Vec<_>>().join(", ");
        let Row { name, full, done, note } = self;
        format!("| {name} | {full} | {done} | {failed} | {minutes} | {note} | {revisions} |\n")
    }
}

fn kills(steps: &[&Step]) -> String {
    let [requests, blocks, half_blocks, half_snapshots, half_starts] =
        ["acknowledged_requests", "blocks", "half_blocks", "half_snapshots", "half_starts"]
            .map(|name| grouped(sum(steps, name)));
    format!(
        "{requests} requests of 20 series acknowledged, {blocks} blocks cut; the kills left {half_blocks} blocks and \
         {half_snapshots} snapshots half-written, and {half_starts} hit a start"
    )
}

fn of<'a>(steps: &'a [Step], part: Part, target: &str) -> Vec<&'a Step> {
    steps.iter().filter(|step| step.part == part && step.target == target).collect()
}

fn sum(steps: &[&Step], name: &str) -> u64 {
    steps.iter().filter_map(|step| step.counts.get(name)).sum()
}

fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = model.map_or("?", |(_, name)| name);
    format!("\n{cores} × {model}, Linux {}.\n", read("/proc/sys/kernel/osrelease").trim())
}

#[cfg(test)]
mod tests {
    use super::super::plan::Job;
    use super::super::state::Failure;
    use super::*;

    #[test]
    fn says_what_is_done_and_what_failed() {
        let job = |part, target: &str, first, count| Job { part, target: target.to_owned(), first, count };
        let step = |job: &Job, failure, counts: &[(&str, u64)]| {
            let counts = counts.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
            Step::new(job, "abc".to_owned(), "2026-01-02 03:04".to_owned(), 61, failure, counts)
        };
        let failure = || Failure { repeat: "do it again".to_owned(), log: String::new() };
        let steps = [
            step(&job(Part::Seeds, "", 0, 10), None, &[]),
            step(&job(Part::Seeds, "", 10, 10), Some(failure()), &[]),
            step(&job(Part::Flips, "", 10, 10), Some(failure()), &[]),
            step(&job(Part::Flips, "", 10, 10), None, &[]),
            step(&job(Part::Fuzz, "wire", 0, 300), None, &[("inputs", 1_234_567)]),
        ];
        let text = page(&steps);
        for line in [
            "| simulated disk that forgets, fails and tears: seeds | 20000 | 10 | 1 | 3 | 0..10 | abc |",
            "| fuzz target `wire`: seconds | 3600 | 300 | 0 | 2 | 1,234,567 inputs | abc |",
            "- seeds at abc, 2026-01-02 03:04 UTC: `do it again`\n",
            "- flips at abc, 2026-01-02 03:04 UTC: `do it again` (passed since, at abc)\n",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
