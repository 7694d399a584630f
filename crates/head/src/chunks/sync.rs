//! Making closed chunks durable, without holding up who appends.

use super::{ChunkFiles, file};
use nilometer_env::{File, Fs};
use nilometer_model::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn failed_in(dir: &Path, e: std::io::Error) -> Error {
    Error::io(format!("syncing closed chunks in {}", dir.display()), e)
}

/// What is to be made durable.
pub(crate) struct Syncing {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    files: Vec<(u32, Arc<dyn File>, u64)>,
    named: bool,
}

/// What came of it: of each file, up to which length.
pub(crate) struct Synced {
    files: Vec<(u32, u64, std::io::Result<()>)>,
    dir: std::io::Result<()>,
}

impl Syncing {
    pub(crate) fn run(self) -> Synced {
        let files = self.files.into_iter().map(|(number, file, len)| (number, len, file.sync())).collect();
        let dir = if self.named { self.fs.sync_dir(&self.dir) } else { Ok(()) };
        Synced { files, dir }
    }
}

impl ChunkFiles {
    /// Begins to make everything put before durable: [`Syncing::run`] does it, without the tenant's lock, and
    /// [`Self::synced`] takes note.
    pub(crate) fn begin_sync(&mut self) -> Result<Syncing> {
        self.write()?;
        let mut files = Vec::new();
        for (number, file) in self.files.iter_mut().filter(|(_, f)| f.synced_len < f.len) {
            if file.lost_sync {
                let path = self.dir.join(file::name(*number, file.range_start_ms));
                file.write_anew(&*self.fs, &path).map_err(|e| failed_in(&self.dir, e))?;
                file.synced_len = file.len;
            } else if let Some(open) = &file.file {
                files.push((*number, open.clone(), file.len));
            }
        }
        // A name that comes meanwhile is the next one's.
        let named = std::mem::take(&mut self.unnamed);
        Ok(Syncing { fs: self.fs.clone(), dir: self.dir.clone(), files, named })
    }

    /// Takes note of what became durable, and of what never will.
    pub(crate) fn synced(&mut self, synced: Synced) -> Result<()> {
        self.unnamed |= synced.dir.is_err();
        let mut failed = synced.dir;
        for (number, len, result) in synced.files {
            let Some(file) = self.files.get_mut(&number) else { continue };
            match result {
                Ok(()) => file.synced_len = file.synced_len.max(len),
                Err(e) => {
                    file.lost_sync = true;
                    failed = Err(e);
                }
            }
        }
        failed.map_err(|e| failed_in(&self.dir, e))
    }

    #[cfg(test)]
    pub(super) fn sync(&mut self) -> Result<()> {
        let syncing = self.begin_sync()?;
        self.synced(syncing.run())
    }
}
