//! The unread rest of a pattern, single-character escapes, and errors in Go's words.

use crate::Error;

/// Longest part of a pattern that an error repeats.
const MAX_QUOTED_BYTES: usize = 512;

/// What is wrong with a pattern, in the words of Go's `regexp/syntax`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    ClassRange,
    Escape,
    NamedCapture,
    PerlOperator,
    RepeatOperator,
    RepeatCount,
    MissingBracket,
    MissingParen,
    RepeatArgument,
    TrailingBackslash,
    UnexpectedParen,
}

impl Fault {
    fn as_str(self) -> &'static str {
        match self {
            Fault::ClassRange => "invalid character class range",
            Fault::Escape => "invalid escape sequence",
            Fault::NamedCapture => "invalid named capture",
            Fault::PerlOperator => "invalid or unsupported Perl syntax",
            Fault::RepeatOperator => "invalid nested repetition operator",
            Fault::RepeatCount => "invalid repeat count",
            Fault::MissingBracket => "missing closing ]",
            Fault::MissingParen => "missing closing )",
            Fault::RepeatArgument => "missing argument to repetition operator",
            Fault::TrailingBackslash => "trailing backslash at end of expression",
            Fault::UnexpectedParen => "unexpected )",
        }
    }

    /// `text` is the part of the pattern that is at fault.
    pub(super) fn at(self, text: &str) -> Error {
        Error::invalid(format!("error parsing regexp: {}: `{}`", self.as_str(), shortened(text)))
    }
}

pub(super) fn too_deep(name: &'static str, max: u64) -> Error {
    Error::limit(name, max, "error parsing regexp: expression nests too deeply")
}

pub(super) fn too_large(name: &'static str, max: u64) -> Error {
    let text = "error parsing regexp: expression too large: shorten it, or use fewer classes and repeats";
    Error::limit(name, max, text)
}

fn shortened(text: &str) -> String {
    if text.len() <= MAX_QUOTED_BYTES {
        return text.to_owned();
    }
    let end = (0..=MAX_QUOTED_BYTES).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    format!("{}…", &text[..end])
}

/// Reads a pattern from left to right.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'p> {
    rest: &'p str,
}

impl<'p> Cursor<'p> {
    pub(super) fn new(pattern: &'p str) -> Self {
        Cursor { rest: pattern }
    }

    pub(super) fn rest(&self) -> &'p str {
        self.rest
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    /// Takes `text` if it comes next.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes what stands before the next `end`, and `end` itself.
    pub(super) fn until(&mut self, end: &str) -> Option<&'p str> {
        let (before, after) = self.rest.split_once(end)?;
        self.rest = after;
        Some(before)
    }

    pub(super) fn finish(&mut self) -> &'p str {
        std::mem::take(&mut self.rest)
    }

    /// What was read since `start`, an earlier state of this cursor.
    pub(super) fn since(&self, start: Cursor<'p>) -> &'p str {
        &start.rest[..start.rest.len() - self.rest.len()]
    }

    /// Takes a decimal number as Go's repeats have it: no leading zero, too large is `u32::MAX`.
    pub(super) fn number(&mut self) -> Option<u32> {
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (text, rest) = self.rest.split_at(digits);
        if text.is_empty() || (text.len() > 1 && text.starts_with('0')) {
            return None;
        }
        self.rest = rest;
        Some(text.parse().unwrap_or(u32::MAX))
    }

    /// Takes a backslash and what belongs to it, as one code point (which may be a surrogate).
    pub(super) fn escape(&mut self) -> Result<u32, Error> {
        let start = *self;
        self.next();
        let Some(c) = self.next() else { return Err(Fault::TrailingBackslash.at("")) };
        let code = match c {
            '0' => self.octal(0),
            '1'..='7' if matches!(self.peek(), Some('0'..='7')) => self.octal(c as u32 - '0' as u32),
            'x' => self.hex(),
            'a' => Some(0x07),
            'f' => Some(0x0C),
            'n' => Some(0x0A),
            'r' => Some(0x0D),
            't' => Some(0x09),
            'v' => Some(0x0B),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(c as u32),
            _ => None,
        };
        code.ok_or_else(|| Fault::Escape.at(self.since(start)))
    }

    /// Up to two more octal digits after `first`.
    fn octal(&mut self, first: u32) -> Option<u32> {
        let mut code = first;
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else { break };
            self.next();
            code = code * 8 + digit;
        }
        Some(code)
    }

    /// `41` or `{1F600}`, after `\x`.
    fn hex(&mut self) -> Option<u32> {
        let first = self.next()?;
        if first != '{' {
            let second = self.next();
            return Some(first.to_digit(16)? * 16 + second?.to_digit(16)?);
        }
        let mut code = None;
        loop {
            match self.next()? {
                '}' => return code,
                c => {
                    let next = code.unwrap_or(0) * 16 + c.to_digit(16)?;
                    code = Some(next).filter(|&n| n <= char::MAX as u32);
                    code?;
                }
            }
        }
    }
}
