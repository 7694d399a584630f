//! The head of all tenants: the way in, the way to read, and the upkeep.
//!
//! Nothing here starts a thread. Who owns a [`Head`] calls [`Head::run_log`] and [`Head::maintain`] from
//! threads of its own, or, in a simulation, one step at a time.

use crate::adopt::adopt;
use crate::append::{Appended, Context, Scratch, SeriesPolicy, TimeLimits, append};
use crate::chunks::HotChunks;
use crate::index::KeyHasher;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::ranges::{MAX_TIME_MS, Ranges};
use crate::recover::{Recovery, wal_dir};
use crate::tenant::{TenantHead, TenantView, value_in_blocks};
use crate::upkeep::Upkeep;
use nilometer_env::{Clock, Fs, Random};
use nilometer_model::{Error, Labels, Result, Tenant};
use nilometer_storage::Queryable;
use nilometer_wire::remote_write::WriteRequest;
use parking_lot::{Mutex, RwLock};
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The outside world.
#[derive(Clone)]
pub struct Env {
    pub fs: Arc<dyn Fs>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
}

/// Times in milliseconds, sizes in bytes.
#[derive(Clone, Debug)]
pub struct HeadOptions {
    /// `--tsdb.path`.
    pub dir: PathBuf,
    pub block_ms: i64,
    pub out_of_order_window_ms: i64,
    /// 0 takes any, as in Thanos.
    pub too_far_in_future_ms: i64,
    /// 0 keeps everything.
    pub retention_ms: i64,
    /// Who ships blocks to a bucket deletes the local ones ([`Head::expired`]): only what is there may go.
    pub keep_expired: bool,
    /// A tenant that sends nothing for so long is cut whole and released.
    pub idle_ms: i64,
    pub max_tenants: usize,
    /// Names and values of all labels of a tenant's series in memory, each string once; below 4 GiB. Beyond
    /// it new series are refused.
    pub max_label_text_bytes: u64,
    /// To whom the blocks of a Prometheus that ran in `dir` go.
    pub default_tenant: Tenant,
    /// Below so much free space writes are refused.
    pub reserve_bytes: u64,
    /// So much log behind a snapshot asks for the next.
    pub snapshot_after_bytes: u64,
    /// Blocks keep start timestamps, in chunks that older readers do not know.
    pub keep_starts: bool,
    /// `--label`: what all blocks and series of this process carry.
    pub labels: Labels,
    pub tenant_label: String,
}

impl Default for HeadOptions {
    fn default() -> Self {
        const MINUTE_MS: i64 = 60_000;
        HeadOptions {
            dir: PathBuf::from("data"),
            block_ms: 120 * MINUTE_MS,
            out_of_order_window_ms: 10 * MINUTE_MS,
            too_far_in_future_ms: 10 * MINUTE_MS,
            retention_ms: 15 * 24 * 60 * MINUTE_MS,
            keep_expired: false,
            idle_ms: 60 * MINUTE_MS,
            max_tenants: 1_000,
            max_label_text_bytes: 1 << 30,
            default_tenant: Tenant::default(),
            reserve_bytes: 256 << 20,
            snapshot_after_bytes: 8 << 20,
            keep_starts: false,
            labels: Labels::empty(),
            tenant_label: "tenant_id".to_owned(),
        }
    }
}

pub struct Head {
    pub(crate) env: Env,
    pub(crate) options: HeadOptions,
    pub(crate) log: Log,
    pub(crate) metrics: Metrics,
    hasher: KeyHasher,
    tenants: RwLock<BTreeMap<Tenant, Arc<TenantHead>>>,
    pub(crate) scratch: Mutex<Vec<Scratch>>,
    pub(crate) hot: Arc<HotChunks>,
    pub(crate) upkeep: Mutex<Upkeep>,
    pub(crate) read_only: AtomicBool,
    stopping: AtomicBool,
    pub(crate) logged_bytes: AtomicU64,
    _locks: Vec<Box<dyn Send + Sync>>,
}

/// What is known of a tenant, for pages and metrics.
#[derive(Clone, Debug)]
pub struct TenantInfo {
    pub name: Tenant,
    pub series: u64,
    pub blocks: usize,
    pub min_ms: Option<i64>,
    pub max_ms: Option<i64>,
}

const FREE_SPACE_EVERY: Duration = Duration::from_secs(1);

/// Between tries to write to a disk that fails.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Buffers kept for requests to come.
const MAX_SCRATCH: usize = 16;

