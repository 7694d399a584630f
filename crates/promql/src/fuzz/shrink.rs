//! Smaller queries that are wrong in the same way.

use super::judge::{Judge, Verdict};
use super::{Asked, Times};
use crate::ast::{DurationArg, Expr, VectorSelector};
use crate::parse::{ParseOptions, parse_expr};
use nilometer_model::labels::METRIC_NAME;

/// A finding is good enough when so many attempts are made.
const MAX_ATTEMPTS: usize = 300;

/// The smallest query that is found to be wrong, and how.
pub fn shrink(judge: &mut Judge<'_>, mut asked: Asked, mut what: String) -> (Asked, String) {
    let mut attempts = 0;
    'again: loop {
        for smaller in candidates(&asked) {
            attempts += 1;
            if attempts > MAX_ATTEMPTS {
                break 'again;
            }
            if let Verdict::Wrong { asked: found, what: how } = judge.judge(&smaller) {
                (asked, what) = (found, how);
                continue 'again;
            }
        }
        break;
    }
    (asked, what)
}

fn candidates(asked: &Asked) -> Vec<Asked> {
    let mut all = Vec::new();
    if let Times::Steps { start_ms, end_ms, step_ms } = asked.times {
        let last_ms = start_ms + (end_ms - start_ms) / step_ms * step_ms;
        let times = [
            Times::At(start_ms),
            Times::At(last_ms),
            Times::Steps { start_ms, end_ms: start_ms + (last_ms - start_ms) / 2, step_ms },
            Times::Steps { start_ms: start_ms + step_ms, end_ms, step_ms },
            Times::Steps { start_ms, end_ms: last_ms - step_ms, step_ms },
        ];
        let shorter = |t: &Times| match *t {
            Times::At(_) => true,
            Times::Steps { start_ms: from, end_ms: to, .. } => from <= to && to - from < end_ms - start_ms,
        };
        all.extend(times.into_iter().filter(shorter).map(|times| Asked { text: asked.text.clone(), times }));
    }
    let Ok(expr) = parse_expr(&asked.text, ParseOptions::ALL) else { return all };
    let mut nodes = 0;
    expr.walk(|_| nodes += 1);
    let mut texts = Vec::new();
    for node in 0..nodes {
        for change in CHANGES {
            let mut changed = expr.clone();
            let mut left = node;
            if at_node(&mut changed, &mut left, change) == Some(true) {
                texts.push(changed.to_string());
            }
        }
    }
    texts.retain(|text| text.len() < asked.text.len());
    texts.sort_by_key(String::len);
    texts.dedup();
    all.extend(texts.into_iter().map(|text| Asked { text, times: asked.times }));
    all
}

/// Whether there was something to change.
type Change = fn(&mut Expr) -> bool;

const CHANGES: [Change; 6] =
    [only_first, only_second, without_modifiers, without_matchers, without_words, to_a_number];

/// Changes the node that is `left` steps away, parents first. `None` where it is not below this one.
fn at_node(expr: &mut Expr, left: &mut usize, change: Change) -> Option<bool> {
    if *left == 0 {
        return Some(change(expr));
    }
    *left -= 1;
    expr.children_mut().find_map(|child| at_node(child, left, change))
}

fn replace_by(expr: &mut Expr, nth: usize) -> bool {
    let of = expr.value_type();
    let found = expr.children().filter(|child| child.value_type() == of).nth(nth).cloned();
    found.is_some_and(|child| {
        *expr = child;
        true
    })
}

fn only_first(expr: &mut Expr) -> bool {
    replace_by(expr, 0)
}

fn only_second(expr: &mut Expr) -> bool {
    replace_by(expr, 1)
}

fn selector(expr: &mut Expr) -> Option<&mut VectorSelector> {
    match expr {
        Expr::Vector(e) => Some(e),
        Expr::Matrix(e) => Some(&mut e.selector),
        _ => None,
    }
}

fn without_modifiers(expr: &mut Expr) -> bool {
    if let Expr::Subquery(e) = expr {
        (e.at, e.offset) = (None, DurationArg::ZERO);
        return true;
    }
    selector(expr).is_some_and(|e| {
        (e.at, e.offset) = (None, DurationArg::ZERO);
        true
    })
}

fn without_matchers(expr: &mut Expr) -> bool {
    selector(expr).is_some_and(|e| {
        let before = e.matchers.len();
        let named = e.name.clone();
        e.matchers.retain(|m| *m.name == *METRIC_NAME);
        !named.is_empty() && e.matchers.len() < before
    })
}

fn without_words(expr: &mut Expr) -> bool {
    match expr {
        Expr::Aggregate(e) => {
            (e.grouping, e.without) = (Vec::new(), false);
            true
        }
        Expr::Binary(e) => e.matching.as_mut().is_some_and(|m| {
            m.include.clear();
            true
        }),
        _ => false,
    }
}

fn to_a_number(expr: &mut Expr) -> bool {
    if expr.value_type() != crate::ast::ValueType::Scalar || matches!(expr, Expr::Number(_)) {
        return false;
    }
    parse_expr("1", ParseOptions::ALL).is_ok_and(|one| {
        *expr = one;
        true
    })
}
