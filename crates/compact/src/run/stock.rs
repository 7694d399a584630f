//! The blocks of a bucket as the rules see them, kept true while the work goes on: one listing serves a whole round.

use crate::lifecycle::{Delays, Marks, Partial};
use nilometer_bucket::{Inventory, Listed, Objects};
use nilometer_model::{BlockMeta, Ulid};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) struct Stock {
    blocks: BTreeMap<Ulid, Listed>,
    pub(crate) partial: Vec<Partial>,
    pub(crate) marks: Marks,
}

impl Stock {
    /// `deleting` are the times of marks on folders that have no `meta.json` any more.
    pub(crate) fn new(inventory: Inventory, deleting: BTreeMap<Ulid, i64>) -> Self {
        let mut marks = Marks { deletion_s: deleting, ..Marks::default() };
        for (block, listed) in &inventory.blocks {
            if let Some(ms) = listed.marked_ms {
                marks.deletion_s.insert(*block, ms.div_euclid(1000));
            }
            if listed.no_compact {
                marks.no_compact.insert(*block);
            }
            if listed.no_downsample {
                marks.no_downsample.insert(*block);
            }
        }
        let partial = inventory.partial.iter();
        let partial = partial.map(|(ulid, p)| Partial { ulid: *ulid, modified_ms: p.modified_ms }).collect();
        Stock { blocks: inventory.blocks, partial, marks }
    }

    /// What is old enough to be trusted, and not marked for deletion.
    pub(crate) fn live(&self, delays: &Delays, now_ms: i64) -> Vec<&BlockMeta> {
        let unmarked = self.blocks.values().filter(|l| !self.marks.deletion_s.contains_key(&l.meta.ulid));
        let metas = unmarked.map(|listed| &*listed.meta);
        metas.filter(|meta| delays.is_visible(meta, uploaded_ms(meta), &self.marks, now_ms)).collect()
    }

    pub(crate) fn get(&self, block: Ulid) -> Option<&Listed> {
        self.blocks.get(&block)
    }

    pub(crate) fn bytes(&self, block: Ulid) -> u64 {
        self.blocks.get(&block).map_or(0, |listed| listed.objects.values().sum())
    }

    pub(crate) fn add(&mut self, meta: BlockMeta) {
        let files = meta.thanos.iter().flat_map(|t| &t.files);
        let objects: Objects = files.map(|f| (f.rel_path.clone(), f.size_bytes)).collect();
        let listed = Listed {
            objects: Arc::new(objects),
            marked_ms: None,
            no_compact: false,
            no_downsample: false,
            meta: Arc::new(meta),
        };
        self.blocks.insert(listed.meta.ulid, listed);
    }

    pub(crate) fn mark(&mut self, block: Ulid, now_ms: i64) {
        self.marks.deletion_s.insert(block, now_ms.div_euclid(1000));
    }

    pub(crate) fn remove(&mut self, block: Ulid) {
        self.blocks.remove(&block);
        self.marks.deletion_s.remove(&block);
        self.partial.retain(|partial| partial.ulid != block);
    }
}

fn uploaded_ms(meta: &BlockMeta) -> Option<i64> {
    let text = meta.thanos.as_ref()?.upload_time.as_ref()?;
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}
