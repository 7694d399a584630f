//! What the edges count of themselves, by Thanos' names where they exist.
//!
//! Labels are bounded: handlers and methods are fixed sets, tenants at most [`MAX_TENANT_LABELS`], the rest
//! together as `other`.

use nilometer_model::Tenant;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// So many tenants have labels of their own.
const MAX_TENANT_LABELS: usize = 1_000;

/// Thanos' buckets, in seconds.
pub(crate) const SECONDS: [f64; 17] =
    [0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0, 360.0, 720.0];
const BYTES: [f64; 9] =
    [128.0, 1_024.0, 8_192.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 1.6777216e7, 1.34217728e8];
/// Thanos' buckets of series and samples in a request.
const AMOUNTS: [f64; 7] = [10.0, 50.0, 100.0, 500.0, 1_000.0, 5_000.0, 10_000.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    code: u16,
    handler: &'static str,
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandlerLabels {
    handler: &'static str,
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReceiveLabels {
    code: u16,
    tenant: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    reason: &'static str,
    tenant: Arc<str>,
}

#[derive(Clone, Copy)]
pub(crate) struct Buckets(pub(crate) &'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

pub(crate) type Histograms<L> = Family<L, Histogram, Buckets>;

pub(crate) struct Metrics {
    requests: Family<RequestLabels, Counter>,
    seconds: Histograms<RequestLabels>,
    in_flight: Family<HandlerLabels, Gauge>,
    pub(crate) connections: ConnectionMetrics,
    pub(crate) ready: Gauge,
    pub(crate) insecure_listeners: Gauge,
}

#[derive(Clone, Default)]
pub(crate) struct ConnectionMetrics {
    pub(crate) open: Gauge,
    pub(crate) accepted: Counter,
    /// Closed at once: there were as many as there may be.
    pub(crate) refused: Counter,
    /// Closed for being too slow to send a request.
    pub(crate) timed_out: Counter,
    pub(crate) tls_failures: Counter,
    /// Answers that were not read in time, and were given up.
    pub(crate) unread: Counter,
}

pub(crate) struct ReceiveMetrics {
    series: Histograms<ReceiveLabels>,
    samples: Histograms<ReceiveLabels>,
    request_bytes: Histograms<HandlerLabels>,
    refused: Family<RefusedLabels, Counter>,
    pub(crate) pending: Gauge,
    labelled: Mutex<HashSet<Arc<str>>>,
}

/// What one write came to, as its answer says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteOutcome {
    pub(crate) code: u16,
    pub(crate) series: usize,
    pub(crate) samples: usize,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let m = Metrics {
            requests: Family::default(),
            seconds: Family::new_with_constructor(Buckets(&SECONDS)),
            in_flight: Family::default(),
            connections: ConnectionMetrics::default(),
            ready: Gauge::default(),
            insecure_listeners: Gauge::default(),
        };
        let r = registry;
        r.register("http_requests", "Requests answered", m.requests.clone());
        let help = "Time from a request's head to its answer's head";
        r.register("http_request_duration_seconds", help, m.seconds.clone());
        r.register("http_inflight_requests", "Requests that are being answered", m.in_flight.clone());
        let c = &m.connections;
        r.register("nilometer_connections", "Open connections", c.open.clone());
        r.register("nilometer_connections_accepted", "Connections accepted", c.accepted.clone());
        let help = "Connections closed at once, since there were as many as there may be (connections)";
        r.register("nilometer_connections_refused", help, c.refused.clone());
        let help = "Connections closed because no whole request came in time";
        r.register("nilometer_connections_timed_out", help, c.timed_out.clone());
        let help = "Answers given up because their client did not read them in time (--http.unread-timeout)";
        r.register("nilometer_answers_unread", help, c.unread.clone());
        r.register("nilometer_tls_handshake_failures", "TLS handshakes that failed", c.tls_failures.clone());
        r.register("nilometer_ready", "1 while writes and queries are taken", m.ready.clone());
        let help = "Listeners that ask for no credentials and can be reached from elsewhere";
        r.register("nilometer_insecure_listeners", help, m.insecure_listeners.clone());
        m
    }

    pub(crate) fn begin(&self, handler: &'static str, method: &'static str) -> InFlight {
        let gauge = self.in_flight.get_or_create(&HandlerLabels { handler, method }).clone();
        gauge.inc();
        InFlight(gauge)
    }

    pub(crate) fn answered(&self, handler: &'static str, method: &'static str, code: u16, took: Duration) {
        let labels = RequestLabels { code, handler, method };
        self.requests.get_or_create(&labels).inc();
        self.seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }
}

/// Counts as long as it lives.
pub(crate) struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl ReceiveMetrics {
    pub(crate) fn register(r: &mut Registry) -> Self {
        let m = ReceiveMetrics {
            series: Family::new_with_constructor(Buckets(&AMOUNTS)),
            samples: Family::new_with_constructor(Buckets(&AMOUNTS)),
            request_bytes: Family::new_with_constructor(Buckets(&BYTES)),
            refused: Family::default(),
            pending: Gauge::default(),
            labelled: Mutex::default(),
        };
        let help = "Bytes of request bodies as they were sent";
        r.register("http_request_size_bytes", help, m.request_bytes.clone());
        let help = "Series in write requests";
        r.register("thanos_receive_write_timeseries", help, m.series.clone());
        let help = "Samples and histograms in write requests";
        r.register("thanos_receive_write_samples", help, m.samples.clone());
        let help = "Write requests that are being received or wait for the disk";
        r.register("thanos_receive_pending_write_requests", help, m.pending.clone());
        let help = "Samples, series without samples and exemplars refused, while the rest of their request was stored";
        r.register("nilometer_receive_refused_samples", help, m.refused.clone());
        m
    }

    pub(crate) fn begin(&self) -> InFlight {
        self.pending.inc();
        InFlight(self.pending.clone())
    }

    pub(crate) fn body(&self, bytes: usize) {
        let labels = HandlerLabels { handler: "receive", method: "post" };
        self.request_bytes.get_or_create(&labels).observe(bytes as f64);
    }

    pub(crate) fn written(&self, tenant: &Tenant, outcome: WriteOutcome) {
        let labels = ReceiveLabels { code: outcome.code, tenant: self.label(tenant) };
        self.series.get_or_create(&labels).observe(outcome.series as f64);
        self.samples.get_or_create(&labels).observe(outcome.samples as f64);
    }

    pub(crate) fn refused(&self, tenant: &Tenant, refused: &nilometer_head::Refused) {
        for reason in nilometer_head::Reason::ALL {
            let count = refused.count(reason);
            if count > 0 {
                let labels = RefusedLabels { reason: reason.as_str(), tenant: self.label(tenant) };
                self.refused.get_or_create(&labels).inc_by(count);
            }
        }
    }

    fn label(&self, tenant: &Tenant) -> Arc<str> {
        let mut labelled = self.labelled.lock();
        if let Some(known) = labelled.get(tenant.as_str()) {
            return known.clone();
        }
        if labelled.len() >= MAX_TENANT_LABELS {
            return Arc::from("other");
        }
        let name: Arc<str> = Arc::from(tenant.as_str());
        labelled.insert(name.clone());
        name
    }
}
