//! Sums of windows that move forward, without adding up again what two windows have in common.
//!
//! A window is what is left of an older one and what came since. Of the older one the sum from each sample to its end
//! is kept, of what came since one sum; once nothing is left of the older one, the window takes its place. So each
//! value is added twice however many windows have it, and nothing is ever subtracted: what is infinite, or not a
//! number, is gone with its sample.
//!
//! Samples as they came are not summed this way: there the order of additions is Prometheus', to the last bit.

use nilometer_model::kahan::Sum;

#[derive(Default)]
pub(crate) struct Sliding {
    /// The sums of what is left of the older window: from its last value, from the last two, …
    old: Vec<Sum>,
    /// Where the older window ended.
    split: usize,
    /// What came since, up to `end`.
    new: Sum,
    end: usize,
}

impl Sliding {
    /// The sum of `values[from..to]`, which begins and ends no earlier than the one before.
    #[inline]
    pub(crate) fn sum(&mut self, values: &[f64], from: usize, to: usize) -> Sum {
        if from >= self.split {
            self.turn(values, from, to);
        } else {
            values[self.end..to].iter().for_each(|v| self.new.add(*v));
            self.end = to;
        }
        let left = self.split - from;
        let mut sum = if left == 0 { Sum::default() } else { self.old[left - 1] };
        sum.add(self.new.value);
        if sum.value.is_finite() {
            sum.compensation += self.new.compensation;
        }
        sum
    }

    fn turn(&mut self, values: &[f64], from: usize, to: usize) {
        self.old.clear();
        let mut sum = Sum::default();
        self.old.extend(values[from..to].iter().rev().map(|v| {
            sum.add(*v);
            sum
        }));
        (self.split, self.new, self.end) = (to, Sum::default(), to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            8 => -1e6..1e6f64,
            2 => (0..1000u32).prop_map(f64::from),
            1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300, 0.0]),
        ]
    }

    proptest! {
        #[test]
        fn as_if_each_window_was_added_up(
            values in prop::collection::vec(value(), 1..80),
            moves in prop::collection::vec((0..9usize, 0..9usize), 1..40),
        ) {
            let (mut sliding, mut from, mut to) = (Sliding::default(), 0, 0);
            for (by, more) in moves {
                from = (from + by).min(values.len());
                to = (to + more).min(values.len()).max(from);
                let sum = sliding.sum(&values, from, to);
                let mut expected = Sum::default();
                values[from..to].iter().for_each(|v| expected.add(*v));
                let shown = |sum: Sum| if sum.value.is_finite() { sum.total() } else { sum.value };
                let (a, b) = (shown(sum), shown(expected));
                let largest = values[from..to].iter().fold(0.0, |a: f64, b| a.max(b.abs()));
                prop_assert!(
                    a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= largest * 1e-29,
                    "{from}..{to}: {a} and not {b}"
                );
            }
        }
    }
}
