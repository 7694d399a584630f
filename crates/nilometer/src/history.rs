//! What lies in object storage: local blocks go there, queries come from there, and what is safe there leaves here.
//!
//! One round after the other, each tenant and each block on its own: one that fails is told, counted and tried again,
//! and stays here meanwhile. An unreachable bucket costs disk, nothing else.

use crate::compaction::{self, CompactionOptions};
use crate::forecast::Forecast;
use anyhow::Result;
use nilometer_access::Access;
use nilometer_bucket::{Bucket, BucketMetrics, Lookout, Parts as BucketParts, ShipOptions, ShipperFile};
use nilometer_compact::{Compactor, Parts as CompactParts};
use nilometer_env::{Clock, Fs, Random};
use nilometer_gateway::{DiskCache, Gateway, GatewayOptions, Partition, Parts as GatewayParts};
use nilometer_head::Head;
use nilometer_model::{BlockMeta, Tenant, Ulid};
use nilometer_server::BucketUpkeep;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Blocks that are marked for deletion answer so much longer, as in Thanos: what replaces them may not be seen yet.
const IGNORE_DELETION_MARKS_DELAY_MS: i64 = 24 * 3_600_000;
/// A start waits so long for the bucket.
pub(crate) const FIRST_LOOK: Duration = Duration::from_secs(5);
/// Blocks of the bucket that are read at the same time, as in Thanos.
const MAX_CONCURRENT: usize = 20;

/// Where the bucket is, and how much of it is kept at hand.
#[derive(Clone, Debug)]
pub(crate) struct HistoryOptions {
    pub(crate) bucket: BucketAt,
    /// New local blocks are looked for this often.
    pub(crate) ship_every: Duration,
    /// The bucket is looked through this often.
    pub(crate) sync_every: Duration,
    pub(crate) cache_bytes: u64,
    pub(crate) disk_cache: Option<DiskCache>,
    /// For `meta.json` files that were read before.
    pub(crate) meta_dir: PathBuf,
    /// `None`: somebody else compacts the bucket.
    pub(crate) compaction: Option<CompactionOptions>,
}

#[derive(Clone, Debug)]
pub(crate) enum BucketAt {
    /// `--objstore.config`
    Text(String),
    /// `--objstore.config-file`
    File(PathBuf),
    Folder(PathBuf),
}

/// Clock, files and randomness of the machine.
pub(crate) type Outside = (Arc<dyn Clock>, Arc<dyn Fs>, Arc<dyn Random>);

pub(crate) fn open_bucket(
    at: &BucketAt,
    (clock, fs, random): &Outside,
    registry: &mut Registry,
) -> Result<Bucket> {
    at.open(BucketParts {
        clock: clock.clone(),
        fs: fs.clone(),
        random: random.clone(),
        metrics: BucketMetrics::register(registry),
        env: Arc::new(|name| std::env::var(name).ok()),
    })
}

impl BucketAt {
    pub(crate) fn open(&self, parts: BucketParts) -> Result<Bucket> {
        Ok(match self {
            BucketAt::Text(text) => Bucket::from_text(text, parts)?,
            BucketAt::File(path) => Bucket::from_file(path, parts)?,
            BucketAt::Folder(path) => {
                // A text of JSON is one of YAML.
                let directory = serde_json::Value::from(path.to_string_lossy());
                Bucket::from_text(&format!("type: FILESYSTEM\nconfig:\n  directory: {directory}\n"), parts)?
            }
        })
    }
}

/// Everything that goes to the bucket and comes from there.
pub(crate) struct History {
    bucket: Bucket,
    pub(crate) gateway: Arc<Gateway>,
    /// With how often it looks for work.
    compactor: Option<(Arc<Compactor>, Duration)>,
    /// Where the bucket is on a disk of this machine, as far as is known.
    forecast: Option<Arc<Forecast>>,
    head: Arc<Head>,
    fs: Arc<dyn Fs>,
    clock: Arc<dyn Clock>,
    /// `--tsdb.path`
    dir: PathBuf,
    ship_every: Duration,
    sync_every: Duration,
    /// Whether the bucket was looked through, or could not be.
    looked: watch::Sender<bool>,
    metrics: Metrics,
}

#[derive(Default)]
struct Metrics {
    dir_syncs: Counter,
    dir_sync_failures: Counter,
    uploads: Counter,
    upload_failures: Counter,
}

