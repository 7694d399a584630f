//! What is still to do: a plain function of what is asked for and what was done.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::options::Options;
use super::state::Step;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Part {
    Seeds,
    Flips,
    Compactors,
    Kills,
    Fuzz,
}

impl Part {
    pub(super) fn name(self) -> &'static str {
        match self {
            Part::Seeds => "seeds",
            Part::Flips => "flips",
            Part::Compactors => "compactors",
            Part::Kills => "kills",
            Part::Fuzz => "fuzz",
        }
    }
}

/// Seeds of a step.
const SEEDS: u64 = 500;
/// The same of compactors, each of which works on a fortnight.
const LIVES: u64 = 50;
/// Kills of a step, which share a data directory.
const KILLS: u64 = 20;
const FUZZ_SECONDS: u64 = 300;
/// Less than this is not worth a start.
const MIN_FUZZ_SECONDS: u64 = 10;

/// The next step of a part, or of a fuzz target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) part: Part,
    /// Empty but for fuzzing.
    pub(super) target: String,
    /// Seeds from here on; of kills, the seed.
    pub(super) first: u64,
    /// Seeds, kills or seconds.
    pub(super) count: u64,
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Job { part, target, first, count } = self;
        match part {
            Part::Seeds | Part::Flips | Part::Compactors => {
                write!(f, "{} {first}..{}", part.name(), first + count)
            }
            Part::Kills => write!(f, "{count} kills, seed {first}"),
            Part::Fuzz => write!(f, "fuzz {target}, {count} s"),
        }
    }
}

/// The next step of each part that is not done, in the order in which they are to run. `left_s` is how much
/// time there is.
pub(super) fn jobs(options: &Options, steps: &[Step], targets: &BTreeSet<String>, left_s: u64) -> Vec<Job> {
    if left_s == 0 {
        return Vec::new();
    }
    let job = |part, first, count| Job { part, target: String::new(), first, count };
    let mut jobs = Vec::new();
    let seeds = [
        (Part::Seeds, &options.seeds, SEEDS),
        (Part::Flips, &options.flips, SEEDS),
        (Part::Compactors, &options.compactors, LIVES),
    ];
    for (part, wanted, at_once) in seeds {
        let next = gap(wanted, steps.iter().filter(|step| step.part == part), at_once);
        jobs.extend(next.map(|(first, count)| job(part, first, count)));
    }
    let killed = done(steps, Part::Kills, "");
    if killed < options.kills {
        jobs.push(job(Part::Kills, killed, KILLS.min(options.kills - killed)));
    }
    let mut hungry: Vec<(u64, &String)> = targets
        .iter()
        .map(|target| (done(steps, Part::Fuzz, target), target))
        .filter(|(seconds, _)| *seconds < options.fuzz_seconds)
        .collect();
    hungry.sort();
    if left_s >= MIN_FUZZ_SECONDS {
        jobs.extend(hungry.into_iter().map(|(seconds, target)| {
            let count = FUZZ_SECONDS.min(options.fuzz_seconds - seconds).min(left_s);
            Job { part: Part::Fuzz, target: target.clone(), first: seconds, count }
        }));
    }
    jobs
}

/// How much of a part was done without a failure.
pub(super) fn done(steps: &[Step], part: Part, target: &str) -> u64 {
    let of_it = steps.iter().filter(|step| step.part == part && step.target == target);
    of_it.filter(|step| step.failure.is_none()).map(|step| step.count).sum()
}

/// The seeds that were done without a failure, as ranges that do not touch.
pub(super) fn covered<'a>(steps: impl Iterator<Item = &'a Step>) -> Vec<Range<u64>> {
    let good = steps.filter(|step| step.failure.is_none());
    let mut ranges: Vec<Range<u64>> = good.map(|step| step.first..step.first + step.count).collect();
    ranges.sort_by_key(|range| range.start);
    ranges.dedup_by(|next, last| {
        let touch = next.start <= last.end;
        if touch {
            last.end = last.end.max(next.end);
        }
        touch
    });
    ranges
}

/// The first seeds of a range that no step has done.
fn gap<'a>(wanted: &Range<u64>, steps: impl Iterator<Item = &'a Step>, at_once: u64) -> Option<(u64, u64)> {
    let (mut first, mut end) = (wanted.start, wanted.end);
    for range in covered(steps) {
        if range.start > first {
            end = end.min(range.start);
            break;
        }
        first = first.max(range.end);
    }
    (first < end).then(|| (first, at_once.min(end - first)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(part: Part, target: &str, first: u64, count: u64, failed: bool) -> Step {
        let job = Job { part, target: target.to_owned(), first, count };
        let failure = failed.then(Default::default);
        Step::new(&job, String::new(), String::new(), 0, failure, Default::default())
    }

    fn next(options: &[&str], steps: &[Step], left_s: u64) -> Vec<String> {
        let targets = ["a", "b"].map(str::to_owned).into();
        let jobs = jobs(&Options::parse(options).unwrap(), steps, &targets, left_s);
        jobs.iter().map(Job::to_string).collect()
    }

    #[test]
    fn from_the_start() {
        let all = next(&[], &[], u64::MAX);
        assert_eq!(
            all,
            [
                "seeds 0..500",
                "flips 0..500",
                "compactors 0..50",
                "20 kills, seed 0",
                "fuzz a, 300 s",
                "fuzz b, 300 s"
            ]
        );
        assert_eq!(next(&[], &[], 0), [""; 0]);
        assert_eq!(next(&["--fuzz-seconds=400"], &[], 20), ["fuzz a, 20 s", "fuzz b, 20 s"]);
        assert_eq!(next(&["--fuzz-seconds=400"], &[], 9), [""; 0]);
    }

    #[test]
    fn what_is_done_is_not_done_again() {
        let seeds = |first, count| step(Part::Seeds, "", first, count, false);
        let range = ["--seeds=100..1200"];
        assert_eq!(next(&range, &[seeds(0, 500)], 1), ["seeds 500..1000"]);
        assert_eq!(next(&range, &[seeds(700, 100), seeds(100, 500)], 1), ["seeds 600..700"]);
        assert_eq!(next(&range, &[seeds(700, 100), seeds(0, 800)], 1), ["seeds 800..1200"]);
        assert_eq!(next(&range, &[seeds(0, 1200)], 1), [""; 0]);
        assert_eq!(next(&range, &[step(Part::Flips, "", 0, 1200, false)], 1), ["seeds 100..600"]);
        let steps = [seeds(700, 100), seeds(0, 200), seeds(150, 100), seeds(250, 1)];
        assert_eq!(covered(steps.iter()), [0..251, 700..800]);
        let killed = [step(Part::Kills, "", 0, 20, false), step(Part::Kills, "", 20, 20, false)];
        assert_eq!(next(&["--kills=45"], &killed, 1), ["5 kills, seed 40"]);
    }

    #[test]
    fn what_failed_is_tried_again_and_who_had_least_goes_first() {
        assert_eq!(next(&["--seeds=0..10"], &[step(Part::Seeds, "", 0, 10, true)], 1), ["seeds 0..10"]);
        assert_eq!(next(&["--kills=5"], &[step(Part::Kills, "", 0, 5, true)], 1), ["5 kills, seed 0"]);
        let fuzzed = [step(Part::Fuzz, "a", 0, 300, false), step(Part::Fuzz, "b", 0, 300, true)];
        assert_eq!(next(&["--fuzz-seconds=400"], &fuzzed, 999), ["fuzz b, 300 s", "fuzz a, 100 s"]);
    }
}
