//! `rate`, `increase`, `delta`: the slope between the first and the last sample of a range, extended to the
//! range's ends; `irate`, `idelta`: the slope between the last two.

use super::histogram_rate;
use crate::annotations::{Note, Operation};
use crate::exec::coarse::Windows;
use crate::exec::range::{Out, RangeContext};
use crate::exec::samples::Samples;
use crate::exec::window::{RangeSpec, Span, Window};
use crate::histogram::{self, detect_reset};
use nilometer_model::{CounterReset, FloatHistogram};
use std::ops::Range;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Rate,
    Increase,
    Delta,
}

impl Kind {
    pub(crate) fn is_counter(self) -> bool {
        self != Kind::Delta
    }

    pub(crate) fn is_rate(self) -> bool {
        self == Kind::Rate
    }

    /// The time that the result is per, where it is.
    fn seconds(self, spec: &RangeSpec) -> Option<f64> {
        self.is_rate().then(|| spec.range_ms as f64 / 1000.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instant {
    Rate,
    Delta,
}

/// Where a series of floats was reset: the indexes of the samples right after. Found once, so that a window
/// costs what resets it has, not what samples.
pub(crate) struct Resets(Vec<usize>);

impl Resets {
    pub(crate) fn of(kind: Kind, samples: &Samples) -> Self {
        if !kind.is_counter() {
            return Resets(Vec::new());
        }
        let Samples { t, v, st, .. } = samples;
        let mut resets = Vec::new();
        for (i, pair) in v.windows(2).enumerate() {
            let started = |st: &[i64]| start_says_reset((st[i], t[i]), (st[i + 1], t[i + 1]));
            if pair[1] < pair[0] || !st.is_empty() && started(st) {
                resets.push(i + 1);
            }
        }
        Resets(resets)
    }

    /// Those after the first sample of a window.
    fn between(&self, from: usize, to: usize) -> &[usize] {
        let from = self.0.partition_point(|i| *i <= from);
        let to = self.0.partition_point(|i| *i < to);
        &self.0[from..to.max(from)]
    }
}

/// Whether a start timestamp tells that a counter began anew after the sample before. Samples are
/// `(start, time)`, a start of 0 is not known.
pub(crate) fn start_says_reset(before: (i64, i64), now: (i64, i64)) -> bool {
    let ((before_start, before_t), (start, t)) = (before, now);
    if start == 0 || start >= t || start < before_t {
        return false;
    }
    // Exactly at the sample before: so it is with deltas, whose starts are known.
    start > before_t || before_start <= before_t && before_start != 0 && before_start != before_t
}

/// Whether a start timestamp lies before the sample before without being that one's start.
pub(crate) fn starts_overlap(before: (i64, i64), start: i64) -> bool {
    start != 0 && start < before.1 && start != before.0
}

/// What a window holds, seen as two ends.
#[derive(Clone, Copy)]
struct Ends {
    first_t: i64,
    last_t: i64,
    /// Samples less one.
    gaps: usize,
    /// The start timestamp of the first sample, 0 where not known.
    first_start: i64,
    /// For counters, the first value: nothing is extended below zero.
    first_value: f64,
    /// How long the times are that the first and the last sample stand for; 0 for raw ones.
    widths: (i64, i64),
}

/// How what lies between the ends is made to stand for the whole range.
struct Extension {
    factor: f64,
    /// The counter began at zero within the range, so the first value is part of the increase.
    adds_first: bool,
}

/// Where the samples of a window lie in it. Who is scraped at a steady pace has windows that are all the same, so
/// the last one's is kept.
#[derive(Clone, Copy, Default)]
pub(crate) struct Extent {
    to_start_ms: i64,
    sampled_ms: i64,
    to_end_ms: i64,
    gaps: usize,
    widths: (i64, i64),
    is_known: bool,
    /// In seconds, how much is added at the ends.
    to_start: f64,
    sampled: f64,
    to_end: f64,
    factor: f64,
}

impl Extent {
    #[inline]
    fn refresh(&mut self, ends: &Ends, (start_ms, end_ms): (i64, i64), seconds: Option<f64>) {
        // Times of a damaged chunk can be anything.
        let to_start_ms = ends.first_t.saturating_sub(start_ms);
        let sampled_ms = ends.last_t.saturating_sub(ends.first_t);
        let to_end_ms = end_ms.saturating_sub(ends.last_t);
        let is_same = (self.to_start_ms, self.sampled_ms, self.to_end_ms, self.gaps, self.widths)
            == (to_start_ms, sampled_ms, to_end_ms, ends.gaps, ends.widths);
        if self.is_known && is_same {
            return;
        }
        let (mut to_start, mut to_end) = (to_start_ms as f64 / 1000.0, to_end_ms as f64 / 1000.0);
        let sampled = sampled_ms as f64 / 1000.0;
        let between = if ends.gaps > 0 { sampled / ends.gaps as f64 } else { 0.0 };
        // A sample near an end of the range stands for all of the time up to it; otherwise the series is taken to
        // begin or end half a sample's distance away. Windows of downsampled samples keep theirs among raw ones.
        let extended = |to_edge: f64, width_ms: i64| {
            let distance = between.max(width_ms as f64 / 1000.0);
            if to_edge >= distance * 1.1 { distance / 2.0 } else { to_edge }
        };
        to_start = extended(to_start, ends.widths.0);
        to_end = extended(to_end, ends.widths.1);
        let factor = factor((sampled, to_start, to_end), seconds);
        let (gaps, widths, is_known) = (ends.gaps, ends.widths, true);
        *self = Extent {
            to_start_ms,
            sampled_ms,
            to_end_ms,
            gaps,
            widths,
            is_known,
            to_start,
            sampled,
            to_end,
            factor,
        };
    }
}

/// By what a result is multiplied to stand for all three parts, and to be per second of `seconds`.
#[inline]
fn factor((sampled, to_start, to_end): (f64, f64, f64), seconds: Option<f64>) -> f64 {
    let whole = if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled };
    seconds.map_or(whole, |seconds| whole / seconds)
}

/// The same as [`extrapolated`] where there is nothing but floats, as nearly everywhere.
pub(crate) fn of_floats<'a>(
    kind: Kind,
    samples: &'a Samples,
    resets: &'a Resets,
    spec: &RangeSpec,
) -> impl FnMut(Span) -> Option<f64> + 'a {
    let (mut extent, seconds) = (Extent::default(), kind.seconds(spec));
    move |Span { from, to, start_ms, end_ms, share, .. }| {
        let rate = of_window(kind, (samples, from..to), (start_ms, end_ms), (resets, &mut extent, seconds));
        rate.map(|rate| rate * share)
    }
}

