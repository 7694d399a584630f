//! Random queries that mean something: each is made of parts that fit the data and one another, so that most
//! have an answer, and few only an error.
//!
//! Where ranges end matters to 2.42, which counts a sample on the left edge and Prometheus 3 does not. In its
//! dialect all times are 7 s past a multiple of 15 s, subqueries are a multiple of 15 s and 1 s wide, all else
//! is multiples of 15 s, and no sample is on a whole second: nothing can lie on an edge.

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

pub(super) struct Generator {
    pub(super) random: Random,
    pub(super) dialect: Dialect,
}

const COUNTERS: [&str; 7] = [
    "http_requests_total",
    "http_requests_total",
    "cpu_seconds_total",
    "latency_seconds_bucket",
    "latency_seconds_sum",
    "latency_seconds_count",
    "aligned_total",
];
const GAUGES: [&str; 13] = [
    "memory_bytes",
    "temperature",
    "queue_length",
    "sessions",
    "sparse",
    "odd",
    "odd",
    "constant",
    "once",
    "utf",
    "up",
    "aligned",
    "broken_seconds_bucket",
];
const NATIVES: [&str; 7] =
    ["rpc_seconds", "rpc_seconds", "rpc_gauge", "nhcb_seconds", "mixed", "rpc_odd", "rpc_empty"];
