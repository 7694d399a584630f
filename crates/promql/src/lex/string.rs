//! Where a string literal ends, and whether its escapes are Go's.

use crate::quote::code_point;

/// The bytes from after the opening `quote` to the end of the closing one; else what is wrong.
pub(super) fn length(text: &str, quote: char) -> Result<usize, String> {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Ok(at + c.len_utf8()),
            // What a decoder puts for garbage; Prometheus cannot tell it from the character itself.
            '\u{fffd}' => return Err("invalid UTF-8 rune".to_owned()),
            '\\' if quote != '`' => escape(&mut chars, quote)?,
            '\n' if quote != '`' => break,
            _ => {}
        }
    }
    Err(if quote == '`' { "unterminated raw string" } else { "unterminated quoted string" }.to_owned())
}

/// Checks what follows a backslash.
fn escape(chars: &mut std::str::CharIndices<'_>, quote: char) -> Result<(), String> {
    let mut next = || chars.next().map(|(_, c)| c).ok_or("escape sequence not terminated");
    let first = next()?;
    let (mut digit, digits, radix, max) = match first {
        'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
        c if c == quote => return Ok(()),
        '0'..='7' => (first, 3, 8, 255),
        'x' => (next()?, 2, 16, 255),
        'u' => (next()?, 4, 16, char::MAX as u32),
        'U' => (next()?, 8, 16, char::MAX as u32),
        other => return Err(format!("unknown escape sequence {}", code_point(other))),
    };
    let mut value = 0u32;
    for left in (0..digits).rev() {
        let Some(d) = digit.to_digit(radix) else {
            return Err(format!("illegal character {} in escape sequence", code_point(digit)));
        };
        // Eight hexadecimal digits fit exactly.
        value = (value << if radix == 8 { 3 } else { 4 }) | d;
        if left > 0 {
            digit = next()?;
        }
    }
    if value > max || (0xd800..0xe000).contains(&value) {
        return Err("escape sequence is an invalid Unicode code point".to_owned());
    }
    Ok(())
}
