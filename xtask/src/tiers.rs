//! The order of the rooms: a crate imports lower tiers only, never its own and never a higher one.
//!
//! That is what keeps the folder tree an honest picture of the architecture: a sample's way through the
//! house can be followed without meeting a room twice. What two rooms of one tier share is a trait below
//! them, or is wired in the binary.

use std::fmt;

use anyhow::{Result, bail};

use crate::metadata::{self, Crate};

/// Room to tier. A room that is not here yet enters with the issue that needs it.
const TIERS: &[(&str, u8)] = &[
    ("env", 0),
    ("model", 0),
    ("chunk", 1),
    ("wire", 1),
    ("storage", 2),
    ("bucket", 2),
    ("block", 3),
    ("head", 4),
    ("gateway", 4),
    ("compact", 4),
    ("ledger", 4),
    ("promql", 4),
    ("cluster", 4),
    ("access", 4),
    ("rules", 5),
    ("bench", 5),
    ("server", 6),
    ("nilometer", 7),
];

/// Automation stands beside the rooms: it imports none and none imports it.
const OUTSIDE: &str = "xtask";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// A member of the workspace that the table does not know.
    Unknown { name: String },
    /// Folder and package do not carry the same name.
    Misplaced { name: String, folder: String, wanted: String },
    /// An edge that does not go strictly down.
    Edge { from: String, from_tier: u8, to: String, to_tier: u8 },
    /// An edge from or to what stands outside the tiers.
    Outside { from: String, to: String },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Unknown { name } => {
                write!(f, "{name} has no tier: give it one in xtask/src/tiers.rs and ARCHITECTURE.md")
            }
            Violation::Misplaced { name, folder, wanted } => {
                write!(f, "{name} lies in {folder}: move it to {wanted}")
            }
            Violation::Edge { from, from_tier, to, to_tier } => write!(
                f,
                "{from} (tier {from_tier}) imports {to} (tier {to_tier}): only lower tiers may be imported; \
                 put what both need into a trait below, or wire it in the binary"
            ),
            Violation::Outside { from, to } => {
                write!(
                    f,
                    "{from} imports {to}: {OUTSIDE} stands beside the rooms and shares no code with them"
                )
            }
        }
    }
}

pub(crate) fn run() -> Result<()> {
    let crates = metadata::crates()?;
    let violations = check(&crates);
    for violation in &violations {
        eprintln!("tiers: {violation}");
    }
    if !violations.is_empty() {
        bail!("{} edge(s) or crate(s) break the order of the rooms", violations.len());
    }
    println!("tiers: {} crates, every edge goes down", crates.len());
    Ok(())
}

pub(crate) fn check(crates: &[Crate]) -> Vec<Violation> {
    let mut found = Vec::new();
    for member in crates {
        found.extend(check_place(member));
        found.extend(member.imports.iter().filter_map(|to| check_edge(&member.name, to)));
    }
    found
}

fn check_place(member: &Crate) -> Option<Violation> {
    let name = member.name.clone();
    let wanted = match room(&name) {
        OUTSIDE => OUTSIDE.to_owned(),
        room if tier(&name).is_some() => format!("crates/{room}"),
        _ => return Some(Violation::Unknown { name }),
    };
    let folder = member.folder.clone();
    (folder != wanted).then_some(Violation::Misplaced { name, folder, wanted })
}

/// An unknown crate is reported once, where it stands, and not again for each of its edges.
fn check_edge(from: &str, to: &str) -> Option<Violation> {
    let (from, to) = (from.to_owned(), to.to_owned());
    if from == OUTSIDE || to == OUTSIDE {
        return Some(Violation::Outside { from, to });
    }
    let (from_tier, to_tier) = (tier(&from)?, tier(&to)?);
    (from_tier <= to_tier).then_some(Violation::Edge { from, from_tier, to, to_tier })
}

fn tier(name: &str) -> Option<u8> {
    let room = room(name);
    TIERS.iter().find(|(known, _)| *known == room).map(|(_, tier)| *tier)
}

/// `nilometer-head` is the room `head`; the binary's own name stays.
fn room(name: &str) -> &str {
    name.strip_prefix("nilometer-").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, imports: &[&str]) -> Crate {
        let folder = if name == OUTSIDE { OUTSIDE.to_owned() } else { format!("crates/{}", room(name)) };
        let imports: Vec<String> = imports.iter().map(|&i| i.to_owned()).collect();
        Crate { name: name.into(), folder, dependencies: imports.clone(), imports }
    }

    /// Each row: the one crate of the workspace, and what is said about it.
    #[test]
    fn table() {
        let rows: &[(&str, &[&str], &[&str])] = &[
            ("nilometer-env", &[], &[]),
            ("nilometer-head", &["nilometer-env", "nilometer-block", "nilometer-storage"], &[]),
            ("nilometer", &["nilometer-server", "nilometer-head"], &[]),
            (
                "nilometer-head",
                &["nilometer-promql"],
                &["nilometer-head (tier 4) imports nilometer-promql (tier 4)"],
            ),
            (
                "nilometer-model",
                &["nilometer-env", "nilometer-server"],
                &[
                    "nilometer-model (tier 0) imports nilometer-env (tier 0)",
                    "nilometer-model (tier 0) imports nilometer-server (tier 6)",
                ],
            ),
            ("nilometer-server", &["nilometer"], &["nilometer-server (tier 6) imports nilometer (tier 7)"]),
            ("nilometer-attic", &["nilometer-model"], &["nilometer-attic has no tier"]),
            ("xtask", &[], &[]),
            ("xtask", &["nilometer-env"], &["xtask imports nilometer-env"]),
            ("nilometer-env", &["xtask"], &["nilometer-env imports xtask"]),
        ];
        for (name, imports, wanted) in rows {
            let found: Vec<String> =
                check(&[member(name, imports)]).iter().map(Violation::to_string).collect();
            assert_eq!(found.len(), wanted.len(), "{name} {imports:?}: {found:?}");
            for (found, wanted) in found.iter().zip(*wanted) {
                assert!(found.starts_with(wanted), "{found:?} should start with {wanted:?}");
            }
        }
    }

    #[test]
    fn folder_carries_the_name_of_the_room() {
        let mut lost = member("nilometer-head", &[]);
        lost.folder = "crates/memory".into();
        let wanted = "nilometer-head lies in crates/memory: move it to crates/head";
        assert_eq!(check(&[lost]).iter().map(Violation::to_string).collect::<Vec<_>>(), [wanted]);
    }

    #[test]
    fn two_crates_that_import_each_other_cannot_pass() {
        let pair = [
            member("nilometer-block", &["nilometer-storage"]),
            member("nilometer-storage", &["nilometer-block"]),
        ];
        assert_eq!(check(&pair).len(), 1);
    }
}
