//! Functions over ranges: what `rate(foo[5m])` does with one series.

use super::Context;
use super::Slots;
use super::grid::Grid;
use super::samples::Samples;
use super::stage::{ScalarRef, drop_name};
use super::table::{StepSeries, histogram_samples};
use super::window::{RangeSpec, Span, Window, each_window, spans};
use crate::annotations::{Annotations, Note};
use crate::ast::PosRange;
use crate::budget::Budget;
use crate::func::{extended, over_time, rate, regression, runs};
use nilometer_model::{Error, FloatHistogram, Labels, Result};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RangeFunc {
    Rate(rate::Kind),
    Instant(rate::Instant),
    Derivative,
    PredictLinear,
    DoubleExponentialSmoothing,
    OverTime(over_time::Kind),
    Quantile,
    Changes,
    Resets,
    /// Something is there: what `absent_over_time` is made of.
    Present,
}

impl RangeFunc {
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "rate" => RangeFunc::Rate(rate::Kind::Rate),
            "increase" => RangeFunc::Rate(rate::Kind::Increase),
            "delta" => RangeFunc::Rate(rate::Kind::Delta),
            "irate" => RangeFunc::Instant(rate::Instant::Rate),
            "idelta" => RangeFunc::Instant(rate::Instant::Delta),
            "deriv" => RangeFunc::Derivative,
            "predict_linear" => RangeFunc::PredictLinear,
            "double_exponential_smoothing" => RangeFunc::DoubleExponentialSmoothing,
            "quantile_over_time" => RangeFunc::Quantile,
            "changes" => RangeFunc::Changes,
            "resets" => RangeFunc::Resets,
            "present_over_time" | "absent_over_time" => RangeFunc::Present,
            _ => RangeFunc::OverTime(over_time::Kind::by_name(name)?),
        })
    }

    /// Of how many windows a result is made at least, where only long ones are left.
    pub(crate) fn least_windows(self) -> usize {
        match self {
            RangeFunc::Rate(_)
            | RangeFunc::Instant(_)
            | RangeFunc::Derivative
            | RangeFunc::PredictLinear
            | RangeFunc::DoubleExponentialSmoothing => 2,
            _ => 1,
        }
    }

    /// Whether the result is still the same metric.
    fn keeps_name(self) -> bool {
        matches!(self, RangeFunc::OverTime(over_time::Kind::First | over_time::Kind::Last))
    }

    pub(crate) fn uses_starts(self) -> bool {
        matches!(
            self,
            RangeFunc::Rate(rate::Kind::Rate | rate::Kind::Increase)
                | RangeFunc::Instant(rate::Instant::Rate)
                | RangeFunc::Resets
        )
    }
}

/// A call of such a function.
pub(crate) struct RangeCall {
    pub(crate) func: RangeFunc,
    pub(crate) spec: RangeSpec,
    /// The scalar arguments, in order.
    pub(crate) scalars: Vec<ScalarRef>,
    /// Of the first argument: notes point there.
    pub(crate) pos: PosRange,
    /// The names of counters end in certain ways; that is only looked at where it can be a name.
    pub(crate) check_counter: bool,
}

/// What a window gives.
#[derive(Clone, Debug)]
pub(crate) enum Out {
    None,
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// What a function may need beside the window.
pub(crate) struct RangeContext<'a> {
    pub(crate) notes: &'a mut Annotations,
    pub(crate) name: &'a str,
    pub(crate) pos: PosRange,
    pub(crate) spec: &'a RangeSpec,
}

impl RangeContext<'_> {
    pub(crate) fn note(&mut self, note: &Note<'_>) {
        self.notes.add(note, self.pos);
    }
}

/// The windows of one series, and what comes of them.
pub(crate) struct Steps<'a> {
    samples: &'a Samples,
    grid: Grid,
    cx: RangeContext<'a>,
    out: StepSeries,
    /// Samples that were looked at, each as often as it was.
    looked_at: usize,
    /// Most samples of one window.
    widest: usize,
    budget: &'a Budget,
    /// How many samples are looked at before it is asked again whether to go on.
    until_check: usize,
    failed: Option<Error>,
}

