//! A directory in which a Prometheus or a Thanos Receive ran before.
//!
//! ```text
//! <tsdb.path>/<tenant>/<ULID>/   Thanos Receive: taken as it is
//! <tsdb.path>/<ULID>/            Prometheus: moved to <tsdb.path>/<default tenant>/<ULID>/
//! …/wal, …/wbl                   what such a program has not made blocks of: named, never touched
//! …/lock                         held, so that it does not run at the same time
//! ```

use crate::HeadOptions;
use nilometer_env::{DirEntry, Fs};
use nilometer_model::{BlockMeta, Error, Result, Tenant, Ulid};
use std::io;
use std::path::{Path, PathBuf};

const FLUSH_THANOS: &str = "start that Thanos Receive once more on this directory and stop it, which writes its newest \
     samples into blocks; then remove the log";
const FLUSH_PROMETHEUS: &str = "start that Prometheus once more on this directory with --web.enable-admin-api, POST \
     /api/v1/admin/tsdb/snapshot, stop it, move the folders in snapshots/<name>/ up into this directory, and remove \
     the log";

pub(crate) struct Adopted {
    /// Tenants that have blocks.
    pub(crate) tenants: Vec<Tenant>,
    /// Of the programs that ran here.
    pub(crate) locks: Vec<Box<dyn Send + Sync>>,
}

/// Finds the tenants whose blocks are here, after moving there what Prometheus left.
pub(crate) fn adopt(fs: &dyn Fs, options: &HeadOptions) -> Result<Adopted> {
    let mut locks = Vec::new();
    locks.extend(lock(fs, &options.dir)?);
    warn_of_logs(fs, &options.dir, FLUSH_PROMETHEUS)?;
    take_in(fs, options)?;
    let mut tenants = Vec::new();
    for name in folders(fs, &options.dir)? {
        let Ok(tenant) = Tenant::new(&name) else { continue };
        let path = options.dir.join(&name);
        locks.extend(lock(fs, &path)?);
        warn_of_logs(fs, &path, FLUSH_THANOS)?;
        if !blocks(fs, &path)?.is_empty() {
            tenants.push(tenant);
        }
    }
    Ok(Adopted { tenants, locks })
}

/// Moves blocks that lie directly in the directory to the default tenant. Each is moved by one rename, so a
/// crash leaves the others to the next start.
fn take_in(fs: &dyn Fs, options: &HeadOptions) -> Result<()> {
    let found = blocks(fs, &options.dir)?;
    if found.is_empty() {
        return Ok(());
    }
    check_retention(fs, options, &found)?;
    let to = options.dir.join(options.default_tenant.as_str());
    let moved = || -> io::Result<()> {
        fs.create_dir_all(&to)?;
        for ulid in &found {
            let name = ulid.to_string();
            fs.rename(&options.dir.join(&name), &to.join(&name))?;
        }
        fs.sync_dir(&to)?;
        fs.sync_dir(&options.dir)
    };
    moved().map_err(|e| Error::io(format!("moving Prometheus' blocks to {}", to.display()), e))?;
    tracing::info!(
        blocks = found.len(),
        tenant = %options.default_tenant,
        to = %to.display(),
        "adopted the blocks of a Prometheus; to go back, start it on that folder"
    );
    Ok(())
}

/// Whoever kept more than is kept here is asked first.
fn check_retention(fs: &dyn Fs, options: &HeadOptions, found: &[Ulid]) -> Result<()> {
    if options.retention_ms == 0 {
        return Ok(());
    }
    let mut ends = Vec::new();
    for ulid in found {
        let path = options.dir.join(ulid.to_string()).join(BlockMeta::FILE);
        let bytes = fs.read(&path).map_err(|e| Error::io(format!("reading {}", path.display()), e))?;
        let meta = BlockMeta::from_json(&bytes);
        ends.push(meta.map_err(|e| Error::invalid(format!("{}: {e}", path.display())))?.max_time_ms);
    }
    let newest = ends.iter().copied().max().unwrap_or(i64::MIN);
    let oldest = newest.saturating_sub(options.retention_ms);
    let past = ends.iter().filter(|&&end| end <= oldest).count();
    if past == 0 {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "a Prometheus left {} blocks in {}, and {past} of them are older than what is kept here ({} h): to keep them, \
         set --tsdb.retention as it was there (0d keeps everything); to have the old ones deleted, remove them first",
        found.len(),
        options.dir.display(),
        options.retention_ms / 3_600_000
    )))
}

fn blocks(fs: &dyn Fs, dir: &Path) -> Result<Vec<Ulid>> {
    let is_block = |name: &String| fs.exists(&dir.join(name).join(BlockMeta::FILE));
    Ok(folders(fs, dir)?.iter().filter(|name| is_block(name)).filter_map(|name| name.parse().ok()).collect())
}

fn folders(fs: &dyn Fs, dir: &Path) -> Result<Vec<String>> {
    Ok(entries(fs, dir)?.into_iter().filter(|e| e.is_dir).map(|e| e.name).collect())
}

fn entries(fs: &dyn Fs, dir: &Path) -> Result<Vec<DirEntry>> {
    fs.read_dir(dir).map_err(|e| Error::io(format!("listing {}", dir.display()), e))
}

/// Such a program removes its lock file when it ends in order: one that is there tells of a crash, or it runs.
fn lock(fs: &dyn Fs, dir: &Path) -> Result<Option<Box<dyn Send + Sync>>> {
    // A tenant may have any of these names.
    if !entries(fs, dir)?.iter().any(|e| e.name == "lock" && !e.is_dir) {
        return Ok(None);
    }
    let path = dir.join("lock");
    match fs.lock(&path) {
        Ok(lock) => Ok(Some(lock)),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Err(Error::unavailable(format!(
            "a Prometheus or Thanos process runs on {}: stop it first, or give this one another data directory",
            dir.display()
        ))),
        Err(e) => Err(Error::io(format!("locking {}", path.display()), e)),
    }
}

/// A program that ran here may have left samples that are in no block yet.
fn warn_of_logs(fs: &dyn Fs, dir: &Path, how_to_flush: &str) -> Result<()> {
    for path in unflushed(fs, dir)? {
        tracing::warn!(
            path = %path.display(),
            "another program left a log here, which is not touched; its newest samples may be nowhere else. To have \
             them: stop this hub, {how_to_flush}"
        );
    }
    Ok(())
}

/// Logs with at least one segment.
pub(crate) fn unflushed(fs: &dyn Fs, dir: &Path) -> Result<Vec<PathBuf>> {
    let is_segment =
        |e: &DirEntry| !e.is_dir && e.name.len() == 8 && e.name.bytes().all(|b| b.is_ascii_digit());
    let mut found = Vec::new();
    for name in folders(fs, dir)?.into_iter().filter(|name| name == "wal" || name == "wbl") {
        let path = dir.join(name);
        if entries(fs, &path)?.iter().any(is_segment) {
            found.push(path);
        }
    }
    Ok(found)
}
