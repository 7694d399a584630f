//! Tree to text: Prometheus' own form, which parses back to the same tree (positions aside, and with
//! matchers in order).
//!
//! Where Prometheus' printer gives text that does not parse, ours differs: `{}` for a selector without
//! matchers, quotes around labels that would be read as keywords or numbers, `-0s`, and ranges of less
//! than a millisecond.

use crate::ast::{
    AggregateExpr, At, BinaryExpr, BinaryOp, Cardinality, DurationArg, Expr, MatrixSelector, NumberLiteral,
    SubqueryExpr, VectorMatching, VectorSelector,
};
use crate::duration::{DurationExpr, DurationKind, DurationOp, format_duration};
use crate::lex::is_label_word;
use crate::quote::push_quoted;
use nilometer_model::Matcher;
use std::fmt::{self, Write};

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        expr(&mut out, self);
        f.write_str(&out)
    }
}

impl fmt::Display for DurationExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        duration(&mut out, self);
        f.write_str(&out)
    }
}

impl fmt::Display for VectorSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        vector(&mut out, self);
        f.write_str(&out)
    }
}

fn expr(out: &mut String, e: &Expr) {
    match e {
        Expr::Number(e) => number(out, e),
        Expr::String(e) => push_quoted(out, &e.value),
        Expr::Vector(e) => vector(out, e),
        Expr::Matrix(e) => matrix(out, e),
        Expr::Subquery(e) => {
            expr(out, &e.expr);
            subquery_suffix(out, e);
        }
        Expr::Paren(e) => {
            out.push('(');
            expr(out, &e.expr);
            out.push(')');
        }
        Expr::Unary(e) => {
            out.push_str(e.op.as_str());
            expr(out, &e.expr);
        }
        Expr::Binary(e) => {
            expr(out, &e.lhs);
            close_offset(out, e);
            operator(out, e);
            expr(out, &e.rhs);
        }
        Expr::Aggregate(e) => {
            aggregation(out, e);
            out.push('(');
            if let Some(param) = &e.param {
                expr(out, param);
                out.push_str(", ");
            }
            expr(out, &e.expr);
            out.push(')');
        }
        Expr::Call(e) => {
            out.push_str(e.func.name);
            out.push('(');
            for (at, arg) in e.args.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                expr(out, arg);
            }
            out.push(')');
        }
    }
}

fn number(out: &mut String, e: &NumberLiteral) {
    if !e.duration {
        return float(out, e.value);
    }
    if e.value.is_sign_negative() {
        out.push('-');
    }
    out.push_str(&format_duration((e.value.abs() * 1000.0).round() as i64));
}

/// All digits, as Go's `%f` with the shortest precision.
fn float(out: &mut String, value: f64) {
    match value {
        f64::INFINITY => out.push_str("+Inf"),
        f64::NEG_INFINITY => out.push_str("-Inf"),
        _ => push(out, format_args!("{value}")),
    }
}

