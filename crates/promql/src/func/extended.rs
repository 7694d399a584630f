//! The experimental `anchored` and `smoothed` ranges: nothing is extended beyond the samples; the values at
//! the ends of the range are the last ones before them, or lie on the line between the samples around them.

use super::histogram_rate::{add_noting, subtract_noting};
use super::rate::Kind;
use crate::annotations::{Note, Operation};
use crate::ast::RangeMode;
use crate::exec::Context;
use crate::exec::grid::Grid;
use crate::exec::range::{Out, RangeContext};
use crate::exec::samples::Samples;
use crate::exec::table::StepSeries;
use crate::exec::window::{Place, RangeSpec, Window, each_window};
use crate::histogram::{self, detect_reset};
use nilometer_model::{CounterReset, FloatHistogram, Labels, Sample};
use std::sync::Arc;

pub(crate) fn rate(kind: Kind, w: &Window<'_>, cx: &mut RangeContext<'_>) -> Out {
    if w.is_mixed() {
        cx.note(&Note::MixedFloatsHistograms { name: cx.name });
        return Out::None;
    }
    let Some(ends) = Ends::find(if w.t().is_empty() { w.ht() } else { w.t() }, w, cx.spec) else {
        return Out::None;
    };
    if w.t().is_empty() { histograms(kind, w, ends, cx) } else { floats(kind, w, ends, cx) }
}

/// The samples that tell the values at the ends of the range.
#[derive(Clone, Copy)]
struct Ends {
    first: usize,
    last: usize,
    smoothed: bool,
}

impl Ends {
    fn find(t: &[i64], w: &Window<'_>, spec: &RangeSpec) -> Option<Ends> {
        let smoothed = spec.mode == Some(RangeMode::Smoothed);
        let mut last = t.len().checked_sub(1)?;
        let first = t[..last].partition_point(|t| *t <= w.start_ms).saturating_sub(1);
        if smoothed {
            last = t[..last].partition_point(|t| *t < w.end_ms);
        }
        // Were the samples out of order, the first could be behind the last.
        let first = first.min(last);
        let inside = t[last] > w.start_ms && !(smoothed && t[first] > w.end_ms);
        inside.then_some(Ends { first, last, smoothed })
    }
}

fn floats(kind: Kind, w: &Window<'_>, ends: Ends, cx: &RangeContext<'_>) -> Out {
    let (t, v) = (w.t(), w.v());
    let Ends { mut first, last, smoothed } = ends;
    let counter = kind.is_counter();
    let between = |i: usize, at: i64| line((t[i], v[i]), (t[i + 1], v[i + 1]), at, counter);
    let left = if smoothed && t[first] < w.start_ms { between(first, w.start_ms) } else { v[first] };
    let right =
        if smoothed && last > 0 && t[last] > w.end_ms { between(last - 1, w.end_ms) } else { v[last] };
    let mut result = right - left;
    if counter {
        let mut end = last + 1;
        if t[first] <= w.start_ms {
            first += 1;
        }
        if t[last] >= w.end_ms {
            end -= 1;
        }
        let mut before = left;
        for v in v.get(first..end).unwrap_or(&[]).iter().chain([&right]) {
            if *v < before {
                result += before;
            }
            before = *v;
        }
    }
    Out::Float(if kind.is_rate() { result / (cx.spec.range_ms as f64 / 1000.0) } else { result })
}

/// The value at `at`, on the line between two samples. A counter that fell had begun at zero.
fn line(a: (i64, f64), b: (i64, f64), at: i64, counter: bool) -> f64 {
    let from = if counter && b.1 < a.1 { 0.0 } else { a.1 };
    from + (b.1 - from) * at.saturating_sub(a.0) as f64 / b.0.saturating_sub(a.0) as f64
}

fn histograms(kind: Kind, w: &Window<'_>, ends: Ends, cx: &mut RangeContext<'_>) -> Out {
    histogram_change(kind, w, ends, cx).map_or(Out::None, |h| Out::Histogram(Arc::new(h)))
}

