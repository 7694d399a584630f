//! Where the series of a flow come from.

use super::coarse::Coarse;
use super::grid::Grid;
use super::range::RangeCall;
use super::samples::Samples;
use super::table::{Cell, StepSeries, histogram_samples, is_absent};
use super::window::{Place, Seen, each_seen};
use super::{Context, SlotId, Slots};
use crate::ast::PosRange;
use crate::func::time::seconds;
use nilometer_model::{CounterReset, Error, FloatHistogram, Labels, Result};
use nilometer_storage::Select;
use std::sync::Arc;

pub(crate) enum Source {
    /// Selected series, evaluated at each step.
    Select { select: Select, read: Read, coarse: Coarse, stats_only: bool, grid: Grid },
    /// What another task left.
    Slot(SlotId),
    /// A range function over what a subquery left, which has steps of its own.
    Subquery { slot: SlotId, inner: Grid, call: RangeCall, grid: Grid },
}

/// What is made of a selected series.
pub(crate) enum Read {
    /// The newest sample not older than the lookback.
    Newest { place: Place, what: What },
    /// A function over a range.
    Range(RangeCall),
    /// The value between the samples around the step.
    Smoothed { place: Place, pos: PosRange },
}

/// What of a sample is the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Value,
    /// Its time in seconds.
    Timestamp,
    /// Its start timestamp in seconds.
    StartTimestamp,
    /// Its time in milliseconds: how `info()` tells newer from older.
    TimestampMs,
}

impl Read {
    pub(crate) fn resolve(&mut self, slots: &mut Slots) -> Result<()> {
        match self {
            Read::Range(call) => call.resolve(slots),
            _ => Ok(()),
        }
    }

    /// What is made of one series.
    pub(crate) fn evaluate(
        &self,
        samples: &mut Samples,
        labels: &Labels,
        grid: Grid,
        cx: &mut Context,
    ) -> Result<StepSeries> {
        match self {
            Read::Newest { place, what } => {
                newest(samples, (*place, *what), StepSeries::new(labels.clone(), grid.len), grid, cx)
            }
            Read::Range(call) => {
                samples.drop_stale();
                let before = cx.tally.looked_at;
                let out = call.evaluate(samples, labels, grid, cx)?;
                cx.tally.windows_read(samples, &call.spec, grid, cx.tally.looked_at - before);
                Ok(out)
            }
            Read::Smoothed { place, pos } => {
                samples.drop_stale();
                Ok(crate::func::extended::smooth(samples, (*place, *pos), labels, grid, cx))
            }
        }
    }

    pub(crate) fn needs_starts(&self) -> bool {
        match self {
            Read::Newest { what, .. } => *what == What::StartTimestamp,
            Read::Range(call) => call.func.uses_starts(),
            Read::Smoothed { .. } => false,
        }
    }
}

fn newest(
    samples: &Samples,
    (place, what): (Place, What),
    mut out: StepSeries,
    grid: Grid,
    cx: &mut Context,
) -> Result<StepSeries> {
    let (mut seen_samples, mut no_info) = (0, false);
    each_seen(samples, (place, cx.options.lookback_ms), grid, |step, seen| match (what, seen) {
        (What::Value, Seen::Float { v, .. }) => {
            seen_samples += 1;
            out.floats[step] = v;
        }
        (What::Value, Seen::Histogram { h, .. }) => {
            seen_samples += histogram_samples(h);
            out.set_histogram(step, h.clone());
        }
        (What::TimestampMs, Seen::Histogram { .. }) => no_info = true,
        (_, Seen::Float { t_ms, start_ms, .. } | Seen::Histogram { t_ms, start_ms, .. }) => {
            seen_samples += 1;
            out.floats[step] = match what {
                What::StartTimestamp => seconds(start_ms),
                What::TimestampMs => t_ms as f64,
                _ => seconds(t_ms),
            };
        }
    });
    cx.tally.seen(seen_samples, (0..grid.len).map(|step| size(out.cell(step))));
    if no_info {
        let labels = &out.labels;
        return Err(Error::invalid(format!("this should be an info metric, with float samples: {labels}")));
    }
    Ok(out)
}

/// What a sample counts as.
fn size(cell: Cell<'_>) -> usize {
    match cell {
        Cell::None => 0,
        Cell::Float(_) => 1,
        Cell::Histogram(h) => histogram_samples(h),
    }
}

/// The steps of a subquery's series as samples. Whether a histogram went down since the one before is not
/// known between steps, so such hints go.
pub(crate) fn of_steps(series: &StepSeries, grid: Grid, samples: &mut Samples) {
    samples.clear();
    for (step, v) in series.floats.iter().enumerate() {
        if !is_absent(*v) {
            samples.t.push(grid.time(step));
            samples.v.push(*v);
        }
    }
    for (step, h) in series.histograms.iter().enumerate() {
        if let Some(h) = h {
            samples.ht.push(grid.time(step));
            samples.h.push(without_reset_hint(h));
        }
    }
}

fn without_reset_hint(h: &Arc<FloatHistogram>) -> Arc<FloatHistogram> {
    match h.reset {
        CounterReset::Unknown | CounterReset::Gauge => h.clone(),
        _ => Arc::new(FloatHistogram { reset: CounterReset::Unknown, ..(**h).clone() }),
    }
}
