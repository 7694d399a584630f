//! `format_query` and `parse_query`: a query's text laid out, and its tree.
//!
//! The tree is the one that Prometheus' own pages draw. It is written straight from the parsed query, fields in
//! the order of their names: as deep as a query may be, every level is visited once.

use super::answer::{Answer, Written};
use super::error::{ApiError, ApiResult};
use super::json::{Escape, push_number, push_scalar, push_text, push_texts};
use super::params::Params;
use super::{Api, Reader};
use axum::extract::State;
use nilometer_model::Matcher;
use nilometer_promql::ast::{
    At, BinaryExpr, Call, DurationArg, Expr, RangeMode, SubqueryExpr, VectorMatching, VectorSelector,
};
use nilometer_promql::duration::{DurationExpr, DurationKind};
use nilometer_promql::functions::Variadic;
use std::sync::Arc;

/// `GET` and `POST /format_query`.
pub(crate) async fn format(State(api): State<Arc<Api>>, reader: Reader, params: Params) -> ApiResult<Answer> {
    written(&api, &reader, params, |out, expr| {
        push_text(out, &expr.pretty()?, Escape::Html);
        Ok(())
    })
    .await
}

/// `GET` and `POST /parse_query`.
pub(crate) async fn tree(State(api): State<Arc<Api>>, reader: Reader, params: Params) -> ApiResult<Answer> {
    written(&api, &reader, params, |out, expr| {
        push_node(out, expr);
        Ok(())
    })
    .await
}

async fn written(
    api: &Arc<Api>,
    reader: &Reader,
    params: Params,
    write: impl FnOnce(&mut Vec<u8>, &Expr) -> ApiResult<()> + Send + 'static,
) -> ApiResult<Answer> {
    let engine = api.engine.clone();
    let work = async move {
        let expr = engine.parse(params.get("query")).map_err(|e| ApiError::parameter("query", e))?;
        let mut out = Vec::new();
        write(&mut out, &expr)?;
        Ok(out)
    };
    Ok(Answer::new(Written(api.compute(reader.who(), None, work).await?)))
}

fn push_node(out: &mut Vec<u8>, expr: &Expr) {
    match expr {
        Expr::Number(e) => object(out, |o| {
            o.text("type", "numberLiteral");
            push_scalar(o.key("val"), e.value);
        }),
        Expr::String(e) => object(out, |o| {
            o.text("type", "stringLiteral");
            o.text("val", &e.to_str_lossy());
        }),
        Expr::Vector(e) => push_selector(out, e, None),
        Expr::Matrix(e) => push_selector(out, &e.selector, Some(&e.range)),
        Expr::Subquery(e) => push_subquery(out, e),
        Expr::Paren(e) => object(out, |o| {
            push_node(o.key("expr"), &e.expr);
            o.text("type", "parenExpr");
        }),
        Expr::Unary(e) => object(out, |o| {
            push_node(o.key("expr"), &e.expr);
            o.text("op", e.op.as_str());
            o.text("type", "unaryExpr");
        }),
        Expr::Binary(e) => push_binary(out, e),
        Expr::Aggregate(e) => object(out, |o| {
            push_node(o.key("expr"), &e.expr);
            push_texts(o.key("grouping"), &e.grouping);
            o.text("op", e.op.as_str());
            match &e.param {
                Some(param) => push_node(o.key("param"), param),
                None => o.null("param"),
            }
            o.text("type", "aggregation");
            o.bool("without", e.without);
        }),
        Expr::Call(e) => push_call(out, e),
    }
}

/// A selector of instants, or with `range` one of ranges.
fn push_selector(out: &mut Vec<u8>, e: &VectorSelector, range: Option<&DurationArg>) {
    object(out, |o| {
        o.bool("anchored", e.mode == Some(RangeMode::Anchored));
        push_matchers(o.key("matchers"), &e.matchers);
        o.text("name", &e.name);
        o.duration("offset", Some(&e.offset));
        if let Some(range) = range {
            o.duration("range", Some(range));
        }
        o.bool("smoothed", e.mode == Some(RangeMode::Smoothed));
        o.at(e.at);
        o.text("type", if range.is_some() { "matrixSelector" } else { "vectorSelector" });
    });
}

fn push_matchers(out: &mut Vec<u8>, matchers: &[Matcher]) {
    list(out, matchers, |out, m| {
        object(out, |o| {
            o.text("name", &m.name);
            o.text("type", m.kind.as_str());
            o.text("value", &m.value);
        });
    });
}

fn push_subquery(out: &mut Vec<u8>, e: &SubqueryExpr) {
    object(out, |o| {
        push_node(o.key("expr"), &e.expr);
        o.duration("offset", Some(&e.offset));
        o.duration("range", Some(&e.range));
        // `startOrEnd` comes before `step`, and `timestamp` behind it.
        o.start_or_end(e.at);
        o.duration("step", e.step.as_ref());
        o.timestamp(e.at);
        o.text("type", "subquery");
    });
}

