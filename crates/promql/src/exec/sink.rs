//! Where a flow ends.

use super::aggregate::{count_values, fold, quantile, select};
use super::grid::Grid;
use super::table::{StepSeries, has_same_labels, join_same_labels, same_labels_error};
use super::{Context, Held, Output, Slots};
use nilometer_model::Result;
use nilometer_storage::Projection;

/// Takes the series of a flow, in order.
pub(crate) trait Sink: Send {
    fn push(&mut self, series: StepSeries, cx: &mut Context) -> Result<()>;

    fn finish(self: Box<Self>, cx: &mut Context) -> Result<Output>;
}

/// Which sink, and what it needs to know.
pub(crate) enum SinkSpec {
    Collect(SameLabels),
    Fold(fold::Spec),
    Quantile(quantile::Spec),
    CountValues(count_values::Spec),
    Select(select::Spec),
}

/// What becomes of series that have equal labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SameLabels {
    /// There are none, or they may stay.
    Leave,
    /// They become one, if they have no step in common.
    Join,
    /// They are an error.
    Refuse,
}

impl SinkSpec {
    /// The labels that are looked at, where that is not all; the series then come in no certain order. What says
    /// which metric it is goes into notes, but `is_plain` values have none.
    pub(crate) fn project(&mut self, is_plain: bool) -> Option<Projection> {
        let (grouping, metadata) = match self {
            SinkSpec::Fold(spec) => {
                let metadata = !is_plain || spec.names_metrics();
                (&mut spec.grouping, metadata)
            }
            SinkSpec::Quantile(spec) => (&mut spec.grouping, !is_plain),
            SinkSpec::CountValues(spec) => (&mut spec.grouping, !is_plain),
            SinkSpec::Collect(_) | SinkSpec::Select(_) => return None,
        };
        grouping.sorts = true;
        Some(grouping.projection(metadata))
    }

    pub(crate) fn start(self, grid: Grid, slots: &mut Slots, cx: &mut Context) -> Result<Box<dyn Sink>> {
        Ok(match self {
            SinkSpec::Collect(same_labels) => {
                Box::new(Collect { series: Vec::new(), same_labels, held: Held::default() })
            }
            SinkSpec::Fold(spec) => spec.start(grid),
            SinkSpec::Quantile(spec) => spec.start(grid, slots, cx)?,
            SinkSpec::CountValues(spec) => spec.start(grid)?,
            SinkSpec::Select(spec) => spec.start(grid, slots, cx)?,
        })
    }
}

/// Keeps all.
struct Collect {
    series: Vec<StepSeries>,
    same_labels: SameLabels,
    held: Held,
}

impl Sink for Collect {
    fn push(&mut self, series: StepSeries, cx: &mut Context) -> Result<()> {
        self.held.grow(series.sample_count(), series.bytes(), cx)?;
        self.series.push(series);
        Ok(())
    }

    fn finish(self: Box<Self>, cx: &mut Context) -> Result<Output> {
        self.held.release(cx);
        Ok(Output::Vector(match self.same_labels {
            SameLabels::Leave => self.series,
            SameLabels::Join => join_same_labels(self.series)?,
            SameLabels::Refuse if has_same_labels(&self.series) => return Err(same_labels_error()),
            SameLabels::Refuse => self.series,
        }))
    }
}
