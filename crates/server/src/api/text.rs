//! Texts of parameters as Go reads and writes them.

use std::fmt::Write;

/// Go's `%q`.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        let _ = match c {
            '"' | '\\' => write!(out, "\\{c}"),
            '\x07' => write!(out, "\\a"),
            '\x08' => write!(out, "\\b"),
            '\x0c' => write!(out, "\\f"),
            '\n' => write!(out, "\\n"),
            '\r' => write!(out, "\\r"),
            '\t' => write!(out, "\\t"),
            '\x0b' => write!(out, "\\v"),
            '\0'..='\x1f' | '\x7f' => write!(out, "\\x{:02x}", u32::from(c)),
            '\u{80}'..='\u{a0}' | '\u{ad}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                write!(out, "\\u{:04x}", u32::from(c))
            }
            _ => write!(out, "{c}"),
        };
    }
    out.push('"');
    out
}

/// A label's name out of `U__…`, by which any text fits into a path: `_20ac_` is a character, `__` an
/// underscore. A text that is not written so is a name as it stands.
pub(crate) fn unescaped_name(name: &str) -> String {
    name.strip_prefix("U__").and_then(unescaped).unwrap_or_else(|| name.to_owned())
}

fn unescaped(escaped: &str) -> Option<String> {
    let mut out = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((before, after)) = rest.split_once('_') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let (code, after) = after.split_once('_')?;
        // Prometheus reads five digits at most, which leaves out the last plane of Unicode.
        if code.len() > 5 || !code.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        out.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quotes() {
        assert_eq!(quoted("a\"\\\n\0é\u{a0}"), r#""a\"\\\n\x00é\u00a0""#);
    }

    #[test]
    fn names_are_unescaped() {
        for (escaped, name) in [
            ("job", "job"),
            ("U__", ""),
            ("U__job", "job"),
            ("U__a_2e_b", "a.b"),
            ("U__a_2E_b", "a.b"),
            ("U__a__b", "a_b"),
            ("U___20ac_", "€"),
            ("U___1F600_x", "😀x"),
            ("U__http_2e_status:sum", "http.status:sum"),
            // Not well-formed: the name as it stands.
            ("U__a_", "U__a_"),
            ("U__a_2e", "U__a_2e"),
            ("U__a_zz_", "U__a_zz_"),
            ("U__a_d800_", "U__a_d800_"),
            ("U__a_010000_", "U__a_010000_"),
            ("U__é", "é"),
        ] {
            assert_eq!(unescaped_name(escaped), name, "{escaped}");
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in "[\\PC_&&[^\u{100000}-\u{10ffff}]]+") {
            let mut escaped = String::from("U__");
            for c in name.chars() {
                match c {
                    '_' => escaped.push_str("__"),
                    'a'..='z' | 'A'..='Z' | '0'..='9' | ':' => escaped.push(c),
                    _ => write!(escaped, "_{:x}_", u32::from(c)).unwrap(),
                }
            }
            prop_assert_eq!(unescaped_name(&escaped), name);
        }
    }
}
