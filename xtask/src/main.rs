//! The repository's automation. `cargo xtask ci` is what CI runs; every check of it has a name of its own,
//! so that a person can run just the one that failed.

mod bench;
mod ci;
mod declared;
mod demo;
mod deps;
mod fuzz;
mod links;
mod loc;
mod metadata;
mod process;
mod promql;
mod shell;
mod spdx;
mod stores;
mod tiers;
mod tools;
mod torture;

use anyhow::{Result, bail};

const USAGE: &str = "\
cargo xtask <command>

  ci                            everything CI runs, in its order, up to the first failure
  fmt                           format the code (`fmt --check` only looks)
  tiers                         every edge between rooms goes strictly down
  deps                          licences, duplicate versions, banned and idle dependencies
  links                         every relative link of the documentation leads to a file
  tools                         unpack the pinned programs that tests start into target/tools
  demo                          the hub and two real Prometheus servers that push to it
  bench [--help]                the same load for the hub and its peers, as a table in bench/results
  steady [--help]               the hub under a long load with churn and cuts, as a page in bench/results
  compaction [--help]           our compactor beside Prometheus', as a page in bench/results
  year [--help]                 a simulated year over a bucket, and queries over it, as a page in bench/results
  promqltest DIR                run a folder of Prometheus' test scripts over the query engine
  promqlfuzz [--help]           random queries, to our engine and to another server
  fuzz [TARGET] [--seconds N]   run one fuzz target, or each of them, for N seconds (60)
  torture [--help]              the long runs: seeds, kills and fuzzing, with a summary in bench/results
  loc                           files and functions longer than the style guide's sizes
";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if let Err(error) = dispatch(&args) {
        eprintln!("xtask: {error:#}");
        std::process::exit(1);
    }
}

fn dispatch(args: &[&str]) -> Result<()> {
    match args {
        ["ci"] => ci::run(),
        ["fmt"] => shell::cargo(["fmt", "--all"]),
        ["fmt", "--check"] => ci::fmt(),
        ["tiers"] => tiers::run(),
        ["deps"] => deps::run(),
        ["links"] => links::run(),
        ["tools"] => tools::run(),
        ["demo", rest @ ..] => demo::run(rest),
        ["bench", rest @ ..] => bench::run(rest),
        ["steady", rest @ ..] => bench::steady::run(rest),
        ["compaction", rest @ ..] => bench::compaction::run(rest),
        ["year", rest @ ..] => bench::year::run(rest),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        ["promqlfuzz", rest @ ..] => promql::fuzz(rest),
        ["promqltest", rest @ ..] => promql::test(rest),
        ["loc"] => loc::run(),
        ["torture", rest @ ..] => torture::run(rest),
        [] | ["help" | "-h" | "--help", ..] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => bail!("no such command: {}\n\n{USAGE}", args.join(" ")),
    }
}
