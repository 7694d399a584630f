//! Prometheus' own test scripts, and ours.

use nilometer_promql::fuzz::random::Random;
use nilometer_promql::{fuzz, script};
use std::path::{Path, PathBuf};

/// How many evaluations of each script pass. Raise a number when more do; it never goes down.
const BASELINE: [(&str, usize); 14] = [
    ("aggregators.test", 160),
    ("at_modifier.test", 78),
    ("collision.test", 2),
    ("duration_expression.test", 59),
    ("extended_vectors.test", 169),
    ("fill-modifier.test", 46),
    ("functions.test", 431),
    ("histograms.test", 185),
    ("name_label_dropping.test", 30),
    ("native_histograms.test", 522),
    ("range_queries.test", 18),
    ("selectors.test", 31),
    ("start_timestamps.test", 26),
    ("type_and_unit.test", 58),
];

fn report(path: &Path) -> (usize, String) {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let report = script::run(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let failures: Vec<String> =
        report.failures.iter().map(|f| format!("line {}: {}\n    {}", f.line, f.query, f.message)).collect();
    (report.passed, failures.join("\n"))
}

#[test]
fn of_prometheus() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/promql");
    if !folder.is_dir() {
        println!("skipped: {} is not there", folder.display());
        return;
    }
    for (name, expected) in BASELINE {
        let (passed, failures) = report(&folder.join(name));
        assert!(passed >= expected, "{name}: {passed} pass, {expected} did before\n{failures}");
        assert!(passed == expected, "{name}: {passed} pass now; raise the baseline from {expected}");
    }
}

#[test]
fn of_our_own() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut scripts: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.sort();
    assert!(!scripts.is_empty());
    for path in scripts {
        let (_, failures) = report(&path);
        assert_eq!(failures, "", "{}", path.display());
    }
}

/// Scripts are read from anyone's folder.
#[test]
fn damaged_scripts() {
    let good = "load 1m\n  m{a=\"b\"} 1+2x3 _ stale {{schema:1 sum:4 count:3 buckets:[1 2]}}x2\n  m@st -30s-1mx2\n\n\
                eval instant at 1m rate(m[5m])\n  expect warn msg: x\n  {a=\"b\"} 1\n\nclear\n";
    let mut random = Random::new(7);
    for _ in 0..5000 {
        let mut bytes = good.as_bytes().to_vec();
        for _ in 0..1 + random.below(4) {
            let at = random.below(bytes.len());
            match random.below(3) {
                0 => bytes[at] = b" \n{}[]:x+-_0159\"@e"[random.below(18)],
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, bytes[random.below(bytes.len())]),
            }
        }
        fuzz::script(&String::from_utf8_lossy(&bytes));
    }
}
