//! Go's quoting of strings: read in queries, written by the printer and in messages.

use std::fmt::Write;

/// Text as Go's `%q`.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_quoted(&mut out, text.as_bytes());
    out
}

/// A character as Go's `%q`.
pub(crate) fn quoted_char(c: char) -> String {
    let mut out = String::from('\'');
    match c {
        '\'' => out.push_str("\\'"),
        '"' | char::REPLACEMENT_CHARACTER => out.push(c),
        _ => push_char(&mut out, c),
    }
    out.push('\'');
    out
}

/// A character as Go's `%#U`: `U+0078 'x'`.
pub(crate) fn code_point(c: char) -> String {
    let mut out = format!("U+{:04X}", c as u32);
    if is_printable(c) {
        let _ = write!(out, " '{c}'");
    }
    out
}

/// Appends `bytes` in double quotes, so that [`unquote`] gives them back.
pub(crate) fn push_quoted(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push_char(out, c);
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
}

fn push_char(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        ' '..='~' => out.push(c),
        // The lexer refuses this one as it stands (it cannot tell it from garbage), as Prometheus does.
        '\u{fffd}' => out.push_str("\\ufffd"),
        _ if is_printable(c) => out.push(c),
        _ => {
            let _ = match c as u32 {
                code @ ..=0x7f => write!(out, "\\x{code:02x}"),
                code @ ..=0xffff => write!(out, "\\u{code:04x}"),
                code => write!(out, "\\U{code:08x}"),
            };
        }
    }
}

/// Letters, marks, numbers, punctuation, symbols and the plain space, as Go's `unicode.IsPrint`.
fn is_printable(c: char) -> bool {
    // The standard library's table is only reachable through `escape_debug`. The leading letter lets
    // combining marks pass, which it would escape at the start of a text.
    let mut text = [0u8; 5];
    text[0] = b'a';
    let len = c.encode_utf8(&mut text[1..]).len();
    matches!(c, '"' | '\'' | '\\')
        || std::str::from_utf8(&text[..=len]).is_ok_and(|t| t.escape_debug().count() == 2)
}

/// The bytes of a literal with its quotes, which the lexer has found well-formed. `None` if it is not.
pub(crate) fn unquote(literal: &str) -> Option<Vec<u8>> {
    let [quote, .., end] = *literal.as_bytes() else { return None };
    let inner = literal.get(1..literal.len() - 1).filter(|_| quote == end)?;
    if quote == b'`' || !inner.contains('\\') {
        return Some(inner.as_bytes().to_vec());
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = unescape(&rest[at + 1..], quote, &mut out)?;
    }
    out.extend_from_slice(rest.as_bytes());
    Some(out)
}

/// Appends what the escape after a backslash stands for, and gives what follows it.
fn unescape<'a>(text: &'a str, quote: u8, out: &mut Vec<u8>) -> Option<&'a str> {
    let (digits_at, digits, radix) = match *text.as_bytes().first()? {
        b'0'..=b'7' => (0, 3, 8),
        b'x' => (1, 2, 16),
        b'u' => (1, 4, 16),
        b'U' => (1, 8, 16),
        simple => {
            out.push(match simple {
                b'a' => 0x07,
                b'b' => 0x08,
                b'f' => 0x0c,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'v' => 0x0b,
                b'\\' => b'\\',
                other if other == quote => quote,
                _ => return None,
            });
            return text.get(1..);
        }
    };
    let end = digits_at + digits;
    let value = u32::from_str_radix(text.get(digits_at..end)?, radix).ok()?;
    if digits > 3 {
        let c = char::from_u32(value)?;
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        out.push(u8::try_from(value).ok()?);
    }
    text.get(end..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quoting_is_gos() {
        assert_eq!(quoted("a\"b\\c\n\u{1}é\u{301}\u{200b}\u{fffd}😀"), r#""a\"b\\c\n\x01é́\u200b\ufffd😀""#);
        assert_eq!(quoted("\u{e000}\u{10ffff}\u{7f}\u{a0}"), r#""\ue000\U0010ffff\x7f\u00a0""#);
        assert_eq!(quoted_char('\''), r"'\''");
        assert_eq!(quoted_char('"'), r#"'"'"#);
        assert_eq!(code_point('x'), "U+0078 'x'");
        assert_eq!(code_point('\u{1}'), "U+0001");
    }

    #[test]
    fn unquoting_knows_the_three_quotes_and_all_escapes() {
        let cases: [(&str, &[u8]); 7] = [
            (r#""a\"'`b""#, b"a\"'`b"),
            (r"'a\'\\'", b"a'\\"),
            (r"`a\n`", b"a\\n"),
            (r#""\a\b\f\n\r\t\v""#, b"\x07\x08\x0c\n\r\t\x0b"),
            (r#""\xff\377\000\101""#, b"\xff\xff\0A"),
            (r#""\u00e9\U0001F600""#, "é😀".as_bytes()),
            ("\"\"", b""),
        ];
        for (literal, want) in cases {
            assert_eq!(unquote(literal).as_deref(), Some(want), "{literal}");
        }
        for wrong in ["", "\"", r#""\'""#, r#""\q""#, r#""\x1""#, r#""\400""#, r#""\ud800""#, r#""\"#] {
            assert_eq!(unquote(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_survive(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut literal = String::new();
            push_quoted(&mut literal, &bytes);
            prop_assert_eq!(unquote(&literal), Some(bytes));
        }

        #[test]
        fn any_text_survives(text in any::<String>()) {
            prop_assert_eq!(unquote(&quoted(&text)), Some(text.into_bytes()));
        }
    }
}
