//! Ways through a tree.

use super::{DurationArg, Expr, PosRange, VectorSelector};
use crate::duration::{DurationExpr, DurationKind};
use nilometer_model::Matcher;

impl Expr {
    /// The direct children, in the order of Prometheus' walk. The selector inside a matrix selector is
    /// not an `Expr`, hence not among them.
    pub fn children(&self) -> impl Iterator<Item = &Expr> {
        let (first, second, rest): (Option<&Expr>, Option<&Expr>, &[Expr]) = match self {
            Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => (None, None, &[]),
            Expr::Subquery(e) => (Some(&e.expr), None, &[]),
            Expr::Paren(e) => (Some(&e.expr), None, &[]),
            Expr::Unary(e) => (Some(&e.expr), None, &[]),
            Expr::Binary(e) => (Some(&e.lhs), Some(&e.rhs), &[]),
            Expr::Aggregate(e) => (Some(&e.expr), e.param.as_ref(), &[]),
            Expr::Call(e) => (None, None, &e.args),
        };
        first.into_iter().chain(second).chain(rest)
    }

    /// As [`children`](Expr::children).
    pub fn children_mut(&mut self) -> impl Iterator<Item = &mut Expr> {
        let (first, second, rest): (Option<&mut Expr>, Option<&mut Expr>, &mut [Expr]) = match self {
            Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => (None, None, &mut []),
            Expr::Subquery(e) => (Some(&mut e.expr), None, &mut []),
            Expr::Paren(e) => (Some(&mut e.expr), None, &mut []),
            Expr::Unary(e) => (Some(&mut e.expr), None, &mut []),
            Expr::Binary(e) => (Some(&mut e.lhs), Some(&mut e.rhs), &mut []),
            Expr::Aggregate(e) => (Some(&mut e.expr), e.param.as_mut(), &mut []),
            Expr::Call(e) => (None, None, &mut e.args),
        };
        first.into_iter().chain(second).chain(rest)
    }

    /// Visits this node and all below it, parents first, without recursion.
    pub fn walk<'a>(&'a self, mut visit: impl FnMut(&'a Expr)) {
        let mut open = vec![self];
        while let Some(expr) = open.pop() {
            visit(expr);
            let from = open.len();
            open.extend(expr.children());
            open[from..].reverse();
        }
    }

    /// The matchers of every selector, in the order of the text.
    pub fn selectors(&self) -> Vec<&[Matcher]> {
        let mut found = Vec::new();
        self.walk(|expr| match expr {
            Expr::Vector(e) => found.push(&e.matchers[..]),
            Expr::Matrix(e) => found.push(&e.selector.matchers[..]),
            _ => {}
        });
        found
    }
}

impl Expr {
    /// The same query for equality: without positions, matchers in order. What is printed and parsed again
    /// gives the same canonical tree.
    #[must_use]
    pub fn canonical(mut self) -> Expr {
        canonical(&mut self);
        self
    }
}

fn canonical(expr: &mut Expr) {
    match expr {
        Expr::Number(e) => e.pos = PosRange::default(),
        Expr::String(e) => e.pos = PosRange::default(),
        Expr::Vector(e) => canonical_selector(e),
        Expr::Matrix(e) => {
            e.pos = PosRange::default();
            canonical_argument(&mut e.range);
            canonical_selector(&mut e.selector);
        }
        Expr::Subquery(e) => {
            e.pos = PosRange::default();
            canonical_argument(&mut e.range);
            e.step.iter_mut().for_each(canonical_argument);
            canonical_argument(&mut e.offset);
        }
        Expr::Paren(e) => e.pos = PosRange::default(),
        Expr::Unary(e) => e.pos = PosRange::default(),
        Expr::Binary(e) => e.pos = PosRange::default(),
        Expr::Aggregate(e) => e.pos = PosRange::default(),
        Expr::Call(e) => e.pos = PosRange::default(),
    }
    expr.children_mut().for_each(canonical);
}

fn canonical_selector(e: &mut VectorSelector) {
    e.pos = PosRange::default();
    canonical_argument(&mut e.offset);
    let key = |m: &Matcher| (m.name.clone(), m.kind, m.value.clone());
    e.matchers.sort_by_cached_key(key);
}

fn canonical_argument(arg: &mut DurationArg) {
    if let DurationArg::Expr(e) = arg {
        canonical_duration(e);
    }
}

fn canonical_duration(e: &mut DurationExpr) {
    e.pos = PosRange::default();
    match &mut e.kind {
        DurationKind::Literal(number) => number.pos = PosRange::default(),
        DurationKind::Step | DurationKind::Range => {}
        DurationKind::Negative(e) => canonical_duration(e),
        DurationKind::Binary(_, lhs, rhs) => {
            canonical_duration(lhs);
            canonical_duration(rhs);
        }
    }
}
