//! What every handler shares.

use crate::body::BodyBudget;
use crate::census::{Census, CensusMetrics};
use crate::metrics::Metrics;
use crate::process::Process;
use crate::receive::Decoders;
use crate::{Patience, QueryLog, QueryOptions, QueryPool, ReceiveOptions, TlsKeys, WebOptions};
use nilometer_access::{Access, ReadScope};
use nilometer_env::{Clock, Random};
use nilometer_gateway::Gateway;
use nilometer_head::Head;
use nilometer_model::{Error, Labels, Result, Tenant, TimeRange};
use nilometer_storage::{Continued, Merged, Partial, Queryable};
use parking_lot::{Mutex, RwLock};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The parts of a running hub. One per process, behind an `Arc`.
pub struct Hub {
    pub head: Arc<Head>,
    pub access: Access,
    pub clock: Arc<dyn Clock>,
    pub query: QueryOptions,
    pub receive: ReceiveOptions,
    pub web: WebOptions,
    pub patience: Patience,
    pub query_pool: QueryPool,
    /// Blocks of the bucket; none where there is no bucket.
    pub gateway: Option<Arc<Gateway>>,
    /// `--query.log-file`
    pub query_log: Option<Arc<QueryLog>>,
    pub build: BuildInfo,
    /// All own metrics.
    pub registry: RwLock<Registry>,
    /// Wall-clock time of the start, in milliseconds.
    pub started_ms: i64,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) dirs: Dirs,
    pub(crate) metrics: Metrics,
    pub(crate) bodies: BodyBudget,
    pub(crate) decoders: Decoders,
    pub(crate) census: Arc<Census>,
    tls: Vec<Arc<TlsKeys>>,
    ready: AtomicBool,
    reloaded: Mutex<Reloaded>,
    open_files: Option<u64>,
}

/// How files were read the last time that somebody asked for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reloaded {
    pub(crate) ok: bool,
    /// Of the last time that it went well.
    pub(crate) at_ms: i64,
}

/// Where things lie on disk.
#[derive(Clone, Debug)]
pub struct Dirs {
    /// `--tsdb.path`, with a folder of blocks for each tenant.
    pub tsdb: PathBuf,
    /// Each snapshot becomes a folder in it.
    pub snapshots: PathBuf,
}

/// What [`Hub::new`] takes.
pub struct HubParts {
    pub head: Arc<Head>,
    pub access: Access,
    pub clock: Arc<dyn Clock>,
    pub query: QueryOptions,
    pub receive: ReceiveOptions,
    pub web: WebOptions,
    pub patience: Patience,
    pub query_pool: QueryPool,
    pub gateway: Option<Arc<Gateway>>,
    /// `--query.log-file`
    pub query_log: Option<Arc<QueryLog>>,
    pub build: BuildInfo,
    pub registry: Registry,
    pub random: Arc<dyn Random>,
    pub dirs: Dirs,
    /// The keys of all listeners, to be read again on a reload.
    pub tls: Vec<Arc<TlsKeys>>,
    /// How many files the process may have open, `None` where that has no limit.
    pub open_files: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct BuildInfo {
    pub version: &'static str,
    /// Of the source, `unknown` where it was not built from a checkout.
    pub revision: &'static str,
    pub rustc: &'static str,
}

impl BuildInfo {
    fn register(&self, registry: &mut Registry) {
        let labels = [("version", self.version), ("revision", self.revision), ("rustc", self.rustc)];
        let info = Family::<Vec<(&'static str, &'static str)>, Gauge>::default();
        info.get_or_create(&labels.to_vec()).set(1);
        registry.register("nilometer_build_info", "What this was built from", info);
    }
}

impl Hub {
    pub fn new(parts: HubParts) -> Arc<Hub> {
        let HubParts { mut registry, clock, build, receive, .. } = parts;
        let started_ms = clock.wall_ms();
        let metrics = Metrics::register(&mut registry);
        let census = Arc::new(Census::default());
        census.take(&parts.head, clock.monotonic());
        registry.register_collector(Box::new(CensusMetrics(census.clone())));
        registry.register_collector(Box::new(Process { started_ms }));
        build.register(&mut registry);
        let hub = Arc::new(Hub {
            head: parts.head,
            access: parts.access,
            clock,
            query: parts.query,
            query_pool: parts.query_pool,
            gateway: parts.gateway,
            query_log: parts.query_log,
            patience: parts.patience,
            web: parts.web,
            build,
            registry: RwLock::new(registry),
            started_ms,
            random: parts.random,
            dirs: parts.dirs,
            metrics,
            bodies: BodyBudget::new(receive.max_body_bytes_in_flight),
            receive,
            decoders: Decoders::default(),
            census,
            tls: parts.tls,
            ready: AtomicBool::new(false),
            reloaded: Mutex::new(Reloaded { ok: true, at_ms: started_ms }),
            open_files: parts.open_files,
        });
        hub.warn_of_few_connections();
        hub
    }

