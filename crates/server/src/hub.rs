//! What every handler shares.

use crate::body::BodyBudget;
use crate::census::{Census, CensusMetrics};
use crate::metrics::ReceiveMetrics;
use crate::receive::Decoders;
use crate::{Edge, QueryLog, QueryOptions, QueryPool, WebOptions};
use nilometer_access::ReadScope;
use nilometer_cluster::Stores;
use nilometer_compact::Compactor;
use nilometer_env::Random;
use nilometer_gateway::Gateway;
use nilometer_head::Head;
use nilometer_model::{Labels, Matcher, Result, Tenant, TimeRange};
use nilometer_storage::{Continued, Merged, Partial, Queryable};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

/// Bodies of writes that are being received, of all requests together, may take so much memory.
const MAX_BODY_BYTES_IN_FLIGHT: usize = 256 << 20;

/// The parts of a running hub. One per process, behind an `Arc`; it has all that its [`Edge`] has.
pub struct Hub {
    pub edge: Arc<Edge>,
    pub head: Arc<Head>,
    pub query: QueryOptions,
    pub web: WebOptions,
    pub query_pool: QueryPool,
    /// Blocks of the bucket; none where there is no bucket.
    pub gateway: Option<Arc<Gateway>>,
    pub(crate) upkeep: Option<BucketUpkeep>,
    /// Other processes, whose series queries see, too.
    pub stores: Option<Arc<Stores>>,
    /// `--query.log-file`
    pub query_log: Option<Arc<QueryLog>>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) dirs: Dirs,
    pub(crate) receive: ReceiveMetrics,
    pub(crate) bodies: BodyBudget,
    pub(crate) decoders: Decoders,
    pub(crate) census: Arc<Census>,
}

impl Deref for Hub {
    type Target = Edge;

    fn deref(&self) -> &Edge {
        &self.edge
    }
}

/// Who keeps the bucket in order.
pub struct BucketUpkeep {
    /// `None`: another process compacts it.
    pub compactor: Option<Arc<Compactor>>,
    /// Until its disk is full, where it is one that fills.
    pub days_until_full: Box<dyn Fn() -> Option<f64> + Send + Sync>,
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
    pub edge: Arc<Edge>,
    pub head: Arc<Head>,
    pub query: QueryOptions,
    pub web: WebOptions,
    pub query_pool: QueryPool,
    pub gateway: Option<Arc<Gateway>>,
    pub upkeep: Option<BucketUpkeep>,
    pub stores: Option<Arc<Stores>>,
    /// `--query.log-file`
    pub query_log: Option<Arc<QueryLog>>,
    pub random: Arc<dyn Random>,
    pub dirs: Dirs,
}

impl Hub {
    pub fn new(parts: HubParts) -> Arc<Hub> {
        let HubParts { edge, head, query, web, query_pool, gateway, upkeep, stores, query_log, random, dirs } =
            parts;
        let census = Arc::new(Census::default());
        census.take(&head, edge.clock.monotonic());
        let receive = {
            let mut registry = edge.registry.write();
            registry.register_collector(Box::new(CensusMetrics(census.clone())));
            ReceiveMetrics::register(&mut registry)
        };
        Arc::new(Hub {
            edge,
            head,
            query,
            web,
            query_pool,
            gateway,
            upkeep,
            stores,
            query_log,
            random,
            dirs,
            receive,
            bodies: BodyBudget::new(MAX_BODY_BYTES_IN_FLIGHT),
            decoders: Decoders::default(),
            census,
        })
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
        self.edge.reload(self.query_log.iter().map(|log| log.reopen().map(drop)))
    }

    /// The tenants that a reader sees and that have data, by name.
    pub fn visible_tenants(&self, scope: &ReadScope) -> Vec<Tenant> {
        let all = self.head.tenant_names();
        match scope {
            ReadScope::All => all,
            ReadScope::Only(one) => all.into_iter().filter(|tenant| tenant == one).collect(),
        }
    }

    /// All series that a reader sees: those of this process, and those of other stores.
    pub fn queryable(&self, scope: &ReadScope) -> Arc<dyn Queryable> {
        let own = self.own(scope);
        let Some(stores) = &self.stores else { return own };
        let also = match scope {
            ReadScope::All => Vec::new(),
            ReadScope::Only(tenant) => vec![Matcher::equal(self.head.tenant_label(), tenant.as_str())],
        };
        Arc::new(Merged::new(vec![own, Arc::new(stores.view(also))]))
    }

    /// All series of this process that a reader sees, in memory, in local blocks and in the bucket, with their
    /// external labels.
    pub fn own(&self, scope: &ReadScope) -> Arc<dyn Queryable> {
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
        let others = self
            .gateway
            .as_ref()?
            .streams(move |labels| is_seen(&scope, labels, &tenant_label) && !known.contains(labels));
        others.has(TimeRange::ALL).then(|| Arc::new(others) as Arc<dyn Queryable>)
    }
}

/// Whether a reader sees what has these external labels.
pub(crate) fn is_seen(scope: &ReadScope, external: &Labels, tenant_label: &str) -> bool {
    match scope {
        ReadScope::All => true,
        ReadScope::Only(tenant) => external.get(tenant_label) == tenant.as_str(),
    }
}
