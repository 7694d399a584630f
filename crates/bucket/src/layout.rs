//! Where a block's objects are: Thanos' layout.
//!
//! ```text
//! [<prefix>/]<ULID>/meta.json               a block is there when this is: put last, deleted first
//!                  /index
//!                  /chunks/000001 …
//!                  /deletion-mark.json      deleted last
//!                  /no-compact-mark.json
//!                  /no-downsample-mark.json
//!            debug/metas/<ULID>.json        of old versions of Thanos; nobody writes it any more
//! ```

use nilometer_model::{BlockMeta, Ulid};

pub const INDEX: &str = "index";
pub const CHUNKS: &str = "chunks";
/// Where old versions of Thanos kept copies of `meta.json`.
pub const DEBUG_METAS: &str = "debug/metas";

pub fn meta_key(id: Ulid) -> String {
    format!("{id}/{}", BlockMeta::FILE)
}

pub fn index_key(id: Ulid) -> String {
    format!("{id}/{INDEX}")
}

/// `sequence` counts from 1.
pub fn chunk_key(id: Ulid, sequence: u32) -> String {
    format!("{id}/{CHUNKS}/{sequence:06}")
}

pub fn debug_meta_key(id: Ulid) -> String {
    format!("{DEBUG_METAS}/{id}.json")
}

/// The block that an object or folder belongs to, and its path within the block.
pub fn block_of(key: &str) -> Option<(Ulid, &str)> {
    let (folder, rest) = key.split_once('/')?;
    let id: Ulid = folder.parse().ok()?;
    // Small letters would name another folder than the one that is written to.
    (id.to_string() == folder).then_some((id, rest))
}

/// Whether a reader has use for a file of a block.
pub(crate) fn is_data(name: &str) -> bool {
    name == INDEX || name == BlockMeta::FILE || name.starts_with("chunks/") || name == "tombstones"
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

    #[test]
    fn keys() {
        let id: Ulid = ID.parse().unwrap();
        assert_eq!(meta_key(id), format!("{ID}/meta.json"));
        assert_eq!(chunk_key(id, 12), format!("{ID}/chunks/000012"));
        assert_eq!(block_of(&chunk_key(id, 1)), Some((id, "chunks/000001")));
        assert_eq!(block_of(&format!("{ID}/")), Some((id, "")));
        for other in
            ["meta.json", "debug/metas/", &ID.to_lowercase(), &format!("{}/index", ID.to_lowercase())]
        {
            assert_eq!(block_of(other), None, "{other}");
        }
    }
}
