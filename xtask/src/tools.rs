//! Real programs that tests and the demonstration start: pinned Debian packages, unpacked, never installed.
//!
//! ```text
//! target/tools/
//! ├── bin/{prometheus,promtool,prometheus-node-exporter,strace}   what tests start
//! ├── <package>_<version>/                                        as unpacked
//! └── peers/                                                      the same, for what only `xtask bench` starts
//! ```
//!
//! `NILOMETER_TOOLS`, an absolute path, names another folder with such a `bin/`, for machines without
//! Debian's packages; then nothing is unpacked, and the programs there are only looked at.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::{shell, stores};

struct Package {
    name: &'static str,
    version: &'static str,
    sha256: &'static str,
}

struct Program {
    name: &'static str,
    package: &'static str,
    /// Part of what `--version` prints, so that a program from elsewhere can be told from the pinned one.
    version: &'static str,
}

/// What is fetched together.
struct Set {
    packages: &'static [Package],
    programs: &'static [Program],
}

const TESTS: Set = Set { packages: PACKAGES, programs: PROGRAMS };

/// Servers to be compared with, which no test needs. This one's `--version` is empty in Debian.
const PEERS: Set = Set {
    packages: &[Package {
        name: "victoria-metrics",
        version: "1.79.5+ds1-2+b5",
        sha256: "bb437c10c5aa7c6a293acbb93828bd726dded618aa4bf3f4b45bef24c6d2f6f0",
    }],
    programs: &[Program { name: "victoria-metrics", package: "victoria-metrics", version: "" }],
};

/// From Debian 12, amd64. When a mirror has moved on to a newer revision: `apt-cache policy <package>` names
/// it, and `sha256sum` of what `apt-get download` fetches gives the sum.
const PACKAGES: &[Package] = &[
    Package {
        name: "prometheus",
        version: "2.42.0+ds-5+deb12u1",
        sha256: "81d59a24fce84f7fbe97a45a4f2914b6a5881b5cd1db2a6a0e129e515e1a5f55",
    },
    Package {
        name: "prometheus-node-exporter",
        version: "1.5.0-1+b6",
        sha256: "8cb5b39627595ea2cf3cd27be593e0e9af87023d29e1c5b8487e2f9510097e09",
    },
    Package {
        name: "strace",
        version: "6.1-0.1",
        sha256: "1942d086a6244a1a9643489d3b0aa604ac44b88991d6c69217a63a193671bd4f",
    },
    Package {
        name: "libunwind8", // of strace; the other libraries are part of every Debian
        version: "1.6.2-3",
        sha256: "7b297868682836e4c87be349f17e4a56bc287586e3576503e84a5cb5485ce925",
    },
];

const PROGRAMS: &[Program] = &[
    Program { name: "prometheus", package: "prometheus", version: "version 2.42.0" },
    Program { name: "promtool", package: "prometheus", version: "version 2.42.0" },
    Program {
        name: "prometheus-node-exporter",
        package: "prometheus-node-exporter",
        version: "version 1.5.0",
    },
    Program { name: "strace", package: "strace", version: "version 6.1" },
];

/// The loader finds strace's library by itself: a variable would be inherited by what strace starts.
const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

pub(crate) fn run() -> Result<()> {
    TESTS.provide(&folder())?;
    stores::provide(&folder())
}

/// The servers that `xtask bench` compares with.
pub(crate) fn peers() -> Result<()> {
    PEERS.provide(&folder().join(PEERS_FOLDER))
}

const PEERS_FOLDER: &str = "peers";

/// Packages and their versions, as the tables pin them.
pub(crate) fn pinned(names: &[&str]) -> Vec<String> {
    let all = TESTS.packages.iter().chain(PEERS.packages).filter(|p| names.contains(&p.name));
    all.map(|p| format!("{} {}", p.name, p.version)).collect()
}

/// The path of a server, which [`peers`] has seen to.
pub(crate) fn peer(program: &str) -> PathBuf {
    folder().join(PEERS_FOLDER).join("bin").join(program)
}

/// Where tests look too.
fn folder() -> PathBuf {
    std::env::var_os("NILOMETER_TOOLS").map_or_else(|| shell::root().join("target/tools"), PathBuf::from)
}

/// The path of a program, which [`run`] has seen to.
pub(crate) fn path(program: &str) -> PathBuf {
    folder().join("bin").join(program)
}

impl Set {
    fn provide(&self, folder: &Path) -> Result<()> {
        let own = std::env::var_os("NILOMETER_TOOLS").is_none();
        // A folder that was moved has links into nowhere: it is unpacked again.
        if own && !(self.is_complete(folder) && self.check(folder).is_ok()) {
            match download(&folder.join("downloads"), &self.pins()) {
                Ok(()) => self.unpack(folder)?,
                Err(error) => self.link_installed(folder).map_err(|also| error.context(also))?,
            }
        }
        self.check(folder)?;
        println!("tools: {} programs in {}", self.programs.len(), folder.join("bin").display());
        Ok(())
    }

    /// Written last, with what was unpacked: a changed pin unpacks again.
    fn is_complete(&self, folder: &Path) -> bool {
        fs::read_to_string(folder.join("complete")).is_ok_and(|text| text == self.pins())
    }

    /// Each package as apt names it, one a line.
    fn pins(&self) -> String {
        self.packages.iter().map(|p| format!("{}={}\n", p.name, p.version)).collect()
    }

