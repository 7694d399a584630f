//! The compactor: round after round it looks through the bucket, tidies it, and makes what is due.
//!
//! ```text
//! lease ─▶ look ─▶ tidy: mark what is over, delete what was marked long ago
//!            ▲       │
//!            └───────┴─▶ each group: one compaction; each block that is due: thinned out; again until nothing is
//! ```
//!
//! Whatever goes wrong with a group is that group's: it is left alone, with the reason to be seen, and others go on.

use super::lease::{Lease, Turn};
use super::log::DeletionLog;
use super::metrics::{ByMark, Metrics};
use super::progress::Board;
use super::status::{LeftOut, Quarantine, Status};
use super::stock::Stock;
use crate::lifecycle::{self, Action, Decision, Delays, Retention};
use crate::{Dedup, Planner};
use nilometer_bucket::marks::{DeletionMark, NoDownsampleMark, reason};
use nilometer_bucket::{Bucket, Inventory, Lookout};
use nilometer_env::{Clock, Fs, Random};
use nilometer_model::{BlockMeta, Error, Kind, Labels, Relabel, Result, Ulid};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OnceCell, watch};

const HOLDER_FILE: &str = "compactor-id";

#[derive(Clone, Debug)]
pub struct CompactorOptions {
    pub planner: Planner,
    pub delays: Delays,
    /// How samples of one time are merged.
    pub dedup: Dedup,
    /// Labels that tell replicas apart, which become one.
    pub replica_labels: Vec<String>,
    /// `--hash-func=SHA256`
    pub hash_files: bool,
    /// For blocks that are worked on, and the log of deletions. One compactor at a time has it.
    pub dir: PathBuf,
    /// How long a compactor that fell silent keeps others waiting.
    pub lease_term: Duration,
    /// What of it all is done.
    pub work: Work,
    /// Only blocks whose external labels pass; the label `__block_id` stands for the block's name.
    pub selector: Relabel,
}

/// The parts of a round. Who does only some of them leaves the others to whoever compacts the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Marks blocks of which others have everything.
    pub garbage: bool,
    /// Marks blocks that are older than what is kept.
    pub retention: bool,
    /// Deletes what was marked long ago, and uploads that were given up.
    pub clean: bool,
    pub compact: bool,
    pub downsample: bool,
}

impl Work {
    pub const NOTHING: Work =
        Work { garbage: false, retention: false, clean: false, compact: false, downsample: false };
}

impl Default for Work {
    fn default() -> Self {
        Work { garbage: true, retention: true, clean: true, compact: true, downsample: true }
    }
}

/// The outside world.
#[derive(Clone)]
pub struct Parts {
    pub fs: Arc<dyn Fs>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
}

/// What a round came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Round {
    Done,
    /// Another compactor works on the bucket.
    Waits {
        holder: String,
    },
}

pub struct Compactor {
    lookout: Arc<Lookout>,
    pub(crate) parts: Parts,
    pub(crate) options: CompactorOptions,
    /// As of now: it may change while the process runs.
    pub(crate) retention: Box<dyn Fn() -> Retention + Send + Sync>,
    log: DeletionLog,
    pub(crate) metrics: Metrics,
    lease: OnceCell<Lease>,
    holder: String,
    pub(crate) status: Board,
    pub(crate) quarantine: Mutex<Quarantine>,
    /// Blocks that are marked against compaction, as far as their marks were read.
    pub(crate) left_out: Mutex<BTreeMap<Ulid, LeftOut>>,
    /// Blocks that this process made.
    pub(crate) made: Mutex<BTreeSet<Ulid>>,
    /// Those there were when the lease became ours, or that were seen since.
    known: Mutex<Option<BTreeSet<Ulid>>>,
}

