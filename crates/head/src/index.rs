//! Which series there are, and which match: symbols, pairs, rows and the two ways to find a series.
//!
//! A series is a *slot* (`u32`), counted up as series appear. Slots are handed out in order, so every list of
//! them is appended to and stays sorted; they change only when the whole index is built again without the
//! series that left ([`Index::rebuilt`]).

mod keys;
mod matching;
mod pairs;
mod rows;
mod symbols;

pub(crate) use keys::{Key, KeyHasher, Keys};

use nilometer_model::Labels;
use pairs::Pairs;
use rows::Rows;
use std::cmp::Ordering;
use symbols::Symbols;

pub(crate) type Slot = u32;

#[derive(Default)]
pub(crate) struct Index {
    symbols: Symbols,
    pairs: Pairs,
    rows: Rows,
    /// Slots in the order of their labels; those newer than its length are not yet in it.
    order: Vec<Slot>,
    /// How often it was built again: symbols and pairs have other numbers since.
    generation: u64,
}

impl Index {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether another series can be added with the text of all labels within `max_bytes`, and within what
    /// can be numbered.
    pub(crate) fn has_room(&self, labels: &Labels, max_bytes: u64) -> bool {
        let max_bytes = usize::try_from(max_bytes.min(u64::from(u32::MAX))).unwrap_or(usize::MAX);
        self.rows.has_room(labels.len())
            && self.symbols.has_room(labels.iter().flat_map(|(n, v)| [n, v]), max_bytes)
    }

    /// Adds a series whose labels are not there yet, and for which there is room.
    pub(crate) fn add(&mut self, labels: &Labels) -> Slot {
        let pair = |(name, value)| {
            let symbols = (self.symbols.intern(name), self.symbols.intern(value));
            self.pairs.intern(symbols)
        };
        let row: Vec<u32> = labels.iter().map(pair).collect();
        self.add_row(&row)
    }

    /// The same for labels that are given as numbers of pairs.
    pub(crate) fn add_row(&mut self, row: &[u32]) -> Slot {
        let slot = self.rows.push(row);
        for &pair in row {
            self.pairs.add(pair, slot);
        }
        slot
    }

    /// Makes room for so many series with so many labels, at once.
    pub(crate) fn reserve(&mut self, series: usize, labels: usize) {
        self.rows.reserve(series, labels);
    }