const MATCHERS: [&str; 8] = [
    r#"code=~"4..|5..""#,
    r#"code="200""#,
    r#"le="+Inf""#,
    r#"le=~"0.*""#,
    r#"mode!~"i.*""#,
    r#"nope="""#,
    r#"nope!="""#,
    r#"kind!="any""#,
];
/// Those that most series have the label for.
const USUAL: [&str; 8] = [
    r#"job="api""#,
    r#"job!="db""#,
    r#"instance=~"[ab].*""#,
    r#"instance="a:80""#,
    r#"instance!~"b.+""#,
    r#"job=~"(?i)API|db""#,
    r#"job=~".*""#,
    r#"instance=~"a:80|c:90|x""#,
];
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
pub(super) const COUNTER_FUNCS: [&str; 6] = ["rate", "rate", "increase", "irate", "resets", "changes"];
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
const ARITHMETIC: [&str; 9] = ["+", "-", "*", "/", "/", "%", "^", "atan2", "-"];
const COMPARISONS: [&str; 8] = ["==", "!=", "<", ">", "<=", ">=", ">", "<"];
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

    fn metric(&mut self) -> &'static str {
        match self.random.below(if self.new_ones() { 14 } else { 10 }) {
            0..=4 => self.counter(),
            5..=9 => self.gauge(),
            _ => NATIVES[self.random.below(NATIVES.len())],
        }
    }

    fn counter(&mut self) -> &'static str {
        let known = COUNTERS.len() - usize::from(!self.new_ones());
        COUNTERS[self.random.below(known)]
    }

    fn gauge(&mut self) -> &'static str {
        let name = GAUGES[self.random.below(GAUGES.len())];
        if name == "aligned" && !self.new_ones() { "temperature" } else { name }
    }

    /// Without modifiers.
    fn matching(&mut self, name: &str) -> String {
        match self.random.below(12) {
            0..=6 => name.to_owned(),
            7 => format!("{name}{{{}, {}}}", self.one_of(&USUAL), self.one_of(&MATCHERS)),
            8 if self.random.once_in(3) => {
                format!("{{__name__=~\"{name}|{}\", {}}}", self.metric(), self.one_of(&USUAL))
            }
            9 => format!("{name}{{{}}}", self.one_of(&MATCHERS)),
            _ => format!("{name}{{{}}}", self.one_of(&USUAL)),
        }
    }

    fn modifier(&mut self) -> String {
        let at = (START_MS / 1000) + 307 + 15 * self.random.below(100) as i64;
        match self.random.below(24) {
            0 | 1 => format!(" offset {}", self.one_of(&["1m", "5m", "15s", "-1m", "-15s"])),
            2 => format!(" @ {at}"),
            3 => format!(" @ {at} offset 1m"),
            4 => " @ start()".to_owned(),
            5 => " @ end() offset 30s".to_owned(),
            6 if self.new_ones() => {
                format!(" offset {}", self.one_of(&["(1m+7s)", "(step()*2)", "1ms", "-17s", "(range()/4)"]))
            }
            _ => String::new(),
        }
    }

    pub(super) fn instant(&mut self) -> String {
        let name = self.metric();
        let smoothed = if self.new_ones() && self.random.once_in(25) && !NATIVES.contains(&name) {
            " smoothed"
        } else {
            ""
        };
        format!("{}{smoothed}{}", self.matching(name), self.modifier())
    }

    fn window(&mut self) -> &'static str {
        if self.new_ones() && self.random.once_in(6) {
            return self.random.of(&["1ms", "17s", "(30s*4)", "(1m+step())", "15s", "30s", "(2^6)"]);
        }
        self.random.of(&["30s", "1m", "90s", "2m", "5m", "5m", "10m", "1h"])
    }

    /// A range over `name`, or over a subquery.
    pub(super) fn range(&mut self, name: &str, depth: usize) -> String {
        if depth == 0 || !self.random.once_in(4) {
            return format!("{}[{}]{}", self.matching(name), self.window(), self.modifier());
        }
        self.subquery(depth)
    }

    fn subquery(&mut self, depth: usize) -> String {
        let inner = self.vector(depth - 1);
        let (widths, steps): (&[&str], &[&str]) = if self.new_ones() {
            (&["1m", "5m", "61s", "10m", "7s", "(2m+30s)"], &["15s", "30s", "", "7s", "1m", "(10s*2)"])
        } else {
            (&["61s", "301s", "601s", "31s"], &["15s", "30s", "1m", ""])
        };
        let (width, step) = (self.one_of(widths), self.one_of(steps));
        format!("({inner})[{width}:{step}]{}", self.modifier())
    }

    pub(super) fn scalar(&mut self, depth: usize) -> String {
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

    pub(super) fn vector(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.instant();
        }
        let depth = depth - 1;
        match self.random.below(26) {
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
                let (func, name) = (self.one_of(&COUNTER_FUNCS), NATIVES[self.random.below(NATIVES.len())]);
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

    /// `anchored` and `smoothed`, for the functions that take them.
    fn extended(&mut self, name: &str) -> String {
        let (func, mode) = match self.random.below(3) {
            0 => (self.one_of(&["rate", "increase", "delta"]), "smoothed"),
            _ => (self.one_of(&["rate", "increase", "delta", "changes", "resets"]), "anchored"),
        };
        format!("{func}({}[{}] {mode}{})", self.matching(name), self.window(), self.modifier())
    }

    fn aggregation(&mut self, depth: usize) -> String {
        let op = self.one_of(&["sum", "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]);
        let by = self.one_of(&GROUPINGS);
        format!("{op}{by} ({})", self.vector(depth))
    }

    fn ranking(&mut self, depth: usize) -> String {
        let by = self.one_of(&GROUPINGS);
        match self.random.below(8) {
            0..=3 => {
                let op = self.one_of(&["topk", "bottomk"]);
                let k = match self.random.below(8) {
                    0 => self.scalar(depth.min(1)),
                    _ => self.one_of(&["1", "2", "3", "0", "2.7", "-1"]).to_owned(),
                };
                format!("{op}{by}({k}, {})", self.vector(depth))
            }
            4 if self.new_ones() => format!("limitk{by} ({}, {})", self.random.below(5), self.vector(depth)),
            5 if self.new_ones() => {
                let ratio = self.one_of(&["0.5", "-0.5", "0.1", "1.5", "-0.9", "0"]);
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

    fn operator(&mut self) -> String {
        match self.random.below(8) {
            0..=4 => self.one_of(&ARITHMETIC).to_owned(),
            5 => format!("{} bool", self.one_of(&COMPARISONS)),
            6 if self.new_ones() && self.random.once_in(3) => self.one_of(&["</", ">/"]).to_owned(),
            _ => self.one_of(&COMPARISONS).to_owned(),
        }
    }

    /// Sides that find each other, mostly.
    fn binary(&mut self, depth: usize) -> String {
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

    fn with_scalar(&mut self, depth: usize) -> String {
        let (op, vector, scalar) = (self.operator(), self.vector(depth), self.scalar(depth.min(1)));
        if self.random.once_in(3) {
            format!("{scalar} {op} ({vector})")
        } else {
            format!("({vector}) {op} {scalar}")
        }
    }

    fn elementwise(&mut self, depth: usize) -> String {
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

    fn labels(&mut self, depth: usize) -> String {
        let v = self.vector(depth);
        match self.random.below(4) {
            0 => format!(
                "label_join({v}, \"{}\", \"-\", \"job\", \"instance\")",
                self.one_of(&["new", "job", "__name__"])
            ),
            1 => format!("label_replace({v}, \"new\", \"$1/$2\", \"instance\", \"(.*):(.*)\")"),
            2 => format!("label_replace({v}, \"job\", \"\", \"job\", \"(a)?.*\")"),
            _ => format!(
                "label_replace({v}, \"{}\", \"x-${{n}}\", \"{}\", \"(?P<n>[a-z]+).*\")",
                self.one_of(&["code", "new", "__name__"]),
                self.one_of(&["job", "__name__", "nope", "code"])
            ),
        }
    }

    fn set(&mut self, depth: usize) -> String {
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

    fn other(&mut self, depth: usize) -> String {
        match self.random.below(10) {
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

    fn of_histograms(&mut self, depth: usize) -> String {
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
        let name = NATIVES[self.random.below(NATIVES.len())];
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
