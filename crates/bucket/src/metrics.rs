//! What is counted of buckets, by Thanos' names where it has them.

use nilometer_env::Clock;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::Arc;

/// Thanos' buckets.
const SECONDS: [f64; 14] = [0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0];
/// 32 KiB to 1 GiB, each twice the one before.
const BYTES: [f64; 16] = {
    let mut bytes = [32_768.0; 16];
    let mut i = 1;
    while i < bytes.len() {
        bytes[i] = bytes[i - 1] * 2.0;
        i += 1;
    }
    bytes
};

/// What is done with a bucket, by Thanos' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Iter,
    Get,
    GetRange,
    Exists,
    Upload,
    Delete,
    Attributes,
    /// Thanos has none.
    Copy,
}

impl Operation {
    pub(crate) const ALL: [Operation; 8] = [
        Operation::Iter,
        Operation::Get,
        Operation::GetRange,
        Operation::Exists,
        Operation::Upload,
        Operation::Delete,
        Operation::Attributes,
        Operation::Copy,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Operation::Iter => "iter",
            Operation::Get => "get",
            Operation::GetRange => "get_range",
            Operation::Exists => "exists",
            Operation::Upload => "upload",
            Operation::Delete => "delete",
            Operation::Attributes => "attributes",
            Operation::Copy => "copy",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOperation {
    bucket: Arc<str>,
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByBucket {
    bucket: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    bucket: Arc<str>,
    result: &'static str,
}

#[derive(Clone, Copy)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

type Histograms = Family<ByOperation, Histogram, Buckets>;

/// One set for all buckets of a process. A clone counts the same.
#[derive(Clone)]
pub struct BucketMetrics {
    operations: Family<ByOperation, Counter>,
    failures: Family<ByOperation, Counter>,
    seconds: Histograms,
    fetched: Family<ByOperation, Counter>,
    transferred: Histograms,
    last_upload: Family<ByBucket, Gauge>,
    retries: Family<ByOperation, Counter>,
    hedges: Family<ByBucket, Counter>,
    reloads: Family<ByResult, Counter>,
}

impl BucketMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let m = BucketMetrics {
            operations: Family::default(),
            failures: Family::default(),
            seconds: Family::new_with_constructor(Buckets(&SECONDS)),
            fetched: Family::default(),
            transferred: Family::new_with_constructor(Buckets(&BYTES)),
            last_upload: Family::default(),
            retries: Family::default(),
            hedges: Family::default(),
            reloads: Family::default(),
        };
        let thanos = registry.sub_registry_with_prefix("thanos_objstore_bucket");
        thanos.register("operations", "Operations on a bucket", m.operations.clone());
        let help = "Operations on a bucket that failed in a way that should be looked into";
        thanos.register("operation_failures", help, m.failures.clone());
        let help = "Time that successful operations on a bucket took, retries included";
        thanos.register("operation_duration_seconds", help, m.seconds.clone());
        thanos.register("operation_fetched_bytes", "Bytes that came from a bucket", m.fetched.clone());
        let help = "Bytes from or to a bucket per operation";
        thanos.register("operation_transferred_bytes", help, m.transferred.clone());
        let help = "When an upload last succeeded, in seconds since 1970";
        thanos.register("last_successful_upload_time", help, m.last_upload.clone());
        let ours = registry.sub_registry_with_prefix("nilometer_objstore");
        ours.register("operation_retries", "Attempts after the first", m.retries.clone());
        ours.register("hedged_reads", "Reads asked for again because the first took long", m.hedges.clone());
        ours.register("config_reloads", "Loads of the objstore config", m.reloads.clone());
        m
    }

    pub(crate) fn of(&self, bucket: &str, clock: Arc<dyn Clock>) -> Meter {
        let meter = Meter { metrics: self.clone(), bucket: bucket.into(), clock };
        // All from the start, so that a rate over the first failure is one.
        for operation in Operation::ALL {
            let labels = meter.labels(operation);
            drop(self.operations.get_or_create(&labels));
            drop(self.failures.get_or_create(&labels));
            drop(self.seconds.get_or_create(&labels));
        }
        drop(self.last_upload.get_or_create(&ByBucket { bucket: meter.bucket.clone() }));
        meter
    }
}

/// The metrics of one bucket.
pub(crate) struct Meter {
    metrics: BucketMetrics,
    bucket: Arc<str>,
    clock: Arc<dyn Clock>,
}

impl Meter {
    fn labels(&self, operation: Operation) -> ByOperation {
        ByOperation { bucket: self.bucket.clone(), operation: operation.as_str() }
    }

    pub(crate) fn started(&self, operation: Operation) {
        self.metrics.operations.get_or_create(&self.labels(operation)).inc();
    }

    pub(crate) fn failed(&self, operation: Operation) {
        self.metrics.failures.get_or_create(&self.labels(operation)).inc();
    }

    pub(crate) fn succeeded(&self, operation: Operation, seconds: f64) {
        self.metrics.seconds.get_or_create(&self.labels(operation)).observe(seconds);
        if operation == Operation::Upload {
            let labels = ByBucket { bucket: self.bucket.clone() };
            self.metrics.last_upload.get_or_create(&labels).set(self.clock.wall_ms() / 1_000);
        }
    }

    pub(crate) fn transferred(&self, operation: Operation, bytes: u64) {
        let labels = self.labels(operation);
        if matches!(operation, Operation::Get | Operation::GetRange) {
            self.metrics.fetched.get_or_create(&labels).inc_by(bytes);
        }
        self.metrics.transferred.get_or_create(&labels).observe(bytes as f64);
    }

    pub(crate) fn retried(&self, operation: Operation) {
        self.metrics.retries.get_or_create(&self.labels(operation)).inc();
    }

    pub(crate) fn hedged(&self) {
        self.metrics.hedges.get_or_create(&ByBucket { bucket: self.bucket.clone() }).inc();
    }

    pub(crate) fn reloaded(&self, result: &'static str) {
        self.metrics.reloads.get_or_create(&ByResult { bucket: self.bucket.clone(), result }).inc();
    }
}
