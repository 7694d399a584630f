//! What access says of itself on `/metrics`.

use crate::refusal::Reason;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    result: &'static str,
}

pub(crate) struct Metrics {
    refused: Family<ByReason, Counter>,
    pub(crate) cache_hits: Counter,
    hashes: Family<ByResult, Counter>,
    pub(crate) hash_seconds: Histogram,
    pub(crate) hash_queue: Gauge,
    reloads: Family<ByResult, Counter>,
    last_reload_ok: Gauge,
    last_reload_ok_time: Gauge,
    pub(crate) tenants: Gauge,
}

impl Metrics {
    /// What is said of the tenants file, is said only where there is one: an alert on a reload that failed has
    /// nothing to look at otherwise.
    pub(crate) fn register(registry: &mut Registry, has_tenants_file: bool) -> Self {
        let m = Metrics {
            refused: Family::default(),
            cache_hits: Counter::default(),
            hashes: Family::default(),
            hash_seconds: Histogram::new(exponential_buckets(0.01, 2.0, 10)),
            hash_queue: Gauge::default(),
            reloads: Family::default(),
            last_reload_ok: Gauge::default(),
            last_reload_ok_time: Gauge::default(),
            tenants: Gauge::default(),
        };
        // All from the start, so that a rate over the first failure is one.
        for reason in Reason::ALL {
            drop(m.refused.get_or_create(&ByReason { reason: reason.as_str() }));
        }
        for result in ["right", "wrong"] {
            drop(m.hashes.get_or_create(&ByResult { result }));
        }
        for result in ["changed", "unchanged", "failed"] {
            drop(m.reloads.get_or_create(&ByResult { result }));
        }
        let r = registry;
        let help = "Requests refused before anything of them was stored or computed";
        r.register("nilometer_access_refused", help, m.refused.clone());
        let help = "Passwords found in the cache of verified ones";
        r.register("nilometer_access_credential_cache_hits", help, m.cache_hits.clone());
        r.register("nilometer_access_password_hashes", "Password hashes computed", m.hashes.clone());
        let help = "Time that a password hash took";
        r.register("nilometer_access_password_hash_seconds", help, m.hash_seconds.clone());
        let help = "Credentials that wait for their hash";
        r.register("nilometer_access_password_hash_queue_length", help, m.hash_queue.clone());
        r.register("nilometer_tenants", "Tenants that were written to or are configured", m.tenants.clone());
        if has_tenants_file {
            r.register("nilometer_tenants_config_reloads", "Loads of the tenants file", m.reloads.clone());
            let help = "1 if the tenants file is loaded as it is, 0 if an older one is in use";
            r.register("nilometer_tenants_config_last_reload_successful", help, m.last_reload_ok.clone());
            let help = "When the tenants file was last loaded successfully";
            r.register(
                "nilometer_tenants_config_last_reload_success_timestamp_seconds",
                help,
                m.last_reload_ok_time.clone(),
            );
        }
        m
    }

    pub(crate) fn refused(&self, reason: Reason) {
        self.refused.get_or_create(&ByReason { reason: reason.as_str() }).inc();
    }

    pub(crate) fn hashed(&self, right: bool, seconds: f64) {
        self.hashes.get_or_create(&ByResult { result: if right { "right" } else { "wrong" } }).inc();
        self.hash_seconds.observe(seconds);
    }

    pub(crate) fn loaded(&self, changed: bool, wall_ms: i64) {
        let result = if changed { "changed" } else { "unchanged" };
        self.reloads.get_or_create(&ByResult { result }).inc();
        self.last_reload_ok.set(1);
        self.last_reload_ok_time.set(wall_ms / 1_000);
    }

    pub(crate) fn load_failed(&self) {
        self.reloads.get_or_create(&ByResult { result: "failed" }).inc();
        self.last_reload_ok.set(0);
    }
}
