//! Calls of functions, mostly with what they are for.

use super::Generator;
use crate::ast::ValueType;
use crate::functions::FUNCTIONS;

const COUNTER_FUNCS: [&str; 6] = ["rate", "rate", "increase", "irate", "resets", "changes"];
const GAUGE_FUNCS: [&str; 17] = [
    "avg_over_time",
    "sum_over_time",
    "min_over_time",
    "max_over_time",
    "count_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "last_over_time",
    "present_over_time",
    "absent_over_time",
    "delta",
    "idelta",
    "deriv",
    "changes",
    "rate",
    "increase",
    "resets",
];
const NEW_GAUGE_FUNCS: [&str; 6] = [
    "mad_over_time",
    "first_over_time",
    "ts_of_min_over_time",
    "ts_of_max_over_time",
    "ts_of_last_over_time",
    "ts_of_first_over_time",
];
const MATH: [&str; 25] = [
    "abs",
    "ceil",
    "floor",
    "exp",
    "ln",
    "log2",
    "log10",
    "sqrt",
    "sgn",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "deg",
    "rad",
    "round",
    "timestamp",
];
const CALENDAR: [&str; 8] =
    ["minute", "hour", "day_of_week", "day_of_month", "day_of_year", "days_in_month", "month", "year"];

impl Generator {
    pub(super) fn range_call(&mut self, depth: usize) -> String {
        match self.random.below(10) {
            0..=3 => {
                let (func, name) = (self.one_of(&COUNTER_FUNCS), self.counter());
                if self.new_ones() && self.random.once_in(8) {
                    return self.extended(name);
                }
                format!("{func}({})", self.range(name, depth))
            }
            4 if self.new_ones() => {
                let (func, name) = (self.one_of(&COUNTER_FUNCS), self.native());
                format!("{func}({})", self.range(name, depth))
            }
            5 => {
                let name = self.metric();
                format!("quantile_over_time({}, {})", self.scalar(depth.min(1)), self.range(name, depth))
            }
            6 => {
                let name = self.metric();
                let at = self.scalar(depth.min(1));
                match self.random.below(3) {
                    0 if self.new_ones() => {
                        format!("double_exponential_smoothing({}, 0.5, 0.3)", self.range(name, depth))
                    }
                    _ => format!("predict_linear({}, {at})", self.range(name, depth)),
                }
            }
            _ => {
                let func = if self.new_ones() && self.random.once_in(4) {
                    self.one_of(&NEW_GAUGE_FUNCS)
                } else {
                    self.one_of(&GAUGE_FUNCS)
                };
                let name = if self.random.once_in(3) { self.metric() } else { self.gauge() };
                format!("{func}({})", self.range(name, depth))
            }
        }
    }

    /// Whatever function there is, by what it takes: none is forgotten.
    pub(super) fn any_call(&mut self, depth: usize) -> String {
        let func = &FUNCTIONS[self.random.below(FUNCTIONS.len())];
        let mut args = Vec::new();
        for kind in func.args {
            args.push(match kind {
                ValueType::Matrix => {
                    let name = self.metric();
                    self.range(name, depth)
                }
                ValueType::Scalar => self.scalar(depth.min(1)),
                ValueType::String => format!("{:?}", self.one_of(&["job", "new", "(.*)", "$1", ""])),
                _ => self.vector(depth),
            });
        }
        let call = format!("{}({})", func.name, args.join(", "));
        if func.returns == ValueType::Scalar { format!("vector({call})") } else { call }
    }

    /// `anchored` and `smoothed`, for the functions that take them.
    pub(super) fn extended(&mut self, name: &str) -> String {
        let (func, mode) = match self.random.below(3) {
            0 => (self.one_of(&["rate", "increase", "delta"]), "smoothed"),
            _ => (self.one_of(&["rate", "increase", "delta", "changes", "resets"]), "anchored"),
        };
        format!("{func}({}[{}] {mode}{})", self.matching(name), self.window(), self.modifier())
    }

    pub(super) fn elementwise(&mut self, depth: usize) -> String {
        let v = self.vector(depth);
        match self.random.below(8) {
            0 => format!("clamp({v}, {}, {})", self.scalar(0), self.scalar(0)),
            1 => format!("clamp_min({v}, {})", self.scalar(0)),
            2 => format!("clamp_max({v}, {})", self.scalar(0)),
            3 => format!("round({v}, {})", self.one_of(&["0.1", "5", "1e3", "0", "-2", "0.3"])),
            4 if self.random.once_in(3) => format!("{}({v})", self.one_of(&CALENDAR)),
            _ => format!("{}({v})", self.one_of(&MATH)),
        }
    }

