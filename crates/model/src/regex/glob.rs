//! Texts with gaps between them: `lit.*`, `.*lit`, `a.+b.*c`, matched without an automaton.

use memchr::memmem::Finder;

/// At least `min_chars` characters of any kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) min_chars: u32,
}

impl Gap {
    /// `rest` without the characters that the gap needs, if it has them.
    fn skip(self, rest: &[u8]) -> Option<&[u8]> {
        let mut rest = rest;
        for _ in 0..self.min_chars {
            let first = *rest.first()?;
            // The value is valid UTF-8, so that the first byte tells the length.
            let len = match first {
                0..0x80 => 1,
                0x80..0xE0 => 2,
                0xE0..0xF0 => 3,
                _ => 4,
            };
            rest = rest.get(len..)?;
        }
        Some(rest)
    }
}

/// `prefix (gap text)* gap suffix`.
#[derive(Debug)]
pub(super) struct Glob {
    prefix: Box<str>,
    inner: Box<[(Gap, Finder<'static>)]>,
    last: Gap,
    suffix: Box<str>,
}

impl Glob {
    pub(super) fn new<'t>(
        prefix: &str,
        inner: impl IntoIterator<Item = (Gap, &'t str)>,
        last: Gap,
        suffix: &str,
    ) -> Self {
        let inner = inner.into_iter().map(|(gap, text)| (gap, Finder::new(text).into_owned())).collect();
        Glob { prefix: prefix.into(), inner, last, suffix: suffix.into() }
    }

    /// Taking each text at its first place is enough: it leaves the most to what follows.
    pub(super) fn is_match(&self, value: &str) -> bool {
        let middle = value.strip_prefix(&*self.prefix).and_then(|rest| rest.strip_suffix(&*self.suffix));
        let Some(middle) = middle else { return false };
        let mut rest = middle.as_bytes();
        for (gap, text) in &self.inner {
            let found = gap.skip(rest).and_then(|from| {
                let at = text.find(from)?;
                from.get(at + text.needle().len()..)
            });
            let Some(after) = found else { return false };
            rest = after;
        }
        self.last.skip(rest).is_some()
    }

    /// Where there is no text at all: how many characters a value needs.
    pub(super) fn least_chars(&self) -> Option<u32> {
        let is_free = self.prefix.is_empty() && self.inner.is_empty() && self.suffix.is_empty();
        is_free.then_some(self.last.min_chars)
    }

    /// The text of `.*text.*`.
    pub(super) fn only_inner(&self) -> Option<&[u8]> {
        let is_plain = self.prefix.is_empty() && self.suffix.is_empty() && self.last == Gap::default();
        match &*self.inner {
            [(gap, text)] if is_plain && *gap == Gap::default() => Some(text.needle()),
            _ => None,
        }
    }
}
