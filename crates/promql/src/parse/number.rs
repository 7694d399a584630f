//! Numbers: Go's spellings of integers and floats, and durations as seconds.

use super::parser::Parser;
use crate::ast::{BinaryOp, NumberLiteral};
use crate::duration::{parse_duration, seconds_from_ms};
use crate::lex::{Result, TokenKind};
use crate::quote::quoted;

impl Parser<'_> {
    /// A number or a duration, without sign.
    pub(super) fn number(&mut self) -> Result<NumberLiteral> {
        let token = self.peek()?;
        let text = self.text(token);
        let (value, duration) = match token.kind {
            TokenKind::Number => (parse_number(text), false),
            TokenKind::Duration => {
                let ms = parse_duration(text).map_err(|e| e.message().to_owned());
                (ms.map(seconds_from_ms), true)
            }
            _ => return self.unexpected(),
        };
        self.next()?;
        match value {
            Ok(value) => Ok(NumberLiteral { value, duration, pos: token.pos }),
            Err(message) => self.fail(token.pos, message),
        }
    }

    /// A number or a duration, with or without sign.
    pub(super) fn signed_number(&mut self) -> Result<f64> {
        let negative = match self.peek_kind()? {
            TokenKind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) => {
                self.next()?;
                op == BinaryOp::Sub
            }
            _ => false,
        };
        let value = self.number()?.value;
        Ok(if negative { negated(value) } else { value })
    }
}

/// NaN has no sign: it could not be printed.
pub(super) fn negated(value: f64) -> f64 {
    if value.is_nan() { value } else { -value }
}

/// Reads an integer with Go's prefixes, else a float.
fn parse_number(text: &str) -> std::result::Result<f64, String> {
    if let Some(integer) = parse_integer(text) {
        return Ok(integer as f64);
    }
    let fail =
        |why: &str| Err(format!("error parsing number: strconv.ParseFloat: parsing {}: {why}", quoted(text)));
    if text.eq_ignore_ascii_case("inf") {
        return Ok(f64::INFINITY);
    }
    if text.eq_ignore_ascii_case("nan") {
        return Ok(f64::NAN);
    }
    let well_formed = underscores_separate_digits(text)
        && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'e' | b'E' | b'+' | b'-'));
    match text.replace('_', "").parse::<f64>() {
        Ok(value) if well_formed && value.is_infinite() => fail("value out of range"),
        Ok(value) if well_formed => Ok(value),
        _ => fail("invalid syntax"),
    }
}

/// Go's `ParseInt` with base 0: `0x` and a leading `0` choose the base. `None` where it fails.
fn parse_integer(text: &str) -> Option<i64> {
    if !underscores_separate_digits(text) {
        return None;
    }
    let digits = text.replace('_', "");
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, &digits[..]),
    };
    // A sign, which `from_str_radix` would take, cannot begin a number's word, but may follow `0x`.
    digits.bytes().all(|b| b.is_ascii_alphanumeric()).then(|| i64::from_str_radix(digits, radix).ok())?
}

/// Whether every underscore stands between digits, or between a base prefix and a digit.
fn underscores_separate_digits(text: &str) -> bool {
    if !text.contains('_') {
        return true;
    }
    let hex = text.len() > 1 && matches!(&text.as_bytes()[..2], b"0x" | b"0X");
    let (prefix, rest) = if hex { ("0", &text[2..]) } else { ("", text) };
    let chars: Vec<u8> = prefix.bytes().chain(rest.bytes()).collect();
    let is_digit =
        |at: usize| chars.get(at).is_some_and(|b| b.is_ascii_digit() || hex && b.is_ascii_hexdigit());
    chars
        .iter()
        .enumerate()
        .filter(|(_, b)| **b == b'_')
        .all(|(at, _)| at > 0 && is_digit(at - 1) && is_digit(at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_gos() {
        for (text, want) in [
            ("0", 0.0),
            ("010", 8.0),
            ("08", 8.0),
            ("0_10", 8.0),
            ("0x1F", 31.0),
            ("0X_1f", 31.0),
            ("1_000", 1000.0),
            ("1_000.5_0", 1000.5),
            ("1e1_0", 1e10),
            ("5.", 5.0),
            (".5e-3", 0.0005),
            ("9223372036854775808", 9_223_372_036_854_775_808.0),
            ("Inf", f64::INFINITY),
            ("1e-400", 0.0),
        ] {
            assert_eq!(parse_number(text), Ok(want), "{text}");
        }
        assert!(parse_number("NaN").is_ok_and(f64::is_nan));
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for (text, why) in [
            ("1e400", "value out of range"),
            ("0x", "invalid syntax"),
            ("0xffffffffffffffffff", "invalid syntax"),
            ("1__0", "invalid syntax"),
            (".5.5", "invalid syntax"),
            ("1_.5", "invalid syntax"),
        ] {
            let want = format!("error parsing number: strconv.ParseFloat: parsing \"{text}\": {why}");
            assert_eq!(parse_number(text), Err(want));
        }
    }
}
