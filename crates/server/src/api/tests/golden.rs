//! Our answers beside those of a real Prometheus.
//!
//! ```text
//! # a comment
//! > GET query?query=up        what is asked; a form follows the path of a POST
//! < 200 {"status":…}          what Prometheus answers: written by `capture`, never by hand
//! ~ why ours is another       with the next line, where it is
//! ! 200 {"status":…}          what we answer instead
//! ```

use super::world::{Served, World, patient, request};
use std::fs;
use std::path::PathBuf;

pub(super) const FILES: [&str; 6] = ["query", "query_range", "labels", "series", "other", "none"];

pub(super) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/api").join(format!("{name}.txt"))
}

/// One request and what it is answered.
#[derive(Debug, Default)]
pub(super) struct Case {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) form: Option<String>,
    pub(super) theirs: Option<String>,
    pub(super) ours: Option<String>,
}

impl Case {
    /// From the text behind `> `.
    pub(super) fn new(asked: &str) -> Self {
        let mut words = asked.splitn(3, ' ');
        let mut word = || words.next().map(str::to_owned);
        Case {
            method: word().unwrap_or_default(),
            path: word().unwrap_or_default(),
            form: word(),
            ..Case::default()
        }
    }
}

fn cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let (mark, rest) = line.split_at(line.len().min(2));
        match (mark, cases.last_mut()) {
            ("> ", _) => cases.push(Case::new(rest)),
            ("< ", Some(case)) => case.theirs = Some(rest.to_owned()),
            ("! ", Some(case)) => case.ours = Some(rest.to_owned()),
            ("# " | "" | "~ ", _) => {}
            _ => panic!("line {}: {line}", number + 1),
        }
    }
    cases
}

fn answer(served: &Served, case: &Case) -> String {
    let got = served.send(request(&case.method, &format!("/{}", case.path), case.form.as_deref()));
    format!("{} {}", got.status, got.body).trim_end().to_owned()
}

fn check(name: &str) {
    let text = fs::read_to_string(path(name)).unwrap();
    let world = World::new();
    let served = world.served(&patient());
    let mut wrong = Vec::new();
    for case in cases(&text) {
        let got = answer(&served, &case);
        let theirs = case.theirs.expect("not captured yet");
        let wanted = case.ours.as_ref().unwrap_or(&theirs);
        if got != *wanted {
            wrong.push(format!(
                "{} {} {:?}\n  want {wanted}\n  got  {got}",
                case.method, case.path, case.form
            ));
        }
    }
    assert!(wrong.is_empty(), "{} answers of {name} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn query() {
    check("query");
}

#[test]
fn query_range() {
    check("query_range");
}

#[test]
fn labels() {
    check("labels");
}

#[test]
fn series() {
    check("series");
}

#[test]
fn other() {
    check("other");
}

#[test]
fn none() {
    check("none");
}
