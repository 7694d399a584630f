//! Fuzz targets: each file of `fuzz/fuzz_targets/` has its entry in `fuzz/Cargo.toml`, and how one is run.
//!
//! The crate has cargo-fuzz' layout, but needs neither cargo-fuzz nor a nightly compiler: the coverage
//! instrumentation that libFuzzer steers by is an LLVM pass that stable rustc can be told to run. A nightly
//! toolchain adds the address sanitizer, where one is installed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::metadata::TARGET;
use crate::shell;

const NIGHTLY: &str = "nightly-x86_64-unknown-linux-gnu";

const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cdebug-assertions=on -Coverflow-checks=on -Ccodegen-units=1";

/// More than this in one input finds nothing that less does not find sooner.
const MAX_INPUT_BYTES: u32 = 64 << 10;
const MAX_MEMORY_MIB: u32 = 2048;

/// Each target has its `[[bin]]`, and each `[[bin]]` its file.
pub(crate) fn check_entries() -> Result<()> {
    let folder = shell::root().join("fuzz");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).context("fuzz/Cargo.toml")?;
    let findings = compare(&files(&folder)?, &bins(&manifest));
    for finding in &findings {
        eprintln!("fuzz: {finding}");
    }
    ensure!(findings.is_empty(), "fuzz/Cargo.toml and fuzz/fuzz_targets/ do not agree");
    Ok(())
}

/// `[TARGET] [--seconds N]`
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let (wanted, seconds) = parse(args)?;
    check_entries()?;
    let folder = shell::root().join("fuzz");
    let mut targets = files(&folder)?;
    if let Some(wanted) = wanted {
        ensure!(targets.contains(wanted), "no target {wanted:?}; there are: {}", join(&targets));
        targets.retain(|target| target == wanted);
    }
    ensure!(!targets.is_empty(), "there is no file in fuzz/fuzz_targets/ yet");
    let sanitizer = has_nightly();
    println!(
        "fuzz: {}",
        if sanitizer { "nightly, with the address sanitizer" } else { "stable, no sanitizer" }
    );
    for target in &targets {
        build(target, sanitizer)?;
        let mut command = command(target, sanitizer, u64::from(seconds))?;
        shell::run(&mut command).with_context(|| {
            format!(
                "{target} ended early; an input that broke it is in fuzz/artifacts/{target}/: make it a test"
            )
        })?;
    }
    Ok(())
}

fn parse<'a>(args: &[&'a str]) -> Result<(Option<&'a str>, u32)> {
    match args {
        [] => Ok((None, 60)),
        ["--seconds", n, rest @ ..] => {
            let seconds = n.parse().with_context(|| format!("--seconds takes a number, not {n:?}"))?;
            Ok((parse(rest)?.0, seconds))
        }
        [target, rest @ ..] if !target.starts_with('-') => match parse(rest)? {
            (None, seconds) => Ok((Some(target), seconds)),
            (Some(other), _) => bail!("one target or all of them, not {target:?} and {other:?}"),
        },
        [flag, ..] => bail!("no such flag: {flag}"),
    }
}

/// All targets by name.
pub(crate) fn targets() -> Result<BTreeSet<String>> {
    files(&shell::root().join("fuzz"))
}

pub(crate) fn has_nightly() -> bool {
    let version = shell::output(shell::command("rustup").args(["run", NIGHTLY, "rustc", "--version"]));
    version.is_ok_and(|text| text.contains("nightly"))
}

pub(crate) fn build(target: &str, sanitizer: bool) -> Result<()> {
    let mut cargo = if sanitizer { shell::command("rustup") } else { shell::cargo_command() };
    if sanitizer {
        cargo.args(["run", NIGHTLY, "cargo"]);
    }
    let flags = if sanitizer { format!("{COVERAGE} -Zsanitizer=address") } else { COVERAGE.to_owned() };
    cargo.args([
        "build",
        "--release",
        "--manifest-path=fuzz/Cargo.toml",
        "--target",
        TARGET,
        "--bin",
        target,
    ]);
    // A cargo that started us names its own toolchain in these.
    cargo.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").env_remove("RUSTC").env_remove("RUSTDOC");
    cargo.env("RUSTFLAGS", flags).env("CARGO_TARGET_DIR", target_dir(sanitizer));
    shell::run(&mut cargo)
        .with_context(|| format!("cannot build the fuzz target {target} (libFuzzer is C++ and needs `g++`)"))
}

