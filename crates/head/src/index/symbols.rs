//! Every string of a tenant's labels, once.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

/// Strings by number. Seeded hashing, since the strings are a client's.
#[derive(Default)]
pub(crate) struct Symbols {
    text: String,
    /// Where each symbol ends in `text`; it begins where the one before ends.
    ends: Vec<u32>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Symbols {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn get(&self, symbol: u32) -> &str {
        text_of(&self.text, &self.ends, symbol)
    }

    pub(crate) fn find(&self, text: &str) -> Option<u32> {
        self.table.find(self.hasher.hash_one(text), |&s| self.get(s) == text).copied()
    }

    /// Whether the text stays within `max` bytes with these strings, each counted as often as it is there.
    pub(crate) fn has_room<'a>(&self, new: impl Iterator<Item = &'a str> + Clone, max: usize) -> bool {
        let left = max.saturating_sub(self.text.len());
        let most: usize = new.clone().map(str::len).sum();
        // Only near the limit is it worth to ask for each.
        most <= left || new.filter(|text| self.find(text).is_none()).map(str::len).sum::<usize>() <= left
    }

    /// # Panics
    /// Past 4 GiB of text: [`Self::has_room`] is asked before.
    pub(crate) fn intern(&mut self, new: &str) -> u32 {
        let Symbols { text, ends, table, hasher } = self;
        let hash = hasher.hash_one(new);
        if let Some(&found) = table.find(hash, |&s| text_of(text, ends, s) == new) {
            return found;
        }
        let symbol = ends.len() as u32;
        text.push_str(new);
        ends.push(u32::try_from(text.len()).expect("a tenant's symbols are below 4 GiB"));
        table.insert_unique(hash, symbol, |&s| hasher.hash_one(text_of(text, ends, s)));
        symbol
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * 4 + self.table.capacity() * 5
    }
}

fn text_of<'a>(text: &'a str, ends: &[u32], symbol: u32) -> &'a str {
    let at = symbol as usize;
    let from = if at == 0 { 0 } else { ends[at - 1] as usize };
    &text[from..ends[at] as usize]
}
