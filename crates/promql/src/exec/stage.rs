//! What a flow does to one series on its way: arithmetic with a scalar, functions of one value.

use super::binary::arithmetic::{Operands, binary_op};
use super::grid::Grid;
use super::table::{ABSENT, Scalars, StepSeries, is_absent, without_metadata};
use super::{Context, SlotId, Slots};
use crate::annotations::Note;
use crate::ast::{BinaryOp, PosRange};
use crate::func::{histogram_stats, math, time};
use crate::histogram;
use nilometer_model::Result;
use nilometer_model::labels::METRIC_NAME;
use std::sync::Arc;

/// A scalar that is known, or that a task before computes.
#[derive(Clone, Debug)]
pub(crate) enum ScalarRef {
    Known(Scalars),
    Slot(SlotId),
}

impl ScalarRef {
    pub(crate) fn resolve(&mut self, slots: &mut Slots) -> Result<()> {
        if let ScalarRef::Slot(id) = self {
            *self = ScalarRef::Known(slots.take_scalar(*id)?);
        }
        Ok(())
    }

    /// # Panics
    /// Before it is resolved: tasks do that before they start.
    #[inline]
    pub(crate) fn at(&self, step: usize) -> f64 {
        match self {
            ScalarRef::Known(scalars) => scalars.at(step),
            ScalarRef::Slot(_) => unreachable!("scalars are resolved before a task starts"),
        }
    }
}

pub(crate) enum Stage {
    /// A function of one float.
    Math(fn(f64) -> f64),
    Clamp {
        min: ScalarRef,
        max: ScalarRef,
    },
    Round {
        to: ScalarRef,
    },
    /// A part of the date that a float is in seconds.
    Date(time::Part),
    /// The time of the step, for whatever has a value.
    StepTime,
    /// Nothing but that the name goes.
    DropName,
    Negate,
    /// Arithmetic or comparison with a scalar.
    WithScalar(WithScalar),
    /// A number that a native histogram tells.
    HistogramStat(histogram_stats::Stat),
}

pub(crate) struct WithScalar {
    pub(crate) op: BinaryOp,
    pub(crate) scalar: ScalarRef,
    /// The scalar is on the left.
    pub(crate) scalar_left: bool,
    pub(crate) return_bool: bool,
    pub(crate) pos: PosRange,
}

impl Stage {
    pub(crate) fn resolve(&mut self, slots: &mut Slots) -> Result<()> {
        match self {
            Stage::Clamp { min, max } => {
                min.resolve(slots)?;
                max.resolve(slots)
            }
            Stage::Round { to } => to.resolve(slots),
            Stage::WithScalar(with) => with.scalar.resolve(slots),
            _ => Ok(()),
        }
    }

    /// Whether type and unit stay where the name goes: in Prometheus 3.14 they do for these functions alone.
    pub(crate) fn keeps_type(&self) -> bool {
        matches!(self, Stage::HistogramStat(_))
    }

    /// Whether the result is another metric, so that it loses the name.
    pub(crate) fn drops_name(&self) -> bool {
        match self {
            Stage::WithScalar(with) => with.return_bool || changes_metric(with.op),
            _ => true,
        }
    }

    pub(crate) fn apply(&self, series: &mut StepSeries, grid: Grid, cx: &mut Context) {
        match self {
            Stage::Math(f) => map_floats(series, |_, v| f(v)),
            Stage::Clamp { min, max } => {
                map_floats(series, |step, v| math::clamp(v, min.at(step), max.at(step)))
            }
            Stage::Round { to } => map_floats(series, |step, v| math::round(v, to.at(step))),
            Stage::Date(part) => map_floats(series, |_, v| part.of_seconds(v)),
            Stage::StepTime => {
                for step in 0..grid.len {
                    if series.is_present(step) {
                        series.floats[step] = time::seconds(grid.time(step));
                    }
                }
                series.histograms = Vec::new();
            }
            Stage::DropName => {}
            Stage::Negate => negate(series),
            Stage::WithScalar(with) => with.apply(series, cx),
            Stage::HistogramStat(stat) => {
                series.floats.fill(ABSENT);
                for (step, h) in std::mem::take(&mut series.histograms).iter().enumerate() {
                    if let Some(h) = h {
                        series.floats[step] = stat.of(h);
                    }
                }
            }
        }
        if self.keeps_type() && !cx.options.delayed_name_removal {
            series.labels = series.labels.filter(|name| name != METRIC_NAME);
        } else if self.drops_name() {
            drop_name(series, cx);
        }
    }
}

