//! An open block.

use crate::index::Index;
use crate::labels;
use crate::segments::Segments;
use crate::select::Selection;
use crate::source::Source;
use crate::tombstones::Tombstones;
use futures::future;
use nilometer_env::Fs;
use nilometer_model::{BlockMeta, Error, Labels, Result};
use nilometer_storage::{BoxFuture, LabelQuery, Names, Queryable, Select, SeriesStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A block that can be read; clones share it. It keeps its files open, so it can still be read while, and
/// after, it is deleted.
///
/// In memory is a 32nd of its label values and a few bytes for every 32nd symbol. Damage to a series or a
/// chunk leaves out just that, with a warning in the stream; damage to postings, their table or the table of
/// contents costs time only. Without its symbols, `meta.json` or tombstones a block cannot be opened.
#[derive(Clone)]
pub struct Block(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    path: PathBuf,
    meta: BlockMeta,
    pub(crate) index: Index,
    pub(crate) segments: Segments,
    pub(crate) tombstones: Tombstones,
    pub(crate) damage_met: AtomicU64,
}

impl Block {
    /// Checks the head, the tail and the two tables of the index, which reads them once.
    pub fn open(fs: &dyn Fs, path: &Path) -> Result<Self> {
        let meta_path = path.join(BlockMeta::FILE);
        let doing = |e| Error::io(format!("reading {}", meta_path.display()), e);
        let json = fs.read(&meta_path).map_err(doing)?;
        let meta = BlockMeta::from_json(&json).map_err(|e| e.context(meta_path.display()))?;
        Ok(Block(Arc::new(Inner {
            path: path.to_owned(),
            meta,
            index: Index::open(Source::open(fs, &path.join(Index::FILE))?)?,
            segments: Segments::open(fs, path)?,
            tombstones: Tombstones::read(fs, path)?,
            damage_met: AtomicU64::new(0),
        })))
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

    pub fn tombstones(&self) -> &Tombstones {
        &self.0.tombstones
    }

    /// What was found damaged when it was opened, and is read around.
    pub fn damage(&self) -> impl Iterator<Item = &Error> {
        self.0.index.offsets.as_ref().err().into_iter().chain(self.0.segments.damage())
    }

    /// How often a query has met damage.
    pub fn damage_met(&self) -> u64 {
        self.0.damage_met.load(Ordering::Relaxed)
    }

    /// Bytes of its index and chunks on disk.
    pub fn len_bytes(&self) -> u64 {
        self.0.index.source.len() + self.0.segments.len_bytes()
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
