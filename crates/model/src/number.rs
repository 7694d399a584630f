//! Floats as Go writes them: what Prometheus shows is the shortest text that reads back as the same number, and of
//! two that are as near the one with the even digit, where Rust's own writes the other.

/// The digits of a finite number, and where they begin: `1.25e-7` is 125 and -7.
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i32,
}

impl Decimal {
    /// From a text with or without point and exponent.
    fn parse(text: &str) -> Decimal {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
        let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let mut exponent = exponent.parse::<i32>().unwrap_or(0) + whole.len() as i32 - 1;
        let mut digits: Vec<u8> = whole.bytes().chain(part.bytes()).collect();
        let zeros = digits.iter().take_while(|d| **d == b'0').count();
        if zeros == digits.len() {
            return Decimal { negative, digits: vec![b'0'], exponent: 0 };
        }
        digits.drain(..zeros);
        exponent -= zeros as i32;
        digits.truncate(digits.len() - digits.iter().rev().take_while(|d| **d == b'0').count());
        Decimal { negative, digits, exponent }
    }

    fn push_plain(&self, out: &mut Vec<u8>) {
        if self.negative {
            out.push(b'-');
        }
        let zeros = |n: i32| std::iter::repeat_n(b'0', usize::try_from(n).unwrap_or(0));
        if self.exponent < 0 {
            out.extend_from_slice(b"0.");
            out.extend(zeros(-self.exponent - 1));
            out.extend_from_slice(&self.digits);
            return;
        }
        let whole = self.exponent as usize + 1;
        let (before, after) = self.digits.split_at(whole.min(self.digits.len()));
        out.extend_from_slice(before);
        out.extend(zeros(whole as i32 - before.len() as i32));
        if !after.is_empty() {
            out.push(b'.');
            out.extend_from_slice(after);
        }
    }
}

/// Go's `FormatFloat(v, 'f', -1, 64)`: never an exponent.
pub fn push_plain(out: &mut Vec<u8>, v: f64) {
    const EXACT: f64 = (1u64 << 53) as f64;
    match v {
        _ if v.is_nan() => out.extend_from_slice(b"NaN"),
        f64::INFINITY => out.extend_from_slice(b"+Inf"),
        f64::NEG_INFINITY => out.extend_from_slice(b"-Inf"),
        // Most samples are whole, and whole numbers are quicker to write; not so a negative zero.
        _ if v.fract() == 0.0 && v.abs() < EXACT && v.to_bits() != (-0.0f64).to_bits() => {
            out.extend_from_slice(itoa::Buffer::new().format(v as i64).as_bytes());
        }
        _ => {
            let mut buffer = zmij::Buffer::new();
            let text = buffer.format_finite(v);
            if text.contains('e') || text.ends_with(".0") {
                Decimal::parse(text).push_plain(out);
            } else {
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
}

/// The same as a text of its own.
pub fn plain(v: f64) -> String {
    let mut out = Vec::with_capacity(24);
    push_plain(&mut out, v);
    String::from_utf8(out).unwrap_or_default()
}

/// Go's `FormatFloat(v, 'e', -1, 64)` of a finite number: `1.25e-07`, with at least two digits behind the sign.
pub fn scientific(v: f64) -> String {
    let Decimal { negative, digits, exponent } = Decimal::parse(zmij::Buffer::new().format_finite(v));
    let mut text = String::from(if negative { "-" } else { "" });
    for (at, digit) in digits.iter().enumerate() {
        if at == 1 {
            text.push('.');
        }
        text.push(char::from(*digit));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    text + &format!("e{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn of_two_texts_as_near_the_even_one() {
        // Eighths, which are exact; what Go writes. Rust's own ends in 3.
        let eighths = |whole: i64, eighths: i64| (whole * 8 + eighths) as f64 / 8.0;
        for (v, want) in [
            (eighths(215_123_318_321_353, 5), "215123318321353.62"),
            (eighths(150_583_752_506_739, 1), "150583752506739.12"),
            (-eighths(217_881_113_858_506, 5), "-217881113858506.62"),
        ] {
            assert_eq!(plain(v), want);
        }
        assert_eq!(scientific(eighths(215_123_318_321_353, 5)), "2.1512331832135362e+14");
        for (v, want) in [(0.0, "0"), (-0.0, "-0"), (1e21, "1000000000000000000000"), (1e-7, "0.0000001")] {
            assert_eq!(plain(v), want);
        }
    }

    proptest! {
        #[test]
        fn as_short_as_rusts_own_and_the_same_number(bits in any::<u64>(), near in -1e9..1e9f64, scale in -12..12i32) {
            for v in [f64::from_bits(bits), near, near * 10f64.powi(scale), (near * 100.0).round() / 100.0] {
                prop_assume!(v.is_finite());
                prop_assert_eq!(plain(v).parse::<f64>().unwrap().to_bits(), v.to_bits());
                prop_assert_eq!(plain(v).len(), v.to_string().len());
                prop_assert_eq!(scientific(v).parse::<f64>().unwrap().to_bits(), v.to_bits());
                let (text, rusts) = (scientific(v), format!("{v:e}"));
                let ((digits, _), (rusts, exponent)) = (text.split_once('e').unwrap(), rusts.split_once('e').unwrap());
                prop_assert_eq!(digits.len(), rusts.len());
                prop_assert_eq!(&text[digits.len()..], format!("e{:+03}", exponent.parse::<i32>().unwrap()));
            }
        }
    }
}
