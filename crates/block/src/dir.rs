//! A folder of blocks.

use crate::Block;
use nilometer_env::Fs;
use nilometer_model::{BlockMeta, Error, Result, Ulid};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Of folders that are not whole yet. Prometheus uses the same, and removes them too.
pub(crate) const CREATION_SUFFIX: &str = ".tmp-for-creation";
/// Of folders that are no longer whole.
const DELETION_SUFFIX: &str = ".tmp-for-deletion";

/// Blocks that lie side by side, each in a folder that is named by its ULID. Everything else in there is left
/// alone.
#[derive(Clone)]
pub struct BlockDir {
    fs: Arc<dyn Fs>,
    path: PathBuf,
}

impl BlockDir {
    pub fn new(fs: Arc<dyn Fs>, path: impl Into<PathBuf>) -> Self {
        BlockDir { fs, path: path.into() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All blocks, oldest first. A folder without `meta.json` is none.
    pub fn list(&self) -> Result<Vec<Ulid>> {
        let is_block = |name: &str| self.fs.exists(&self.path.join(name).join(BlockMeta::FILE));
        Ok(self.folders()?.iter().filter(|name| is_block(name)).filter_map(|name| ulid(name)).collect())
    }

    /// A block of which so far only `meta.json` is read.
    pub fn open(&self, ulid: Ulid) -> Result<Block> {
        Block::new(self.fs.clone(), self.path.join(ulid.to_string()))
    }

    /// Removes what unfinished writing and deleting left behind; says what. No writer may be at work.
    pub fn clean(&self) -> Result<Vec<String>> {
        let mut removed = Vec::new();
        for name in self.folders()? {
            let stem = name.strip_suffix(CREATION_SUFFIX).or_else(|| name.strip_suffix(DELETION_SUFFIX));
            if stem.and_then(ulid).is_some() {
                self.remove(&self.path.join(&name))?;
                removed.push(name);
            }
        }
        Ok(removed)
    }

    /// Removes a block; open ones can still be read. After a crash it is there whole or not at all.
    pub fn delete(&self, ulid: Ulid) -> Result<()> {
        let (from, to) =
            (self.path.join(ulid.to_string()), self.path.join(format!("{ulid}{DELETION_SUFFIX}")));
        if self.fs.exists(&to) {
            self.remove(&to)?;
        }
        self.fs
            .rename(&from, &to)
            .and_then(|()| self.fs.sync_dir(&self.path))
            .map_err(|e| Error::io(format!("deleting block {}", from.display()), e))?;
        self.remove(&to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.fs
            .remove_dir_all(path)
            .and_then(|()| self.fs.sync_dir(&self.path))
            .map_err(|e| Error::io(format!("removing {}", path.display()), e))
    }

    fn folders(&self) -> Result<Vec<String>> {
        let entries = self
            .fs
            .read_dir(&self.path)
            .map_err(|e| Error::io(format!("listing {}", self.path.display()), e))?;
        Ok(entries.into_iter().filter(|e| e.is_dir).map(|e| e.name).collect())
    }
}

/// Of a name that is written as we write it.
fn ulid(name: &str) -> Option<Ulid> {
    name.parse().ok().filter(|ulid: &Ulid| ulid.to_string() == name)
}
