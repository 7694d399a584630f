//! A block that can be read, and when its files are open.

use crate::index::Index;
use crate::labels;
use crate::segments::Segments;
use crate::select::Selection;
use crate::source::Source;
use crate::tombstones::Tombstones;
use futures::future;
use nilometer_env::Fs;
use nilometer_model::{BlockMeta, Error, Kind, Labels, Result};
use nilometer_storage::{BoxFuture, LabelQuery, Names, Queryable, Select, SeriesStream};
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A block; clones share it.
///
/// Only `meta.json` is read at first, since a process may have thousands of blocks, most of which nobody asks
/// for. The first query opens the rest, which then stays open, readable even while the block is deleted, until
/// [`Block::close_if_unused`]. Open, it has in memory a 32nd of its label values and a few bytes for every 32nd
/// symbol, and holds a file handle for the index and each chunk segment.
///
/// Damage to a series or a chunk leaves out just that, with a warning in the stream; damage to postings, their
/// table or the table of contents costs time only. Where nothing can be read the block answers with a warning
/// alone: one bad block does not stop the others.
#[derive(Clone)]
pub struct Block(Arc<Inner>);

struct Inner {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    meta: Arc<BlockMeta>,
    open: Mutex<Option<Arc<OpenBlock>>>,
    /// Since [`Block::close_if_unused`] last looked.
    used: AtomicBool,
    damage_met: AtomicU64,
}

/// The files of a block.
pub(crate) struct OpenBlock {
    pub(crate) index: Index,
    pub(crate) segments: Segments,
    pub(crate) tombstones: Tombstones,
}

impl OpenBlock {
    fn new(fs: &dyn Fs, path: &Path) -> Result<Self> {
        Ok(OpenBlock {
            index: Index::open(Source::open(fs, &path.join(Index::FILE))?)?,
            segments: Segments::open(fs, path)?,
            tombstones: Tombstones::read(fs, path)?,
        })
    }
}

impl Block {
    /// Reads `meta.json`.
    pub fn new(fs: Arc<dyn Fs>, path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let meta_path = path.join(BlockMeta::FILE);
        let json =
            fs.read(&meta_path).map_err(|e| Error::io(format!("reading {}", meta_path.display()), e))?;
        let meta = BlockMeta::from_json(&json).map_err(|e| e.context(meta_path.display()))?;
        Ok(Block::with_meta(fs, path, meta))
    }

    /// Whose `meta.json` was read already.
    pub fn with_meta(fs: Arc<dyn Fs>, path: impl Into<PathBuf>, meta: impl Into<Arc<BlockMeta>>) -> Self {
        let (path, meta, used, damage_met) =
            (path.into(), meta.into(), AtomicBool::new(false), AtomicU64::new(0));
        Block(Arc::new(Inner { fs, path, meta, open: Mutex::new(None), used, damage_met }))
    }

    pub fn meta(&self) -> &BlockMeta {
        &self.0.meta
    }

    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The labels that all of its series have besides those in the index. They are **not** in what
    /// [`Queryable::select`] gives: lay them on top by [`nilometer_storage::WithExternalLabels`].
    pub fn external_labels(&self) -> Labels {
        let thanos = self.0.meta.thanos.as_ref();
        Labels::from_pairs(thanos.into_iter().flat_map(|t| &t.labels))
    }

    /// What is damaged but read around; an error where nothing can be read. Opens the block, which checks the
    /// tables of the index.
    pub fn check(&self) -> Result<Vec<Error>> {
        let open = self.open()?;
        Ok(open.index.offsets.as_ref().err().into_iter().chain(open.segments.damage()).cloned().collect())
    }

    /// How often queries have met damage.
    pub fn damage_met(&self) -> u64 {
        self.0.damage_met.load(Ordering::Relaxed)
    }

    /// What was deleted from it, as of when it was opened.
    pub fn tombstones(&self) -> Result<Tombstones> {
        Ok(self.open()?.tombstones.clone())
    }

    /// Bytes of its index and chunks on disk.
    pub fn len_bytes(&self) -> Result<u64> {
        let open = self.open()?;
        Ok(open.index.source.len() + open.segments.len_bytes())
    }

    /// Gives back memory and file handles if nobody has read from it since the call before. To be called every
    /// few minutes; the next query opens it again.
    pub fn close_if_unused(&self) {
        if !self.0.used.swap(false, Ordering::Relaxed) {
            *self.0.open.lock() = None;
        }
    }

    pub fn is_open(&self) -> bool {
        self.0.open.lock().is_some()
    }

    /// The files; who asks at the same time waits for the first to open them.
    pub(crate) fn open(&self) -> Result<Arc<OpenBlock>> {
        self.0.used.store(true, Ordering::Relaxed);
        let mut open = self.0.open.lock();
        if let Some(open) = &*open {
            return Ok(open.clone());
        }
        let new = OpenBlock::new(&*self.0.fs, &self.0.path).map_err(|e| match e.kind() {
            // The list of blocks that the caller has is older than that of the disk.
            Kind::NotFound => {
                Error::unavailable(format!("block {} was removed, ask again: {e}", self.0.meta.ulid))
            }
            _ => e.context(format!("block {} cannot be read", self.0.meta.ulid)),
        })?;
        let new = Arc::new(new);
        *open = Some(new.clone());
        Ok(new)
    }

    pub(crate) fn count_damage(&self) {
        self.0.damage_met.fetch_add(1, Ordering::Relaxed);
    }
}

impl Queryable for Block {
    fn select(&self, select: Select) -> SeriesStream {
        Box::pin(Selection::new(self.clone(), select))
    }

    fn label_names(&self, query: LabelQuery) -> BoxFuture<Result<Names>> {
        let block = self.clone();
        Box::pin(future::lazy(move |_| labels::names(&block, &query)))
    }

    fn label_values(&self, name: &str, query: LabelQuery) -> BoxFuture<Result<Names>> {
        let (block, name) = (self.clone(), name.to_owned());
        Box::pin(future::lazy(move |_| labels::values(&block, &name, &query)))
    }
}

/// What leaves out a series, a chunk or a block, and lets all others be read. Reading anew would not help.
pub(crate) fn is_damage(e: &Error) -> bool {
    matches!(e.kind(), Kind::Corrupt { .. } | Kind::Invalid)
}
