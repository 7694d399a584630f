//! Labels of which only some are wanted: most series then have the same, and get the same copy.

use crate::index::{Index, Slot};
use hashbrown::HashMap;
use nilometer_model::Labels;
use nilometer_storage::Projection;

/// So many different ones are kept at hand.
const KEPT: usize = 4096;

pub(super) struct Projected {
    projection: Projection,
    /// Of the index that numbers are from.
    generation: u64,
    /// The projection's names that the index has, as symbols.
    names: Vec<u32>,
    known: HashMap<Vec<u32>, Labels>,
    row: Vec<u32>,
}

impl Projected {
    pub(super) fn new(projection: Projection) -> Projected {
        Projected { projection, generation: 0, names: Vec::new(), known: HashMap::new(), row: Vec::new() }
    }

    /// To be called where the index may have changed.
    pub(super) fn refresh(&mut self, index: &Index) {
        let (Projection::Only(names) | Projection::AllBut(names)) = &self.projection;
        if self.generation != index.generation() {
            self.names.clear();
            self.known.clear();
        }
        self.generation = index.generation();
        if self.names.len() < names.len() {
            self.names = names.iter().filter_map(|name| index.find_symbol(name)).collect();
        }
    }

    pub(super) fn labels(&mut self, index: &Index, slot: Slot) -> Labels {
        let only = matches!(self.projection, Projection::Only(_));
        let is_named = |pair: u32| self.names.contains(&index.symbols_of(pair).0);
        self.row.clear();
        self.row.extend(index.row(slot).iter().copied().filter(|&pair| is_named(pair) == only));
        if let Some(known) = self.known.get(self.row.as_slice()) {
            return known.clone();
        }
        if self.known.len() >= KEPT {
            self.known.clear();
        }
        let labels = index.labels_of(&self.row);
        self.known.insert(self.row.clone(), labels.clone());
        labels
    }
}
