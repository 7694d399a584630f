//! `quantile`: keeps all values of a group until the end.

use super::{Grouping, Groups};
use crate::annotations::Note;
use crate::ast::PosRange;
use crate::exec::grid::Grid;
use crate::exec::sink::Sink;
use crate::exec::stage::ScalarRef;
use crate::exec::table::{StepSeries, is_absent};
use crate::exec::{Context, Held, Output, Slots};
use crate::func::quantile::quantile;
use nilometer_model::Result;

pub(crate) struct Spec {
    pub(crate) grouping: Grouping,
    pub(crate) q: ScalarRef,
    pub(crate) q_pos: PosRange,
    pub(crate) pos: PosRange,
}

impl Spec {
    pub(crate) fn start(mut self, grid: Grid, slots: &mut Slots, _cx: &mut Context) -> Result<Box<dyn Sink>> {
        self.q.resolve(slots)?;
        let groups = Groups::new(self.grouping.clone());
        Ok(Box::new(Quantile {
            spec: self,
            steps: grid.len,
            groups,
            values: Vec::new(),
            held: Held::default(),
        }))
    }
}

struct Quantile {
    spec: Spec,
    steps: usize,
    groups: Groups,
    /// Of each group, the values at each step.
    values: Vec<Vec<Vec<f64>>>,
    held: Held,
}

impl Sink for Quantile {
    fn push(&mut self, series: StepSeries, cx: &mut Context) -> Result<()> {
        let group = self.groups.of(&series);
        if group == self.values.len() {
            self.values.push(vec![Vec::new(); self.steps]);
            self.held.grow(0, self.steps * 24, cx)?;
        }
        let mut count = 0;
        for (values, v) in self.values[group].iter_mut().zip(&series.floats) {
            if !is_absent(*v) {
                values.push(*v);
                count += 1;
            }
        }
        if series.histograms.iter().any(Option::is_some) {
            cx.notes.add(&Note::HistogramIgnored { aggregation: "quantile" }, self.spec.pos);
        }
        self.held.grow(count, count * 8, cx)
    }

    fn finish(mut self: Box<Self>, cx: &mut Context) -> Result<Output> {
        self.held.release(cx);
        let q_at = |step| self.spec.q.at(step);
        // Also where there is nothing to aggregate.
        note_invalid((0..self.steps).map(q_at), self.spec.q_pos, cx);
        let mut series = self.groups.into_series(self.steps);
        for (out, columns) in series.iter_mut().zip(&mut self.values) {
            for (step, values) in columns.iter_mut().enumerate().filter(|(_, v)| !v.is_empty()) {
                out.floats[step] = quantile(q_at(step), values);
            }
        }
        series.retain(StepSeries::has_any);
        self.spec.grouping.sort(&mut series);
        Ok(Output::Vector(series))
    }
}

/// One note for each way in which the parameter leaves 0 to 1, with the worst value.
fn note_invalid(all: impl Iterator<Item = f64>, pos: PosRange, cx: &mut Context) {
    let (mut min, mut max, mut nan) = (f64::INFINITY, f64::NEG_INFINITY, false);
    for q in all {
        nan |= q.is_nan();
        min = min.min(q);
        max = max.max(q);
    }
    let found = [(nan, f64::NAN), (max > 1.0, max), (min < 0.0, min)];
    for (_, q) in found.into_iter().filter(|(wrong, _)| *wrong) {
        cx.notes.add(&Note::InvalidQuantile(q), pos);
    }
}
