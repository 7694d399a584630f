//! Tree to text: Prometheus' own form, which parses back to the same tree (positions aside, and with
//! matchers in order).
//!
//! Where Prometheus' printer gives text that does not parse, ours differs: `{}` for a selector without
//! matchers, quotes around labels that would be read as keywords or numbers, `-0s`, and ranges of less
//! than a millisecond.

mod pretty;

use crate::ast::{
    AggregateExpr, At, BinaryExpr, BinaryOp, Cardinality, DurationArg, Expr, MatrixSelector, NumberLiteral,
    SubqueryExpr, VectorMatching, VectorSelector,
};
use crate::duration::{DurationExpr, DurationKind, DurationOp, format_duration};
use crate::lex::is_label_word;
use crate::quote::push_quoted;
use nilometer_model::Matcher;
use nilometer_model::number::{plain, scientific};
use std::fmt::{self, Write};

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Printer::default().print(self).out)
    }
}

impl fmt::Display for DurationExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        duration(&mut out, self);
        f.write_str(&out)
    }
}

/// Writes trees on one line.
#[derive(Default)]
struct Printer {
    out: String,
    /// Where each expression's text is, in the order in which they begin, if that is asked for.
    spans: Option<Vec<Span>>,
}

#[derive(Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
    /// The index behind those of the expressions inside.
    next: usize,
}

impl Printer {
    fn print(mut self, e: &Expr) -> Self {
        self.expr(e, false);
        self
    }

    /// `arithmetic` says that an arithmetic operator follows, which would be taken for a part of an
    /// offset in parentheses.
    fn expr(&mut self, e: &Expr, arithmetic: bool) {
        let Some(spans) = &mut self.spans else { return self.node(e, arithmetic) };
        let (index, start) = (spans.len(), self.out.len());
        spans.push(Span { start, end: start, next: index });
        self.node(e, arithmetic);
        let end = self.out.len();
        if let Some(spans) = &mut self.spans {
            spans[index] = Span { start, end, next: spans.len() };
        }
    }

    fn node(&mut self, e: &Expr, arithmetic: bool) {
        let out = &mut self.out;
        match e {
            Expr::Number(e) => number(out, e),
            Expr::String(e) => push_quoted(out, &e.value),
            Expr::Vector(e) => vector(out, e, arithmetic),
            Expr::Matrix(e) => matrix(out, e, arithmetic),
            Expr::Subquery(e) => {
                self.expr(&e.expr, false);
                subquery_suffix(&mut self.out, e, arithmetic);
            }
            Expr::Paren(e) => {
                out.push('(');
                self.expr(&e.expr, false);
                self.out.push(')');
            }
            Expr::Unary(e) => {
                out.push_str(e.op.as_str());
                self.expr(&e.expr, arithmetic);
            }
            Expr::Binary(e) => {
                match &e.lhs {
                    // A sign here would be taken for one of the whole power, which it binds weaker than.
                    Expr::Number(n) if e.op == BinaryOp::Pow && n.value == f64::INFINITY => {
                        self.unsigned_infinity()
                    }
                    lhs => self.expr(lhs, is_arithmetic(e.op)),
                }
                self.out.push(' ');
                operator(&mut self.out, e);
                self.out.push(' ');
                self.expr(&e.rhs, arithmetic);
            }
            Expr::Aggregate(e) => {
                aggregation(out, e);
                self.arguments(e.param.iter().chain([&e.expr]));
            }
            Expr::Call(e) => {
                out.push_str(e.func.name);
                self.arguments(e.args.iter());
            }
        }
    }

    fn unsigned_infinity(&mut self) {
        let start = self.out.len();
        self.out.push_str("Inf");
        let end = self.out.len();
        if let Some(spans) = &mut self.spans {
            spans.push(Span { start, end, next: spans.len() + 1 });
        }
    }

    fn arguments<'a>(&mut self, args: impl Iterator<Item = &'a Expr>) {
        self.out.push('(');
        for (at, arg) in args.enumerate() {
            self.out.push_str(if at > 0 { ", " } else { "" });
            self.expr(arg, false);
        }
        self.out.push(')');
    }
}

fn is_arithmetic(op: BinaryOp) -> bool {
    op.precedence() >= BinaryOp::Add.precedence() && op != BinaryOp::Atan2
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
        _ => out.push_str(&plain(value)),
    }
}

/// With an exponent where that is shorter, as Go's `%v`.
fn short_float(out: &mut String, value: f64) {
    if !value.is_finite() || value == 0.0 || (1e-4..1e21).contains(&value.abs()) {
        return float(out, value);
    }
    out.push_str(&scientific(value));
}

fn vector(out: &mut String, e: &VectorSelector, arithmetic: bool) {
    series(out, e);
    at(out, e.at);
    mode(out, e);
    offset(out, &e.offset, arithmetic);
}

fn matrix(out: &mut String, e: &MatrixSelector, arithmetic: bool) {
    series(out, &e.selector);
    out.push('[');
    positive(out, &e.range);
    out.push(']');
    mode(out, &e.selector);
    at(out, e.selector.at);
    offset(out, &e.selector.offset, arithmetic);
}

/// All but the expression inside.
fn subquery_suffix(out: &mut String, e: &SubqueryExpr, arithmetic: bool) {
    out.push('[');
    positive(out, &e.range);
    out.push(':');
    if let Some(step) = &e.step {
        positive(out, step);
    }
    out.push(']');
    at(out, e.at);
    offset(out, &e.offset, arithmetic);
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

fn offset(out: &mut String, arg: &DurationArg, arithmetic: bool) {
    match arg {
        DurationArg::Ms(0) => {}
        DurationArg::Ms(ms) => push(out, format_args!(" offset {}", format_duration(*ms))),
        DurationArg::Expr(e) => {
            out.push_str(" offset ");
            // `a offset (1m) + 1` is all offset; a sign ends it at the parenthesis.
            out.push_str(if arithmetic && e.wrapped { "+" } else { "" });
            duration(out, e);
        }
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

/// The operator with its modifiers.
fn operator(out: &mut String, e: &BinaryExpr) {
    out.push_str(e.op.as_str());
    if e.return_bool {
        out.push_str(" bool");
    }
    if let Some(m) = e.matching.as_deref() {
        matching(out, m);
    }
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
