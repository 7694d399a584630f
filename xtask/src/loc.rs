//! Sizes against the style guide: code lines of files and functions, outside tests. It informs, and never
//! fails: a long table may be right.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::shell;

const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 70;

pub(crate) fn run() -> Result<()> {
    let listed = shell::output(shell::command("git").args(["ls-files", "--", "*.rs"]))?;
    let mut sizes = Vec::new();
    for path in listed.lines().filter(|path| !is_test(path)) {
        let Ok(text) = fs::read_to_string(shell::root().join(path)) else { continue };
        sizes.push((path.to_owned(), measure(&text)));
    }
    report(&mut sizes);
    Ok(())
}

fn report(sizes: &mut [(String, Sizes)]) {
    sizes.sort_by_key(|(_, s)| std::cmp::Reverse(s.code));
    let code: usize = sizes.iter().map(|(_, s)| s.code).sum();
    println!("{} files, {code} code lines outside tests", sizes.len());
    for (path, size) in sizes.iter().filter(|(_, s)| s.code > FILE_LINES) {
        println!("{:6}  {path}  (over {FILE_LINES})", size.code);
    }
    for (path, size) in &*sizes {
        for (name, lines) in size.functions.iter().filter(|(_, lines)| *lines > FUNCTION_LINES) {
            println!("{lines:6}  {path}  fn {name}  (over {FUNCTION_LINES})");
        }
    }
}

fn is_test(path: &str) -> bool {
    let name = Path::new(path).file_name().unwrap_or_default();
    name == "tests.rs" || path.split('/').any(|folder| folder == "tests" || folder == "benches")
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Sizes {
    /// Lines that are neither blank nor only comment.
    code: usize,
    /// Name and code lines, signature and braces included.
    functions: Vec<(String, usize)>,
}

/// Reads rustfmt's layout, not the language: what opens at an indent closes with a `}` at that indent.
fn measure(text: &str) -> Sizes {
    let mut sizes = Sizes::default();
    let mut open: Vec<(String, usize, usize)> = Vec::new();
    for line in text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().lines() {
        let code = line.trim();
        let indent = line.len() - line.trim_start().len();
        if code.is_empty() || code.starts_with("//") {
            continue;
        }
        sizes.code += 1;
        if let Some(name) = function_name(code).filter(|_| !code.ends_with([';', '}'])) {
            open.push((name.to_owned(), indent, sizes.code));
        }
        if matches!(code, "}" | "};" | ");") && open.last().is_some_and(|(_, i, _)| *i == indent) {
            sizes.functions.extend(open.pop().map(|(name, _, first)| (name, sizes.code - first + 1)));
        }
    }
    sizes
}

fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let modifiers = ["pub", "pub(crate)", "pub(super)", "async", "const", "unsafe", "extern", "\"C\""];
    let is_item = before.split_whitespace().all(|word| modifiers.contains(&word));
    let name = after.split(|c: char| !c.is_alphanumeric() && c != '_').next();
    name.filter(|name| is_item && !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_code_and_functions() {
        let text = "\
//! Head.

const A: u8 = 1;

pub(crate) fn long(
    a: u8,
) -> u8 {
    // why
    if a > 1 {
        2
    } else {
        3
    }
}

impl X {
    fn one(&self) -> fn (u8) { self.0 }

    async fn two() {
        let f = || {
            1
        };
    }
}

#[cfg(test)]
mod tests {
    fn not_counted() {
    }
}
";
        let sizes = measure(text);
        assert_eq!(sizes.functions, [("long".to_owned(), 9), ("two".to_owned(), 5)]);
        assert_eq!(sizes.code, 1 + 9 + 3 + 5);
    }

    #[test]
    fn tests_are_known_by_their_place() {
        assert!(is_test("crates/head/src/wal/tests.rs") && is_test("crates/nilometer/tests/push.rs"));
        assert!(!is_test("crates/head/src/wal.rs"));
    }
}
