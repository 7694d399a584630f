//! What a mistyped key was meant to be.

/// The parser's words about a key that is not known, with the nearest known one instead of all; others as
/// they are.
pub(super) fn message(parsers: &str) -> String {
    let unknown = parsers.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
    let Some((key, known)) = unknown else {
        return match parsers {
            "expected mapping start" => "expected `key: value` pairs here".into(),
            "expected string scalar" => "expected a text here".into(),
            other => other.into(),
        };
    };
    let known = known.trim_start_matches(", expected ").trim_start_matches("one of ").split(", ");
    match known.map(|known| (distance(key, known), known)).min() {
        Some((steps, known)) if steps <= 1 + key.chars().count() / 3 => {
            format!("there is no key `{key}` here; did you mean `{known}`?")
        }
        _ => format!("there is no key `{key}` here"),
    }
}

/// How many letters must be added, removed or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let changed = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, steps) in [("", "", 0), ("", "abc", 3), ("buket", "bucket", 1), ("kitten", "sitting", 3)] {
            assert_eq!((distance(a, b), distance(b, a)), (steps, steps), "{a} {b}");
        }
    }
}
