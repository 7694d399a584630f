//! What the binary says it was built from: the revision of the source and the compiler's version.
//!
//! Runs again only when the checkout moves to another commit. A source without git (a tarball) is of revision
//! `unknown`, unless the environment says which it is: `NILOMETER_REVISION=… cargo build`.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=NILOMETER_REVISION");
    let given = std::env::var("NILOMETER_REVISION").ok().filter(|revision| !revision.is_empty());
    let revision = given.or_else(revision).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=NILOMETER_REVISION={revision}");
    println!("cargo::rustc-env=NILOMETER_RUSTC={}", rustc().unwrap_or_else(|| "unknown".to_owned()));
}

fn revision() -> Option<String> {
    // A tarball that was unpacked within some other checkout is not of that one's revision.
    let top = PathBuf::from(git(&["rev-parse", "--show-toplevel"])?);
    if top.canonicalize().ok()? != workspace().canonicalize().ok()? {
        return None;
    }
    // HEAD changes when another branch is checked out, its log also with each commit. Cargo takes a path that
    // is not there as changed every time, so it gets only what is.
    for name in ["HEAD", "logs/HEAD"] {
        let path = workspace().join(git(&["rev-parse", "--git-path", name])?);
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    git(&["rev-parse", "HEAD"])
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn git(args: &[&str]) -> Option<String> {
    printed(Command::new("git").args(args).current_dir(workspace()))
}

/// `1.95.0`, of `rustc 1.95.0 (59807616e 2026-04-14)`.
fn rustc() -> Option<String> {
    let version = printed(Command::new(std::env::var_os("RUSTC")?).arg("--version"))?;
    version.split(' ').nth(1).map(str::to_owned)
}

fn printed(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
