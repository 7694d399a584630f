//! Which blocks a bucket has, and queries over them.

use crate::metrics::Metrics;
use crate::pages::Pages;
use crate::pick::{Candidate, pick};
use crate::remote::{Objects, RemoteFs, Store, is_data};
use crate::supply::RemoteBlock;
use futures::{StreamExt, TryStreamExt, stream};
use nilometer_block::Block;
use nilometer_bucket::marks::DeletionMark;
use nilometer_bucket::{Bucket, Depth, Entry, layout};
use nilometer_env::{Clock, Fs};
use nilometer_model::{BlockMeta, Error, Kind, Labels, Result, TimeRange, Ulid};
use nilometer_storage::{
    BoxFuture, LabelQuery, Merged, Names, Partial, Queryable, Select, SeriesBatch, SeriesStream,
    WithExternalLabels,
};
use parking_lot::RwLock;
use prometheus_client::registry::Registry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Times in milliseconds, sizes in bytes.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// Blocks that have nothing in it are not loaded: `--min-time`, `--max-time`.
    pub range: TimeRange,
    /// `--ignore-deletion-marks-delay`: so long a block that is marked for deletion still answers, since what
    /// replaces it may not be seen yet.
    pub ignore_deletion_marks_delay_ms: i64,
    /// Pages of blocks in memory.
    pub cache_bytes: u64,
    /// `meta.json` files that were read before, by block.
    pub meta_dir: PathBuf,
    /// Blocks that are read at the same time: `--store.grpc.series-max-concurrency`.
    pub max_concurrent: usize,
}

const NOT_KNOWN: &str = "the bucket was not looked through yet: what is only there is missing";

/// `meta.json` files that are fetched at the same time, as in Thanos.
const META_FETCHES: usize = 32;

/// The outside world. Requests and waiting threads are `runtime`'s.
#[derive(Clone)]
pub struct Parts {
    pub fs: Arc<dyn Fs>,
    pub clock: Arc<dyn Clock>,
    pub runtime: Handle,
}

/// Blocks of a bucket, as of the last [`Gateway::sync`].
pub struct Gateway {
    store: Arc<Store>,
    parts: Parts,
    options: GatewayOptions,
    places: Arc<Semaphore>,
    metrics: Metrics,
    blocks: RwLock<Blocks>,
}

#[derive(Default)]
struct Blocks {
    known: BTreeMap<Ulid, Arc<Known>>,
    /// The same by external labels.
    streams: BTreeMap<Labels, Vec<Arc<Known>>>,
    /// What the process has as local blocks, too.
    local: BTreeSet<Ulid>,
    /// The bucket was looked through at least once.
    are_known: bool,
}

impl Blocks {
    /// Those of some streams and times that have something which no local block has.
    fn wanted<'a>(
        &'a self,
        which: &'a Which,
        range: TimeRange,
    ) -> impl Iterator<Item = (&'a Labels, Vec<&'a Arc<Known>>)> {
        let streams: Box<dyn Iterator<Item = (&Labels, &Vec<Arc<Known>>)>> = match which {
            Which::One(external) => Box::new(self.streams.get_key_value(external).into_iter()),
            Which::Those(are_wanted) => {
                Box::new(self.streams.iter().filter(|(external, _)| are_wanted(external)))
            }
        };
        let is_far = move |known: &&Arc<Known>| {
            let meta = known.remote.block.meta();
            let sources = &meta.compaction.sources;
            let is_local = !sources.is_empty() && sources.iter().all(|source| self.local.contains(source));
            meta.range().overlaps(&range) && !is_local
        };
        streams.map(move |(external, blocks)| (external, blocks.iter().filter(is_far).collect()))
    }

    fn set(&mut self, known: BTreeMap<Ulid, Arc<Known>>) {
        self.streams.clear();
        for block in known.values() {
            self.streams.entry(block.external.clone()).or_default().push(block.clone());
        }
        (self.known, self.are_known) = (known, true);
    }
}

/// Blocks of one stream have the same external labels.
enum Which {
    One(Labels),
    Those(Box<dyn Fn(&Labels) -> bool + Send + Sync>),
}

/// A block whose `meta.json` was read.
struct Known {
    remote: RemoteBlock,
    external: Labels,
    /// When it was marked for deletion.
    marked_ms: Option<i64>,
}

/// What a look through the bucket found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// Blocks that answer.
    pub loaded: usize,
    /// Those without `meta.json`: still being uploaded, or being deleted.
    pub partial: usize,
    /// Those whose `meta.json` cannot be read.
    pub failed: usize,
    /// Those that are marked for deletion, and left alone by now.
    pub marked: usize,
}

/// A listing, by block.
#[derive(Default)]
struct Listed {
    objects: Objects,
    is_marked: bool,
}

impl Gateway {
    pub fn new(bucket: Bucket, parts: Parts, options: GatewayOptions, registry: &mut Registry) -> Self {
        let metrics = Metrics::default();
        metrics.register(registry);
        let (pages, runtime) = (Pages::new(options.cache_bytes), parts.runtime.clone());
        let places = Arc::new(Semaphore::new(options.max_concurrent));
        let store = Arc::new(Store { bucket, pages, runtime });
        Gateway { store, parts, options, places, metrics, blocks: RwLock::default() }
    }