fn push_binary(out: &mut Vec<u8>, e: &BinaryExpr) {
    object(out, |o| {
        o.bool("bool", e.return_bool);
        push_node(o.key("lhs"), &e.lhs);
        match &e.matching {
            Some(matching) => push_matching(o.key("matching"), matching),
            None => o.null("matching"),
        }
        o.text("op", e.op.as_str());
        push_node(o.key("rhs"), &e.rhs);
        o.text("type", "binaryExpr");
    });
}

fn push_matching(out: &mut Vec<u8>, m: &VectorMatching) {
    object(out, |o| {
        o.text("card", m.card.as_str());
        object(o.key("fillValues"), |o| {
            for (side, value) in [("lhs", m.fill.lhs), ("rhs", m.fill.rhs)] {
                match value {
                    Some(v) if v.is_finite() => push_number(o.key(side), v),
                    _ => o.null(side),
                }
            }
        });
        push_texts(o.key("include"), &m.include);
        push_texts(o.key("labels"), &m.labels);
        o.bool("on", m.on);
    });
}

fn push_call(out: &mut Vec<u8>, e: &Call) {
    object(out, |o| {
        list(o.key("args"), &e.args, push_node);
        object(o.key("func"), |o| {
            list(o.key("argTypes"), e.func.args, |out, kind| push_text(out, kind.as_str(), Escape::Html));
            o.text("name", e.func.name);
            o.text("returnType", e.func.returns.as_str());
            let variadic = match e.func.variadic {
                Variadic::No => 0,
                Variadic::UpTo(count) => i64::from(count),
                Variadic::Any => -1,
            };
            o.int("variadic", variadic);
        });
        o.text("type", "call");
    });
}

fn push_duration(out: &mut Vec<u8>, e: &DurationExpr) {
    let (op, lhs, rhs) = match &e.kind {
        DurationKind::Literal(number) => {
            return object(out, |o| {
                o.bool("duration", number.duration);
                o.text("type", "numberLiteral");
                push_scalar(o.key("val"), number.value);
            });
        }
        DurationKind::Step => ("step", None, None),
        DurationKind::Range => ("range", None, None),
        DurationKind::Negative(inner) => ("-", None, Some(inner)),
        DurationKind::Binary(op, lhs, rhs) => (op.as_str(), Some(lhs), Some(rhs)),
    };
    object(out, |o| {
        for (side, operand) in [("lhs", lhs), ("rhs", rhs)] {
            if side == "rhs" {
                o.text("op", op);
            }
            match operand {
                Some(operand) => push_duration(o.key(side), operand),
                None => o.null(side),
            }
        }
        o.text("type", "durationExpr");
        o.bool("wrapped", e.wrapped);
    });
}

fn list<T>(out: &mut Vec<u8>, items: &[T], mut push: impl FnMut(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(b']');
}

fn object(out: &mut Vec<u8>, fields: impl FnOnce(&mut Object<'_>)) {
    out.push(b'{');
    fields(&mut Object { out, begun: false });
    out.push(b'}');
}

/// The fields of an object, one after the other.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    begun: bool,
}

impl Object<'_> {
    /// Where the value is to be written.
    fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if std::mem::replace(&mut self.begun, true) {
            self.out.push(b',');
        }
        push_text(self.out, key, Escape::Html);
        self.out.push(b':');
        self.out
    }

    fn text(&mut self, key: &str, value: &str) {
        push_text(self.key(key), value, Escape::Html);
    }

    fn bool(&mut self, key: &str, value: bool) {
        self.key(key).extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn int(&mut self, key: &str, value: i64) {
        self.key(key).extend_from_slice(value.to_string().as_bytes());
    }

    fn null(&mut self, key: &str) {
        self.key(key).extend_from_slice(b"null");
    }

    /// Milliseconds, and the expression that they come from where one was written.
    fn duration(&mut self, key: &str, arg: Option<&DurationArg>) {
        self.int(key, arg.and_then(DurationArg::as_ms).unwrap_or(0));
        let key = format!("{key}Expr");
        match arg {
            Some(DurationArg::Expr(e)) => push_duration(self.key(&key), e),
            _ => self.null(&key),
        }
    }

    fn at(&mut self, at: Option<At>) {
        self.start_or_end(at);
        self.timestamp(at);
    }

    fn start_or_end(&mut self, at: Option<At>) {
        match at {
            Some(At::Start) => self.text("startOrEnd", "start"),
            Some(At::End) => self.text("startOrEnd", "end"),
            _ => self.null("startOrEnd"),
        }
    }

    fn timestamp(&mut self, at: Option<At>) {
        match at {
            Some(At::TimestampMs(t_ms)) => self.int("timestamp", t_ms),
            _ => self.null("timestamp"),
        }
    }
}
