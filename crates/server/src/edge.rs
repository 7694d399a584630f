//! What every process has that answers over the network, whatever its role: who may call, sockets and their limits,
//! certificates, metrics, and whether it is ready.

use crate::metrics::Metrics;
use crate::process::Process;
use crate::{CallerOptions, Patience, TlsKeys};
use nilometer_access::Access;
use nilometer_env::Clock;
use nilometer_model::{Error, Result};
use parking_lot::{Mutex, RwLock};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One per process, behind an `Arc`.
pub struct Edge {
    pub access: Access,
    pub clock: Arc<dyn Clock>,
    pub patience: Patience,
    pub callers: CallerOptions,
    pub build: BuildInfo,
    /// All own metrics.
    pub registry: RwLock<Registry>,
    /// Wall-clock time of the start, in milliseconds.
    pub started_ms: i64,
    pub(crate) metrics: Metrics,
    tls: Vec<Arc<TlsKeys>>,
    ready: AtomicBool,
    reloaded: Mutex<Reloaded>,
    open_files: Option<u64>,
}

/// What [`Edge::new`] takes.
pub struct EdgeParts {
    pub access: Access,
    pub clock: Arc<dyn Clock>,
    pub patience: Patience,
    pub callers: CallerOptions,
    pub build: BuildInfo,
    pub registry: Registry,
    /// The keys of all listeners, to be read again on a reload.
    pub tls: Vec<Arc<TlsKeys>>,
    /// How many files the process may have open, `None` where that has no limit.
    pub open_files: Option<u64>,
}

/// How files were read the last time that somebody asked for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reloaded {
    pub(crate) ok: bool,
    /// Of the last time that it went well.
    pub(crate) at_ms: i64,
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

impl Edge {
    pub fn new(parts: EdgeParts) -> Arc<Edge> {
        let EdgeParts { access, clock, patience, callers, build, mut registry, tls, open_files } = parts;
        let started_ms = clock.wall_ms();
        let metrics = Metrics::register(&mut registry);
        registry.register_collector(Box::new(Process { started_ms }));
        build.register(&mut registry);
        let edge = Arc::new(Edge {
            access,
            clock,
            patience,
            callers,
            build,
            registry: RwLock::new(registry),
            started_ms,
            metrics,
            tls,
            ready: AtomicBool::new(false),
            reloaded: Mutex::new(Reloaded { ok: true, at_ms: started_ms }),
            open_files,
        });
        edge.warn_of_few_connections();
        edge
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

    /// Whether all that was promised is done: every acknowledged sample answers queries, and writes are taken.
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

    /// Reads the tenants file and the certificates again, and whatever else `others` reads. What is wrong stays as it
    /// was; all mistakes are in the error.
    pub fn reload(&self, others: impl IntoIterator<Item = Result<()>>) -> Result<()> {
        let mut wrong: Vec<String> =
            self.reload_certificates().err().into_iter().map(|e| e.to_string()).collect();
        wrong.extend(others.into_iter().filter_map(Result::err).map(|e| e.to_string()));
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
}