    /// How many connections may be open: each takes a file, and the log, blocks and queries need some too.
    pub(crate) fn max_connections(&self) -> u64 {
        self.access.hub_limits().connections.min(self.connections_that_fit())
    }

    fn connections_that_fit(&self) -> u64 {
        self.open_files.map_or(u64::MAX, |files| (files / 4 * 3).max(1))
    }

    fn warn_of_few_connections(&self) {
        let (limit, fit) = (self.access.hub_limits().connections, self.connections_that_fit());
        if fit < limit {
            tracing::warn!(
                limit,
                open_files = self.open_files,
                connections = fit,
                "fewer connections than their limit may be open, since the system allows too few open files: \
                 raise that (ulimit -Hn, or LimitNOFILE= of the unit)"
            );
        }
    }

    /// Whether every acknowledged sample answers queries, and writes are taken.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
        self.metrics.ready.set(i64::from(ready));
    }

    /// How many listeners ask for no credentials although others can reach them.
    pub fn set_insecure_listeners(&self, count: usize) {
        self.metrics.insecure_listeners.set(count as i64);
    }

    /// Counts what every tenant has: called about once a second.
    pub fn count_tenants(&self) {
        self.census.take(&self.head, self.clock.monotonic());
    }

    /// Where memory goes, in bytes, as far as the hub knows. Walks all series, so it is not for every second.
    pub fn memory(&self) -> BTreeMap<&'static str, usize> {
        let mut parts = self.head.memory();
        *parts.entry("requests").or_default() += self.decoders.heap_bytes() + self.bodies.used_bytes();
        parts.extend(self.gateway.iter().map(|gateway| ("bucket_pages", gateway.cached_bytes())));
        parts
    }

    /// Reads the tenants file and the certificates again, and opens the query log anew. What is wrong stays as
    /// it was; all mistakes are in the error.
    pub fn reload(&self) -> Result<()> {
        let mut wrong: Vec<String> =
            self.reload_certificates().err().into_iter().map(|e| e.to_string()).collect();
        wrong.extend(self.query_log.iter().filter_map(|log| log.reopen().err()).map(|e| e.to_string()));
        match self.access.reload() {
            Ok(true) => {
                tracing::info!("the tenants file was reloaded");
                self.warn_of_few_connections();
            }
            Ok(false) => {}
            Err(e) => wrong.push(e.to_string()),
        }
        if wrong.is_empty() {
            *self.reloaded.lock() = Reloaded { ok: true, at_ms: self.clock.wall_ms() };
            return Ok(());
        }
        self.reloaded.lock().ok = false;
        let wrong = wrong.join("\n");
        tracing::error!(error = wrong, "a reload failed; what was in use stays in use");
        Err(Error::invalid(wrong))
    }

    pub(crate) fn last_reload(&self) -> Reloaded {
        *self.reloaded.lock()
    }

    /// Reads the certificates again, as whoever renews them does not tell.
    pub fn reload_certificates(&self) -> Result<()> {
        self.tls.iter().try_for_each(|keys| keys.reload().map(drop))
    }

    /// The tenants that a reader sees and that have data, by name.
    pub fn visible_tenants(&self, scope: &ReadScope) -> Vec<Tenant> {
        let all = self.head.tenant_names();
        match scope {
            ReadScope::All => all,
            ReadScope::Only(one) => all.into_iter().filter(|tenant| tenant == one).collect(),
        }
    }

    /// All series that a reader sees, in memory, in local blocks and in the bucket, with their external labels.
    pub fn queryable(&self, scope: &ReadScope) -> Arc<dyn Queryable> {
        let tenants = self.visible_tenants(scope);
        let near = tenants.iter().filter_map(|tenant| Some((tenant, self.head.queryable(tenant)?)));
        let (mut sources, mut known) = (Vec::new(), BTreeSet::new());
        for (tenant, near) in near {
            let external = self.head.external_labels(tenant);
            known.insert(external.clone());
            sources.push(match &self.gateway {
                Some(gateway) => Arc::new(Continued::new(near, Arc::new(gateway.stream(external)))),
                None => near,
            });
        }
        if let Some(others) = self.others(scope, known) {
            sources.push(others);
            return Arc::new(Merged::new(sources));
        }
        match sources.len() {
            1 => sources.swap_remove(0),
            _ => Arc::new(Merged::of_disjoint(sources)),
        }
    }

    /// What the bucket has with external labels that nothing here has; `None` where that is nothing.
    fn others(&self, scope: &ReadScope, known: BTreeSet<Labels>) -> Option<Arc<dyn Queryable>> {
        let (scope, tenant_label) = (scope.clone(), self.head.tenant_label().to_owned());
        let others = self.gateway.as_ref()?.streams(move |labels| {
            let is_seen = match &scope {
                ReadScope::All => true,
                ReadScope::Only(tenant) => labels.get(&tenant_label) == tenant.as_str(),
            };
            is_seen && !known.contains(labels)
        });
        others.has(TimeRange::ALL).then(|| Arc::new(others) as Arc<dyn Queryable>)
    }
}