/// What the floats of a window give.
#[inline]
fn of_window(
    kind: Kind,
    (samples, rows): (&Samples, Range<usize>),
    window: (i64, i64),
    (resets, extent, seconds): (&Resets, &mut Extent, Option<f64>),
) -> Option<f64> {
    let (t, v) = (samples.t.get(rows.clone())?, samples.v.get(rows.clone())?);
    let (first_t, last_t, first_value) = (*t.first()?, *t.last()?, *v.first()?);
    let mut total = v.last()? - first_value;
    if !resets.0.is_empty() {
        for reset in resets.between(rows.start, rows.end) {
            total += samples.v[*reset - 1];
        }
    }
    let first_start = samples.st.get(rows.start).copied().unwrap_or(0);
    let widths = widths(&samples.windows, &rows);
    let ends = Ends { first_t, last_t, gaps: v.len() - 1, first_start, first_value, widths };
    let Extension { factor, adds_first } = ends.extension(kind, total, window, (extent, seconds))?;
    if adds_first {
        total += first_value;
    }
    Some(total * factor)
}

/// Of the first and the last of some rows.
#[inline]
fn widths(all: &Windows, rows: &Range<usize>) -> (i64, i64) {
    (all.width_ms(rows.start), all.width_ms(rows.end.saturating_sub(1)))
}

pub(crate) fn extrapolated(
    kind: Kind,
    w: &Window<'_>,
    (resets, extent): (&Resets, &mut Extent),
    cx: &mut RangeContext<'_>,
) -> Out {
    if w.is_mixed() {
        cx.note(&Note::MixedFloatsHistograms { name: cx.name });
        return Out::None;
    }
    if w.h().is_empty() {
        return floats(kind, w, (resets, extent), cx).map_or(Out::None, Out::Float);
    }
    histograms(kind, w, extent, cx).map_or(Out::None, |h| Out::Histogram(Arc::new(h)))
}

#[inline]
fn floats(
    kind: Kind,
    w: &Window<'_>,
    (resets, extent): (&Resets, &mut Extent),
    cx: &mut RangeContext<'_>,
) -> Option<f64> {
    let (t, st) = (w.t(), w.st());
    if kind.is_counter() && (1..st.len()).any(|i| starts_overlap((st[i - 1], t[i - 1]), st[i])) {
        cx.note(&Note::StartTimeOverlap { name: cx.name });
    }
    let rows = (w.samples, w.float_range.clone());
    let rate = of_window(kind, rows, (w.start_ms, w.end_ms), (resets, extent, kind.seconds(cx.spec)));
    rate.map(|rate| rate * w.share)
}

fn histograms(
    kind: Kind,
    w: &Window<'_>,
    extent: &mut Extent,
    cx: &mut RangeContext<'_>,
) -> Option<FloatHistogram> {
    let (t, h, st) = (w.ht(), w.h(), w.hst());
    let difference = if h.len() > 1 { Some(histogram_rate::difference(kind, (t, h, st), cx)?) } else { None };
    let ends = Ends {
        first_t: t[0],
        last_t: t[t.len() - 1],
        gaps: h.len() - 1,
        first_start: st.first().copied().unwrap_or(0),
        first_value: h[0].count,
        widths: widths(&w.samples.hwindows, &w.histogram_range),
    };
    let total = difference.as_ref().map_or(0.0, |h| h.count);
    let Extension { factor, adds_first } =
        ends.extension(kind, total, (w.start_ms, w.end_ms), (extent, kind.seconds(cx.spec)))?;
    let mut result = match (difference, adds_first) {
        (None, _) => adds_first.then(|| (*h[0]).clone())?,
        (Some(result), false) => result,
        (Some(mut result), true) => {
            histogram_rate::add_noting(&mut result, &h[0], cx)?;
            result
        }
    };
    histogram::scale(&mut result, factor * w.share);
    Some(result)
}