    pub(super) fn labels(&mut self, depth: usize) -> String {
        let v = self.vector(depth);
        match self.random.below(4) {
            0 => format!(
                "label_join({v}, \"{}\", \"-\", \"job\", \"instance\")",
                self.one_of(&["new", "job", "__name__"])
            ),
            1 => format!("label_replace({v}, \"new\", \"$1/$2\", \"instance\", \"(.*):(.*)\")"),
            2 => format!("label_replace({v}, \"job\", \"\", \"job\", \"(a)?.*\")"),
            _ => {
                let (to, from): (&[&str], &[&str]) = if self.new_ones() {
                    (&["code", "new", "__name__", "__type__"], &["job", "__name__", "nope", "__unit__"])
                } else {
                    (&["code", "new", "__name__"], &["job", "__name__", "nope", "code"])
                };
                let (to, from) = (self.one_of(to), self.one_of(from));
                format!("label_replace({v}, \"{to}\", \"x-${{n}}\", \"{from}\", \"(?P<n>[a-z]+).*\")")
            }
        }
    }

    pub(super) fn other(&mut self, depth: usize) -> String {
        match self.random.below(if self.new_ones() { 12 } else { 10 }) {
            10 => format!("start_timestamp({})", self.vector(depth)),
            11 => format!("start_timestamp({})", self.instant()),
            0 => format!("absent({})", self.vector(depth)),
            1 => format!("absent({})", self.one_of(&["nope{a=\"b\"}", "up{job=\"x\", a=~\"y\"}", "sparse"])),
            2 | 3 => format!("vector({})", self.scalar(depth)),
            4 => format!("sort({})", self.vector(depth)),
            5 => format!("sort_desc({})", self.vector(depth)),
            6 if self.new_ones() => {
                let func = self.one_of(&["sort_by_label", "sort_by_label_desc"]);
                format!("{func}({}, \"instance\", \"code\")", self.vector(depth))
            }
            7 | 8 if self.new_ones() => {
                let data =
                    self.one_of(&["", ", {env=~\".+\"}", ", {__name__=\"build_info\"}", ", {zone=\"db\"}"]);
                format!("info({}{data})", self.vector(depth.min(1)))
            }
            _ => format!("{}()", self.one_of(&CALENDAR)),
        }
    }

    pub(super) fn of_histograms(&mut self, depth: usize) -> String {
        let phi = self.one_of(&["0.5", "0.9", "0.99", "0", "1", "-1", "2", "NaN", "0.1"]);
        if !self.new_ones() || self.random.once_in(3) {
            let name =
                self.one_of(&["latency_seconds_bucket", "latency_seconds_bucket", "broken_seconds_bucket"]);
            let buckets = match self.random.below(5) {
                0 => format!("{}{}", self.matching(name), self.modifier()),
                1 => format!("sum by (le) (rate({name}[5m]))"),
                2 => format!("sum by (le, job) (increase({}))", self.range(name, 0)),
                3 => format!("{}({})", self.one_of(&["rate", "avg_over_time", "irate"]), self.range(name, 0)),
                _ => self.vector(depth),
            };
            if self.new_ones() && self.random.once_in(4) {
                return format!("histogram_fraction({}, {}, {buckets})", self.scalar(0), self.scalar(0));
            }
            return format!("histogram_quantile({phi}, {buckets})");
        }
        let name = self.native();
        let of = match self.random.below(5) {
            0 => self.instant(),
            1 => format!("sum by (job) (rate({}))", self.range(name, 0)),
            2 => format!(
                "{}({})",
                self.one_of(&[
                    "rate",
                    "increase",
                    "irate",
                    "delta",
                    "idelta",
                    "sum_over_time",
                    "avg_over_time"
                ]),
                self.range(name, 0)
            ),
            3 => format!("{}{}", self.matching(name), self.modifier()),
            _ => self.vector(depth),
        };
        match self.random.below(8) {
            0 | 1 => format!("histogram_quantile({phi}, {of})"),
            2 => {
                let (low, high) = (self.scalar(0), self.scalar(0));
                format!("histogram_fraction({low}, {high}, {of})")
            }
            3 => format!("histogram_quantiles({of}, \"q\", {phi}, 0.3)"),
            4 => format!("({of}) {} {}", self.one_of(&["</", ">/", "*", "/"]), self.scalar(0)),
            _ => {
                let func = self.one_of(&["count", "sum", "avg", "stddev", "stdvar"]);
                format!("histogram_{func}({of})")
            }
        }
    }
}
