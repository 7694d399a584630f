//! Sums of windows that move forward, without adding up again what two windows have in common.
//!
//! A window is what is left of an older one and what came since. Of the older one the sum from each sample to its end
//! is kept, of what came since one sum; once nothing is left of the older one, the window takes its place. So each
//! value is added twice however many windows have it, and nothing is ever subtracted: what is infinite, or not a
//! number, is gone with its sample.
//!
//! Samples as they came are not summed this way: there the order of additions is Prometheus', to the last bit.

use nilometer_model::kahan::Sums;

/// Of two columns at once.
#[derive(Default)]
pub(crate) struct Sliding {
    /// The sums of what is left of the older window: from its last values, from the last two, …
    old: Vec<Sums<2>>,
    /// Where the older window ended.
    split: usize,
    /// What came since, up to `end`.
    new: Sums<2>,
    end: usize,
}

impl Sliding {
    /// The sums of both columns from a row to another, no earlier than those before. `None`: one is not finite.
    #[inline]
    pub(crate) fn sums(&mut self, columns: [&[f64]; 2], from: usize, to: usize) -> Option<[f64; 2]> {
        if from >= self.split {
            self.turn(columns, from, to);
        } else {
            let [a, b] = columns.map(|column| &column[self.end..to]);
            a.iter().zip(b).for_each(|(a, b)| self.new.add([*a, *b]));
            self.end = to;
        }
        let left = self.split - from;
        let mut sums = if left == 0 { Sums::ZERO } else { self.old[left - 1] };
        sums.merge(self.new);
        sums.totals()
    }

    fn turn(&mut self, columns: [&[f64]; 2], from: usize, to: usize) {
        self.old.clear();
        let mut sums = Sums::ZERO;
        let [a, b] = columns.map(|column| &column[from..to]);
        self.old.extend(a.iter().zip(b).rev().map(|(a, b)| {
            sums.add([*a, *b]);
            sums
        }));
        (self.split, self.new, self.end) = (to, Sums::ZERO, to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nilometer_model::kahan::Sum;
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
            values in prop::collection::vec((value(), value()), 1..80),
            moves in prop::collection::vec((0..9usize, 0..9usize), 1..40),
        ) {
            let (mut sliding, mut from, mut to) = (Sliding::default(), 0, 0);
            let (a, b): (Vec<f64>, Vec<f64>) = values.into_iter().unzip();
            for (by, more) in moves {
                from = (from + by).min(a.len());
                to = (to + more).min(a.len()).max(from);
                let sums = sliding.sums([&a, &b], from, to);
                let expected = [&a, &b].map(|column| {
                    let mut sum = Sum::default();
                    column[from..to].iter().for_each(|v| sum.add(*v));
                    sum
                });
                let are_finite = expected.iter().all(|sum| sum.value.is_finite());
                prop_assert_eq!(sums.is_some(), are_finite);
                for (i, column) in [&a, &b].into_iter().enumerate() {
                    let Some(sums) = sums else { continue };
                    let largest = column[from..to].iter().fold(0.0, |a: f64, b| a.max(b.abs()));
                    let error = (sums[i] - expected[i].total()).abs();
                    prop_assert!(error <= largest * 1e-29, "{}..{}: {} and not {:?}", from, to, sums[i], expected[i]);
                }
            }
        }
    }
}
