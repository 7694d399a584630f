//! Sums with compensation of rounding errors: Kahan's, with Neumaier's improvement, exactly as Prometheus.

/// A running sum. The result is [`total`](Sum::total), unless the sum is infinite.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    pub value: f64,
    pub compensation: f64,
}

impl Sum {
    #[inline]
    pub fn of(value: f64) -> Self {
        Sum { value, compensation: 0.0 }
    }

    #[inline]
    pub fn add(&mut self, v: f64) {
        let (total, error) = two_sum(self.value, v);
        self.compensation = if total.is_infinite() { 0.0 } else { self.compensation + error };
        self.value = total;
    }

    #[inline]
    pub fn total(self) -> f64 {
        self.value + self.compensation
    }

    pub fn is_zero(self) -> bool {
        self.value == 0.0 && self.compensation == 0.0
    }
}

/// Several sums side by side, which take hardly longer than one: as long as they are finite, there is nothing to
/// decide.
#[derive(Clone, Copy, Debug)]
pub struct Sums<const N: usize> {
    values: [f64; N],
    compensations: [f64; N],
}

impl<const N: usize> Default for Sums<N> {
    fn default() -> Self {
        Self::ZERO
    }
}

impl<const N: usize> Sums<N> {
    pub const ZERO: Self = Sums { values: [0.0; N], compensations: [0.0; N] };

    #[inline(always)]
    pub fn add(&mut self, term: [f64; N]) {
        term.into_iter().enumerate().for_each(|(i, v)| self.add_to(i, v));
    }

    #[inline(always)]
    pub fn add_to(&mut self, i: usize, v: f64) {
        let (total, error) = two_sum(self.values[i], v);
        self.values[i] = total;
        self.compensations[i] += error;
    }

    /// Adds what others have come to.
    #[inline(always)]
    pub fn merge(&mut self, others: Self) {
        self.add(others.values);
        for (sum, more) in self.compensations.iter_mut().zip(others.compensations) {
            *sum += more;
        }
    }

    /// The totals; `None` where one is not finite: a sum that was infinite once stays so, or is no number, and wants
    /// [`Sum`].
    pub fn totals(self) -> Option<[f64; N]> {
        let is_finite = self.values.iter().all(|value| value.is_finite());
        is_finite.then(|| std::array::from_fn(|i| self.values[i] + self.compensations[i]))
    }
}

/// Several sums of as many terms.
pub fn totals<const N: usize>(terms: impl Iterator<Item = [f64; N]> + Clone) -> [f64; N] {
    let mut sums = Sums::ZERO;
    terms.clone().for_each(|term| sums.add(term));
    sums.totals().unwrap_or_else(|| {
        let mut sums = [Sum::default(); N];
        for term in terms {
            for (sum, v) in sums.iter_mut().zip(term) {
                sum.add(v);
            }
        }
        sums.map(Sum::total)
    })
}

/// A sum and its rounding error. By Knuth's way, which finds the same error as asking which of the two is larger,
/// since it is exact, without a branch that nobody can predict.
#[inline(always)]
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let total = a + b;
    let gained = total - a;
    (total, (a - (total - gained)) + (b - gained))
}

/// A mean that adds up as long as the sum is finite, and changes to the running mean where it would not be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mean {
    sum: Sum,
    count: f64,
    running: bool,
}

impl Mean {
    #[inline]
    pub fn add(&mut self, v: f64) {
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

    pub fn count(&self) -> f64 {
        self.count
    }

    pub fn mean(&self) -> f64 {
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

    proptest! {
        #[test]
        fn many_at_once_are_as_each_alone(terms in prop::collection::vec(any::<[f64; 3]>(), 0..10)) {
            let together = totals(terms.iter().copied());
            for i in 0..3 {
                let mut alone = Sum::default();
                terms.iter().for_each(|term| alone.add(term[i]));
                prop_assert!(alone.total().to_bits() == together[i].to_bits() || alone.total().is_nan());
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
