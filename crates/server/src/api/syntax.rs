//! `format_query` and `parse_query`: a query's text laid out, and its tree.

use super::Api;
use super::answer::Answer;
use super::error::{ApiError, ApiResult};
use super::params::Params;
use axum::extract::State;
use nilometer_model::Matcher;
use nilometer_promql::ast::{
    At, BinaryExpr, Call, DurationArg, Expr, NumberLiteral, SubqueryExpr, VectorSelector,
};
use nilometer_promql::duration::{DurationExpr, DurationKind};
use nilometer_promql::functions::Variadic;
use serde_json::{Value, json};
use std::sync::Arc;

/// `GET` and `POST /format_query`.
pub(crate) async fn format(State(api): State<Arc<Api>>, params: Params) -> ApiResult<Answer> {
    let text = parsed(&api, params, |expr| Ok(expr.pretty()?)).await?;
    Ok(Answer::json(&Value::String(text)))
}

/// `GET` and `POST /parse_query`.
pub(crate) async fn tree(State(api): State<Arc<Api>>, params: Params) -> ApiResult<Answer> {
    parsed(&api, params, |expr| Ok(Answer::json(&node(expr)))).await
}

async fn parsed<T: Send + 'static>(
    api: &Arc<Api>,
    params: Params,
    then: impl FnOnce(&Expr) -> ApiResult<T> + Send + 'static,
) -> ApiResult<T> {
    let engine = api.engine.clone();
    let work = async move {
        let expr = engine.parse(params.get("query")).map_err(|e| ApiError::parameter("query", e))?;
        then(&expr)
    };
    api.compute(None, work).await
}

/// The tree that Prometheus' own pages draw.
fn node(expr: &Expr) -> Value {
    match expr {
        Expr::Number(e) => json!({ "type": "numberLiteral", "val": plain(e.value) }),
        Expr::String(e) => json!({ "type": "stringLiteral", "val": e.to_str_lossy() }),
        Expr::Vector(e) => selector("vectorSelector", e),
        Expr::Matrix(e) => {
            let mut tree = selector("matrixSelector", &e.selector);
            tree["range"] = e.range.as_ms().unwrap_or(0).into();
            tree["rangeExpr"] = duration(&e.range);
            tree
        }
        Expr::Subquery(e) => subquery(e),
        Expr::Paren(e) => json!({ "type": "parenExpr", "expr": node(&e.expr) }),
        Expr::Unary(e) => json!({ "type": "unaryExpr", "op": e.op.as_str(), "expr": node(&e.expr) }),
        Expr::Binary(e) => binary(e),
        Expr::Aggregate(e) => json!({
            "type": "aggregation",
            "op": e.op.as_str(),
            "expr": node(&e.expr),
            "param": e.param.as_ref().map(node),
            "grouping": e.grouping,
            "without": e.without,
        }),
        Expr::Call(e) => call(e),
    }
}

fn selector(kind: &str, e: &VectorSelector) -> Value {
    json!({
        "type": kind,
        "name": e.name,
        "offset": e.offset.as_ms().unwrap_or(0),
        "offsetExpr": duration(&e.offset),
        "matchers": e.matchers.iter().map(matcher).collect::<Vec<_>>(),
        "timestamp": timestamp(e.at),
        "startOrEnd": start_or_end(e.at),
        "anchored": e.mode == Some(nilometer_promql::ast::RangeMode::Anchored),
        "smoothed": e.mode == Some(nilometer_promql::ast::RangeMode::Smoothed),
    })
}

fn subquery(e: &SubqueryExpr) -> Value {
    let step = e.step.as_ref();
    json!({
        "type": "subquery",
        "expr": node(&e.expr),
        "range": e.range.as_ms().unwrap_or(0),
        "rangeExpr": duration(&e.range),
        "offset": e.offset.as_ms().unwrap_or(0),
        "offsetExpr": duration(&e.offset),
        "step": step.and_then(DurationArg::as_ms).unwrap_or(0),
        "stepExpr": step.map_or(Value::Null, duration),
        "timestamp": timestamp(e.at),
        "startOrEnd": start_or_end(e.at),
    })
}

fn binary(e: &BinaryExpr) -> Value {
    let matching = e.matching.as_ref().map(|m| {
        json!({
            "card": m.card.as_str(),
            "labels": m.labels,
            "on": m.on,
            "include": m.include,
            "fillValues": { "lhs": m.fill.lhs, "rhs": m.fill.rhs },
        })
    });
    json!({
        "type": "binaryExpr",
        "op": e.op.as_str(),
        "lhs": node(&e.lhs),
        "rhs": node(&e.rhs),
        "matching": matching,
        "bool": e.return_bool,
    })
}

fn call(e: &Call) -> Value {
    let variadic = match e.func.variadic {
        Variadic::No => 0,
        Variadic::UpTo(count) => i64::from(count),
        Variadic::Any => -1,
    };
    json!({
        "type": "call",
        "func": {
            "name": e.func.name,
            "argTypes": e.func.args.iter().map(|kind| kind.as_str()).collect::<Vec<_>>(),
            "variadic": variadic,
            "returnType": e.func.returns.as_str(),
        },
        "args": e.args.iter().map(node).collect::<Vec<_>>(),
    })
}

fn matcher(m: &Matcher) -> Value {
    json!({ "name": *m.name, "value": *m.value, "type": m.kind.as_str() })
}

fn timestamp(at: Option<At>) -> Option<i64> {
    match at {
        Some(At::TimestampMs(t_ms)) => Some(t_ms),
        _ => None,
    }
}

fn start_or_end(at: Option<At>) -> Option<&'static str> {
    match at {
        Some(At::Start) => Some("start"),
        Some(At::End) => Some("end"),
        _ => None,
    }
}

/// A duration that is written as arithmetic; of a plain one its milliseconds stand elsewhere.
fn duration(arg: &DurationArg) -> Value {
    match arg {
        DurationArg::Ms(_) => Value::Null,
        DurationArg::Expr(e) => duration_node(e),
    }
}

fn duration_node(e: &DurationExpr) -> Value {
    let (op, lhs, rhs) = match &e.kind {
        DurationKind::Literal(NumberLiteral { value, duration, .. }) => {
            return json!({ "type": "numberLiteral", "val": plain(*value), "duration": duration });
        }
        DurationKind::Step => ("step", Value::Null, Value::Null),
        DurationKind::Range => ("range", Value::Null, Value::Null),
        DurationKind::Negative(inner) => ("-", Value::Null, duration_node(inner)),
        DurationKind::Binary(op, lhs, rhs) => (op.as_str(), duration_node(lhs), duration_node(rhs)),
    };
    json!({ "type": "durationExpr", "op": op, "lhs": lhs, "rhs": rhs, "wrapped": e.wrapped })
}

/// Go's shortest digits without an exponent.
fn plain(v: f64) -> String {
    let mut out = Vec::new();
    super::json::push_scalar(&mut out, v);
    String::from_utf8_lossy(&out).trim_matches('"').to_owned()
}