/// A fraction of a second's work.
const SAMPLES_PER_CHECK: usize = 1 << 22;

impl Steps<'_> {
    /// Whether no sample is in two windows.
    pub(crate) fn are_apart(&self) -> bool {
        self.grid.len == 1 || self.cx.spec.mode.is_none() && self.grid.step_ms >= self.cx.spec.range_ms
    }

    /// Calls `f` with each window that has samples.
    #[inline]
    pub(crate) fn each(&mut self, mut f: impl FnMut(&Window<'_>, &mut RangeContext<'_>) -> Out) {
        self.each_or_fail(|w, cx| Ok(f(w, cx)));
    }

    #[inline]
    fn each_or_fail(&mut self, mut f: impl FnMut(&Window<'_>, &mut RangeContext<'_>) -> Result<Out>) {
        let spec = self.cx.spec;
        each_window(self.samples, spec, self.grid, |window| {
            if self.failed.is_some() {
                return;
            }
            let mut count = window.float_range.len();
            if !window.histogram_range.is_empty() {
                count += window.h().iter().map(|h| histogram_samples(h)).sum::<usize>();
            }
            self.looked_at += count;
            self.widest = self.widest.max(count);
            self.until_check = self.until_check.saturating_sub(count);
            if self.until_check == 0 {
                self.until_check = SAMPLES_PER_CHECK;
                self.failed = self.budget.check_interrupt().err();
            }
            match f(&window, &mut self.cx) {
                Ok(Out::None) => {}
                Ok(Out::Float(v)) => self.out.floats[window.step] = v,
                Ok(Out::Histogram(h)) => self.out.set_histogram(window.step, h),
                Err(e) => self.failed = Some(e),
            }
        });
    }
}

/// Steps whose spans are found at once.
const SPANS: usize = 64;

impl<'a> Steps<'a> {
    /// Whether there are only floats, whose starts do not matter, and a plain range.
    fn is_plain(&self) -> bool {
        self.samples.ht.is_empty() && self.samples.st.is_empty() && self.cx.spec.mode.is_none()
    }

    /// Where they are plain, and some of them thinned out.
    pub(crate) fn plain_windows(&self) -> Option<&'a Samples> {
        (self.is_plain() && !self.samples.windows.is_empty()).then_some(self.samples)
    }

    /// For plain ones: `f` of each step with its floats.
    pub(crate) fn each_span(&mut self, mut f: impl FnMut(Span) -> Option<f64>) {
        self.some_spans(|(_, spans), out| {
            for (span, out) in spans.iter().zip(out) {
                if let Some(v) = f(*span) {
                    *out = v;
                }
            }
        });
    }

    /// For plain ones: `f` of some steps at a time, from a step on, with where their results go.
    fn some_spans(&mut self, mut f: impl FnMut((usize, &[Span]), &mut [f64])) {
        let mut spans = spans(self.samples, self.cx.spec, self.grid);
        let (mut some, mut first) = (Vec::with_capacity(SPANS), 0);
        for out in self.out.floats.chunks_mut(SPANS) {
            some.clear();
            some.extend(spans.by_ref().take(out.len()));
            let counts = some.iter().map(|span: &Span| span.to - span.from);
            let looked_at = counts.clone().sum::<usize>();
            self.looked_at += looked_at;
            self.widest = self.widest.max(counts.max().unwrap_or(0));
            f((first, &some), out);
            first += out.len();
            self.until_check = self.until_check.saturating_sub(looked_at + some.len());
            if self.until_check == 0 {
                self.until_check = SAMPLES_PER_CHECK;
                self.failed = self.budget.check_interrupt().err();
                if self.failed.is_some() {
                    return;
                }
            }
        }
    }
}

impl RangeCall {
    pub(crate) fn resolve(&mut self, slots: &mut Slots) -> Result<()> {
        self.scalars.iter_mut().try_for_each(|s| s.resolve(slots))
    }

