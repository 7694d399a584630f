//! Texts with gaps between them: `lit.*`, `.*lit`, `a.+b.*c`, `5..`, matched without an automaton.

use memchr::memmem::Finder;

/// Characters of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) min_chars: u32,
    /// At least so many; otherwise exactly.
    pub(super) or_more: bool,
}

impl Gap {
    /// `.*`.
    pub(super) const ANY: Gap = Gap { min_chars: 0, or_more: true };

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

/// `prefix (gap text)* gap suffix`. Only a gap that is alone may be of a fixed length.
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
        let inner: Box<[_]> =
            inner.into_iter().map(|(gap, text)| (gap, Finder::new(text).into_owned())).collect();
        let is_open = inner.iter().all(|(gap, _)| gap.or_more) && (last.or_more || inner.is_empty());
        assert!(is_open, "a gap of fixed length beside others");
        Glob { prefix: prefix.into(), inner, last, suffix: suffix.into() }
    }

    /// Taking each text at its first place is enough: it leaves the most to what follows.
    pub(super) fn is_match(&self, value: &str) -> bool {
        let Some(mut rest) = self.middle(value) else { return false };
        for (gap, text) in &self.inner {
            let found = gap.skip(rest).and_then(|from| {
                let at = text.find(from)?;
                from.get(at + text.needle().len()..)
            });
            let Some(after) = found else { return false };
            rest = after;
        }
        self.last.skip(rest).is_some_and(|more| more.is_empty() || self.last.or_more)
    }

    /// What is left between prefix and suffix.
    fn middle<'v>(&self, value: &'v str) -> Option<&'v [u8]> {
        let mut rest = value.as_bytes();
        // An empty text is not compared: comparing nothing with where it does not point took 40 ns.
        if !self.prefix.is_empty() {
            rest = rest.strip_prefix(self.prefix.as_bytes())?;
        }
        if !self.suffix.is_empty() {
            rest = rest.strip_suffix(self.suffix.as_bytes())?;
        }
        Some(rest)
    }

    /// Where there is no text at all: how many characters a value needs.
    pub(super) fn least_chars(&self) -> Option<u32> {
        let has_text = !self.prefix.is_empty() || !self.inner.is_empty() || !self.suffix.is_empty();
        (!has_text && self.last.or_more).then_some(self.last.min_chars)
    }

    /// The text of `.*text.*`.
    pub(super) fn only_inner(&self) -> Option<&[u8]> {
        let is_plain = self.prefix.is_empty() && self.suffix.is_empty() && self.last == Gap::ANY;
        match &*self.inner {
            [(gap, text)] if is_plain && *gap == Gap::ANY => Some(text.needle()),
            _ => None,
        }
    }
}
