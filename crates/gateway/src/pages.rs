//! What was read of objects, in pages, within one budget for all blocks in memory and one on disk.
//!
//! Objects of blocks never change, so a page is right for ever, or until it makes room. Each that is fetched goes to both:
//! what memory drops is then still on disk.

use crate::disk::DiskPages;
use crate::metrics::Metrics;
use bytes::Bytes;
use nilometer_model::Ulid;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// What is fetched at least. Postings, entries and chunks that are wanted together lie in few of them.
pub(crate) const PAGE_BYTES: u64 = 16 << 10;
/// What a page costs besides its bytes.
const ENTRY_BYTES: u64 = 128;

/// A page of a file of a block. Files are numbered by the block ([`crate::remote`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PageKey {
    pub(crate) block: Ulid,
    pub(crate) file: u32,
    pub(crate) page: u32,
}

pub(crate) struct Pages {
    memory: Cache<PageKey, Bytes, BytesOf>,
    disk: Option<DiskPages>,
    metrics: Metrics,
}

#[derive(Clone)]
struct BytesOf;

impl Weighter<PageKey, Bytes> for BytesOf {
    fn weight(&self, _: &PageKey, page: &Bytes) -> u64 {
        page.len() as u64 + ENTRY_BYTES
    }
}

impl Pages {
    pub(crate) fn new(budget_bytes: u64, disk: Option<DiskPages>, metrics: Metrics) -> Self {
        let pages = usize::try_from(budget_bytes / (PAGE_BYTES + ENTRY_BYTES)).unwrap_or(usize::MAX);
        Pages { memory: Cache::with_weighter(pages.max(1), budget_bytes, BytesOf), disk, metrics }
    }

    pub(crate) fn get(&self, key: PageKey) -> Option<Bytes> {
        self.metrics.page_requests.inc();
        if let Some(page) = self.memory.get(&key) {
            self.metrics.hit("memory");
            return Some(page);
        }
        let page = self.disk.as_ref()?.get(key)?;
        self.metrics.hit("disk");
        self.memory.insert(key, page.clone());
        Some(page)
    }

    /// Whether it is there, without counting as a use.
    pub(crate) fn has(&self, key: PageKey) -> bool {
        self.memory.peek(&key).is_some() || self.disk.as_ref().is_some_and(|disk| disk.has(&key))
    }

    pub(crate) fn put(&self, pages: &[(PageKey, Bytes)]) {
        for (key, page) in pages {
            self.memory.insert(*key, page.clone());
        }
        if let Some(disk) = &self.disk {
            disk.put(pages);
        }
    }

    /// For a block whose objects are others now, or of which something was not right: it is fetched again.
    pub(crate) fn forget(&self, block: Ulid) {
        self.memory.retain(|key, _| key.block != block);
        if let Some(disk) = &self.disk {
            disk.forget(block);
        }
    }

    /// In memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.memory.weight()
    }

    pub(crate) fn disk(&self) -> Option<&DiskPages> {
        self.disk.as_ref()
    }
}
