//! Which blocks a bucket has, and queries over them.

use crate::disk::DiskPages;
use crate::metrics::Metrics;
use crate::pages::Pages;
use crate::partition::Partition;
use crate::pick::{Candidate, Wish, pick};
use crate::remote::{RemoteFs, Store};
use crate::supply::RemoteBlock;
use futures::{StreamExt, stream};
use nilometer_block::Block;
use nilometer_bucket::{Listed, Lookout, Objects};
use nilometer_env::{Clock, Fs};
use nilometer_model::{BlockMeta, Labels, Result, TimeRange, Ulid};
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
    /// Other blocks are not loaded.
    pub partition: Partition,
    /// `--ignore-deletion-marks-delay`: so long a block that is marked for deletion still answers, since what
    /// replaces it may not be seen yet.
    pub ignore_deletion_marks_delay_ms: i64,
    /// Pages of blocks in memory.
    pub cache_bytes: u64,
    /// More of them on a disk. What a bucket that is a folder has is read where it is.
    pub disk_cache: Option<DiskCache>,
    /// Blocks that are read at the same time: `--store.grpc.series-max-concurrency`.
    pub max_concurrent: usize,
}

#[derive(Clone, Debug)]
pub struct DiskCache {
    /// For nothing else.
    pub dir: PathBuf,
    pub bytes: u64,
}

const NOT_KNOWN: &str = "the bucket was not looked through yet: what is only there is missing";
const AS_REMEMBERED: &str = "the bucket was not looked through since the start: blocks that came to it or left it meanwhile are not known yet";

/// The outside world. Requests and waiting threads are `runtime`'s.
#[derive(Clone)]
pub struct Parts {
    pub clock: Arc<dyn Clock>,
    pub fs: Arc<dyn Fs>,
    pub runtime: Handle,
}

/// Blocks of a bucket, as of the last [`Gateway::sync`].
pub struct Gateway {
    lookout: Arc<Lookout>,
    pub(crate) store: Arc<Store>,
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
    /// Those of some streams and times.
    fn of_streams<'a>(
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
        let overlaps = move |known: &&Arc<Known>| known.remote.block.meta().range().overlaps(&range);
        streams.map(move |(external, blocks)| (external, blocks.iter().filter(overlaps).collect()))
    }

    /// Whether it has something that no local block has.
    fn is_far(&self, known: &Known) -> bool {
        let sources = &known.remote.block.meta().compaction.sources;
        sources.is_empty() || !sources.iter().all(|source| self.local.contains(source))
    }

    fn set(&mut self, known: BTreeMap<Ulid, Arc<Known>>) {
        self.streams.clear();
        for block in known.values() {
            self.streams.entry(block.external.clone()).or_default().push(block.clone());
        }
        self.known = known;
    }

    /// What is to be said of all answers.
    fn warning(&self) -> Option<&'static str> {
        match self.are_known {
            true => None,
            false if self.known.is_empty() => Some(NOT_KNOWN),
            false => Some(AS_REMEMBERED),
        }
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
    objects: Arc<Objects>,
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

impl Gateway {
    pub fn new(
        lookout: Arc<Lookout>,
        parts: Parts,
        options: GatewayOptions,
        registry: &mut Registry,
    ) -> Self {
        let metrics = Metrics::default();
        metrics.register(registry);
        let is_far = lookout.bucket().local_block(Ulid::default()).is_none();
        let disk = options.disk_cache.as_ref().filter(|_| is_far).and_then(|on| open_disk(&parts.fs, on));
        let pages = Pages::new(options.cache_bytes, disk, metrics.clone());
        let runtime = parts.runtime.clone();
        let places = Arc::new(Semaphore::new(options.max_concurrent));
        let store = Arc::new(Store { bucket: lookout.bucket().clone(), pages, runtime });
        let gateway = Gateway { lookout, store, parts, options, places, metrics, blocks: RwLock::default() };
        let (remembered, _) = gateway.take(gateway.lookout.seen());
        gateway.blocks.write().set(remembered);
        gateway
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
        let inventory = self.lookout.look().await?;
        let mut synced =
            Synced { partial: inventory.partial.len(), failed: inventory.broken.len(), ..Synced::default() };
        for (block, e) in &inventory.broken {
            self.metrics.load_failures.inc();
            tracing::warn!(%block, error = %e, "a block of the bucket is left out");
        }
        let (blocks, marked) = self.take(inventory.blocks);
        (synced.loaded, synced.marked) = (blocks.len(), marked);
        let mut known = self.blocks.write();
        known.set(blocks);
        known.are_known = true;
        drop(known);
        self.report(synced);
        Ok(synced)
    }

    /// Those that are to answer, and how many do not any more.
    fn take(&self, listed: BTreeMap<Ulid, Listed>) -> (BTreeMap<Ulid, Arc<Known>>, usize) {
        let now_ms = self.parts.clock.wall_ms();
        let before = self.blocks.read().known.clone();
        let (mut blocks, mut marked) = (BTreeMap::new(), 0);
        for (block, listed) in listed {
            if !self.options.partition.has(&listed.meta, now_ms) {
                continue;
            }
            if listed.marked_ms.is_some_and(|at| now_ms - at >= self.options.ignore_deletion_marks_delay_ms) {
                marked += 1;
                continue;
            }
            let known = match before.get(&block) {
                Some(known) if known.objects == listed.objects => known.clone(),
                Some(_) => {
                    self.store.pages.forget(block);
                    Arc::new(self.known(&listed))
                }
                None => Arc::new(self.known(&listed)),
            };
            blocks.insert(block, known);
        }
        (blocks, marked)
    }

