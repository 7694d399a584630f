//! The tree of a query: what the parser makes, the printer writes and the plan is built from.
//!
//! Every [`Expr`] is one boxed node, so that a value of it is two words. Plain recursion over a tree is
//! safe everywhere (drop, clone, print, plan, evaluation), because the parser refuses trees higher than
//! [`MAX_DEPTH`](crate::parse::MAX_DEPTH); whoever builds trees by hand keeps to that limit.
//!
//! Durations are milliseconds (`_ms`), positions are bytes of the query's text.

mod op;
mod walk;

pub use op::{AggregateOp, BinaryOp, Cardinality, RangeMode, UnaryOp, ValueType};

use crate::duration::DurationExpr;
use crate::functions::Function;
use nilometer_model::Matcher;
use std::fmt;

/// Half-open range of bytes in the query's text: `start..end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PosRange {
    pub start: u32,
    pub end: u32,
}

impl PosRange {
    pub fn new(start: usize, end: usize) -> Self {
        let cut = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        PosRange { start: cut(start), end: cut(end) }
    }

    /// From the start of `self` to the end of `last`.
    #[must_use]
    pub fn to(self, last: PosRange) -> Self {
        PosRange { start: self.start, end: last.end }
    }

    /// Line and column of the start, both from 1, as Prometheus writes them in messages (`1:5`).
    /// The column counts bytes.
    pub fn line_column(self, query: &str) -> (usize, usize) {
        let before = query.as_bytes().get(..self.start as usize).unwrap_or(query.as_bytes());
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        (before.iter().filter(|b| **b == b'\n').count() + 1, before.len() - line_start + 1)
    }
}

/// An expression. `Display` writes it as Prometheus does, so that it parses back to the same tree.
#[derive(Clone, PartialEq)]
pub enum Expr {
    Number(Box<NumberLiteral>),
    String(Box<StringLiteral>),
    Vector(Box<VectorSelector>),
    Matrix(Box<MatrixSelector>),
    Subquery(Box<SubqueryExpr>),
    Paren(Box<ParenExpr>),
    Unary(Box<UnaryExpr>),
    Binary(Box<BinaryExpr>),
    Aggregate(Box<AggregateExpr>),
    Call(Box<Call>),
}

/// Equality is of bits, so that NaN equals itself.
#[derive(Clone, Debug)]
pub struct NumberLiteral {
    pub value: f64,
    /// Written as a duration (`5m`); `value` is its seconds. Only printing cares.
    pub duration: bool,
    pub pos: PosRange,
}

impl PartialEq for NumberLiteral {
    fn eq(&self, other: &Self) -> bool {
        self.value.to_bits() == other.value.to_bits()
            && self.duration == other.duration
            && self.pos == other.pos
    }
}

#[derive(Clone, PartialEq)]
pub struct StringLiteral {
    /// Unquoted. May be other than UTF-8: `"\xff"` is one byte.
    pub value: Vec<u8>,
    pub pos: PosRange,
}

impl StringLiteral {
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.value).ok()
    }

    /// With U+FFFD where the bytes are not UTF-8.
    pub fn to_str_lossy(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.value)
    }
}

impl fmt::Debug for StringLiteral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}@{:?}", self.to_str_lossy(), self.pos)
    }
}

/// The `@` modifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    TimestampMs(i64),
    /// `@ start()`: the start of the whole query's range.
    Start,
    /// `@ end()`
    End,
}

/// A duration in brackets or after `offset`.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationArg {
    Ms(i64),
    /// Depends on the query's range and step, or was written as arithmetic; see
    /// [`resolve_durations`](crate::duration::resolve_durations).
    Expr(Box<DurationExpr>),
}

impl DurationArg {
    pub const ZERO: DurationArg = DurationArg::Ms(0);

    /// The milliseconds, where they are known: always after
    /// [`resolve_durations`](crate::duration::resolve_durations).
    pub fn as_ms(&self) -> Option<i64> {
        match self {
            DurationArg::Ms(ms) => Some(*ms),
            DurationArg::Expr(_) => None,
        }
    }

