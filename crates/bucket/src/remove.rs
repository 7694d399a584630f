//! A block leaves the bucket, in Thanos' order: `meta.json` first, `deletion-mark.json` last.
//!
//! Without `meta.json` no reader takes what is left for a block, and with the mark a deletion that was
//! stopped goes on.

use crate::bucket::Bucket;
use crate::layout::meta_key;
use crate::marks::{DeletionMark, Mark, mark_key};
use nilometer_model::{BlockMeta, Result, Ulid};

impl Bucket {
    /// Says how many objects were removed. What is not there is removed already.
    pub async fn remove_block(&self, id: Ulid) -> Result<u64> {
        let objects = self.objects(id).await?;
        // Also where a listing does not show it yet.
        self.delete(&meta_key(id)).await?;
        for name in
            objects.keys().filter(|name| ![BlockMeta::FILE, DeletionMark::FILE].contains(&name.as_str()))
        {
            self.delete(&format!("{id}/{name}")).await?;
        }
        self.delete(&mark_key::<DeletionMark>(id)).await?;
        Ok(objects.len() as u64)
    }
}
