//! The labels of each series, in the order of their names, as numbers of pairs.

use super::Slot;

#[derive(Default)]
pub(super) struct Rows {
    /// Where each slot's row ends in `pairs`; it begins where the one before ends.
    ends: Vec<u32>,
    pairs: Vec<u32>,
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// How many labels all series have.
    pub(super) fn labels(&self) -> usize {
        self.pairs.len()
    }

    pub(super) fn has_room(&self, labels: usize) -> bool {
        u32::try_from(self.pairs.len() + labels).is_ok()
    }

    /// # Panics
    /// Past 2³² labels: [`Self::has_room`] is asked before.
    pub(super) fn push(&mut self, row: &[u32]) -> Slot {
        self.pairs.extend_from_slice(row);
        self.ends.push(u32::try_from(self.pairs.len()).expect("a tenant has below 2^32 labels"));
        (self.ends.len() - 1) as Slot
    }

    /// Makes room for so many more, at once.
    pub(super) fn reserve(&mut self, rows: usize, labels: usize) {
        self.ends.reserve_exact(rows);
        self.pairs.reserve_exact(labels);
    }

    pub(super) fn get(&self, slot: Slot) -> &[u32] {
        let slot = slot as usize;
        let start = if slot == 0 { 0 } else { self.ends[slot - 1] };
        &self.pairs[start as usize..self.ends[slot] as usize]
    }

    pub(super) fn heap_bytes(&self) -> usize {
        (self.ends.capacity() + self.pairs.capacity()) * 4
    }
}