impl Metrics {
    fn register(&self, registry: &mut Registry) {
        let shipper = registry.sub_registry_with_prefix("thanos_shipper");
        shipper.register(
            "dir_syncs",
            "Times that a tenant's local blocks were looked through",
            self.dir_syncs.clone(),
        );
        shipper.register(
            "dir_sync_failures",
            "Times that this failed, or a block could not be uploaded",
            self.dir_sync_failures.clone(),
        );
        shipper.register("uploads", "Blocks uploaded", self.uploads.clone());
        shipper.register(
            "upload_failures",
            "Blocks that could not be uploaded and will be tried again",
            self.upload_failures.clone(),
        );
    }
}

impl History {
    pub(crate) fn open(
        options: &HistoryOptions,
        (head, tenants): (Arc<Head>, (Access, String)),
        (clock, fs, random): Outside,
        runtime: &Runtime,
        registry: &mut Registry,
    ) -> Result<History> {
        let metrics = Metrics::default();
        metrics.register(registry);
        let forecast = match &options.bucket {
            BucketAt::Folder(dir) => {
                Some(Arc::new(Forecast::new(fs.clone(), clock.clone(), dir.clone(), registry)))
            }
            BucketAt::Text(_) | BucketAt::File(_) => None,
        };
        let outside = (clock.clone(), fs.clone(), random.clone());
        let bucket = open_bucket(&options.bucket, &outside, registry)?;
        let gateway_options = GatewayOptions {
            partition: Partition::all(),
            ignore_deletion_marks_delay_ms: IGNORE_DELETION_MARKS_DELAY_MS,
            cache_bytes: options.cache_bytes,
            disk_cache: options.disk_cache.clone(),
            max_concurrent: MAX_CONCURRENT,
        };
        let parts = GatewayParts { clock: clock.clone(), fs: fs.clone(), runtime: runtime.handle().clone() };
        let lookout =
            Arc::new(Lookout::new(bucket.clone(), fs.clone(), clock.clone(), options.meta_dir.clone()));
        let gateway = Arc::new(Gateway::new(lookout.clone(), parts, gateway_options, registry));
        let compactor = match &options.compaction {
            None => None,
            Some(options) => {
                let parts = CompactParts { fs: fs.clone(), clock: clock.clone(), random };
                let compactor = compaction::open(options, lookout, parts, Some(tenants), registry)?;
                Some((Arc::new(compactor), options.every))
            }
        };
        let (dir, ship_every, sync_every) = (head.dir().to_owned(), options.ship_every, options.sync_every);
        Ok(History {
            bucket,
            gateway,
            compactor,
            forecast,
            head,
            fs,
            clock,
            dir,
            ship_every,
            sync_every,
            looked: watch::Sender::new(false),
            metrics,
        })
    }

    pub(crate) fn upkeep(&self) -> BucketUpkeep {
        let forecast = self.forecast.clone();
        BucketUpkeep {
            compactor: self.compactor.as_ref().map(|(compactor, _)| compactor.clone()),
            days_until_full: Box::new(move || forecast.as_ref()?.days()),
        }
    }

    /// Until it is told to stop.
    pub(crate) async fn run(self: Arc<History>, stopped: watch::Receiver<bool>) {
        let compaction = async {
            if let Some((compactor, every)) = &self.compactor {
                compactor.run(*every, stopped.clone()).await;
            }
        };
        tokio::join!(self.ship_and_look(stopped.clone()), compaction);
    }

