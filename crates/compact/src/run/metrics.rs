//! What compaction counts, under Thanos' names where it has one.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct ByResolution {
    pub(crate) resolution: i64,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct ByMark {
    pub(crate) marker: &'static str,
    pub(crate) reason: &'static str,
}

#[derive(Clone, Default)]
pub(crate) struct Metrics {
    pub(crate) iterations: Counter,
    pub(crate) retries: Counter,
    pub(crate) compactions: Family<ByResolution, Counter>,
    pub(crate) compaction_failures: Family<ByResolution, Counter>,
    pub(crate) vertical: Family<ByResolution, Counter>,
    pub(crate) downsamples: Family<ByResolution, Counter>,
    pub(crate) downsample_failures: Family<ByResolution, Counter>,
    pub(crate) garbage: Counter,
    pub(crate) marked: Family<ByMark, Counter>,
    pub(crate) cleaned: Counter,
    pub(crate) cleanup_failures: Counter,
    pub(crate) aborted_uploads: Counter,
    pub(crate) todo_compactions: Gauge,
    pub(crate) todo_blocks: Gauge,
    pub(crate) todo_bytes: Gauge,
    pub(crate) todo_downsamples: Gauge,
    pub(crate) todo_deletions: Gauge,
    pub(crate) halted: Gauge,
    pub(crate) quarantined: Gauge,
    pub(crate) left_out: Gauge,
    pub(crate) broken: Gauge,
    pub(crate) holds_lease: Gauge,
    pub(crate) foreign: Counter,
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let thanos = registry.sub_registry_with_prefix("thanos_compact");
        let m = self.clone();
        thanos.register("iterations", "Rounds that came to their end", m.iterations);
        thanos.register("retries", "Rounds that did not, and are tried again", m.retries);
        thanos.register("group_compactions", "Compactions done", m.compactions);
        thanos.register("group_compactions_failures", "Compactions that failed", m.compaction_failures);
        thanos.register("group_vertical_compactions", "Compactions of blocks that overlap", m.vertical);
        thanos.register("downsample", "Blocks that were thinned out", m.downsamples);
        thanos.register("downsample_failures", "Blocks that could not be", m.downsample_failures);
        let help = "Blocks marked because another has all that went into them";
        thanos.register("garbage_collected_blocks", help, m.garbage);
        thanos.register("blocks_marked", "Marks put, by kind and reason", m.marked);
        thanos.register("blocks_cleaned", "Blocks deleted", m.cleaned);
        thanos.register("block_cleanup_failures", "Blocks that could not be deleted", m.cleanup_failures);
        thanos.register(
            "aborted_partial_uploads_deletion_attempts",
            "Uploads given up and removed",
            m.aborted_uploads,
        );
        thanos.register("todo_compactions", "Compactions that are due", m.todo_compactions);
        thanos.register("todo_compaction_blocks", "Blocks in them", m.todo_blocks);
        thanos.register("todo_downsample_blocks", "Blocks that are to be thinned out", m.todo_downsamples);
        thanos.register("todo_deletion_blocks", "Blocks that retention is to mark", m.todo_deletions);
        let help = "1 while a group of blocks is left alone because something is wrong with it";
        thanos.register("halted", help, m.halted);
        let own = registry.sub_registry_with_prefix("nilometer_compact");
        own.register("todo_bytes", "Bytes of the blocks in compactions that are due", m.todo_bytes);
        own.register(
            "quarantined_groups",
            "Groups left alone because something is wrong with them",
            m.quarantined,
        );
        let help = "Blocks left out of compaction by their no-compact-mark.json";
        own.register("left_out_blocks", help, m.left_out);
        own.register("broken_blocks", "Blocks whose meta.json or mark cannot be read", m.broken);
        own.register("lease_held", "1 while this process compacts the bucket", m.holds_lease);
        let help = "Blocks that another compactor made while the lease was ours";
        own.register("foreign_blocks", help, m.foreign);
    }
}