/// Takes the name off, or marks that it goes at the end.
pub(crate) fn drop_name(series: &mut StepSeries, cx: &mut Context) {
    if cx.options.delayed_name_removal {
        series.drop_name = true;
        return;
    }
    let labels = without_metadata(&series.labels);
    let lost = series.labels.len() - labels.len();
    cx.lost_types |= lost > 1 || lost == 1 && series.labels.get(METRIC_NAME).is_empty();
    series.labels = labels;
}

/// Whether the operator makes another metric of its operands.
pub(crate) fn changes_metric(op: BinaryOp) -> bool {
    use BinaryOp::{Add, Atan2, Div, Mod, Mul, Pow, Sub};
    matches!(op, Add | Sub | Mul | Div | Mod | Pow | Atan2)
}

/// Floats are mapped, histograms left out.
fn map_floats(series: &mut StepSeries, f: impl Fn(usize, f64) -> f64) {
    for (step, v) in series.floats.iter_mut().enumerate() {
        if !is_absent(*v) {
            *v = f(step, *v);
        }
    }
    series.histograms = Vec::new();
}

fn negate(series: &mut StepSeries) {
    for v in &mut series.floats {
        if !is_absent(*v) {
            *v = -*v;
        }
    }
    for h in series.histograms.iter_mut().flatten() {
        let mut negative = (**h).clone();
        histogram::scale(&mut negative, -1.0);
        *h = Arc::new(negative);
    }
}

impl WithScalar {
    fn apply(&self, series: &mut StepSeries, cx: &mut Context) {
        if series.histograms.is_empty() {
            self.apply_floats(series, cx);
            return;
        }
        let histograms = std::mem::take(&mut series.histograms);
        self.apply_floats(series, cx);
        for (step, h) in histograms.iter().enumerate() {
            let Some(h) = h else { continue };
            let scalar = self.scalar.at(step);
            let operands = if self.scalar_left {
                Operands::FloatHistogram(scalar, h)
            } else {
                Operands::HistogramFloat(h, scalar)
            };
            let (result, note) = binary_op(self.op, &operands);
            if let Some(note) = note {
                note.add_to(&mut cx.notes, self.op, self.pos);
            }
            let Some(result) = result else { continue };
            if self.return_bool {
                series.floats[step] = f64::from(result.keep);
            } else if result.keep {
                series.set(step, result.value.as_cell());
            }
        }
    }

    fn apply_floats(&self, series: &mut StepSeries, cx: &mut Context) {
        if matches!(self.op, BinaryOp::TrimLower | BinaryOp::TrimUpper) {
            let note = Note::IncompatibleTypes { lhs: "float", op: self.op.as_str(), rhs: "float" };
            for v in series.floats.iter_mut().filter(|v| !is_absent(**v)) {
                cx.notes.add(&note, self.pos);
                *v = ABSENT;
            }
        } else if self.op.is_comparison() {
            let compare = super::binary::arithmetic::comparison(self.op);
            for (step, v) in series.floats.iter_mut().enumerate().filter(|(_, v)| !is_absent(**v)) {
                let scalar = self.scalar.at(step);
                let keep = if self.scalar_left { compare(scalar, *v) } else { compare(*v, scalar) };
                *v = match (self.return_bool, keep) {
                    (true, _) => f64::from(keep),
                    (false, true) => *v,
                    (false, false) => ABSENT,
                };
            }
        } else {
            let compute = super::binary::arithmetic::arithmetic(self.op);
            for (step, v) in series.floats.iter_mut().enumerate().filter(|(_, v)| !is_absent(**v)) {
                let scalar = self.scalar.at(step);
                *v = if self.scalar_left { compute(scalar, *v) } else { compute(*v, scalar) };
            }
        }
    }
}
