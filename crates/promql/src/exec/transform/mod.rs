//! Functions that need all series of a vector, or make a vector or scalar of something else.

pub(crate) mod buckets;
pub(crate) mod labels;

use super::grid::Grid;
use super::stage::ScalarRef;
use super::table::{Cell, Scalars, StepSeries, is_absent};
use super::{Context, Operator, Output, SlotId, Slots};
use crate::annotations::Note;
use crate::ast::{BinaryOp, PosRange};
use crate::exec::binary::arithmetic::scalar_op;
use crate::func::{absent, scalar, sort, time};
use nilometer_model::{Labels, Result};

/// `absent(v)`, and `absent_over_time(v)` of what is present.
pub(crate) struct Absent {
    pub(crate) input: SlotId,
    pub(crate) labels: Labels,
    pub(crate) grid: Grid,
    /// Only marked where the removal of names is delayed.
    pub(crate) drop_name: bool,
}

impl Operator for Absent {
    fn run(&self, slots: &mut Slots, _cx: &mut Context) -> Result<Output> {
        let input = slots.take_vector(self.input)?;
        let mut series = absent::absent(&input, self.labels.clone(), self.grid.len);
        series.drop_name = self.drop_name;
        Ok(Output::Vector(if series.has_any() { vec![series] } else { Vec::new() }))
    }
}

/// `scalar(v)`: the value of the only series.
pub(crate) struct ScalarOf {
    pub(crate) input: SlotId,
    pub(crate) grid: Grid,
}

impl Operator for ScalarOf {
    fn run(&self, slots: &mut Slots, _cx: &mut Context) -> Result<Output> {
        let input = slots.take_vector(self.input)?;
        let at = |step: usize| {
            let mut values = input.iter().map(|s| s.floats[step]).filter(|v| !is_absent(*v));
            match (values.next(), values.next()) {
                (Some(v), None) => v,
                _ => f64::NAN,
            }
        };
        Ok(Output::Scalar(Scalars::Each((0..self.grid.len).map(at).collect())))
    }
}

/// `vector(s)`, and whatever else is one series without labels.
pub(crate) struct VectorOf {
    pub(crate) input: ScalarRef,
    pub(crate) grid: Grid,
}

impl Operator for VectorOf {
    fn run(&self, slots: &mut Slots, _cx: &mut Context) -> Result<Output> {
        let mut input = self.input.clone();
        input.resolve(slots)?;
        let mut series = StepSeries::new(Labels::empty(), self.grid.len);
        series.floats = (0..self.grid.len).map(|step| input.at(step)).collect();
        Ok(Output::Vector(vec![series]))
    }
}

/// A function of two scalars.
pub(crate) struct ScalarBinary {
    pub(crate) func: ScalarFunc,
    pub(crate) lhs: ScalarRef,
    pub(crate) rhs: ScalarRef,
    pub(crate) grid: Grid,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum ScalarFunc {
    Op(BinaryOp),
    Named(&'static str),
}

impl ScalarFunc {
    pub(crate) fn of(self, a: f64, b: f64) -> f64 {
        match self {
            ScalarFunc::Op(op) => scalar_op(op, a, b),
            ScalarFunc::Named(name) => scalar::of_scalars(name, &[a, b]).unwrap_or(f64::NAN),
        }
    }
}

impl Operator for ScalarBinary {
    fn run(&self, slots: &mut Slots, _cx: &mut Context) -> Result<Output> {
        let (mut lhs, mut rhs) = (self.lhs.clone(), self.rhs.clone());
        lhs.resolve(slots)?;
        rhs.resolve(slots)?;
        let each = (0..self.grid.len).map(|step| self.func.of(lhs.at(step), rhs.at(step)));
        Ok(Output::Scalar(Scalars::Each(each.collect())))
    }
}

/// One step for all.
pub(crate) struct Repeat {
    pub(crate) input: SlotId,
    pub(crate) grid: Grid,
}

impl Operator for Repeat {
    fn run(&self, slots: &mut Slots, cx: &mut Context) -> Result<Output> {
        let steps = self.grid.len;
        let mut series = match slots.take(self.input) {
            Some(Output::Scalar(scalars)) => return Ok(Output::Scalar(Scalars::Same(scalars.at(0)))),
            Some(Output::Vector(series)) => series,
            Some(other) => return Ok(other),
            None => Vec::new(),
        };
        cx.budget.check(series.len() * steps, series.len() * steps * 8)?;
        for one in &mut series {
            one.floats = vec![one.floats[0]; steps];
            if let Some(h) = one.histograms.first().cloned() {
                one.histograms = vec![h; steps];
            }
        }
        Ok(Output::Vector(series))
    }
}

/// `sort` and its kin.
pub(crate) struct Sort {
    pub(crate) input: SlotId,
    pub(crate) by: SortBy,
    pub(crate) descending: bool,
    pub(crate) pos: PosRange,
    pub(crate) grid: Grid,
}

pub(crate) enum SortBy {
    Value,
    Labels(Vec<String>),
}

impl Operator for Sort {
    fn run(&self, slots: &mut Slots, cx: &mut Context) -> Result<Output> {
        let mut series = slots.take_vector(self.input)?;
        if self.grid.len > 1 {
            cx.notes.add(&Note::SortInRangeQuery, self.pos);
            if matches!(self.by, SortBy::Value) {
                series.iter_mut().for_each(|s| s.histograms = Vec::new());
                series.retain(StepSeries::has_any);
            }
            return Ok(Output::Vector(series));
        }
        match &self.by {
            SortBy::Value => sort::by_value(&mut series, self.descending),
            SortBy::Labels(labels) => sort::by_labels(&mut series, labels, self.descending),
        }
        Ok(Output::Vector(series))
    }
}

/// Part of the date at each step: `hour()` without an argument.
pub(crate) fn date_of_steps(part: time::Part, grid: Grid) -> Scalars {
    // Go's division, towards zero.
    Scalars::Each(grid.times().map(|t| part.of_whole_seconds(t / 1000)).collect())
}

/// The cells of all series at one step.
pub(crate) fn present_at(series: &[StepSeries], step: usize) -> impl Iterator<Item = (usize, Cell<'_>)> {
    series.iter().enumerate().filter_map(move |(at, s)| match s.cell(step) {
        Cell::None => None,
        cell => Some((at, cell)),
    })
}
