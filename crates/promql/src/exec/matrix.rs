//! A range selector or subquery as the whole of an instant query: its samples as they are.

use super::coarse::Coarse;
use super::grid::Grid;
use super::samples::Samples;
use super::table::{StepSeries, histogram_samples, is_absent, without_metadata};
use super::window::{RangeSpec, Window, each_window};
use super::{Context, Operator, Output, SlotId, Slots};
use crate::annotations::Note;
use crate::ast::{PosRange, RangeMode};
use crate::func::extended;
use crate::value::{HistogramSample, MatrixSeries};
use futures::StreamExt;
use nilometer_model::{Error, Result, Sample};
use nilometer_storage::{Queryable, ReadChunks, Select};

pub(crate) struct MatrixScan {
    pub(crate) select: Select,
    pub(crate) coarse: Coarse,
    pub(crate) spec: RangeSpec,
    /// The only step.
    pub(crate) grid: Grid,
}

impl MatrixScan {
    pub(crate) async fn run(self, queryable: &dyn Queryable, cx: &mut Context) -> Result<Output> {
        let (mut out, mut chunks, mut samples) = (Vec::new(), ReadChunks::default(), Samples::default());
        let range = self.select.range;
        let mut stream = queryable.select(self.select);
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            cx.budget.check_interrupt()?;
            for warning in &batch.warnings {
                cx.notes.add(&Note::Storage(warning), PosRange::default());
            }
            for series in &batch.series {
                chunks.load(&series.chunks);
                for warning in chunks.warnings.drain(..) {
                    cx.notes.add(&Note::Storage(&warning), PosRange::default());
                }
                samples.load(&chunks, range, (false, self.coarse))?;
                samples.drop_stale();
                let mut points = None;
                each_window(&samples, &self.spec, self.grid, |w| points = Some(raw(&w, self.spec.mode)));
                let Some(points) = points.transpose()? else { continue };
                let (floats, histograms) = points;
                let count = floats.len() + histograms.iter().map(|h| histogram_samples(&h.h)).sum::<usize>();
                if count > 0 {
                    cx.tally.take(0, count);
                    cx.series += 1;
                    // Held until the answer is written, so never released.
                    cx.budget.take(count, count * 16)?;
                    out.push(MatrixSeries { labels: series.labels.clone(), floats, histograms });
                }
            }
        }
        Ok(Output::Matrix(out))
    }
}

type Points = (Vec<Sample>, Vec<HistogramSample>);

fn raw(w: &Window<'_>, mode: Option<RangeMode>) -> Result<Points> {
    if let Some(mode) = mode {
        if !w.ht().is_empty() {
            return Err(Error::invalid(format!(
                "{} modifier is not supported with histograms",
                mode.as_str()
            )));
        }
        return Ok((extended::extend(w, mode), Vec::new()));
    }
    let floats = w.t().iter().zip(w.v()).map(|(t, v)| Sample { t_ms: *t, v: *v }).collect();
    let histograms =
        w.ht().iter().zip(w.h()).map(|(t, h)| HistogramSample { t_ms: *t, h: h.clone() }).collect();
    Ok((floats, histograms))
}

/// The steps of a subquery.
pub(crate) struct SubqueryMatrix {
    pub(crate) input: SlotId,
    pub(crate) grid: Grid,
}

impl Operator for SubqueryMatrix {
    fn run(&self, slots: &mut Slots, _cx: &mut Context) -> Result<Output> {
        let series = slots.take_vector(self.input)?;
        Ok(Output::Matrix(series.iter().map(|s| to_matrix(s, self.grid)).collect()))
    }
}

/// A series with the times of its steps.
pub(crate) fn to_matrix(series: &StepSeries, grid: Grid) -> MatrixSeries {
    let floats = series.floats.iter().enumerate().filter(|(_, v)| !is_absent(**v));
    let histograms = series.histograms.iter().enumerate();
    MatrixSeries {
        labels: if series.drop_name { without_metadata(&series.labels) } else { series.labels.clone() },
        floats: floats.map(|(step, v)| Sample { t_ms: grid.time(step), v: *v }).collect(),
        histograms: histograms
            .filter_map(|(step, h)| Some(HistogramSample { t_ms: grid.time(step), h: h.clone()? }))
            .collect(),
    }
}