/// One for each toolchain: their artefacts do not mix.
fn target_dir(sanitizer: bool) -> &'static str {
    if sanitizer { "target/fuzz/asan" } else { "target/fuzz/plain" }
}

/// Runs a target that was built. A crash leaves its input in `fuzz/artifacts/`; running the same command again
/// starts from the corpus.
pub(crate) fn command(target: &str, sanitizer: bool, seconds: u64) -> Result<Command> {
    let folder = shell::root().join("fuzz");
    let corpus = folder.join("corpus").join(target);
    let artifacts = folder.join("artifacts").join(target);
    fs::create_dir_all(&corpus).context("fuzz/corpus")?;
    fs::create_dir_all(&artifacts).context("fuzz/artifacts")?;
    let binary = shell::root().join(target_dir(sanitizer)).join(TARGET).join("release").join(target);
    let mut command = shell::command(binary);
    command.arg(&corpus).args(Some(folder.join("seeds").join(target)).filter(|seeds| seeds.is_dir()));
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={MAX_INPUT_BYTES}"));
    command.arg(format!("-rss_limit_mb={MAX_MEMORY_MIB}")).args(["-timeout=10", "-print_final_stats=1"]);
    Ok(command)
}

fn compare(files: &BTreeSet<String>, bins: &BTreeSet<(String, String)>) -> Vec<String> {
    let entry = |name: &String| (name.clone(), format!("fuzz_targets/{name}.rs"));
    let wanted: BTreeSet<_> = files.iter().map(entry).collect();
    let lacking = wanted.difference(bins).map(|(name, path)| {
        format!(
            "{path} has no entry: add [[bin]] with name = {name:?} and path = {path:?} to fuzz/Cargo.toml"
        )
    });
    let stale = bins
        .difference(&wanted)
        .map(|(name, path)| format!("[[bin]] {name:?} names {path}, which is not there"));
    lacking.chain(stale).collect()
}

/// Names of the targets, without `.rs`; none before the first one, since git keeps no empty folder.
fn files(folder: &Path) -> Result<BTreeSet<String>> {
    let folder = folder.join("fuzz_targets");
    let mut names = BTreeSet::new();
    if !folder.is_dir() {
        return Ok(names);
    }
    for entry in fs::read_dir(folder).context("fuzz/fuzz_targets")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".rs").map(str::to_owned));
    }
    Ok(names)
}

/// `(name, path)` of each `[[bin]]`. Enough TOML for a file whose lines we write ourselves.
fn bins(manifest: &str) -> BTreeSet<(String, String)> {
    let value = |table: &str, key: &str| {
        let line = table.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('='));
        line.map(|v| v.trim().trim_matches('"').to_owned()).unwrap_or_default()
    };
    let tables = manifest.split("[[bin]]").skip(1).map(|after| after.split("\n[").next().unwrap_or_default());
    tables.map(|table| (value(table, "name"), value(table, "path"))).collect()
}

fn join(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[package]\nname = \"fuzz\"\n\n[[bin]]\nname = \"wire\"\npath = \"fuzz_targets/wire.rs\"\n\
        test = false\n\n[[bin]]\nname = \"old\"\npath = \"fuzz_targets/old.rs\"\n[profile.release]\nname = \"x\"\n";

    #[test]
    fn files_and_entries_are_compared_both_ways() {
        let files = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(compare(&files(&["wire", "old"]), &bins(MANIFEST)), [""; 0]);
        let found = compare(&files(&["wire", "index"]), &bins(MANIFEST));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("fuzz_targets/index.rs has no entry"), "{found:?}");
        assert!(found[1].contains("fuzz_targets/old.rs, which is not there"), "{found:?}");
    }

    #[test]
    fn arguments() {
        assert_eq!(parse(&[]).unwrap(), (None, 60));
        assert_eq!(parse(&["wire", "--seconds", "5"]).unwrap(), (Some("wire"), 5));
        assert_eq!(parse(&["--seconds", "5", "wire"]).unwrap(), (Some("wire"), 5));
        for wrong in [&["a", "b"][..], &["--seconds"], &["--seconds", "x"], &["--fast"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
