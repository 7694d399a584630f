//! What is run over the query engine: Prometheus' test scripts. The work is done by examples of the room,
//! since automation imports none.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::shell;

const PACKAGE: &str = "nilometer-promql";

/// `promqltest DIR`
pub(crate) fn test(args: &[&str]) -> Result<()> {
    let [folder] = args else { bail!("promqltest takes one folder of .test scripts") };
    // Cargo runs in the root of the repository, and people do not.
    let folder: PathBuf = std::path::absolute(folder).context("the folder's name")?;
    let mut cargo = shell::cargo_command();
    cargo.args(["run", "--quiet", "--locked", "--package", PACKAGE, "--example", "promqltest", "--"]);
    shell::run(cargo.arg(folder))
}
