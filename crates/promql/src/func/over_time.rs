//! `…_over_time`: one number for all samples of a range.
//!
//! Nothing is ever subtracted from a running sum: sums are recomputed for each window in Prometheus' order (those of
//! thinned out samples have none, see [`super::sliding`]), least and greatest values come from a queue of candidates.

use super::quantile as quantiles;
use super::sliding::Sliding;
use crate::annotations::{Note, Operation};
use crate::exec::range::{Out, RangeContext, Steps};
use crate::exec::samples::Samples;
use crate::exec::window::Window;
use crate::func::time::seconds;
use crate::histogram::{How, Incompatible, Wide};
use nilometer_model::kahan::{Mean, Sum, Sums};
use nilometer_model::{CounterReset, FloatHistogram, Result};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Avg,
    Sum,
    Min,
    Max,
    Count,
    First,
    Last,
    Stddev,
    Stdvar,
    Mad,
    TimeOfFirst,
    TimeOfLast,
    TimeOfMin,
    TimeOfMax,
}

impl Kind {
    pub(crate) fn by_name(name: &str) -> Option<Kind> {
        Some(match name {
            "avg_over_time" => Kind::Avg,
            "sum_over_time" => Kind::Sum,
            "min_over_time" => Kind::Min,
            "max_over_time" => Kind::Max,
            "count_over_time" => Kind::Count,
            "first_over_time" => Kind::First,
            "last_over_time" => Kind::Last,
            "stddev_over_time" => Kind::Stddev,
            "stdvar_over_time" => Kind::Stdvar,
            "mad_over_time" => Kind::Mad,
            "ts_of_first_over_time" => Kind::TimeOfFirst,
            "ts_of_last_over_time" => Kind::TimeOfLast,
            "ts_of_min_over_time" => Kind::TimeOfMin,
            "ts_of_max_over_time" => Kind::TimeOfMax,
            _ => return None,
        })
    }
}

pub(crate) fn run(kind: Kind, steps: &mut Steps<'_>) {
    if let Some(samples) = steps.plain_windows()
        && let Some(of_windows) = OfWindows::new(kind, samples)
    {
        of_windows.run(steps);
        return;
    }
    match kind {
        Kind::Avg => steps.each(average),
        Kind::Sum => steps.each(sum),
        Kind::Count => steps.each(|w, _| Out::Float(count(w))),
        Kind::First => steps.each(|w, _| first(w)),
        Kind::Last => steps.each(|w, _| last(w)),
        Kind::Stdvar => steps.each(|w, cx| of_floats(w, cx, variance)),
        Kind::Stddev => steps.each(|w, cx| of_floats(w, cx, |v| variance(v).sqrt())),
        Kind::Mad => steps.each(|w, cx| of_floats(w, cx, median_deviation)),
        Kind::TimeOfFirst => steps.each(|w, _| {
            let first = w.t().first().into_iter().chain(w.ht().first()).min();
            first.map_or(Out::None, |t| Out::Float(seconds(*t)))
        }),
        Kind::TimeOfLast => steps.each(|w, _| {
            let last = w.t().last().into_iter().chain(w.ht().last()).max();
            last.map_or(Out::None, |t| Out::Float(seconds(*t)))
        }),
        Kind::Min | Kind::Max | Kind::TimeOfMin | Kind::TimeOfMax => {
            let mut extreme = Extreme::new(kind);
            if steps.are_apart() {
                steps.each(|w, cx| extreme.of_one(w, cx));
            } else {
                steps.each(|w, cx| extreme.of(w, cx));
            }
        }
    }
}

pub(crate) fn quantile(w: &Window<'_>, q: f64, cx: &mut RangeContext<'_>) -> Out {
    if !w.v().is_empty() && (q.is_nan() || !(0.0..=1.0).contains(&q)) {
        cx.note(&Note::InvalidQuantile(q));
    }
    of_floats(w, cx, |v| quantiles::quantile(q, &mut v.to_vec()))
}

/// A function of the floats; histograms beside them are left out, which is noted.
fn of_floats(w: &Window<'_>, cx: &mut RangeContext<'_>, f: impl FnOnce(&[f64]) -> f64) -> Out {
    if w.v().is_empty() {
        return Out::None;
    }
    if w.is_mixed() {
        cx.note(&Note::HistogramIgnoredInMixedRange { name: cx.name });
    }
    Out::Float(f(w.v()))
}

fn count(w: &Window<'_>) -> f64 {
    let floats = if w.n().is_empty() { w.t().len() as f64 } else { w.n().iter().sum() };
    (floats + w.ht().len() as f64) * w.share
}

