//! Go's own verdicts, then what the strategies and the limits promise.

use super::Regex;
use super::limits::{MAX_DEPTH, MAX_PATTERN_BYTES, MAX_SET_MATCHES};
use crate::Kind;
use regex_syntax::hir::{Hir, Look};
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

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a valid pattern")
}

fn strategy(pattern: &str) -> String {
    format!("{:?}", regex(pattern).strategy)
}

#[test]
fn everyday_selectors_need_no_automaton() {
    let cases = [
        ("", "Set(1)"),
        ("node-1", "Set(1)"),
        ("^(?:node-1)$", "Set(1)"),
        ("node-1|node-2|", "Set(3)"),
        ("node-(1|2|2)", "Set(2)"),
        ("(?i)ab", "Set(4)"),
        ("colou?r{2}", "Set(2)"),
        (r"10\.0\.0\.[0-9]:9100", "Set(10)"),
        (".*", "Few(1)"),
        ("foo|.*|bar", "Few(1)"),
        (".+", "Few(1)"),
        ("(.+)?", "Few(2)"),
        ("5..", "Few(1)"),
        ("[45]..", "Few(2)"),
        ("node-.*", "Few(1)"),
        (".*:9100", "Few(1)"),
        ("a.+b.*c", "Few(1)"),
        ("(prod|stage)-.*", "Few(2)"),
        (".*node.*", "Few(1)"),
        (".*(node|pod|job).*", "AnySubstring"),
        (".*node.*|.*pod.*", "AnySubstring"),
        ("a.b.*", "Automaton"),
        ("(?-s).*", "Automaton"),
        ("[0-9]+", "Automaton"),
        ("(a|b|c|d|e|f|g).*", "Automaton"),
        (r"a\b", "Automaton"),
    ];
    for (pattern, wanted) in cases {
        assert_eq!(strategy(pattern), wanted, "{pattern}");
    }
}

#[test]
fn values_that_match_are_listed() {
    let cases: &[(&str, Option<&[&str]>)] = &[
        ("b|a", Some(&["a", "b"])),
        ("a(b|c)d", Some(&["abd", "acd"])),
        ("[ab]x", Some(&["ax", "bx"])),
        ("^(foo|bar)$", Some(&["bar", "foo"])),
        ("^foo|bar$", Some(&["bar", "foo"])),
        ("(?i)k", Some(&["K", "k", "\u{212A}"])),
        ("", Some(&[""])),
        ("|a", Some(&["", "a"])),
        (r"[^\x00-\x{10FFFF}]", Some(&[])),
        ("a$b", None),
        ("a.*", None),
        ("[^a]", None),
        ("[a-p]{3}", None),
    ];
    for (pattern, wanted) in cases {
        let wanted = wanted.map(|all| all.iter().map(|v| v.to_string()).collect::<Vec<_>>());
        assert_eq!(regex(pattern).set_matches().map(<[String]>::to_vec), wanted, "{pattern}");
    }
}

#[test]
fn a_long_list_is_matched_but_not_listed() {
    let list = |n: usize| (0..n).map(|i| format!("host-{i}")).collect::<Vec<_>>().join("|");
    assert_eq!(regex(&list(MAX_SET_MATCHES)).set_matches().map(<[String]>::len), Some(MAX_SET_MATCHES));
    let long = regex(&list(10_000));
    assert_eq!(long.set_matches(), None);
    assert_eq!(format!("{:?}", long.strategy), "Set(10000)");
    assert!(long.is_match("host-9999") && !long.is_match("host-10000"));
}

#[test]
fn prefixes_are_what_every_match_begins_with() {
    let cases = [
        ("foo.*", "foo"),
        ("^foo[0-9]+", "foo"),
        ("(foobar|foobaz)x", "fooba"),
        ("(?:ab){2}c+d", "ababc"),
        ("(ab){2,3}c", "abab"),
        ("(é|è)a", ""),
        ("xé.*|xè.*", "x"),
        ("(?i)foo", ""),
        ("foo|bar", ""),
        ("fo?o", "f"),
        (r"\bfoo.*", "foo"),
    ];
    for (pattern, wanted) in cases {
        assert_eq!(regex(pattern).prefix(), wanted, "{pattern}");
    }
    assert_eq!(regex(&"é".repeat(200)).prefix(), "é".repeat(128));
}

#[test]
fn says_when_it_is_only_about_length() {
    let seen = |p: &str| (regex(p).matches_everything(), regex(p).matches_nonempty());
    assert_eq!(seen(".*"), (true, false));
    assert_eq!(seen("^(.*)$"), (true, false));
    assert_eq!(seen("a|.*"), (true, false));
    assert_eq!(seen(".+"), (false, true));
    assert_eq!(seen("..*"), (false, true));
    assert_eq!(seen(".{2,}"), (false, false));
    assert_eq!(seen("."), (false, false));
    assert_eq!(seen("(?-s).*"), (false, false));
}

#[track_caller]
fn refused(pattern: &str) -> &'static str {
    let err = Regex::new(pattern).expect_err("beyond a limit");
    assert!(err.message().len() < 2000, "the whole pattern is in the message");
    match err.kind() {
        Kind::Limit { name, .. } => name,
        kind => panic!("{kind:?}: {err}"),
    }
}

#[test]
fn classes_that_meet_at_the_surrogates_are_negated_rightly() {
    let patterns = [
        r"[^\x00-\x{10FFFF}]",
        r"[^\x00-\x{D7FF}\x{E000}-\x{10FFFF}]",
        r"[^\x00-\x{D800}\x{DFFF}-\x{10FFFF}]",
        r"[^\p{C}\x{D7FF}\x{E000}]",
        r"[^\PC\pC]",
        r"[\x{D800}-\x{DFFF}]",
    ];
    for pattern in patterns {
        let regex = regex(pattern);
        assert!(!regex.is_match("\u{D7FF}") && !regex.is_match("\u{E000}"), "{regex:?}");
    }
    assert!(regex(r"[^\x{D800}-\x{DFFF}]").is_match("\u{D7FF}"));
    assert!(regex(r"[\x{D7FF}-\x{E000}]{2}").is_match("\u{D7FF}\u{E000}"));
}