impl Compactor {
    pub fn open(
        lookout: Arc<Lookout>,
        parts: Parts,
        options: CompactorOptions,
        retention: impl Fn() -> Retention + Send + Sync + 'static,
        registry: &mut Registry,
    ) -> Result<Self> {
        let log = DeletionLog::open(&parts.fs, &options.dir)?;
        let metrics = Metrics::default();
        metrics.register(registry);
        let holder = holder(&parts, &options)?;
        let compactor = Compactor {
            lookout,
            parts,
            options,
            retention: Box::new(retention),
            log,
            metrics,
            lease: OnceCell::new(),
            holder,
            status: Board::default(),
            quarantine: Mutex::default(),
            left_out: Mutex::default(),
            made: Mutex::default(),
            known: Mutex::default(),
        };
        let left = compactor.work_dir();
        if compactor.parts.fs.exists(&left) {
            let removed = compactor.parts.fs.remove_dir_all(&left);
            removed.map_err(|e| Error::io(format!("removing {}", left.display()), e))?;
        }
        Ok(compactor)
    }

    pub(crate) fn bucket(&self) -> &Bucket {
        self.lookout.bucket()
    }

    pub(crate) fn work_dir(&self) -> PathBuf {
        self.options.dir.join("work")
    }

    pub fn status(&self) -> Status {
        self.status.get()
    }

