//! Go's own verdicts, then what the strategies and the limits promise.

use super::Regex;
use serde::Deserialize;
use std::path::Path;

/// A line of `testdata/go_regex.jsonl`, written by `testdata/go_regex.go` with Go 1.27.3.
#[derive(Deserialize)]
struct Verdict {
    p: String,
    err: Option<String>,
    #[serde(default)]
    yes: Vec<String>,
    #[serde(default)]
    no: Vec<String>,
}

/// What differs from Go, one line each.
fn differences(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines().skip(1) {
        let verdict: Verdict = serde_json::from_str(line).expect("a line of the golden file");
        let p = &verdict.p;
        match (Regex::new(p), verdict.err) {
            (Ok(regex), None) => {
                let wrong = |all: &[String], is: bool| {
                    let wrong = all.iter().filter(|value| regex.is_match(value) != is);
                    wrong
                        .map(|value| format!("{p:?} {value:?}: Go says {is} ({regex:?})"))
                        .collect::<Vec<_>>()
                };
                found.extend(wrong(&verdict.yes, true));
                found.extend(wrong(&verdict.no, false));
                found.extend(broken_promises(&regex, &verdict.yes, &verdict.no));
            }
            (Ok(_), Some(err)) => found.push(format!("{p:?}: Go refuses it: {err}")),
            (Err(err), None) => found.push(format!("{p:?}: Go accepts it: {err}")),
            (Err(err), Some(wanted)) => {
                if err.message() != format!("error parsing regexp: {wanted}") {
                    found.push(format!("{p:?}: Go says {wanted}, not {err}"));
                }
            }
        }
    }
    found
}

/// Prefix and values have to agree with what Go says of the values.
fn broken_promises(regex: &Regex, yes: &[String], no: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(
        yes.iter()
            .filter(|value| !value.starts_with(regex.prefix()))
            .map(|value| format!("{regex:?}: prefix {:?} is not that of {value:?}", regex.prefix())),
    );
    if let Some(set) = regex.set_matches() {
        found.extend(yes.iter().filter(|v| !set.contains(v)).map(|v| format!("{regex:?}: {v:?} is missing")));
        found.extend(no.iter().filter(|v| set.contains(v)).map(|v| format!("{regex:?}: {v:?} is wrong")));
    }
    found
}

#[test]
fn agrees_with_go() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/go_regex.jsonl");
    let text = std::fs::read_to_string(path).expect("the golden file");
    let found = differences(&text);
    assert!(found.is_empty(), "{} differences\n{}", found.len(), found.join("\n"));
}

/// A larger run of the generator, by hand: `GO_REGEX=file cargo test -p nilometer-model go_file -- --ignored`.
#[test]
#[ignore = "needs a file written by testdata/go_regex.go"]
fn agrees_with_go_file() {
    let Some(path) = std::env::var_os("GO_REGEX") else { return };
    let text = std::fs::read_to_string(path).expect("the file named by GO_REGEX");
    let found = differences(&text);
    assert!(found.is_empty(), "{} differences\n{}", found.len(), found.join("\n"));
}
