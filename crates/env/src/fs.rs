//! Files, as few operations as storage needs, each with the durability it promises.
//!
//! The model is POSIX': bytes written are durable after [`File::sync`]; a name (created, renamed or removed)
//! is durable after [`Fs::sync_dir`] of its folder.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    pub name: String,
    pub is_dir: bool,
}

/// What a folder knows of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub len_bytes: u64,
    /// Milliseconds since 1970; `None` where the disk does not say.
    pub modified_ms: Option<i64>,
}

pub trait Fs: Send + Sync + 'static {
    /// A new, empty file; an error if the name is taken.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// An existing file, to be read and written.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// The same, but durable only when the folders they are in are synced: for what a crash may take with it.
    fn create_scratch_dir_all(&self, path: &Path) -> io::Result<()> {
        self.create_dir_all(path)
    }

    /// What a folder holds, sorted by name.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    fn exists(&self, path: &Path) -> bool;

    /// Replaces `to` if it is there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    fn remove_file(&self, path: &Path) -> io::Result<()>;

    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder with nothing in it; an error if there is something.
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        Err(unsupported("remove a folder", path))
    }

    /// A second name for a file, on the same file system; an error of kind `AlreadyExists` if it is taken.
    fn hard_link(&self, _from: &Path, to: &Path) -> io::Result<()> {
        Err(unsupported("link", to))
    }

    /// An error of kind `NotFound` also where the path is that of a folder.
    fn stat(&self, path: &Path) -> io::Result<Stat> {
        Ok(Stat { len_bytes: self.open(path)?.len()?, modified_ms: None })
    }

    /// Makes the names in a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Bytes that can still be written on the file system of `path`.
    fn available_bytes(&self, path: &Path) -> io::Result<u64>;

    /// Takes the exclusive lock that `path` stands for until the guard is dropped; an error of kind
    /// `WouldBlock` if another process has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;

    /// The whole file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open(path)?;
        let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Writes a whole file so that after a crash either the old or the new one is there, whole.
    fn write_atomic(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".tmp");
        let (tmp, dir) = (path.with_file_name(name), path.parent().map(PathBuf::from).unwrap_or_default());
        if self.exists(&tmp) {
            self.remove_file(&tmp)?;
        }
        let file = self.create(&tmp)?;
        file.append(bytes)?;
        file.sync()?;
        self.rename(&tmp, path)?;
        self.sync_dir(&dir)
    }
}

pub trait File: Send + Sync + 'static {
    /// Writes all of `bytes` at the end.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;

    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()>;

    /// Says what is going to be read, so that a file that is far away can fetch all of it at once. What fails is not
    /// told here: reading tells it.
    fn will_need(&self, _ranges: &[Range<u64>]) {}

    /// Whether reading may wait for another machine: then not every thread may read it, and it is worth to say before
    /// what is needed.
    fn is_far(&self) -> bool {
        false
    }

    fn len(&self) -> io::Result<u64>;

    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Returns when all bytes written before are on stable storage. After an error none of them may be
    /// counted on, and a later success says nothing of them.
    fn sync(&self) -> io::Result<()>;
}

fn unsupported(what: &str, path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, format!("cannot {what} here: {}", path.display()))
}
