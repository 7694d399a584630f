//! Prometheus' own test scripts, and ours.

use nilometer_promql::script;
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
