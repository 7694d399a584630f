//! What was read of objects, in pages, within one budget for all blocks.
//!
//! Objects of blocks never change, so a page is right for ever, or until it makes room.

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

pub(crate) struct Pages(Cache<PageKey, Bytes, BytesOf>);

#[derive(Clone)]
struct BytesOf;

impl Weighter<PageKey, Bytes> for BytesOf {
    fn weight(&self, _: &PageKey, page: &Bytes) -> u64 {
        page.len() as u64 + ENTRY_BYTES
    }
}

impl Pages {
    pub(crate) fn new(budget_bytes: u64) -> Self {
        let pages = usize::try_from(budget_bytes / (PAGE_BYTES + ENTRY_BYTES)).unwrap_or(usize::MAX);
        Pages(Cache::with_weighter(pages.max(1), budget_bytes, BytesOf))
    }

    pub(crate) fn get(&self, key: PageKey) -> Option<Bytes> {
        self.0.get(&key)
    }

    /// Whether it is there, without counting as a use.
    pub(crate) fn has(&self, key: PageKey) -> bool {
        self.0.peek(&key).is_some()
    }

    pub(crate) fn put(&self, key: PageKey, page: Bytes) {
        self.0.insert(key, page);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.0.weight()
    }
}
