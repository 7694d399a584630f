//! A bucket that is a folder, as Thanos' FILESYSTEM: an object is a file, a key its path.
//!
//! ```text
//! <directory>/
//! ├── 01ARZ…/meta.json …      objects
//! └── @nilometer/             ours, in no listing
//!     ├── tmp/<random>        objects that are being written: synced, then given their name
//!     └── lock                held while an object is compared and replaced
//! ```
//!
//! What is under its name is whole, also after a crash. A block whose files are on the same file system is
//! not copied but given second names. Folders go with their last object.

use super::memory::{beyond, conflict, not_found, too_large};
use super::{
    Attempt, Attributes, Backend, Depth, Entry, Failure, Got, Page, PartsId, Proof, PutMode, Special,
    Version, Want,
};
use crate::digest::{for_each_piece, sha256_hex};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use nilometer_env::{Fs, Random};
use nilometer_model::{Error, Kind};
use parking_lot::Mutex;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const OWN_FOLDER: &str = "@nilometer";
/// No object takes a day to be written.
const LEFT_OVER_MS: i64 = 24 * 3_600_000;
const PAGE_ENTRIES: usize = 10_000;
/// How often the folder of a new object may be removed under it, with its last object, before that is an error.
const FOLDER_TRIES: u32 = 8;
/// A conditional update waits so long for another process'.
const LOCK_TRIES: u32 = 500;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A clone is another handle to the same.
#[derive(Clone)]
pub(crate) struct Local(Arc<Inner>);

struct Inner {
    fs: Arc<dyn Fs>,
    random: Arc<dyn Random>,
    root: PathBuf,
    /// One conditional update at a time in this process; the lock file is for others.
    updates: Mutex<()>,
}

impl Local {
    /// Makes the folder if it is not there, and removes what a crash left half-written long ago.
    pub(crate) fn open(parts: &crate::Parts, root: &Path) -> Result<Self, Error> {
        let doing = |e| Error::io(format!("cannot use {} as a bucket", root.display()), e);
        let (fs, random) = (parts.fs.clone(), parts.random.clone());
        let tmp = root.join(OWN_FOLDER).join("tmp");
        fs.create_dir_all(&tmp).map_err(doing)?;
        let old_ms = parts.clock.wall_ms() - LEFT_OVER_MS;
        for entry in fs.read_dir(&tmp).map_err(doing)? {
            let path = tmp.join(entry.name);
            // Younger ones may be another process'.
            if fs.stat(&path).is_ok_and(|stat| stat.modified_ms.is_some_and(|ms| ms < old_ms)) {
                fs.remove_file(&path).map_err(doing)?;
            }
        }
        Ok(Local(Arc::new(Inner { fs, random, root: root.to_owned(), updates: Mutex::new(()) })))
    }

    /// File operations block: they are done on a thread where that is allowed.
    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, Failure> + Send + 'static,
    ) -> Attempt<'static, T> {
        let inner = self.0.clone();
        async move {
            match tokio::task::spawn_blocking(move || work(&inner)).await {
                Ok(result) => result,
                Err(e) => Err(Failure::lasting(Error::canceled(format!("the work was stopped: {e}")))),
            }
        }
        .boxed()
    }
}

fn failure(doing: &str, path: &Path, e: io::Error) -> Failure {
    let lasting =
        matches!(e.kind(), ErrorKind::NotFound | ErrorKind::StorageFull | ErrorKind::PermissionDenied);
    let error = Error::io(format!("cannot {doing} {}", path.display()), e);
    if lasting { Failure::lasting(error) } else { Failure::passing(error) }
}

