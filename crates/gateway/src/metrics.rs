//! What the gateway counts, under Thanos' names where it has one.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct State {
    pub(crate) state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct Hit {
    pub(crate) from: &'static str,
}

#[derive(Clone, Default)]
pub(crate) struct Metrics {
    pub(crate) syncs: Counter,
    pub(crate) sync_failures: Counter,
    pub(crate) metas: Family<State, Gauge>,
    pub(crate) blocks: Gauge,
    pub(crate) load_failures: Counter,
    pub(crate) unreadable: Counter,
    pub(crate) cache_bytes: Gauge,
    pub(crate) disk_cache_bytes: Gauge,
    pub(crate) disk_cache_errors: Gauge,
    pub(crate) page_requests: Counter,
    pub(crate) page_hits: Family<Hit, Counter>,
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let metas = registry.sub_registry_with_prefix("thanos_blocks_meta");
        metas.register("syncs", "Times that the bucket was looked through", self.syncs.clone());
        metas.register("sync_failures", "Times that this failed", self.sync_failures.clone());
        metas.register("synced", "Blocks seen, by what became of them", self.metas.clone());
        let store = registry.sub_registry_with_prefix("thanos_bucket_store");
        store.register("blocks_loaded", "Blocks that answer queries", self.blocks.clone());
        store.register(
            "block_load_failures",
            "Blocks whose meta.json could not be read",
            self.load_failures.clone(),
        );
        let own = registry.sub_registry_with_prefix("nilometer_gateway");
        own.register(
            "blocks_unreadable",
            "Times that a query had to leave out a block",
            self.unreadable.clone(),
        );
        own.register("cache_bytes", "Memory of pages of blocks", self.cache_bytes.clone());
        own.register("disk_cache_bytes", "Disk of pages of blocks", self.disk_cache_bytes.clone());
        own.register(
            "disk_cache_errors",
            "Since the start, pages that could not be kept on disk or were not there as they were written",
            self.disk_cache_errors.clone(),
        );
        own.register("page_requests", "Pages of blocks that were read", self.page_requests.clone());
        own.register(
            "page_hits",
            "Those that were there, by where; the others were fetched from the bucket",
            self.page_hits.clone(),
        );
    }

    pub(crate) fn hit(&self, from: &'static str) {
        self.page_hits.get_or_create(&Hit { from }).inc();
    }

    pub(crate) fn set_state(&self, state: &'static str, blocks: usize) {
        self.metas.get_or_create(&State { state }).set(blocks as i64);
    }
}
