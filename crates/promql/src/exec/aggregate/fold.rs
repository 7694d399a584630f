//! Aggregations that keep a few words for each group and step: `sum`, `avg`, `min`, `max`, `count`,
//! `group`, `stddev`, `stdvar`.

use super::histograms::Histograms;
use super::{Grouping, Groups};
use crate::annotations::Note;
use crate::ast::{AggregateOp, PosRange};
use crate::exec::grid::Grid;
use crate::exec::sink::Sink;
use crate::exec::table::{ABSENT, Cell, StepSeries, is_absent};
use crate::exec::{Context, Held, Output};
use nilometer_model::Result;
use nilometer_model::kahan::{Mean, Sum};

pub(crate) struct Spec {
    pub(crate) op: AggregateOp,
    pub(crate) grouping: Grouping,
    /// Of what is aggregated: notes point there.
    pub(crate) pos: PosRange,
}

impl Spec {
    /// Whether it may have to say of which metric it got something odd.
    pub(crate) fn names_metrics(&self) -> bool {
        matches!(self.op, AggregateOp::Sum | AggregateOp::Avg)
    }

    pub(crate) fn start(self, grid: Grid) -> Box<dyn Sink> {
        match self.op {
            AggregateOp::Sum => Fold::<SumCell>::boxed(self, grid),
            AggregateOp::Avg => Fold::<MeanCell>::boxed(self, grid),
            AggregateOp::Min => Fold::<MinCell>::boxed(self, grid),
            AggregateOp::Max => Fold::<MaxCell>::boxed(self, grid),
            AggregateOp::Count => Fold::<CountCell>::boxed(self, grid),
            AggregateOp::Stddev => Fold::<VarianceCell<true>>::boxed(self, grid),
            AggregateOp::Stdvar => Fold::<VarianceCell<false>>::boxed(self, grid),
            _ => Fold::<GroupCell>::boxed(self, grid),
        }
    }
}

/// The state of one group at one step.
trait FoldCell: Clone + Default + Send + 'static {
    fn add(&mut self, v: f64);

    /// [`ABSENT`] if nothing was added.
    fn result(&self) -> f64;
}

struct Fold<C> {
    spec: Spec,
    steps: usize,
    groups: Groups,
    /// One column of cells for each group.
    cells: Vec<Vec<C>>,
    histograms: Histograms,
    held: Held,
}

impl<C: FoldCell> Fold<C> {
    fn boxed(spec: Spec, grid: Grid) -> Box<dyn Sink> {
        let groups = Groups::new(spec.grouping.clone());
        let histograms = Histograms::new(spec.op, spec.pos);
        Box::new(Fold::<C> {
            spec,
            steps: grid.len,
            groups,
            cells: Vec::new(),
            histograms,
            held: Held::default(),
        })
    }

    fn add_histograms(&mut self, group: usize, series: &StepSeries, cx: &mut Context) {
        for step in 0..self.steps {
            let Cell::Histogram(h) = series.cell(step) else { continue };
            match self.spec.op {
                AggregateOp::Sum | AggregateOp::Avg => {
                    let key = (group, step);
                    if !self.histograms.has(key) && !is_absent(self.cells[group][step].result()) {
                        self.histograms.add_behind_float(key);
                    } else {
                        self.histograms.add(key, h, series.labels.metric_name(), cx);
                    }
                }
                AggregateOp::Count | AggregateOp::Group => self.cells[group][step].add(1.0),
                op => cx.notes.add(&Note::HistogramIgnored { aggregation: op.as_str() }, self.spec.pos),
            }
        }
    }
}

