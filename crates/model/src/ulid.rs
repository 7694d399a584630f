//! The name of a block: 48 bits of time, 80 random bits, written as 26 characters that sort by time.
//!
//! ```text
//! ┌───────────────────────┬──────────────────────────────┐
//! │ ms since 1970 <6 b>   │ random <10 b>                │   big endian; 5 bits a character, Crockford's base32
//! └───────────────────────┴──────────────────────────────┘
//! ```

use crate::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Sorts by time of creation, then by chance.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ulid(u128);

impl Ulid {
    /// Characters of the text form.
    pub const LEN: usize = 26;
    const ALPHABET: &'static [u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    const MAX_MS: u64 = (1 << 48) - 1;

    /// `ms` since 1970; beyond the year 10889 it is cut to what fits.
    pub fn new(ms: u64, random: [u8; 10]) -> Self {
        let mut low = [0; 16];
        low[6..].copy_from_slice(&random);
        Ulid(u128::from(ms.min(Self::MAX_MS)) << 80 | u128::from_be_bytes(low))
    }

    /// When it was made, in milliseconds since 1970.
    pub fn ms(self) -> u64 {
        (self.0 >> 80) as u64
    }

    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Ulid(u128::from_be_bytes(bytes))
    }

    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = (0..Self::LEN)
            .rev()
            .map(|at| Self::ALPHABET[(self.0 >> (5 * at)) as usize & 31] as char)
            .collect();
        f.pad(&text)
    }
}

impl fmt::Debug for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Ulid {
    type Err = Error;

    /// Takes small letters too, as Go's library does; what it prints has only capitals.
    fn from_str(text: &str) -> Result<Self> {
        let wrong =
            || Error::invalid(format!("{text:?} is no ULID: 26 characters of 0-9 A-Z without I L O U"));
        if text.len() != Self::LEN {
            return Err(wrong());
        }
        let mut value = 0u128;
        for (at, byte) in text.bytes().enumerate() {
            let upper = byte.to_ascii_uppercase();
            let digit = Self::ALPHABET.iter().position(|c| *c == upper).ok_or_else(wrong)?;
            // 26 characters hold 130 bits: the first may not be above 7.
            if at == 0 && digit > 7 {
                return Err(wrong());
            }
            value = value << 5 | digit as u128;
        }
        Ok(Ulid(value))
    }
}

impl Serialize for Ulid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ulid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_that_of_the_go_library() {
        // The example of the specification: 1469922850259 ms.
        let ulid: Ulid = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        assert_eq!(ulid.ms(), 1_469_922_850_259);
        assert_eq!(ulid.to_string(), "01ARZ3NDEKTSV4RRFFQ69G5FAV");
        assert_eq!("01arz3ndektsv4rrffq69g5fav".parse::<Ulid>().unwrap(), ulid);
        assert_eq!(Ulid::from_bytes(ulid.to_bytes()), ulid);
    }

    #[test]
    fn time_sorts_first() {
        let ulid = |ms, byte| Ulid::new(ms, [byte; 10]);
        assert!(ulid(1, 255) < ulid(2, 0));
        assert!(ulid(1, 255).to_string() < ulid(2, 0).to_string());
        assert_eq!(Ulid::new(u64::MAX, [0xff; 10]).to_string(), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
        assert_eq!(ulid(77, 3).ms(), 77);
    }

    #[test]
    fn others_are_refused() {
        for text in [
            "",
            "01ARZ3NDEKTSV4RRFFQ69G5FA",
            "81ARZ3NDEKTSV4RRFFQ69G5FAV",
            "01ARZ3NDEKTSV4RRFFQ69G5FAU",
            "../../../../../../etc/pass",
        ] {
            assert!(text.parse::<Ulid>().is_err(), "{text}");
        }
        assert!("ü1ARZ3NDEKTSV4RRFFQ69G5FA".parse::<Ulid>().is_err());
    }
}
