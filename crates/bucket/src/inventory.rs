//! What blocks a bucket has: one listing, and each `meta.json` and deletion mark read once.
//!
//! Everything that looks at a bucket as a whole begins here: who answers from it, who compacts it, who lists it.

use crate::bucket::Bucket;
use crate::layout;
use crate::marks::{DeletionMark, Mark, NoCompactMark, NoDownsampleMark};
use crate::remembered::Remembered;
use crate::{Depth, Entry};
use futures::{StreamExt, TryStreamExt, stream};
use nilometer_env::{Clock, Fs};
use nilometer_model::{BlockMeta, Error, Kind, Result, Ulid};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Small objects that are fetched at the same time, as in Thanos.
const FETCHES: usize = 32;
/// Who waits for a first look at many blocks hears how far it is.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// The objects of one block that a reader has use for: names below the block's folder, and lengths in bytes.
pub type Objects = BTreeMap<String, u64>;

/// A bucket as of one listing. What was marked or deleted since is not in it.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// Blocks with a `meta.json` that can be read.
    pub blocks: BTreeMap<Ulid, Listed>,
    /// Folders without one: uploads that go on or were given up, deletions that go on.
    pub partial: BTreeMap<Ulid, Partial>,
    /// Blocks whose `meta.json` or mark cannot be read, and why: for now, or for ever.
    pub broken: BTreeMap<Ulid, Error>,
}

impl Inventory {
    /// An error if there may be more blocks than were seen: a block could not be read for a reason that passes. Who
    /// decides over blocks together waits then.
    pub fn check_whole(&self) -> Result<()> {
        let passing =
            self.broken.iter().find(|(_, e)| matches!(e.kind(), Kind::Unavailable | Kind::Canceled));
        passing.map_or(Ok(()), |(block, e)| {
            Err(e.clone().context(format!("block {block} could not be looked at")))
        })
    }
}

/// A block, and what lies beside it.
#[derive(Clone, Debug)]
pub struct Listed {
    pub meta: Arc<BlockMeta>,
    pub objects: Arc<Objects>,
    /// When it was marked for deletion, in milliseconds since 1970.
    pub marked_ms: Option<i64>,
    pub no_compact: bool,
    pub no_downsample: bool,
}

impl Listed {
    /// Whether nothing has changed.
    fn is_as(&self, other: &Listed) -> bool {
        let marks = |l: &Listed| (l.marked_ms, l.no_compact, l.no_downsample);
        Arc::ptr_eq(&self.meta, &other.meta) && self.objects == other.objects && marks(self) == marks(other)
    }
}

/// A folder that is no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial {
    /// Of the object that changed last, where the store tells.
    pub modified_ms: Option<i64>,
    pub is_marked: bool,
}

/// Looks through a bucket, again and again, and remembers what does not change.
pub struct Lookout {
    bucket: Bucket,
    clock: Arc<dyn Clock>,
    /// For the next start.
    remembered: Option<Mutex<Remembered>>,
    seen: Mutex<BTreeMap<Ulid, Listed>>,
}

#[derive(Default)]
struct Folder {
    objects: Objects,
    modified_ms: Option<i64>,
    marks: BTreeSet<&'static str>,
}

impl Lookout {
    /// What is found is remembered in `dir`.
    pub fn new(bucket: Bucket, fs: Arc<dyn Fs>, clock: Arc<dyn Clock>, dir: impl AsRef<Path>) -> Self {
        let mut remembered = Remembered::new(fs, dir.as_ref());
        let seen = Mutex::new(remembered.recall());
        Lookout { bucket, clock, remembered: Some(Mutex::new(remembered)), seen }
    }

    /// For who looks once: nothing is kept on disk.
    pub fn without_files(bucket: Bucket, clock: Arc<dyn Clock>) -> Self {
        Lookout { bucket, clock, remembered: None, seen: Mutex::default() }
    }