impl Inner {
    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    fn get(&self, key: &str, want: &Want) -> Result<Got, Failure> {
        let path = self.path(key);
        let fail = |e: io::Error| match e.kind() {
            ErrorKind::NotFound | ErrorKind::IsADirectory | ErrorKind::NotADirectory => not_found(key),
            _ => failure("read", &path, e),
        };
        let file = self.fs.open(&path).map_err(fail)?;
        let len = file.len().map_err(fail)?;
        let range = match want {
            Want::Whole { max_bytes } if len > *max_bytes => return Err(too_large(len, *max_bytes)),
            Want::Whole { .. } => 0..len,
            Want::Range(range) if range.end > len || range.start > range.end => return Err(beyond(len)),
            Want::Range(range) => range.clone(),
        };
        let size = usize::try_from(range.end - range.start).map_err(|_| too_large(len, usize::MAX as u64))?;
        let mut bytes = vec![0; size];
        file.read_exact_at(&mut bytes, range.start).map_err(fail)?;
        let version = match want {
            Want::Whole { .. } => version(&bytes),
            Want::Range(_) => Version::default(),
        };
        Ok(Got { bytes: bytes.into(), version })
    }

    fn head(&self, key: &str) -> Result<Attributes, Failure> {
        let path = self.path(key);
        match self.fs.stat(&path) {
            Ok(stat) => Ok(Attributes { size_bytes: stat.len_bytes, modified_ms: stat.modified_ms }),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Err(not_found(key))
            }
            Err(e) => Err(failure("look at", &path, e)),
        }
    }

    fn put(&self, key: &str, bytes: &[u8], mode: &PutMode) -> Result<Version, Failure> {
        let _guards = match mode {
            PutMode::IfMatch(_) => Some((self.updates.lock(), self.lock()?)),
            _ => None,
        };
        if let PutMode::IfMatch(wanted) = mode {
            match self.get(key, &Want::Whole { max_bytes: u64::MAX }) {
                Ok(got) if got.version == *wanted => {}
                Ok(_) => return Err(conflict("another version is there")),
                Err(e) if *e.error.kind() == Kind::NotFound => {
                    return Err(conflict("it is not there any more"));
                }
                Err(e) => return Err(e),
            }
        }
        let tmp = self.temporary();
        let written = self.write_synced(&tmp, bytes).and_then(|()| match mode {
            // A second name is given only where there is none: that is one step, in all processes.
            PutMode::IfAbsent => self.name(&tmp, key, |tmp, to| self.link_new(tmp, to)),
            _ => self.name(&tmp, key, |tmp, to| self.fs.rename(tmp, to)),
        });
        // Gone after a rename.
        let _ = self.fs.remove_file(&tmp);
        written.map(|()| version(bytes))
    }

    fn temporary(&self) -> PathBuf {
        self.root.join(OWN_FOLDER).join("tmp").join(format!("{:016x}", self.random.u64()))
    }

    fn write_synced(&self, tmp: &Path, bytes: &[u8]) -> Result<(), Failure> {
        let fail = |e| failure("write", tmp, e);
        let file = self.fs.create(tmp).map_err(fail)?;
        file.append(bytes).map_err(fail)?;
        file.sync().map_err(fail)
    }

    /// Gives a synced file its name, durably.
    fn name(
        &self,
        tmp: &Path,
        key: &str,
        how: impl Fn(&Path, &Path) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let to = self.path(key);
        let folder = to.parent().unwrap_or(&self.root);
        for tries in 1.. {
            self.fs.create_dir_all(folder).map_err(|e| failure("make", folder, e))?;
            match how(tmp, &to).and_then(|()| self.fs.sync_dir(folder)) {
                Ok(()) => break,
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                    return Err(conflict("there is an object already"));
                }
                Err(e) if e.kind() == ErrorKind::NotFound && tries < FOLDER_TRIES => {}
                Err(e) => return Err(failure("name", &to, e)),
            }
        }
        Ok(())
    }

    /// A name that could be lost again is taken back: another attempt must not find it.
    fn link_new(&self, tmp: &Path, to: &Path) -> io::Result<()> {
        self.fs.hard_link(tmp, to)?;
        let folder = to.parent().unwrap_or(&self.root);
        self.fs.sync_dir(folder).inspect_err(|_| drop(self.fs.remove_file(to)))
    }

    fn lock(&self) -> Result<Box<dyn Send + Sync>, Failure> {
        let path = self.root.join(OWN_FOLDER).join("lock");
        for _ in 0..LOCK_TRIES {
            match self.fs.lock(&path) {
                Ok(guard) => return Ok(guard),
                Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::sleep(LOCK_PAUSE),
                Err(e) => return Err(failure("lock", &path, e)),
            }
        }
        let message = format!("another process has held {} for long: end it, then try again", path.display());
        Err(Failure::lasting(Error::unavailable(message)))
    }

    fn delete(&self, key: &str) -> Result<(), Failure> {
        let path = self.path(key);
        match self.fs.remove_file(&path) {
            Ok(()) => {}
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
            Err(e) => return Err(failure("remove", &path, e)),
        }
        let mut folder = path.parent();
        while let Some(at) = folder.filter(|at| *at != self.root && at.starts_with(&self.root)) {
            if self.fs.remove_dir(at).is_err() {
                break;
            }
            folder = at.parent();
        }
        match folder.map(|at| self.fs.sync_dir(at)) {
            // A folder that somebody else has removed meanwhile needs no sync.
            Some(Err(e)) if e.kind() != ErrorKind::NotFound => Err(failure("sync the folder of", &path, e)),
            _ => Ok(()),
        }
    }

    fn take_file(&self, key: &str, file: &Path) -> Result<Proof, Failure> {
        let fail = |e| failure("read", file, e);
        let from = self.fs.open(file).map_err(fail)?;
        // With another name already, there would be more to sync.
        from.sync().map_err(fail)?;
        let tmp = self.temporary();
        let proof = match self.fs.hard_link(file, &tmp) {
            Ok(()) => Proof::Linked,
            // Another file system, or one without links.
            Err(_) => {
                let to = self.fs.create(&tmp).map_err(fail)?;
                let copied = for_each_piece(&*from, |piece| to.append(piece)).and_then(|_| to.sync());
                if let Err(e) = copied {
                    let _ = self.fs.remove_file(&tmp);
                    return Err(failure("copy", file, e));
                }
                Proof::None
            }
        };
        let named = self.name(&tmp, key, |tmp, to| self.fs.rename(tmp, to));
        // Between two names of one file a rename does nothing and leaves both.
        let _ = self.fs.remove_file(&tmp);
        named.map(|()| proof)
    }

    fn page(&self, folder: &str, depth: Depth, from: Option<&str>) -> Result<Page, Failure> {
        let mut walk = Walk { inner: self, depth, from, entries: Vec::new(), is_full: false };
        walk.folder(folder)?;
        let next = if walk.is_full { walk.entries.last().map(|last| last.key().to_owned()) } else { None };
        Ok(Page { entries: walk.entries, next })
    }
}

