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
        let total = self.value + v;
        if total.is_infinite() {
            self.compensation = 0.0;
        } else if self.value.abs() >= v.abs() {
            self.compensation += (self.value - total) + v;
        } else {
            self.compensation += (v - total) + self.value;
        }
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