impl Head {
    /// Opens what is in `options.dir` and brings back every acknowledged sample.
    pub fn open(env: Env, options: HeadOptions, registry: &mut Registry) -> Result<Head> {
        let hub_dir = options.dir.join("@nilometer").join("hub");
        let wal = wal_dir(&hub_dir);
        env.fs.create_dir_all(&wal).map_err(|e| Error::io(format!("creating {}", wal.display()), e))?;
        let lock_path = hub_dir.join("lock");
        let lock = env.fs.lock(&lock_path).map_err(|e| match e.kind() {
            std::io::ErrorKind::WouldBlock => Error::unavailable(format!(
                "another process has {}: stop it, or give this one another data directory",
                options.dir.display()
            )),
            _ => Error::io(format!("locking {}", lock_path.display()), e),
        })?;
        let adopted = adopt(&*env.fs, &options)?;
        let mut locks = adopted.locks;
        locks.push(lock);
        let metrics = Metrics::default();
        metrics.register(registry);
        let hasher = KeyHasher::new(&*env.random);
        let recovery = Recovery {
            fs: env.fs.clone(),
            random: env.random.clone(),
            hasher: &hasher,
            blocks_dir: options.dir.clone(),
            hub_dir,
            ranges: Ranges { width_ms: options.block_ms },
            with_blocks: &adopted.tenants,
        };
        let recovered = recovery.run()?;
        for damage in &recovered.damaged {
            metrics.corruptions.inc();
            tracing::error!(damage, "a part of what was stored is damaged and left out; all else is there");
        }
        for tail in &recovered.log.tails {
            metrics.log_tails.inc();
            tracing::warn!(tail, "an unfinished end of the log was left out");
        }
        tracing::info!(
            tenants = recovered.tenants.len(),
            series = recovered.series,
            log_records = recovered.log.bodies,
            "the head is back"
        );
        let log = Log::new(env.fs.clone(), env.random.clone(), &wal, &recovered.log);
        Ok(Head {
            env,
            options,
            log,
            metrics,
            hasher,
            tenants: RwLock::new(recovered.tenants),
            scratch: Mutex::new(Vec::new()),
            hot: Arc::default(),
            upkeep: Mutex::default(),
            read_only: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            logged_bytes: AtomicU64::new(recovered.log.bytes),
            _locks: locks,
        })
    }

    /// Stores a request in memory and queues it for the log. It counts as stored only when
    /// [`Head::durable`] says so.
    pub fn append(
        &self,
        tenant: &Tenant,
        request: &WriteRequest,
        policy: &dyn SeriesPolicy,
    ) -> Result<Appended> {
        if self.read_only.load(Ordering::Relaxed) {
            return Err(Error::unavailable(format!(
                "the disk is nearly full: less than {} MiB are free; writes are taken again when there is room",
                self.options.reserve_bytes >> 20
            )));
        }
        self.log.admit()?;
        let tenant = self.tenant(tenant)?;
        let mut scratch = self.scratch.lock().pop().unwrap_or_default();
        scratch.hash(request, &self.hasher);
        let now_ms = self.env.clock.wall_ms();
        let mut guard = tenant.lock();
        guard.check_sound(&tenant.name)?;
        let inner = &mut *guard;
        inner.last_write = self.env.clock.monotonic();
        if inner.policy_generation != policy.generation() {
            inner.policy_generation = policy.generation();
            inner.state.keys.forget_judged();
        }
        let context = Context {
            tenant: &tenant.name,
            log: &self.log,
            hasher: &self.hasher,
            times: TimeLimits {
                max_ms: match self.options.too_far_in_future_ms {
                    0 => MAX_TIME_MS,
                    ahead_ms => now_ms.saturating_add(ahead_ms),
                },
                now_ms,
                window_ms: self.options.out_of_order_window_ms,
                retention_ms: self.options.retention_ms,
            },
            policy,
            max_label_text_bytes: self.options.max_label_text_bytes,
            past: &|labels, t_ms| value_in_blocks(&inner.blocks, labels, t_ms),
        };
        inner.changing = true;
        let appended = append(&mut inner.state, &context, request, &mut scratch);
        inner.changing = false;
        drop(guard);
        self.logged_bytes.fetch_add(scratch.logged_bytes() as u64, Ordering::Relaxed);
        let mut kept = self.scratch.lock();
        if kept.len() < MAX_SCRATCH {
            scratch.shrink();
            kept.push(scratch);
        }
        appended
    }

    /// Whether somebody else is at a tenant's memory just now, so that an `append` may have to wait.
    pub fn is_busy(&self, tenant: &Tenant) -> bool {
        self.find(tenant).is_some_and(|tenant| tenant.is_locked())
    }

