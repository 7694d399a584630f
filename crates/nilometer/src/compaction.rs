//! Compaction, wired: the compactor over a bucket, with the retention of this process and of each tenant.

use anyhow::Result;
use nilometer_access::{Access, TenantRetention};
use nilometer_bucket::Lookout;
use nilometer_compact::lifecycle::{Delays, Periods, Retention};
use nilometer_compact::{Compactor, CompactorOptions, Dedup, Parts, Planner, Work};
use nilometer_model::Relabel;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What flags say of it.
#[derive(Clone, Debug)]
pub(crate) struct CompactionOptions {
    pub(crate) planner: Planner,
    pub(crate) delays: Delays,
    pub(crate) dedup: Dedup,
    pub(crate) replica_labels: Vec<String>,
    pub(crate) hash_files: bool,
    pub(crate) periods: Periods,
    pub(crate) downsampling: bool,
    pub(crate) every: Duration,
    pub(crate) lease_term: Duration,
    pub(crate) dir: PathBuf,
}

/// `tenants`: who says how long a tenant's samples are kept, and the label that names tenants.
pub(crate) fn open(
    options: &CompactionOptions,
    lookout: Arc<Lookout>,
    parts: Parts,
    tenants: Option<(Access, String)>,
    registry: &mut Registry,
) -> Result<Compactor> {
    let (all, downsampling) = (options.periods, options.downsampling);
    let retention = move || {
        let (own, tenant_label) = match &tenants {
            Some((access, label)) => (access.retentions(), label.clone()),
            None => (Vec::new(), String::new()),
        };
        let of_tenants = own.into_iter().map(|(tenant, own)| (tenant.to_string(), periods(all, own)));
        let tenants: BTreeMap<String, Periods> = of_tenants.collect();
        Retention { all, tenants, tenant_label, downsampling }
    };
    let options = CompactorOptions {
        planner: options.planner.clone(),
        delays: options.delays,
        dedup: options.dedup,
        replica_labels: options.replica_labels.clone(),
        hash_files: options.hash_files,
        dir: options.dir.clone(),
        lease_term: options.lease_term,
        work: Work::default(),
        selector: Relabel::default(),
    };
    Ok(Compactor::open(lookout, parts, options, retention, registry)?)
}

/// A tenant's own periods, where it has any, and else those of all.
fn periods(all: Periods, own: TenantRetention) -> Periods {
    Periods {
        raw_ms: own.raw_ms.unwrap_or(all.raw_ms),
        five_minutes_ms: own.five_minutes_ms.unwrap_or(all.five_minutes_ms),
        one_hour_ms: own.one_hour_ms.unwrap_or(all.one_hour_ms),
    }
}
