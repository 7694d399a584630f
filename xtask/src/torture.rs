//! `cargo xtask torture`: the long runs that CI has no time for. Seeds of the simulated disk, seeds that flip
//! bits, kills of the real binary, and fuzzing.
//!
//! Work is cut into steps of a few minutes at most. Each step that ended is written down in
//! `target/torture/state.json`, so a run that is broken off, or has used up its time, goes on where it stopped.
//! The summary of all steps is a page for `bench/results/`.

mod options;
mod plan;
mod state;
mod summary;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{fuzz, shell};
use options::Options;
use plan::{Job, Part};
use state::{Failure, State, Step};

const USAGE: &str = "\
cargo xtask torture [options]

  --seeds=A..B        seeds of the simulated disk (0..20000)
  --flips=A..B        seeds that flip a durable bit (0..2000)
  --compactors=A..B   seeds of compactors that die at any change of a bucket or of their disk (0..1000)
  --kills=N           kills of the real binary (200)
  --fuzz-seconds=N    for each fuzz target (3600)
                      where one of these is given, only what is given runs
  --minutes=N         ends after so long; the same command goes on later
  --fresh             forgets what ran before
";

const STATE: &str = "target/torture/state.json";

pub(crate) fn run(args: &[&str]) -> Result<()> {
    if args.iter().any(|arg| ["-h", "--help"].contains(arg)) {
        print!("{USAGE}");
        return Ok(());
    }
    let options = Options::parse(args)?;
    let folder = shell::root().join("target/torture");
    fs::create_dir_all(&folder).context("target/torture")?;
    let state = if options.fresh { State::default() } else { State::load(&shell::root().join(STATE))? };
    let mut runner = Runner {
        began: now(),
        revision: revision()?,
        built: BTreeMap::new(),
        stopped: BTreeSet::new(),
        options,
        folder,
        state,
    };
    let targets = if runner.options.fuzz_seconds > 0 { fuzz::targets()? } else { BTreeSet::new() };
    while let Some(job) = runner.next(&targets) {
        runner.step(&job)?;
    }
    let path = summary::write(&runner.state)?;
    println!("torture: {}", path.strip_prefix(shell::root()).unwrap_or(&path).display());
    if !runner.stopped.is_empty() {
        bail!("something failed; {} says what, and how to repeat it", path.display());
    }
    Ok(())
}

struct Runner {
    options: Options,
    folder: PathBuf,
    state: State,
    revision: String,
    began: Instant,
    /// Programs by name.
    built: BTreeMap<String, PathBuf>,
    /// Parts and targets that failed in this run: they are not tried again before the next.
    stopped: BTreeSet<(Part, String)>,
}

/// What a step came to.
struct Outcome {
    /// What to run to see the failure again.
    repeat: Option<String>,
    counts: BTreeMap<String, u64>,
}

impl Runner {
    fn next(&self, targets: &BTreeSet<String>) -> Option<Job> {
        let left = match self.options.minutes {
            Some(minutes) => Duration::from_secs(minutes * 60).saturating_sub(self.began.elapsed()).as_secs(),
            None => u64::MAX,
        };
        plan::jobs(&self.options, &self.state.steps, targets, left)
            .into_iter()
            .find(|job| !self.stopped.contains(&(job.part, job.target.clone())))
    }