impl<C: FoldCell> Sink for Fold<C> {
    fn push(&mut self, series: StepSeries, cx: &mut Context) -> Result<()> {
        let group = self.groups.of(&series);
        if group == self.cells.len() {
            self.held.grow(0, self.steps * size_of::<C>() + size_of::<StepSeries>(), cx)?;
            self.cells.push(vec![C::default(); self.steps]);
        }
        for (cell, v) in self.cells[group].iter_mut().zip(&series.floats) {
            if !is_absent(*v) {
                cell.add(*v);
            }
        }
        if !series.histograms.is_empty() {
            self.add_histograms(group, &series, cx);
            cx.budget.check(0, self.histograms.bytes())?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>, cx: &mut Context) -> Result<Output> {
        self.held.release(cx);
        let mut series = self.groups.into_series(self.steps);
        for (out, cells) in series.iter_mut().zip(&self.cells) {
            for (v, cell) in out.floats.iter_mut().zip(cells) {
                *v = cell.result();
            }
        }
        self.histograms.finish(&mut series, cx);
        series.retain(StepSeries::has_any);
        self.spec.grouping.sort(&mut series);
        Ok(Output::Vector(series))
    }
}

/// [`ABSENT`] before the first value, which is not added to zero: that would turn -0 around.
#[derive(Clone)]
struct SumCell(Sum);

impl Default for SumCell {
    fn default() -> Self {
        SumCell(Sum::of(ABSENT))
    }
}

impl FoldCell for SumCell {
    #[inline]
    fn add(&mut self, v: f64) {
        if is_absent(self.0.value) {
            self.0 = Sum::of(v);
        } else {
            self.0.add(v);
        }
    }

    fn result(&self) -> f64 {
        if is_absent(self.0.value) { ABSENT } else { self.0.total() }
    }
}

#[derive(Clone, Default)]
struct MeanCell(Mean);

impl FoldCell for MeanCell {
    #[inline]
    fn add(&mut self, v: f64) {
        self.0.add(v);
    }

    fn result(&self) -> f64 {
        if self.0.count() > 0.0 { self.0.mean() } else { ABSENT }
    }
}

#[derive(Clone)]
struct MinCell(f64);

impl Default for MinCell {
    fn default() -> Self {
        MinCell(ABSENT)
    }
}

impl FoldCell for MinCell {
    #[inline]
    fn add(&mut self, v: f64) {
        // True at first, too: the marker of absence is a NaN.
        if self.0 > v || self.0.is_nan() {
            self.0 = v;
        }
    }

    fn result(&self) -> f64 {
        self.0
    }
}

#[derive(Clone)]
struct MaxCell(f64);

impl Default for MaxCell {
    fn default() -> Self {
        MaxCell(ABSENT)
    }
}

impl FoldCell for MaxCell {
    #[inline]
    fn add(&mut self, v: f64) {
        if self.0 < v || self.0.is_nan() {
            self.0 = v;
        }
    }

    fn result(&self) -> f64 {
        self.0
    }
}

#[derive(Clone, Default)]
struct CountCell(u64);

impl FoldCell for CountCell {
    #[inline]
    fn add(&mut self, _: f64) {
        self.0 += 1;
    }

    fn result(&self) -> f64 {
        if self.0 > 0 { self.0 as f64 } else { ABSENT }
    }
}

#[derive(Clone, Default)]
struct GroupCell(bool);

impl FoldCell for GroupCell {
    #[inline]
    fn add(&mut self, _: f64) {
        self.0 = true;
    }

    fn result(&self) -> f64 {
        if self.0 { 1.0 } else { ABSENT }
    }
}

/// Welford's.
#[derive(Clone, Default)]
struct VarianceCell<const ROOT: bool> {
    count: f64,
    mean: f64,
    squares: f64,
}

impl<const ROOT: bool> FoldCell for VarianceCell<ROOT> {
    #[inline]
    fn add(&mut self, v: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.mean = v;
            self.squares = if v.is_finite() { 0.0 } else { f64::NAN };
            return;
        }
        let delta = v - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (v - self.mean);
    }

    fn result(&self) -> f64 {
        let variance = self.squares / self.count;
        match self.count {
            0.0 => ABSENT,
            _ if ROOT => variance.sqrt(),
            _ => variance,
        }
    }
}