#[test]
fn hostile_patterns_meet_a_limit() {
    let nested = |open: &str, close: &str, n: usize| open.repeat(n) + "a" + &close.repeat(n);
    assert_eq!(refused(&"a".repeat(MAX_PATTERN_BYTES + 1)), "regex_pattern_bytes");
    assert_eq!(refused(&nested("(", ")", 1001)), "regex_open_groups");
    assert_eq!(refused(&nested("(?:", ")", 200_000)), "regex_open_groups");
    assert_eq!(refused(&nested("(", ")*", 251)), "regex_depth");
    assert_eq!(refused(&nested("(x.", "y)+", 900)), "regex_depth");
    assert_eq!(refused(&"a.".repeat(100_000)), "regex_nodes");
    assert_eq!(refused(&r"\pL".repeat(10_000)), "regex_build_steps");
    assert_eq!(refused(&r"\p{Yi}".repeat(30_000)), "regex_build_steps");
    assert_eq!(
        refused(&("(?:".repeat(999) + &"a.".repeat(20_000) + &")b.".repeat(999))),
        "regex_build_steps"
    );
    assert_eq!(refused(&"[[:a]".repeat(MAX_PATTERN_BYTES / 5)), "regex_nodes");
    assert_eq!(refused(r"\pL{1000}"), "regex_program_bytes");
    assert_eq!(refused(&"[^a]{1000}".repeat(50)), "regex_program_bytes");
    assert!(Regex::new(&("(".repeat(1000) + &")".repeat(1000))).is_ok());
}

#[test]
fn the_message_of_a_long_pattern_is_short() {
    let err = Regex::new(&format!("({}", "é".repeat(100_000))).expect_err("not closed");
    assert_eq!(*err.kind(), Kind::Invalid);
    assert!(err.message().starts_with("error parsing regexp: missing closing ): `(éé"));
    assert!(err.message().len() < 600);
}

/// The deepest trees, in a quarter of the stack that threads usually have.
#[test]
fn deep_patterns_need_little_stack() {
    let shapes =
        [("(", ")*"), ("(x|y.", "b)"), ("(x|y.", "b)+"), ("(y.x|y.", "b)+"), ("(x.", ")+"), ("(a*b|", ")?")];
    let run = move || {
        for (open, close) in shapes {
            let deepest = (1..=MAX_DEPTH as usize)
                .map(|n| open.repeat(n) + "a" + &close.repeat(n))
                .take_while(|pattern| super::parse::parse(pattern).is_ok())
                .last();
            let deepest = regex(&deepest.expect("one level is allowed"));
            deepest.is_match("xyxyxyab");
        }
    };
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(run);
    thread.expect("a thread").join().expect("enough stack");
}

/// A generator of pseudo-random numbers: xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }

    fn text(&mut self, pieces: &[&str], most: usize) -> String {
        (0..self.below(most + 1)).map(|_| pieces[self.below(pieces.len())]).collect()
    }
}

const PIECES: &[&str] = &[
    "a",
    "b",
    "é",
    "k",
    "0",
    "-",
    ",",
    ".",
    ".*",
    ".+",
    "*",
    "+",
    "?",
    "{",
    "}",
    "{2}",
    "{0,3}",
    "{2,}",
    "{1000}",
    "(",
    "(",
    ")",
    ")",
    "(?:",
    "(?i)",
    "(?-s:",
    "(?P<n>",
    "(?<",
    "|",
    "|",
    "[",
    "[^",
    "]",
    "[:alpha:]",
    "^",
    "$",
    "\\",
    "\\b",
    "\\B",
    "\\A",
    "\\z",
    "\\d",
    "\\W",
    "\\pL",
    "\\p{",
    "\\P{^Greek}",
    "\\Q",
    "\\E",
    "\\x",
    "\\x{10FFFF}",
    "\\x{D800}",
    "\\101",
    "\n",
    "😀",
    "\0",
    ":",
    "&&",
    "foo",
];

/// Whatever the pattern, it is refused or compiled; and whatever the strategy, the answer is
/// that of the plain automaton.
#[test]
fn any_pattern_is_survived_and_every_strategy_agrees() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let values = [
        "", "a", "b", "ab", "ba", "foo", "afoob", "é", "aé", "éfooé", "K", "0-0", "a\nb", "😀", "\u{FFFD}",
        "a,b.a",
    ];
    let mut compiled = 0;
    for _ in 0..20_000 {
        let pattern = random.text(PIECES, 12);
        let Ok(regex) = Regex::new(&pattern) else { continue };
        compiled += 1;
        let hir = super::parse::parse(&pattern).expect("it was compiled");
        let whole = Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)]);
        let naive = regex_automata::meta::Builder::new().build_from_hir(&whole).expect("it was compiled");
        for value in values {
            let is_match = regex.is_match(value);
            assert_eq!(is_match, naive.is_match(value), "{regex:?} {value:?}");
            assert!(!is_match || value.starts_with(regex.prefix()), "{regex:?} {value:?}");
        }
    }
    assert!(compiled > 2000, "only {compiled} patterns were valid");
}

#[test]
fn long_garbage_is_survived() {
    let mut random = Random(42);
    for _ in 0..200 {
        let pattern = random.text(PIECES, 2000);
        if let Ok(regex) = Regex::new(&pattern) {
            regex.is_match(&pattern);
        }
    }
}