    fn unpack(&self, folder: &Path) -> Result<()> {
        let downloads = folder.join("downloads");
        for package in self.packages {
            let deb = downloads.join(format!("{}_{}_amd64.deb", package.name, package.version));
            verify(&deb, package)?;
            let to = unpacked(folder, package);
            remove(&to)?;
            shell::run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&to))?;
        }
        let bin = fresh_bin(folder)?;
        for program in self.programs {
            let target = unpacked(folder, self.package(program.package)).join("usr/bin").join(program.name);
            if program.name == "strace" {
                let libraries = unpacked(folder, self.package("libunwind8"));
                write_launcher(&bin.join(program.name), &target, &libraries)?;
            } else {
                symlink(&target, bin.join(program.name)).context("cannot link a program")?;
            }
        }
        remove(&downloads)?;
        fs::write(folder.join("complete"), self.pins()).context("cannot write target/tools/complete")
    }

    fn package(&self, name: &str) -> &'static Package {
        self.packages.iter().find(|p| p.name == name).expect("each program names a package of the table")
    }

    /// Without a download, what the machine has installed will do, if it is the same version.
    fn link_installed(&self, folder: &Path) -> Result<(), String> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let find = |program: &Program| {
            std::env::split_paths(&path)
                .map(|dir| dir.join(program.name))
                .find(|at| check(at, program).is_ok())
        };
        let mut found = Vec::new();
        for program in self.programs {
            let at = find(program)
                .ok_or_else(|| format!("no {} of {} is installed", program.name, program.version))?;
            found.push((program, at));
        }
        let bin = fresh_bin(folder).map_err(|error| error.to_string())?;
        for (program, at) in found {
            symlink(at, bin.join(program.name)).map_err(|error| error.to_string())?;
        }
        println!("tools: the packages cannot be downloaded, the installed programs are used");
        Ok(())
    }

    fn check(&self, folder: &Path) -> Result<()> {
        self.programs.iter().try_for_each(|program| check(&folder.join("bin").join(program.name), program))
    }
}

/// A fresh machine has no package lists, or old ones: then they are fetched, once.
fn download(into: &Path, pins: &str) -> Result<()> {
    fs::create_dir_all(into).with_context(|| format!("cannot make {}", into.display()))?;
    let fetch = || {
        let mut apt = Command::new("apt-get");
        apt.current_dir(into).args(["-qq", "-o", "APT::Sandbox::User=root", "download"]);
        apt.args(pins.lines());
        shell::output(&mut apt)
    };
    if fetch().is_ok() {
        return Ok(());
    }
    println!("tools: fetching package lists");
    let update = ["apt-get", "-qq", "update"];
    let by_root = shell::output(Command::new("sudo").arg("-n").args(update));
    if by_root.is_err() {
        // A failure shows in the download that follows, with a better message.
        let _ = shell::output(Command::new(update[0]).args(&update[1..]));
    }
    fetch().map(drop).context(
        "cannot download the pinned packages. Without network or root: `sudo apt-get update`, then again. If \
         Debian has replaced a version, change it in xtask/src/tools.rs. On another system, set NILOMETER_TOOLS \
         to a folder whose bin/ has prometheus, promtool, prometheus-node-exporter and strace",
    )
}

fn verify(deb: &Path, package: &Package) -> Result<()> {
    let printed = shell::output(Command::new("sha256sum").arg(deb))?;
    let sum = printed.split_whitespace().next().unwrap_or_default();
    ensure!(
        sum == package.sha256,
        "{} is not the pinned file: its SHA-256 is {sum}, not {}; delete it, and do not use it",
        deb.display(),
        package.sha256
    );
    Ok(())
}

fn check(path: &Path, program: &Program) -> Result<()> {
    let out = Command::new(path).arg("--version").output();
    let out = out.with_context(|| format!("cannot start {}", path.display()))?;
    let text = [out.stdout, out.stderr].concat();
    if !out.status.success() || !String::from_utf8_lossy(&text).contains(program.version) {
        bail!("{} is not {} of {}", path.display(), program.name, program.version);
    }
    Ok(())
}

fn write_launcher(at: &Path, program: &Path, libraries: &Path) -> Result<()> {
    let libraries = libraries.join(LIBRARIES);
    let script = format!(
        "#!/bin/sh\nexec {LOADER} --library-path '{}' '{}' \"$@\"\n",
        libraries.display(),
        program.display()
    );
    fs::write(at, script)
        .and_then(|()| fs::set_permissions(at, fs::Permissions::from_mode(0o755)))
        .context("launcher")
}

fn fresh_bin(folder: &Path) -> Result<PathBuf> {
    let bin = folder.join("bin");
    remove(&bin)?;
    fs::create_dir_all(&bin).with_context(|| format!("cannot make {}", bin.display()))?;
    Ok(bin)
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

fn unpacked(folder: &Path, package: &Package) -> PathBuf {
    folder.join(format!("{}_{}", package.name, package.version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_fit_together() {
        for program in PROGRAMS {
            let upstream = program.version.strip_prefix("version ").unwrap();
            assert!(TESTS.package(program.package).version.starts_with(upstream), "{}", program.name);
        }
        for package in PACKAGES.iter().chain(PEERS.packages) {
            assert!(package.sha256.len() == 64 && package.sha256.bytes().all(|b| b.is_ascii_hexdigit()));
        }
    }

    #[test]
    fn a_file_that_is_not_the_pinned_one_is_refused() {
        let file = std::env::temp_dir().join(format!("nilometer-xtask-{}", std::process::id()));
        fs::write(&file, "not a package").unwrap();
        let error = verify(&file, &PACKAGES[0]).unwrap_err().to_string();
        fs::remove_file(&file).unwrap();
        assert!(error.contains("is not the pinned file"), "{error}");
    }

    #[test]
    fn another_version_is_not_taken() {
        let other = Program { name: "sh", package: "prometheus", version: "version 0.0.0" };
        assert!(check(Path::new("/bin/true"), &other).is_err());
        assert!(check(Path::new("/nowhere/prometheus"), &other).is_err());
    }
}
