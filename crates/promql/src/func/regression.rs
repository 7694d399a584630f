//! Trends: `deriv`, `predict_linear` by least squares, and double exponential smoothing.

use crate::annotations::Note;
use crate::exec::range::{Out, RangeContext};
use crate::exec::samples::Samples;
use crate::exec::window::{Span, Window};
use nilometer_model::kahan::{Sums, totals};
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
        let together = <&[Span; SIDE_BY_SIDE]>::try_from(spans).ok().and_then(|spans| {
            let length = |span: &&Span| span.to - span.from;
            let (longest, shortest) =
                (spans.iter().max_by_key(length)?, spans.iter().map(|s| length(&s)).min()?);
            if shortest < 2 || length(&longest) - shortest > SIDE_BY_SIDE {
                return None;
            }
            self.place(parts(longest).0, longest.eval_ms);
            let are_placed = spans.iter().all(|span| self.is_placed(parts(span).0, span.eval_ms));
            let v = spans.each_ref().map(|span| parts(span).1);
            if !are_placed {
                None
            } else if length(&longest) == shortest {
                self.fit_equal(v)
            } else {
                self.fit_growing(v, shortest)
            }
        });
        together.unwrap_or_else(|| {
            std::array::from_fn(|i| {
                let span = spans.get(i).filter(|span| span.to - span.from >= 2)?;
                let (t, v) = parts(span);
                Some(self.fit(t, v, span.eval_ms))
            })
        })
    }

    /// Windows whose samples lie where those lie that are kept.
    fn fit_equal(&self, v: [&[f64]; SIDE_BY_SIDE]) -> Option<[Option<(f64, f64)>; SIDE_BY_SIDE]> {
        let [a, b, c, d] = v;
        let mut sums = Sums::<8>::ZERO;
        for (((x, a), b), (c, d)) in self.x.iter().zip(a).zip(b).zip(c.iter().zip(d)) {
            sums.add([*a, x * a, *b, x * b, *c, x * c, *d, x * d]);
        }
        let sums = sums.totals()?;
        let n = self.x.len() as f64;
        Some(std::array::from_fn(|i| {
            let line = || self.through((n, self.sum_x, self.sum_x2), sums[2 * i], sums[2 * i + 1]);
            Some(flat(v[i]).unwrap_or_else(line))
        }))
    }

    /// The same for windows of which some lack the first few, as right after the first sample of a series.
    fn fit_growing(
        &self,
        v: [&[f64]; SIDE_BY_SIDE],
        shortest: usize,
    ) -> Option<[Option<(f64, f64)>; SIDE_BY_SIDE]> {
        const WINDOW: usize = 4;
        let mut sums = Sums::<{ SIDE_BY_SIDE * WINDOW }>::ZERO;
        for (i, v) in v.iter().enumerate() {
            let x = &self.x[self.x.len() - v.len()..];
            for (x, y) in x.iter().zip(*v).take(v.len() - shortest) {
                for (of, term) in [*x, x * x, *y, x * y].into_iter().enumerate() {
                    sums.add_to(i * WINDOW + of, term);
                }
            }
        }
        let [a, b, c, d] = v.map(|v| &v[v.len() - shortest..]);
        let x = &self.x[self.x.len() - shortest..];
        for (((x, a), b), (c, d)) in x.iter().zip(a).zip(b).zip(c.iter().zip(d)) {
            let (x, x2) = (*x, x * x);
            sums.add([x, x2, *a, x * a, x, x2, *b, x * b, x, x2, *c, x * c, x, x2, *d, x * d]);
        }
        let sums = sums.totals()?;
        Some(std::array::from_fn(|i| {
            let [x, x2, y, xy] = std::array::from_fn(|of| sums[i * WINDOW + of]);
            Some(flat(v[i]).unwrap_or_else(|| self.through((v[i].len() as f64, x, x2), y, xy)))
        }))
    }

    /// Slope per second, and the value at `origin_ms`.
    fn fit(&mut self, t: &[i64], v: &[f64], origin_ms: i64) -> (f64, f64) {
        if let Some(flat) = flat(v) {
            return flat;
        }
        let (sum_y, sum_xy);
        if self.are_kept(t, origin_ms) {
            [sum_y, sum_xy] = totals(self.x.iter().zip(v).map(|(x, y)| [*y, x * y]));
        } else {
            self.keep(t, origin_ms);
            // At once, which takes as long as each of them.
            [self.sum_x, self.sum_x2, sum_y, sum_xy] =
                totals(self.x.iter().zip(v).map(|(x, y)| [*x, x * x, *y, x * y]));
        }
        self.through((v.len() as f64, self.sum_x, self.sum_x2), sum_y, sum_xy)
    }

    /// The line through `n` samples with these sums of their times, their squares, their values, and of the products
    /// of both.
    fn through(&self, (n, sum_x, sum_x2): (f64, f64, f64), sum_y: f64, sum_xy: f64) -> (f64, f64) {
        let covariance = sum_xy - sum_x * sum_y / n;
        let variance = sum_x2 - sum_x * sum_x / n;
        let slope = covariance / variance;
        (slope, sum_y / n - slope * sum_x / n)
    }

    /// Whether times lie around `origin_ms` as the last of those that are kept.
    fn is_placed(&self, t: &[i64], origin_ms: i64) -> bool {
        let Some(before) = self.offsets_ms.len().checked_sub(t.len()) else { return false };
        // Where they differ, the newest mostly do.
        let newest = t.last().map(|t| t.saturating_sub(origin_ms));
        if newest.is_some_and(|newest| self.offsets_ms.last() != Some(&newest)) {
            return false;
        }
        let offsets = t.iter().map(|t| t.saturating_sub(origin_ms));
        // Without a way out in between, several are compared at once.
        offsets.zip(&self.offsets_ms[before..]).fold(true, |same, (new, old)| same & (new == *old))
    }

    fn are_kept(&self, t: &[i64], origin_ms: i64) -> bool {
        self.offsets_ms.len() == t.len() && self.is_placed(t, origin_ms)
    }

    fn place(&mut self, t: &[i64], origin_ms: i64) {
        if !self.are_kept(t, origin_ms) {
            self.keep(t, origin_ms);
            [self.sum_x, self.sum_x2] = totals(self.x.iter().map(|x| [*x, x * x]));
        }
    }

    /// All but the sums.
    fn keep(&mut self, t: &[i64], origin_ms: i64) {
        self.offsets_ms.clear();
        self.offsets_ms.extend(t.iter().map(|t| t.saturating_sub(origin_ms)));
        self.x.clear();
        self.x.extend(self.offsets_ms.iter().map(|ms| *ms as f64 / 1e3));
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Windows of any lengths, at steady and unsteady times.
        #[test]
        fn side_by_side_is_as_each_alone(
            v in prop::collection::vec(prop_oneof![9 => -1e6..1e6f64, 1 => Just(f64::INFINITY)], 40),
            cuts in prop::collection::vec((0..4usize, 0..4usize), SIDE_BY_SIDE),
            jitter in prop::collection::vec(prop_oneof![9 => Just(0i64), 1 => -5..5i64], 40),
            growing in any::<bool>(),
        ) {
            let t = (0..40).map(|i| i * 15_000 + jitter[i as usize]).collect();
            let samples = Samples { t, v, ..Samples::default() };
            let spans: Vec<_> = cuts.iter().enumerate().map(|(i, (from, to))| {
                let (from, to) = if growing { (0, 20 + i) } else { (*from + i, 30 + *to) };
                let eval_ms = to as i64 * 15_000 + 7;
                Span { from, to, eval_ms, start_ms: 0, end_ms: eval_ms, share: 1.0 }
            }).collect();
            let together = Line::default().fit_some(&samples, &spans);
            for (span, line) in spans.iter().zip(together) {
                let (t, v) = (&samples.t[span.from..span.to], &samples.v[span.from..span.to]);
                let (slope, intercept) = Line::default().fit(t, v, span.eval_ms);
                let bits = |v: f64| if v.is_nan() { None } else { Some(v.to_bits()) };
                let got = line.map(|(slope, intercept)| (bits(slope), bits(intercept)));
                prop_assert_eq!(got, Some((bits(slope), bits(intercept))));
            }
        }
    }
}
