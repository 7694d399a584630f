//! The differences that are meant, each with its reason.
//!
//! Where versions of Prometheus differ, the newest one's test scripts say what is right.

use super::answer::Point;
use super::compare::Difference;
use super::{Dialect, Times};
use crate::ast::{AggregateOp, At, BinaryOp, Expr, UnaryOp, ValueType};
use nilometer_model::{MatchKind, Matcher};

/// Why `expr`, which has the same inputs on both sides, may answer otherwise.
pub(super) fn known(
    dialect: Dialect,
    expr: &Expr,
    times: Times,
    difference: &Difference,
) -> Option<&'static str> {
    let of_any = of_any(expr, times, difference);
    of_any.or_else(|| if dialect == Dialect::V2 { of_2_42(expr, difference) } else { None })
}

fn of_any(expr: &Expr, times: Times, difference: &Difference) -> Option<&'static str> {
    if at_in_parameter(expr, times) {
        return Some("an aggregation's parameter: there @ in it holds for the first step only");
    }
    if is_root_of_subnormal(expr, difference) {
        return Some(
            "^: of numbers below 2.2e-308 Go takes the logarithm, which its assembler for amd64 has wrong",
        );
    }
    if compares_sums(expr, difference) {
        return Some("a comparison of sums: there the order of adding, and so the last digit, is chance");
    }
    of_functions(expr, difference).or_else(|| of_annotations(expr, times, difference)).or_else(|| {
        let text = expr.to_string();
        // A subquery is a range, too.
        let by_chance = matches!(times, Times::Steps { .. })
            || ["count_values", "info(", "limit_ratio", "histogram_", ":"].iter().any(|source| text.contains(source));
        if difference.mentions("ours fails: vector cannot contain") {
            Some("a float and a histogram of the same labels at the same time: two samples of one series there")
        } else if by_chance
            && difference.mentions("only ")
            && ["topk", "bottomk", "limitk"].iter().any(|op| text.contains(op))
        {
            Some("topk, bottomk, limitk: what comes first of equal ones is chance there, where no order is kept")
        } else {
            None
        }
    })
}

/// Whether an aggregation's parameter has a `@` that Prometheus 3.14 reads wrongly in a range.
///
/// `preprocessExprHelper` does not enter the parameter: nothing makes what has `@` a constant there, and what is read
/// moves on with each step, out of the samples that were selected for the `@`. `start()` and `end()` stay without a
/// meaning. A range vector with a number is read at that time even so.
fn at_in_parameter(expr: &Expr, times: Times) -> bool {
    match expr {
        Expr::Aggregate(e) => {
            matches!(times, Times::Steps { .. }) && e.param.as_ref().is_some_and(moves_with_the_step)
        }
        // Its steps are not those that were asked for.
        Expr::Subquery(_) => any(
            expr,
            |e| matches!(e, Expr::Aggregate(e) if e.param.as_ref().is_some_and(moves_with_the_step)),
        ),
        _ => false,
    }
}

fn moves_with_the_step(parameter: &Expr) -> bool {
    any(parameter, |e| match e {
        Expr::Vector(e) => e.at.is_some(),
        Expr::Matrix(e) => matches!(e.selector.at, Some(At::Start | At::End)),
        Expr::Subquery(e) => matches!(e.at, Some(At::Start | At::End)),
        _ => false,
    })
}

/// Whether `x ^ y` has an `x` so small, where `y` is a literal that is no whole number: for its fraction Go's `Pow`
/// multiplies by `Exp(y * Log(x))`.
fn is_root_of_subnormal(expr: &Expr, difference: &Difference) -> bool {
    let (Expr::Binary(e), Difference::Value { ours: Point::Float(ours), .. }) = (expr, difference) else {
        return false;
    };
    let Some(exponent) = literal(&e.rhs) else { return false };
    let x = ours.powf(1.0 / exponent);
    e.op == BinaryOp::Pow && exponent.fract() != 0.0 && x.is_subnormal()
}

/// Whether a comparison's two sides are both made by adding over series. What is computed at each step comes out of a
/// map there, in another order at each asking: `stdvar(abs(x)) != stdvar(abs(x))` has an answer now and then.
fn compares_sums(expr: &Expr, difference: &Difference) -> bool {
    let adds = |e: &Expr, over_computed: bool| {
        let Expr::Aggregate(e) = e else { return false };
        let adds = [AggregateOp::Sum, AggregateOp::Avg, AggregateOp::Stddev, AggregateOp::Stdvar];
        adds.contains(&e.op) && !(over_computed && matches!(e.expr, Expr::Vector(_)))
    };
    let Expr::Binary(e) = expr else { return false };
    e.op.is_comparison()
        && (e.return_bool || difference.mentions("only "))
        && [&e.lhs, &e.rhs].into_iter().all(|side| any(side, |e| adds(e, false)))
        && any(expr, |e| adds(e, true))
}

