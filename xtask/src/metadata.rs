//! What cargo says about the workspace, reduced to the values that the checks decide on.
//!
//! Two questions, two sources. Edges between rooms are read from `cargo metadata`. What is really built is
//! read from `cargo tree`: the resolve graph of `cargo metadata` also has packages that only a feature
//! nobody turns on would bring (`ring`, below `rustls-webpki`), and a ban that reports those is noise.

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::shell;

/// The only platform that is shipped and tested.
pub(crate) const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A member of the workspace and what it imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Crate {
    pub(crate) name: String,
    /// Of its manifest, from the root of the repository: `crates/model`.
    pub(crate) folder: String,
    /// Other members, by normal and build dependencies; what only tests use may point anywhere.
    pub(crate) imports: Vec<String>,
    /// Everything its manifest asks for, for tests and build scripts too.
    pub(crate) dependencies: Vec<String>,
}

/// One package among what is built for [`TARGET`], tests and build scripts included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// As its author wrote it; empty where there is none.
    pub(crate) licence: String,
}

pub(crate) fn crates() -> Result<Vec<Crate>> {
    let mut cargo = shell::cargo_command();
    let text = shell::output(cargo.args(["metadata", "--format-version=1", "--no-deps", "--locked"]))?;
    let metadata: Metadata = serde_json::from_str(&text).context("`cargo metadata` has changed its form")?;
    let members: Vec<String> = metadata.packages.iter().map(|p| p.name.clone()).collect();
    let to_crate = |package: RawPackage| Crate {
        folder: folder(&package.manifest_path, &metadata.workspace_root),
        imports: package
            .dependencies
            .iter()
            .filter(|d| d.kind.as_deref() != Some("dev") && members.contains(&d.name))
            .map(|d| d.name.clone())
            .collect(),
        dependencies: package.dependencies.into_iter().map(|d| d.name).collect(),
        name: package.name,
    };
    Ok(metadata.packages.into_iter().map(to_crate).collect())
}

fn folder(manifest: &str, root: &str) -> String {
    let inside = manifest.strip_prefix(root).unwrap_or(manifest);
    inside.trim_start_matches('/').trim_end_matches("Cargo.toml").trim_end_matches('/').to_owned()
}

pub(crate) fn built_packages() -> Result<Vec<Package>> {
    let mut cargo = shell::cargo_command();
    cargo.args(["tree", "--workspace", "--locked", "--edges=normal,build,dev", "--prefix=none"]);
    cargo.args(["--target", TARGET, "--format={p}|{l}"]);
    parse_tree(&shell::output(&mut cargo)?)
}

/// Lines of `name v1.2.3 (where from)|licence (*)`, each package as often as something depends on it.
fn parse_tree(text: &str) -> Result<Vec<Package>> {
    let mut packages = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let line = line.strip_suffix(" (*)").unwrap_or(line);
        let package = line.split_once('|').and_then(|(id, licence)| {
            let mut words = id.split(' ');
            let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
            Some(Package { name: name.to_owned(), version: version.to_owned(), licence: licence.to_owned() })
        });
        packages.push(package.with_context(|| format!("`cargo tree` has changed its form: {line:?}"))?);
    }
    packages.sort();
    packages.dedup();
    Ok(packages)
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<RawPackage>,
    workspace_root: String,
}

#[derive(Deserialize)]
struct RawPackage {
    name: String,
    manifest_path: String,
    dependencies: Vec<RawDependency>,
}

#[derive(Deserialize)]
struct RawDependency {
    name: String,
    /// Absent for a normal dependency, else `build` or `dev`.
    kind: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tree_lines_become_packages_once_each() {
        let text = "\
            nilometer-env v0.1.0 (/src/crates/env)|Apache-2.0\n\
            syn v2.0.1|MIT OR Apache-2.0\n\
            \n\
            serde_derive v1.0.2 (proc-macro)|MIT/Apache-2.0 (*)\n\
            syn v2.0.1|MIT OR Apache-2.0 (*)\n\
            bare v0.1.0|\n";
        let packages = parse_tree(text).unwrap();
        let shown: Vec<_> =
            packages.iter().map(|p| format!("{} {} [{}]", p.name, p.version, p.licence)).collect();
        assert_eq!(
            shown,
            [
                "bare 0.1.0 []",
                "nilometer-env 0.1.0 [Apache-2.0]",
                "serde_derive 1.0.2 [MIT/Apache-2.0]",
                "syn 2.0.1 [MIT OR Apache-2.0]",
            ]
        );
        assert!(parse_tree("something else").is_err());
    }

    #[test]
    fn folders_are_relative_to_the_root() {
        assert_eq!(folder("/src/crates/env/Cargo.toml", "/src"), "crates/env");
    }
}
