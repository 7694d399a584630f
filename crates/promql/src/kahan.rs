//! Sums with compensation of rounding errors: Kahan's, with Neumaier's improvement, exactly as Prometheus.

/// A running sum. The result is [`total`](Sum::total), unless the sum is infinite.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sum {
    pub(crate) value: f64,
    pub(crate) compensation: f64,
}

impl Sum {
    #[inline]
    pub(crate) fn of(value: f64) -> Self {
        Sum { value, compensation: 0.0 }
    }

    #[inline]
    pub(crate) fn add(&mut self, v: f64) {
        // Knuth's two-sum: the same error, which is exact, as by asking which of the two is larger, without a branch
        // that nobody can predict.
        let total = self.value + v;
        let added = total - self.value;
        let error = (self.value - (total - added)) + (v - added);
        self.compensation = if total.is_infinite() { 0.0 } else { self.compensation + error };
        self.value = total;
    }

    #[inline]
    pub(crate) fn total(self) -> f64 {
        self.value + self.compensation
    }

    pub(crate) fn is_zero(self) -> bool {
        self.value == 0.0 && self.compensation == 0.0
    }
}

/// Several sums that are added to at the same time, which takes hardly longer than one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sums<const N: usize>([Sum; N]);

impl<const N: usize> Sums<N> {
    pub(crate) fn new() -> Self {
        Sums([Sum::default(); N])
    }

    #[inline]
    pub(crate) fn add(&mut self, v: [f64; N]) {
        for (sum, v) in self.0.iter_mut().zip(v) {
            sum.add(v);
        }
    }

    pub(crate) fn totals(self) -> [f64; N] {
        self.0.map(Sum::total)
    }
}

/// A mean that adds up as long as the sum is finite, and changes to the running mean where it would not be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mean {
    sum: Sum,
    count: f64,
    running: bool,
}

impl Mean {
    #[inline]
    pub(crate) fn add(&mut self, v: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.sum = Sum::of(v);
            return;
        }
        if !self.running {
            let mut sum = self.sum;
            sum.add(v);
            if !sum.value.is_infinite() {
                self.sum = sum;
                return;
            }
            self.running = true;
            self.sum.value /= self.count - 1.0;
            self.sum.compensation /= self.count - 1.0;
        }
        let share = (self.count - 1.0) / self.count;
        self.sum.value *= share;
        self.sum.compensation *= share;
        self.sum.add(v / self.count);
    }

    pub(crate) fn count(&self) -> f64 {
        self.count
    }

    pub(crate) fn mean(&self) -> f64 {
        if self.running {
            self.sum.total()
        } else {
            self.sum.value / self.count + self.sum.compensation / self.count
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As Prometheus writes it.
    fn neumaier(sum: Sum, v: f64) -> Sum {
        let value = sum.value + v;
        let compensation = if value.is_infinite() {
            0.0
        } else if sum.value.abs() >= v.abs() {
            sum.compensation + ((sum.value - value) + v)
        } else {
            sum.compensation + ((v - value) + sum.value)
        };
        Sum { value, compensation }
    }

    proptest! {
        #[test]
        fn two_sum_is_neumaiers_to_the_bit(terms in prop::collection::vec(any::<f64>(), 0..20), scale in -40..40i32) {
            let (mut ours, mut theirs) = (Sum::default(), Sum::default());
            for v in terms.iter().flat_map(|v| [*v, v * 2f64.powi(scale), v % 1e6]) {
                ours.add(v);
                theirs = neumaier(theirs, v);
                let bits = |s: Sum| (s.value.is_nan(), s.value.to_bits(), s.compensation.is_nan(), s.compensation.to_bits());
                let (a, b) = (bits(ours), bits(theirs));
                prop_assert!((a.0 && b.0) || a.1 == b.1, "{ours:?} {theirs:?} at {v}");
                prop_assert!((a.2 && b.2) || a.3 == b.3 || ours.value.is_nan(), "{ours:?} {theirs:?} at {v}");
            }
        }
    }

    #[test]
    fn small_terms_are_not_lost() {
        let mut sum = Sum::default();
        for v in [1e100, 1.0, -1e100, 1.0] {
            sum.add(v);
        }
        assert_eq!(sum.total(), 2.0);
    }

    #[test]
    fn mean_of_huge_numbers_is_finite() {
        let mut mean = Mean::default();
        for _ in 0..4 {
            mean.add(f64::MAX);
        }
        assert!((mean.mean() / f64::MAX - 1.0).abs() < 1e-15, "{}", mean.mean());
    }
}
