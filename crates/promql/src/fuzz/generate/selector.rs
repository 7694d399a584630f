//! What queries read: metrics, matchers, modifiers, windows, subqueries.

use super::{Generator, START_MS};

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
const NATIVES: [&str; 8] =
    ["rpc_seconds", "rpc_seconds", "rpc_gauge", "nhcb_seconds", "mixed", "rpc_odd", "rpc_empty", "rpc_typed"];
const STARTED: [&str; 3] = ["started_total", "deltas_total", "restarted"];
const TYPED: [&str; 3] = ["served", "level_total", "heat"];
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
const TYPES: [&str; 5] = [
    r#"__type__="counter""#,
    r#"__type__!="gauge""#,
    r#"__type__=~"gauge.*""#,
    r#"__unit__="bytes""#,
    r#"__unit__!~"c.*|""#,
];

impl Generator {
    pub(super) fn metric(&mut self) -> &'static str {
        match self.random.below(if self.new_ones() { 14 } else { 10 }) {
            0..=4 => self.counter(),
            5..=9 => self.gauge(),
            _ => self.native(),
        }
    }

    pub(super) fn counter(&mut self) -> &'static str {
        if self.new_ones() && self.random.once_in(4) {
            return STARTED[self.random.below(STARTED.len())];
        }
        let known = COUNTERS.len() - usize::from(!self.new_ones());
        COUNTERS[self.random.below(known)]
    }

    pub(super) fn native(&mut self) -> &'static str {
        NATIVES[self.random.below(NATIVES.len())]
    }

    pub(super) fn gauge(&mut self) -> &'static str {
        if self.new_ones() && self.random.once_in(8) {
            return TYPED[self.random.below(TYPED.len())];
        }
        let name = GAUGES[self.random.below(GAUGES.len())];
        if name == "aligned" && !self.new_ones() { "temperature" } else { name }
    }

    /// Without modifiers.
    pub(super) fn matching(&mut self, name: &str) -> String {
        let typed = STARTED.contains(&name) || TYPED.contains(&name) || name == "rpc_typed";
        if typed && self.random.once_in(3) {
            return format!("{name}{{{}}}", self.one_of(&TYPES));
        }
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

    pub(super) fn modifier(&mut self) -> String {
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

    pub(super) fn window(&mut self) -> &'static str {
        if self.new_ones() && self.random.once_in(6) {
            return self.random.of(&["1ms", "17s", "(30s*4)", "(1m+step())", "15s", "30s", "(2^6)"]);
        }
        self.random.of(&["30s", "1m", "90s", "2m", "5m", "5m", "10m", "1h"])
    }

    /// A range over `name`, or over a subquery.
    pub(super) fn range(&mut self, name: &str, depth: usize) -> String {
        if depth == 0 || !self.random.once_in(4) {
            // Few functions take it, and the others refuse it.
            let mode = match self.random.below(80) {
                0 if self.new_ones() => " anchored",
                1 if self.new_ones() => " smoothed",
                _ => "",
            };
            return format!("{}[{}]{mode}{}", self.matching(name), self.window(), self.modifier());
        }
        self.subquery(depth)
    }

    pub(super) fn subquery(&mut self, depth: usize) -> String {
        let inner = self.vector(depth - 1);
        let (widths, steps): (&[&str], &[&str]) = if self.new_ones() {
            (&["1m", "5m", "61s", "10m", "7s", "(2m+30s)"], &["15s", "30s", "", "7s", "1m", "(10s*2)"])
        } else {
            (&["61s", "301s", "601s", "31s"], &["15s", "30s", "1m", ""])
        };
        let (width, step) = (self.one_of(widths), self.one_of(steps));
        format!("({inner})[{width}:{step}]{}", self.modifier())
    }
}
