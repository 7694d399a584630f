//! `count_values`: a series for each value, counting who has it.

use super::Grouping;
use crate::exec::grid::Grid;
use crate::exec::sink::Sink;
use crate::exec::table::{Cell, StepSeries};
use crate::exec::{Context, Held, Output};
use crate::histogram::describe;
use nilometer_model::number::plain;
use nilometer_model::{Error, Labels, Result};
use std::collections::HashMap;

pub(crate) struct Spec {
    pub(crate) grouping: Grouping,
    /// The label that says the value.
    pub(crate) label: String,
}

impl Spec {
    pub(crate) fn start(mut self, grid: Grid) -> Result<Box<dyn Sink>> {
        if self.label.is_empty() {
            return Err(Error::invalid("invalid label name \"\""));
        }
        if !self.grouping.without && !self.grouping.labels.contains(&self.label) {
            self.grouping.labels.push(self.label.clone());
            self.grouping.labels.sort_unstable();
        }
        Ok(Box::new(CountValues {
            spec: self,
            steps: grid.len,
            found: HashMap::new(),
            series: Vec::new(),
            held: Held::default(),
        }))
    }
}

struct CountValues {
    spec: Spec,
    steps: usize,
    found: HashMap<Labels, usize>,
    series: Vec<StepSeries>,
    held: Held,
}

impl Sink for CountValues {
    fn push(&mut self, series: StepSeries, cx: &mut Context) -> Result<()> {
        // A value often stays the same for many steps.
        let mut last: Option<(u64, usize)> = None;
        for step in 0..self.steps {
            let (bits, text) = match series.cell(step) {
                Cell::None => continue,
                Cell::Float(v) => match last {
                    Some((bits, at)) if bits == v.to_bits() => {
                        count(&mut self.series[at], step);
                        continue;
                    }
                    _ => (Some(v.to_bits()), plain(v)),
                },
                Cell::Histogram(h) => (None, describe(h)),
            };
            let mut labels = series.labels.to_builder();
            labels.set(&self.spec.label, &text);
            let labels = self.spec.grouping.labels_of(&labels.build());
            let next = self.series.len();
            let at = *self.found.entry(labels.clone()).or_insert(next);
            if at == next {
                self.series.push(StepSeries::new(labels, self.steps));
                self.held.grow(0, self.steps * 8 + size_of::<StepSeries>(), cx)?;
            }
            count(&mut self.series[at], step);
            last = bits.map(|bits| (bits, at));
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, cx: &mut Context) -> Result<Output> {
        self.held.release(cx);
        self.spec.grouping.sort(&mut self.series);
        Ok(Output::Vector(self.series))
    }
}

fn count(series: &mut StepSeries, step: usize) {
    let v = &mut series.floats[step];
    *v = if crate::exec::table::is_absent(*v) { 1.0 } else { *v + 1.0 };
}