fn literal(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Number(e) => Some(e.value),
        Expr::Paren(e) => literal(&e.expr),
        Expr::Unary(e) if e.op == UnaryOp::Minus => Some(-literal(&e.expr)?),
        _ => None,
    }
}

fn of_functions(expr: &Expr, difference: &Difference) -> Option<&'static str> {
    let Expr::Call(call) = expr else { return None };
    let theirs = match difference {
        Difference::Value { theirs, .. } => theirs.numbers(),
        Difference::Shape { .. } => Vec::new(),
    };
    match call.func.name {
        "sinh" | "cosh" => (theirs.iter().any(|v| v.is_infinite()))
            .then_some("sinh, cosh: Go's are infinite where twice the value is"),
        "ln" | "log10" => (theirs.iter().any(|v| *v < -307.0))
            .then_some("ln, log10: Go's assembler for amd64 does not know numbers below 2.2e-308"),
        "histogram_quantiles" => (!theirs.is_empty())
            .then_some("histogram_quantiles: there the second one sees buckets that the first one joined"),
        "absent" | "absent_over_time" => {
            let both = call.args.iter().flat_map(Expr::selectors).any(equal_and_otherwise);
            both.then_some(
                "absent: of a label with = and another matcher, what the index looks at first counts there",
            )
        }
        _ => None,
    }
}

fn of_annotations(expr: &Expr, times: Times, difference: &Difference) -> Option<&'static str> {
    if !difference.mentions("infos are ") && !difference.mentions("warnings are ") {
        return None;
    }
    let text = expr.to_string();
    let subquery = any(expr, |e| matches!(e, Expr::Subquery(_)));
    let statistic = any(expr, |e| {
        let Expr::Call(call) = e else { return false };
        matches!(call.func.name, "histogram_count" | "histogram_sum" | "histogram_avg")
    });
    if difference.mentions("ineffective") && text.contains("sort") {
        Some("sort: a range of one step is sorted, and not warned about")
    } else if difference.mentions("incompatible sample types") {
        Some("binary operators: of the hints at one step, there only the last is said")
    } else if subquery {
        Some("a subquery is computed at the steps that are looked at, and says nothing of others")
    } else if statistic
        && matches!(times, Times::Steps { .. })
        && difference.mentions("conflicting counter resets")
    {
        Some("histogram_count, _sum, _avg: there what was read before decides what a reset is")
    } else {
        None
    }
}

const DOT: &str = "the dot of a regular expression: 3 lets it be a line feed";

fn of_2_42(expr: &Expr, difference: &Difference) -> Option<&'static str> {
    let is_value = matches!(difference, Difference::Value { .. });
    if difference.mentions("theirs fails: vector cannot contain") {
        return Some("2.42 refuses series that become one, also where they are at different times");
    }
    if depends_on_step_of_at(expr) {
        return Some(
            "2.42 reads a range with @ at the first step only, where the function depends on the step",
        );
    }
    if let Expr::Subquery(e) = expr
        && difference.mentions("only theirs")
        && any(&e.expr, |e| matches!(e, Expr::Vector(e) if e.at.is_some()))
    {
        return Some("a subquery so short that it has no step: 2.42 reads what has @ even so, after its end");
    }
    let text = expr.to_string();
    if difference.mentions("only ") && (text.contains("topk") || text.contains("bottomk")) {
        return Some("topk: of equal ones, 2.42 takes others");
    }
    match expr {
        Expr::Call(call) => match call.func.name {
            "rate" | "increase" if is_value => {
                Some("rate: 3 lets a counter begin at zero before it judges gaps")
            }
            "predict_linear" | "deriv" if is_value => Some("deriv: 2.42 is not as careful with infinities"),
            "stddev_over_time" | "stdvar_over_time" if is_value => {
                Some("stddev_over_time: 2.42 is not as careful with infinities")
            }
            "label_replace" if text.contains(".*") => Some(DOT),
            "histogram_quantile" => Some("histogram_quantile: 3 forgives tiny differences between buckets"),
            _ => None,
        },
        Expr::Aggregate(e) => match e.op {
            AggregateOp::Stddev | AggregateOp::Stdvar => Some("stddev: of one NaN or infinity, 2.42 says 0"),
            AggregateOp::Topk | AggregateOp::Bottomk if difference.mentions("overflow") => {
                Some("topk: 2.42 refuses a parameter that no int64 holds")
            }
            _ => None,
        },
        Expr::Binary(e) if e.op.is_comparison() && difference.mentions("must be explicit") => {
            Some("a comparison: 2.42 filters before it looks for what matches twice")
        }
        Expr::Binary(e) if e.op == BinaryOp::Atan2 => Some("atan2: 2.42 keeps the metric's name"),
        Expr::Vector(_) | Expr::Matrix(_) => text.contains(".*").then_some(DOT),
        _ => None,
    }
}

