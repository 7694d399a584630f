//! `changes` and `resets`: what happens between neighbouring samples, floats and histograms alike.

use super::rate::start_says_reset;
use crate::ast::RangeMode;
use crate::exec::range::Out;
use crate::exec::window::{RangeSpec, Window};
use crate::histogram::{detect_reset, equal};
use nilometer_model::FloatHistogram;
use std::sync::Arc;

/// A sample of either kind.
#[derive(Clone, Copy)]
struct Sample<'a> {
    t: i64,
    st: i64,
    value: Value<'a>,
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Float(f64),
    Histogram(&'a Arc<FloatHistogram>),
}

pub(crate) fn changes(w: &Window<'_>, spec: &RangeSpec) -> Out {
    count(w, spec, |before, now| match (before.value, now.value) {
        (Value::Float(a), Value::Float(b)) => a != b && !(a.is_nan() && b.is_nan()),
        (Value::Histogram(a), Value::Histogram(b)) => !equal(a, b),
        _ => true,
    })
}

pub(crate) fn resets(w: &Window<'_>, spec: &RangeSpec) -> Out {
    count(w, spec, |before, now| {
        let started_anew = || start_says_reset((before.st, before.t), (now.st, now.t));
        match (before.value, now.value) {
            (Value::Float(a), Value::Float(b)) => b < a || started_anew(),
            (Value::Histogram(a), Value::Histogram(b)) => started_anew() || detect_reset(b, a),
            _ => true,
        }
    })
}

/// How often `differs` says so of two neighbours.
fn count(w: &Window<'_>, spec: &RangeSpec, differs: impl Fn(Sample<'_>, Sample<'_>) -> bool) -> Out {
    let from = match anchor(w, spec) {
        Some(from) => from,
        None => return Out::None,
    };
    let (mut before, mut count) = (None, 0u64);
    for now in in_order(w).filter(|s| s.t >= from) {
        if before.is_some_and(|before| differs(before, now)) {
            count += 1;
        }
        before = Some(now);
    }
    Out::Float(count as f64)
}

/// The time of the first sample that counts: with `anchored`, the last one not after the start of the range.
/// `None`: nothing lies within the range.
fn anchor(w: &Window<'_>, spec: &RangeSpec) -> Option<i64> {
    if spec.mode != Some(RangeMode::Anchored) {
        return Some(i64::MIN);
    }
    let before = |t: &[i64]| t.partition_point(|t| *t <= w.start_ms);
    let (floats, histograms) = (before(w.t()), before(w.ht()));
    if floats == w.t().len() && histograms == w.ht().len() {
        return None;
    }
    let last = |t: &[i64], n: usize| n.checked_sub(1).map(|i| t[i]);
    Some(last(w.t(), floats).max(last(w.ht(), histograms)).unwrap_or(i64::MIN))
}

fn in_order<'a>(w: &Window<'a>) -> impl Iterator<Item = Sample<'a>> {
    let (t, v, st) = (w.t(), w.v(), w.st());
    let (ht, h, hst) = (w.ht(), w.h(), w.hst());
    let (mut i, mut j) = (0, 0);
    std::iter::from_fn(move || {
        let float_next = match (t.get(i), ht.get(j)) {
            (None, None) => return None,
            (Some(a), Some(b)) => a <= b,
            (float, _) => float.is_some(),
        };
        if float_next {
            i += 1;
            let st = st.get(i - 1).copied().unwrap_or(0);
            Some(Sample { t: t[i - 1], st, value: Value::Float(v[i - 1]) })
        } else {
            j += 1;
            let st = hst.get(j - 1).copied().unwrap_or(0);
            Some(Sample { t: ht[j - 1], st, value: Value::Histogram(&h[j - 1]) })
        }
    })
}
