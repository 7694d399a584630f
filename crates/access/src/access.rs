//! The one thing that the server asks: may this request do that, and how much of it?

use crate::RESERVED_TENANT;
use crate::authenticate::Outcome;
use crate::config::{MAX_FILE_BYTES, TenantsConfig};
use crate::identity::{Identity, ReadScope, Scope};
use crate::limits::{HubLimits, TenantLimits};
use crate::metrics::Metrics;
use crate::queue::{Queue, Worker};
use crate::refusal::Refusal;
use crate::retention::TenantRetention;
use crate::snapshot::Snapshot;
use crate::tenant::{InFlight, Meters, TenantState, admit_samples, enter};
use crate::throttle::Throttle;
use arc_swap::ArcSwap;
use nilometer_env::{Clock, Fs, Random};
use nilometer_model::{Error, Result, Tenant};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The outside world.
#[derive(Clone)]
pub struct Parts {
    pub clock: Arc<dyn Clock>,
    pub fs: Arc<dyn Fs>,
    pub random: Arc<dyn Random>,
    /// Starts [`Worker::run`] on a thread where blocking is allowed, and returns at once.
    pub spawn: Arc<dyn Fn(Worker) + Send + Sync>,
}

/// Tenants, credentials and limits of this process. A clone is another handle to the same.
#[derive(Clone)]
pub struct Access {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) current: ArcSwap<Snapshot>,
    pub(crate) cache_key: [u8; 16],
    pub(crate) throttle: Throttle,
    pub(crate) queue: Queue,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) spawn: Arc<dyn Fn(Worker) + Send + Sync>,
    pub(crate) metrics: Metrics,
    pub(crate) anyone: Arc<Identity>,
    fs: Arc<dyn Fs>,
    /// Where the tenants file is; its lock lets one reload run at a time.
    file: Mutex<Option<PathBuf>>,
    default_tenant: Tenant,
    /// The limits of the hub that no file says.
    unwritten_hub: HubLimits,
    hub_meters: Arc<Meters>,
    generation: AtomicU64,
}

impl Access {
    /// Without a tenants file: no credential is asked for, and a header or `default_tenant` says whose the
    /// samples are.
    pub fn open(
        parts: Parts,
        default_tenant: Tenant,
        hub: HubLimits,
        defaults: TenantLimits,
        registry: &mut Registry,
    ) -> Self {
        Self::new(parts, default_tenant, Snapshot::open(hub, defaults), Metrics::register(registry, false))
    }

    /// With a tenants file, which must be in order. `hub` counts where the file says nothing of the hub.
    pub fn from_file(parts: Parts, path: &Path, hub: HubLimits, registry: &mut Registry) -> Result<Self> {
        let default_tenant = Tenant::new("default-tenant")?;
        // Nobody can reach the open snapshot: it is replaced before anybody has the handle.
        let open = Snapshot::open(hub, TenantLimits::default());
        let access = Self::new(parts, default_tenant, open, Metrics::register(registry, true));
        *access.inner.file.lock() = Some(path.to_owned());
        access.reload()?;
        Ok(access)
    }

    fn new(parts: Parts, default_tenant: Tenant, snapshot: Snapshot, metrics: Metrics) -> Self {
        let key = || {
            let mut key = [0; 16];
            parts.random.fill(&mut key);
            key
        };
        metrics.tenants.set(snapshot.len() as i64);
        let unwritten_hub = snapshot.hub.clone();
        let inner = Inner {
            current: ArcSwap::from_pointee(snapshot),
            cache_key: key(),
            throttle: Throttle::new(key()),
            queue: Queue::default(),
            clock: parts.clock,
            spawn: parts.spawn,
            metrics,
            anyone: Arc::new(Identity::anyone()),
            fs: parts.fs,
            file: Mutex::new(None),
            default_tenant,
            unwritten_hub,
            hub_meters: Arc::default(),
            generation: AtomicU64::new(1),
        };
        Access { inner: Arc::new(inner) }
    }

    /// Reads the tenants file again. If it is in order, it takes effect at once and all cached credentials
    /// are dropped; if its bytes are those in use, nothing happens; if it has mistakes, they are returned,
    /// and what was in use stays so. True if anything changed.
    pub fn reload(&self) -> Result<bool> {
        let file = self.inner.file.lock();
        let Some(path) = &*file else { return Ok(false) };
        let loaded = self.inner.read(path).and_then(|bytes| self.inner.load(path, &bytes));
        match &loaded {
            Ok(changed) => self.inner.metrics.loaded(*changed, self.inner.clock.wall_ms()),
            Err(_) => self.inner.metrics.load_failed(),
        }
        loaded
    }

    /// Whether credentials are asked for.
    pub fn has_tenants_file(&self) -> bool {
        self.inner.current.load().credentials.is_some()
    }

    pub fn require(&self, identity: &Identity, scope: Scope) -> Result<(), Refusal> {
        self.counted(identity.require(scope))
    }

