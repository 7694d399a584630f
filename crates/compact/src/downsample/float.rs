//! Floats of a window, put together.

use super::window::end_ms;
use nilometer_model::is_stale_nan;

/// What is known of the samples of a window; of the counter, since the first sample.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub(super) count: u64,
    pub(super) sum: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) counter: f64,
}

/// Calls `each` with the end of each window and what is in it. The last ends with the last sample.
#[inline]
pub(super) fn windows(t_ms: &[i64], v: &[f64], resolution_ms: i64, mut each: impl FnMut(i64, &Window)) {
    let (Some(&last_ms), Some(&first)) = (t_ms.last(), v.first()) else { return };
    // The counter begins with the first sample, and goes on from window to window.
    let (mut counter, mut before, mut from) = (first, first, 0);
    while let Some(&begin_ms) = t_ms.get(from) {
        let end = end_ms(begin_ms, resolution_ms).min(last_ms);
        let to = from + t_ms[from..].iter().take_while(|t| **t <= end).count();
        let (mut sum, mut min, mut max) = (0.0, f64::INFINITY, f64::NEG_INFINITY);
        for (nth, &v) in v[from..to].iter().enumerate() {
            if from + nth > 0 {
                counter += if v < before { v } else { v - before };
            }
            before = v;
            sum += v;
            min = if v < min { v } else { min };
            max = if v > max { v } else { max };
        }
        each(end, &Window { count: (to - from) as u64, sum, min, max, counter });
        from = to;
    }
}

/// Of two columns the rows that `row` has a value for, which is told the time of the last one before that has.
#[inline]
pub(super) fn keep(
    t_ms: &mut Vec<i64>,
    v: &mut Vec<f64>,
    mut row: impl FnMut(Option<i64>, i64, f64) -> Option<f64>,
) {
    let (mut kept, mut kept_ms) = (0, None);
    for at in 0..t_ms.len() {
        if let Some(value) = row(kept_ms, t_ms[at], v[at]) {
            (t_ms[kept], v[kept]) = (t_ms[at], value);
            kept_ms = Some(t_ms[at]);
            kept += 1;
        }
    }
    t_ms.truncate(kept);
    v.truncate(kept);
}

/// Leaves out stale markers, and what is not after the sample before.
pub(super) fn drop_stale(t_ms: &mut Vec<i64>, v: &mut Vec<f64>) {
    keep(t_ms, v, |kept_ms, t_ms, v| {
        (!is_stale_nan(v) && kept_ms.is_none_or(|kept_ms| kept_ms < t_ms)).then_some(v)
    });
}
