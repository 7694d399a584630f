//! What a native histogram grew by over a range.

use super::rate::{Kind, start_says_reset, starts_overlap};
use crate::annotations::{Note, Operation};
use crate::exec::range::RangeContext;
use crate::histogram::{self, detect_reset};
use nilometer_model::{CounterReset, FloatHistogram};
use std::sync::Arc;

/// The last less the first, plus what was there before each reset. There are at least two samples. `None`:
/// they do not go together, which is noted.
pub(crate) fn difference(
    kind: Kind,
    (t, h, st): (&[i64], &[Arc<FloatHistogram>], &[i64]),
    cx: &mut RangeContext<'_>,
) -> Option<FloatHistogram> {
    let last = &h[h.len() - 1];
    let gauge = |h: &FloatHistogram| h.reset == CounterReset::Gauge;
    let started_anew = |i: usize| i < st.len() && start_says_reset((st[i - 1], t[i - 1]), (st[i], t[i]));
    if kind.is_counter() && (gauge(&h[0]) || gauge(last)) {
        cx.note(&Note::NotCounter { name: cx.name });
    }
    let mut first = h[0].clone();
    if kind.is_counter() && (started_anew(1) || detect_reset(&h[1], &first)) {
        // What was before does not count, not even its layout.
        let second = &h[1];
        first = Arc::new(FloatHistogram {
            schema: second.schema,
            custom_values: second.custom_values.clone(),
            ..FloatHistogram::default()
        });
    }
    if !all_alike(kind, &first, h, cx) {
        cx.note(&Note::MixedExponentialCustom { name: cx.name });
        return None;
    }
    let mut result = (**last).clone();
    let coarsest = h[1..h.len() - 1].iter().filter(|_| kind.is_counter()).map(|h| h.schema);
    let schema = coarsest.fold(last.schema.min(first.schema), i32::min);
    if schema != result.schema && result.reduce_to(schema).is_err() {
        return None;
    }
    subtract_noting(&mut result, &first, cx)?;
    if kind.is_counter() {
        if (1..h.len().min(st.len())).any(|i| starts_overlap((st[i - 1], t[i - 1]), st[i])) {
            cx.note(&Note::StartTimeOverlap { name: cx.name });
        }
        let mut before = &first;
        for (i, now) in h.iter().enumerate().skip(1) {
            if started_anew(i) || detect_reset(now, before) {
                add_noting(&mut result, before, cx)?;
            }
            before = now;
        }
    } else if !(gauge(&h[0]) && gauge(last)) {
        cx.note(&Note::NotGauge { name: cx.name });
    }
    result.reset = CounterReset::Gauge;
    histogram::compact(&mut result);
    Some(result)
}

/// Whether all have the same sort of buckets. Notes gauges between the ends.
fn all_alike(
    kind: Kind,
    first: &FloatHistogram,
    h: &[Arc<FloatHistogram>],
    cx: &mut RangeContext<'_>,
) -> bool {
    let custom = first.has_custom_buckets();
    if h[h.len() - 1].has_custom_buckets() != custom {
        return false;
    }
    if !kind.is_counter() {
        return true;
    }
    for between in &h[1..h.len() - 1] {
        if between.reset == CounterReset::Gauge {
            cx.note(&Note::NotCounter { name: cx.name });
        }
        if between.has_custom_buckets() != custom {
            return false;
        }
    }
    true
}

/// Adds; `None` where the two do not go together.
pub(crate) fn add_noting(
    h: &mut FloatHistogram,
    other: &FloatHistogram,
    cx: &mut RangeContext<'_>,
) -> Option<()> {
    noting(histogram::add(h, other), Operation::Addition, cx)
}

pub(crate) fn subtract_noting(
    h: &mut FloatHistogram,
    other: &FloatHistogram,
    cx: &mut RangeContext<'_>,
) -> Option<()> {
    noting(histogram::subtract(h, other), Operation::Subtraction, cx)
}

/// Contradictions about counter resets are no news here: resets are what this is about.
fn noting(
    done: Result<histogram::Done, histogram::Incompatible>,
    during: Operation,
    cx: &mut RangeContext<'_>,
) -> Option<()> {
    match done {
        Ok(done) => {
            if done.bounds_reconciled {
                cx.note(&Note::MismatchedCustomBuckets { during });
            }
            Some(())
        }
        Err(histogram::Incompatible) => {
            cx.note(&Note::MixedExponentialCustom { name: cx.name });
            None
        }
    }
}