    fn report(&self, synced: Synced) {
        self.metrics.set_state("loaded", synced.loaded);
        self.metrics.set_state("no-meta-json", synced.partial);
        self.metrics.set_state("failed", synced.failed);
        self.metrics.set_state("marked-for-deletion", synced.marked);
        self.metrics.blocks.set(synced.loaded as i64);
        self.report_caches();
    }

    fn report_caches(&self) {
        self.metrics.cache_bytes.set(self.cached_bytes() as i64);
        if let Some(disk) = self.store.pages.disk() {
            self.metrics.disk_cache_bytes.set(disk.bytes() as i64);
            self.metrics.disk_cache_errors.set(disk.errors() as i64);
        }
    }

    fn known(&self, listed: &Listed) -> Known {
        let (block, store) = (listed.meta.ulid, self.store.clone());
        let (fs, path) = self.lookout.bucket().local_block(block).unwrap_or_else(|| {
            let fs = RemoteFs { store: store.clone(), block, objects: listed.objects.clone() };
            (Arc::new(fs), block.to_string().into())
        });
        let remote = RemoteBlock {
            block: Block::with_meta(fs, path, listed.meta.clone()),
            store,
            places: self.places.clone(),
            metrics: self.metrics.clone(),
        };
        Known { external: remote.block.external_labels(), remote, objects: listed.objects.clone() }
    }

    /// What each block says of itself, oldest first.
    pub fn metas(&self) -> Vec<BlockMeta> {
        self.blocks.read().known.values().map(|known| known.remote.block.meta().clone()).collect()
    }

    /// The external labels that blocks have, with the times from the first to the last of them.
    pub fn held(&self) -> Vec<(Labels, TimeRange)> {
        let range = |blocks: &[Arc<Known>]| {
            let ranges = || blocks.iter().map(|known| known.remote.block.meta().range());
            let (min_ms, max_ms) = (ranges().map(|r| r.min_ms).min()?, ranges().map(|r| r.max_ms).max()?);
            Some(TimeRange::new(min_ms, max_ms))
        };
        let blocks = self.blocks.read();
        let streams = blocks.streams.iter();
        streams.filter_map(|(labels, blocks)| Some((labels.clone(), range(blocks)?))).collect()
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

    /// How many blocks answer.
    pub fn len(&self) -> usize {
        self.blocks.read().known.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory of what was read of blocks.
    pub fn cached_bytes(&self) -> usize {
        self.store.pages.bytes() as usize
    }

    /// Gives back memory of blocks that nobody asked for since the call before. To be called every few minutes.
    pub fn close_unused(&self) {
        let blocks: Vec<_> = self.blocks.read().known.values().cloned().collect();
        blocks.iter().for_each(|known| known.remote.block.close_if_unused());
        self.report_caches();
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

fn open_disk(fs: &Arc<dyn Fs>, at: &DiskCache) -> Option<DiskPages> {
    let opened = DiskPages::open(fs.clone(), &at.dir, at.bytes);
    opened
        .inspect_err(|e| {
            tracing::warn!(dir = %at.dir.display(), error = %e, "pages of blocks are kept in memory only; each process needs a folder of its own for those on disk");
        })
        .ok()
}

/// Some blocks of a gateway.
pub struct View {
    gateway: Arc<Gateway>,
    which: Which,
}

impl Partial for View {
    fn has(&self, range: TimeRange) -> bool {
        let blocks = self.gateway.blocks.read();
        let is_far = |known: &Arc<Known>| blocks.is_far(known);
        let mut streams = blocks.of_streams(&self.which, range);
        !blocks.are_known || streams.any(|(_, of_stream)| of_stream.into_iter().any(is_far))
    }
}

impl View {
    fn sources(&self, range: TimeRange, wish: Wish) -> Merged {
        let candidate = |known: &&Arc<Known>| Candidate {
            range: known.remote.block.meta().range(),
            resolution_ms: known.remote.block.meta().resolution_ms(),
        };
        let (mut sources, reach): (Vec<Arc<dyn Queryable>>, _) = (Vec::new(), wish.reach(range));
        let known = self.gateway.blocks.read();
        for (external, blocks) in known.of_streams(&self.which, reach) {
            let candidates: Vec<_> = blocks.iter().map(candidate).collect();
            let picked = pick(&candidates, reach, wish).into_iter().filter(|i| {
                let has_any = candidates[*i].resolution_ms > 0 || candidates[*i].range.overlaps(&range);
                // What is local leaves no gap, and is read there.
                has_any && known.is_far(blocks[*i])
            });
            let of_stream: Vec<_> =
                picked.map(|i| Arc::new(blocks[i].remote.clone()) as Arc<dyn Queryable>).collect();
            if of_stream.is_empty() {
                continue;
            }
            let merged = Arc::new(Merged::new(of_stream));
            sources.push(Arc::new(WithExternalLabels::new(merged, external.clone())));
        }
        Merged::new(sources)
    }
}

impl Queryable for View {
    fn select(&self, select: Select) -> SeriesStream {
        let warning = self.gateway.blocks.read().warning();
        let series = self.sources(select.range, Wish::of(&select.hints)).select(select);
        let Some(warning) = warning else { return series };
        let warnings = vec![warning.to_owned()];
        stream::iter([Ok(SeriesBatch { warnings, ..SeriesBatch::default() })]).chain(series).boxed()
    }

    fn label_names(&self, query: LabelQuery) -> BoxFuture<Result<Names>> {
        self.sources(query.range, Wish::ANY).label_names(query)
    }

    fn label_values(&self, name: &str, query: LabelQuery) -> BoxFuture<Result<Names>> {
        self.sources(query.range, Wish::ANY).label_values(name, query)
    }
}
