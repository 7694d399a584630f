//! What every handler shares.

use crate::{QueryOptions, QueryPool, ReceiveOptions};
use nilometer_access::{Access, ReadScope};
use nilometer_env::Clock;
use nilometer_head::Head;
use nilometer_model::Tenant;
use nilometer_storage::{Merged, Queryable};
use parking_lot::RwLock;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The parts of a running hub. One per process, behind an `Arc`.
pub struct Hub {
    pub head: Arc<Head>,
    pub access: Access,
    pub clock: Arc<dyn Clock>,
    pub query: QueryOptions,
    pub receive: ReceiveOptions,
    pub query_pool: QueryPool,
    pub build: BuildInfo,
    /// All own metrics.
    pub registry: RwLock<Registry>,
    /// Wall-clock time of the start, in milliseconds.
    pub started_ms: i64,
    ready: AtomicBool,
}

/// What [`Hub::new`] takes.
pub struct HubParts {
    pub head: Arc<Head>,
    pub access: Access,
    pub clock: Arc<dyn Clock>,
    pub query: QueryOptions,
    pub receive: ReceiveOptions,
    pub query_pool: QueryPool,
    pub build: BuildInfo,
    pub registry: Registry,
}

#[derive(Clone, Debug)]
pub struct BuildInfo {
    pub version: &'static str,
    /// Of the source, empty where it was not built from a checkout.
    pub revision: &'static str,
    pub rustc: &'static str,
}

impl Hub {
    pub fn new(parts: HubParts) -> Arc<Hub> {
        let HubParts { head, access, clock, query, receive, query_pool, build, registry } = parts;
        let started_ms = clock.wall_ms();
        Arc::new(Hub {
            head,
            access,
            clock,
            query,
            receive,
            query_pool,
            build,
            registry: RwLock::new(registry),
            started_ms,
            ready: AtomicBool::new(false),
        })
    }

    /// Whether every acknowledged sample answers queries, and writes are taken.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// The tenants that a reader sees and that have data, by name.
    pub fn visible_tenants(&self, scope: &ReadScope) -> Vec<Tenant> {
        let all = self.head.tenant_names();
        match scope {
            ReadScope::All => all,
            ReadScope::Only(one) => all.into_iter().filter(|tenant| tenant == one).collect(),
        }
    }

    /// All series that a reader sees, in memory and in local blocks, with their external labels.
    pub fn queryable(&self, scope: &ReadScope) -> Arc<dyn Queryable> {
        let tenants = self.visible_tenants(scope);
        let mut sources: Vec<_> = tenants.iter().filter_map(|tenant| self.head.queryable(tenant)).collect();
        match sources.len() {
            1 => sources.swap_remove(0),
            _ => Arc::new(Merged::new(sources)),
        }
    }
}
