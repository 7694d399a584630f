//! From a query's tree to what has to be computed.
//!
//! 1. [`lower`]: the tree as logical nodes, with all times resolved: `@`, offsets, `start()` and its kin.
//! 2. Passes over the nodes, one file each: [`fold`] computes what is constant, [`invariant`] finds what is
//!    the same at all steps, [`hints`] tells selectors what is done with them, [`aspect`] what of
//!    downsampled series that needs, [`stats`] finds where buckets of native histograms are not looked at.
//! 3. [`build`](crate::exec::build): nodes to operators.
//!
//! A plan belongs to one evaluation: its times are those of the query.

pub(crate) mod aspect;
pub(crate) mod fold;
pub(crate) mod hints;
pub(crate) mod invariant;
pub(crate) mod lower;
pub(crate) mod resolution;
pub(crate) mod stats;

use crate::ast::{AggregateOp, BinaryOp, PosRange, RangeMode, ValueType, VectorMatching};
use crate::exec::window::Place;
use crate::functions::Function;
use aspect::Aspect;
use nilometer_model::Matcher;
use nilometer_storage::{Func, Grouping};
use std::sync::Arc;

/// One step of the computation.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) pos: PosRange,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Number(f64),
    String(Vec<u8>),
    Vector(Box<Selector>),
    Matrix(Box<Matrix>),
    Subquery(Box<Subquery>),
    Negate(Box<Node>),
    Binary(Box<Binary>),
    Aggregate(Box<Aggregate>),
    Call(Box<Call>),
    /// Evaluated once, at the first step, and repeated for all.
    Invariant(Box<Node>),
}

#[derive(Clone, Debug)]
pub(crate) struct Selector {
    pub(crate) matchers: Arc<[Matcher]>,
    pub(crate) place: Place,
    pub(crate) mode: Option<RangeMode>,
    /// The function or aggregation around it.
    pub(crate) func: Option<Func>,
    /// What of downsampled series is looked at.
    pub(crate) aspect: Aspect,
    /// Only sums and counts of native histograms are looked at: see [`stats`].
    pub(crate) stats_only: bool,
    pub(crate) grouping: Option<Grouping>,
}

#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    pub(crate) selector: Selector,
    pub(crate) range_ms: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Subquery {
    pub(crate) expr: Node,
    pub(crate) range_ms: i64,
    pub(crate) step_ms: i64,
    pub(crate) place: Place,
}

#[derive(Clone, Debug)]
pub(crate) struct Binary {
    pub(crate) op: BinaryOp,
    pub(crate) lhs: Node,
    pub(crate) rhs: Node,
    pub(crate) return_bool: bool,
    pub(crate) matching: Option<VectorMatching>,
}

#[derive(Clone, Debug)]
pub(crate) struct Aggregate {
    pub(crate) op: AggregateOp,
    pub(crate) expr: Node,
    pub(crate) param: Option<Node>,
    /// Sorted.
    pub(crate) grouping: Vec<String>,
    pub(crate) without: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) func: &'static Function,
    pub(crate) args: Vec<Node>,
}

impl Node {
    pub(crate) fn value_type(&self) -> ValueType {
        match &self.kind {
            Kind::Number(_) => ValueType::Scalar,
            Kind::String(_) => ValueType::String,
            Kind::Vector(_) | Kind::Aggregate(_) => ValueType::Vector,
            Kind::Matrix(_) | Kind::Subquery(_) => ValueType::Matrix,
            Kind::Negate(e) | Kind::Invariant(e) => e.value_type(),
            Kind::Binary(b) if b.lhs.is_scalar() && b.rhs.is_scalar() => ValueType::Scalar,
            Kind::Binary(_) => ValueType::Vector,
            Kind::Call(c) => c.func.returns,
        }
    }

    pub(crate) fn is_scalar(&self) -> bool {
        self.value_type() == ValueType::Scalar
    }

    /// The nodes right below.
    pub(crate) fn children_mut(&mut self) -> Vec<&mut Node> {
        match &mut self.kind {
            Kind::Number(_) | Kind::String(_) | Kind::Vector(_) | Kind::Matrix(_) => Vec::new(),
            Kind::Subquery(s) => vec![&mut s.expr],
            Kind::Negate(e) | Kind::Invariant(e) => vec![e],
            Kind::Binary(b) => vec![&mut b.lhs, &mut b.rhs],
            Kind::Aggregate(a) => std::iter::once(&mut a.expr).chain(&mut a.param).collect(),
            Kind::Call(c) => c.args.iter_mut().collect(),
        }
    }
}
