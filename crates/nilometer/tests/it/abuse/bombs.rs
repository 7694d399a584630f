//! What the noisy tenant asks for, each with the answer that names its limit.

use super::{NOISY, SAMPLES, STEP_MS, bearer};
use crate::common::{Hub, Reply, encoded, post};

pub(super) struct Bomb {
    pub(super) name: &'static str,
    path: &'static str,
    form: Vec<(&'static str, String)>,
    status: u16,
    says: &'static str,
    /// It would be computed for minutes.
    pub(super) only_time_ends_it: bool,
}

impl Bomb {
    pub(super) fn ask(&self, hub: &Hub) -> Reply {
        let form: Vec<String> =
            self.form.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let (name, token) = bearer(NOISY);
        let headers = [("Content-Type", "application/x-www-form-urlencoded"), (name, &token)];
        post(hub.http, self.path, &headers, form.join("&").as_bytes())
    }

    pub(super) fn is_met_by(&self, reply: &Reply) -> bool {
        reply.status == self.status && reply.body.contains(self.says)
    }
}

pub(super) fn bombs(t: i64) -> Vec<Bomb> {
    let mut all = of_size(t);
    all.extend(of_text(t));
    all.extend(of_expressions(t));
    all
}

fn seconds(t: i64) -> String {
    (t / 1_000).to_string()
}

fn instant(name: &'static str, query: String, t: i64, (status, says): (u16, &'static str)) -> Bomb {
    let form = vec![("query", query), ("time", seconds(t))];
    Bomb { name, path: "/api/v1/query", form, status, says, only_time_ends_it: false }
}

/// Over the time that there are samples.
fn range(name: &'static str, query: &str, t: i64, (status, says): (u16, &'static str)) -> Bomb {
    let start = seconds(t - SAMPLES * STEP_MS);
    let form =
        vec![("query", query.to_owned()), ("start", start), ("end", seconds(t)), ("step", "1".to_owned())];
    Bomb { path: "/api/v1/query_range", form, ..instant(name, String::new(), t, (status, says)) }
}

const MEMORY: (u16, &str) = (422, "(limit query.max-memory = 16777216)");

/// Results and what leads to them.
fn of_size(t: i64) -> Vec<Bomb> {
    const YEAR: i64 = 365 * 24 * 3_600_000;
    let within = |query: &str, range: &str| format!("max_over_time({query}[{range}])");
    let ten = (0..10).fold("m".to_owned(), |query, _| within(&query, "1d:1s"));
    // Each of its windows is sorted anew, and no two are the same.
    let slow: Vec<String> =
        (0..1_000).map(|n| format!("quantile_over_time(0.5, vector({n})[3h:1s])")).collect();
    let mut all = vec![
        range("everything, every second", "{__name__!=\"\"}", t, MEMORY),
        range("everything, sorted", "sort({__name__!=\"\"})", t, MEMORY),
        range("everything joined with itself", "{__name__!=\"\"} * on (n) {__name__!=\"\"}", t, MEMORY),
        range("everything as values", "count_values(\"v\", {__name__!=\"\"})", t, MEMORY),
        instant("ten subqueries", ten, t, MEMORY),
        instant("a subquery of a year by milliseconds", within("vector(1)", "1y:1ms"), t, MEMORY),
        instant("a subquery that just does not fit", within("vector(1)", "20m:1ms"), t, MEMORY),
        Bomb { only_time_ends_it: true, ..range("hours of sorting", &slow.join("+"), t, (503, "timed out")) },
    ];
    let mut year = range("a year by milliseconds", "m", t, (400, "11,000 points per timeseries"));
    year.form = vec![
        ("query", "m".to_owned()),
        ("start", seconds(t - YEAR)),
        ("end", seconds(t)),
        ("step", "0.001".to_owned()),
    ];
    all.push(year);
    all
}

/// Long and deep texts.
fn of_text(t: i64) -> Vec<Bomb> {
    let deep = (400, "(limit query-depth = 1024)");
    let parens = format!("{}1{}", "(".repeat(5_000), ")".repeat(5_000));
    let mut large = instant("a form of 12 MB", "1".repeat(12 << 20), t, (413, "larger than 10 MiB"));
    large.path = "/api/v1/query_range";
    vec![
        instant("an expression of 1 MB", format!("m{}", "+m".repeat(500_000)), t, deep),
        instant("one of 2 MB", "1+".repeat(1 << 20), t, (400, "(limit query-bytes = 1048576)")),
        instant("thousands of parentheses", parens, t, deep),
        instant("thousands of signs", format!("{}1", "-".repeat(100_000)), t, deep),
        large,
    ]
}

/// Regular expressions.
fn of_expressions(t: i64) -> Vec<Bomb> {
    let one = |pattern: &str| format!("count({{pod=~{pattern:?}}})");
    let names: Vec<String> = (0..100_000).map(|n| format!("h{n:05}")).collect();
    let all =
        format!("{{{}}}", (0..200).map(|n| format!("a{n}=~`\\pL{{80}}`")).collect::<Vec<_>>().join(","));
    let total = (400, "(limit regex_total_bytes = 268435456)");
    let many = vec![("match[]", "{n=~`\\pL{80}`}".to_owned()); 100];
    vec![
        instant("repeats of repeats", one("((a{100}){100}){100}"), t, (400, "invalid repeat count")),
        instant("nested stars", one("(((((a|b|.)*)*)*)*)*c"), t, (200, "\"value\":[")),
        instant(
            "a thousand of any letter",
            one("\\pL{1000}"),
            t,
            (400, "(limit regex_program_bytes = 10485760)"),
        ),
        instant("a list of 100,000 names", one(&names.join("|")), t, (400, "(limit regex_nodes = 65536)")),
        instant("two hundred automata", all, t, total),
        Bomb { path: "/api/v1/series", form: many, ..instant("in match[] too", String::new(), t, total) },
    ]
}
