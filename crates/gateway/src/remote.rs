//! A block in a bucket as files, for `block` to read as if they were here.
//!
//! Reading waits for the store, so it belongs on threads that may wait ([`crate::supply`]).

use crate::pages::{PAGE_BYTES, PageKey, Pages};
use bytes::Bytes;
use nilometer_block::Tombstones;
use nilometer_bucket::{Bucket, Objects, layout};
use nilometer_env::{DirEntry, File, Fs};
use nilometer_model::{Error, Kind, Ulid};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Handle;

/// What a reader announces is fetched up to here; the rest when it is read. Pages that are fetched and not read yet
/// must not push each other out.
const MAX_ANNOUNCED_BYTES: u64 = 8 << 20;

/// Where objects come from, and where they are kept.
pub(crate) struct Store {
    pub(crate) bucket: Bucket,
    pub(crate) pages: Pages,
    /// Requests run there.
    pub(crate) runtime: Handle,
}

/// The folder of a block. Paths below it begin with the block's ULID, and only reading is possible.
pub(crate) struct RemoteFs {
    pub(crate) store: Arc<Store>,
    pub(crate) block: Ulid,
    pub(crate) objects: Arc<Objects>,
}

impl RemoteFs {
    /// A path below the block's folder, as objects are named.
    fn name(&self, path: &Path) -> Option<String> {
        let below = path.strip_prefix(self.block.to_string()).ok()?;
        let parts: Option<Vec<&str>> = below.iter().map(|part| part.to_str()).collect();
        Some(parts?.join("/"))
    }

    fn missing(&self, path: &Path) -> io::Error {
        io::Error::new(io::ErrorKind::NotFound, format!("{} is not in the bucket", path.display()))
    }
}

impl Fs for RemoteFs {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let found = self.name(path).and_then(|name| {
            let (number, len) = (number(&name)?, *self.objects.get(&name)?);
            let key = format!("{}/{name}", self.block);
            Some(RemoteFile { store: self.store.clone(), key, block: self.block, number, len })
        });
        Ok(Arc::new(found.ok_or_else(|| self.missing(path))?))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let folder = self.name(path).map(|name| if name.is_empty() { name } else { name + "/" });
        let folder = folder.ok_or_else(|| self.missing(path))?;
        let below = self.objects.keys().filter_map(|name| name.strip_prefix(&folder));
        let files = below.filter(|name| !name.contains('/'));
        let entries: Vec<_> = files.map(|name| DirEntry { name: name.to_owned(), is_dir: false }).collect();
        if entries.is_empty() { Err(self.missing(path)) } else { Ok(entries) }
    }

    fn exists(&self, path: &Path) -> bool {
        self.name(path).is_some_and(|name| self.objects.contains_key(&name))
    }

    fn create(&self, _: &Path) -> io::Result<Arc<dyn File>> {
        Err(read_only())
    }

    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Err(read_only())
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(read_only())
    }

    fn remove_file(&self, _: &Path) -> io::Result<()> {
        Err(read_only())
    }

    fn remove_dir_all(&self, _: &Path) -> io::Result<()> {
        Err(read_only())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Err(read_only())
    }

    fn available_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(0)
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn Send + Sync>> {
        Err(read_only())
    }
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "blocks of a bucket are only read")
}

/// By which pages of a file are known among those of its block, whatever else is or comes to be in its folder.
fn number(name: &str) -> Option<u32> {
    const OTHERS: u32 = u32::MAX - 1;
    match name {
        layout::INDEX => Some(OTHERS),
        Tombstones::FILE => Some(OTHERS + 1),
        _ => name.strip_prefix(layout::CHUNKS)?.strip_prefix('/')?.parse().ok().filter(|n| *n < OTHERS),
    }
}

struct RemoteFile {
    store: Arc<Store>,
    key: String,
    block: Ulid,
    number: u32,
    len: u64,
}

impl RemoteFile {
    fn page(&self, page: u64) -> PageKey {
        PageKey { block: self.block, file: self.number, page: page as u32 }
    }

    /// Fetches pages that are not there, all at once, and gives them.
    fn fetch(&self, pages: &[u64]) -> io::Result<Vec<Bytes>> {
        // Pages in a row are one range.
        let mut runs: Vec<Range<u64>> = Vec::new();
        for &page in pages {
            match runs.last_mut() {
                Some(run) if run.end == page => run.end += 1,
                _ => runs.push(page..page + 1),
            }
        }
        let ranges: Vec<_> =
            runs.iter().map(|run| run.start * PAGE_BYTES..(run.end * PAGE_BYTES).min(self.len)).collect();
        let fetched = self
            .store
            .runtime
            .block_on(self.store.bucket.get_ranges(&self.key, &ranges))
            .map_err(io_error)?;
        let (mut out, mut kept) = (Vec::with_capacity(pages.len()), Vec::with_capacity(pages.len()));
        for (run, bytes) in runs.iter().zip(fetched) {
            for (nth, page) in run.clone().enumerate() {
                let at = nth * PAGE_BYTES as usize;
                let part = &bytes[at..bytes.len().min(at + PAGE_BYTES as usize)];
                // A copy: a page that stays must not hold on to all that came with it.
                let part = Bytes::copy_from_slice(part);
                kept.push((self.page(page), part.clone()));
                out.push(part);
            }
        }
        self.store.pages.put(&kept);
        Ok(out)
    }
}

impl File for RemoteFile {
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(out.len() as u64).filter(|end| *end <= self.len);
        let Some(end) = end else {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{} ends before", self.key)));
        };
        if out.is_empty() {
            return Ok(());
        }
        let wanted = offset / PAGE_BYTES..end.div_ceil(PAGE_BYTES);
        let mut found: BTreeMap<u64, Bytes> =
            wanted.clone().filter_map(|page| Some((page, self.store.pages.get(self.page(page))?))).collect();
        let missing: Vec<u64> = wanted.filter(|page| !found.contains_key(page)).collect();
        if !missing.is_empty() {
            let fetched = self.fetch(&missing)?;
            found.extend(missing.into_iter().zip(fetched));
        }
        let mut at = offset;
        for (page, bytes) in found {
            let from = (at - page * PAGE_BYTES) as usize;
            let len = (bytes.len() - from).min((end - at) as usize);
            out[(at - offset) as usize..][..len].copy_from_slice(&bytes[from..from + len]);
            at += len as u64;
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn is_far(&self) -> bool {
        true
    }

    fn will_need(&self, ranges: &[Range<u64>]) {
        let wanted =
            |range: &Range<u64>| range.start / PAGE_BYTES..range.end.min(self.len).div_ceil(PAGE_BYTES);
        let wanted: BTreeSet<u64> = ranges.iter().flat_map(wanted).collect();
        let missing = wanted.into_iter().filter(|page| !self.store.pages.has(self.page(*page)));
        let pages: Vec<u64> = missing.take((MAX_ANNOUNCED_BYTES / PAGE_BYTES) as usize).collect();
        if !pages.is_empty() {
            // What fails now fails again when it is read, and is told then.
            let _ = self.fetch(&pages);
        }
    }

    fn append(&self, _: &[u8]) -> io::Result<()> {
        Err(read_only())
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        Err(read_only())
    }

    fn sync(&self) -> io::Result<()> {
        Err(read_only())
    }
}

fn io_error(e: Error) -> io::Error {
    let kind = match e.kind() {
        Kind::NotFound => io::ErrorKind::NotFound,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, e)
}
