//! Names for who knows only the letters, digits, `_` and `:` of old.

use std::borrow::Cow;
use std::fmt::Write;

/// What becomes of other characters, by the values of the header's parameter `escaping`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escaping {
    /// They stay.
    AllowUtf8,
    /// Each becomes `_`.
    Underscores,
    /// `.` becomes `_dot_`, others and `_` become `__`.
    Dots,
    /// `U__` in front, and each by its number: `_2e_`.
    Values,
}

impl Escaping {
    pub(super) fn parse(value: &str) -> Option<Self> {
        [Escaping::AllowUtf8, Escaping::Underscores, Escaping::Dots, Escaping::Values]
            .into_iter()
            .find(|e| e.as_str() == value)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Escaping::AllowUtf8 => "allow-utf-8",
            Escaping::Underscores => "underscores",
            Escaping::Dots => "dots",
            Escaping::Values => "values",
        }
    }

    pub(super) fn apply(self, name: &str) -> Cow<'_, str> {
        if self == Escaping::AllowUtf8 || name.is_empty() || is_plain(name) {
            return Cow::Borrowed(name);
        }
        let mut out = String::with_capacity(name.len() + 8);
        if self == Escaping::Values {
            out.push_str("U__");
        }
        for (at, c) in name.char_indices() {
            match self {
                Escaping::Dots | Escaping::Values if c == '_' => out.push_str("__"),
                _ if is_plain_char(c, at) => out.push(c),
                Escaping::Dots if c == '.' => out.push_str("_dot_"),
                Escaping::Dots => out.push_str("__"),
                Escaping::Values => drop(write!(out, "_{:x}_", u32::from(c))),
                Escaping::Underscores | Escaping::AllowUtf8 => out.push('_'),
            }
        }
        Cow::Owned(out)
    }
}

/// Whether a name may stand without quotes.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.char_indices().all(|(at, c)| is_plain_char(c, at))
}

fn is_plain_char(c: char, at: usize) -> bool {
    c.is_ascii_alphabetic() || c == '_' || c == ':' || c.is_ascii_digit() && at > 0
}
