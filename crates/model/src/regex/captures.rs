//! Regular expressions whose groups are put into a template: what `label_replace` and relabelling are about.
//!
//! Whether an expression is one is decided as for matchers, which keep no groups. To match with groups it is
//! translated for another crate: classes are ASCII in Go, and brackets know no set operations there.

use crate::{Error, Result};
use regex_automata::meta::Regex;

/// Matches a whole value, anchored on both sides.
pub struct Captures(Box<Regex>);

impl Captures {
    pub fn new(pattern: &str) -> Result<Self> {
        super::Regex::new(pattern)?;
        let translated = format!("^(?s:{})$", translate(pattern));
        let regex = Regex::new(&translated).map_err(|e| Error::invalid(e.to_string()))?;
        Ok(Captures(Box::new(regex)))
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// The template with `$1`, `${1}` and `${name}` replaced by what the groups matched. `None`: no match.
    pub fn expand(&self, text: &str, template: &str) -> Option<String> {
        let mut captures = self.0.create_captures();
        self.0.captures(text, &mut captures);
        captures.is_match().then(|| {
            let mut out = String::new();
            captures.interpolate_string_into(text, &go_template(template), &mut out);
            out
        })
    }
}

/// The pattern in the other crate's syntax. It is known to be right.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some('Q') => quoted(&mut rest, &mut out),
                Some(escaped) => out.push_str(&escape(escaped, in_class)),
                None => out.push('\\'),
            },
            '[' if in_class && rest.peek() == Some(&':') => {
                // `[:alpha:]` is the same there.
                out.push('[');
                for c in rest.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            '[' if in_class => out.push_str("\\["),
            '[' => {
                in_class = true;
                out.push('[');
                if rest.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                // A bracket at the start is one of the characters.
                if rest.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    out
}

/// Text up to `\E`.
fn quoted(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    while let Some(c) = rest.next() {
        if c == '\\' && rest.next_if_eq(&'E').is_some() {
            return;
        }
        if c.is_ascii_punctuation() {
            out.push('\\');
        }
        out.push(c);
    }
}

/// What a backslash and a character are, within brackets or not.
fn escape(c: char, in_class: bool) -> String {
    let (class, others) = match c.to_ascii_lowercase() {
        'd' => ("0-9", "\\x00-/:-\\x{10FFFF}"),
        'w' => ("0-9A-Za-z_", "\\x00-/:-@\\[-\\^`{-\\x{10FFFF}"),
        's' => ("\\t\\n\\f\\r ", "\\x00-\\x08\\x0B\\x0E-\\x1F!-\\x{10FFFF}"),
        'b' if !in_class => return format!("(?-u:\\{c})"),
        _ => return format!("\\{c}"),
    };
    let class = if c.is_ascii_lowercase() { class } else { others };
    if in_class { class.to_owned() } else { format!("[{class}]") }
}

/// The template with `$name` in braces as far as Go reads a name: letters, digits and `_`. A `$` that begins
/// no name stands for itself.
fn go_template(template: &str) -> String {
    let mut out = String::with_capacity(template.len() + 8);
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push_str("$$");
            rest = after;
            continue;
        }
        let braced = rest.starts_with('{');
        let body = if braced { &rest[1..] } else { rest };
        let len = body.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(body.len());
        let closed = !braced || body[len..].starts_with('}');
        if len == 0 || !closed {
            out.push_str("$$");
            continue;
        }
        out.push_str("${");
        out.push_str(&body[..len]);
        out.push('}');
        rest = &body[len + usize::from(braced)..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_go_reads_them() {
        assert_eq!(go_template("a-$1-b"), "a-${1}-b");
        assert_eq!(go_template("$1x ${1}x"), "${1x} ${1}x");
        assert_eq!(go_template("100$$ $ ${"), "100$$ $$ $${");
    }

    #[test]
    fn patterns_as_go_reads_them() {
        for (pattern, text, expected) in [
            (r"(\d+).*", "12é", Some("12")),
            (r"(\d+)", "١", None),
            (r"(\w+).*", "aé", Some("a")),
            (r"([\w-]+)", "a-b_1", Some("a-b_1")),
            (r"([^\s]+) .*", "a b", Some("a")),
            (r"([\W]+)x", "é-x", Some("é-")),
            (r"(\S+)\s\D", "1 x", Some("1")),
            (r"([a&&b]+)", "a&b", Some("a&b")),
            (r"([]x]+)", "]x", Some("]x")),
            (r"([[:alpha:][]+)", "a[b", Some("a[b")),
            (r"(\Qa.b\E)c", "a.bc", Some("a.b")),
            (r"(\Qa.b\E)c", "axbc", None),
            (r"(?P<n>.)\n.*", "x\ny", Some("x")),
            (r"(a|ab)(c|bcd)?.*", "abcd", Some("a")),
        ] {
            let found = Captures::new(pattern).unwrap().expand(text, "$1");
            assert_eq!(found.as_deref(), expected, "{pattern} on {text}");
        }
        assert!(Captures::new("(").is_err());
        assert!(Captures::new("a)(b").is_err());
    }
}