fn average(w: &Window<'_>, cx: &mut RangeContext<'_>) -> Out {
    if w.is_mixed() {
        cx.note(&Note::MixedFloatsHistograms { name: cx.name });
        return Out::None;
    }
    if !w.n().is_empty()
        && let Some(of_windows) = OfWindows::new(Kind::Avg, w.samples)
    {
        let rows = w.float_range.clone();
        return Out::Float(of_windows.result(of_windows.added_up(rows.clone()), rows));
    }
    if !w.hn().is_empty() {
        let samples: f64 = w.hn().iter().sum();
        return of_histograms(w, cx, |h, notes| {
            let mut sum = Wide::new(&h[0]);
            for h in &h[1..] {
                notes.reconciled |= sum.add(h, How::Compensated)?.bounds_reconciled;
            }
            sum.divide(samples);
            Ok(sum.into_histogram())
        });
    }
    if w.v().is_empty() {
        return of_histograms(w, cx, |h, notes| {
            let mut mean = HistogramMean::new(&h[0]);
            for h in &h[1..] {
                notes.reconciled |= mean.add(h)?;
            }
            Ok(mean.mean())
        });
    }
    let mut mean = Mean::default();
    w.v().iter().for_each(|v| mean.add(*v));
    Out::Float(mean.mean())
}

fn sum(w: &Window<'_>, cx: &mut RangeContext<'_>) -> Out {
    if w.is_mixed() {
        cx.note(&Note::MixedFloatsHistograms { name: cx.name });
        return Out::None;
    }
    if w.v().is_empty() {
        return of_histograms(w, cx, |h, notes| {
            let mut sum = Wide::new(&h[0]);
            for h in &h[1..] {
                notes.reconciled |= sum.add(h, How::Compensated)?.bounds_reconciled;
            }
            sum.scale(w.share);
            Ok(sum.into_histogram())
        });
    }
    Out::Float(w.share * shown(w.v().iter().copied()))
}

/// Floats that were thinned out: their sums are added up once for all steps.
struct OfWindows<'a> {
    kind: Kind,
    /// What is added up, and of how many samples it is; the same twice where only one matters.
    columns: [&'a [f64]; 2],
    sliding: Sliding,
}

impl<'a> OfWindows<'a> {
    fn new(kind: Kind, Samples { v, n, .. }: &'a Samples) -> Option<Self> {
        let columns: [&[f64]; 2] = match kind {
            Kind::Avg if !n.is_empty() => [v, n],
            Kind::Count if !n.is_empty() => [n, n],
            Kind::Sum => [v, v],
            _ => return None,
        };
        Some(OfWindows { kind, columns, sliding: Sliding::default() })
    }

    fn run(mut self, steps: &mut Steps<'_>) {
        let (are_apart, kind) = (steps.are_apart(), self.kind);
        steps.each_span(|span| {
            let rows = span.from..span.to;
            let share = if kind == Kind::Avg { 1.0 } else { span.share };
            // Those of long windows may overlap nevertheless.
            let sums = match rows.len() {
                0 => return None,
                _ if are_apart => self.added_up(rows.clone()),
                _ => self.sliding.sums(self.columns, span.from, span.to),
            };
            Some(share * self.result(sums, rows))
        });
    }

    fn added_up(&self, rows: Range<usize>) -> Option<[f64; 2]> {
        let [a, b] = self.columns.map(|column| &column[rows.clone()]);
        let mut sums = Sums::ZERO;
        a.iter().zip(b).for_each(|(a, b)| sums.add([*a, *b]));
        sums.totals()
    }

    fn result(&self, sums: Option<[f64; 2]>, rows: Range<usize>) -> f64 {
        match (self.kind, sums) {
            (Kind::Avg, Some([sum, samples])) => sum / samples,
            (_, Some([sum, _])) => sum,
            // Too large together, or not a number: then that is what comes out.
            (Kind::Avg, None) => {
                let [v, n] = self.columns.map(|column| &column[rows.clone()]);
                let samples: f64 = n.iter().sum();
                shown(v.iter().map(|v| v / samples))
            }
            (_, None) => shown(self.columns[0][rows].iter().copied()),
        }
    }
}

/// A sum, which may be infinite.
fn shown(terms: impl Iterator<Item = f64>) -> f64 {
    let mut sum = Sum::default();
    terms.for_each(|v| sum.add(v));
    if sum.value.is_infinite() { sum.value } else { sum.total() }
}

#[derive(Default)]
struct HistogramNotes {
    reconciled: bool,
}

fn of_histograms(
    w: &Window<'_>,
    cx: &mut RangeContext<'_>,
    f: impl FnOnce(&[Arc<FloatHistogram>], &mut HistogramNotes) -> Result<FloatHistogram, Incompatible>,
) -> Out {
    let mut notes = HistogramNotes::default();
    let Ok(h) = f(w.h(), &mut notes) else {
        cx.note(&Note::MixedExponentialCustom { name: cx.name });
        return Out::None;
    };
    let says = |reset| w.h().iter().any(|h| h.reset == reset);
    if says(CounterReset::Reset) && says(CounterReset::NotReset) {
        cx.note(&Note::CounterResetCollision { during: Operation::Aggregation });
    }
    if notes.reconciled {
        cx.note(&Note::MismatchedCustomBuckets { during: Operation::Aggregation });
    }
    Out::Histogram(Arc::new(h))
}

/// The mean of histograms, as [`Mean`] is that of floats.
#[derive(Clone, Debug)]
pub(crate) struct HistogramMean {
    sum: Wide,
    count: f64,
    running: bool,
}

