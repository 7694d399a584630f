//! Which samples a step looks at.

use super::coarse::{Windows, end_ms};
use super::grid::Grid;
use super::samples::Samples;
use crate::ast::RangeMode;
use nilometer_model::{FloatHistogram, TimeRange, is_stale_nan};
use std::ops::Range;
use std::sync::Arc;

/// Where a selector looks, as seen from a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// The `@` modifier, resolved.
    pub(crate) at_ms: Option<i64>,
    pub(crate) offset_ms: i64,
}

impl Place {
    #[inline]
    pub(crate) fn seen_from(&self, step_ms: i64) -> i64 {
        self.at_ms.unwrap_or(step_ms).saturating_sub(self.offset_ms)
    }

    /// The times looked at from all of `grid`, without any range before them.
    pub(crate) fn span(&self, grid: Grid) -> TimeRange {
        TimeRange::new(self.seen_from(grid.start_ms), self.seen_from(grid.end_ms()))
    }
}

/// A range selector's place and width.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RangeSpec {
    pub(crate) place: Place,
    pub(crate) range_ms: i64,
    pub(crate) mode: Option<RangeMode>,
    pub(crate) lookback_ms: i64,
    /// Where the windows that are left are longer than the range: how many of them a result is made of. 0: of none.
    pub(crate) least_windows: usize,
}

impl RangeSpec {
    /// How far samples may lie before and after the range proper: only the experimental modes look there.
    fn margins(&self) -> (i64, i64) {
        match self.mode {
            None => (0, 0),
            Some(RangeMode::Anchored) => (self.lookback_ms, 0),
            Some(RangeMode::Smoothed) => (self.lookback_ms, self.lookback_ms),
        }
    }

    /// How long one window is.
    pub(crate) fn width_ms(&self) -> i64 {
        let (before, after) = self.margins();
        self.range_ms.saturating_add(before).saturating_add(after)
    }

    /// How far one reaches past its end.
    pub(crate) fn after_ms(&self) -> i64 {
        self.margins().1
    }

    /// All samples that any step of `grid` looks at.
    pub(crate) fn span(&self, grid: Grid) -> TimeRange {
        let (before, after) = self.margins();
        let span = self.place.span(grid);
        TimeRange::new(
            span.min_ms.saturating_sub(self.range_ms).saturating_sub(before).saturating_add(1),
            span.max_ms.saturating_add(after),
        )
    }
}

/// The samples of one series that one step looks at: those in `(start, end]`, and with the experimental
/// modes some around them.
#[derive(Clone, Debug)]
pub(crate) struct Window<'a> {
    pub(crate) samples: &'a Samples,
    pub(crate) float_range: Range<usize>,
    pub(crate) histogram_range: Range<usize>,
    pub(crate) step: usize,
    /// The time of the step itself.
    pub(crate) eval_ms: i64,
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    /// How much of what happened in this time is the range's.
    pub(crate) share: f64,
}

impl<'a> Window<'a> {
    #[inline]
    pub(crate) fn t(&self) -> &'a [i64] {
        &self.samples.t[self.float_range.clone()]
    }

    #[inline]
    pub(crate) fn v(&self) -> &'a [f64] {
        &self.samples.v[self.float_range.clone()]
    }

    pub(crate) fn ht(&self) -> &'a [i64] {
        &self.samples.ht[self.histogram_range.clone()]
    }

    pub(crate) fn h(&self) -> &'a [Arc<FloatHistogram>] {
        &self.samples.h[self.histogram_range.clone()]
    }

    /// Start timestamps of the floats; empty where they are not looked at.
    pub(crate) fn st(&self) -> &'a [i64] {
        self.samples.st.get(self.float_range.clone()).unwrap_or(&[])
    }

    pub(crate) fn hst(&self) -> &'a [i64] {
        self.samples.hst.get(self.histogram_range.clone()).unwrap_or(&[])
    }

    /// How many raw samples the floats stand for, where they do not stand for themselves; else empty.
    pub(crate) fn n(&self) -> &'a [f64] {
        self.samples.n.get(self.float_range.clone()).unwrap_or(&[])
    }

    pub(crate) fn hn(&self) -> &'a [f64] {
        self.samples.hn.get(self.histogram_range.clone()).unwrap_or(&[])
    }

    pub(crate) fn is_mixed(&self) -> bool {
        !self.float_range.is_empty() && !self.histogram_range.is_empty()
    }
}

