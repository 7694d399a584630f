//! Durations as Prometheus writes them: `1m30s`, `500ms`, `0`.

use serde::{Deserialize, Deserializer, de};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PromDuration(pub(super) Duration);

impl<'de> Deserialize<'de> for PromDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let duration = parse(&text).ok_or("expected a duration, such as 90s or 1m30s");
        duration.map(PromDuration).map_err(de::Error::custom)
    }
}

fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut ms = 0u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let units = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        let unit_ms = match &rest[digits..units] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            "y" => 365 * 86_400_000,
            _ => return None,
        };
        ms = ms.checked_add(number.checked_mul(unit_ms)?)?;
        rest = &rest[units..];
    }
    (!text.is_empty()).then_some(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let cases = [
            ("0", Some(0)),
            ("1m30s", Some(90_000)),
            ("2d", Some(172_800_000)),
            ("5ms", Some(5)),
            ("", None),
            ("5", None),
            ("s", None),
            ("1x", None),
            ("99999999999999999999s", None),
            ("9999999999999y", None),
        ];
        for (text, ms) in cases {
            assert_eq!(parse(text), ms.map(Duration::from_millis), "{text}");
        }
    }
}
