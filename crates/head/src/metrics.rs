//! What the head counts of itself.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Default)]
pub(crate) struct Metrics {
    pub(crate) corruptions: Counter,
    pub(crate) log_failures: Counter,
    pub(crate) log_tails: Counter,
    pub(crate) cuts: Counter,
    pub(crate) cut_failures: Counter,
    pub(crate) snapshots: Counter,
    pub(crate) snapshot_failures: Counter,
    pub(crate) read_only: Gauge,
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let head = registry.sub_registry_with_prefix("nilometer_head");
        head.register(
            "corruptions",
            "Damaged records and chunks met, each named in the log",
            self.corruptions.clone(),
        );
        head.register(
            "log_failures",
            "Flushes of the write-ahead log that failed",
            self.log_failures.clone(),
        );
        head.register("snapshots", "Snapshots written", self.snapshots.clone());
        head.register(
            "snapshot_failures",
            "Snapshots that could not be written",
            self.snapshot_failures.clone(),
        );
        head.register(
            "read_only",
            "1 while writes are refused because the disk is nearly full",
            self.read_only.clone(),
        );
        let tsdb = registry.sub_registry_with_prefix("prometheus_tsdb");
        tsdb.register("compactions", "Blocks cut from the head", self.cuts.clone());
        tsdb.register(
            "compactions_failed",
            "Cuts that failed and will be tried again",
            self.cut_failures.clone(),
        );
    }
}