    /// Returns when what `append` took is on stable storage.
    pub async fn durable(&self, appended: &Appended) -> Result<()> {
        self.log.durable(appended.lsn).await
    }

    fn tenant(&self, name: &Tenant) -> Result<Arc<TenantHead>> {
        if let Some(tenant) = self.find(name) {
            return Ok(tenant);
        }
        let mut tenants = self.tenants.write();
        if let Some(tenant) = tenants.get(name) {
            return Ok(tenant.clone());
        }
        if tenants.len() >= self.options.max_tenants {
            return Err(Error::limit(
                "max_tenants",
                self.options.max_tenants as u64,
                format!("tenant {name} is new and there are as many as there may be"),
            ));
        }
        let hub_dir = self.hub_dir();
        let ranges = Ranges { width_ms: self.options.block_ms };
        let (fs, random) = (&self.env.fs, &self.env.random);
        let tenant =
            Arc::new(TenantHead::open(name.clone(), fs, random, &self.options.dir, &hub_dir, ranges)?);
        tenants.insert(name.clone(), tenant.clone());
        Ok(tenant)
    }

    pub(crate) fn find(&self, tenant: &Tenant) -> Option<Arc<TenantHead>> {
        self.tenants.read().get(tenant).cloned()
    }

    pub(crate) fn hub_dir(&self) -> PathBuf {
        self.options.dir.join("@nilometer").join("hub")
    }

    pub(crate) fn all(&self) -> Vec<Arc<TenantHead>> {
        self.tenants.read().values().cloned().collect()
    }

    /// The series of a tenant, in memory and in local blocks, with their external labels.
    pub fn queryable(&self, tenant: &Tenant) -> Option<Arc<dyn Queryable>> {
        let found = self.find(tenant)?;
        let external = self.external_labels(tenant);
        Some(Arc::new(nilometer_storage::WithExternalLabels::new(
            Arc::new(TenantView { head: found, hot: self.hot.clone() }),
            external,
        )))
    }

    /// The labels that every series of a tenant has besides its own.
    pub fn external_labels(&self, tenant: &Tenant) -> Labels {
        let mut labels = self.options.labels.to_builder();
        labels.set(&self.options.tenant_label, tenant.as_str());
        labels.build()
    }

    /// Where each tenant's blocks lie, in a folder of its name.
    pub fn dir(&self) -> &Path {
        &self.options.dir
    }

    /// The label that has the tenant's name.
    pub fn tenant_label(&self) -> &str {
        &self.options.tenant_label
    }

    pub fn tenant_names(&self) -> Vec<Tenant> {
        self.tenants.read().keys().cloned().collect()
    }

    pub fn tenants(&self) -> Vec<TenantInfo> {
        let info = |tenant: &Arc<TenantHead>| {
            let inner = tenant.lock();
            let blocks = inner.blocks.iter().map(|b| b.meta().range());
            let newest = (inner.state.newest_ms > i64::MIN).then_some(inner.state.newest_ms);
            let oldest = inner.state.oldest_ms();
            TenantInfo {
                name: tenant.name.clone(),
                series: inner.state.series.len() as u64,
                blocks: inner.blocks.len(),
                min_ms: blocks.clone().map(|r| r.min_ms).chain(oldest).min(),
                max_ms: blocks.map(|r| r.max_ms).chain(newest).max(),
            }
        };
        self.all().iter().map(info).collect()
    }

    /// Flushes the log as bodies arrive, until [`Head::stop`].
    pub fn run_log(&self) {
        let (mut pause, mut watched) = (FIRST_PAUSE, self.env.clock.monotonic());
        while !self.stopping.load(Ordering::Acquire) {
            self.log.wait(Duration::from_millis(500));
            // Here and not in the upkeep, which may be at a long cut.
            if self.env.clock.monotonic().saturating_sub(watched) >= FREE_SPACE_EVERY {
                watched = self.env.clock.monotonic();
                self.watch_free_space();
            }
            match self.flush_log() {
                Ok(()) => pause = FIRST_PAUSE,
                Err(_) => {
                    // A broken disk is not asked without pause.
                    std::thread::sleep(pause);
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
            }
        }
        // An error was counted and logged; whoever waits was refused.
        let _ = self.flush_log();
    }

    /// Makes everything appended so far durable.
    pub fn flush_log(&self) -> Result<()> {
        self.log.flush().inspect_err(|e| {
            self.metrics.log_failures.inc();
            tracing::error!(error = %e, "the log could not be written; requests are refused until it can");
        })
    }

    /// Lets [`Head::run_log`] end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.log.wake();
    }
}
