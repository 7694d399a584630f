//! A tenant while the hub runs: its settings, and what it uses at this moment.

use crate::config::TenantSettings;
use crate::limits::{OverRate, TenantLimits};
use crate::policy::LabelPolicy;
use crate::rate::{Bucket, Rate};
use crate::refusal::{Reason, Refusal};
use crate::retention::TenantRetention;
use nilometer_model::Tenant;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Settings of a tenant as of one load of the tenants file, and its meters, which outlive that.
#[derive(Debug)]
pub struct TenantState {
    pub tenant: Tenant,
    pub limits: TenantLimits,
    pub labels: LabelPolicy,
    pub retention: TenantRetention,
    pub(crate) meters: Arc<Meters>,
}

impl TenantState {
    pub(crate) fn new(settings: TenantSettings, generation: u64, meters: Arc<Meters>) -> Self {
        let TenantSettings { tenant, limits, labels, retention } = settings;
        TenantState { tenant, limits, labels: LabelPolicy::new(labels, generation), retention, meters }
    }
}

/// What is in use, of a tenant or of the whole hub.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    samples: Bucket,
    requests: AtomicU64,
}

impl Meters {
    /// One more request, or `false` where there are `max` already.
    fn enter(&self, max: u64) -> bool {
        self.requests.fetch_update(Relaxed, Relaxed, |n| (n < max).then_some(n + 1)).is_ok()
    }
}

/// Requests of a tenant that were let in; dropping it lets the next in.
#[derive(Debug)]
#[must_use = "a request counts as long as this lives"]
pub struct InFlight {
    entered: [Option<Arc<Meters>>; 2],
}

impl Drop for InFlight {
    fn drop(&mut self) {
        for meters in self.entered.iter().flatten() {
            meters.requests.fetch_sub(1, Relaxed);
        }
    }
}

pub(crate) fn enter(hub: (&Arc<Meters>, u64), tenant: Option<&TenantState>) -> Result<InFlight, Refusal> {
    let (hub, max) = hub;
    let soon = Duration::from_secs(1);
    if !hub.enter(max) {
        let message = format!("{max} requests are being worked on, and that is all there may be: retry");
        return Err(Refusal::retry(Reason::HubRequests, soon, message));
    }
    let mut guard = InFlight { entered: [Some(hub.clone()), None] };
    if let Some(state) = tenant {
        let max = state.limits.concurrent_requests;
        if !state.meters.enter(max) {
            let message = format!(
                "{max} requests of tenant {} are being worked on, and that is its limit \
                 (concurrent_requests): retry",
                state.tenant
            );
            return Err(Refusal::retry(Reason::TenantRequests, soon, message));
        }
        guard.entered[1] = Some(state.meters.clone());
    }
    Ok(guard)
}

/// Charges all samples of a request, to the tenant and to the hub, or none of them to either.
pub(crate) fn admit_samples(
    hub: (&Meters, Rate),
    state: &TenantState,
    samples: u64,
    now: Duration,
) -> Result<(), Refusal> {
    let rate = state.limits.rate();
    if let Err(wait) = state.meters.samples.take(samples, rate, now) {
        let reason = match state.limits.over_rate {
            OverRate::Drop => Reason::TenantRate,
            OverRate::Retry => Reason::TenantRateRetry,
        };
        let message = format!(
            "tenant {} is over its {} samples a second (limit samples_per_second): retry later",
            state.tenant, rate.per_second
        );
        return Err(Refusal::retry(reason, wait, message));
    }
    let (hub, hub_rate) = hub;
    hub.samples.take(samples, hub_rate, now).map_err(|wait| {
        state.meters.samples.give_back(samples, rate);
        let message = format!(
            "all tenants together are over the hub's {} samples a second (limit hub.limits.samples_per_second): \
             retry later",
            hub_rate.per_second
        );
        Refusal::retry(Reason::HubRate, wait, message)
    })
}
