//! Aggregations, and what joins two sides.

use super::Generator;

const GROUPINGS: [&str; 14] = [
    "",
    "",
    " by (job)",
    " by (job)",
    " by (job, instance)",
    " by (instance)",
    " by (code)",
    " by (le)",
    " by (le, job)",
    " without (instance)",
    " without (code, mode, le)",
    " without ()",
    " by (__name__)",
    " by (nope)",
];
const NEW_GROUPINGS: [&str; 4] =
    [" by (__type__)", " by (job, __unit__)", " without (__type__, __unit__)", " without (__type__, job)"];
const ARITHMETIC: [&str; 9] = ["+", "-", "*", "/", "/", "%", "^", "atan2", "-"];
const COMPARISONS: [&str; 8] = ["==", "!=", "<", ">", "<=", ">=", ">", "<"];

impl Generator {
    pub(super) fn aggregation(&mut self, depth: usize) -> String {
        let op = self.one_of(&["sum", "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]);
        let by = self.grouping();
        format!("{op}{by} ({})", self.vector(depth))
    }

    pub(super) fn ranking(&mut self, depth: usize) -> String {
        let by = self.grouping();
        match self.random.below(8) {
            0..=3 => {
                let op = self.one_of(&["topk", "bottomk"]);
                let k = match self.random.below(8) {
                    0 => self.scalar(depth.min(1)),
                    _ => self.one_of(&["1", "2", "3", "0", "2.7", "-1"]).to_owned(),
                };
                format!("{op}{by}({k}, {})", self.vector(depth))
            }
            4 if self.new_ones() => {
                let k = self.parameter(&["0", "1", "2", "3", "4"]);
                format!("limitk{by} ({k}, {})", self.vector(depth))
            }
            5 if self.new_ones() => {
                let ratio = self.parameter(&["0.5", "-0.5", "0.1", "1.5", "-0.9", "0"]);
                format!("limit_ratio{by} ({ratio}, {})", self.vector(depth))
            }
            6 => {
                let label = self.one_of(&["v", "job", "__name__"]);
                format!("count_values{by} (\"{label}\", {})", self.vector(depth))
            }
            _ => {
                let phi = self.one_of(&["0.5", "0.9", "0", "1", "-1", "2", "NaN", "0.25"]);
                format!("quantile{by} ({phi}, {})", self.vector(depth))
            }
        }
    }

    fn grouping(&mut self) -> &'static str {
        let from: &[&str] =
            if self.new_ones() && self.random.once_in(10) { &NEW_GROUPINGS } else { &GROUPINGS };
        self.random.of(from)
    }

    fn parameter(&mut self, usual: &[&str]) -> String {
        if self.random.once_in(6) { self.scalar(1) } else { self.one_of(usual).to_owned() }
    }

    pub(super) fn operator(&mut self) -> String {
        match self.random.below(8) {
            0..=4 => self.one_of(&ARITHMETIC).to_owned(),
            5 => format!("{} bool", self.one_of(&COMPARISONS)),
            6 if self.new_ones() && self.random.once_in(3) => self.one_of(&["</", ">/"]).to_owned(),
            _ => self.one_of(&COMPARISONS).to_owned(),
        }
    }

    /// Sides that find each other, mostly.
    pub(super) fn binary(&mut self, depth: usize) -> String {
        let op = self.operator();
        let fill = match self.random.below(8) {
            0 if self.new_ones() => self.one_of(&["fill (0) ", "fill_left (1) ", "fill_right (-1) "]),
            _ => "",
        };
        match self.random.below(16) {
            0..=4 => {
                let side = self.vector(depth);
                let other = side.replacen("api", "db", self.random.below(2));
                format!("({side}) {op} {fill}({other})")
            }
            5..=8 => {
                let by = self.one_of(&["job", "job, instance", "instance", "code", "le, job"]);
                let (a, b) = (self.one_of(&["sum", "max", "count"]), self.one_of(&["sum", "avg", "min"]));
                let matching = self.random.of(&["", "on (job) ", "ignoring (instance) "]).to_owned() + fill;
                let (left, right) = (self.vector(depth), self.vector(depth));
                format!("{a} by ({by}) ({left}) {op} {matching}{b} by ({by}) ({right})")
            }
            9..=13 => {
                let one = self.one_of(&["up", "build_info", "max by (job, instance) (queue_length)"]);
                let include = self.one_of(&["", "version", "env, zone", "nope"]);
                let many = self.vector(depth);
                if self.random.once_in(3) {
                    format!("{one} {op} on (job, instance) group_right ({include}) {fill}({many})")
                } else {
                    format!("({many}) {op} on (job, instance) group_left ({include}) {fill}{one}")
                }
            }
            14 => {
                let matching = self.one_of(&[
                    "ignoring (code, mode, le) ",
                    "on (job, instance) ",
                    "on () ",
                    "ignoring () ",
                ]);
                format!("({}) {op} {matching}{fill}({})", self.vector(depth), self.vector(depth))
            }
            _ => format!("({}) {op} {fill}({})", self.vector(depth), self.vector(depth)),
        }
    }

    pub(super) fn with_scalar(&mut self, depth: usize) -> String {
        let (op, vector, scalar) = (self.operator(), self.vector(depth), self.scalar(depth.min(1)));
        if self.random.once_in(3) {
            format!("{scalar} {op} ({vector})")
        } else {
            format!("({vector}) {op} {scalar}")
        }
    }

    pub(super) fn set(&mut self, depth: usize) -> String {
        let op = self.one_of(&["and", "or", "unless"]);
        let matching = self.one_of(&[
            "",
            "",
            "on (job) ",
            "on () ",
            "ignoring (code, mode, le) ",
            "on (job, instance) ",
        ]);
        format!("({}) {op} {matching}({})", self.vector(depth), self.vector(depth))
    }
}
