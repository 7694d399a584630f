//! One operator on two values.

use crate::annotations::{Annotations, Note, Operation};
use crate::ast::{BinaryOp, PosRange};
use crate::exec::table::Cell;
use crate::histogram::{self, Incompatible};
use nilometer_model::{CounterReset, FloatHistogram};
use std::sync::Arc;

/// Scalar with scalar: comparisons give 0 or 1.
pub(crate) fn scalar_op(op: BinaryOp, a: f64, b: f64) -> f64 {
    if op.is_comparison() { f64::from(comparison(op)(a, b)) } else { arithmetic(op)(a, b) }
}

/// The function of an operator that computes; of the others one that gives NaN.
pub(crate) fn arithmetic(op: BinaryOp) -> fn(f64, f64) -> f64 {
    match op {
        BinaryOp::Add => |a, b| a + b,
        BinaryOp::Sub => |a, b| a - b,
        BinaryOp::Mul => |a, b| a * b,
        BinaryOp::Div => |a, b| a / b,
        BinaryOp::Mod => |a, b| a % b,
        BinaryOp::Pow => crate::func::math::power,
        BinaryOp::Atan2 => f64::atan2,
        _ => |_, _| f64::NAN,
    }
}

/// The function of an operator that compares; of the others one that is never true.
pub(crate) fn comparison(op: BinaryOp) -> fn(f64, f64) -> bool {
    match op {
        BinaryOp::Eq => |a, b| a == b,
        BinaryOp::Ne => |a, b| a != b,
        BinaryOp::Lt => |a, b| a < b,
        BinaryOp::Le => |a, b| a <= b,
        BinaryOp::Gt => |a, b| a > b,
        BinaryOp::Ge => |a, b| a >= b,
        _ => |_, _| false,
    }
}

/// Two values of which at least one may be a histogram.
pub(crate) enum Operands<'a> {
    Floats(f64, f64),
    FloatHistogram(f64, &'a FloatHistogram),
    HistogramFloat(&'a FloatHistogram, f64),
    Histograms(&'a Arc<FloatHistogram>, &'a Arc<FloatHistogram>),
}

impl<'a> Operands<'a> {
    pub(crate) fn new(lhs: Cell<'a>, rhs: Cell<'a>) -> Option<Self> {
        Some(match (lhs, rhs) {
            (Cell::Float(a), Cell::Float(b)) => Operands::Floats(a, b),
            (Cell::Float(a), Cell::Histogram(b)) => Operands::FloatHistogram(a, b),
            (Cell::Histogram(a), Cell::Float(b)) => Operands::HistogramFloat(a, b),
            (Cell::Histogram(a), Cell::Histogram(b)) => Operands::Histograms(a, b),
            _ => return None,
        })
    }

    fn types(&self) -> (&'static str, &'static str) {
        match self {
            Operands::Floats(..) => ("float", "float"),
            Operands::FloatHistogram(..) => ("float", "histogram"),
            Operands::HistogramFloat(..) => ("histogram", "float"),
            Operands::Histograms(..) => ("histogram", "histogram"),
        }
    }
}

pub(crate) struct Computed {
    pub(crate) value: Computation,
    /// For comparisons: whether it holds.
    pub(crate) keep: bool,
}

pub(crate) enum Computation {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

impl Computation {
    pub(crate) fn as_cell(&self) -> Cell<'_> {
        match self {
            Computation::Float(v) => Cell::Float(*v),
            Computation::Histogram(h) => Cell::Histogram(h),
        }
    }
}

/// What there is to say about an operation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BinaryNote {
    Types(&'static str, &'static str),
    Buckets,
    ResetCollision(Operation),
    Reconciled(Operation),
}

impl BinaryNote {
    pub(crate) fn add_to(self, notes: &mut Annotations, op: BinaryOp, pos: PosRange) {
        let op = op.as_str();
        let note = match self {
            BinaryNote::Types(lhs, rhs) => Note::IncompatibleTypes { lhs, op, rhs },
            BinaryNote::Buckets => Note::IncompatibleBuckets { op },
            BinaryNote::ResetCollision(during) => Note::CounterResetCollision { during },
            BinaryNote::Reconciled(during) => Note::MismatchedCustomBuckets { during },
        };
        notes.add(&note, pos);
    }
}

/// The result, unless the two do not go together, and what there is to say.
pub(crate) fn binary_op(op: BinaryOp, operands: &Operands<'_>) -> (Option<Computed>, Option<BinaryNote>) {
    if let (BinaryOp::Add | BinaryOp::Sub, Operands::Histograms(a, b)) = (op, operands) {
        return sum(op, a, b);
    }
    match compute(op, operands) {
        Some(computed) => (Some(computed), None),
        None => {
            let (lhs, rhs) = operands.types();
            (None, Some(BinaryNote::Types(lhs, rhs)))
        }
    }
}

/// `None`: the operator does not know these types.
fn compute(op: BinaryOp, operands: &Operands<'_>) -> Option<Computed> {
    let scaled = |h: &FloatHistogram, f: fn(&mut FloatHistogram, f64), by: f64| {
        let mut h = h.clone();
        f(&mut h, by);
        Some(Computed { value: Computation::Histogram(Arc::new(h)), keep: true })
    };
    match (op, operands) {
        (BinaryOp::Mul, Operands::FloatHistogram(by, h) | Operands::HistogramFloat(h, by)) => {
            scaled(h, histogram::scale_compact, *by)
        }
        (BinaryOp::Div, Operands::HistogramFloat(h, by)) => scaled(h, histogram::divide_compact, *by),
        (BinaryOp::TrimUpper, Operands::HistogramFloat(h, at)) => scaled(h, histogram::trim_above, *at),
        (BinaryOp::TrimLower, Operands::HistogramFloat(h, at)) => scaled(h, histogram::trim_below, *at),
        (BinaryOp::Eq, Operands::Histograms(a, b)) => {
            Some(Computed { value: Computation::Histogram((*a).clone()), keep: histogram::equal(a, b) })
        }
        (BinaryOp::Ne, Operands::Histograms(a, b)) => {
            Some(Computed { value: Computation::Histogram((*a).clone()), keep: !histogram::equal(a, b) })
        }
        (_, Operands::Floats(a, b)) if op.is_comparison() => {
            Some(Computed { value: Computation::Float(*a), keep: comparison(op)(*a, *b) })
        }
        (_, Operands::Floats(a, b)) if !matches!(op, BinaryOp::TrimLower | BinaryOp::TrimUpper) => {
            Some(Computed { value: Computation::Float(arithmetic(op)(*a, *b)), keep: true })
        }
        _ => None,
    }
}

fn sum(op: BinaryOp, a: &FloatHistogram, b: &FloatHistogram) -> (Option<Computed>, Option<BinaryNote>) {
    let mut h = a.clone();
    let (done, during) = if op == BinaryOp::Add {
        (histogram::add(&mut h, b), Operation::Addition)
    } else {
        (histogram::subtract(&mut h, b), Operation::Subtraction)
    };
    let note = match done {
        Err(Incompatible) => return (None, Some(BinaryNote::Buckets)),
        // Prometheus tells this, and then has no result here.
        Ok(done) if done.reset_collision => return (None, Some(BinaryNote::ResetCollision(during))),
        Ok(done) => done.bounds_reconciled.then_some(BinaryNote::Reconciled(during)),
    };
    if op == BinaryOp::Sub {
        h.reset = CounterReset::Gauge;
    }
    histogram::compact(&mut h);
    (Some(Computed { value: Computation::Histogram(Arc::new(h)), keep: true }), note)
}
