//! One tenant: its state, its local blocks, and how both answer as one.

use crate::chunks::{ChunkFiles, HotChunks};
use crate::open::value_at;
use crate::ranges::Ranges;
use crate::select::HeadView;
use crate::state::{Cut, State};
use nilometer_block::{Block, BlockDir};
use nilometer_env::{Fs, Random};
use nilometer_model::{Error, Labels, Matcher, Result, Tenant, TimeRange, Value};
use nilometer_storage::{BoxFuture, Exemplars, LabelQuery, Merged, Names, Queryable, Select, SeriesStream};
use parking_lot::{Mutex, MutexGuard};
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

pub(crate) struct TenantHead {
    pub(crate) name: Tenant,
    /// Where its blocks lie.
    pub(crate) dir: BlockDir,
    inner: Mutex<Inner>,
}

pub(crate) struct Inner {
    pub(crate) state: State,
    pub(crate) blocks: Vec<Block>,
    /// Held by every reader that began since the last cut ended.
    readers: Arc<()>,
    /// Ended cuts, each with the readers from before, who still need what it took.
    leaving: Vec<(Cut, Weak<()>)>,
    /// Process time of the last request.
    pub(crate) last_write: Duration,
    /// Cuts that failed since one succeeded, and when another may be tried, in process time.
    pub(crate) failed_cuts: u32,
    pub(crate) no_cut_before: Duration,
    /// Memory is being changed; where nobody is at it, a panic has left it half changed.
    pub(crate) changing: bool,
    /// Of the label policy that the table of keys was filled under.
    pub(crate) policy_generation: u64,
}

impl TenantHead {
    pub(crate) fn open(
        name: Tenant,
        fs: &Arc<dyn Fs>,
        random: &Arc<dyn Random>,
        blocks_dir: &Path,
        hub_dir: &Path,
        ranges: Ranges,
    ) -> Result<Self> {
        let chunks_dir = hub_dir.join("tenants").join(name.as_str()).join("chunks");
        let files = ChunkFiles::open(fs.clone(), random.clone(), &chunks_dir)?;
        let dir = BlockDir::new(fs.clone(), blocks_dir.join(name.as_str()));
        let mut blocks = Vec::new();
        if fs.exists(dir.path()) {
            dir.clean()?;
            for ulid in dir.list()? {
                match dir.open(ulid) {
                    Ok(block) => blocks.push(block),
                    // One bad block does not stop the others.
                    Err(e) => {
                        tracing::error!(tenant = %name, block = %ulid, error = %e, "a local block cannot be read; move it away or restore it")
                    }
                }
            }
        }
        let inner = Inner {
            state: State::new(files, ranges),
            blocks,
            readers: Arc::new(()),
            leaving: Vec::new(),
            last_write: Duration::ZERO,
            failed_cuts: 0,
            no_cut_before: Duration::ZERO,
            changing: false,
            policy_generation: 0,
        };
        Ok(TenantHead { name, dir, inner: Mutex::new(inner) })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.inner.is_locked()
    }

    /// Without locking, while nobody else has it.
    pub(crate) fn lock_mut(&mut self) -> &mut Inner {
        self.inner.get_mut()
    }

    /// The local blocks that overlap a range, and the head's side of it, as of one moment.
    fn view(self: &Arc<Self>, hot: &Arc<HotChunks>, range: TimeRange) -> Vec<Arc<dyn Queryable>> {
        let inner = self.lock();
        let skip: Vec<Cut> = inner.leaving.iter().map(|(cut, _)| *cut).collect();
        let mut sources: Vec<Arc<dyn Queryable>> = Vec::new();
        for block in inner.blocks.iter().filter(|b| b.meta().range().overlaps(&range)) {
            sources.push(Arc::new(block.clone()));
        }
        sources.push(Arc::new(HeadView::new(self.clone(), inner.readers.clone(), skip, hot.clone())));
        sources
    }
}

impl Inner {
    /// A cut's block is visible: who reads from now on reads it there.
    pub(crate) fn end_cut(&mut self, cut: Cut, block: Option<Block>) {
        self.blocks.extend(block);
        self.state.end_cut(cut);
        let before = std::mem::replace(&mut self.readers, Arc::new(()));
        self.leaving.push((cut, Arc::downgrade(&before)));
    }

    /// Lets go of what ended cuts took, as soon as nobody reads it any more.
    pub(crate) fn drop_ended(&mut self) -> Result<bool> {
        // In order: who reads a later range from memory may read the ones before it too.
        let mut any = false;
        while let Some((cut, readers)) = self.leaving.first()
            && readers.strong_count() == 0
        {
            self.state.drop_cut(*cut)?;
            self.leaving.remove(0);
            any = true;
        }
        Ok(any)
    }

    /// Refuses to go on with what a panic left half changed: the log has all that was acknowledged.
    pub(crate) fn check_sound(&self, tenant: &Tenant) -> Result<()> {
        if !self.changing {
            return Ok(());
        }
        Err(Error::unavailable(format!(
            "a bug of this hub broke off a change to the memory of tenant {tenant}; its writes are refused until the \
             hub is started again, which brings back all that was acknowledged; please report the panic in the log"
        )))
    }
}

/// A tenant's head and local blocks as one holder of series, without external labels.
pub(crate) struct TenantView {
    pub(crate) head: Arc<TenantHead>,
    pub(crate) hot: Arc<HotChunks>,
}

impl Queryable for TenantView {
    fn select(&self, select: Select) -> SeriesStream {
        Merged::new(self.head.view(&self.hot, select.range)).select(select)
    }

    fn label_names(&self, query: LabelQuery) -> BoxFuture<Result<Names>> {
        Merged::new(self.head.view(&self.hot, query.range)).label_names(query)
    }

    fn label_values(&self, name: &str, query: LabelQuery) -> BoxFuture<Result<Names>> {
        Merged::new(self.head.view(&self.hot, query.range)).label_values(name, query)
    }

    fn exemplars(&self, matchers: Vec<Vec<Matcher>>, range: TimeRange) -> BoxFuture<Result<Exemplars>> {
        Merged::new(self.head.view(&self.hot, range)).exemplars(matchers, range)
    }
}

/// The value that some blocks have for a series at a time.
pub(crate) fn value_in_blocks(blocks: &[Block], labels: &Labels, t_ms: i64) -> Result<Option<Value>> {
    use futures::StreamExt;
    let at = TimeRange::new(t_ms, t_ms);
    let matchers: Vec<Matcher> = labels.iter().map(|(n, v)| Matcher::equal(n, v)).collect();
    for block in blocks.iter().filter(|b| b.meta().range().contains(t_ms)) {
        let mut batches = block.select(Select::new(matchers.clone(), at));
        // A block's stream is ready at once: it reads as it is polled.
        while let Some(batch) = futures::executor::block_on(batches.next()) {
            for series in batch?.series.into_iter().filter(|s| s.labels == *labels) {
                for chunk in series.chunks.read(&mut Vec::new()) {
                    if let Some(found) = value_at(&chunk.data, chunk.encoding, t_ms)? {
                        return Ok(Some(found));
                    }
                }
            }
        }
    }
    Ok(None)
}
