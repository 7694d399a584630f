//! How many samples a query looks at, counted as Prometheus counts them.
//!
//! Two numbers: samples *looked at*, once for each step that looks at them, and samples *read*, where a window that
//! slides counts only what is new. Both are told for the whole query and, where asked for, for each of its steps.
//!
//! Parts of a plan are evaluated at times of their own, and how they count in the whole differs. So each
//! has a [`Scope`] with a [`Tally`], and at the end the inner ones are put into those around them:
//!
//! ```text
//! whole query ◀── what is evaluated once, for all steps: looked at by each of them, read at the first
//!             ◀── a subquery under a function:           looked at as windows over its result, which the function
//!                                                        counts; read at the step whose window has it first
//! ```
//!
//! Nothing is counted step by step in the loops that compute: who wants that number walks the windows again.
//! Source: <https://github.com/prometheus/prometheus/blob/main/util/stats/query_stats.go>.

use super::grid::Grid;
use super::samples::Samples;
use super::table::histogram_samples;
use super::window::{Place, RangeSpec, Window, each_window};
use crate::value::StepSamples;
use std::ops::Range;

/// What was counted in one scope.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) looked_at: u64,
    pub(crate) read: u64,
    /// The same at each step of the scope.
    pub(crate) steps: Option<StepCounts>,
}

#[derive(Clone, Debug)]
pub(crate) struct StepCounts {
    pub(crate) looked_at: Vec<u64>,
    pub(crate) read: Vec<u64>,
}

impl StepCounts {
    fn new(steps: usize) -> Self {
        StepCounts { looked_at: vec![0; steps], read: vec![0; steps] }
    }

    pub(crate) fn with_times(self, grid: Grid) -> StepSamples {
        let StepCounts { looked_at, read } = self;
        StepSamples { start_ms: grid.start_ms, step_ms: grid.step_ms, total: looked_at, read }
    }
}

impl Tally {
    /// Without anything in it, for the same steps.
    pub(crate) fn emptied(&self) -> Tally {
        let steps = self.steps.as_ref().map(|steps| StepCounts::new(steps.read.len()));
        Tally { steps, ..Tally::default() }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.steps.as_ref().map_or(0, |steps| (steps.looked_at.len() + steps.read.len()) * size_of::<u64>())
    }

    pub(crate) fn add(&mut self, other: &Tally) {
        self.looked_at += other.looked_at;
        self.read += other.read;
        if let (Some(steps), Some(others)) = (&mut self.steps, &other.steps) {
            steps.looked_at.iter_mut().zip(&others.looked_at).for_each(|(sum, n)| *sum += n);
            steps.read.iter_mut().zip(&others.read).for_each(|(sum, n)| *sum += n);
        }
    }

    fn look(&mut self, step: usize, count: u64) {
        self.looked_at += count;
        if let Some(steps) = &mut self.steps {
            steps.looked_at[step] += count;
        }
    }

    /// Counts what one step both looks at and reads.
    pub(crate) fn take(&mut self, step: usize, count: usize) {
        self.look(step, count as u64);
        self.read(step, count as u64);
    }

    /// Counts what an instant selector saw of one series: `seen` samples, of which `sizes` has those of each step.
    pub(crate) fn seen(&mut self, seen: usize, sizes: impl Iterator<Item = usize>) {
        self.looked_at += seen as u64;
        self.read += seen as u64;
        if let Some(steps) = &mut self.steps {
            let counts = steps.looked_at.iter_mut().zip(&mut steps.read);
            counts.zip(sizes).for_each(|((looked_at, read), size)| {
                *looked_at += size as u64;
                *read += size as u64;
            });
        }
    }

    fn read(&mut self, step: usize, count: u64) {
        self.read += count;
        if let Some(steps) = &mut self.steps {
            steps.read[step] += count;
        }
    }

    /// Counts the windows of one series, in which `looked_at` samples are.
    pub(crate) fn windows(&mut self, samples: &Samples, spec: &RangeSpec, grid: Grid, looked_at: usize) {
        self.looked_at += looked_at as u64;
        if let Some(steps) = &mut self.steps {
            each_window(samples, spec, grid, |w| steps.looked_at[w.step] += sizes(&w) as u64);
        }
    }

    /// Counts what these windows read where their samples come from storage.
    pub(crate) fn windows_read(&mut self, samples: &Samples, spec: &RangeSpec, grid: Grid, looked_at: u64) {
        if let Some(steps) = &mut self.steps {
            let new_ms = if spec.place.at_ms.is_some() { 0 } else { grid.step_ms };
            each_window(samples, spec, grid, |w| {
                let new = if w.step == 0 { sizes(&w) } else { sizes(&newer(w.clone(), spec, new_ms)) };
                steps.read[w.step] += new as u64;
                self.read += new as u64;
            });
            return;
        }
        let first = Grid { len: grid.len.min(1), ..grid };
        self.read += match spec.place.at_ms {
            // All windows are the first.
            Some(_) => count_within(samples, spec, first),
            // Nothing is in two of them.
            None if spec.width_ms() <= grid.step_ms => looked_at,
            // Nothing lies between two.
            None => count_within(samples, spec, grid),
        };
    }
}

