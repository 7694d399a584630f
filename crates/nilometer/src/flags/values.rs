//! The forms that values of flags have.

use anyhow::{Context, Result};
use nilometer_gateway::TimeBound;
use nilometer_promql::duration::parse_duration;
use nilometer_server::TlsFiles;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// Where something listens.
pub(crate) struct Address {
    pub(crate) socket: SocketAddr,
    pub(crate) tls: Option<TlsFiles>,
}

impl Address {
    pub(super) fn parse(flag: &str, text: &str, tls: Option<TlsFiles>) -> Result<Address> {
        // Go's short form for all addresses of this machine.
        let text = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
        let mut found = text
            .to_socket_addrs()
            .with_context(|| format!("--{flag}={text}: an address is like 127.0.0.1:10902"))?;
        let socket = found.next().with_context(|| format!("--{flag}={text}: this name has no address"))?;
        Ok(Address { socket, tls })
    }
}

/// A duration in Prometheus' form, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Millis(pub(crate) i64);

impl std::str::FromStr for Millis {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let ms =
            parse_duration(text).map_err(|_| "a duration is like 90s, 10m, 2h, 15d or 1h30m".to_owned())?;
        Ok(Millis(ms))
    }
}

impl Millis {
    pub(crate) fn duration(self) -> Duration {
        Duration::from_millis(self.0.max(0) as u64)
    }
}

/// A time in RFC 3339's form, or a duration from now, as Thanos' partitions of time have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeOrDuration(pub(crate) TimeBound);

impl TimeOrDuration {
    /// Thanos' default, a day later than the last time there is here.
    const FOR_EVER: &str = "9999-12-31T23:59:59Z";
}

impl std::str::FromStr for TimeOrDuration {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if text == Self::FOR_EVER {
            return Ok(TimeOrDuration(TimeBound::AtMs(i64::MAX)));
        }
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return Ok(TimeOrDuration(TimeBound::AtMs(time.as_millisecond())));
        }
        let (sign, duration) = text.strip_prefix('-').map_or((1, text), |duration| (-1, duration));
        let ms = parse_duration(duration)
            .map_err(|_| "a time is like 2026-01-02T03:04:05Z, or from now like -2w or 0s".to_owned())?;
        Ok(TimeOrDuration(TimeBound::FromNowMs(sign * ms)))
    }
}

/// A size in bytes. Units are powers of 1,024 whether the `i` is there or not, as in kingpin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

impl std::str::FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || "a size is like 1048576, 512MiB or 2GiB".to_owned();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let shift = match unit {
            "" | "B" => 0,
            "K" | "KB" | "KiB" => 10,
            "M" | "MB" | "MiB" => 20,
            "G" | "GB" | "GiB" => 30,
            "T" | "TB" | "TiB" => 40,
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        number.checked_mul(1 << shift).map(Bytes).ok_or_else(wrong)
    }
}

/// `name="value"`, as Thanos writes external labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LabelPair {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl std::str::FromStr for LabelPair {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("a label is like name=\"value\", with the quotes; this is {text}");
        let (name, quoted) = text.split_once('=').ok_or_else(wrong)?;
        let letter = |b: u8| b.is_ascii_alphabetic() || b == b'_';
        let ok = name.bytes().enumerate().all(|(at, b)| letter(b) || at > 0 && b.is_ascii_digit());
        if name.is_empty() || !ok {
            return Err(format!("{name:?} cannot be a label's name: letters, digits and _ can"));
        }
        let inside = quoted.strip_prefix('"').and_then(|q| q.strip_suffix('"')).ok_or_else(wrong)?;
        let mut value = String::new();
        let mut chars = inside.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => return Err(wrong()),
                '\\' => value.push(match chars.next().ok_or_else(wrong)? {
                    'n' => '\n',
                    't' => '\t',
                    escaped @ ('\\' | '"') => escaped,
                    _ => return Err(wrong()),
                }),
                other => value.push(other),
            }
        }
        Ok(LabelPair { name: name.to_owned(), value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!("1h30m".parse(), Ok(Millis(5_400_000)));
        assert_eq!("0d".parse(), Ok(Millis(0)));
        for bad in ["", "10", "1.5h", "-1m", "1m1h", "10 m", "999999999y"] {
            assert!(bad.parse::<Millis>().is_err(), "{bad}");
        }
    }

    #[test]
    fn times_and_durations_from_now() {
        let parsed = |text: &str| text.parse().map(|TimeOrDuration(bound)| bound);
        assert_eq!(parsed("1970-01-01T00:00:02Z"), Ok(TimeBound::AtMs(2_000)));
        assert_eq!(parsed("-2w"), Ok(TimeBound::FromNowMs(-14 * 86_400_000)));
        assert_eq!(parsed("1h30m"), Ok(TimeBound::FromNowMs(5_400_000)));
        assert!(matches!(parsed("0000-01-01T00:00:00Z"), Ok(TimeBound::AtMs(_))));
        assert_eq!(parsed("9999-12-31T23:59:59Z"), Ok(TimeBound::AtMs(i64::MAX)));
        for bad in ["", "-", "--1h", "yesterday", "2026-01-02"] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!("7".parse(), Ok(Bytes(7)));
        assert_eq!("2GiB".parse(), Ok(Bytes(2 << 30)));
        assert_eq!("2GB".parse(), Ok(Bytes(2 << 30)));
        for bad in ["", "GiB", "1.5GiB", "-1", "1 MiB", "99999999999999TiB", "1mib"] {
            assert!(bad.parse::<Bytes>().is_err(), "{bad}");
        }
    }

    #[test]
    fn labels() {
        let pair = |text: &str| text.parse::<LabelPair>().map(|p| (p.name, p.value));
        assert_eq!(pair("a=\"b\""), Ok(("a".into(), "b".into())));
        assert_eq!(pair("a=\"\""), Ok(("a".into(), String::new())));
        assert_eq!(pair("a_1=\"x=\\\"y\\\\\\n\""), Ok(("a_1".into(), "x=\"y\\\n".into())));
        for bad in
            ["", "a", "a=b", "=\"b\"", "1a=\"b\"", "a=\"b", "a=\"b\"c\"", "a=\"\\", "a=\"\\x\"", "é=\"b\""]
        {
            assert!(pair(bad).is_err(), "{bad}");
        }
    }
}
