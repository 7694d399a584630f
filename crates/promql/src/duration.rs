//! Durations: their text, and the arithmetic on them that Prometheus 3 allows in brackets and after
//! `offset`.

use crate::ast::{DurationArg, Expr, NumberLiteral, PosRange};
use nilometer_model::{Error, Result};

/// Arithmetic on durations, in seconds. It may depend on the query's step and range, hence it is kept
/// until the query's times are known: [`resolve_durations`].
#[derive(Clone, Debug, PartialEq)]
pub struct DurationExpr {
    pub kind: DurationKind,
    /// Written in parentheses. Only printing cares.
    pub wrapped: bool,
    pub pos: PosRange,
}

#[derive(Clone, Debug, PartialEq)]
pub enum DurationKind {
    Literal(NumberLiteral),
    /// `step()`
    Step,
    /// `range()`
    Range,
    Negative(Box<DurationExpr>),
    Binary(DurationOp, Box<DurationExpr>, Box<DurationExpr>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    /// `min_of(a, b)`
    MinOf,
    /// `max_of(a, b)`
    MaxOf,
}

/// What durations of a query can depend on. For an instant query both are 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueryTimes {
    pub step_ms: i64,
    /// End minus start.
    pub range_ms: i64,
}

/// Puts milliseconds in the place of every duration expression of the tree.
pub fn resolve_durations(expr: &mut Expr, times: QueryTimes) -> Result<()> {
    match expr {
        Expr::Vector(e) => resolve(&mut e.offset, times, true)?,
        Expr::Matrix(e) => {
            resolve(&mut e.range, times, false)?;
            resolve(&mut e.selector.offset, times, true)?;
        }
        Expr::Subquery(e) => {
            resolve(&mut e.offset, times, true)?;
            if let Some(step) = &mut e.step {
                resolve(step, times, false)?;
            }
            resolve(&mut e.range, times, false)?;
        }
        _ => {}
    }
    expr.children_mut().try_for_each(|child| resolve_durations(child, times))
}

fn resolve(arg: &mut DurationArg, times: QueryTimes, allow_negative: bool) -> Result<()> {
    let DurationArg::Expr(expr) = arg else { return Ok(()) };
    let fail = |what: &str| Err(at(expr.pos, what));
    let seconds = expr.seconds(times)?;
    if !seconds.is_finite() {
        return fail("duration is NaN or infinite");
    }
    if seconds <= 0.0 && !allow_negative {
        return fail("duration must be greater than 0");
    }
    if seconds_out_of_range(seconds) {
        return fail("duration is out of range");
    }
    *arg = DurationArg::Ms((seconds * 1000.0) as i64);
    Ok(())
}

impl DurationExpr {
    /// The value in seconds.
    pub fn seconds(&self, times: QueryTimes) -> Result<f64> {
        Ok(match &self.kind {
            DurationKind::Literal(number) => number.value,
            DurationKind::Step => seconds_from_ms(times.step_ms),
            DurationKind::Range => seconds_from_ms(times.range_ms),
            DurationKind::Negative(e) => -e.seconds(times)?,
            DurationKind::Binary(op, lhs, rhs) => {
                let (a, b) = (lhs.seconds(times)?, rhs.seconds(times)?);
                match op {
                    DurationOp::Div if b == 0.0 => return Err(at(self.pos, "division by zero")),
                    DurationOp::Mod if b == 0.0 => return Err(at(self.pos, "modulo by zero")),
                    _ => op.apply(a, b),
                }
            }
        })
    }
}

impl DurationOp {
    pub fn as_str(self) -> &'static str {
        match self {
            DurationOp::Add => "+",
            DurationOp::Sub => "-",
            DurationOp::Mul => "*",
            DurationOp::Div => "/",
            DurationOp::Mod => "%",
            DurationOp::Pow => "^",
            DurationOp::MinOf => "min_of",
            DurationOp::MaxOf => "max_of",
        }
    }

    fn apply(self, a: f64, b: f64) -> f64 {
        match self {
            DurationOp::Add => a + b,
            DurationOp::Sub => a - b,
            DurationOp::Mul => a * b,
            DurationOp::Div => a / b,
            DurationOp::Mod => a % b,
            DurationOp::Pow => a.powf(b),
            DurationOp::MinOf | DurationOp::MaxOf if a.is_nan() || b.is_nan() => f64::NAN,
            DurationOp::MinOf => a.min(b),
            DurationOp::MaxOf => a.max(b),
        }
    }
}

/// Whether `seconds` do not fit into 64 bits of nanoseconds, Prometheus' limit for any duration.
pub(crate) fn seconds_out_of_range(seconds: f64) -> bool {
    const MAX_SECONDS: f64 = 9_223_372_036.854_776;
    seconds.is_nan() || seconds.abs() > MAX_SECONDS
}

/// Prometheus rounds a literal to nanoseconds first and cuts it to milliseconds where it is used.
pub(crate) fn literal_ms(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64 / 1_000_000
}

/// Go's sum of whole and rest, which differs from a division in the last bit at times.
pub(crate) fn seconds_from_ms(ms: i64) -> f64 {
    (ms / 1000) as f64 + ((ms % 1000) * 1_000_000) as f64 / 1e9
}

/// Positions of these messages are the byte range, as in Prometheus.
fn at(pos: PosRange, what: &str) -> Error {
    Error::invalid(format!("{}:{}: {what}", pos.start, pos.end))
}