    fn step(&mut self, job: &Job) -> Result<()> {
        let program = self.program(job)?;
        println!("torture: {job} …");
        let log = self.folder.join("last.log");
        let started = now();
        let outcome = match job.part {
            Part::Seeds => seeds(&program, &LIVES, job, &log)?,
            Part::Flips => seeds(&program, &FLIPS, job, &log)?,
            Part::Compactors => seeds(&program, &COMPACTORS, job, &log)?,
            Part::Kills => kills(&program, job, &log)?,
            Part::Fuzz => fuzzing(job, &log)?,
        };
        let failure = match outcome.repeat {
            None => None,
            Some(repeat) => {
                let name = format!("{}-{}{}.log", job.part.name(), job.target, job.first);
                fs::copy(&log, self.folder.join(&name)).context("keeping the log of a failure")?;
                println!("torture: {job} FAILED. Again by:\n  {repeat}\nits log: target/torture/{name}");
                self.stopped.insert((job.part, job.target.clone()));
                Some(Failure { repeat, log: format!("target/torture/{name}") })
            }
        };
        let seconds = started.elapsed().as_secs();
        let (revision, date) = (self.revision.clone(), output("date", &["-u", "+%F %H:%M"])?);
        self.state.steps.push(Step::new(job, revision, date, seconds, failure, outcome.counts));
        self.state.save(&shell::root().join(STATE))
    }

    /// The program that does a job, built when it is first needed.
    fn program(&mut self, job: &Job) -> Result<PathBuf> {
        let (package, name) = match job.part {
            Part::Seeds | Part::Flips => ("nilometer-head", "nilometer_head"),
            Part::Compactors => ("nilometer-compact", "nilometer_compact"),
            Part::Kills => ("nilometer", "it"),
            Part::Fuzz => ("", job.target.as_str()),
        };
        if let Some(path) = self.built.get(name) {
            return Ok(path.clone());
        }
        let path = if job.part == Part::Fuzz {
            fuzz::build(&job.target, fuzz::has_nightly())?;
            PathBuf::new()
        } else {
            test_program(package, name)?
        };
        self.built.insert(name.to_owned(), path.clone());
        Ok(path)
    }
}

/// Builds the tests of a package as CI does, and says which program they are.
fn test_program(package: &str, name: &str) -> Result<PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
        target: Option<Target>,
        profile: Option<Profile>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    #[derive(Deserialize)]
    struct Profile {
        test: bool,
    }
    let mut cargo = shell::cargo_command();
    cargo.args(["test", "--locked", "--no-run", "--message-format=json", "--package", package]);
    let messages = shell::output(&mut cargo)?;
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    let mut found = messages.filter(|m| {
        m.target.as_ref().is_some_and(|t| t.name == name) && m.profile.as_ref().is_some_and(|p| p.test)
    });
    found.find_map(|m| m.executable).with_context(|| format!("{package} has no tests named {name}"))
}

/// A test that `NILOMETER_SEED` and `NILOMETER_SEEDS` repeat.
struct Seeded {
    room: &'static str,
    test: &'static str,
}

const LIVES: Seeded = Seeded { room: "head", test: "tests::simulation::two_hundred_lives" };
const FLIPS: Seeded = Seeded { room: "head", test: "tests::simulation::a_flipped_bit_costs_what_it_hit" };
const COMPACTORS: Seeded = Seeded { room: "compact", test: "run::tests::compactors_that_die" };

fn seeds(program: &Path, Seeded { room, test }: &Seeded, job: &Job, log: &Path) -> Result<Outcome> {
    let mut command = Command::new(program);
    command.current_dir(shell::root().join("crates").join(room));
    command.args(["--exact", test]);
    command.env("NILOMETER_SEED", job.first.to_string()).env("NILOMETER_SEEDS", job.count.to_string());
    let (ok, said) = logged(&mut command, log)?;
    // A test that is gone, or has another name, is no test that passed.
    let ran = said.contains("1 passed");
    // The tests name the seed that failed.
    let seed = said.lines().find_map(|line| line.strip_prefix("with NILOMETER_SEED=")?.split(' ').next());
    let first = job.first.to_string();
    let (seed, count) = match seed {
        Some(seed) => (seed, 1),
        None => (first.as_str(), job.count),
    };
    let repeat = format!(
        "NILOMETER_TRACE=1 NILOMETER_SEED={seed} NILOMETER_SEEDS={count} cargo test -p nilometer-{room} {test}"
    );
    Ok(Outcome { repeat: (!ok || !ran).then_some(repeat), counts: BTreeMap::new() })
}

