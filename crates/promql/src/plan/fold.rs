//! Computes at once what depends on neither data nor time.

use super::{Call, Kind, Node};
use crate::exec::binary::arithmetic::scalar_op;
use crate::func::scalar;

/// Replaces scalar expressions of numbers by their values, from the leaves up. Positions stay.
pub(crate) fn fold(node: &mut Node) {
    for child in node.children_mut() {
        fold(child);
    }
    let folded = match &node.kind {
        Kind::Negate(e) => number(e).map(|v| -v),
        Kind::Binary(b) => match (number(&b.lhs), number(&b.rhs)) {
            (Some(a), Some(c)) => Some(scalar_op(b.op, a, c)),
            _ => None,
        },
        Kind::Call(call) => constant(call),
        _ => None,
    };
    if let Some(v) = folded {
        node.kind = Kind::Number(v);
    }
}

fn constant(call: &Call) -> Option<f64> {
    let args: Vec<f64> = call.args.iter().map(number).collect::<Option<_>>()?;
    scalar::of_scalars(call.func.name, &args)
}

fn number(node: &Node) -> Option<f64> {
    match node.kind {
        Kind::Number(v) => Some(v),
        _ => None,
    }
}