    async fn ship_and_look(&self, mut stopped: watch::Receiver<bool>) {
        let mut is_probed = false;
        let mut synced: Option<Duration> = None;
        let mut new = false;
        loop {
            let now = self.clock.monotonic();
            self.gateway.set_local(self.local());
            if new || synced.is_none_or(|at| now.saturating_sub(at) >= self.sync_every) {
                match self.gateway.sync().await {
                    Ok(found) => {
                        synced = Some(now);
                        is_probed = is_probed || self.probe().await;
                        tracing::debug!(blocks = found.loaded, "the bucket was looked through");
                    }
                    Err(e) => {
                        tracing::error!(error = %e, "the bucket could not be looked through: what was seen before answers")
                    }
                }
                self.looked.send_replace(true);
                self.leave_expired();
            }
            new = self.round().await;
            if new {
                // What was uploaded is looked at once, and may then leave here.
                continue;
            }
            self.gateway.close_unused();
            self.forecast.iter().for_each(|forecast| forecast.look());
            tokio::select! {
                () = tokio::time::sleep(self.ship_every) => {}
                _ = stopped.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Returns when queries find what is in the bucket, or it is clear that they will not soon.
    pub(crate) async fn looked(&self) {
        let mut looked = self.looked.subscribe();
        let seen = looked.wait_for(|looked| *looked);
        if tokio::time::timeout(FIRST_LOOK, seen).await.is_err() {
            tracing::warn!("the bucket is not looked through yet: queries say so until it is");
        }
    }

    async fn probe(&self) -> bool {
        match self.bucket.probe().await {
            Ok(probe) => tracing::info!(bucket = self.bucket.name(), "{probe}"),
            Err(e) => {
                tracing::error!(error = %e, "the bucket can be read and not written: blocks stay here until it can");
                return false;
            }
        }
        true
    }

    /// Uploads what is not in the bucket; whether anything was.
    async fn round(&self) -> bool {
        if let Err(e) = self.bucket.reload() {
            tracing::error!(error = %e, "the objstore config could not be read again; the old one stays");
        }
        let mut any = false;
        for tenant in self.head.tenant_names() {
            self.metrics.dir_syncs.inc();
            match self.ship(&tenant).await {
                Ok(uploaded) => any |= uploaded > 0,
                Err(e) => {
                    self.metrics.dir_sync_failures.inc();
                    tracing::error!(%tenant, error = %e, "not all blocks could be uploaded; they stay here and are tried again");
                }
            }
        }
        any
    }

    fn local(&self) -> BTreeSet<Ulid> {
        let of = |tenant: Tenant| self.head.blocks(&tenant).into_iter().map(|meta| meta.ulid);
        self.head.tenant_names().into_iter().flat_map(of).collect()
    }

    async fn ship(&self, tenant: &Tenant) -> nilometer_model::Result<usize> {
        let dir = self.dir.join(tenant.as_str());
        let mut blocks = self.head.blocks(tenant);
        if blocks.is_empty() {
            return Ok(0);
        }
        blocks.sort_by_key(|meta| (meta.min_time_ms, meta.ulid));
        let mut file = ShipperFile::read(&*self.fs, &dir).unwrap_or_else(|e| {
            tracing::warn!(%tenant, error = %e, "it is not known which blocks were uploaded: the bucket is asked");
            ShipperFile::default()
        });
        let (before, mut failed) = (file.uploaded.clone(), Ok(()));
        for meta in blocks.iter().filter(|meta| !before.contains(&meta.ulid)) {
            match self.ship_block(tenant, meta).await {
                Ok(()) => {
                    file.uploaded.insert(meta.ulid);
                }
                Err(e) => {
                    self.metrics.upload_failures.inc();
                    failed = Err(e);
                }
            }
        }
        let here: BTreeSet<Ulid> = blocks.iter().map(|meta| meta.ulid).collect();
        file.uploaded.retain(|block| here.contains(block));
        if file.uploaded != before {
            file.write(&*self.fs, &dir)?;
        }
        failed.map(|()| file.uploaded.difference(&before).count())
    }

    async fn ship_block(&self, tenant: &Tenant, meta: &BlockMeta) -> nilometer_model::Result<()> {
        let dir = self.dir.join(tenant.as_str()).join(meta.ulid.to_string());
        let shipped = self.bucket.ship(&dir, meta, ShipOptions::default()).await?;
        if !shipped.was_there {
            self.metrics.uploads.inc();
            tracing::info!(%tenant, block = %meta.ulid, bytes = shipped.sent_bytes, "a block is in the bucket");
        }
        Ok(())
    }

    /// Deletes local blocks that are past the retention, and in the bucket.
    fn leave_expired(&self) {
        let mut local = self.local();
        for tenant in self.head.tenant_names() {
            let gone = self.gateway.having(&self.head.expired(&tenant));
            if gone.is_empty() {
                continue;
            }
            // Queries find them there before they are gone here.
            gone.iter().for_each(|block| {
                local.remove(block);
            });
            self.gateway.set_local(local.clone());
            if let Err(e) = self.head.delete_expired(&tenant, &gone) {
                tracing::error!(%tenant, error = %e, "local blocks could not be deleted");
            }
        }
    }
}
