//! Floats of a window, put together.

use super::window::end_ms;

/// What is known of the samples so far. The counter goes on from window to window, all else begins anew.
#[derive(Clone, Copy, Default)]
pub(super) struct Window {
    pub(super) count: u64,
    pub(super) sum: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) counter: f64,
    last: Option<f64>,
}

impl Window {
    fn begin(&mut self) {
        (self.count, self.sum) = (0, 0.0);
        (self.min, self.max) = (f64::INFINITY, f64::NEG_INFINITY);
    }

    #[inline]
    fn add(&mut self, v: f64) {
        self.counter = match self.last {
            None => v,
            Some(last) if v < last => self.counter + v,
            Some(last) => self.counter + (v - last),
        };
        self.last = Some(v);
        self.sum += v;
        self.count += 1;
        self.min = if v < self.min { v } else { self.min };
        self.max = if v > self.max { v } else { self.max };
    }
}

/// Calls `each` with the end of each window and what is in it. The last ends with the last sample.
#[inline]
pub(super) fn windows(samples: &[(i64, f64)], resolution_ms: i64, mut each: impl FnMut(i64, &Window)) {
    let Some(&(last_ms, _)) = samples.last() else { return };
    let (mut window, mut end) = (Window::default(), None);
    for &(t_ms, v) in samples {
        if end.is_none_or(|end| t_ms > end) {
            if let Some(end) = end {
                each(end, &window);
            }
            window.begin();
            end = Some(end_ms(t_ms, resolution_ms).min(last_ms));
        }
        window.add(v);
    }
    if let Some(end) = end {
        each(end, &window);
    }
}
