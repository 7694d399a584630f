//! How long a tenant's samples are kept in object storage, where the tenants file says so.

use nilometer_model::{Error, Result};

/// In milliseconds, by resolution; 0 is for ever, and what is left out is as the process has it for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TenantRetention {
    pub raw_ms: Option<i64>,
    pub five_minutes_ms: Option<i64>,
    pub one_hour_ms: Option<i64>,
}

const UNITS: [(char, i64); 4] =
    [('h', 3_600_000), ('d', 86_400_000), ('w', 7 * 86_400_000), ('y', 365 * 86_400_000)];

/// A period as the file has it: `48h`, `30d`, `26w`, `2y`, or `0d` for ever.
pub(crate) fn parse_period(text: &str) -> Result<i64> {
    let wrong = || Error::invalid("a period is like 48h, 30d, 26w or 2y, and 0d is for ever");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let (_, ms) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let number =
        text.strip_suffix(unit).filter(|n| n.bytes().all(|b| b.is_ascii_digit())).ok_or_else(wrong)?;
    let number: i64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(ms).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods() {
        let hours = |text| parse_period(text).map(|ms| ms / 3_600_000).ok();
        assert_eq!(
            [hours("48h"), hours("30d"), hours("1w"), hours("2y"), hours("0d")].map(Option::unwrap),
            [48, 720, 168, 17_520, 0]
        );
        for wrong in
            ["", "d", "30", "-1d", "1.5d", "30 d", "+3d", "99999999999999999d", "9999999999999y", "3\u{b5}"]
        {
            assert!(parse_period(wrong).is_err(), "{wrong}");
        }
    }
}