/// With an exponent where that is shorter, as Go's `%v`.
fn short_float(out: &mut String, value: f64) {
    if !value.is_finite() || value == 0.0 || (1e-4..1e21).contains(&value.abs()) {
        return float(out, value);
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let sign = if exponent < 0 { '-' } else { '+' };
    push(out, format_args!("{digits}e{sign}{:02}", exponent.abs()));
}

fn vector(out: &mut String, e: &VectorSelector) {
    series(out, e);
    at(out, e.at);
    mode(out, e);
    offset(out, &e.offset);
}

fn matrix(out: &mut String, e: &MatrixSelector) {
    series(out, &e.selector);
    out.push('[');
    positive(out, &e.range);
    out.push(']');
    mode(out, &e.selector);
    at(out, e.selector.at);
    offset(out, &e.selector.offset);
}

fn subquery_suffix(out: &mut String, e: &SubqueryExpr) {
    out.push('[');
    positive(out, &e.range);
    out.push(':');
    if let Some(step) = &e.step {
        positive(out, step);
    }
    out.push(']');
    at(out, e.at);
    offset(out, &e.offset);
}

/// Name and matchers, these in the order of their text.
fn series(out: &mut String, e: &VectorSelector) {
    out.push_str(&e.name);
    let is_name = |m: &&Matcher| !e.name.is_empty() && *m == &Matcher::equal("__name__", &e.name);
    let mut matchers: Vec<String> = e.matchers.iter().filter(|m| !is_name(m)).map(matcher).collect();
    if matchers.is_empty() && !e.name.is_empty() {
        return;
    }
    matchers.sort_unstable();
    push(out, format_args!("{{{}}}", matchers.join(",")));
}

fn matcher(m: &Matcher) -> String {
    let mut out = String::new();
    if is_plain_label(&m.name) {
        out.push_str(&m.name);
    } else {
        push_quoted(&mut out, m.name.as_bytes());
    }
    out.push_str(m.kind.as_str());
    push_quoted(&mut out, m.value.as_bytes());
    out
}

fn at(out: &mut String, at: Option<At>) {
    match at {
        None => {}
        Some(At::Start) => out.push_str(" @ start()"),
        Some(At::End) => out.push_str(" @ end()"),
        Some(At::TimestampMs(ms)) => {
            let (sign, ms) = (if ms < 0 { "-" } else { "" }, ms.unsigned_abs());
            push(out, format_args!(" @ {sign}{}.{:03}", ms / 1000, ms % 1000));
        }
    }
}

fn mode(out: &mut String, e: &VectorSelector) {
    if let Some(mode) = e.mode {
        push(out, format_args!(" {}", mode.as_str()));
    }
}

fn offset(out: &mut String, arg: &DurationArg) {
    match arg {
        DurationArg::Ms(0) => {}
        DurationArg::Ms(ms) => push(out, format_args!(" offset {}", format_duration(*ms))),
        DurationArg::Expr(e) => {
            out.push_str(" offset ");
            duration(out, e);
        }
    }
}

/// Arithmetic behind an offset in parentheses would be taken for the offset's: `a offset (1m) + 1`. A sign
/// keeps it out.
fn close_offset(out: &mut String, e: &BinaryExpr) {
    let arithmetic = e.op.precedence() >= BinaryOp::Add.precedence() && e.op != BinaryOp::Atan2;
    if arithmetic
        && ends_in_wrapped_offset(&e.lhs)
        && let Some(at) = out.rfind(" offset (")
    {
        out.insert(at + " offset ".len(), '+');
    }
}

fn ends_in_wrapped_offset(e: &Expr) -> bool {
    let wrapped = |arg: &DurationArg| matches!(arg, DurationArg::Expr(e) if e.wrapped);
    match e {
        Expr::Vector(e) => wrapped(&e.offset),
        Expr::Matrix(e) => wrapped(&e.selector.offset),
        Expr::Subquery(e) => wrapped(&e.offset),
        Expr::Unary(e) => ends_in_wrapped_offset(&e.expr),
        Expr::Binary(e) => ends_in_wrapped_offset(&e.rhs),
        _ => false,
    }
}

fn positive(out: &mut String, arg: &DurationArg) {
    match arg {
        // What was cut to this was more than nothing.
        DurationArg::Ms(0) => out.push_str("0.0001"),
        DurationArg::Ms(ms) => out.push_str(&format_duration(*ms)),
        DurationArg::Expr(e) => duration(out, e),
    }
}

fn duration(out: &mut String, e: &DurationExpr) {
    out.push_str(if e.wrapped { "(" } else { "" });
    match &e.kind {
        DurationKind::Literal(literal) => number(out, literal),
        DurationKind::Step => out.push_str("step()"),
        DurationKind::Range => out.push_str("range()"),
        DurationKind::Negative(e) => {
            out.push('-');
            duration(out, e);
        }
        DurationKind::Binary(op @ (DurationOp::MinOf | DurationOp::MaxOf), lhs, rhs) => {
            push(out, format_args!("{}(", op.as_str()));
            duration(out, lhs);
            out.push_str(", ");
            duration(out, rhs);
            out.push(')');
        }
        DurationKind::Binary(op, lhs, rhs) => {
            duration(out, lhs);
            push(out, format_args!(" {} ", op.as_str()));
            duration(out, rhs);
        }
    }
    out.push_str(if e.wrapped { ")" } else { "" });
}

fn aggregation(out: &mut String, e: &AggregateExpr) {
    out.push_str(e.op.as_str());
    if e.without || !e.grouping.is_empty() {
        out.push_str(if e.without { " without " } else { " by " });
        labels(out, &e.grouping);
        out.push(' ');
    }
}

/// The operator with its modifiers and the blanks around.
fn operator(out: &mut String, e: &BinaryExpr) {
    push(out, format_args!(" {}", e.op.as_str()));
    if e.return_bool {
        out.push_str(" bool");
    }
    if let Some(m) = e.matching.as_deref() {
        matching(out, m);
    }
    out.push(' ');
}

fn matching(out: &mut String, m: &VectorMatching) {
    let group = match m.card {
        Cardinality::ManyToOne => Some(" group_left "),
        Cardinality::OneToMany => Some(" group_right "),
        _ => None,
    };
    if m.on || !m.labels.is_empty() || group.is_some() {
        out.push_str(if m.on { " on " } else { " ignoring " });
        labels(out, &m.labels);
    }
    if let Some(group) = group {
        out.push_str(group);
        labels(out, &m.include);
    }
    let both = m.fill.lhs.is_some() && m.fill.lhs.map(f64::to_bits) == m.fill.rhs.map(f64::to_bits);
    let sides = if both {
        [(" fill", m.fill.lhs), ("", None)]
    } else {
        [(" fill_left", m.fill.lhs), (" fill_right", m.fill.rhs)]
    };
    for (word, value) in sides {
        if let Some(value) = value {
            push(out, format_args!("{word} ("));
            short_float(out, value);
            out.push(')');
        }
    }
}

fn labels(out: &mut String, labels: &[String]) {
    out.push('(');
    for (at, label) in labels.iter().enumerate() {
        out.push_str(if at > 0 { ", " } else { "" });
        if is_plain_label(label) && is_label_word(label) {
            out.push_str(label);
        } else {
            push_quoted(out, label.as_bytes());
        }
    }
    out.push(')');
}

/// A label that needs no quotes.
fn is_plain_label(name: &str) -> bool {
    !name.is_empty()
        && !name.as_bytes()[0].is_ascii_digit()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn push(out: &mut String, text: fmt::Arguments<'_>) {
    // Writing to a `String` cannot fail.
    let _ = out.write_fmt(text);
}
