//! What may be built into the house: licences, one version of each crate, no banned crate.
//!
//! The lists are kept honest both ways: what is not on them fails, and what is on them without need fails
//! too, so that none of them outlives its reason.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::metadata::{self, Package};
use crate::{declared, spdx};

/// What is allowed, and what is not.
struct Policy {
    licences: &'static [&'static str],
    /// Crate, each version that may stand beside the newest, and why that cannot be helped yet.
    duplicates: &'static [(&'static str, &'static [&'static str], &'static str)],
    /// Crate, and why not.
    banned: &'static [(&'static str, &'static str)],
}

const POLICY: Policy = Policy {
    licences: &["Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "Unicode-3.0", "Zlib"],
    duplicates: &[
        ("base64", &["0.22"], "tonic has not moved on"),
        ("crypto-common", &["0.1"], "below digest 0.10"),
        ("digest", &["0.10"], "crc-fast offers its sums through the old trait; sha2 has the new one"),
        ("tower-http", &["0.6"], "reqwest, below object_store, has not moved on"),
        ("syn", &["2"], "tracing-attributes has not moved to syn 3; build time only"),
    ],
    banned: &[
        ("native-tls", "TLS is rustls, on every platform"),
        ("openssl-sys", "TLS is rustls; no library of the system is linked"),
        ("ring", "aws-lc-rs is the one provider of cryptography"),
        ("serde_yaml", "no longer maintained; serde-saphyr names lines and stops alias bombs"),
    ],
};

pub(crate) fn run() -> Result<()> {
    let packages = metadata::built_packages()?;
    let mut violations = check(&packages, &POLICY);
    violations.extend(declared::check()?);
    for violation in &violations {
        eprintln!("deps: {violation}");
    }
    if !violations.is_empty() {
        bail!("{} finding(s); what is allowed is listed in xtask/src/deps.rs", violations.len());
    }
    println!("deps: {} packages, licences and versions as they should be", packages.len());
    Ok(())
}

fn check(packages: &[Package], policy: &Policy) -> Vec<String> {
    let mut found = Vec::new();
    check_licences(packages, policy, &mut found);
    check_duplicates(packages, policy, &mut found);
    for (name, why) in policy.banned {
        if packages.iter().any(|p| p.name == *name) {
            found.push(format!("{name} is banned: {why}; `cargo tree -i {name}` says who brings it"));
        }
    }
    found
}

fn check_licences(packages: &[Package], policy: &Policy, found: &mut Vec<String>) {
    for Package { name, version, licence } in packages {
        match spdx::satisfied(licence, &|one| policy.licences.contains(&one)) {
            Ok(true) => {}
            Ok(false) => found.push(format!("{name} {version}: its licence {licence:?} is not allowed")),
            Err(error) => {
                found.push(format!("{name} {version}: cannot read its licence {licence:?}: {error}"));
            }
        }
    }
    for dropped in policy.licences {
        let without = |one: &str| one != *dropped && policy.licences.contains(&one);
        let needed = |p: &Package| matches!(spdx::satisfied(&p.licence, &without), Ok(false));
        if !packages.iter().any(needed) {
            found.push(format!("licence {dropped} is allowed, but nothing needs it: take it off the list"));
        }
    }
}

fn check_duplicates(packages: &[Package], policy: &Policy, found: &mut Vec<String>) {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    for (name, versions) in &versions {
        let excused = |version: &str| {
            policy
                .duplicates
                .iter()
                .any(|(n, lines, _)| n == name && lines.iter().any(|l| in_line(version, l)))
        };
        if versions.iter().filter(|version| !excused(version)).count() > 1 {
            let versions = versions.join(" and ");
            found.push(format!("{name} is built twice, {versions}: `cargo tree -d -i {name}` says for whom"));
        }
    }
    for (name, lines, _) in policy.duplicates {
        let present = versions.get(name).map_or(&[][..], Vec::as_slice);
        for line in *lines {
            if present.len() < 2 || !present.iter().any(|version| in_line(version, line)) {
                found.push(format!("{name} {line} is no duplicate any more: take it off the list"));
            }
        }
    }
}

/// Whether `version` belongs to the release line `line`: `0.10.7` to `0.10`, `2.0.1` to `2`.
fn in_line(version: &str, line: &str) -> bool {
    version.strip_prefix(line).is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NARROW: Policy = Policy {
        licences: &["MIT", "ISC"],
        duplicates: &[("digest", &["0.10"], "one stays behind")],
        banned: &[("ring", "another one is taken")],
    };

    fn package(line: &str) -> Package {
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        Package { name: word(), version: word(), licence: word() }
    }

    fn assert_found(packages: &[&str], wanted: &[&str]) {
        let good = ["a 1.0.0 MIT", "b 1.0.0 ISC", "digest 0.10.7 MIT", "digest 0.11.0 MIT"];
        let replaced: Vec<&str> = packages.iter().filter_map(|p| p.split(' ').next()).collect();
        let kept = good.iter().filter(|g| !replaced.iter().any(|r| g.split(' ').next() == Some(r)));
        let mut packages: Vec<Package> = packages.iter().chain(kept).map(|line| package(line)).collect();
        packages.retain(|p| !p.version.is_empty());
        let found = check(&packages, &NARROW);
        assert_eq!(found.len(), wanted.len(), "{found:#?}");
        for (found, wanted) in found.iter().zip(wanted) {
            assert!(found.contains(wanted), "{found:?} should contain {wanted:?}");
        }
    }

    #[test]
    fn good_packages_pass() {
        assert_found(&[], &[]);
        assert_found(&["c 1.0.0 GPL-3.0-only OR MIT"], &[]);
    }

    #[test]
    fn licences() {
        assert_found(&["c 1.0.0 GPL-3.0-only"], &["c 1.0.0: its licence \"GPL-3.0-only\" is not allowed"]);
        assert_found(&["c 1.0.0 "], &["c 1.0.0: cannot read its licence"]);
        assert_found(&["b 1.0.0 ISC OR MIT"], &["licence ISC is allowed, but nothing needs it"]);
    }

    #[test]
    fn duplicates() {
        assert_found(&["c 1.0.0 MIT", "c 2.0.0 MIT"], &["c is built twice, 1.0.0 and 2.0.0"]);
        assert_found(
            &["digest 0.9.0 MIT", "digest 0.10.7 MIT", "digest 0.11.0 MIT"],
            &["digest is built twice, 0.9.0 and 0.10.7 and 0.11.0"],
        );
    }

    #[test]
    fn an_excuse_without_need_is_an_error() {
        assert_found(&["digest 0.11.0 MIT"], &["digest 0.10 is no duplicate any more"]);
        assert_found(&["digest 0.10.7 MIT"], &["digest 0.10 is no duplicate any more"]);
        assert_found(&["digest"], &["digest 0.10 is no duplicate any more"]);
        assert_found(
            &["digest 0.1.0 MIT", "digest 0.11.0 MIT"],
            &["digest is built twice", "digest 0.10 is no"],
        );
    }

    #[test]
    fn banned() {
        assert_found(&["ring 0.17.0 MIT"], &["ring is banned: another one is taken"]);
    }
}
