//! Times and dates, in UTC.

/// Seconds, as PromQL has times.
pub(crate) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// From where Go's `time` counts to 1970.
const DAYS_BEFORE_1970: u64 = 106_751_991_073_400;

/// A part of a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Minute,
    Hour,
    DayOfWeek,
    DayOfMonth,
    DayOfYear,
    DaysInMonth,
    Month,
    Year,
}

impl Part {
    pub(crate) fn by_name(name: &str) -> Option<Part> {
        Some(match name {
            "minute" => Part::Minute,
            "hour" => Part::Hour,
            "day_of_week" => Part::DayOfWeek,
            "day_of_month" => Part::DayOfMonth,
            "day_of_year" => Part::DayOfYear,
            "days_in_month" => Part::DaysInMonth,
            "month" => Part::Month,
            "year" => Part::Year,
            _ => return None,
        })
    }

    /// Of seconds since 1970.
    pub(crate) fn of_seconds(self, v: f64) -> f64 {
        // What no i64 holds is its least value in Go on x86-64.
        let in_range = v >= i64::MIN as f64 && v < i64::MAX as f64;
        self.of_whole_seconds(if in_range { v as i64 } else { i64::MIN })
    }

    pub(crate) fn of_whole_seconds(self, seconds: i64) -> f64 {
        // Go counts unsigned from its own year 0, which shows where that overflows.
        let since = (seconds as u64).wrapping_add(DAYS_BEFORE_1970 * 86_400);
        let (day, second) = ((since / 86_400) as i64 - DAYS_BEFORE_1970 as i64, (since % 86_400) as i64);
        let date = Date::of_day(day);
        (match self {
            Part::Minute => second / 60 % 60,
            Part::Hour => second / 3600,
            Part::DayOfWeek => (day + 4).rem_euclid(7),
            Part::DayOfMonth => date.day,
            Part::DayOfYear => day - day_of(date.year, 1, 1) + 1,
            Part::DaysInMonth => {
                let (year, month) =
                    if date.month == 12 { (date.year + 1, 1) } else { (date.year, date.month + 1) };
                day_of(year, month, 1) - day_of(date.year, date.month, 1)
            }
            Part::Month => date.month,
            Part::Year => date.year,
        }) as f64
    }
}

/// A day of the Gregorian calendar.
struct Date {
    year: i64,
    month: i64,
    day: i64,
}

impl Date {
    /// From days since 1970. Years are counted from March, so that the leap day is the last one.
    fn of_day(days: i64) -> Date {
        let shifted = days + 719_468;
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        Date { year: year_of_era + era * 400 + i64::from(month <= 2), month, day }
    }
}

/// Days since 1970.
fn day_of(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// `2024-02-29T23:59:59Z`
pub(crate) fn rfc3339(ms: i64) -> String {
    // Go's division, towards zero.
    let seconds = ms / 1000;
    let date = Date::of_day(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    let (year, month, day) = (date.year, date.month, date.day);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(rfc3339(951_868_799_000), "2000-02-29T23:59:59Z");
        assert_eq!(rfc3339(-1000), "1969-12-31T23:59:59Z");
        let parts = |t| {
            [Part::Year, Part::Month, Part::DayOfMonth, Part::DayOfYear, Part::DayOfWeek]
                .map(|p| p.of_seconds(t))
        };
        assert_eq!(parts(1_709_164_800.0), [2024.0, 2.0, 29.0, 60.0, 4.0]);
        assert_eq!(parts(0.0), [1970.0, 1.0, 1.0, 1.0, 4.0]);
        assert_eq!(Part::DaysInMonth.of_seconds(1_709_164_800.0), 29.0);
        assert_eq!(Part::Hour.of_seconds(-1.0), 23.0);
    }

    #[test]
    fn any_float_has_a_date() {
        for v in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, i64::MAX as f64] {
            for part in [Part::Year, Part::Minute, Part::DaysInMonth, Part::DayOfYear] {
                assert!(part.of_seconds(v).is_finite());
            }
        }
        assert_eq!(Part::Year.of_seconds(f64::INFINITY), 292_277_026_596.0);
        assert_eq!(Part::Hour.of_seconds(f64::NAN), 15.0);
    }
}
