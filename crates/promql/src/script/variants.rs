//! The same instant query at other times: with `@` on every selector, the answer must not change.

use crate::ast::{At, Expr};

/// The query's text with all selectors pinned to `t_ms`, and the times at which to evaluate it. `None` if its
/// answer depends on the time anyway.
pub(super) fn pinned(expr: &Expr, t_ms: i64) -> Option<(String, Vec<i64>)> {
    let mut expr = expr.clone();
    let mut depends_on_time = false;
    pin(&mut expr, t_ms, &mut depends_on_time);
    let times = if t_ms == 0 { vec![-1000, 0, 1000] } else { vec![-10 * t_ms, 0, t_ms / 5, t_ms, 10 * t_ms] };
    (!depends_on_time).then(|| (expr.to_string(), times))
}

fn pin(expr: &mut Expr, t_ms: i64, depends_on_time: &mut bool) {
    let at = |at: &mut Option<At>| {
        at.get_or_insert(At::TimestampMs(t_ms));
    };
    match expr {
        Expr::Vector(e) => at(&mut e.at),
        Expr::Matrix(e) => at(&mut e.selector.at),
        Expr::Subquery(e) => {
            at(&mut e.at);
            // What is inside a pinned subquery is pinned by it.
            return;
        }
        Expr::Call(e) => {
            *depends_on_time |= matches!(
                e.func.name,
                "days_in_month"
                    | "day_of_month"
                    | "day_of_week"
                    | "day_of_year"
                    | "end"
                    | "hour"
                    | "minute"
                    | "month"
                    | "year"
                    | "predict_linear"
                    | "range"
                    | "start"
                    | "step"
                    | "time"
                    | "timestamp"
            );
        }
        _ => {}
    }
    for child in expr.children_mut() {
        pin(child, t_ms, depends_on_time);
    }
}

/// Whether a query says something else in a range: `start()` and its kin.
pub(super) fn depends_on_range(query: &str) -> bool {
    ["start()", "end()", "range()", "step()"].iter().any(|f| query.contains(f))
}