    /// Looks through the bucket: new blocks answer from now on, those that are gone do not. After an error all is as
    /// before.
    pub async fn sync(&self) -> Result<Synced> {
        self.metrics.syncs.inc();
        let synced = self.look_through().await;
        if synced.is_err() {
            self.metrics.sync_failures.inc();
        }
        synced
    }

    async fn look_through(&self) -> Result<Synced> {
        let listed = self.list().await?;
        let mut synced = Synced::default();
        let (whole, partial): (Vec<_>, Vec<_>) =
            listed.into_iter().partition(|(_, listed)| listed.objects.contains_key(BlockMeta::FILE));
        synced.partial = partial.len();
        let loads = whole.into_iter().map(|(block, listed)| self.load(block, listed));
        let loaded: Vec<_> = stream::iter(loads).buffer_unordered(META_FETCHES).collect().await;
        let mut blocks = BTreeMap::new();
        for (block, known) in loaded {
            match known {
                Ok(known) => {
                    blocks.insert(block, known);
                }
                // It was deleted since it was listed.
                Err(e) if *e.kind() == Kind::NotFound => synced.partial += 1,
                Err(e) => {
                    synced.failed += 1;
                    self.metrics.load_failures.inc();
                    tracing::warn!(%block, error = %e, "a block of the bucket is left out");
                }
            }
        }
        let all: BTreeSet<Ulid> = blocks.keys().copied().collect();
        let now_ms = self.parts.clock.wall_ms();
        let is_live = |known: &Known| {
            known.marked_ms.is_none_or(|at| now_ms - at < self.options.ignore_deletion_marks_delay_ms)
        };
        let in_range = |known: &Known| known.remote.block.meta().range().overlaps(&self.options.range);
        blocks.retain(|_, known| in_range(known));
        let before = blocks.len();
        blocks.retain(|_, known| is_live(known));
        (synced.loaded, synced.marked) = (blocks.len(), before - blocks.len());
        self.blocks.write().set(blocks);
        self.forget_metas(&all);
        self.report(synced);
        Ok(synced)
    }

    fn report(&self, synced: Synced) {
        self.metrics.set_state("loaded", synced.loaded);
        self.metrics.set_state("no-meta-json", synced.partial);
        self.metrics.set_state("failed", synced.failed);
        self.metrics.set_state("marked-for-deletion", synced.marked);
        self.metrics.blocks.set(synced.loaded as i64);
        self.metrics.cache_bytes.set(self.cached_bytes() as i64);
    }

    async fn list(&self) -> Result<BTreeMap<Ulid, Listed>> {
        let mut listed: BTreeMap<Ulid, Listed> = BTreeMap::new();
        let mut entries = self.store.bucket.list("", Depth::All);
        while let Some(entry) = entries.try_next().await? {
            let Entry::Object { key, attributes } = entry else { continue };
            let Some((block, name)) = layout::block_of(&key) else { continue };
            let of_block = listed.entry(block).or_default();
            if is_data(name) {
                of_block.objects.insert(name.to_owned(), attributes.size_bytes);
            }
            of_block.is_marked |= key == nilometer_bucket::marks::mark_key::<DeletionMark>(block);
        }
        Ok(listed)
    }

    async fn load(&self, block: Ulid, listed: Listed) -> (Ulid, Result<Arc<Known>>) {
        let known = self.blocks.read().known.get(&block).cloned();
        let loaded = async {
            let marked_ms = match &known {
                Some(known) if known.marked_ms.is_some() || !listed.is_marked => known.marked_ms,
                _ if listed.is_marked => self.marked_ms(block).await?,
                _ => None,
            };
            let remote = match known {
                Some(known) if known.marked_ms == marked_ms => return Ok(known),
                Some(known) => known.remote.clone(),
                None => self.remote(self.meta(block).await?, listed.objects),
            };
            Ok(Arc::new(Known { external: remote.block.external_labels(), remote, marked_ms }))
        };
        (block, loaded.await)
    }

    async fn marked_ms(&self, block: Ulid) -> Result<Option<i64>> {
        let mark = self.store.bucket.read_mark::<DeletionMark>(block).await?;
        Ok(mark.map(|mark| mark.deletion_time_seconds.saturating_mul(1000)))
    }

    /// From the folder of those that were read before, or from the bucket.
    async fn meta(&self, block: Ulid) -> Result<BlockMeta> {
        let path = self.options.meta_dir.join(block.to_string()).join(BlockMeta::FILE);
        let kept = self.parts.fs.read(&path).ok().and_then(|json| BlockMeta::from_json(&json).ok());
        if let Some(kept) = kept.filter(|meta| meta.ulid == block) {
            return Ok(kept);
        }
        let meta = self.store.bucket.read_meta(block).await?;
        if meta.ulid != block {
            return Err(Error::invalid(format!("its meta.json is that of block {}", meta.ulid)));
        }
        let kept = path.parent().map_or(Ok(()), |dir| self.parts.fs.create_dir_all(dir));
        if let Err(e) = kept.and_then(|()| self.parts.fs.write_atomic(&path, &meta.to_json())) {
            tracing::warn!(path = %path.display(), error = %e, "a meta.json cannot be kept; it is fetched again at the next start");
        }
        Ok(meta)
    }

