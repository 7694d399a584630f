//! Which series there are, and which match: symbols, rows, postings and the two ways to find a series.
//!
//! A series is a *slot* (`u32`), counted up as series appear. Slots are handed out in order, so every postings
//! list is appended to and stays sorted; they change only when the whole index is built again without the
//! series that left ([`Index::rebuilt`]).

mod keys;
mod matching;
mod postings;
mod rows;
mod symbols;

pub(crate) use keys::{Key, KeyHasher, Keys};

use nilometer_model::Labels;
use postings::Postings;
use rows::Rows;
use symbols::Symbols;

pub(crate) type Slot = u32;

#[derive(Default)]
pub(crate) struct Index {
    symbols: Symbols,
    rows: Rows,
    postings: Postings,
    /// Slots in the order of their labels; those newer than its length are not yet in it.
    order: Vec<Slot>,
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
        let pairs: Vec<(u32, u32)> =
            labels.iter().map(|(n, v)| (self.symbols.intern(n), self.symbols.intern(v))).collect();
        self.add_pairs(&pairs)
    }

    /// The same for labels that are given as numbers of symbols.
    pub(crate) fn add_pairs(&mut self, pairs: &[(u32, u32)]) -> Slot {
        let slot = self.rows.push(pairs);
        for (name, value) in pairs {
            self.postings.add(*name, *value, slot);
        }
        slot
    }

    /// The symbols of texts that were stored before. `None` where there is no room for them, and for so many
    /// labels.
    pub(crate) fn intern_all(&mut self, texts: &[Box<str>], labels: usize) -> Option<Vec<u32>> {
        let is_room = self.symbols.has_room(texts.iter().map(|text| &**text), u32::MAX as usize);
        (is_room && self.rows.has_room(labels))
            .then(|| texts.iter().map(|text| self.symbols.intern(text)).collect())
    }

    /// The names and values of a series' labels as numbers of symbols.
    pub(crate) fn pairs_of(&self, slot: Slot) -> impl ExactSizeIterator<Item = (u32, u32)> {
        self.rows.get(slot)
    }

    pub(crate) fn text(&self, symbol: u32) -> &str {
        self.symbols.get(symbol)
    }

    pub(crate) fn labels(&self, slot: Slot) -> Labels {
        let symbols = &self.symbols;
        Labels::from_sorted(self.rows.get(slot).map(|(n, v)| (symbols.get(n), symbols.get(v))))
    }

    /// Brings the order up to date; to be called before [`Self::in_order`].
    pub(crate) fn sort(&mut self) {
        if self.order.len() == self.len() {
            return;
        }
        let (rows, symbols) = (&self.rows, &self.symbols);
        let compare = |a: &Slot, b: &Slot| {
            let pairs = |slot: Slot| rows.get(slot).map(|(n, v)| (symbols.get(n), symbols.get(v)));
            pairs(*a).cmp(pairs(*b))
        };
        let mut new: Vec<Slot> = (self.order.len() as Slot..self.len() as Slot).collect();
        new.sort_unstable_by(compare);
        let old = std::mem::take(&mut self.order);
        self.order.reserve_exact(old.len() + new.len());
        let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
        while let (Some(a), Some(b)) = (old.peek(), new.peek()) {
            let next = if compare(a, b).is_lt() { old.next() } else { new.next() };
            self.order.extend(next);
        }
        self.order.extend(old.chain(new));
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
        // For a few, comparing labels is cheaper than walking over all.
        if slots.len() < self.len() / 64 {
            slots.sort_by_cached_key(|&slot| self.labels(slot));
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
        let mut index = Index::default();
        for slot in (0..self.len() as Slot).filter(|&slot| keep(slot)) {
            index.add(&self.labels(slot));
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

    /// Heap memory, in bytes: symbols, and all that finds series.
    pub(crate) fn heap_bytes(&self) -> (usize, usize) {
        (self.symbols.heap_bytes(), self.postings.heap_bytes())
    }

    pub(crate) fn rows_heap_bytes(&self) -> usize {
        self.rows.heap_bytes() + self.order.capacity() * 4
    }

    /// Distinct pairs of name and value.
    pub(crate) fn pairs(&self) -> usize {
        self.postings.pairs()
    }
}

#[cfg(test)]
mod tests;
