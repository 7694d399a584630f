//! Finds what is the same at every step (`foo @ 100`, constants), so that it is evaluated once.

use super::{Kind, Node};

/// Marks the highest such nodes.
pub(crate) fn mark(node: &mut Node) {
    if visit(node).wrap {
        wrap(node);
    }
}

struct Found {
    invariant: bool,
    /// Not for what has no value of its own at a step: numbers, strings, range selectors.
    wrap: bool,
}

impl Found {
    const NO: Found = Found { invariant: false, wrap: false };
    const YES: Found = Found { invariant: true, wrap: true };
}

fn visit(node: &mut Node) -> Found {
    match &mut node.kind {
        Kind::Number(_) | Kind::String(_) => Found { invariant: true, wrap: false },
        Kind::Vector(s) if s.place.at_ms.is_some() => Found::YES,
        Kind::Vector(_) => Found::NO,
        Kind::Matrix(m) => Found { invariant: m.selector.place.at_ms.is_some(), wrap: false },
        Kind::Subquery(s) => {
            // The inside has steps of its own.
            if visit(&mut s.expr).invariant {
                wrap(&mut s.expr);
            }
            Found { invariant: s.place.at_ms.is_some(), wrap: false }
        }
        Kind::Negate(e) => visit(e),
        Kind::Invariant(_) => Found::YES,
        Kind::Aggregate(a) => {
            // The parameter is evaluated for all steps, except where the input is not.
            visit(&mut a.expr)
        }
        Kind::Binary(b) => {
            let (lhs, rhs) = (visit(&mut b.lhs), visit(&mut b.rhs));
            if lhs.invariant && rhs.invariant {
                return Found::YES;
            }
            if lhs.wrap {
                wrap(&mut b.lhs);
            }
            if rhs.wrap {
                wrap(&mut b.rhs);
            }
            Found::NO
        }
        Kind::Call(c) => {
            let found: Vec<Found> = c.args.iter_mut().map(visit).collect();
            let all = found.iter().all(|f| f.invariant);
            let of_selectors = c.args.iter().all(|a| matches!(a.kind, Kind::Vector(_)));
            if all && (!depends_on_time(c.func.name) || c.func.name == "timestamp" && of_selectors) {
                return Found::YES;
            }
            for (arg, found) in c.args.iter_mut().zip(found) {
                if found.wrap {
                    wrap(arg);
                }
            }
            Found::NO
        }
    }
}

fn wrap(node: &mut Node) {
    if matches!(node.kind, Kind::Invariant(_) | Kind::Number(_) | Kind::String(_)) {
        return;
    }
    let pos = node.pos;
    let inner = std::mem::replace(node, Node { kind: Kind::Number(0.0), pos });
    node.kind = Kind::Invariant(Box::new(inner));
}

/// Whether the result can change with the time of evaluation though the arguments do not.
/// Source: `AtModifierUnsafeFunctions` of Prometheus.
fn depends_on_time(func: &str) -> bool {
    matches!(
        func,
        "days_in_month"
            | "day_of_month"
            | "day_of_week"
            | "day_of_year"
            | "hour"
            | "minute"
            | "month"
            | "year"
            | "predict_linear"
            | "time"
            | "timestamp"
    )
}