    fn forget_metas(&self, all: &BTreeSet<Ulid>) {
        for entry in self.parts.fs.read_dir(&self.options.meta_dir).unwrap_or_default() {
            if entry.name.parse::<Ulid>().is_ok_and(|block| !all.contains(&block)) {
                let _ = self.parts.fs.remove_dir_all(&self.options.meta_dir.join(&entry.name));
            }
        }
    }

    fn remote(&self, meta: BlockMeta, objects: Objects) -> RemoteBlock {
        let (block, store) = (meta.ulid, self.store.clone());
        let fs = Arc::new(RemoteFs { store: store.clone(), block, objects });
        RemoteBlock {
            block: Block::with_meta(fs, block.to_string(), meta),
            store,
            places: self.places.clone(),
            metrics: self.metrics.clone(),
        }
    }

    /// What each block says of itself, oldest first.
    pub fn metas(&self) -> Vec<BlockMeta> {
        self.blocks.read().known.values().map(|known| known.remote.block.meta().clone()).collect()
    }

    /// Says which blocks are read elsewhere, so that what was made of these alone is not read here.
    pub fn set_local(&self, local: BTreeSet<Ulid>) {
        self.blocks.write().local = local;
    }

    /// Of some local blocks those whose samples are in the bucket, as of the last sync: in a downsampled block they
    /// are not.
    pub fn having(&self, local: &[Ulid]) -> Vec<Ulid> {
        if local.is_empty() {
            return Vec::new();
        }
        let blocks = self.blocks.read();
        let metas = blocks.known.values().map(|known| known.remote.block.meta());
        let raw = metas.filter(|meta| meta.resolution_ms() == 0);
        let sources: BTreeSet<&Ulid> = raw.flat_map(|meta| &meta.compaction.sources).collect();
        local.iter().filter(|block| sources.contains(block)).copied().collect()
    }

    /// Memory of what was read of blocks.
    pub fn cached_bytes(&self) -> usize {
        self.store.pages.bytes() as usize
    }

    /// Gives back memory of blocks that nobody asked for since the call before. To be called every few minutes.
    pub fn close_unused(&self) {
        let blocks: Vec<_> = self.blocks.read().known.values().cloned().collect();
        blocks.iter().for_each(|known| known.remote.block.close_if_unused());
    }

    /// The blocks with these external labels, as one holder of series.
    pub fn stream(self: &Arc<Self>, external: Labels) -> View {
        View { gateway: self.clone(), which: Which::One(external) }
    }

    /// All blocks whose external labels `are_wanted`, as one holder of series.
    pub fn streams(self: &Arc<Self>, are_wanted: impl Fn(&Labels) -> bool + Send + Sync + 'static) -> View {
        View { gateway: self.clone(), which: Which::Those(Box::new(are_wanted)) }
    }
}

/// Some blocks of a gateway.
pub struct View {
    gateway: Arc<Gateway>,
    which: Which,
}

impl Partial for View {
    fn has(&self, range: TimeRange) -> bool {
        let blocks = self.gateway.blocks.read();
        !blocks.are_known || blocks.wanted(&self.which, range).any(|(_, blocks)| !blocks.is_empty())
    }
}

impl View {
    fn sources(&self, range: TimeRange, max_resolution_ms: i64) -> Merged {
        let candidate = |known: &&Arc<Known>| Candidate {
            range: known.remote.block.meta().range(),
            resolution_ms: known.remote.block.meta().resolution_ms(),
        };
        let mut sources: Vec<Arc<dyn Queryable>> = Vec::new();
        for (external, blocks) in self.gateway.blocks.read().wanted(&self.which, range) {
            let candidates: Vec<_> = blocks.iter().map(candidate).collect();
            let picked = pick(&candidates, range, max_resolution_ms);
            let of_stream =
                picked.into_iter().map(|i| Arc::new(blocks[i].remote.clone()) as Arc<dyn Queryable>);
            let merged = Arc::new(Merged::new(of_stream.collect()));
            sources.push(Arc::new(WithExternalLabels::new(merged, external.clone())));
        }
        Merged::new(sources)
    }
}

impl Queryable for View {
    fn select(&self, select: Select) -> SeriesStream {
        if !self.gateway.blocks.read().are_known {
            let warnings = vec![NOT_KNOWN.to_owned()];
            return stream::iter([Ok(SeriesBatch { warnings, ..SeriesBatch::default() })]).boxed();
        }
        self.sources(select.range, select.hints.max_resolution_ms).select(select)
    }

    fn label_names(&self, query: LabelQuery) -> BoxFuture<Result<Names>> {
        self.sources(query.range, i64::MAX).label_names(query)
    }

    fn label_values(&self, name: &str, query: LabelQuery) -> BoxFuture<Result<Names>> {
        self.sources(query.range, i64::MAX).label_values(name, query)
    }
}