/// Calls `visit` with the window of each step that has any sample.
#[inline]
pub(crate) fn each_window<'a>(
    samples: &'a Samples,
    spec: &RangeSpec,
    grid: Grid,
    mut visit: impl FnMut(Window<'a>),
) {
    let (before, after) = spec.margins();
    let (mut floats, mut histograms) = (Sliding::default(), Sliding::default());
    for step in 0..grid.len {
        let eval_ms = grid.time(step);
        let end_ms = spec.place.seen_from(eval_ms);
        let start_ms = end_ms.saturating_sub(spec.range_ms);
        let (from, to) = (start_ms.saturating_sub(before), end_ms.saturating_add(after));
        let (floats, histograms) =
            (floats.rows(&samples.t, from, to), histograms.rows(&samples.ht, from, to));
        let window = |float_range, histogram_range, (start_ms, end_ms), share| Window {
            samples,
            float_range,
            histogram_range,
            step,
            eval_ms,
            start_ms,
            end_ms,
            share,
        };
        if let Some(stretch) = Stretch::of_floats(samples, spec, (end_ms, floats.end)) {
            visit(window(stretch.rows.clone(), 0..0, stretch.times(), stretch.share(spec)));
        } else if let Some(stretch) = Stretch::of_histograms(samples, spec, (end_ms, histograms.end)) {
            visit(window(0..0, stretch.rows.clone(), stretch.times(), stretch.share(spec)));
        } else if !floats.is_empty() || !histograms.is_empty() {
            visit(window(floats, histograms, (start_ms, end_ms), 1.0));
        }
    }
}

/// What stands for a range that is shorter than the windows that are left of its time: the one in which the range
/// ends, and where a function compares, the one before. So nothing is found between windows, and what happened in
/// them is shared out evenly.
struct Stretch {
    rows: Range<usize>,
    start_ms: i64,
    end_ms: i64,
}

impl Stretch {
    /// `seen` is the end of the range, and how many rows are not after it.
    #[inline]
    fn of_floats(samples: &Samples, spec: &RangeSpec, seen: (i64, usize)) -> Option<Stretch> {
        if samples.widest_ms <= Self::enough_ms(spec) {
            return None;
        }
        Self::of((&samples.t, &samples.windows), samples.allowed_ms, spec, seen)
    }

    #[inline]
    fn of_histograms(samples: &Samples, spec: &RangeSpec, seen: (i64, usize)) -> Option<Stretch> {
        if samples.widest_ms <= Self::enough_ms(spec) {
            return None;
        }
        Self::of((&samples.ht, &samples.hwindows), samples.allowed_ms, spec, seen)
    }

    fn of(
        (t, windows): (&[i64], &Windows),
        allowed_ms: i64,
        spec: &RangeSpec,
        (end_ms, seen): (i64, usize),
    ) -> Option<Stretch> {
        let row = seen.checked_sub(1).filter(|last| t[*last] == end_ms).unwrap_or(seen);
        if row >= t.len() {
            return None;
        }
        let (width_ms, begin_ms) = (windows.width_ms(row), windows.begin_ms(t, row));
        let least_ms = width_ms.saturating_mul(spec.least_windows as i64);
        // Of one window there are several rows where its chunk ended within it, and nothing is between those.
        let has_begun =
            begin_ms <= end_ms || t[row].div_euclid(width_ms.max(1)) == end_ms.div_euclid(width_ms.max(1));
        if width_ms <= allowed_ms || spec.range_ms >= least_ms || !has_begun {
            return None;
        }
        if spec.least_windows == 1 {
            return Some(Stretch {
                rows: row..row + 1,
                start_ms: begin_ms.saturating_sub(1),
                end_ms: t[row],
            });
        }
        let before = row.checked_sub(1).filter(|before| begin_ms.saturating_sub(t[*before]) <= width_ms)?;
        Some(Stretch { rows: before..row + 1, start_ms: t[before], end_ms: t[row] })
    }

    /// Windows up to so long do not need it.
    fn enough_ms(spec: &RangeSpec) -> i64 {
        if spec.least_windows == 0 { i64::MAX } else { spec.range_ms / spec.least_windows as i64 }
    }

    fn times(&self) -> (i64, i64) {
        (self.start_ms, self.end_ms)
    }

    fn share(&self, spec: &RangeSpec) -> f64 {
        spec.range_ms as f64 / self.end_ms.saturating_sub(self.start_ms).max(1) as f64
    }
}

/// Which floats a step looks at, and where: what is left of a window where there is nothing else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// The time of the step itself.
    pub(crate) eval_ms: i64,
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    /// As that of a [`Window`].
    pub(crate) share: f64,
}

/// The span of each step. Only for plain ranges, without any of the experimental modes.
#[inline]
pub(crate) fn spans(samples: &Samples, spec: &RangeSpec, grid: Grid) -> impl Iterator<Item = Span> {
    let (t, mut window) = (&samples.t, Sliding::default());
    grid.times().map(move |eval_ms| {
        let end_ms = spec.place.seen_from(eval_ms);
        let start_ms = end_ms.saturating_sub(spec.range_ms);
        let Range { start: from, end: to } = window.rows(t, start_ms, end_ms);
        match Stretch::of_floats(samples, spec, (end_ms, to)) {
            None => Span { from, to, eval_ms, start_ms, end_ms, share: 1.0 },
            Some(stretch) => {
                let ((start_ms, end_ms), share) = (stretch.times(), stretch.share(spec));
                Span { from: stretch.rows.start, to: stretch.rows.end, eval_ms, start_ms, end_ms, share }
            }
        }
    })
}

