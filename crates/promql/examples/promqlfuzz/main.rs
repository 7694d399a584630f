//! Random queries to our engine and to another server, and what differs: `cargo xtask promqlfuzz`.
//!
//! The peer is a Prometheus that takes remote write; it is fed first. What it says of its version decides which
//! language is spoken. A finding is shrunk and printed; any ends the run with 1. With `--hub-url` a hub is fed and
//! asked instead of the engine; its tenant's label and name must be those of the data (`tenant_id`, `fuzz`).

mod feed;
mod json;
mod peer;

use feed::{Starts, feed};
use nilometer_bench::Endpoint;
use nilometer_promql::fuzz::compare::agree;
use nilometer_promql::fuzz::generate::query;
use nilometer_promql::fuzz::judge::{Judge, Side, Verdict};
use nilometer_promql::fuzz::shrink::shrink;
use nilometer_promql::fuzz::{Asked, Dialect, Ours, Times, data};
use peer::{About, Peer};
use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;
use std::process::ExitCode;

/// More than this are one mistake, mostly.
const MAX_FINDINGS: usize = 40;
/// A captured answer may be as long as that, so that the golden file stays small.
const MAX_CAPTURED_BYTES: usize = 900;

struct Options {
    peer_url: String,
    hub_url: Option<String>,
    seeds: Range<u64>,
    capture: Option<String>,
    query: Option<String>,
}

fn main() -> ExitCode {
    match options().and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(e) => {
            eprintln!("promqlfuzz: {e}");
            ExitCode::from(2)
        }
    }
}

fn options() -> Result<Options, String> {
    let mut options =
        Options { peer_url: String::new(), hub_url: None, seeds: 0..1000, capture: None, query: None };
    for arg in std::env::args().skip(1) {
        let (flag, value) = arg.split_once('=').unwrap_or((&arg, ""));
        match flag {
            "--peer-url" => options.peer_url = value.to_owned(),
            "--hub-url" => options.hub_url = Some(value.to_owned()),
            "--capture" => options.capture = Some(value.to_owned()),
            "--query" => options.query = Some(value.to_owned()),
            "--seeds" => {
                let ends = value.split_once("..").and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
                let (first, end) = ends.ok_or_else(|| format!("--seeds is like 0..1000, not {value:?}"))?;
                options.seeds = first..end;
            }
            _ => return Err(format!("there is no flag {arg}")),
        }
    }
    if options.peer_url.is_empty() {
        return Err("--peer-url=http://host:port names the server to be compared with".to_owned());
    }
    Ok(options)
}

/// Whether all was well.
fn run(options: &Options) -> Result<bool, String> {
    let endpoint = Endpoint::new(&options.peer_url, &[]).map_err(|e| e.to_string())?;
    let mut peer = Peer::new(&endpoint);
    let about = peer.about()?;
    let dialect = about.features.dialect;
    let held = data::series(dialect);
    let starts = if about.features.start_timestamps { Starts::ByOtlp } else { Starts::Dropped };
    feed(&options.peer_url, &held, starts)?;
    if let Some(path) = &options.capture {
        return capture(&mut peer, &about, options.seeds.clone(), path).map(|()| true);
    }
    let Some(hub_url) = &options.hub_url else {
        return Ok(compare(options, &mut Ours::new(about.features), &mut peer, dialect));
    };
    feed(hub_url, &held, Starts::ByRemoteWrite)?;
    let endpoint = Endpoint::new(hub_url, &[]).map_err(|e| e.to_string())?;
    Ok(compare(options, &mut Peer::new(&endpoint), &mut peer, dialect))
}

fn compare(options: &Options, ours: &mut dyn Side, theirs: &mut dyn Side, dialect: Dialect) -> bool {
    let mut judge = Judge { ours, theirs, dialect };
    let mut tally: BTreeMap<String, u64> = BTreeMap::new();
    let mut findings = 0;
    for seed in options.seeds.clone() {
        let mut asked = query(seed, dialect);
        asked.text = options.query.clone().unwrap_or(asked.text);
        let kind = match judge.judge(&asked) {
            Verdict::Same { refused: true, .. } => "same: refused by both".to_owned(),
            Verdict::Same { empty: true, .. } => "same: empty".to_owned(),
            Verdict::Same { .. } => "same".to_owned(),
            Verdict::Rounding => "rounded differently".to_owned(),
            Verdict::Known(reason) => format!("meant: {reason}"),
            Verdict::Wrong { asked: part, what } => {
                findings += 1;
                let (small, how) = shrink(&mut judge, part, what);
                println!(
                    "seed {seed}: {} {}\n  {} {}\n  {how}",
                    asked.text,
                    when(&asked),
                    small.text,
                    when(&small)
                );
                "WRONG".to_owned()
            }
        };
        *tally.entry(kind).or_default() += 1;
        if findings >= MAX_FINDINGS {
            println!("{MAX_FINDINGS} findings are enough, the last seed was {seed}");
            break;
        }
    }
    for (kind, count) in &tally {
        println!("{count:8}  {kind}");
    }
    println!("{:8}  queries", tally.values().sum::<u64>());
    findings == 0
}

fn when(asked: &Asked) -> String {
    match asked.times {
        Times::At(t_ms) => format!("at {t_ms}"),
        Times::Steps { start_ms, end_ms, step_ms } => format!("from {start_ms} to {end_ms} step {step_ms}"),
    }
}

/// Writes what the peer answers, a query a line, where that is something and short. What differs as it is meant to is
/// left out, and what is computed from numbers that were rounded differently; a mistake is not.
fn capture(peer: &mut Peer<'_>, about: &About, seeds: Range<u64>, path: &str) -> Result<(), String> {
    let mut out = Vec::new();
    let header = serde_json::json!({
        "prometheus": about.version,
        "delayed_name_removal": about.features.delayed_name_removal,
        "start_timestamps": about.features.start_timestamps,
        "type_and_unit_labels": about.features.type_and_unit_labels,
    });
    writeln!(out, "{header}").map_err(|e| e.to_string())?;
    let dialect = about.features.dialect;
    let mut ours = Ours::new(about.features);
    for seed in seeds {
        let asked = query(seed, dialect);
        let text = peer.raw(&asked)?;
        let answer: serde_json::Value = serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))?;
        let empty = answer["data"]["result"].as_array().is_some_and(Vec::is_empty);
        if text.len() > MAX_CAPTURED_BYTES || answer["status"] != "success" || empty {
            continue;
        }
        let verdict = Judge { ours: &mut ours, theirs: peer, dialect }.judge(&asked);
        let rounded = matches!(verdict, Verdict::Rounding);
        if matches!(verdict, Verdict::Known(_))
            || rounded && agree(&ours.ask(&asked), &peer.ask(&asked)).is_err()
        {
            continue;
        }
        let times = match asked.times {
            Times::At(t_ms) => vec![t_ms],
            Times::Steps { start_ms, end_ms, step_ms } => vec![start_ms, end_ms, step_ms],
        };
        let line = serde_json::json!({"seed": seed, "query": asked.text, "times": times, "answer": answer});
        writeln!(out, "{line}").map_err(|e| e.to_string())?;
    }
    std::fs::write(path, out).map_err(|e| format!("{path}: {e}"))
}
