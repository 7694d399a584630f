//! Trends: `deriv`, `predict_linear` by least squares, and double exponential smoothing.

use crate::annotations::Note;
use crate::exec::range::{Out, RangeContext};
use crate::exec::samples::Samples;
use crate::exec::window::{Span, Window};
use crate::kahan::totals;
use nilometer_model::number::plain;
use nilometer_model::{Error, Result};

pub(crate) fn derivative(line: &mut Line, w: &Window<'_>, cx: &mut RangeContext<'_>) -> Out {
    if !enough(w, cx) {
        return Out::None;
    }
    // A time near the samples, so that little precision is lost.
    let (slope, _) = line.fit(w.t(), w.v(), w.t()[0]);
    Out::Float(slope)
}

pub(crate) fn predict(line: &mut Line, w: &Window<'_>, seconds: f64, cx: &mut RangeContext<'_>) -> Out {
    if !enough(w, cx) {
        return Out::None;
    }
    let (slope, intercept) = line.fit(w.t(), w.v(), w.eval_ms);
    Out::Float(slope * seconds + intercept)
}

/// Whether there are two floats. Notes that histograms beside floats are left out.
fn enough(w: &Window<'_>, cx: &mut RangeContext<'_>) -> bool {
    if w.is_mixed() {
        cx.note(&Note::HistogramIgnoredInMixedRange { name: cx.name });
    }
    w.v().len() >= 2
}

/// Fits lines by least squares. Who is scraped at a steady pace has windows whose samples lie the same way, so
/// what depends on times alone is kept from the last one.
#[derive(Default)]
pub(crate) struct Line {
    offsets_ms: Vec<i64>,
    x: Vec<f64>,
    sum_x: f64,
    sum_x2: f64,
}

/// So many windows are fitted side by side: each is one long chain of additions, and the processor has room for
/// several.
const SIDE_BY_SIDE: usize = 4;

/// `predict` where there is nothing but floats: for steps from `first` on, each `seconds` behind its time.
pub(crate) fn predict_floats(
    line: &mut Line,
    samples: &Samples,
    (first, spans): (usize, &[Span]),
    seconds: impl Fn(usize) -> f64,
    out: &mut [f64],
) {
    let mut step = first;
    for (spans, out) in spans.chunks(SIDE_BY_SIDE).zip(out.chunks_mut(SIDE_BY_SIDE)) {
        let lines = line.fit_some(samples, spans);
        for ((line, out), step) in lines.into_iter().zip(out).zip(step..) {
            if let Some((slope, intercept)) = line {
                *out = slope * seconds(step) + intercept;
            }
        }
        step += spans.len();
    }
}

impl Line {
    /// The line of each span that has two samples, around the time of its step.
    fn fit_some(&mut self, samples: &Samples, spans: &[Span]) -> [Option<(f64, f64)>; SIDE_BY_SIDE] {
        let parts = |span: &Span| (&samples.t[span.from..span.to], &samples.v[span.from..span.to]);
        if let [a, b, c, d] = spans
            && a.to - a.from >= 2
            && [b, c, d].iter().all(|span| span.to - span.from == a.to - a.from)
        {
            self.place(parts(a).0, a.eval_ms);
            if [b, c, d].iter().all(|span| self.is_placed(parts(span).0, span.eval_ms)) {
                let [a, b, c, d] = [a, b, c, d].map(|span| parts(span).1);
                let terms = self.x.iter().zip(a).zip(b).zip(c.iter().zip(d));
                let sums =
                    totals(terms.map(|(((x, a), b), (c, d))| [*a, x * a, *b, x * b, *c, x * c, *d, x * d]));
                return std::array::from_fn(|i| {
                    let v = [a, b, c, d][i];
                    Some(
                        flat(v).unwrap_or_else(|| self.through(v.len() as f64, sums[2 * i], sums[2 * i + 1])),
                    )
                });
            }
        }
        std::array::from_fn(|i| {
            let span = spans.get(i).filter(|span| span.to - span.from >= 2)?;
            let (t, v) = parts(span);
            Some(self.fit(t, v, span.eval_ms))
        })
    }

    /// Slope per second, and the value at `origin_ms`.
    fn fit(&mut self, t: &[i64], v: &[f64], origin_ms: i64) -> (f64, f64) {
        if let Some(flat) = flat(v) {
            return flat;
        }
        self.place(t, origin_ms);
        let [sum_y, sum_xy] = totals(self.x.iter().zip(v).map(|(x, y)| [*y, x * y]));
        self.through(v.len() as f64, sum_y, sum_xy)
    }

    /// The line through `n` samples with these sums of their values, and of the products with their times.
    fn through(&self, n: f64, sum_y: f64, sum_xy: f64) -> (f64, f64) {
        let (sum_x, sum_x2) = (self.sum_x, self.sum_x2);
        let covariance = sum_xy - sum_x * sum_y / n;
        let variance = sum_x2 - sum_x * sum_x / n;
        let slope = covariance / variance;
        (slope, sum_y / n - slope * sum_x / n)
    }

    /// Whether times lie around `origin_ms` as those that are kept.
    fn is_placed(&self, t: &[i64], origin_ms: i64) -> bool {
        let offsets = t.iter().map(|t| t.saturating_sub(origin_ms));
        // Without a way out in between, several are compared at once.
        self.offsets_ms.len() == t.len()
            && offsets.zip(&self.offsets_ms).fold(true, |same, (new, old)| same & (new == *old))
    }

    fn place(&mut self, t: &[i64], origin_ms: i64) {
        if self.is_placed(t, origin_ms) {
            return;
        }
        self.offsets_ms.clear();
        self.offsets_ms.extend(t.iter().map(|t| t.saturating_sub(origin_ms)));
        self.x.clear();
        self.x.extend(self.offsets_ms.iter().map(|ms| *ms as f64 / 1e3));
        [self.sum_x, self.sum_x2] = totals(self.x.iter().map(|x| [*x, x * x]));
    }
}

/// The line through values that are all the same.
fn flat(v: &[f64]) -> Option<(f64, f64)> {
    let is_flat = v.iter().all(|y| *y == v[0]);
    is_flat.then(|| if v[0].is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, v[0]) })
}

/// `factors`: how much the newest value counts, and how much the newest trend.
pub(crate) fn smooth(w: &Window<'_>, factors: (f64, f64), cx: &mut RangeContext<'_>) -> Result<Out> {
    let (smoothing, trending) = factors;
    for (factor, (what, letters)) in [(smoothing, ("smoothing", "sf")), (trending, ("trend", "tf"))] {
        if factor <= 0.0 || factor >= 1.0 {
            let got = if factor.is_finite() { format!("{factor:.6}") } else { plain(factor) };
            return Err(Error::invalid(format!(
                "invalid {what} factor. Expected: 0 < {letters} < 1, got: {got}"
            )));
        }
    }
    if !enough(w, cx) {
        return Ok(Out::None);
    }
    let v = w.v();
    let (mut before, mut smoothed, mut trend) = (0.0, v[0], v[1] - v[0]);
    for (i, y) in v.iter().enumerate().skip(1) {
        let x = smoothing * y;
        if i > 1 {
            trend = trending * (smoothed - before) + (1.0 - trending) * trend;
        }
        let y = (1.0 - smoothing) * (smoothed + trend);
        (before, smoothed) = (smoothed, x + y);
    }
    Ok(Out::Float(smoothed))
}