fn kills(program: &Path, job: &Job, log: &Path) -> Result<Outcome> {
    const TEST: &str = "what_is_acknowledged_survives_kills";
    let mut command = Command::new(program);
    command.current_dir(shell::root().join("crates/nilometer"));
    command.args(["--exact", "--nocapture", &format!("kills::{TEST}")]);
    let (seed, count) = (job.first.to_string(), job.count.to_string());
    command.env("NILOMETER_SEED", &seed).env("NILOMETER_TEST_KILLS", &count);
    let (ok, said) = logged(&mut command, log)?;
    let counts = counts(&said);
    let repeat = format!(
        "NILOMETER_SEED={seed} NILOMETER_TEST_KILLS={count} cargo test -p nilometer --test it {TEST}"
    );
    Ok(Outcome { repeat: (!ok || counts.is_empty()).then_some(repeat), counts })
}

/// Of `kills=20 acknowledged_requests=31267 …`, which stands behind the test's name where nothing came between.
fn counts(said: &str) -> BTreeMap<String, u64> {
    let line = said.lines().find(|line| line.contains("kills=")).unwrap_or_default();
    let pairs = line.split(' ').filter_map(|pair| pair.split_once('='));
    pairs.filter_map(|(name, n)| Some((name.to_owned(), n.parse().ok()?))).collect()
}

fn fuzzing(job: &Job, log: &Path) -> Result<Outcome> {
    let mut command = fuzz::command(&job.target, fuzz::has_nightly(), job.count)?;
    let (ok, said) = logged(&mut command, log)?;
    let inputs = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let inputs = inputs.and_then(|n| n.trim().parse().ok()).unwrap_or(0);
    // libFuzzer names the file of the input that broke the target.
    let artifact =
        said.lines().find_map(|line| line.split_once("Test unit written to ")).map(|(_, path)| path);
    let repeat = match artifact {
        Some(path) => format!("{} {path}", Path::new(command.get_program()).display()),
        None => format!("cargo xtask fuzz {} --seconds {}", job.target, job.count),
    };
    Ok(Outcome { repeat: (!ok).then_some(repeat), counts: BTreeMap::from([("inputs".to_owned(), inputs)]) })
}

/// Runs to the end with all that it says in a file. Says whether it succeeded, and what it said.
fn logged(command: &mut Command, log: &Path) -> Result<(bool, String)> {
    let file = File::create(log).with_context(|| log.display().to_string())?;
    command.stdout(file.try_clone()?).stderr(file);
    let status = command.status().with_context(|| format!("cannot start {:?}", command.get_program()))?;
    let said = fs::read(log).with_context(|| log.display().to_string())?;
    Ok((status.success(), String::from_utf8_lossy(&said).into_owned()))
}

/// Of the source; results that lie there uncommitted do not change it.
fn revision() -> Result<String> {
    let commit = output("git", &["rev-parse", "--short", "HEAD"])?;
    let changed =
        output("git", &["status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/results"])?;
    Ok(if changed.is_empty() { commit } else { format!("{commit} with changes") })
}

fn output(program: &str, args: &[&str]) -> Result<String> {
    Ok(shell::output(shell::command(program).args(args))?.trim().to_owned())
}

#[expect(
    clippy::disallowed_methods,
    reason = "automation runs on the real clock and shares no code with the rooms"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_kills() {
        let wanted = BTreeMap::from([("kills".to_owned(), 20), ("blocks".to_owned(), 3)]);
        assert_eq!(counts("\nrunning 1 test\nkills=20 blocks=3\ntest a ... ok\n"), wanted);
        assert_eq!(counts("running 1 test\ntest a ... kills=20 blocks=3\nok\n"), wanted);
        assert_eq!(counts("test a ... FAILED\n"), BTreeMap::new());
    }
}