/// A listing in the order of the keys' bytes.
struct Walk<'a> {
    inner: &'a Inner,
    depth: Depth,
    from: Option<&'a str>,
    entries: Vec<Entry>,
    is_full: bool,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &str) -> Result<(), Failure> {
        let mut names = self.names(folder)?;
        if folder.is_empty() {
            names.retain(|name| name != &format!("{OWN_FOLDER}/"));
        }
        for name in names {
            let key = format!("{folder}{name}");
            let is_folder = name.ends_with('/');
            // A folder is behind when all that can be in it is.
            let is_old = |from: &str| {
                key.as_str() <= from && !(is_folder && self.goes_down() && from.starts_with(&key))
            };
            if self.from.is_some_and(is_old) {
                continue;
            }
            if is_folder && self.goes_down() {
                self.folder(&key)?;
            } else if let Some(entry) = self.entry(key, is_folder)? {
                if self.entries.len() == PAGE_ENTRIES {
                    self.is_full = true;
                } else {
                    self.entries.push(entry);
                }
            }
            if self.is_full {
                break;
            }
        }
        Ok(())
    }

    fn goes_down(&self) -> bool {
        self.depth == Depth::All
    }

    fn entry(&self, key: String, is_folder: bool) -> Result<Option<Entry>, Failure> {
        if is_folder {
            let is_empty = self.names(&key)?.is_empty();
            return Ok((!is_empty).then_some(Entry::Folder(key)));
        }
        match self.inner.head(&key) {
            Ok(attributes) => Ok(Some(Entry::Object { key, attributes })),
            // Removed meanwhile.
            Err(e) if *e.error.kind() == Kind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Names in a folder, those of folders with `/`, as they sort in keys.
    fn names(&self, folder: &str) -> Result<Vec<String>, Failure> {
        let path = self.inner.path(folder);
        let entries = match self.inner.fs.read_dir(&path) {
            Ok(entries) => entries,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            Err(e) => return Err(failure("list", &path, e)),
        };
        let named = |e: nilometer_env::DirEntry| if e.is_dir { format!("{}/", e.name) } else { e.name };
        let mut names: Vec<String> = entries.into_iter().map(named).collect();
        names.sort();
        Ok(names)
    }
}

fn version(bytes: &[u8]) -> Version {
    Version { etag: Some(sha256_hex(bytes)), generation: None }
}

impl Backend for Local {
    fn get<'a>(&'a self, key: &'a str, want: Want) -> Attempt<'a, Got> {
        let key = key.to_owned();
        self.run(move |inner| inner.get(&key, &want))
    }

    fn head<'a>(&'a self, key: &'a str) -> Attempt<'a, Attributes> {
        let key = key.to_owned();
        self.run(move |inner| inner.head(&key))
    }

    fn put<'a>(&'a self, key: &'a str, bytes: Bytes, mode: PutMode) -> Attempt<'a, Version> {
        let key = key.to_owned();
        self.run(move |inner| inner.put(&key, &bytes, &mode))
    }

    fn delete<'a>(&'a self, key: &'a str) -> Attempt<'a, ()> {
        let key = key.to_owned();
        self.run(move |inner| inner.delete(&key))
    }

    fn list<'a>(&'a self, folder: &'a str, depth: Depth, from: Option<String>) -> Attempt<'a, Page> {
        let folder = folder.to_owned();
        self.run(move |inner| inner.page(&folder, depth, from.as_deref()))
    }

    /// An object is replaced, never written to: two may be one file.
    fn copy<'a>(&'a self, from: &'a str, to: &'a str) -> Attempt<'a, ()> {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.run(move |inner| {
            inner.head(&from)?;
            inner.take_file(&to, &inner.path(&from)).map(drop)
        })
    }

    fn take_file<'a>(&'a self, key: &'a str, file: &'a Path) -> Option<Attempt<'a, Proof>> {
        let (key, file) = (key.to_owned(), file.to_owned());
        Some(self.run(move |inner| inner.take_file(&key, &file)))
    }

    fn give_file<'a>(&'a self, key: &'a str, file: &'a Path) -> Option<Attempt<'a, ()>> {
        let (key, file) = (key.to_owned(), file.to_owned());
        Some(self.run(move |inner| {
            inner.fs.hard_link(&inner.path(&key), &file).map_err(|e| failure("link", &file, e))
        }))
    }

    fn local_folder(&self, key: &str) -> Option<(Arc<dyn Fs>, PathBuf)> {
        Some((self.0.fs.clone(), self.0.path(key)))
    }

    fn start_parts<'a>(&'a self, _key: &'a str) -> Attempt<'a, PartsId> {
        no_parts()
    }

    fn put_part<'a>(&'a self, _: &'a str, _: &'a PartsId, _: usize, _: Bytes) -> Attempt<'a, String> {
        no_parts()
    }

    fn finish_parts<'a>(&'a self, _: &'a str, _: &'a PartsId, _: Vec<String>) -> Attempt<'a, Version> {
        no_parts()
    }

    fn abort_parts<'a>(&'a self, _: &'a str, _: &'a PartsId) -> Attempt<'a, ()> {
        no_parts()
    }

    fn probe<'a>(&'a self, _key: &'a str) -> BoxFuture<'a, Special> {
        std::future::ready(Special { checks_sha256: None, object_lock: Some(false) }).boxed()
    }
}

/// Whole files are taken as they are.
fn no_parts<'a, T: Send + 'a>() -> Attempt<'a, T> {
    let failure = Failure::lasting(Error::invalid("a folder takes no object in parts"));
    std::future::ready(Err(failure)).boxed()
}
