//! Quantiles of plain values.

use std::cmp::Ordering;

/// Moves `values` around. NaN counts as least.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    match q {
        _ if values.is_empty() || q.is_nan() => return f64::NAN,
        _ if q < 0.0 => return f64::NEG_INFINITY,
        _ if q > 1.0 => return f64::INFINITY,
        _ => {}
    }
    let rank = q * (values.len() as f64 - 1.0);
    let lower = rank.floor().max(0.0);
    let weight = rank - lower;
    let (_, below, above) = values.select_nth_unstable_by(lower as usize, order);
    let above = above.iter().copied().min_by(order).unwrap_or(*below);
    *below * (1.0 - weight) + above * weight
}

fn order(a: &f64, b: &f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) => a.total_cmp(b),
        (a, b) => b.cmp(&a),
    }
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn as_in_a_sorted_list() {
        let values = [3.0, -0.0, f64::NAN, 7.5, 0.0, 9.5, -2.0, f64::NAN, 7.5];
        let cases = [
            (0.0, f64::NAN),
            (1.5, f64::NAN),
            (2.0, -2.0),
            (2.5, -1.0),
            (3.5, 0.0),
            (5.5, 5.25),
            (6.5, 7.5),
            (8.0, 9.5),
        ];
        for (rank, expected) in cases {
            let found = quantile(rank / 8.0, &mut values.clone());
            assert!(found == expected || found.is_nan() && expected.is_nan(), "{rank}: {found}");
        }
    }

    #[test]
    fn between_two_values() {
        assert_eq!(quantile(0.5, &mut [4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(quantile(0.0, &mut [2.0, 1.0]), 1.0);
        assert_eq!(quantile(1.0, &mut [2.0, 1.0]), 2.0);
        assert!(quantile(0.0, &mut [2.0, f64::NAN]).is_nan());
        assert_eq!(quantile(1.1, &mut [2.0]), f64::INFINITY);
        assert!(quantile(f64::NAN, &mut [2.0]).is_nan());
    }
}