fn histogram_change(
    kind: Kind,
    w: &Window<'_>,
    ends: Ends,
    cx: &mut RangeContext<'_>,
) -> Option<FloatHistogram> {
    let (t, h) = (w.ht(), w.h());
    let Ends { first, last, smoothed } = ends;
    let counter = kind.is_counter();
    for one in &h[first..=last] {
        if one.has_custom_buckets() != h[first].has_custom_buckets() {
            cx.note(&Note::MixedExponentialCustom { name: cx.name });
            return None;
        }
        if counter && one.reset == CounterReset::Gauge {
            cx.note(&Note::NotCounter { name: cx.name });
        }
    }
    let name = cx.name;
    let mut between = |i: usize, at: i64| {
        let (a, b) = ((t[i], &*h[i]), (t[i + 1], &*h[i + 1]));
        histogram_line(a, b, at, counter, &mut |note| cx.note(&note), name)
    };
    let left =
        if smoothed && t[first] < w.start_ms { between(first, w.start_ms)? } else { (*h[first]).clone() };
    let right = if smoothed && last > 0 && t[last] > w.end_ms {
        between(last - 1, w.end_ms)?
    } else {
        (*h[last]).clone()
    };
    let gauges = left.reset == CounterReset::Gauge && right.reset == CounterReset::Gauge;
    if !counter && !gauges {
        cx.note(&Note::NotGauge { name: cx.name });
    }
    let mut result = right.clone();
    subtract_noting(&mut result, &left, cx)?;
    if counter && let Some(correction) = correction(w, ends, (&left, &right), cx)? {
        add_noting(&mut result, &correction, cx)?;
    }
    if kind.is_rate() {
        histogram::divide(&mut result, cx.spec.range_ms as f64 / 1000.0);
    }
    result.reset = CounterReset::Gauge;
    histogram::compact(&mut result);
    Some(result)
}

/// What the counter had reached before each reset between the ends. Resets that an interpolation at an end
/// has already taken into account are left out.
#[allow(clippy::option_option)]
fn correction(
    w: &Window<'_>,
    ends: Ends,
    (left, right): (&FloatHistogram, &FloatHistogram),
    cx: &mut RangeContext<'_>,
) -> Option<Option<FloatHistogram>> {
    let (t, h) = (w.ht(), w.h());
    let mut from = ends.first + 1;
    let mut before = left;
    if ends.smoothed && t[ends.first] < w.start_ms && detect_reset(&h[from], &h[ends.first]) {
        before = &h[from];
        from += 1;
    }
    // `right` stands for the last sample.
    if from > ends.last {
        return Some(None);
    }
    let mut correction: Option<FloatHistogram> = None;
    for now in h[from..ends.last].iter().map(|h| &**h).chain([right]) {
        if detect_reset(now, before) {
            match &mut correction {
                None => correction = Some(before.clone()),
                Some(sum) => add_noting(sum, before, cx)?,
            }
        }
        before = now;
    }
    Some(correction)
}

