//! Where a difference comes from, and whether it is a mistake.
//!
//! Two servers may round differently, and what is computed from that may then differ by anything. So the
//! difference is followed down the tree, to the deepest node whose own inputs are the same on both sides: that one
//! is judged, by the largest magnitude that went into it.

use super::answer::{Outcome, Point};
use super::compare::{Difference, Scope, compare};
use super::known::known;
use super::{Asked, Dialect, Times};
use crate::ast::Expr;
use crate::parse::{ParseOptions, parse_expr};

/// Of the largest magnitude that entered an operation.
pub const TOLERANCE: f64 = 1e-12;

/// Who answers queries.
pub trait Side {
    fn ask(&mut self, asked: &Asked) -> Outcome;
}

pub struct Judge<'a> {
    pub ours: &'a mut dyn Side,
    pub theirs: &'a mut dyn Side,
    pub dialect: Dialect,
}

/// What comes of a query.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Bit for bit. Whether both refused it, and whether there was anything in it.
    Same { refused: bool, empty: bool },
    /// Numbers differ as rounding may.
    Rounding,
    /// One of the differences that are meant.
    Known(&'static str),
    /// The part of the query that is to blame, and how it differs.
    Wrong { asked: Asked, what: String },
}

impl Judge<'_> {
    pub fn judge(&mut self, asked: &Asked) -> Verdict {
        let (ours, theirs) = (self.ours.ask(asked), self.theirs.ask(asked));
        match compare(&ours, &theirs, self.scope(asked)) {
            None => Verdict::Same {
                refused: ours.is_err(),
                empty: ours.is_ok_and(|answer| answer.series.is_empty()),
            },
            Some(difference) => match parse_expr(&asked.text, ParseOptions::ALL) {
                Ok(expr) => self.blame(&expr, asked.times, &difference),
                Err(_) => wrong(asked.clone(), &difference),
            },
        }
    }

    fn scope(&self, asked: &Asked) -> Scope {
        // Not by groups, which have no order.
        let sorts = ["sort(", "sort_desc(", "topk(", "bottomk("].iter().any(|f| asked.text.starts_with(f));
        let order = sorts && matches!(asked.times, Times::At(_)) && asked.text.ends_with(')');
        Scope { order, annotations: self.dialect == Dialect::V3 }
    }

    fn differs(&mut self, asked: &Asked) -> Option<Difference> {
        let (ours, theirs) = (self.ours.ask(asked), self.theirs.ask(asked));
        compare(&ours, &theirs, self.scope(asked))
    }

    /// `expr` gives a different answer at `times`.
    fn blame(&mut self, expr: &Expr, times: Times, difference: &Difference) -> Verdict {
        let asked = Asked { text: expr.to_string(), times };
        // At one time there is less to look at, and a range can be asked for by itself.
        if let (Times::Steps { .. }, Some(t_ms)) = (times, difference.t_ms()) {
            let at = Asked { text: asked.text.clone(), times: Times::At(t_ms) };
            if let Some(difference) = self.differs(&at) {
                return self.blame(expr, Times::At(t_ms), &difference);
            }
        }
        for (child, times) in inputs(expr, times, difference.t_ms()) {
            let part = Asked { text: child.to_string(), times };
            if let Some(difference) = self.differs(&part) {
                return self.blame(child, times, &difference);
            }
        }
        self.verdict(expr, asked, difference)
    }

    fn verdict(&mut self, expr: &Expr, asked: Asked, difference: &Difference) -> Verdict {
        if let Some(reason) = known(self.dialect, expr, asked.times, difference) {
            return Verdict::Known(reason);
        }
        let Difference::Value { ours, theirs, .. } = difference else { return wrong(asked, difference) };
        let mut largest = magnitude([ours, theirs]);
        for (child, times) in inputs(expr, asked.times, difference.t_ms()) {
            if let Ok(answer) = self.ours.ask(&Asked { text: child.to_string(), times }) {
                let points = answer.series.iter().flat_map(|(_, points)| points);
                largest = largest.max(magnitude(points.map(|(_, point)| point)));
            }
        }
        let near =
            |(a, b): (f64, f64)| a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= TOLERANCE * largest;
        if ours.numbers().into_iter().zip(theirs.numbers()).all(near) {
            return Verdict::Rounding;
        }
        wrong(asked, difference)
    }
}

impl Difference {
    fn t_ms(&self) -> Option<i64> {
        match self {
            Difference::Value { t_ms, .. } => Some(*t_ms),
            Difference::Shape { t_ms, .. } => *t_ms,
        }
    }
}

fn wrong(asked: Asked, difference: &Difference) -> Verdict {
    Verdict::Wrong { asked, what: difference.to_string() }
}

/// What goes into an expression, and when to ask for it.
fn inputs(expr: &Expr, times: Times, t_ms: Option<i64>) -> Vec<(&Expr, Times)> {
    // A range is an answer only at one time; what is inside of a subquery is asked for when the difference is.
    let when = |child: &Expr| match (child, times) {
        (Expr::Matrix(_) | Expr::Subquery(_), Times::Steps { start_ms, .. }) => {
            Times::At(t_ms.unwrap_or(start_ms))
        }
        _ if matches!(expr, Expr::Subquery(_)) => t_ms.map_or(times, Times::At),
        _ => times,
    };
    let children = expr.children().filter(|child| !matches!(child, Expr::String(_)));
    children.map(|child| (child, when(child))).collect()
}

fn magnitude<'a>(points: impl IntoIterator<Item = &'a Point>) -> f64 {
    let numbers = points.into_iter().flat_map(Point::numbers);
    numbers.filter(|v| v.is_finite()).fold(0.0, |largest, v| largest.max(v.abs()))
}
