//! Trends: `deriv`, `predict_linear` by least squares, and double exponential smoothing.

use crate::annotations::Note;
use crate::exec::range::{Out, RangeContext};
use crate::exec::window::Window;
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

impl Line {
    /// Slope per second, and the value at `origin_ms`.
    fn fit(&mut self, t: &[i64], v: &[f64], origin_ms: i64) -> (f64, f64) {
        if v.iter().all(|y| *y == v[0]) {
            return if v[0].is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, v[0]) };
        }
        let n = v.len() as f64;
        self.place(t, origin_ms);
        let (sum_x, sum_x2) = (self.sum_x, self.sum_x2);
        let [sum_y, sum_xy] = totals(self.x.iter().zip(v).map(|(x, y)| [*y, x * y]));
        let covariance = sum_xy - sum_x * sum_y / n;
        let variance = sum_x2 - sum_x * sum_x / n;
        let slope = covariance / variance;
        (slope, sum_y / n - slope * sum_x / n)
    }

    fn place(&mut self, t: &[i64], origin_ms: i64) {
        let offsets = t.iter().map(|t| t.saturating_sub(origin_ms));
        // Without a way out in between, several are compared at once.
        let is_same = self.offsets_ms.len() == t.len()
            && offsets.clone().zip(&self.offsets_ms).fold(true, |same, (new, old)| same & (new == *old));
        if is_same {
            return;
        }
        self.offsets_ms.clear();
        self.offsets_ms.extend(offsets);
        self.x.clear();
        self.x.extend(self.offsets_ms.iter().map(|ms| *ms as f64 / 1e3));
        [self.sum_x, self.sum_x2] = totals(self.x.iter().map(|x| [*x, x * x]));
    }
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