/// As [`line()`], for histograms. `None`: they do not go together, which is noted.
fn histogram_line(
    a: (i64, &FloatHistogram),
    b: (i64, &FloatHistogram),
    at: i64,
    counter: bool,
    note: &mut dyn FnMut(Note<'_>),
    name: &str,
) -> Option<FloatHistogram> {
    if at == a.0 {
        return Some(a.1.clone());
    }
    if at == b.0 {
        return Some(b.1.clone());
    }
    let fraction = at.saturating_sub(a.0) as f64 / b.0.saturating_sub(a.0) as f64;
    let mut result = b.1.clone();
    if counter && detect_reset(b.1, a.1) {
        histogram::scale(&mut result, fraction);
        return Some(result);
    }
    let Ok(done) = histogram::subtract(&mut result, a.1) else {
        note(Note::MixedExponentialCustom { name });
        return None;
    };
    if done.bounds_reconciled {
        note(Note::MismatchedCustomBuckets { during: Operation::Subtraction });
    }
    histogram::scale(&mut result, fraction);
    let done = histogram::add(&mut result, a.1).ok()?;
    if done.bounds_reconciled {
        note(Note::MismatchedCustomBuckets { during: Operation::Addition });
    }
    Some(result)
}

/// A `smoothed` instant selector: the value on the line between the samples around each step.
pub(crate) fn smooth(
    samples: &Samples,
    (place, pos): (Place, crate::ast::PosRange),
    labels: &Labels,
    grid: Grid,
    cx: &mut Context,
) -> StepSeries {
    let mut out = StepSeries::new(labels.clone(), grid.len);
    let lookback_ms = cx.options.lookback_ms;
    let spec =
        RangeSpec { place, range_ms: 0, mode: Some(RangeMode::Smoothed), lookback_ms, least_windows: 0 };
    let name = labels.metric_name();
    each_window(samples, &spec, grid, |w| {
        let at = w.end_ms;
        if w.is_mixed() {
            cx.notes.add(&Note::MixedFloatsHistograms { name }, pos);
        } else if w.ht().is_empty() {
            let (t, v) = (w.t(), w.v());
            let i = t.partition_point(|t| *t < at);
            if i < t.len() && t[i] == at {
                out.floats[w.step] = v[i];
            } else if i > 0 {
                let after =
                    if i < t.len() { line((t[i - 1], v[i - 1]), (t[i], v[i]), at, false) } else { v[i - 1] };
                out.floats[w.step] = after;
            }
        } else if let Some(h) =
            smooth_histogram(w.ht(), w.h(), at, name, &mut |note| cx.notes.add(&note, pos))
        {
            out.set_histogram(w.step, Arc::new(h));
        }
    });
    out
}

fn smooth_histogram(
    t: &[i64],
    h: &[Arc<FloatHistogram>],
    at: i64,
    name: &str,
    note: &mut dyn FnMut(Note<'_>),
) -> Option<FloatHistogram> {
    let i = t.partition_point(|t| *t < at);
    if i < t.len() && t[i] == at {
        return Some((*h[i]).clone());
    }
    let before = i.checked_sub(1)?;
    if i == t.len() {
        return Some(FloatHistogram { reset: CounterReset::Unknown, ..(*h[before]).clone() });
    }
    let (a, b) = (&*h[before], &*h[i]);
    if a.has_custom_buckets() != b.has_custom_buckets() {
        note(Note::MixedExponentialCustom { name });
        return None;
    }
    let counter = a.reset != CounterReset::Gauge || b.reset != CounterReset::Gauge;
    histogram_line((t[before], a), (t[i], b), at, counter, note, name)
}

/// The samples of an extended range selector, with those at the ends of the range.
pub(crate) fn extend(w: &Window<'_>, mode: RangeMode) -> Vec<Sample> {
    let (t, v) = (w.t(), w.v());
    let smoothed = mode == RangeMode::Smoothed;
    let Some(mut last) = t.len().checked_sub(1) else { return Vec::new() };
    let first = t[..last].partition_point(|t| *t <= w.start_ms).saturating_sub(1);
    if smoothed {
        last = t[..last].partition_point(|t| *t < w.end_ms);
    }
    let first = first.min(last);
    if t[last] <= w.start_ms {
        return Vec::new();
    }
    let between = |i: usize, at: i64| line((t[i], v[i]), (t[i + 1], v[i + 1]), at, false);
    let left = if smoothed && t[first] < w.start_ms { between(first, w.start_ms) } else { v[first] };
    let right =
        if smoothed && last > 0 && t[last] > w.end_ms { between(last - 1, w.end_ms) } else { v[last] };
    let inside = (first..=last).filter(|i| t[*i] > w.start_ms && t[*i] < w.end_ms);
    let inside = inside.map(|i| Sample { t_ms: t[i], v: v[i] });
    let ends = |t_ms, v| std::iter::once(Sample { t_ms, v });
    ends(w.start_ms, left).chain(inside).chain(ends(w.end_ms, right)).collect()
}