    /// The numbers of pairs that were stored before, each as numbers of `texts`. `None` where there is no room
    /// for the texts, and for so many labels.
    pub(crate) fn intern_all<'a>(
        &mut self,
        texts: impl Iterator<Item = &'a str> + Clone,
        pairs: &[(u32, u32)],
        labels: usize,
    ) -> Option<Vec<u32>> {
        if !self.symbols.has_room(texts.clone(), u32::MAX as usize) || !self.rows.has_room(labels) {
            return None;
        }
        let symbols: Vec<u32> = texts.map(|text| self.symbols.intern(text)).collect();
        let pair = |(name, value): &(u32, u32)| (symbols[*name as usize], symbols[*value as usize]);
        Some(pairs.iter().map(|stored| self.pairs.intern(pair(stored))).collect())
    }

    /// How many labels all series have.
    pub(crate) fn labels_count(&self) -> usize {
        self.rows.labels()
    }

    /// A series' labels as numbers of pairs.
    pub(crate) fn row(&self, slot: Slot) -> &[u32] {
        self.rows.get(slot)
    }

    /// Name and value of a pair, as symbols.
    pub(crate) fn symbols_of(&self, pair: u32) -> (u32, u32) {
        self.pairs.symbols(pair)
    }

    pub(crate) fn text(&self, symbol: u32) -> &str {
        self.symbols.get(symbol)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn find_symbol(&self, text: &str) -> Option<u32> {
        self.symbols.find(text)
    }

    /// Some pairs as labels; they are in the order of a row.
    pub(crate) fn labels_of(&self, pairs: &[u32]) -> Labels {
        Labels::from_sorted(pairs.iter().map(|&pair| self.texts_of(pair)))
    }

    pub(crate) fn labels(&self, slot: Slot) -> Labels {
        self.labels_of(self.rows.get(slot))
    }

    fn texts_of(&self, pair: u32) -> (&str, &str) {
        let (name, value) = self.pairs.symbols(pair);
        (self.symbols.get(name), self.symbols.get(value))
    }

    /// The order of two series by their labels. Most of what two series share stands in front, as the same
    /// pairs.
    fn compare(&self, a: Slot, b: Slot) -> Ordering {
        let (a, b) = (self.rows.get(a), self.rows.get(b));
        let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
        let rest = |row: &[u32]| row.get(same).map(|&pair| self.texts_of(pair));
        rest(a).cmp(&rest(b))
    }

    /// Brings the order up to date; to be called before [`Self::in_order`].
    pub(crate) fn sort(&mut self) {
        if self.order.len() == self.len() {
            return;
        }
        let mut new: Vec<Slot> = (self.order.len() as Slot..self.len() as Slot).collect();
        new.sort_unstable_by(|a, b| self.compare(*a, *b));
        let old = std::mem::take(&mut self.order);
        let mut order = Vec::with_capacity(old.len() + new.len());
        let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
        while let (Some(a), Some(b)) = (old.peek(), new.peek()) {
            let next = if self.compare(*a, *b).is_lt() { old.next() } else { new.next() };
            order.extend(next);
        }
        order.extend(old.chain(new));
        self.order = order;
    }

    /// Some slots in the order of their labels.
    ///
    /// # Panics
    /// If [`Self::sort`] was not called since the last [`Self::add`].
    pub(crate) fn in_order(&self, mut slots: Vec<Slot>) -> Vec<Slot> {
        assert_eq!(self.order.len(), self.len(), "the order is up to date");
        if slots.len() == self.len() {
            return self.order.clone();
        }
        // For a few, comparing labels is cheaper than walking over all: one comparison costs as much as some 32 steps.
        if slots.len() * (slots.len().max(1).ilog2() as usize) < self.len() / 32 {
            slots.sort_unstable_by(|a, b| self.compare(*a, *b));
            return slots;
        }
        let mut wanted = vec![false; self.len()];
        for slot in slots {
            wanted[slot as usize] = true;
        }
        self.order.iter().copied().filter(|&slot| wanted[slot as usize]).collect()
    }

    /// The index of only the slots that `keep` says, their order kept: the n-th kept slot becomes slot n.
    pub(crate) fn rebuilt(&self, keep: impl Fn(Slot) -> bool) -> Index {
        let mut index = Index { generation: self.generation + 1, ..Index::default() };
        // Each pair of old is one of new, or not yet.
        let mut new = vec![None; self.pairs.len()];
        let mut row = Vec::new();
        for slot in (0..self.len() as Slot).filter(|&slot| keep(slot)) {
            row.clear();
            for &pair in self.rows.get(slot) {
                let (symbols, pairs) = (&mut index.symbols, &mut index.pairs);
                row.push(*new[pair as usize].get_or_insert_with(|| {
                    let (name, value) = self.texts_of(pair);
                    pairs.intern((symbols.intern(name), symbols.intern(value)))
                }));
            }
            index.add_row(&row);
        }
        index
    }

    /// Every symbol, sorted.
    pub(crate) fn symbols(&self) -> Vec<String> {
        let mut all: Vec<String> =
            (0..self.symbols.len() as u32).map(|s| self.symbols.get(s).to_owned()).collect();
        all.sort_unstable();
        all
    }

    /// Heap memory, in bytes: symbols, and what finds series by them.
    pub(crate) fn heap_bytes(&self) -> (usize, usize) {
        (self.symbols.heap_bytes(), self.pairs.heap_bytes())
    }

    pub(crate) fn rows_heap_bytes(&self) -> usize {
        self.rows.heap_bytes() + self.order.capacity() * 4
    }

    /// Distinct pairs of name and value.
    pub(crate) fn pairs(&self) -> usize {
        self.pairs.len()
    }
}

#[cfg(test)]
mod tests;
