//! Numbers as Go writes them, for texts that have to be Prometheus'.

/// Go's `%g`: the shortest digits that read back as the same number.
pub(crate) fn shortest(v: f64) -> String {
    if let Some(text) = special(v) {
        return text.to_owned();
    }
    let text = nilometer_model::number::scientific(v);
    with_exponent_where_large(&text, 6)
}

/// Go's `%.2g`: two significant digits.
pub(crate) fn two_digits(v: f64) -> String {
    if let Some(text) = special(v) {
        return text.to_owned();
    }
    let text = format!("{v:.1e}");
    with_exponent_where_large(&text, 2)
}

/// OpenMetrics' text of a float: as `%g`, but a whole number shows that it is a float.
pub(crate) fn open_metrics(v: f64) -> String {
    let text = shortest(v);
    if v.is_finite() && !text.contains(['e', '.']) { text + ".0" } else { text }
}

/// Whether two numbers differ by less than `epsilon` times their sum; stale markers and other NaNs are equal
/// among themselves.
pub(crate) fn almost_equal(a: f64, b: f64, epsilon: f64) -> bool {
    use nilometer_model::is_stale_nan;
    if is_stale_nan(a) || is_stale_nan(b) {
        return is_stale_nan(a) && is_stale_nan(b);
    }
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let (sum, diff) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return diff < epsilon * f64::MIN_POSITIVE;
    }
    diff / sum.min(f64::MAX) < epsilon
}

fn special(v: f64) -> Option<&'static str> {
    match v {
        _ if v.is_nan() => Some("NaN"),
        f64::INFINITY => Some("+Inf"),
        f64::NEG_INFINITY => Some("-Inf"),
        _ => None,
    }
}

/// From Rust's `1.5e-7` to Go's, which writes the exponent only below -4 and from `large` on.
fn with_exponent_where_large(text: &str, large: i32) -> String {
    let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mut digits = digits.to_owned();
    if digits.contains('.') {
        digits.truncate(digits.trim_end_matches('0').trim_end_matches('.').len());
    }
    if exponent < -4 || exponent >= large {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let negative = digits.starts_with('-');
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    let mut out = String::from(if negative { "-" } else { "" });
    if exponent < 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', (-exponent - 1) as usize));
        out.push_str(&digits);
    } else {
        let whole = exponent as usize + 1;
        if digits.len() <= whole {
            out.push_str(&digits);
            out.extend(std::iter::repeat_n('0', whole - digits.len()));
        } else {
            out.push_str(&digits[..whole]);
            out.push('.');
            out.push_str(&digits[whole..]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_writes() {
        for (v, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (-1.5, "-1.5"),
            (100_000.0, "100000"),
            (1e6, "1e+06"),
            (1e21, "1e+21"),
            (0.0001, "0.0001"),
            (0.000_012_3, "1.23e-05"),
            (1_234_567.0, "1.234567e+06"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(shortest(v), text, "{v}");
        }
        assert_eq!(two_digits(123.0), "1.2e+02");
        assert_eq!(two_digits(12.0), "12");
        assert_eq!(two_digits(0.034_56), "0.035");
        assert_eq!(nilometer_model::number::plain(1e21), "1000000000000000000000");
        assert_eq!(open_metrics(1.0), "1.0");
        assert_eq!(open_metrics(0.5), "0.5");
    }
}
