//! What every tenant has at this time, and how fast it grows: counted once a second, asked for often.

mod flow;

use flow::Flow;
use nilometer_access::Access;
use nilometer_head::{Head, TenantInfo};
use nilometer_model::Tenant;
use parking_lot::RwLock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[derive(Debug, Default)]
pub(crate) struct Census {
    series: AtomicU64,
    tenants: RwLock<Arc<[Counted]>>,
    /// Of those tenants only that the head has, so there are no more of them than there may be.
    flows: RwLock<HashMap<Tenant, Arc<Flow>>>,
}

/// A tenant as of the last count.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub(crate) info: TenantInfo,
    /// Stored samples a second, over the last minute; `None` until there are two counts.
    pub(crate) samples_per_second: Option<f64>,
    flow: Arc<Flow>,
}

impl Census {
    /// `now` is the process' time.
    pub(crate) fn take(&self, head: &Head, now: Duration) {
        self.count(head.tenants(), now);
    }

    fn count(&self, tenants: Vec<TenantInfo>, now: Duration) {
        self.series.store(tenants.iter().map(|t| t.series).sum(), Ordering::Relaxed);
        let mut flows = self.flows.write();
        let counted = tenants.into_iter().map(|info| {
            let flow = flows.entry(info.name.clone()).or_default().clone();
            Counted { samples_per_second: flow.look(now), info, flow }
        });
        let mut counted: Vec<Counted> = counted.collect();
        counted.sort_by(|a, b| a.info.name.cmp(&b.info.name));
        if flows.len() > counted.len() {
            flows.retain(|name, _| counted.binary_search_by(|c| c.info.name.cmp(name)).is_ok());
        }
        drop(flows);
        *self.tenants.write() = counted.into();
    }

    /// So many samples and histograms of a request were stored.
    pub(crate) fn stored(&self, tenant: &Tenant, samples: u64, histograms: u64) {
        let flow = self.flows.read().get(tenant).cloned();
        let flow = flow.unwrap_or_else(|| self.flows.write().entry(tenant.clone()).or_default().clone());
        flow.add(samples, histograms);
    }

    /// By name.
    pub(crate) fn tenants(&self) -> Arc<[Counted]> {
        self.tenants.read().clone()
    }

    /// The limit of series of all tenants together, where no new ones may be made.
    pub(crate) fn full_at(&self, access: &Access) -> Option<u64> {
        let max = access.hub_limits().active_series;
        (self.series.load(Ordering::Relaxed) >= max).then_some(max)
    }
}

/// The census as metrics, by the names and the `tenant` label that Thanos Receive gives them.
#[derive(Debug)]
pub(crate) struct CensusMetrics(pub(crate) Arc<Census>);

impl Collector for CensusMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let tenants = self.0.tenants();
        type Value = fn(&TenantInfo) -> Option<f64>;
        let families: [(&str, &str, Value); 4] = [
            ("prometheus_tsdb_head_series", "Series in memory", |t| Some(t.series as f64)),
            ("prometheus_tsdb_blocks_loaded", "Local blocks", |t| Some(t.blocks as f64)),
            ("prometheus_tsdb_lowest_timestamp_seconds", "Time of the oldest local sample", |t| {
                t.min_ms.map(|ms| ms as f64 / 1_000.0)
            }),
            ("nilometer_tenant_newest_sample_seconds", "Time of the newest sample", |t| {
                t.max_ms.map(|ms| ms as f64 / 1_000.0)
            }),
        ];
        for (name, help, value) in families {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for tenant in tenants.iter() {
                let Some(value) = value(&tenant.info) else { continue };
                let labels = [("tenant", tenant.info.name.as_str())];
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        let (name, help) = ("prometheus_tsdb_head_samples_appended", "Samples stored since the start");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for tenant in tenants.iter() {
            let (floats, histograms) = tenant.flow.stored();
            for (kind, count) in [("float", floats), ("histogram", histograms)] {
                let labels = [("tenant", tenant.info.name.as_str()), ("type", kind)];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
impl Counted {
    pub(crate) fn of(info: TenantInfo, samples_per_second: Option<f64>) -> Counted {
        Counted { info, samples_per_second, flow: Arc::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::plain_text;
    use expect_test::expect;
    use prometheus_client::registry::Registry;

    fn info(name: &str, series: u64) -> TenantInfo {
        let name = Tenant::new(name).unwrap();
        TenantInfo { name, series, blocks: 2, min_ms: Some(1_500), max_ms: None }
    }

    #[test]
    fn as_metrics() {
        let census = Arc::new(Census::default());
        census.count(vec![info("b", 7), info("a", 5)], Duration::ZERO);
        census.stored(&Tenant::new("b").unwrap(), 10, 3);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(CensusMetrics(census)));
        expect![[r##"
            # HELP prometheus_tsdb_head_series Series in memory
            # TYPE prometheus_tsdb_head_series gauge
            prometheus_tsdb_head_series{tenant="a"} 5.0
            prometheus_tsdb_head_series{tenant="b"} 7.0
            # HELP prometheus_tsdb_blocks_loaded Local blocks
            # TYPE prometheus_tsdb_blocks_loaded gauge
            prometheus_tsdb_blocks_loaded{tenant="a"} 2.0
            prometheus_tsdb_blocks_loaded{tenant="b"} 2.0
            # HELP prometheus_tsdb_lowest_timestamp_seconds Time of the oldest local sample
            # TYPE prometheus_tsdb_lowest_timestamp_seconds gauge
            prometheus_tsdb_lowest_timestamp_seconds{tenant="a"} 1.5
            prometheus_tsdb_lowest_timestamp_seconds{tenant="b"} 1.5
            # HELP nilometer_tenant_newest_sample_seconds Time of the newest sample
            # TYPE nilometer_tenant_newest_sample_seconds gauge
            # HELP prometheus_tsdb_head_samples_appended_total Samples stored since the start
            # TYPE prometheus_tsdb_head_samples_appended_total counter
            prometheus_tsdb_head_samples_appended_total{tenant="a",type="float"} 0
            prometheus_tsdb_head_samples_appended_total{tenant="a",type="histogram"} 0
            prometheus_tsdb_head_samples_appended_total{tenant="b",type="float"} 10
            prometheus_tsdb_head_samples_appended_total{tenant="b",type="histogram"} 3
        "##]]
        .assert_eq(&plain_text(&registry));
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let census = Census::default();
        census.count(vec![info("a", 1), info("b", 1)], Duration::ZERO);
        census.stored(&Tenant::new("a").unwrap(), 60, 0);
        census.count(vec![info("a", 1)], Duration::from_secs(30));
        assert_eq!(census.tenants()[0].samples_per_second, Some(2.0));
        assert_eq!(census.flows.read().len(), 1);
        // Written to, and not counted yet.
        census.stored(&Tenant::new("c").unwrap(), 60, 0);
        census.count(vec![info("a", 1), info("c", 1)], Duration::from_secs(31));
        assert_eq!(census.tenants()[1].flow.stored(), (60, 0));
    }
}
