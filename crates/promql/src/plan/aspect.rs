//! Tells every selector what of downsampled series it is asked for: their windows have several aggregates each.
//!
//! As Thanos chooses them, with two differences: an average is one of all samples, not one of averages; and a
//! subquery looks at values, of which a function around it may want the least, but not a number of samples.
//! Source: `aggrsFromFunc` in Thanos' `pkg/query/querier.go`.

use super::{Kind, Node};
use crate::ast::AggregateOp;
use nilometer_chunk::Aggregate;

/// What of a window is looked at. A raw sample is a window of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Aspect {
    /// What its samples were on average.
    #[default]
    Average,
    /// Sum and number, for an average over several windows.
    Mean,
    Sum,
    Count,
    Min,
    Max,
    /// How far a counter had come at its end.
    Counter,
    /// Whether a counter was reset: then it was lower than at any time in the window before.
    Resets,
}

impl Aspect {
    /// The aggregates that are read. A counter's first sample also says since when a series is there.
    pub(crate) fn aggregates(self) -> &'static [Aggregate] {
        use Aggregate::{Count, Counter, Max, Min, Sum};
        match self {
            Aspect::Average | Aspect::Mean => &[Count, Sum, Counter],
            Aspect::Sum => &[Sum, Counter],
            Aspect::Count => &[Count, Counter],
            Aspect::Min | Aspect::Resets => &[Min, Counter],
            Aspect::Max => &[Max, Counter],
            Aspect::Counter => &[Counter],
        }
    }

    /// Of the range that a function looks at.
    fn of_range(func: &str) -> Self {
        match func {
            "avg_over_time" => Aspect::Mean,
            "sum_over_time" => Aspect::Sum,
            "count_over_time" | "present_over_time" | "absent_over_time" => Aspect::Count,
            "min_over_time" | "ts_of_min_over_time" => Aspect::Min,
            "max_over_time" | "ts_of_max_over_time" => Aspect::Max,
            "rate" | "increase" | "irate" => Aspect::Counter,
            "resets" => Aspect::Resets,
            _ => Aspect::Average,
        }
    }

    /// Of the values at the steps of a subquery.
    fn of_steps(self) -> Self {
        match self {
            Aspect::Min | Aspect::Max | Aspect::Counter | Aspect::Resets => self,
            _ => Aspect::Average,
        }
    }

    fn negated(self) -> Self {
        match self {
            Aspect::Min => Aspect::Max,
            Aspect::Max => Aspect::Min,
            _ => Aspect::Average,
        }
    }
}

pub(crate) fn mark(node: &mut Node) {
    visit(node, Aspect::Average);
}

fn visit(node: &mut Node, wanted: Aspect) {
    match &mut node.kind {
        Kind::Number(_) | Kind::String(_) => {}
        Kind::Vector(selector) => selector.aspect = wanted,
        Kind::Matrix(matrix) => matrix.selector.aspect = wanted,
        Kind::Subquery(subquery) => visit(&mut subquery.expr, wanted.of_steps()),
        Kind::Negate(e) => visit(e, wanted.negated()),
        Kind::Invariant(e) => visit(e, wanted),
        Kind::Binary(b) => {
            visit(&mut b.lhs, Aspect::Average);
            visit(&mut b.rhs, Aspect::Average);
        }
        Kind::Aggregate(a) => {
            let of_all = match a.op {
                AggregateOp::Min => Aspect::Min,
                AggregateOp::Max => Aspect::Max,
                _ => Aspect::Average,
            };
            visit(&mut a.expr, of_all);
            if let Some(param) = &mut a.param {
                visit(param, Aspect::Average);
            }
        }
        Kind::Call(call) => {
            let leaves_values = matches!(
                call.func.name,
                "label_replace"
                    | "label_join"
                    | "sort"
                    | "sort_desc"
                    | "sort_by_label"
                    | "sort_by_label_desc"
            );
            for arg in &mut call.args {
                let is_range = arg.value_type() == crate::ast::ValueType::Matrix;
                let of_arg = match is_range {
                    true => Aspect::of_range(call.func.name),
                    false if leaves_values => wanted,
                    false => Aspect::Average,
                };
                visit(arg, of_arg);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{ParseOptions, parse_expr};
    use crate::plan::lower::{Times, lower};

    /// The aspects of all selectors, in the order of the text.
    fn aspects(query: &str) -> Vec<Aspect> {
        fn collect(node: &mut Node, out: &mut Vec<Aspect>) {
            match &node.kind {
                Kind::Vector(s) => out.push(s.aspect),
                Kind::Matrix(m) => out.push(m.selector.aspect),
                _ => node.children_mut().into_iter().for_each(|child| collect(child, out)),
            }
        }
        let times = Times { start_ms: 0, end_ms: 10, step_ms: 1, subquery_step_ms: 1 };
        let mut plan = lower(&parse_expr(query, ParseOptions::default()).unwrap(), times).unwrap();
        mark(&mut plan);
        let mut out = Vec::new();
        collect(&mut plan, &mut out);
        out
    }

    #[test]
    fn functions_choose() {
        use Aspect::*;
        for (query, expected) in [
            ("x", vec![Average]),
            ("sum(x)", vec![Average]),
            ("count(x)", vec![Average]),
            ("min by (a) (x)", vec![Min]),
            ("max(x) / min(x)", vec![Max, Min]),
            ("max(-x)", vec![Min]),
            ("max(label_replace(x, \"a\", \"$1\", \"b\", \"(.*)\"))", vec![Max]),
            ("max(abs(x))", vec![Average]),
            ("max(x * 2)", vec![Average]),
            ("topk(3, x)", vec![Average]),
            ("max(rate(x[5m]))", vec![Counter]),
            ("irate(x[5m]) + increase(x[5m])", vec![Counter, Counter]),
            ("delta(x[5m]) + deriv(x[5m])", vec![Average, Average]),
            ("resets(x[5m])", vec![Resets]),
            ("avg_over_time(x[5m])", vec![Mean]),
            ("sum_over_time(x[5m]) / count_over_time(x[5m])", vec![Sum, Count]),
            ("quantile_over_time(0.5, x[5m])", vec![Average]),
            ("predict_linear(x[5m], scalar(max(y)))", vec![Average, Max]),
            ("max_over_time(x[1h:5m])", vec![Max]),
            ("sum_over_time(x[1h:5m]) + avg_over_time(x[1h:5m])", vec![Average, Average]),
            ("rate(x[1h:5m])", vec![Counter]),
            ("max_over_time(rate(x[5m])[1h:5m])", vec![Counter]),
            ("max_over_time(sum(x)[1h:5m])", vec![Average]),
        ] {
            assert_eq!(aspects(query), expected, "{query}");
        }
    }
}
