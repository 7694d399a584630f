//! Times and durations of parameters.

use super::text::quoted;

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// Nanoseconds since 1970: parameters are compared before they are cut to milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp(pub(crate) i128);

impl Timestamp {
    /// The least and the greatest time that Prometheus speaks of, used where a request names none.
    pub(crate) const MIN: Timestamp =
        Timestamp((i64::MIN / 1000 + 62_135_596_801) as i128 * NANOS_PER_SECOND);
    pub(crate) const MAX: Timestamp =
        Timestamp((i64::MAX / 1000 - 62_135_596_801) as i128 * NANOS_PER_SECOND + NANOS_PER_SECOND - 1);
    /// How `MIN` and `MAX` are written: their years have too many digits for RFC 3339.
    const MIN_TEXT: &str = "-292273086-05-16T16:47:06Z";
    const MAX_TEXT: &str = "292277025-08-18T07:12:54.999999999Z";

    pub(crate) fn from_ms(t_ms: i64) -> Self {
        Timestamp(i128::from(t_ms) * 1_000_000)
    }

    /// Cut off towards the past. Times beyond [`MIN`](Self::MIN) and [`MAX`](Self::MAX) are those.
    pub(crate) fn ms(self) -> i64 {
        let ns = self.0.clamp(Self::MIN.0, Self::MAX.0);
        i64::try_from(ns.div_euclid(1_000_000)).unwrap_or(i64::MAX)
    }

    /// Seconds since 1970 with a fraction, or RFC 3339.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            Self::MIN_TEXT => return Ok(Self::MIN),
            Self::MAX_TEXT => return Ok(Self::MAX),
            _ => {}
        }
        seconds(text)
            .filter(|v| v.is_finite())
            .map(Self::from_seconds)
            .or_else(|| rfc3339(text))
            .ok_or_else(|| format!("cannot parse {} to a valid timestamp", quoted(text)))
    }

    /// The fraction is rounded to milliseconds first, so that a decimal means what it says.
    fn from_seconds(v: f64) -> Self {
        let fraction = (v.fract() * 1000.0).round() / 1000.0;
        Timestamp(v.trunc() as i64 as i128 * NANOS_PER_SECOND + (fraction * 1e9) as i128)
    }
}

/// Nanoseconds, from seconds with a fraction or from `1h30m`.
pub(crate) fn duration_ns(text: &str) -> Result<i64, String> {
    match seconds(text) {
        Some(v) if v.is_nan() => {}
        Some(v) if (v * 1e9).abs() > i64::MAX as f64 => {
            return Err(format!("cannot parse {} to a valid duration. It overflows int64", quoted(text)));
        }
        Some(v) => return Ok((v * 1e9) as i64),
        None => {
            if let Ok(ms) = nilometer_promql::duration::parse_duration(text) {
                return Ok(ms.saturating_mul(1_000_000));
            }
        }
    }
    Err(format!("cannot parse {} to a valid duration", quoted(text)))
}

/// Go refuses a number that is too large, where Rust takes infinity for it.
fn seconds(text: &str) -> Option<f64> {
    let v: f64 = text.parse().ok()?;
    (v.is_finite() || !text.bytes().any(|b| b.is_ascii_digit())).then_some(v)
}

/// `2006-01-02T15:04:05[.999]Z` or with an offset such as `+02:00`.
fn rfc3339(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let number = |at: std::ops::Range<usize>| -> Option<i64> {
        let digits = bytes.get(at)?;
        digits.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
    };
    let is = |at: usize, wanted: u8| bytes.get(at) == Some(&wanted);
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let marks = is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':');
    let ranges = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    if !marks || !ranges || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction_ns, zone) = fraction_ns(&text[19..])?;
    let offset = match zone.as_bytes() {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let at = text.len() - 5;
            let (hours, minutes) = (number(at..at + 2)?, number(at + 3..at + 5)?);
            if hours > 24 || minutes > 60 {
                return None;
            }
            (if *sign == b'+' { 1 } else { -1 }) * (hours * 3600 + minutes * 60)
        }
        _ => return None,
    };
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some(Timestamp(i128::from(seconds) * NANOS_PER_SECOND + i128::from(fraction_ns)))
}

