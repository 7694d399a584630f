//! How far a number or a duration reaches. Whether it is a valid one is told by reading its value.
//!
//! Numbers may have underscores between digits, an exponent and a fraction; hexadecimal ones have no
//! fraction. A duration is digits and units (`1h30m`).

use super::TokenKind;

/// The length of what belongs together, and its kind; `None` if it is neither. The text begins with a
/// digit, or a dot and a digit.
pub(super) fn scan(text: &[u8]) -> (usize, Option<TokenKind>) {
    let mut scan = Scan { text, at: 0 };
    if scan.number() {
        return (scan.at, Some(TokenKind::Number));
    }
    // Not back to the start: a duration's digits have been read as a number that ended in a letter.
    if scan.units() {
        return (scan.at, Some(TokenKind::Duration));
    }
    (scan.at, None)
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn is(&self, set: impl Fn(u8) -> bool) -> bool {
        self.text.get(self.at).is_some_and(|b| set(*b))
    }

    fn accept(&mut self, set: impl Fn(u8) -> bool) -> bool {
        let found = self.is(set);
        self.at += usize::from(found);
        found
    }

    fn number(&mut self) -> bool {
        let mut hex = false;
        if self.accept(|b| b == b'0') && self.accept(|b| matches!(b, b'x' | b'X')) {
            self.accept(|b| b == b'_');
            hex = true;
        }
        let digit = |b: u8| if hex { b.is_ascii_hexdigit() } else { b.is_ascii_digit() };
        let exponent = |b: u8| matches!(b, b'e' | b'E');
        self.accept(|b| b == b'.');
        self.accept(digit);
        let (mut dots, mut exponents) = (0, 0);
        while self.is(|b| digit(b) || exponent(b) || matches!(b, b'.' | b'_')) {
            if self.accept(|b| b == b'.') {
                dots += 1;
                if dots > 1 || hex || self.is(|b| matches!(b, b'_' | b'.')) {
                    self.accept(|b| dots == 1 && matches!(b, b'_' | b'.'));
                    return false;
                }
            } else if self.accept(exponent) {
                exponents += 1;
                if exponents > 1 {
                    return false;
                }
                self.accept(|b| matches!(b, b'+' | b'-'));
                if self.breaks_digits() {
                    return false;
                }
            } else if self.accept(|b| b == b'_') {
                if self.breaks_digits() {
                    return false;
                }
            } else {
                while self.accept(digit) {}
            }
        }
        !self.is(is_word)
    }

    /// What may not follow an exponent or an underscore, the end included.
    fn breaks_digits(&mut self) -> bool {
        self.at >= self.text.len() || self.accept(|b| matches!(b, b'.' | b'_' | b'e' | b'E'))
    }

    /// The first unit and all that follows its digits.
    fn units(&mut self) -> bool {
        if !self.accept(|b| matches!(b, b's' | b'm' | b'h' | b'd' | b'w' | b'y')) {
            return false;
        }
        // The `s` of `ms`; units that do not exist (`hs`) are found when the value is read.
        self.accept(|b| b == b's');
        while self.accept(|b| b.is_ascii_digit()) {
            while self.accept(|b| b.is_ascii_digit()) {}
            // Years come first, hence not here.
            if !self.accept(|b| matches!(b, b's' | b'm' | b'h' | b'd' | b'w')) {
                return false;
            }
            self.accept(|b| b == b's');
        }
        // A character that does not fit is part of the message.
        !self.accept(is_word)
    }
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}
