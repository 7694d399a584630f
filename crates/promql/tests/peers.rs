//! Answers of a real Prometheus to random queries, captured by `cargo xtask promqlfuzz --capture=…`: ours are the same,
//! up to rounding.

#[path = "../examples/promqlfuzz/json.rs"]
mod json;

use nilometer_promql::fuzz::compare::agree;
use nilometer_promql::fuzz::judge::Side;
use nilometer_promql::fuzz::{Asked, Dialect, Features, Ours, Times};

/// Of a Prometheus 3.12 with the query engine, the histograms and the annotations of 3.14; without and with
/// `promql-delayed-name-removal`; and with start timestamps and `type-and-unit-labels`, of which the lines about series
/// that have them are here.
const GOLDEN: [&str; 3] = [
    include_str!("golden/prometheus-3.jsonl"),
    include_str!("golden/prometheus-3-delayed-names.jsonl"),
    include_str!("golden/prometheus-3-typed.jsonl"),
];

#[test]
fn we_answer_as_prometheus() {
    let count: usize = GOLDEN.into_iter().map(replay).sum();
    assert!(count > 1500, "only {count} were captured");
}

fn replay(golden: &str) -> usize {
    let mut lines = golden.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let header = lines.next().unwrap();
    let has = |feature: &str| header[feature].as_bool().unwrap_or(false);
    let mut ours = Ours::new(Features {
        dialect: Dialect::V3,
        delayed_name_removal: has("delayed_name_removal"),
        start_timestamps: has("start_timestamps"),
        type_and_unit_labels: has("type_and_unit_labels"),
    });
    let (mut count, mut wrong) = (0, Vec::new());
    for line in lines {
        let at = |n: usize| line["times"][n].as_i64().unwrap();
        let times = match line["times"].as_array().unwrap().len() {
            1 => Times::At(at(0)),
            _ => Times::Steps { start_ms: at(0), end_ms: at(1), step_ms: at(2) },
        };
        let asked = Asked { text: line["query"].as_str().unwrap().to_owned(), times };
        let theirs = json::outcome(&line["answer"]).unwrap();
        count += 1;
        if let Err(what) = agree(&ours.ask(&asked), &theirs) {
            wrong.push(format!("seed {}: {} {times:?}\n  {what}", line["seed"], asked.text));
        }
    }
    assert!(wrong.is_empty(), "{}\n{} of {count} differ", wrong.join("\n"), wrong.len());
    count
}
