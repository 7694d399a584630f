//! What a tenant's head holds, counted: for `status/tsdb`, pages and metrics.

use crate::append::Scratch;
use crate::head::Head;
use crate::series::Series;
use crate::tenant::TenantHead;
use nilometer_model::{BlockMeta, Metadata, Tenant};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Counts of one tenant's series in memory.
#[derive(Clone, Debug, Default)]
pub struct HeadStats {
    pub series: u64,
    /// Distinct pairs of name and value.
    pub label_pairs: u64,
    /// Chunks that can be told without reading files: the open ones.
    pub chunks: u64,
    pub min_ms: Option<i64>,
    pub max_ms: Option<i64>,
    /// For each label name: how many values, and the bytes of their text.
    pub values_by_name: Vec<(String, u64, u64)>,
    /// For each pair of name and value: how many series.
    pub series_by_pair: Vec<(String, String, u64)>,
}

impl Head {
    /// Nothing where there is no such tenant.
    pub fn stats(&self, tenant: &Tenant) -> HeadStats {
        let Some(tenant) = self.find(tenant) else { return HeadStats::default() };
        let inner = tenant.lock();
        let state = &inner.state;
        HeadStats {
            series: state.series.len() as u64,
            label_pairs: state.index.pairs() as u64,
            chunks: state.series.iter().filter(|s| !s.open.is_empty()).count() as u64,
            min_ms: state.oldest_ms(),
            max_ms: (state.newest_ms > i64::MIN).then_some(state.newest_ms),
            values_by_name: state.index.values_by_name(),
            series_by_pair: state.index.series_by_pair(),
        }
    }

    /// Where memory goes, in bytes. Walks all series, so it is not for every second.
    pub fn memory(&self) -> BTreeMap<&'static str, usize> {
        let scratch = self.scratch.lock().iter().map(Scratch::heap_bytes).sum();
        let mut parts = BTreeMap::from([
            ("wal", self.log.heap_bytes()),
            ("requests", scratch),
            ("hot_chunks", self.hot.heap_bytes()),
        ]);
        for tenant in self.all() {
            let inner = tenant.lock();
            let state = &inner.state;
            let (symbols, postings) = state.index.heap_bytes();
            let chunks: usize = state.series.iter().map(Series::heap_bytes).sum();
            let series = state.series.capacity() * size_of::<Series>();
            for (part, bytes) in [
                ("symbols", symbols),
                ("postings", postings),
                ("series", series + state.index.rows_heap_bytes() + state.keys.heap_bytes()),
                ("open_chunks", chunks),
                ("buffers", state.files.heap_bytes()),
                ("extras", state.extras.heap_bytes()),
            ] {
                *parts.entry(part).or_default() += bytes;
            }
        }
        parts
    }

    /// What the local blocks of a tenant say of themselves.
    pub fn blocks(&self, tenant: &Tenant) -> Vec<BlockMeta> {
        let metas = |t: Arc<TenantHead>| t.lock().blocks.iter().map(|b| b.meta().clone()).collect();
        self.find(tenant).map(metas).unwrap_or_default()
    }

    /// The time from which on there is something of a tenant; nothing where there is not.
    pub fn oldest_ms(&self, tenant: &Tenant) -> Option<i64> {
        let tenant = self.find(tenant)?;
        let inner = tenant.lock();
        let blocks = inner.blocks.iter().map(|block| block.meta().min_time_ms);
        blocks.chain(inner.state.oldest_ms()).min()
    }

    /// Damaged records and chunks that were met so far.
    pub fn corruptions(&self) -> u64 {
        self.metrics.corruptions.get()
    }

    /// What metric families of a tenant say of themselves, by name.
    pub fn metadata(&self, tenant: &Tenant) -> BTreeMap<String, Metadata> {
        self.find(tenant).map(|t| t.lock().state.extras.metadata().clone()).unwrap_or_default()
    }
}
