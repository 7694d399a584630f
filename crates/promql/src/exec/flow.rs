//! A flow: series from a source, through stages, into a sink.

use super::grid::Grid;
use super::sink::{Sink, SinkSpec};
use super::source::Source;
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
        let mut stages = self.stages;
        for stage in &mut stages {
            stage.resolve(slots)?;
        }
        let sink = self.sink.start(self.grid, slots, cx)?;
        let mut line = Line { stages, sink, grid: self.grid };
        self.source.run(queryable, slots, cx, &mut line).await?;
        line.sink.finish(cx)
    }
}

/// What comes after the source.
pub(crate) struct Line {
    stages: Vec<Stage>,
    sink: Box<dyn Sink>,
    grid: Grid,
}

impl Line {
    /// Sends one series down. Series without any value are left out everywhere.
    pub(crate) fn push(&mut self, mut series: StepSeries, cx: &mut Context) -> Result<()> {
        for stage in &self.stages {
            stage.apply(&mut series, self.grid, cx);
        }
        if series.has_any() { self.sink.push(series, cx) } else { Ok(()) }
    }
}