/// A window of rows that moves forward.
#[derive(Clone, Copy, Default)]
struct Sliding {
    starts: Passed,
    ends: Passed,
}

impl Sliding {
    /// Those with times in `(from, to]`.
    #[inline]
    fn rows(&mut self, t: &[i64], from: i64, to: i64) -> Range<usize> {
        let to = self.ends.move_to(t, to);
        self.starts.move_to(t, from).min(to)..to
    }
}

/// How many rows of a column lie behind one that moves forward: mostly as many more as the time before.
#[derive(Clone, Copy, Default)]
struct Passed {
    rows: usize,
    last: usize,
}

impl Passed {
    /// Those that are not after a time.
    #[inline]
    fn move_to(&mut self, t: &[i64], ms: i64) -> usize {
        let is_passed = |row: usize| t.get(row).is_some_and(|t| *t <= ms);
        let mut rows = self.rows;
        if self.last > 0 && is_passed(rows + self.last - 1) {
            rows += self.last;
        }
        while is_passed(rows) {
            rows += 1;
        }
        (self.last, self.rows) = (rows - self.rows, rows);
        rows
    }
}

/// The sample that an instant selector sees.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen<'a> {
    Float { t_ms: i64, start_ms: i64, v: f64 },
    Histogram { t_ms: i64, start_ms: i64, h: &'a Arc<FloatHistogram> },
}

/// A row of either kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    Histogram(usize),
    Float(usize),
}

/// Which row is seen at a time though none before it is young enough, where some are downsampled: the newest one until
/// the window behind its own ends, then one whose window has begun. `next` are the first float and histogram behind.
#[cold]
fn within_window(samples: &Samples, next: (usize, usize), at: i64) -> Option<Row> {
    let (floats, histograms) = next;
    let float = |row: usize| Some((*samples.t.get(row)?, Row::Float(row)));
    let histogram = |row: usize| Some((*samples.ht.get(row)?, Row::Histogram(row)));
    let is_fresh = |(t, row): &(i64, Row)| {
        let width_ms = match *row {
            Row::Float(row) => samples.windows.width_ms(row),
            Row::Histogram(row) => samples.hwindows.width_ms(row),
        };
        at < end_ms(*t, width_ms).saturating_add(width_ms)
    };
    let has_begun = |(_, row): &(i64, Row)| {
        let begin_ms = match *row {
            Row::Float(row) => samples.windows.begin_ms(&samples.t, row),
            Row::Histogram(row) => samples.hwindows.begin_ms(&samples.ht, row),
        };
        begin_ms <= at
    };
    let before = floats.checked_sub(1).and_then(float).max(histograms.checked_sub(1).and_then(histogram));
    let behind = || float(floats).into_iter().chain(histogram(histograms)).min();
    let seen = before.filter(is_fresh).or_else(|| behind().filter(has_begun))?;
    Some(seen.1)
}

/// Calls `visit` with the newest sample of each step that is not older than the lookback, nor a stale
/// marker.
#[inline]
pub(crate) fn each_seen<'a>(
    samples: &'a Samples,
    (place, lookback_ms): (Place, i64),
    grid: Grid,
    mut visit: impl FnMut(usize, Seen<'a>),
) {
    let (mut passed, mut hpassed) = (Passed::default(), Passed::default());
    let is_coarse = !samples.windows.is_empty() || !samples.hwindows.is_empty();
    for step in 0..grid.len {
        let at = place.seen_from(grid.time(step));
        let (floats, histograms) = (passed.move_to(&samples.t, at), hpassed.move_to(&samples.ht, at));
        let float_t = floats.checked_sub(1).map(|i| samples.t[i]);
        let histogram_t = histograms.checked_sub(1).map(|i| samples.ht[i]);
        let is_old = |t: i64| t <= at.saturating_sub(lookback_ms);
        let row = if float_t.max(histogram_t).is_none_or(is_old) {
            if !is_coarse {
                continue;
            }
            let Some(row) = within_window(samples, (floats, histograms), at) else { continue };
            row
        } else if float_t >= histogram_t {
            Row::Float(floats - 1)
        } else {
            Row::Histogram(histograms - 1)
        };
        match row {
            Row::Float(row) => {
                let v = samples.v[row];
                if !is_stale_nan(v) {
                    let start_ms = samples.st.get(row).copied().unwrap_or(0);
                    visit(step, Seen::Float { t_ms: samples.t[row], start_ms, v });
                }
            }
            Row::Histogram(row) => {
                let h = &samples.h[row];
                if !h.is_stale() {
                    let start_ms = samples.hst.get(row).copied().unwrap_or(0);
                    visit(step, Seen::Histogram { t_ms: samples.ht[row], start_ms, h });
                }
            }
        }
    }
}
