//! Random queries that mean something: each is made of parts that fit the data and one another, so that most
//! have an answer, and few only an error.
//!
//! Where ranges end matters to 2.42, which counts a sample on the left edge and Prometheus 3 does not. In its
//! dialect all times are 7 s past a multiple of 15 s, subqueries are a multiple of 15 s and 1 s wide, all else
//! is multiples of 15 s, and no sample is on a whole second: nothing can lie on an edge.

mod call;
mod operator;
mod selector;

use super::data::{SCRAPE_MS, SCRAPES, START_MS};
use super::random::Random;
use super::{Asked, Dialect, Times};

/// The query of a seed.
pub fn query(seed: u64, dialect: Dialect) -> Asked {
    let mut generator = Generator { random: Random::new(seed), dialect };
    let depth = 1 + generator.random.below(4);
    let text = match generator.random.below(40) {
        0 => generator.scalar(depth),
        _ => generator.vector(depth),
    };
    Asked { text, times: generator.times() }
}

struct Generator {
    random: Random,
    dialect: Dialect,
}

const NUMBERS: [&str; 16] =
    ["0", "1", "2", "-1", "0.5", "0.9", "100", "1e9", "NaN", "Inf", "-Inf", "0.1", "3", "1e-3", "-0.25", "7"];

impl Generator {
    fn new_ones(&self) -> bool {
        self.dialect == Dialect::V3
    }

    fn times(&mut self) -> Times {
        let off_grid = START_MS + 7_000;
        let mut t_ms = off_grid + SCRAPE_MS * self.random.below(SCRAPES as usize + 6) as i64;
        if self.new_ones() {
            t_ms += [0, 0, -7_000, 1, 137 - 7_000][self.random.below(5)];
        }
        if self.random.below(5) < 2 {
            return Times::At(t_ms);
        }
        let steps: &[i64] = if self.new_ones() {
            &[15_000, 60_000, 7_000, 90_000, 1]
        } else {
            &[15_000, 60_000, 90_000, 300_000]
        };
        let step_ms = steps[self.random.below(steps.len())];
        // Not every end is on a step.
        let end_ms =
            t_ms + step_ms * self.random.below(12) as i64 + step_ms / 3 * self.random.below(2) as i64;
        Times::Steps { start_ms: t_ms, end_ms, step_ms }
    }

    fn one_of<'a>(&mut self, from: &[&'a str]) -> &'a str {
        self.random.of(from)
    }

    fn scalar(&mut self, depth: usize) -> String {
        match self.random.below(10) {
            0 if depth > 0 => format!("scalar(sum({}))", self.vector(depth - 1)),
            1 if depth > 0 => format!("scalar({})", self.vector(depth - 1)),
            2 if depth > 0 => {
                let op =
                    self.one_of(&["+", "-", "*", "/", "%", "^", "atan2", "== bool", "< bool", ">= bool"]);
                format!("({} {op} {})", self.scalar(depth - 1), self.scalar(depth - 1))
            }
            3 => "time()".to_owned(),
            4 if self.random.once_in(4) => "pi()".to_owned(),
            4 if self.new_ones() => self.one_of(&["start()", "end()", "step()", "range()"]).to_owned(),
            5 if depth > 0 => format!("-({})", self.scalar(depth - 1)),
            _ => self.one_of(&NUMBERS).to_owned(),
        }
    }

    fn vector(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.instant();
        }
        let depth = depth - 1;
        match self.random.below(if self.new_ones() { 27 } else { 26 }) {
            26 => self.any_call(depth),
            0..=5 => self.range_call(depth),
            6..=9 => self.aggregation(depth),
            10 => self.ranking(depth),
            11..=14 => self.binary(depth),
            15 | 16 => self.with_scalar(depth),
            17 | 18 => self.elementwise(depth),
            19 | 20 => self.of_histograms(depth),
            21 => self.labels(depth),
            22 => self.set(depth),
            23 => self.other(depth),
            24 => format!("-({})", self.vector(depth)),
            _ => self.instant(),
        }
    }
}