impl Ends {
    /// `None`: too little is known.
    #[inline]
    fn extension(
        self,
        kind: Kind,
        total: f64,
        window: (i64, i64),
        (extent, seconds): (&mut Extent, Option<f64>),
    ) -> Option<Extension> {
        extent.refresh(&self, window, seconds);
        let Extent { sampled, to_start, to_end, .. } = *extent;
        let start = self.first_start;
        if kind.is_counter() && start != 0 && start > window.0 && start < self.first_t {
            // The counter began within the range, at zero: no need to guess.
            let sampled = self.last_t.saturating_sub(start) as f64 / 1000.0;
            return Some(Extension { factor: factor((sampled, 0.0, to_end), seconds), adds_first: true });
        }
        if self.gaps == 0 {
            return None;
        }
        // A counter was never negative: it is extended at most back to where it would have been zero.
        if kind.is_counter() && total > 0.0 && self.first_value >= 0.0 {
            let to_zero = sampled * (self.first_value / total);
            if to_zero < to_start {
                return Some(Extension {
                    factor: factor((sampled, to_zero, to_end), seconds),
                    adds_first: false,
                });
            }
        }
        Some(Extension { factor: extent.factor, adds_first: false })
    }
}

/// One of the last two samples.
struct Last<'a> {
    t: i64,
    st: i64,
    v: f64,
    h: Option<&'a Arc<FloatHistogram>>,
}

pub(crate) fn instant(kind: Instant, w: &Window<'_>, cx: &mut RangeContext<'_>) -> Out {
    if w.t().len() + w.ht().len() < 2 {
        return Out::None;
    }
    let [a, b] = last_two(w);
    let is_rate = kind == Instant::Rate;
    let interval = b.t.saturating_sub(a.t);
    if interval == 0 {
        return Out::None;
    }
    let started_anew = start_says_reset((a.st, a.t), (b.st, b.t));
    let per = |v: f64| if is_rate { v / (interval as f64 / 1000.0) } else { v };
    match (a.h, b.h) {
        (None, None) => {
            let reset = is_rate && (b.v < a.v || started_anew);
            Out::Float(per(if reset { b.v } else { b.v - a.v }))
        }
        (Some(before), Some(now)) => {
            let gauges = [before, now].map(|h| h.reset == CounterReset::Gauge);
            if is_rate && gauges.contains(&true) {
                cx.note(&Note::NotCounter { name: cx.name });
            }
            if !is_rate && gauges.contains(&false) {
                cx.note(&Note::NotGauge { name: cx.name });
            }
            let mut h = (**now).clone();
            if !is_rate || (!started_anew && !detect_reset(now, before)) {
                match histogram::subtract(&mut h, before) {
                    Err(_) => {
                        cx.note(&Note::MixedExponentialCustom { name: cx.name });
                        return Out::None;
                    }
                    Ok(done) if done.bounds_reconciled => {
                        cx.note(&Note::MismatchedCustomBuckets { during: Operation::Subtraction });
                    }
                    Ok(_) => {}
                }
            }
            h.reset = CounterReset::Gauge;
            histogram::compact(&mut h);
            if is_rate {
                histogram::divide(&mut h, interval as f64 / 1000.0);
            }
            Out::Histogram(Arc::new(h))
        }
        _ => {
            cx.note(&Note::MixedFloatsHistograms { name: cx.name });
            Out::None
        }
    }
}

/// The newest two samples of either kind, older first.
fn last_two<'a>(w: &Window<'a>) -> [Last<'a>; 2] {
    let start = |st: &[i64], i: usize| st.get(i).copied().unwrap_or(0);
    let floats = w.t().iter().enumerate().rev().take(2).map(|(i, t)| Last {
        t: *t,
        st: start(w.st(), i),
        v: w.v()[i],
        h: None,
    });
    let histograms = w.ht().iter().enumerate().rev().take(2).map(|(i, t)| Last {
        t: *t,
        st: start(w.hst(), i),
        v: 0.0,
        h: Some(&w.h()[i]),
    });
    let mut all: Vec<Last<'a>> = floats.chain(histograms).collect();
    all.sort_by_key(|last| std::cmp::Reverse(last.t));
    all.truncate(2);
    match (all.pop(), all.pop()) {
        (Some(a), Some(b)) => [a, b],
        _ => unreachable!("the caller saw two samples"),
    }
}
