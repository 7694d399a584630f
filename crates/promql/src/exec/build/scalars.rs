//! Scalars: known while building where they do not depend on data.

use super::super::stage::ScalarRef;
use super::super::table::Scalars;
use super::super::transform::{Repeat, ScalarBinary, ScalarFunc, ScalarOf};
use super::super::{Context, Operator, Output, Slots, bug};
use super::{Builder, Grid};
use crate::func::time::seconds;
use crate::plan::{Call, Kind, Node};
use nilometer_model::Result;

impl Builder {
    pub(super) fn scalar(&mut self, node: &Node, grid: Grid) -> Result<ScalarRef> {
        match &node.kind {
            Kind::Number(v) => Ok(ScalarRef::Known(Scalars::Same(*v))),
            Kind::Negate(e) => {
                let minus = ScalarRef::Known(Scalars::Same(-1.0));
                let operand = self.scalar(e, grid)?;
                Ok(self.scalar_binary(ScalarFunc::Op(crate::ast::BinaryOp::Mul), operand, minus, grid))
            }
            Kind::Binary(b) => {
                let (lhs, rhs) = (self.scalar(&b.lhs, grid)?, self.scalar(&b.rhs, grid)?);
                Ok(self.scalar_binary(ScalarFunc::Op(b.op), lhs, rhs, grid))
            }
            Kind::Invariant(e) if grid.len <= 1 => self.scalar(e, grid),
            Kind::Invariant(e) => {
                let once = Grid::single(grid.start_ms);
                let scope = self.scopes.once(self.scope, once);
                Ok(match self.within(scope, |this| this.scalar(e, once))? {
                    ScalarRef::Known(known) => ScalarRef::Known(Scalars::Same(known.at(0))),
                    ScalarRef::Slot(input) => ScalarRef::Slot(self.op(Repeat { input, grid })),
                })
            }
            Kind::Call(call) => self.scalar_call(call, grid),
            _ => Err(bug("a scalar")),
        }
    }

    fn scalar_call(&mut self, call: &Call, grid: Grid) -> Result<ScalarRef> {
        match (call.func.name, &call.args[..]) {
            ("time", []) => Ok(ScalarRef::Known(Scalars::Each(grid.times().map(seconds).collect()))),
            ("scalar", [v]) => {
                let open = self.vector(v, grid)?;
                let input = self.close(open);
                Ok(ScalarRef::Slot(self.op(ScalarOf { input, grid })))
            }
            (name @ ("max_of" | "min_of"), [a, b]) => {
                let (lhs, rhs) = (self.scalar(a, grid)?, self.scalar(b, grid)?);
                Ok(self.scalar_binary(ScalarFunc::Named(name), lhs, rhs, grid))
            }
            _ => Err(bug("a scalar function")),
        }
    }

    fn scalar_binary(&mut self, func: ScalarFunc, lhs: ScalarRef, rhs: ScalarRef, grid: Grid) -> ScalarRef {
        match (lhs, rhs) {
            (ScalarRef::Known(a), ScalarRef::Known(b)) => {
                ScalarRef::Known(a.map2(&b, grid.len, |a, b| func.of(a, b)))
            }
            (lhs, rhs) => ScalarRef::Slot(self.op(ScalarBinary { func, lhs, rhs, grid })),
        }
    }
}

/// A scalar that is the whole query.
pub(super) struct Known(pub(super) ScalarRef);

impl Operator for Known {
    fn run(&self, _slots: &mut Slots, _cx: &mut Context) -> Result<Output> {
        match &self.0 {
            ScalarRef::Known(scalars) => Ok(Output::Scalar(scalars.clone())),
            ScalarRef::Slot(_) => Err(bug("a known scalar")),
        }
    }
}

/// A string that is the whole query.
pub(super) struct Text(pub(super) Vec<u8>);

impl Operator for Text {
    fn run(&self, _slots: &mut Slots, _cx: &mut Context) -> Result<Output> {
        Ok(Output::String(self.0.clone()))
    }
}
