//! Random queries: none panics, and an instant query answers as a range of one step does.

use nilometer_promql::functions::FUNCTIONS;
use nilometer_promql::fuzz;

/// xorshift64*
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n
    }

    fn of<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

const SELECTORS: [&str; 10] = [
    "m",
    "m_total",
    "odd",
    "h",
    "m_bucket",
    "nope",
    "{job=\"a\"}",
    "{__name__=~\"m|m_total\"}",
    "{__name__=~\"h|m\"}",
    "h{job=\"b\"}",
];
const MODIFIERS: [&str; 12] = [
    "",
    "",
    "",
    "",
    " offset 1m",
    " offset -30s",
    " @ 100",
    " @ start()",
    " @ end()",
    " @ 200 offset 1m",
    " smoothed",
    " anchored",
];
const NUMBERS: [&str; 10] = ["0", "1", "-1", "2.5", "NaN", "Inf", "-Inf", "1e300", "time()", "0.9"];
const OPERATORS: [&str; 22] = [
    "+", "-", "*", "/", "%", "^", "atan2", "==", "!=", "<", ">", "<= bool", ">= bool", "== bool", "and",
    "or", "unless", "</", ">/", "+", "/", "or",
];
const MATCHINGS: [&str; 10] = [
    "",
    "",
    "",
    "on (job) ",
    "ignoring (l, le) ",
    "on (job) group_left () ",
    "on (job) group_right (l) ",
    "on () ",
    "on (job) fill (0) ",
    "ignoring (le) group_left () fill_right (1) ",
];
const AGGREGATIONS: [&str; 9] = ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "sum"];
const GROUPINGS: [&str; 6] = ["", " by (job)", " without (job)", " by (le)", " without ()", " by (__name__)"];

fn scalar(random: &mut Random, depth: usize) -> String {
    match random.below(8) {
        0 if depth > 0 => format!("scalar({})", vector(random, depth - 1)),
        1 if depth > 0 => format!(
            "({} {} {})",
            scalar(random, depth - 1),
            random.of(&["+", "-", "/", "^", "== bool"]),
            scalar(random, depth - 1)
        ),
        _ => random.of(&NUMBERS).to_owned(),
    }
}

fn range(random: &mut Random, depth: usize) -> String {
    let width = random.of(&["1m", "30s", "5m", "1ms", "2m30s", "1h"]);
    if depth > 0 && random.below(3) == 0 {
        let step = random.of(&["30s", "", "1m", "7s"]);
        let modifier = random.of(&MODIFIERS[..10]);
        return format!("({})[{width}:{step}]{modifier}", vector(random, depth - 1));
    }
    format!("{}[{width}]{}", random.of(&SELECTORS), random.of(&MODIFIERS))
}

fn vector(random: &mut Random, depth: usize) -> String {
    if depth == 0 {
        return format!("{}{}", random.of(&SELECTORS), random.of(&MODIFIERS[..11]));
    }
    match random.below(10) {
        0..=4 => call(random, depth - 1),
        5 | 6 => {
            let group = random.of(&GROUPINGS);
            format!("{}{group} ({})", random.of(&AGGREGATIONS), vector(random, depth - 1))
        }
        7 => {
            let op = random.of(&["topk", "bottomk", "limitk", "limit_ratio", "quantile"]);
            let group = random.of(&GROUPINGS);
            format!("{op}{group} ({}, {})", scalar(random, depth - 1), vector(random, depth - 1))
        }
        8 => format!(
            "({}) {} {}({})",
            vector(random, depth - 1),
            random.of(&OPERATORS),
            random.of(&MATCHINGS),
            vector(random, depth - 1)
        ),
        _ => {
            let (a, b) = (vector(random, depth - 1), scalar(random, depth - 1));
            let op = random.of(&OPERATORS[..14]);
            if random.below(2) == 0 { format!("({a}) {op} {b}") } else { format!("{b} {op} ({a})") }
        }
    }
}

/// A call of any function, by its signature.
fn call(random: &mut Random, depth: usize) -> String {
    let func = &FUNCTIONS[random.below(FUNCTIONS.len())];
    let mut args = Vec::new();
    for ty in func.args {
        args.push(match ty.as_str() {
            "vector" => vector(random, depth),
            "matrix" => range(random, depth),
            "scalar" => scalar(random, depth),
            _ => format!("{:?}", random.of(&["job", "l", "x", "(.*)", "$1", ""])),
        });
    }
    let call = format!("{}({})", func.name, args.join(", "));
    if func.returns.as_str() == "scalar" { format!("vector({call})") } else { call }
}

#[test]
fn random_queries() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut answered = 0;
    for _ in 0..3000 {
        let depth = 1 + random.below(4);
        answered += usize::from(fuzz::evaluate(&vector(&mut random, depth)));
    }
    assert!(answered > 1000, "only {answered} of 3000 were answered: the generator writes nonsense");
}

/// Scripts are read from anyone's folder.
#[test]
fn damaged_scripts() {
    let good = "load 1m\n  m{a=\"b\"} 1+2x3 _ stale {{schema:1 sum:4 count:3 buckets:[1 2]}}x2\n  m@st -30s-1mx2\n\n\
                eval instant at 1m rate(m[5m])\n  expect warn msg: x\n  {a=\"b\"} 1\n\nclear\n";
    let mut random = Random(7);
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