/// Takes `.123` (or `,123`, as Go does) off the start.
fn fraction_ns(text: &str) -> Option<(i64, &str)> {
    let Some(digits) = text.strip_prefix(['.', ',']) else { return Some((0, text)) };
    let count = digits.bytes().take_while(u8::is_ascii_digit).count();
    let nine: String = digits[..count].chars().chain(std::iter::repeat('0')).take(9).collect();
    (count > 0).then_some(())?;
    Some((nine.parse().ok()?, &digits[count..]))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Of the Gregorian calendar. Counted from March, so that a leap day is the last of its year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_read() {
        for (text, want_ms) in [
            ("0", 0),
            ("1700000000", 1_700_000_000_000),
            ("1700000000.123", 1_700_000_000_123),
            ("1700000000.1239", 1_700_000_000_124),
            ("1.7e9", 1_700_000_000_000),
            ("-1.5", -1500),
            ("1970-01-01T00:00:00Z", 0),
            ("2023-11-14T22:13:20Z", 1_700_000_000_000),
            ("2023-11-14T22:13:20.123456789Z", 1_700_000_000_123),
            ("2023-11-15T00:13:20.5+02:00", 1_700_000_000_500),
            ("2023-11-14T20:13:20-02:00", 1_700_000_000_000),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000),
            ("1969-12-31T23:59:59.999Z", -1),
            ("0001-01-01T00:00:00Z", -62_135_596_800_000),
            ("9999-12-31T23:59:59Z", 253_402_300_799_000),
            (Timestamp::MIN_TEXT, Timestamp::MIN.ms()),
            (Timestamp::MAX_TEXT, Timestamp::MAX.ms()),
            ("1e300", Timestamp::MAX.ms()),
            ("-1e300", Timestamp::MIN.ms()),
        ] {
            assert_eq!(Timestamp::parse(text).map(Timestamp::ms), Ok(want_ms), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "now",
            "NaN",
            "Inf",
            "1e999",
            "2023-11-14",
            "2023-11-14 22:13:20Z",
            "2023-11-14T22:13:20",
            "2023-02-29T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-11-14T24:00:00Z",
            "2023-11-14T22:13:60Z",
            "2023-11-14T22:13:20.Z",
            "2023-11-14T22:13:20z",
            "2023-11-14T22:13:20+2:00",
            "2023-11-14T22:13:20+02:00x",
            "２０２３-11-14T22:13:20Z",
            "2023-11-14T22:13:20é",
        ] {
            let error = Timestamp::parse(text).unwrap_err();
            assert_eq!(error, format!("cannot parse {} to a valid timestamp", quoted(text)));
        }
    }

    #[test]
    fn decimals_mean_what_they_say() {
        for ms in 0..1000 {
            let text = format!("1700000000.{ms:03}");
            assert_eq!(Timestamp::parse(&text).map(Timestamp::ms), Ok(1_700_000_000_000 + ms), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_time_or_not(text in "[0-9TZ:.,+-]{0,30}|[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9].*|.*") {
            let _ = (Timestamp::parse(&text).map(Timestamp::ms), duration_ns(&text));
        }

        #[test]
        fn seconds_mean_milliseconds(t_ms in -100_000_000_000_000i64..100_000_000_000_000) {
            let text = format!("{}", t_ms as f64 / 1000.0);
            prop_assert_eq!(Timestamp::parse(&text).map(Timestamp::ms), Ok(t_ms));
        }
    }

    #[test]
    fn durations_are_read() {
        for (text, want_ns) in [
            ("0", 0),
            ("15", 15_000_000_000),
            ("0.5", 500_000_000),
            ("-1", -1_000_000_000),
            ("5m", 300_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("100ms", 100_000_000),
        ] {
            assert_eq!(duration_ns(text), Ok(want_ns), "{text}");
        }
        for text in ["", "abc", "5 m", "m5", "NaN", "1e999"] {
            let want = format!("cannot parse {} to a valid duration", quoted(text));
            {
                assert_eq!(duration_ns(text), Err(want));
            }
        }
        for text in ["1e10", "-1e10", "Inf"] {
            let want = format!("cannot parse {} to a valid duration. It overflows int64", quoted(text));
            assert_eq!(duration_ns(text), Err(want));
        }
    }
}
