//! Which series have a label: one growing, packed list for each pair of name and value.
//!
//! Slots only grow, so a list is the distances between them as varints, appended in place. A value that one
//! series has (many do) needs no bytes beyond the entry.

use super::Slot;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::collections::BTreeMap;
use std::hash::BuildHasher;

#[derive(Default)]
pub(crate) struct Postings {
    names: BTreeMap<u32, Values>,
    hasher: DefaultHashBuilder,
    pairs: usize,
}

/// The lists of one label name.
#[derive(Default)]
struct Values {
    table: HashTable<(u32, List)>,
}

/// The slots of one pair.
#[derive(Default)]
pub(crate) struct List {
    first: Slot,
    last: Slot,
    len: u32,
    /// The distances of all slots but the first, each from the one before.
    distances: Vec<u8>,
}

impl Postings {
    pub(crate) fn add(&mut self, name: u32, value: u32, slot: Slot) {
        let hasher = &self.hasher;
        let table = &mut self.names.entry(name).or_default().table;
        let entry = table.entry(hasher.hash_one(value), |(v, _)| *v == value, |(v, _)| hasher.hash_one(v));
        let found = match entry {
            hashbrown::hash_table::Entry::Occupied(found) => found,
            hashbrown::hash_table::Entry::Vacant(vacant) => {
                self.pairs += 1;
                vacant.insert((value, List::default()))
            }
        };
        found.into_mut().1.push(slot);
    }

    pub(crate) fn get(&self, name: u32, value: u32) -> Option<&List> {
        let found = self.names.get(&name)?.table.find(self.hasher.hash_one(value), |(v, _)| *v == value)?;
        Some(&found.1)
    }

    /// All values of a name, in no order, with their lists.
    pub(crate) fn values(&self, name: u32) -> impl Iterator<Item = (u32, &List)> {
        self.names.get(&name).into_iter().flat_map(|values| values.table.iter().map(|(v, list)| (*v, list)))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = u32> {
        self.names.keys().copied()
    }

    pub(crate) fn pairs(&self) -> usize {
        self.pairs
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let entry = std::mem::size_of::<(u32, List)>() + 1;
        self.names
            .values()
            .map(|v| {
                v.table.capacity() * entry * 8 / 7
                    + v.table.iter().map(|(_, l)| l.distances.capacity()).sum::<usize>()
            })
            .sum()
    }
}

impl List {
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

    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Slot> {
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
