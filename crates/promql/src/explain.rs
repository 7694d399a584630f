//! What a query's plan is, and where an evaluation's time and memory went: for people, as text and numbers.

use crate::duration::format_duration;
use crate::plan::{Aggregate, Binary, Kind, Node, Selector};
use std::sync::Arc;
use std::time::Duration;

/// One step of a plan and those that it is computed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanNode {
    pub name: String,
    pub children: Vec<PlanNode>,
}

/// Time since some fixed moment. The engine reads no clock of its own.
pub type Stopwatch = Arc<dyn Fn() -> Duration + Send + Sync>;

/// One task of an evaluation. Several steps of a plan may be one task, and the other way round.
#[derive(Clone, Debug)]
pub struct TaskProfile {
    pub name: String,
    /// Waiting for storage included.
    pub took: Duration,
    /// Samples that this task looked at. Not all of them count in
    /// [`QueryStats::total_samples`](crate::value::QueryStats): those below a subquery do not.
    pub total_samples: u64,
    /// Samples and bytes of intermediate results that the query held when the task was done.
    pub held_samples: u64,
    pub held_bytes: u64,
}

/// The plan as it is computed: after all passes.
pub(crate) fn explain(node: &Node) -> PlanNode {
    let (name, children): (String, Vec<&Node>) = match &node.kind {
        Kind::Number(v) => (format!("[number] {v}"), Vec::new()),
        Kind::String(text) => (format!("[string] {:?}", String::from_utf8_lossy(text)), Vec::new()),
        Kind::Vector(s) => (format!("[vectorSelector] {}", selector(s, "")), Vec::new()),
        Kind::Matrix(m) => {
            let range = format!("[{}]", format_duration(m.range_ms));
            (format!("[matrixSelector] {}", selector(&m.selector, &range)), Vec::new())
        }
        Kind::Subquery(s) => {
            let (range, step) = (format_duration(s.range_ms), format_duration(s.step_ms));
            (format!("[subquery] [{range}:{step}]"), vec![&s.expr])
        }
        Kind::Negate(e) => ("[unary] -".to_owned(), vec![&**e]),
        Kind::Invariant(e) => ("[stepInvariant]".to_owned(), vec![&**e]),
        Kind::Binary(b) => (binary(b), vec![&b.lhs, &b.rhs]),
        Kind::Aggregate(a) => (aggregate(a), a.param.iter().chain([&a.expr]).collect()),
        Kind::Call(c) => (format!("[function] {}", c.func.name), c.args.iter().collect()),
    };
    PlanNode { name, children: children.into_iter().map(explain).collect() }
}

fn selector(s: &Selector, range: &str) -> String {
    let matchers: Vec<String> = s.matchers.iter().map(ToString::to_string).collect();
    let mut text = format!("{{{}}}{range}", matchers.join(","));
    if s.place.offset_ms != 0 {
        text += &format!(" offset {}", format_duration(s.place.offset_ms));
    }
    if let Some(at_ms) = s.place.at_ms {
        text += &format!(" @ {at_ms} ms");
    }
    if let Some(func) = s.func {
        text += &format!(" for {func}");
    }
    if s.stats_only {
        text += ", only sums and counts";
    }
    text
}

fn binary(b: &Binary) -> String {
    let mut text = format!("[binary] {}", b.op.as_str());
    if b.return_bool {
        text += " bool";
    }
    if let Some(matching) = &b.matching {
        let word = if matching.on { "on" } else { "ignoring" };
        text += &format!(" {word} ({}), {}", matching.labels.join(", "), matching.card.as_str());
    }
    text
}

fn aggregate(a: &Aggregate) -> String {
    let word = if a.without { "without" } else { "by" };
    format!("[aggregate] {} {word} ({})", a.op.as_str(), a.grouping.join(", "))
}
