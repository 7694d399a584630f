//! A flow: series from a source, through stages, into a sink.

use super::grid::Grid;
use super::pipeline::{self, Work};
use super::samples::Samples;
use super::sink::{Sink, SinkSpec};
use super::source::{Source, of_steps};
use super::stage::Stage;
use super::table::StepSeries;
use super::{Context, Output, Slots};
use nilometer_model::Result;
use nilometer_storage::Queryable;

/// Runs at once from end to end; see the module above for why.
pub(crate) struct Flow {
    pub(crate) source: Source,
    pub(crate) stages: Vec<Stage>,
    pub(crate) sink: SinkSpec,
    pub(crate) grid: Grid,
}

impl Flow {
    pub(crate) fn name(&self) -> String {
        let source = match &self.source {
            Source::Select { select, .. } => {
                let matchers: Vec<String> = select.matchers.iter().map(ToString::to_string).collect();
                format!("{{{}}}", matchers.join(","))
            }
            Source::Slot(_) => "slot".to_owned(),
            Source::Subquery { .. } => "subquery".to_owned(),
        };
        let sink = match &self.sink {
            SinkSpec::Collect(_) => "collect",
            SinkSpec::Fold(_) => "fold",
            SinkSpec::Quantile(_) => "quantile",
            SinkSpec::CountValues(_) => "count_values",
            SinkSpec::Select(_) => "select",
        };
        format!("Flow({source}, {} stages, {sink})", self.stages.len())
    }

    pub(crate) async fn run(
        self,
        queryable: &dyn Queryable,
        slots: &mut Slots,
        cx: &mut Context,
    ) -> Result<Output> {
        let Flow { source, mut stages, sink, grid } = self;
        for stage in &mut stages {
            stage.resolve(slots)?;
        }
        match source {
            Source::Select { select, mut read, coarse, stats_only, grid: of_read } => {
                read.resolve(slots)?;
                let mut sink = sink.start(grid, slots, cx)?;
                if of_read.len > 0 {
                    let work = Work { read, coarse, stats_only, stages, grid };
                    pipeline::run(queryable, select, work, &mut *sink, cx).await?;
                }
                sink.finish(cx)
            }
            Source::Slot(slot) => {
                let mut line = Line { stages, sink: sink.start(grid, slots, cx)?, grid };
                for series in slots.take_vector(slot)? {
                    line.push(series, cx)?;
                }
                line.sink.finish(cx)
            }
            Source::Subquery { slot, inner, mut call, grid: of_call } => {
                call.resolve(slots)?;
                let mut line = Line { stages, sink: sink.start(grid, slots, cx)?, grid };
                let mut samples = Samples::default();
                for series in slots.take_vector(slot)? {
                    cx.budget.check(0, Samples::bytes_of(inner.len))?;
                    of_steps(&series, inner, &mut samples);
                    let drop_name = series.drop_name;
                    let mut out = call.evaluate(&samples, &series.labels, of_call, cx)?;
                    out.drop_name |= drop_name;
                    line.push(out, cx)?;
                }
                line.sink.finish(cx)
            }
        }
    }
}

/// What comes after a source whose series are here already.
struct Line {
    stages: Vec<Stage>,
    sink: Box<dyn Sink>,
    grid: Grid,
}

impl Line {
    /// Sends one series down. Series without any value are left out everywhere.
    fn push(&mut self, mut series: StepSeries, cx: &mut Context) -> Result<()> {
        for stage in &self.stages {
            stage.apply(&mut series, self.grid, cx);
        }
        if series.has_any() { self.sink.push(series, cx) } else { Ok(()) }
    }
}