const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Reads Prometheus' duration text (`1h30m`, `90d`, `0`) as milliseconds. Units go from large to small,
/// each at most once.
pub fn parse_duration(text: &str) -> Result<i64> {
    const MAX_MS: u64 = i64::MAX as u64 / 1_000_000;
    if text == "0" {
        return Ok(0);
    }
    if text.is_empty() {
        return Err(Error::invalid("empty duration string"));
    }
    let wrong = || Error::invalid(format!("not a valid duration string: {}", crate::quote::quoted(text)));
    let too_long = || Error::invalid("duration out of range");
    let (mut rest, mut total_ms, mut units) = (text, 0u64, &UNITS[..]);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit_len = tail.bytes().take_while(|b| !b.is_ascii_digit()).count();
        let (unit, tail) = tail.split_at(unit_len);
        if unit.is_empty() {
            return Err(wrong());
        }
        if !UNITS.iter().any(|(name, _)| *name == unit) {
            let (unit, text) = (crate::quote::quoted(unit), crate::quote::quoted(text));
            return Err(Error::invalid(format!("unknown unit {unit} in duration {text}")));
        }
        let at = units.iter().position(|(name, _)| *name == unit).ok_or_else(wrong)?;
        total_ms = number
            .checked_mul(units[at].1)
            .and_then(|ms| ms.checked_add(total_ms))
            .filter(|ms| *ms <= MAX_MS)
            .ok_or_else(too_long)?;
        (rest, units) = (tail, &units[at + 1..]);
    }
    Ok(total_ms as i64)
}

/// Prometheus' text of a duration: the opposite of [`parse_duration`], with a sign if negative.
pub fn format_duration(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut text = String::from(if ms < 0 { "-" } else { "" });
    let mut rest = ms.unsigned_abs();
    for (unit, unit_ms) in UNITS {
        // `90d` reads better than `12w6d`: years and weeks only where nothing is left over.
        let exact = matches!(unit, "y" | "w");
        if rest < unit_ms || exact && !rest.is_multiple_of(unit_ms) {
            continue;
        }
        text.push_str(&(rest / unit_ms).to_string());
        text.push_str(unit);
        rest %= unit_ms;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{ParseOptions, parse_expr};
    use proptest::prelude::*;

    #[test]
    fn durations_are_read() {
        for (text, want_ms) in [
            ("0", 0),
            ("0s", 0),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1y2w3d4h5m6s7ms", 33_019_506_007),
            ("100d", 8_640_000_000),
        ] {
            assert_eq!(parse_duration(text).ok(), Some(want_ms), "{text}");
        }
        for (text, want) in [
            ("", "empty duration string"),
            ("5", "not a valid duration string: \"5\""),
            ("m", "not a valid duration string: \"m\""),
            ("1m1h", "not a valid duration string: \"1m1h\""),
            ("1m1m", "not a valid duration string: \"1m1m\""),
            ("99999999999999999999s", "not a valid duration string: \"99999999999999999999s\""),
            ("1hs", "unknown unit \"hs\" in duration \"1hs\""),
            ("1µs", "unknown unit \"µs\" in duration \"1µs\""),
            ("300y", "duration out of range"),
            ("18446744073709551615y", "duration out of range"),
        ] {
            assert_eq!(parse_duration(text).unwrap_err().message(), want);
        }
    }

    #[test]
    fn whole_years_and_weeks_only() {
        for (ms, want) in [
            (0, "0s"),
            (604_800_000, "1w"),
            (90 * 86_400_000, "90d"),
            (366 * 86_400_000, "366d"),
            (730 * 86_400_000, "2y"),
            (-5_400_001, "-1h30m1ms"),
        ] {
            assert_eq!(format_duration(ms), want);
        }
        assert!(format_duration(i64::MIN).starts_with("-106751991167d"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(ms in 0..i64::MAX / 1_000_000) {
            prop_assert_eq!(parse_duration(&format_duration(ms)).ok(), Some(ms));
        }
    }

    /// The query with its durations resolved, or what is wrong with them.
    fn resolved(query: &str) -> String {
        let mut expr = parse_expr(query, ParseOptions::ALL).unwrap();
        let times = QueryTimes { step_ms: 15_000, range_ms: 3_600_000 };
        match resolve_durations(&mut expr, times) {
            Ok(()) => expr.to_string(),
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn expressions_become_durations() {
        for (query, want) in [
            ("a[5m + 2 * step()] offset -(range() / 2)", "a[5m30s] offset -30m"),
            ("a[2m:max_of(1s, step() % 4)] offset min_of(1m, 2 ^ 3)", "a[2m:3s] offset 8s"),
            ("rate(a[(1m):]) + a offset (1m) - 61.0009", "rate(a[1m:]) + a offset -1s"),
            ("a offset (1 - 1)", "a"),
            ("a[5m]", "a[5m]"),
        ] {
            assert_eq!(resolved(query), want);
        }
    }

    #[test]
    fn what_only_evaluation_can_refuse() {
        for (query, want) in [
            ("a[step() - 1m]", "2:13: duration must be greater than 0"),
            ("a[step() / (step() - step())]", "2:27: division by zero"),
            ("a offset (1 % (0))", "10:16: modulo by zero"),
            ("a offset (-1 * 2) ^ 0.5", "10:23: duration is NaN or infinite"),
            ("a offset (step() ^ 300)", "10:22: duration is NaN or infinite"),
            ("a offset (1e9 * 10)", "10:18: duration is out of range"),
        ] {
            assert_eq!(resolved(query), want, "{query}");
        }
    }
}
