//! The hub's own metrics as samples of its own tenant, so that a fresh start has something to query.

use crate::Hub;
use crate::exposition::{open_metrics, scrape};
use crate::series_policy::TenantPolicy;
use nilometer_model::Result;
use nilometer_wire::remote_write::encode::{SentSeries, v1};
use nilometer_wire::remote_write::{FloatSample, Limits, Message, WriteRequest};
use std::sync::Arc;

/// Scrapes the hub itself, like a target with the labels that Prometheus would give it.
pub struct SelfMetrics {
    hub: Arc<Hub>,
    instance: String,
    request: WriteRequest,
}

impl SelfMetrics {
    /// `instance` is the HTTP address.
    pub fn new(hub: Arc<Hub>, instance: impl Into<String>) -> Self {
        SelfMetrics { hub, instance: instance.into(), request: WriteRequest::default() }
    }

    /// Stores all own metrics as of now.
    pub async fn store(&mut self) -> Result<()> {
        let appended = {
            let hub = &self.hub;
            let extra = [("job", "nilometer"), ("instance", self.instance.as_str())];
            let mut scraped = scrape(&open_metrics(&hub.registry.read()), &extra);
            let up = [("__name__", "up")].into_iter().chain(extra);
            scraped.series.push((nilometer_model::Labels::from_pairs(up), 1.0));
            let t_ms = hub.clock.wall_ms();
            let sent = |(labels, v): &(nilometer_model::Labels, f64)| SentSeries {
                samples: vec![FloatSample { t_ms, v: *v, start_ms: 0 }],
                ..SentSeries::new(labels)
            };
            let series: Vec<_> = scraped.series.iter().map(sent).collect();
            self.request.read_plain(Message::V1, &v1(&series, &scraped.families), &Limits::default())?;
            let tenant = hub.access.reserved_tenant();
            let policy = TenantPolicy { state: &tenant, hub_full_at_series: None };
            hub.head.append(&tenant.tenant, &self.request, &policy)?
        };
        if !appended.refused.is_empty() {
            tracing::warn!(refused = %appended.refused, "some own metrics were not stored");
        }
        self.hub.head.durable(&appended).await?;
        let tenant = self.hub.access.reserved_tenant();
        self.hub.census.stored(&tenant.tenant, appended.samples, appended.histograms);
        Ok(())
    }
}
