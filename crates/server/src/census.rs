//! What every tenant has at this time: counted once a second, asked for often.

use nilometer_access::Access;
use nilometer_head::{Head, TenantInfo};
use parking_lot::RwLock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub(crate) struct Census {
    series: AtomicU64,
    tenants: RwLock<Arc<[TenantInfo]>>,
}

impl Census {
    pub(crate) fn take(&self, head: &Head) {
        let tenants = head.tenants();
        self.series.store(tenants.iter().map(|t| t.series).sum(), Ordering::Relaxed);
        *self.tenants.write() = tenants.into();
    }

    pub(crate) fn tenants(&self) -> Arc<[TenantInfo]> {
        self.tenants.read().clone()
    }

    /// Whether new series may be made, as far as the hub as a whole goes.
    pub(crate) fn has_room(&self, access: &Access) -> bool {
        self.series.load(Ordering::Relaxed) < access.hub_limits().active_series
    }
}

/// The census as metrics.
#[derive(Debug)]
pub(crate) struct CensusMetrics(pub(crate) Arc<Census>);

impl Collector for CensusMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let tenants = self.0.tenants();
        type Value = fn(&TenantInfo) -> Option<f64>;
        let families: [(&str, &str, Value); 3] = [
            ("nilometer_tenant_series", "Series in memory", |t| Some(t.series as f64)),
            ("nilometer_tenant_blocks", "Local blocks", |t| Some(t.blocks as f64)),
            ("nilometer_tenant_newest_sample_seconds", "Time of the newest sample", |t| {
                t.max_ms.map(|ms| ms as f64 / 1_000.0)
            }),
        ];
        for (name, help, value) in families {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for tenant in tenants.iter() {
                let Some(value) = value(tenant) else { continue };
                let labels = [("tenant", tenant.name.as_str())];
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
