//! What the manifests declare: each dependency is used by the crate that asks for it, and the one place that
//! names its version says why it is here.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::metadata::{self, Crate};
use crate::shell;

/// Packages whose library has another name.
const LIBRARIES: [(&str, &str); 1] = [("md-5", "md5")];

/// Findings over the manifests and sources of the workspace.
pub(crate) fn check() -> Result<Vec<String>> {
    let crates = metadata::crates()?;
    let manifest = fs::read_to_string(shell::root().join("Cargo.toml")).context("Cargo.toml")?;
    let mut found = check_root(&manifest, &crates);
    for member in &crates {
        let mut sources = String::new();
        read_sources(&shell::root().join(&member.folder), &mut sources)?;
        let idle = member.dependencies.iter().filter(|name| !names(&sources, name));
        found.extend(
            idle.map(|name| format!("{} declares {name} and never names it: remove it", member.name)),
        );
    }
    Ok(found)
}

/// Every entry of `[workspace.dependencies]` is asked for by a member and has a comment on its line.
fn check_root(manifest: &str, crates: &[Crate]) -> Vec<String> {
    let mut found = Vec::new();
    let table = manifest.split("[workspace.dependencies]").nth(1).unwrap_or_default();
    let table = table.split("\n[").next().unwrap_or_default();
    for line in table.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let Some((name, rest)) = line.split_once('=') else { continue };
        let name = name.trim();
        if !rest.contains('#') {
            found.push(format!(
                "{name} has no reason: say in a comment on its line of Cargo.toml why it is here"
            ));
        }
        if !crates.iter().any(|c| c.dependencies.iter().any(|d| d == name)) {
            found.push(format!("{name} is declared in Cargo.toml and no member asks for it: remove it"));
        }
    }
    found
}

/// Whether some path starts with the crate's name: `name::…`, or the name is imported by itself.
fn names(sources: &str, dependency: &str) -> bool {
    let other = LIBRARIES.iter().find(|(package, _)| *package == dependency);
    let ident = other.map_or_else(|| dependency.replace('-', "_"), |(_, library)| (*library).to_owned());
    sources.match_indices(&ident).any(|(at, _)| {
        let before = sources[..at].chars().next_back();
        let after = &sources[at + ident.len()..];
        let whole = before.is_none_or(|c| !c.is_alphanumeric() && c != '_');
        whole && ["::", ";", " as "].iter().any(|next| after.starts_with(next))
    })
}

fn read_sources(folder: &Path, into: &mut String) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            read_sources(&path, into)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(&path).with_context(|| path.display().to_string())?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_counts_where_a_path_starts_with_it() {
        for (sources, wanted) in [
            ("use arc_swap::ArcSwap;", true),
            ("let x = arc_swap::ArcSwap::new();", true),
            ("#[derive(arc_swap::X)]", true),
            ("use arc_swap;", true),
            ("use arc_swap as swap;", true),
            ("// arc_swap would do", false),
            ("use my_arc_swap::X;", false),
            ("use arc_swap_more::X;", false),
            ("use arc::swap;", false),
        ] {
            assert_eq!(names(sources, "arc-swap"), wanted, "{sources}");
        }
    }

    #[test]
    fn root_entries_have_a_reason_and_a_user() {
        let manifest = "[workspace]\n\n[workspace.dependencies]\n# Group\nbytes = \"1\" # shared slices\n\
            snap = { version = \"1\" }\nroaring = \"0\" # postings\n\n[profile.dev]\nopt-level = 1\n";
        let member = Crate {
            name: "nilometer-wire".into(),
            folder: "crates/wire".into(),
            imports: Vec::new(),
            dependencies: vec!["bytes".into(), "snap".into()],
        };
        let found = check_root(manifest, &[member]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("snap has no reason"), "{found:?}");
        assert!(found[1].starts_with("roaring is declared in Cargo.toml and no member"), "{found:?}");
    }
}
