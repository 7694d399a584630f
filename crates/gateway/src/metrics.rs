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

#[derive(Clone, Default)]
pub(crate) struct Metrics {
    pub(crate) syncs: Counter,
    pub(crate) sync_failures: Counter,
    pub(crate) metas: Family<State, Gauge>,
    pub(crate) blocks: Gauge,
    pub(crate) load_failures: Counter,
    pub(crate) unreadable: Counter,
    pub(crate) cache_bytes: Gauge,
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
    }

    pub(crate) fn set_state(&self, state: &'static str, blocks: usize) {
        self.metas.get_or_create(&State { state }).set(blocks as i64);
    }
}