/// The part of a window that the one before it did not have, if that ended `step_ms` earlier.
fn newer<'a>(mut w: Window<'a>, spec: &RangeSpec, step_ms: i64) -> Window<'a> {
    let seen_ms = w.end_ms.saturating_add(spec.after_ms()).saturating_sub(step_ms);
    w.float_range.start += w.t().partition_point(|t| *t <= seen_ms);
    w.histogram_range.start += w.ht().partition_point(|t| *t <= seen_ms);
    w
}

/// The samples of a window, where a histogram counts by its size.
fn sizes(w: &Window<'_>) -> usize {
    w.float_range.len() + w.h().iter().map(|h| histogram_samples(h)).sum::<usize>()
}

/// The samples between the beginning of the first window and the end of the last.
fn count_within(samples: &Samples, spec: &RangeSpec, grid: Grid) -> u64 {
    let span = spec.span(grid);
    let rows = |t: &[i64]| -> Range<usize> {
        t.partition_point(|t| *t < span.min_ms)..t.partition_point(|t| *t <= span.max_ms)
    };
    let histograms = samples.h[rows(&samples.ht)].iter().map(|h| histogram_samples(h) as u64);
    rows(&samples.t).len() as u64 + histograms.sum::<u64>()
}

/// A part of the plan that is evaluated at times of its own.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    grid: Grid,
    part: Part,
    /// What each of its tasks begins with.
    pub(crate) tally: Tally,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScopeId(usize);

#[derive(Clone, Copy, Debug)]
enum Part {
    Whole,
    /// Evaluated once, for all steps of what is around it.
    Once {
        within: ScopeId,
    },
    /// A subquery that a function looks at through windows of `range_ms` that end `offset_ms` before each step.
    Windowed {
        within: ScopeId,
        range_ms: i64,
        offset_ms: i64,
    },
}

/// All scopes of a plan; each comes after the one around it.
#[derive(Debug)]
pub(crate) struct Scopes(Vec<Scope>);

impl Scopes {
    pub(crate) const WHOLE: ScopeId = ScopeId(0);

    pub(crate) fn new(grid: Grid, per_step: bool) -> Self {
        let mut scopes = Scopes(Vec::new());
        scopes.push(grid, Part::Whole, per_step);
        scopes
    }

    /// For what is evaluated on `grid`, once for all steps of `within`.
    pub(crate) fn once(&mut self, within: ScopeId, grid: Grid) -> ScopeId {
        self.push(grid, Part::Once { within }, false)
    }

    /// For a subquery that is evaluated on `grid`, and looked at from the steps of `within`.
    pub(crate) fn windowed(
        &mut self,
        within: ScopeId,
        grid: Grid,
        (place, range_ms): (Place, i64),
    ) -> ScopeId {
        let around = &self.0[within.0];
        if around.grid.len <= 1 || place.at_ms.is_some() {
            // There is one window.
            return self.push(grid, Part::Windowed { within, range_ms: 0, offset_ms: 0 }, false);
        }
        let has_gaps = range_ms < around.grid.step_ms;
        let is_stepped = around.tally.steps.is_some() || has_gaps;
        self.push(grid, Part::Windowed { within, range_ms, offset_ms: place.offset_ms }, is_stepped)
    }

    fn push(&mut self, grid: Grid, part: Part, is_stepped: bool) -> ScopeId {
        let steps = is_stepped.then(|| StepCounts::new(grid.len));
        self.0.push(Scope { grid, part, tally: Tally { steps, ..Tally::default() } });
        ScopeId(self.0.len() - 1)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|scope| scope.tally.bytes()).sum()
    }

    pub(crate) fn tally(&mut self, id: ScopeId) -> &mut Tally {
        &mut self.0[id.0].tally
    }

    /// What was counted in all of them.
    pub(crate) fn whole(mut self) -> (Tally, Grid) {
        while let Some(inner) = self.0.pop() {
            let (Part::Once { within } | Part::Windowed { within, .. }) = inner.part else {
                return (inner.tally, inner.grid);
            };
            inner.put_into(&mut self.0[within.0]);
        }
        (Tally::default(), Grid::single(0))
    }
}

impl Scope {
    fn put_into(&self, around: &mut Scope) {
        let counted = &self.tally;
        match (self.part, &counted.steps) {
            (Part::Whole, _) => {}
            (Part::Once { .. }, _) => {
                (0..around.grid.len).for_each(|step| around.tally.look(step, counted.looked_at));
                around.tally.read(0, counted.read);
            }
            (Part::Windowed { .. }, None) => around.tally.read(0, counted.read),
            (Part::Windowed { range_ms, offset_ms, .. }, Some(steps)) => {
                for (step, count) in steps.read.iter().enumerate().filter(|(_, count)| **count > 0) {
                    let t_ms = self.grid.time(step).saturating_add(offset_ms);
                    let by = first_at_or_after(around.grid, t_ms);
                    if t_ms > around.grid.time(by).saturating_sub(range_ms) {
                        around.tally.read(by, *count);
                    }
                }
            }
        }
    }
}

/// The first step of `grid` that is not before `t_ms`; where there is none, the last.
fn first_at_or_after(grid: Grid, t_ms: i64) -> usize {
    let after_ms = u64::try_from(t_ms.saturating_sub(grid.start_ms)).unwrap_or(0);
    let step = after_ms.div_ceil(grid.step_ms.unsigned_abs().max(1));
    usize::try_from(step).unwrap_or(usize::MAX).min(grid.len.saturating_sub(1))
}

#[cfg(test)]
mod tests;
