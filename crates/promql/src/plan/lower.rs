//! The tree of a query as logical nodes, with the times of one evaluation put in.

use super::aspect::Aspect;
use super::{Aggregate, Binary, Call, Kind, Matrix, Node, Selector, Subquery};
use crate::ast::{self, At, DurationArg, Expr, UnaryOp};
use crate::duration::{QueryTimes, resolve_durations};
use crate::exec::window::Place;
use nilometer_model::{Error, Result};

/// The evaluation that a plan is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    /// 0 for an instant query.
    pub(crate) step_ms: i64,
    /// The step of subqueries that name none.
    pub(crate) subquery_step_ms: i64,
}

/// The nodes of `expr`.
pub(crate) fn lower(expr: &Expr, times: Times) -> Result<Node> {
    let mut expr = expr.clone();
    let query = QueryTimes { step_ms: times.step_ms, range_ms: times.end_ms.saturating_sub(times.start_ms) };
    resolve_durations(&mut expr, query)?;
    node(&expr, times)
}

fn node(expr: &Expr, times: Times) -> Result<Node> {
    let kind = match expr {
        Expr::Number(e) => Kind::Number(e.value),
        Expr::String(e) => Kind::String(e.value.clone()),
        Expr::Vector(e) => Kind::Vector(Box::new(selector(e, times)?)),
        Expr::Matrix(e) => Kind::Matrix(Box::new(Matrix {
            selector: selector(&e.selector, times)?,
            range_ms: millis(&e.range)?,
        })),
        Expr::Subquery(e) => subquery(e, times)?,
        Expr::Paren(e) => return node(&e.expr, times),
        Expr::Unary(e) if e.op == UnaryOp::Minus => Kind::Negate(Box::new(node(&e.expr, times)?)),
        Expr::Unary(e) => return node(&e.expr, times),
        Expr::Binary(e) => binary(e, times)?,
        Expr::Aggregate(e) => aggregate(e, times)?,
        Expr::Call(e) => call(e, times)?,
    };
    Ok(Node { kind, pos: expr.pos() })
}

fn selector(e: &ast::VectorSelector, times: Times) -> Result<Selector> {
    Ok(Selector {
        matchers: e.matchers.clone().into(),
        place: Place { at_ms: at(e.at, times), offset_ms: millis(&e.offset)? },
        mode: e.mode,
        func: None,
        aspect: Aspect::default(),
        stats_only: false,
        grouping: None,
    })
}

fn subquery(e: &ast::SubqueryExpr, times: Times) -> Result<Kind> {
    let step_ms = match &e.step {
        Some(step) => millis(step)?,
        None => times.subquery_step_ms,
    };
    Ok(Kind::Subquery(Box::new(Subquery {
        expr: node(&e.expr, times)?,
        range_ms: millis(&e.range)?,
        step_ms: if step_ms == 0 { times.subquery_step_ms } else { step_ms },
        place: Place { at_ms: at(e.at, times), offset_ms: millis(&e.offset)? },
    })))
}

fn binary(e: &ast::BinaryExpr, times: Times) -> Result<Kind> {
    Ok(Kind::Binary(Box::new(Binary {
        op: e.op,
        lhs: node(&e.lhs, times)?,
        rhs: node(&e.rhs, times)?,
        return_bool: e.return_bool,
        matching: e.matching.as_deref().cloned(),
    })))
}

fn aggregate(e: &ast::AggregateExpr, times: Times) -> Result<Kind> {
    let mut grouping = e.grouping.clone();
    grouping.sort_unstable();
    Ok(Kind::Aggregate(Box::new(Aggregate {
        op: e.op,
        expr: node(&e.expr, times)?,
        param: e.param.as_ref().map(|p| node(p, times)).transpose()?,
        grouping,
        without: e.without,
    })))
}

fn call(e: &ast::Call, times: Times) -> Result<Kind> {
    let seconds = |ms: i64| ms as f64 / 1000.0;
    Ok(match e.func.name {
        "start" => Kind::Number(seconds(times.start_ms)),
        "end" => Kind::Number(seconds(times.end_ms)),
        "range" => Kind::Number(seconds(times.end_ms.saturating_sub(times.start_ms))),
        "step" if times.start_ms == times.end_ms => Kind::Number(0.0),
        "step" => Kind::Number(seconds(times.step_ms)),
        _ => {
            let args = e.args.iter().map(|arg| node(arg, times)).collect::<Result<_>>()?;
            Kind::Call(Box::new(Call { func: e.func, args }))
        }
    })
}

fn at(at: Option<At>, times: Times) -> Option<i64> {
    at.map(|at| match at {
        At::TimestampMs(ms) => ms,
        At::Start => times.start_ms,
        At::End => times.end_ms,
    })
}

fn millis(duration: &DurationArg) -> Result<i64> {
    duration.as_ms().ok_or_else(|| Error::invalid("a duration of the query was not resolved"))
}