fn depends_on_step_of_at(expr: &Expr) -> bool {
    any(expr, |e| match e {
        Expr::Call(call) => matches!(call.func.name, "predict_linear" | "quantile_over_time") && has_at(e),
        _ => false,
    })
}

/// Whether `is` holds for the expression or a part of it.
fn any(expr: &Expr, is: impl Fn(&Expr) -> bool) -> bool {
    let mut found = false;
    expr.walk(|e| found |= is(e));
    found
}

/// Whether a label has both sorts of matchers.
fn equal_and_otherwise(matchers: &[Matcher]) -> bool {
    let otherwise = |m: &Matcher| matchers.iter().any(|n| n.name == m.name && n.kind != MatchKind::Equal);
    matchers.iter().any(|m| m.kind == MatchKind::Equal && otherwise(m))
}

/// Whether a range in the arguments has `@`.
fn has_at(expr: &Expr) -> bool {
    expr.children().any(|child| match child {
        Expr::Matrix(e) => e.selector.at.is_some(),
        Expr::Subquery(e) => e.at.is_some(),
        _ => child.value_type() == ValueType::Matrix && has_at(child),
    })
}

impl Difference {
    fn mentions(&self, text: &str) -> bool {
        matches!(self, Difference::Shape { what, .. } if what.contains(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{ParseOptions, parse_expr};
    use nilometer_model::Labels;

    fn is_known(dialect: Dialect, text: &str, times: Times, what: &str) -> bool {
        let expr = parse_expr(text, ParseOptions::ALL).unwrap();
        known(dialect, &expr, times, &Difference::Shape { what: what.to_owned(), t_ms: None }).is_some()
    }

    /// What is seen of a 3.12 with the engine of 3.14: right at one step, and where the range has a number.
    #[test]
    fn at_in_the_parameter_of_an_aggregation() {
        let range = Times::Steps { start_ms: 0, end_ms: 600_000, step_ms: 60_000 };
        for (text, times, expected) in [
            ("bottomk(scalar(sum(x @ 100)), y)", range, true),
            ("quantile(scalar(x @ end()) * 2, y)", range, true),
            ("topk(scalar(sum_over_time(x[1m] @ start())), y)", range, true),
            ("(topk(scalar(x @ 100), y))[5m:1m]", Times::At(0), true),
            ("bottomk(scalar(sum(x @ 100)), y)", Times::At(0), false),
            ("topk(scalar(sum_over_time(x[1m] @ 100)), y)", range, false),
            ("bottomk(scalar(sum(x)), y @ 100)", range, false),
            ("sum(topk(scalar(x @ 100), y))", range, false),
        ] {
            let what = "theirs fails: Parameter value is NaN";
            assert_eq!(is_known(Dialect::V3, text, times, what), expected, "{text}");
        }
    }

    #[test]
    fn a_root_of_a_subnormal_number() {
        for (text, ours, expected) in [
            ("x ^ -0.25", 6.707394273891462e80, true),
            ("x ^ 0.5", 2.2227587494850775e-162, true),
            ("x ^ -0.25", 1e76, false),
            ("x ^ 2", 1e-310, false),
            ("x ^ y", 6.707394273891462e80, false),
            ("x * 0.5", 1e-310, false),
        ] {
            let [ours, theirs] = [ours, 2.0].map(Point::Float);
            let difference = Difference::Value { labels: Labels::empty(), t_ms: 0, ours, theirs };
            let expr = parse_expr(text, ParseOptions::ALL).unwrap();
            assert_eq!(known(Dialect::V3, &expr, Times::At(0), &difference).is_some(), expected, "{text}");
        }
    }

    #[test]
    fn a_comparison_of_sums() {
        for (text, expected) in [
            ("stdvar(abs(x)) != stdvar(abs(x))", true),
            ("sum by (a) (abs(x)) > on (a) (avg by (a) (rate(y[5m])) * 2)", true),
            ("sum(x) != sum(abs(x))", true),
            ("sum(x) != sum(x)", false),
            ("max(abs(x)) != max(abs(x))", false),
            ("stdvar(abs(x)) != 3", false),
            ("stdvar(abs(x)) - stdvar(abs(x))", false),
        ] {
            assert_eq!(is_known(Dialect::V3, text, Times::At(0), "only theirs has {}"), expected, "{text}");
        }
    }

    #[test]
    fn a_subquery_of_no_step() {
        for (dialect, text, what, expected) in [
            (Dialect::V2, "(x @ start())[31s:1m]", "only theirs has x", true),
            (Dialect::V2, "(x @ start())[31s:1m]", "only ours has x", false),
            (Dialect::V2, "(x)[31s:1m]", "only theirs has x", false),
            (Dialect::V3, "(x @ start())[31s:1m]", "only theirs has x", false),
        ] {
            assert_eq!(is_known(dialect, text, Times::At(0), what), expected, "{text}");
        }
    }
}