impl HistogramMean {
    pub(crate) fn new(first: &FloatHistogram) -> Self {
        HistogramMean { sum: Wide::new(first), count: 1.0, running: false }
    }

    /// Whether custom bounds had to be reconciled.
    pub(crate) fn add(&mut self, h: &FloatHistogram) -> Result<bool, Incompatible> {
        self.count += 1.0;
        if !self.running {
            let mut sum = self.sum.clone();
            let done = sum.add(h, How::Compensated)?;
            if !sum.has_overflow() {
                self.sum = sum;
                return Ok(done.bounds_reconciled);
            }
            self.running = true;
            self.sum.divide(self.count - 1.0);
        }
        self.sum.scale((self.count - 1.0) / self.count);
        let mut share = h.clone();
        crate::histogram::divide(&mut share, self.count);
        Ok(self.sum.add(&share, How::Compensated)?.bounds_reconciled)
    }

    pub(crate) fn mean(mut self) -> FloatHistogram {
        if !self.running {
            self.sum.divide(self.count);
        }
        self.sum.into_histogram()
    }
}

fn first(w: &Window<'_>) -> Out {
    match (w.t().first(), w.ht().first()) {
        (Some(t), h) if h.is_none_or(|h| t < h) => Out::Float(w.v()[0]),
        (_, Some(_)) => Out::Histogram(w.h()[0].clone()),
        _ => Out::None,
    }
}

fn last(w: &Window<'_>) -> Out {
    match (w.t().last(), w.ht().last()) {
        (Some(t), h) if h.is_none_or(|h| h < t) => Out::Float(w.v()[w.v().len() - 1]),
        (_, Some(_)) => Out::Histogram(w.h()[w.h().len() - 1].clone()),
        _ => Out::None,
    }
}

/// Welford's, with compensation.
fn variance(v: &[f64]) -> f64 {
    let (mut count, mut mean, mut squares) = (0.0, Sum::default(), Sum::default());
    for v in v {
        count += 1.0;
        let delta = v - mean.total();
        mean.add(delta / count);
        squares.add(delta * (v - mean.total()));
    }
    squares.total() / count
}

fn median_deviation(v: &[f64]) -> f64 {
    if v.iter().any(|v| v.is_nan()) {
        return f64::NAN;
    }
    let mut values = v.to_vec();
    let median = quantiles::quantile(0.5, &mut values);
    values.iter_mut().for_each(|v| *v = (*v - median).abs());
    quantiles::quantile(0.5, &mut values)
}

/// The least or greatest value of a window that moves forward.
///
/// The queue holds the indexes of candidates, best first: whoever cannot become the best any more, because a
/// better one came later, is not in it.
struct Extreme {
    kind: Kind,
    candidates: VecDeque<usize>,
    /// The sample after the newest that was looked at.
    next: usize,
}

impl Extreme {
    fn new(kind: Kind) -> Self {
        Extreme { kind, candidates: VecDeque::new(), next: 0 }
    }

    /// Of a window that has nothing in common with the one before.
    fn of_one(&self, w: &Window<'_>, cx: &mut RangeContext<'_>) -> Out {
        let best_of = |v: &[f64]| {
            let first = (0, v[0]);
            let better =
                |best: (usize, f64), new: (usize, f64)| if self.replaces(new.1, best.1) { new } else { best };
            let (at, best) = v.iter().copied().enumerate().fold(first, better);
            match self.kind {
                Kind::Min | Kind::Max => best,
                _ => seconds(w.t()[at]),
            }
        };
        of_floats(w, cx, best_of)
    }

    fn of(&mut self, w: &Window<'_>, cx: &mut RangeContext<'_>) -> Out {
        if w.v().is_empty() {
            return Out::None;
        }
        if w.is_mixed() {
            cx.note(&Note::HistogramIgnoredInMixedRange { name: cx.name });
        }
        let all = &w.samples.v;
        for i in self.next.max(w.float_range.start)..w.float_range.end {
            while self.candidates.back().is_some_and(|last| self.replaces(all[i], all[*last])) {
                self.candidates.pop_back();
            }
            self.candidates.push_back(i);
        }
        self.next = self.next.max(w.float_range.end);
        while self.candidates.front().is_some_and(|i| *i < w.float_range.start) {
            self.candidates.pop_front();
        }
        let best = self.candidates.front().copied().unwrap_or(w.float_range.start);
        match self.kind {
            Kind::Min | Kind::Max => Out::Float(all[best]),
            _ => Out::Float(seconds(w.samples.t[best])),
        }
    }

    /// Whether a later value takes the place of an earlier one. Among equals the value is the earliest's,
    /// which tells `-0` from `0`, but the time is the latest's. NaN gives way to anything.
    fn replaces(&self, later: f64, earlier: f64) -> bool {
        if earlier.is_nan() {
            return true;
        }
        match self.kind {
            Kind::Min => later < earlier,
            Kind::Max => later > earlier,
            Kind::TimeOfMin => later <= earlier,
            _ => later >= earlier,
        }
    }
}
