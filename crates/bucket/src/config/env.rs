//! `$(NAME)` in a config is the value of that variable, as in Thanos.

/// A variable that is not set is an error with its line.
pub(super) fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, (u64, String)> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("$(") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let inside = &from[2..];
        let end = inside.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inside.len());
        let name = &inside[..end];
        if name.is_empty() || !inside[end..].starts_with(')') {
            out.push_str("$(");
            rest = inside;
            continue;
        }
        let Some(value) = env(name) else {
            let line = 1 + text[..text.len() - from.len()].bytes().filter(|&b| b == b'\n').count();
            return Err((
                line as u64,
                format!("the variable {name} is not set: export it, or write the value"),
            ));
        };
        out.push_str(&value);
        rest = &inside[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "A" => Some("one".into()),
            "B_2" => Some("$(A)".into()),
            _ => None,
        }
    }

    #[test]
    fn names_are_replaced_once_and_the_rest_stays() {
        let cases = [
            ("", ""),
            ("x: $(A)", "x: one"),
            ("$(A)$(B_2)", "one$(A)"),
            ("$A ${A} $() $(A-B) $(A", "$A ${A} $() $(A-B) $(A"),
            ("$($(A))", "$(one)"),
        ];
        for (text, wanted) in cases {
            assert_eq!(expand(text, &env).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn an_unset_name_is_an_error_with_its_line() {
        let (line, what) = expand("a: 1\nb: $(NOPE)", &env).unwrap_err();
        assert_eq!(line, 2);
        assert!(what.contains("NOPE"), "{what}");
    }
}
