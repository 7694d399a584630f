//! The labels of each series as numbers of symbols.
//!
//! Most series share their label names with many others, so a row is the number of a *shape* (a list of
//! names) and one value a name.

use super::Slot;
use std::collections::HashMap;

#[derive(Default)]
pub(crate) struct Rows {
    /// `(shape, first value)` of each slot.
    rows: Vec<(u32, u32)>,
    values: Vec<u32>,
    shapes: Vec<Box<[u32]>>,
    by_names: HashMap<Box<[u32]>, u32>,
}

impl Rows {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn has_room(&self, values: usize) -> bool {
        u32::try_from(self.values.len() + values).is_ok()
    }

    /// # Panics
    /// Past 2³² label values: [`Self::has_room`] is asked before.
    pub(crate) fn push(&mut self, pairs: &[(u32, u32)]) -> Slot {
        let names: Box<[u32]> = pairs.iter().map(|(name, _)| *name).collect();
        let shape = match self.by_names.get(&names) {
            Some(&shape) => shape,
            None => {
                let shape = self.shapes.len() as u32;
                self.shapes.push(names.clone());
                self.by_names.insert(names, shape);
                shape
            }
        };
        let first = u32::try_from(self.values.len()).expect("a tenant has below 2^32 label values");
        self.values.extend(pairs.iter().map(|(_, value)| *value));
        self.rows.push((shape, first));
        (self.rows.len() - 1) as Slot
    }

    /// The pairs of name and value, in the order of names.
    pub(crate) fn get(&self, slot: Slot) -> impl ExactSizeIterator<Item = (u32, u32)> {
        let (shape, first) = self.rows[slot as usize];
        let names = &self.shapes[shape as usize];
        names.iter().copied().zip(self.values[first as usize..].iter().copied())
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let shapes: usize = self.shapes.iter().map(|s| s.len() * 8 + 48).sum();
        self.rows.capacity() * 8 + self.values.capacity() * 4 + shapes
    }
}