    /// Until it is told to stop: a round every so often, at once where one was broken off by what passes.
    pub async fn run(&self, every: Duration, mut stopped: watch::Receiver<bool>) {
        loop {
            let round = tokio::select! {
                round = self.once() => round,
                _ = stopped.wait_for(|stop| *stop) => break,
            };
            let pause = match round {
                Ok(Round::Done) => every,
                Ok(Round::Waits { holder }) => {
                    tracing::info!(holder, "another compactor works on this bucket: this one waits");
                    self.options.lease_term / 3
                }
                Err(e) => {
                    tracing::error!(error = %e, "compaction was broken off and is tried again");
                    every.min(Duration::from_secs(60))
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                lost = self.keep_lease() => tracing::warn!(error = %lost, "the lease is gone"),
                _ = stopped.wait_for(|stop| *stop) => break,
            }
        }
        self.release().await;
    }

    /// Lets the next one begin at once.
    pub async fn release(&self) {
        if let Some(lease) = self.lease.get()
            && let Err(e) = lease.release().await
        {
            tracing::warn!(error = %e, "the compactor's lease was not given back: the next one waits for its end");
        }
    }

    /// One round, if the bucket is ours to work on.
    pub async fn once(&self) -> Result<Round> {
        let done = self.try_once().await;
        let holds = matches!(done, Ok(Round::Done));
        self.metrics.holds_lease.set(i64::from(holds));
        match &done {
            Ok(Round::Done) => self.metrics.iterations.inc(),
            Ok(Round::Waits { .. }) => 0,
            Err(_) => self.metrics.retries.inc(),
        };
        let now_ms = self.parts.clock.wall_ms();
        self.status.set(|status| {
            status.quarantined = self.quarantine.lock().list();
            status.left_out = self.left_out.lock().values().cloned().collect();
            status.error = done.as_ref().err().map(ToString::to_string);
            status.waits_for = None;
            match &done {
                Ok(Round::Done) => status.last_round_ms = Some(now_ms),
                Ok(Round::Waits { holder }) => status.waits_for = Some(holder.clone()),
                Err(_) => {}
            }
        });
        done
    }

    async fn try_once(&self) -> Result<Round> {
        let lease = self.lease.get_or_try_init(|| self.make_lease()).await?;
        if let Turn::Others { holder } = lease.take().await? {
            self.forget();
            return Ok(Round::Waits { holder });
        }
        tokio::select! {
            done = self.round() => done.map(|()| Round::Done),
            lost = lease.keep() => {
                self.forget();
                Err(lost)
            }
        }
    }

    /// What is wrong with the bucket is for whoever works on it to say.
    fn forget(&self) {
        *self.known.lock() = None;
        *self.quarantine.lock() = Quarantine::default();
        self.left_out.lock().clear();
        self.status.set(|status| status.broken.clear());
        self.count_quarantined();
        self.metrics.left_out.set(0);
        self.metrics.broken.set(0);
    }

    async fn make_lease(&self) -> Result<Lease> {
        let probe = self.bucket().probe().await?;
        let is_conditional = probe.conditional_create && probe.conditional_update;
        if !is_conditional {
            tracing::warn!(
                bucket = self.bucket().name(),
                "this store has no conditional writes: that no second compactor works on it is only detected by its \
                 heartbeat. Run one compactor for each bucket"
            );
        }
        let (clock, term) = (self.parts.clock.clone(), self.options.lease_term);
        Ok(Lease::new(self.bucket().clone(), clock, self.holder.clone(), term, is_conditional))
    }

    pub(crate) async fn check_lease(&self) -> Result<()> {
        match self.lease.get() {
            Some(lease) => lease.check().await,
            None => Err(Error::canceled("the compactor has no lease")),
        }
    }

    async fn keep_lease(&self) -> Error {
        match self.lease.get() {
            Some(lease) => lease.keep().await,
            None => std::future::pending().await,
        }
    }

    async fn round(&self) -> Result<()> {
        let mut inventory = self.lookout.look().await?;
        inventory.check_whole()?;
        self.note_broken(&inventory);
        self.note_left_out(&inventory).await?;
        self.note_foreign(&inventory);
        inventory.blocks.retain(|_, listed| self.is_selected(&listed.meta));
        let deleting = self.deleting(&inventory).await?;
        let mut stock = Stock::new(inventory, deleting);
        let mut failed = BTreeSet::new();
        loop {
            let held = self.tidy(&mut stock).await?;
            self.tell_todo(&stock, &held);
            let work = self.options.work;
            if work.compact && work.downsample && self.thin_out_rest(&mut stock, &mut failed).await? {
                continue;
            }
            if work.compact && self.compact_groups(&mut stock, &mut failed).await? {
                continue;
            }
            // Blocks are merged first: aggregates of blocks that overlap cannot be merged any more.
            if !work.downsample || !self.thin_out_all(&mut stock, &held, &mut failed).await? {
                return Ok(());
            }
        }
    }

    fn is_selected(&self, meta: &BlockMeta) -> bool {
        let labels = meta.thanos.iter().flat_map(|t| &t.labels).map(|(n, v)| (n.as_str(), v.as_str()));
        let name = meta.ulid.to_string();
        let all = || Labels::from_pairs(labels.chain([("__block_id", name.as_str())]));
        let rules = &self.options.selector;
        rules.is_empty() || rules.apply(&all()).is_some()
    }

    /// When those were marked that are being deleted already.
    async fn deleting(&self, inventory: &Inventory) -> Result<BTreeMap<Ulid, i64>> {
        let mut marked = BTreeMap::new();
        for (block, _) in inventory.partial.iter().filter(|(_, partial)| partial.is_marked) {
            if let Some(mark) = self.bucket().read_mark::<DeletionMark>(*block).await? {
                marked.insert(*block, mark.deletion_time_seconds);
            }
        }
        Ok(marked)
    }

    /// Marks what is over and deletes what was marked long ago. Says what would go, if it were thinned out.
    async fn tidy(&self, stock: &mut Stock) -> Result<BTreeSet<Ulid>> {
        let (now_ms, delays) = (self.parts.clock.wall_ms(), &self.options.delays);
        let live = stock.live(delays, now_ms);
        let garbage = lifecycle::garbage(live.iter().copied(), &stock.marks, &self.options.replica_labels);
        let outdated: BTreeSet<Ulid> = garbage.iter().map(|d| d.ulid).collect();
        let rest = live.iter().copied().filter(|m| !outdated.contains(&m.ulid));
        let over = (self.retention)().decide(rest, &stock.marks, now_ms);
        let held = Retention::held(&over);
        let work = self.options.work;
        for decision in garbage.into_iter().filter(|_| work.garbage) {
            self.metrics.garbage.inc();
            self.mark_for_deletion(stock, decision.ulid, &decision.reason, "outdated").await?;
        }
        for decision in over.iter().filter(|d| work.retention && d.action == Action::MarkForDeletion) {
            self.mark_for_deletion(stock, decision.ulid, &decision.reason, "retention").await?;
        }
        if !work.clean {
            return Ok(held);
        }
        let aborted = lifecycle::aborted_uploads(&stock.partial, &stock.marks, now_ms);
        self.metrics.aborted_uploads.inc_by(aborted.len() as u64);
        for decision in delays.deletions(&stock.marks, now_ms).into_iter().chain(aborted) {
            match self.delete(stock, &decision, now_ms).await {
                Err(e) if *e.kind() == Kind::Canceled => return Err(e),
                Err(e) => {
                    self.metrics.cleanup_failures.inc();
                    tracing::error!(block = %decision.ulid, error = %e, "a block could not be deleted, and is tried again");
                }
                Ok(()) => {
                    self.metrics.cleaned.inc();
                }
            }
        }
        Ok(held)
    }

    async fn delete(&self, stock: &mut Stock, decision: &Decision, now_ms: i64) -> Result<()> {
        self.check_lease().await?;
        let meta = stock.get(decision.ulid).map(|listed| listed.meta.clone());
        self.log.write(decision, meta.as_deref(), now_ms)?;
        self.bucket().remove_block(decision.ulid).await?;
        stock.remove(decision.ulid);
        Ok(())
    }

    pub(crate) async fn mark_for_deletion(
        &self,
        stock: &mut Stock,
        block: Ulid,
        reason: &str,
        kind: &'static str,
    ) -> Result<()> {
        self.check_lease().await?;
        let now_ms = self.parts.clock.wall_ms();
        let decision = Decision { ulid: block, action: Action::MarkForDeletion, reason: reason.to_owned() };
        let meta = stock.get(block).map(|listed| listed.meta.clone());
        self.log.write(&decision, meta.as_deref(), now_ms)?;
        self.bucket().mark(&DeletionMark::new(block, reason, now_ms)).await?;
        self.metrics.marked.get_or_create(&ByMark { marker: "deletion-mark.json", reason: kind }).inc();
        stock.mark(block, now_ms);
        Ok(())
    }

    pub(crate) async fn mark_no_downsample(
        &self,
        stock: &mut Stock,
        block: Ulid,
        details: &str,
    ) -> Result<()> {
        self.check_lease().await?;
        let mark = NoDownsampleMark::new(block, reason::MANUAL, details, self.parts.clock.wall_ms());
        self.bucket().mark(&mark).await?;
        self.metrics
            .marked
            .get_or_create(&ByMark { marker: "no-downsample-mark.json", reason: "empty" })
            .inc();
        stock.marks.no_downsample.insert(block);
        Ok(())
    }

    /// While the lease is ours nobody else makes such blocks.
    fn note_foreign(&self, inventory: &Inventory) {
        let is_made = |meta: &BlockMeta| meta.thanos.as_ref().is_some_and(|t| t.source == "compactor");
        let made =
            inventory.blocks.values().map(|l| &l.meta).filter(|meta| is_made(meta)).map(|meta| meta.ulid);
        let now: BTreeSet<Ulid> = made.collect();
        let mut known = self.known.lock();
        if let Some(before) = &*known {
            let own = self.made.lock();
            for block in now.iter().filter(|block| !before.contains(block) && !own.contains(block)) {
                self.metrics.foreign.inc();
                tracing::error!(%block, "another program compacts this bucket: stop it, or give one of the two another bucket");
            }
        }
        *known = Some(now);
    }

    pub(crate) fn new_ulid(&self) -> Ulid {
        let mut random = [0; 10];
        self.parts.random.fill(&mut random);
        Ulid::new(self.parts.clock.wall_ms().max(0) as u64, random)
    }
}

/// Who this is, in the lease; kept in the data directory.
fn holder(parts: &Parts, options: &CompactorOptions) -> Result<String> {
    let path = options.dir.join(HOLDER_FILE);
    let kept = parts.fs.read(&path).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let is_name = |name: &String| {
        !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    if let Some(kept) = kept.filter(is_name) {
        return Ok(kept);
    }
    let new = format!("{:016x}", parts.random.u64());
    let written = parts.fs.write_atomic(&path, new.as_bytes());
    written.map_err(|e| Error::io(format!("writing {}", path.display()), e))?;
    Ok(new)
}