    pub fn is_zero(&self) -> bool {
        matches!(self, DurationArg::Ms(0))
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct VectorSelector {
    /// The metric name written before the braces, else empty.
    pub name: String,
    /// All matchers, the one for `name` last. At least one does not match the empty value, unless
    /// `bypass_empty_check` is set.
    pub matchers: Vec<Matcher>,
    pub offset: DurationArg,
    pub at: Option<At>,
    pub mode: Option<RangeMode>,
    /// Set for the second argument of `info()`, whose matchers select labels, not series.
    pub bypass_empty_check: bool,
    pub pos: PosRange,
}

/// `foo[5m]`; `@`, `offset` and the range mode are the selector's.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSelector {
    pub selector: VectorSelector,
    pub range: DurationArg,
    pub pos: PosRange,
}

/// `expr[1h:5m]`
#[derive(Clone, Debug, PartialEq)]
pub struct SubqueryExpr {
    pub expr: Expr,
    pub range: DurationArg,
    /// `None`: the default evaluation interval.
    pub step: Option<DurationArg>,
    pub offset: DurationArg,
    pub at: Option<At>,
    pub pos: PosRange,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ParenExpr {
    pub expr: Expr,
    pub pos: PosRange,
}

/// Never of a plain number: the parser folds the sign into the literal.
#[derive(Clone, Debug, PartialEq)]
pub struct UnaryExpr {
    pub op: UnaryOp,
    pub expr: Expr,
    pub pos: PosRange,
}

#[derive(Clone, Debug, PartialEq)]
pub struct BinaryExpr {
    pub op: BinaryOp,
    pub lhs: Expr,
    pub rhs: Expr,
    /// `bool`: a comparison gives 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// Set exactly when both sides are instant vectors.
    pub matching: Option<Box<VectorMatching>>,
    pub pos: PosRange,
}

/// How the series of two vectors find each other.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorMatching {
    pub card: Cardinality,
    pub labels: Vec<String>,
    /// `on (labels)`; else `ignoring (labels)`.
    pub on: bool,
    /// The labels of `group_left` or `group_right`, taken over from the "one" side.
    pub include: Vec<String>,
    pub fill: FillValues,
}

/// What stands in for a series without partner, on either side. Equality is of bits.
#[derive(Clone, Copy, Debug, Default)]
pub struct FillValues {
    pub lhs: Option<f64>,
    pub rhs: Option<f64>,
}

impl FillValues {
    pub fn is_set(&self) -> bool {
        self.lhs.is_some() || self.rhs.is_some()
    }
}

impl PartialEq for FillValues {
    fn eq(&self, other: &Self) -> bool {
        let bits = |v: &FillValues| (v.lhs.map(f64::to_bits), v.rhs.map(f64::to_bits));
        bits(self) == bits(other)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct AggregateExpr {
    pub op: AggregateOp,
    pub expr: Expr,
    /// Set exactly when [`AggregateOp::param`] is.
    pub param: Option<Expr>,
    pub grouping: Vec<String>,
    /// `without (grouping)`; else `by (grouping)`, which is also the meaning of neither.
    pub without: bool,
    pub pos: PosRange,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub func: &'static Function,
    /// As many and of such types as `func` says.
    pub args: Vec<Expr>,
    pub pos: PosRange,
}

impl Expr {
    pub fn pos(&self) -> PosRange {
        match self {
            Expr::Number(e) => e.pos,
            Expr::String(e) => e.pos,
            Expr::Vector(e) => e.pos,
            Expr::Matrix(e) => e.pos,
            Expr::Subquery(e) => e.pos,
            Expr::Paren(e) => e.pos,
            Expr::Unary(e) => e.pos,
            Expr::Binary(e) => e.pos,
            Expr::Aggregate(e) => e.pos,
            Expr::Call(e) => e.pos,
        }
    }

    pub fn value_type(&self) -> ValueType {
        match self {
            Expr::Number(_) => ValueType::Scalar,
            Expr::String(_) => ValueType::String,
            Expr::Vector(_) | Expr::Aggregate(_) => ValueType::Vector,
            Expr::Matrix(_) | Expr::Subquery(_) => ValueType::Matrix,
            Expr::Call(e) => e.func.returns,
            Expr::Paren(e) => e.expr.value_type(),
            Expr::Unary(e) => e.expr.value_type(),
            Expr::Binary(e) => match (e.lhs.value_type(), e.rhs.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::Vector,
            },
        }
    }

    /// Without the parentheses around it.
    pub fn unwrap_parens(&self) -> &Expr {
        let mut expr = self;
        while let Expr::Paren(e) = expr {
            expr = &e.expr;
        }
        expr
    }
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Number(e) => fmt::Debug::fmt(e, f),
            Expr::String(e) => fmt::Debug::fmt(e, f),
            Expr::Vector(e) => fmt::Debug::fmt(e, f),
            Expr::Matrix(e) => fmt::Debug::fmt(e, f),
            Expr::Subquery(e) => fmt::Debug::fmt(e, f),
            Expr::Paren(e) => fmt::Debug::fmt(e, f),
            Expr::Unary(e) => fmt::Debug::fmt(e, f),
            Expr::Binary(e) => fmt::Debug::fmt(e, f),
            Expr::Aggregate(e) => fmt::Debug::fmt(e, f),
            Expr::Call(e) => fmt::Debug::fmt(e, f),
        }
    }
}
