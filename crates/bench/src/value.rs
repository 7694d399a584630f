//! The value of a series at an age, in scrapes: a pure function, so that whoever reads a sample back can say
//! whether it is the one that was sent.
//!
//! Counters that never fall without being summed up: `⌊base + rate·(age + noise)⌋` with noise in [0, 1) stays
//! below the next age's lowest value, and takes no state.

/// SplitMix64's finish: spreads the bits of `x`.
pub(crate) fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The upper 53 bits as a fraction in [0, 1).
fn fraction(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// How values move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shape {
    /// A counter of what does not happen.
    Idle,
    /// A counter that moves once in many scrapes.
    Slow,
    /// A counter that moves at each scrape.
    Busy,
    /// A counter that starts at 0 again from time to time.
    Resets,
    /// A counter of seconds, in hundredths.
    Decimals,
    /// A cumulative bucket with so many thousandths of the observations; all of a target agree.
    Bucket(u16),
    /// A gauge that stays.
    Constant,
    /// A gauge of memory: whole pages.
    Pages,
    /// A gauge with all digits.
    Double,
}

impl Shape {
    #[cfg(test)]
    pub(crate) fn is_counter(self) -> bool {
        matches!(self, Shape::Idle | Shape::Slow | Shape::Busy | Shape::Resets | Shape::Decimals)
    }

    /// As remote write 2.0 numbers the types.
    pub(crate) fn metric_type(self) -> u8 {
        match self {
            Shape::Idle | Shape::Slow | Shape::Busy | Shape::Resets | Shape::Decimals => 1,
            Shape::Constant | Shape::Pages | Shape::Double => 2,
            Shape::Bucket(_) => 3,
        }
    }
}

const PAGE_BYTES: f64 = 4096.0;

/// One series, ready to be asked for its values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Series {
    shape: Shape,
    key: u64,
    base: f64,
    rate: f64,
    /// Scrapes between resets.
    period: u64,
}

impl Series {
    /// The series in a target's `slot`.
    pub(crate) fn new(target_key: u64, slot: usize, shape: Shape) -> Series {
        let own = mix(target_key ^ (slot as u64 + 1).wrapping_mul(0xd6e8_feb8_6659_fd93));
        // Buckets of one histogram count the same observations.
        let key = if matches!(shape, Shape::Bucket(_)) { target_key } else { own };
        let [a, b, c] = [1, 2, 3].map(|n| mix(key.wrapping_add(n)));
        let whole = |bits: u64, below: u64| (bits % below) as f64;
        // From 2^low to 2^(low + octaves), all octaves alike. Exact, so the same on all machines.
        let size = |bits: u64, low: i32, octaves: u64| {
            2f64.powi(low + (bits % octaves) as i32) * (1.0 + fraction(mix(bits)))
        };
        let (base, rate) = match shape {
            // Many never happened at all.
            Shape::Idle => (if a & 1 == 0 { 0.0 } else { whole(b, 100_000) }, 0.0),
            Shape::Slow => (whole(a, 10_000), 1.0 / (8.0 + whole(b, 120))),
            Shape::Busy => (whole(a, 1 << 24), size(b, 1, 9)),
            Shape::Resets => (0.0, size(b, 1, 7)),
            Shape::Decimals => (whole(a, 10_000), 0.1 + 7.0 * fraction(b)),
            Shape::Bucket(_) => (whole(a, 1 << 20), size(b, 2, 6)),
            Shape::Constant => (constant(a, b), 0.0),
            // From 4 MiB to 1 GiB, a sixteenth of it in motion.
            Shape::Pages => {
                let pages = size(a, 10, 8).floor();
                (pages, (pages / 16.0).floor())
            }
            Shape::Double => (0.0, size(a, -7, 14)),
        };
        Series { shape, key, base, rate, period: 240 + c % 960 }
    }

    pub(crate) fn at(&self, age: u64) -> f64 {
        let noise = |age: u64| fraction(mix(self.key ^ age.wrapping_mul(0xa076_1d64_78bd_642f)));
        let grown = |age: u64| self.rate * (age as f64 + noise(age));
        match self.shape {
            Shape::Idle | Shape::Constant => self.base,
            Shape::Slow => (self.base + self.rate * age as f64).floor(),
            Shape::Busy => (self.base + grown(age)).floor(),
            Shape::Resets => grown((age + self.key % self.period) % self.period).floor(),
            Shape::Decimals => ((self.base + grown(age)) * 100.0).floor() / 100.0,
            Shape::Bucket(thousandths) => {
                ((self.base + grown(age)) * (f64::from(thousandths) / 1_000.0)).floor()
            }
            // Memory is taken and returned in steps, not at each scrape.
            Shape::Pages => (self.base + (self.rate * noise(age / 2)).floor()) * PAGE_BYTES,
            Shape::Double => self.rate * noise(age),
        }
    }
}

/// Switches, limits and counts of replicas.
fn constant(a: u64, b: u64) -> f64 {
    match a % 4 {
        0 => 0.0,
        1 => 1.0,
        2 => (b % 64) as f64,
        _ => 2f64.powi(20 + (b % 14) as i32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTERS: [Shape; 5] = [Shape::Idle, Shape::Slow, Shape::Busy, Shape::Decimals, Shape::Bucket(900)];

    #[test]
    fn counters_never_fall() {
        for shape in COUNTERS {
            for target in 0..50 {
                let series = Series::new(mix(target), 7, shape);
                let values: Vec<f64> = (0..2_000).map(|age| series.at(age)).collect();
                assert!(values.is_sorted(), "{shape:?} {target}");
                assert!(values.iter().all(|v| v.is_finite() && *v >= 0.0));
            }
        }
    }

    #[test]
    fn resets_fall_at_their_period_only() {
        let series = Series::new(3, 7, Shape::Resets);
        let falls = (1..5 * series.period).filter(|&age| series.at(age) < series.at(age - 1)).count();
        assert!((4..=5).contains(&falls), "{falls}");
    }

    #[test]
    fn buckets_of_a_target_are_cumulative() {
        for age in 0..500 {
            let [few, more, all] =
                [500, 900, 1000].map(|part| Series::new(9, part.into(), Shape::Bucket(part)).at(age));
            assert!(few <= more && more <= all);
        }
    }

    #[test]
    fn pages_are_whole_and_doubles_have_all_digits() {
        let (pages, double) = (Series::new(5, 1, Shape::Pages), Series::new(5, 2, Shape::Double));
        assert!((0..500).all(|age| pages.at(age) % PAGE_BYTES == 0.0));
        let fine = (0..500).filter(|&age| double.at(age).to_bits().trailing_zeros() < 8).count();
        assert!(fine > 450, "{fine}");
    }
}
