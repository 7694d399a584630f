//! What CI runs, in order, up to the first failure. `.ci/run` calls nothing else.
//!
//! Cheap checks come first. Tests are built with the profile that clippy checked with, so that build scripts
//! (the C code of aws-lc and jemalloc) run once.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::{deps, fuzz, links, promql, shell, tiers, tools};

type Step = (&'static str, fn() -> Result<()>);

const STEPS: &[Step] = &[
    ("fmt", fmt),
    ("tiers", tiers::run),
    ("deps", deps::run),
    ("fuzz entries", fuzz::check_entries),
    ("links", links::run),
    ("tools", tools::run),
    ("clippy", clippy),
    ("test", test),
    ("promqlfuzz", promql::smoke),
    ("doc", doc),
];

pub(crate) fn run() -> Result<()> {
    let mut seconds = Vec::new();
    for (name, step) in STEPS {
        println!("==> {name}");
        let started = now();
        let result = step();
        seconds.push((name, started.elapsed().as_secs_f64()));
        result.with_context(|| format!("step {name}"))?;
    }
    println!("==> every step passed");
    for (name, seconds) in &seconds {
        println!("{seconds:8.1} s  {name}");
    }
    println!("{:8.1} s  in all", seconds.iter().map(|(_, s)| s).sum::<f64>());
    Ok(())
}

pub(crate) fn fmt() -> Result<()> {
    shell::cargo(["fmt", "--all", "--check"]).context("`cargo xtask fmt` mends it")
}

fn clippy() -> Result<()> {
    shell::cargo(["clippy", "--workspace", "--all-targets", "--locked", "--quiet", "--", "-D", "warnings"])
}

/// Plain `cargo test`: it runs the examples in the documentation too.
fn test() -> Result<()> {
    shell::cargo(["test", "--workspace", "--locked"])
}

/// For people who work on the house: with private items, so that links to them are fine.
fn doc() -> Result<()> {
    let mut cargo = shell::cargo_command();
    cargo.args(["doc", "--workspace", "--no-deps", "--document-private-items", "--locked", "--quiet"]);
    shell::run(cargo.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links"))
}

/// Durations here are for people; nothing is decided by them.
#[expect(
    clippy::disallowed_methods,
    reason = "automation runs on the real clock and shares no code with the rooms"
)]
fn now() -> Instant {
    Instant::now()
}