    /// The blocks that there were when somebody last looked, also in an earlier life of the process.
    pub fn seen(&self) -> BTreeMap<Ulid, Listed> {
        self.seen.lock().clone()
    }

    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// What is there now. An error if that cannot be listed.
    pub async fn look(&self) -> Result<Inventory> {
        let folders = self.list().await?;
        let mut inventory = Inventory::default();
        let (whole, partial): (Vec<_>, Vec<_>) =
            folders.into_iter().partition(|(_, folder)| folder.objects.contains_key(BlockMeta::FILE));
        for (block, folder) in partial {
            inventory.partial.insert(block, folder.partial());
        }
        let (total, mut told) = (whole.len(), self.clock.monotonic());
        let loads = whole.into_iter().map(|(block, folder)| self.load(block, folder));
        let mut loads = stream::iter(loads).buffer_unordered(FETCHES);
        let mut done = 0usize;
        while let Some((block, partial, loaded)) = loads.next().await {
            match loaded {
                Ok(listed) => {
                    self.note(&listed);
                    inventory.blocks.insert(block, listed);
                }
                // It was deleted since it was listed.
                Err(e) if *e.kind() == Kind::NotFound => {
                    inventory.partial.insert(block, partial);
                }
                Err(e) => {
                    inventory.broken.insert(block, e);
                }
            }
            done += 1;
            let now = self.clock.monotonic();
            if now.saturating_sub(told) >= TELL_EVERY {
                told = now;
                tracing::info!(bucket = self.bucket.name(), done, total, "meta.json files are being read");
            }
        }
        drop(loads);
        self.settle(&inventory);
        Ok(inventory)
    }

    async fn list(&self) -> Result<BTreeMap<Ulid, Folder>> {
        let mut folders: BTreeMap<Ulid, Folder> = BTreeMap::new();
        let mut entries = self.bucket.list("", Depth::All);
        while let Some(entry) = entries.try_next().await? {
            let Entry::Object { key, attributes } = entry else { continue };
            let Some((block, name)) = layout::block_of(&key) else { continue };
            let folder = folders.entry(block).or_default();
            folder.modified_ms = folder.modified_ms.max(attributes.modified_ms);
            if layout::is_data(name) {
                folder.objects.insert(name.to_owned(), attributes.size_bytes);
            } else if let Some(mark) = crate::marks::FILES.into_iter().find(|mark| *mark == name) {
                folder.marks.insert(mark);
            }
        }
        Ok(folders)
    }

    async fn load(&self, block: Ulid, folder: Folder) -> (Ulid, Partial, Result<Listed>) {
        let seen = self.seen.lock().get(&block).cloned();
        let partial = folder.partial();
        let load = async {
            let marked_ms = match &seen {
                _ if !folder.marks.contains(DeletionMark::FILE) => None,
                Some(Listed { marked_ms: Some(at), .. }) => Some(*at),
                _ => self.marked_ms(block).await?,
            };
            let (meta, objects) = match seen {
                // Objects of a block do not change, and neither does its `meta.json`.
                Some(seen) if *seen.objects == folder.objects => (seen.meta, seen.objects),
                Some(seen) => (seen.meta, Arc::new(folder.objects)),
                None => (Arc::new(self.meta(block).await?), Arc::new(folder.objects)),
            };
            Ok(Listed {
                meta,
                objects,
                marked_ms,
                no_compact: folder.marks.contains(NoCompactMark::FILE),
                no_downsample: folder.marks.contains(NoDownsampleMark::FILE),
            })
        };
        (block, partial, load.await)
    }

    async fn marked_ms(&self, block: Ulid) -> Result<Option<i64>> {
        match self.bucket.read_mark::<DeletionMark>(block).await {
            Ok(mark) => Ok(mark.map(|mark| mark.deletion_time_seconds.saturating_mul(1000))),
            Err(e) if matches!(e.kind(), Kind::Corrupt { .. }) => {
                tracing::warn!(%block, error = %e, "a deletion mark cannot be read: the block counts as not marked");
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    async fn meta(&self, block: Ulid) -> Result<BlockMeta> {
        let meta = self.bucket.read_meta(block).await?;
        if meta.ulid != block {
            return Err(Error::invalid(format!("its meta.json is that of block {}", meta.ulid)));
        }
        Ok(meta)
    }

    fn note(&self, listed: &Listed) {
        let Some(remembered) = &self.remembered else { return };
        let is_known = self.seen.lock().get(&listed.meta.ulid).is_some_and(|seen| seen.is_as(listed));
        if !is_known {
            remembered.lock().note(listed);
        }
    }

    fn settle(&self, inventory: &Inventory) {
        let mut seen = self.seen.lock();
        if let Some(remembered) = &self.remembered {
            let mut remembered = remembered.lock();
            let gone = seen.keys().filter(|block| !inventory.blocks.contains_key(block));
            gone.for_each(|block| remembered.note_gone(*block));
            remembered.settle(&inventory.blocks);
        }
        *seen = inventory.blocks.clone();
    }
}

impl Folder {
    fn partial(&self) -> Partial {
        Partial { modified_ms: self.modified_ms, is_marked: self.marks.contains(DeletionMark::FILE) }
    }
}