    /// The function at each step of one series. What it looks at is counted; whether that is read is not known here.
    pub(crate) fn evaluate(
        &self,
        samples: &Samples,
        labels: &Labels,
        grid: Grid,
        cx: &mut Context,
    ) -> Result<StepSeries> {
        let range_cx = RangeContext {
            notes: &mut cx.notes,
            name: labels.metric_name(),
            pos: self.pos,
            spec: &self.spec,
        };
        let out = StepSeries::new(labels.clone(), grid.len);
        let mut steps = Steps {
            samples,
            grid,
            cx: range_cx,
            out,
            looked_at: 0,
            widest: 0,
            budget: &cx.budget,
            until_check: SAMPLES_PER_CHECK,
            failed: None,
        };
        self.dispatch(&mut steps);
        let Steps { mut out, looked_at, widest, failed, .. } = steps;
        if let Some(e) = failed {
            return Err(e);
        }
        cx.tally.windows(samples, &self.spec, grid, looked_at);
        cx.budget.check(widest, 0)?;
        if self.check_counter {
            self.note_if_no_counter(&out, cx);
        }
        if !self.func.keeps_name() {
            drop_name(&mut out, cx);
        }
        Ok(out)
    }

    fn dispatch(&self, steps: &mut Steps<'_>) {
        let scalar = |i: usize, step: usize| self.scalars.get(i).map_or(f64::NAN, |s| s.at(step));
        match self.func {
            RangeFunc::Rate(kind) if self.spec.mode.is_some() => {
                steps.each(|w, cx| extended::rate(kind, w, cx));
            }
            RangeFunc::Rate(kind) => {
                let (resets, mut extent) = (rate::Resets::of(kind, steps.samples), rate::Extent::default());
                if steps.is_plain() {
                    let (samples, spec) = (steps.samples, steps.cx.spec);
                    steps.each_span(rate::of_floats(kind, samples, &resets, spec));
                    return;
                }
                steps.each(|w, cx| rate::extrapolated(kind, w, (&resets, &mut extent), cx));
            }
            RangeFunc::Instant(kind) => steps.each(|w, cx| rate::instant(kind, w, cx)),
            RangeFunc::Derivative => {
                let mut line = regression::Line::default();
                steps.each(|w, cx| regression::derivative(&mut line, w, cx));
            }
            RangeFunc::PredictLinear => {
                let (mut line, samples) = (regression::Line::default(), steps.samples);
                if steps.is_plain() {
                    let seconds = |step| scalar(0, step);
                    steps.some_spans(|spans, out| {
                        regression::predict_floats(&mut line, samples, spans, seconds, out);
                    });
                    return;
                }
                steps.each(|w, cx| regression::predict(&mut line, w, scalar(0, w.step), cx));
            }
            RangeFunc::DoubleExponentialSmoothing => {
                steps.each_or_fail(|w, cx| regression::smooth(w, (scalar(0, w.step), scalar(1, w.step)), cx));
            }
            RangeFunc::OverTime(kind) => over_time::run(kind, steps),
            RangeFunc::Quantile => steps.each(|w, cx| over_time::quantile(w, scalar(0, w.step), cx)),
            RangeFunc::Changes => steps.each(|w, cx| runs::changes(w, cx.spec)),
            RangeFunc::Resets => steps.each(|w, cx| runs::resets(w, cx.spec)),
            RangeFunc::Present => steps.each(|_, _| Out::Float(1.0)),
        }
    }

    fn note_if_no_counter(&self, out: &StepSeries, cx: &mut Context) {
        let name = out.labels.metric_name();
        if name.is_empty() || out.floats.iter().all(|v| super::table::is_absent(*v)) {
            return;
        }
        if cx.options.type_and_unit_labels {
            let kind = out.labels.get("__type__");
            if !matches!(kind, "counter" | "histogram") {
                cx.notes.add(&Note::PossibleNonCounterType { name, kind }, self.pos);
            }
        } else if !["_total", "_sum", "_count", "_bucket"].iter().any(|end| name.ends_with(end)) {
            cx.notes.add(&Note::PossibleNonCounter { name }, self.pos);
        }
    }
}
