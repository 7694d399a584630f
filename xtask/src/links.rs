//! Documentation that points at files: every relative link of a Markdown file leads somewhere, and every
//! decision record stands in the index.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::shell;

const ADR_FOLDER: &str = "docs/adr";

pub(crate) fn run() -> Result<()> {
    let listed = shell::output(shell::command("git").args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    let files: BTreeSet<PathBuf> =
        listed.lines().map(PathBuf::from).filter(|p| shell::root().join(p).exists()).collect();
    let mut findings = Vec::new();
    for path in files.iter().filter(|path| path.extension().is_some_and(|e| e == "md")) {
        let text =
            fs::read_to_string(shell::root().join(path)).with_context(|| path.display().to_string())?;
        findings.extend(broken(path, &text, &files));
        if path == &Path::new(ADR_FOLDER).join("README.md") {
            findings.extend(not_indexed(&text, &files));
        }
    }
    for finding in &findings {
        eprintln!("links: {finding}");
    }
    ensure!(findings.is_empty(), "{} link(s) lead nowhere or lack", findings.len());
    Ok(())
}

fn broken(path: &Path, text: &str, files: &BTreeSet<PathBuf>) -> Vec<String> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut found = Vec::new();
    let elsewhere = |target: &str| {
        target.contains("://") || target.starts_with(['#', '/']) || target.starts_with("mailto:")
    };
    for target in targets(text).filter(|target| !elsewhere(target)) {
        let file = target.split('#').next().unwrap_or_default();
        let wanted = normalize(&folder.join(file));
        if !wanted.is_some_and(|wanted| files.iter().any(|file| file.starts_with(&wanted))) {
            found.push(format!("{}: {target} is not there", path.display()));
        }
    }
    found
}

fn not_indexed(index: &str, files: &BTreeSet<PathBuf>) -> Vec<String> {
    let linked: Vec<&str> = targets(index).collect();
    let records = files.iter().filter(|file| file.parent() == Some(Path::new(ADR_FOLDER)));
    let names = records.filter_map(|file| file.file_name()?.to_str()).filter(|name| *name != "README.md");
    let lacking = names.filter(|name| !linked.contains(name));
    lacking.map(|name| format!("{ADR_FOLDER}/README.md does not list {name}")).collect()
}

/// What stands in the round brackets of `[text](target)`, outside code.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    let mut in_block = false;
    let lines = text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        in_block ^= fence;
        !fence && !in_block
    });
    let prose = lines.flat_map(|line| line.split('`').step_by(2));
    prose.flat_map(|part| part.split("](").skip(1)).filter_map(|after| Some(after.split_once(')')?.0.trim()))
}

/// Without `.` and `..`; nothing where it leaves the repository.
fn normalize(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => out.pop().then_some(())?,
            _ => {}
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> BTreeSet<PathBuf> {
        paths.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn links_are_followed_from_the_file_that_has_them() {
        let files =
            files(&["README.md", "docs/adr/0001-a.md", "docs/format/wal.md", "crates/head/src/lib.rs"]);
        let text = "[a](0001-a.md), [b](../format/wal.md#head), [`head`](../../crates/head), [c](https://x.test/y)\n\
                    `[not](a-link.md)`\n```\n[nor](this.md)\n```\n[gone](0002-b.md) [`gone`](gone.rs) [out](../../../x)\n";
        let found = broken(Path::new("docs/adr/0001-a.md"), text, &files);
        let wanted =
            ["0002-b.md", "gone.rs", "../../../x"].map(|t| format!("docs/adr/0001-a.md: {t} is not there"));
        assert_eq!(found, wanted);
    }

    #[test]
    fn each_record_is_in_the_index() {
        let files =
            files(&["docs/adr/README.md", "docs/adr/0001-a.md", "docs/adr/0002-b.md", "docs/format/x.md"]);
        assert_eq!(not_indexed("[1](0001-a.md)", &files), ["docs/adr/README.md does not list 0002-b.md"]);
    }
}