    /// The tenant that a write goes to. `header` is that of the tenant, if the request has one.
    pub fn resolve_write(
        &self,
        identity: &Identity,
        header: Option<&str>,
    ) -> Result<Arc<TenantState>, Refusal> {
        let tenant = identity.resolve_write(header, &self.inner.default_tenant);
        let state = tenant.and_then(|tenant| self.tenant(&tenant));
        self.counted(state)
    }

    /// What a query sees. `enforce` is `--query.enforce-tenancy`.
    pub fn resolve_read(
        &self,
        identity: &Identity,
        header: Option<&str>,
        enforce: bool,
    ) -> Result<ReadScope, Refusal> {
        self.counted(identity.resolve_read(header, enforce, &self.inner.default_tenant))
    }

    /// The settings and meters of a tenant, if it is configured or was written to.
    pub fn find_tenant(&self, tenant: &Tenant) -> Option<Arc<TenantState>> {
        self.inner.current.load().find(tenant)
    }

    /// How long the samples of some tenants are kept, as of now.
    pub fn retentions(&self) -> Vec<(Tenant, TenantRetention)> {
        self.inner.current.load().retentions()
    }

    /// The same for a tenant that is to be written to. Without a tenants file a new name makes a new tenant,
    /// as long as there may be more; so call it at the start for those that are on disk.
    pub fn tenant(&self, tenant: &Tenant) -> Result<Arc<TenantState>, Refusal> {
        let snapshot = self.inner.current.load();
        if let Some(state) = snapshot.find(tenant) {
            return Ok(state);
        }
        let state = snapshot.add(tenant)?;
        self.inner.metrics.tenants.set(snapshot.len() as i64);
        Ok(state)
    }

    /// The tenant of the hub's own metrics.
    pub fn reserved_tenant(&self) -> Arc<TenantState> {
        let tenant = Tenant::new(RESERVED_TENANT).expect("the reserved name is a tenant's name");
        self.tenant(&tenant).expect("the reserved tenant is always there")
    }

    /// Makes room for another tenant, when all data of this one have left. Does nothing to one that the
    /// tenants file names.
    pub fn forget(&self, tenant: &Tenant) {
        let snapshot = self.inner.current.load();
        snapshot.forget(tenant);
        self.inner.metrics.tenants.set(snapshot.len() as i64);
    }

    /// All tenants that are configured or were written to, by name.
    pub fn tenants(&self) -> Vec<Arc<TenantState>> {
        self.inner.current.load().tenants()
    }

    pub fn hub_limits(&self) -> HubLimits {
        self.inner.current.load().hub.clone()
    }

    /// Lets one more request in, of a tenant or (a query over all) of none.
    pub fn enter(&self, tenant: Option<&TenantState>) -> Result<InFlight, Refusal> {
        let max = self.inner.current.load().hub.concurrent_requests;
        self.counted(enter((&self.inner.hub_meters, max), tenant))
    }

    /// Charges a request's samples, all or none, before any is stored.
    pub fn admit_samples(&self, tenant: &TenantState, samples: u64) -> Result<(), Refusal> {
        let rate = self.inner.current.load().hub.rate();
        let now = self.inner.clock.monotonic();
        self.counted(admit_samples((&self.inner.hub_meters, rate), tenant, samples, now))
    }

    fn counted<T>(&self, result: Result<T, Refusal>) -> Result<T, Refusal> {
        result.inspect_err(|refusal| self.inner.metrics.refused(refusal.reason))
    }

    /// For callers without an async runtime: waits for [`Outcome::Pending`], blocking.
    pub fn authenticate_blocking(
        &self,
        authorization: Option<&[u8]>,
        peer: std::net::IpAddr,
    ) -> Result<Arc<Identity>, Refusal> {
        match self.authenticate(authorization, peer) {
            Outcome::Known(identity) => Ok(identity),
            Outcome::Refused(refusal) => Err(refusal),
            Outcome::Pending(pending) => futures::executor::block_on(pending),
        }
    }
}

impl Inner {
    fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let doing = || format!("cannot read the tenants file {}", path.display());
        let io = |e| Error::io(doing(), e);
        let file = self.fs.open(path).map_err(io)?;
        let len = file.len().map_err(io)?;
        if len > MAX_FILE_BYTES {
            let message = format!("{}: it has {len} bytes, more than {MAX_FILE_BYTES}", doing());
            return Err(Error::invalid(message));
        }
        let mut bytes = vec![0; len as usize];
        file.read_exact_at(&mut bytes, 0).map_err(io)?;
        Ok(bytes)
    }

    fn load(&self, path: &Path, bytes: &[u8]) -> Result<bool> {
        let current = self.current.load();
        if current.is_of(bytes) {
            return Ok(false);
        }
        let name = path.file_name().map_or_else(|| path.to_string_lossy(), |n| n.to_string_lossy());
        let config = TenantsConfig::parse(&name, bytes, &self.unwritten_hub)?;
        let next = Snapshot::from_config(config, Snapshot::digest_of(bytes), Some(&current), || {
            self.generation.fetch_add(1, Relaxed)
        });
        self.metrics.tenants.set(next.len() as i64);
        self.current.store(Arc::new(next));
        Ok(true)
    }
}
