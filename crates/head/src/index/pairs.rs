//! Which pairs of label name and value there are, and which series have each: one growing, packed list a pair.
//!
//! A pair is a number, counted up as pairs appear; a series' labels are numbers of pairs (`rows`). Slots only
//! grow, so a list is the distances between them as varints, appended in place. A pair that one series has
//! (many are such) needs no bytes beyond its entry.

use super::Slot;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::collections::BTreeMap;
use std::hash::BuildHasher;

/// The numbers of two symbols.
pub(super) type Symbols = (u32, u32);

#[derive(Default)]
pub(super) struct Pairs {
    symbols: Vec<Symbols>,
    lists: Vec<List>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// The pairs of each name.
    by_name: BTreeMap<u32, Vec<u32>>,
}

/// The slots of one pair.
#[derive(Default)]
pub(super) struct List {
    first: Slot,
    last: Slot,
    len: u32,
    /// The distances of all slots but the first, each from the one before.
    distances: Vec<u8>,
}

impl Pairs {
    pub(super) fn len(&self) -> usize {
        self.symbols.len()
    }

    /// The symbols of a pair's name and value.
    pub(super) fn symbols(&self, pair: u32) -> Symbols {
        self.symbols[pair as usize]
    }

    /// The series that have a pair.
    pub(super) fn list(&self, pair: u32) -> &List {
        &self.lists[pair as usize]
    }

    pub(super) fn find(&self, name: u32, value: u32) -> Option<u32> {
        let wanted = (name, value);
        self.table.find(self.hasher.hash_one(wanted), |&p| self.symbols(p) == wanted).copied()
    }

    /// # Panics
    /// Past 2³² pairs, of which each has a symbol of its own, or two that others have.
    pub(super) fn intern(&mut self, pair: Symbols) -> u32 {
        let Pairs { symbols, lists, table, hasher, by_name } = self;
        let hash = hasher.hash_one(pair);
        if let Some(&found) = table.find(hash, |&p| symbols[p as usize] == pair) {
            return found;
        }
        let number = u32::try_from(symbols.len()).expect("a tenant has below 2^32 pairs");
        symbols.push(pair);
        lists.push(List::default());
        table.insert_unique(hash, number, |&p| hasher.hash_one(symbols[p as usize]));
        by_name.entry(pair.0).or_default().push(number);
        number
    }

    /// `slot`, which is above all others, has the pair.
    #[inline]
    pub(super) fn add(&mut self, pair: u32, slot: Slot) {
        self.lists[pair as usize].push(slot);
    }

    /// All pairs of a name, in no order of their values.
    pub(super) fn of_name(&self, name: u32) -> &[u32] {
        self.by_name.get(&name).map_or(&[], Vec::as_slice)
    }

    /// All names, as symbols.
    pub(super) fn names(&self) -> impl Iterator<Item = u32> {
        self.by_name.keys().copied()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let names: usize = self.by_name.values().map(|pairs| pairs.capacity() * 4 + 40).sum();
        let lists: usize = self.lists.iter().map(|list| list.distances.capacity()).sum();
        self.symbols.capacity() * size_of::<Symbols>()
            + self.lists.capacity() * size_of::<List>()
            + self.table.capacity() * 5 * 8 / 7
            + names
            + lists
    }
}

impl List {
    #[inline]
    fn push(&mut self, slot: Slot) {
        if self.len == 0 {
            self.first = slot;
        } else {
            assert!(slot > self.last, "slots are handed out in order");
            put_varint(&mut self.distances, slot - self.last);
        }
        self.last = slot;
        self.len += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Slot> {
        let (mut bytes, mut slot) = (self.distances.as_slice(), self.first);
        let rest = std::iter::from_fn(move || {
            if bytes.is_empty() {
                return None;
            }
            slot += take_varint(&mut bytes);
            Some(slot)
        });
        (self.len > 0).then_some(self.first).into_iter().chain(rest)
    }
}

#[inline]
fn put_varint(out: &mut Vec<u8>, mut value: u32) {
    if out.capacity() - out.len() < 5 {
        // Lists are many: grow by a quarter, not by doubling.
        out.reserve_exact((out.len() / 4).max(8));
    }
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
fn take_varint(bytes: &mut &[u8]) -> u32 {
    let (mut value, mut shift) = (0, 0);
    while let Some((&byte, rest)) = bytes.split_first() {
        *bytes = rest;
        value |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
        shift += 7;
    }
    value
}
