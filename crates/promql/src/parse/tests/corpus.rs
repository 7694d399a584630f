//! Queries of others: Prometheus' own tests, and dashboards.

use super::*;
use std::path::Path;

/// A file of the conformance data, which is not part of the project.
fn conformance(name: &str) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance").join(name);
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        println!("skipped: {} is not there", path.display());
    }
    text
}

#[test]
fn prometheus_and_we_accept_the_same() {
    let Some(text) = conformance("promql-parse.jsonl") else { return };
    let (mut wrong, mut valid, mut invalid) = (Vec::new(), 0, 0);
    for line in text.lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let query = case["expr"].as_str().unwrap();
        match (case["valid"].as_bool().unwrap(), parse(query)) {
            (true, Ok(expr)) => {
                valid += 1;
                assert_prints_back(query, &expr);
            }
            (false, Err(_)) => invalid += 1,
            (true, Err(e)) => wrong.push(format!("{}: {query:.200}: {e}", case["line"])),
            (false, Ok(_)) => wrong.push(format!("{}: {query:.200}: accepted", case["line"])),
        }
    }
    assert!(wrong.is_empty(), "{}\n{valid} and {invalid} as expected", wrong.join("\n"));
    assert!(valid > 2000 && invalid > 100);
}

#[test]
fn dashboards_parse_and_run() {
    let Some(text) = conformance("dashboard-queries.txt") else { return };
    let mut wrong = Vec::new();
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        let query = without_variables(line);
        match parse_expr(&query, ParseOptions::default()) {
            Ok(expr) => {
                assert_prints_back(&query, &expr);
                if !crate::fuzz::evaluate(&query) {
                    wrong.push(format!("{line}\n  {query}\n  is not answered"));
                }
            }
            Err(e) => wrong.push(format!("{line}\n  {query}\n  {e}")),
        }
    }
    assert!(wrong.is_empty(), "{}\n{} of {}", wrong.join("\n"), wrong.len(), text.lines().count());
}

/// Puts something that fits in the place of each of Grafana's variables: what fits depends on whether it
/// stands in a string, in brackets or elsewhere.
fn without_variables(query: &str) -> String {
    let (mut out, mut rest) = (String::new(), query);
    let (mut quote, mut in_brackets) = (None, false);
    while let Some(c) = rest.chars().next() {
        if let Some((name, len)) = variable(rest) {
            out.push_str(match name {
                _ if quote.is_some() => ".*",
                "__rate_interval" => "5m",
                "__interval" => "1m",
                "__range" => "1h",
                _ if in_brackets => "5m",
                _ if in_labels(&out) => "label",
                _ => "1",
            });
            rest = &rest[len..];
            continue;
        }
        match (quote, c) {
            (None, '"' | '\'' | '`') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, '[') => in_brackets = true,
            (None, ']') => in_brackets = false,
            _ => {}
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// Whether `before` ends inside the parentheses of `by` and its like.
fn in_labels(before: &str) -> bool {
    let Some((head, labels)) = before.rsplit_once('(') else { return false };
    let word = head.trim_end().rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next();
    !labels.contains(')')
        && matches!(word, Some("by" | "without" | "on" | "ignoring" | "group_left" | "group_right"))
}

/// `$name`, `${name}`, `${name:format}` or `[[name]]` at the start: its name and length.
fn variable(text: &str) -> Option<(&str, usize)> {
    for (open, close) in [("${", "}"), ("[[", "]]")] {
        if let Some(inner) = text.strip_prefix(open) {
            let end = inner.find(close)?;
            let name = inner[..end].split(':').next()?;
            return Some((name, open.len() + end + close.len()));
        }
    }
    let name = text.strip_prefix('$')?;
    let len = name.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
    (len > 0).then(|| (&name[..len], 1 + len))
}
