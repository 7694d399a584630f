//! From the bytes of a request's labels straight to a series.
//!
//! The table is keyed by a 128-bit keyed hash of the canonical label bytes and does not keep the bytes: two
//! label sets with one hash would be taken for one series. The key is random for each process, and a sender
//! learns nothing of hashes, so for `n` distinct label sets ever seen the odds are at most about n²/2¹²⁹
//! (10⁻¹⁵ for 2⁴⁰ of them); ADR 0005 has the argument.

use super::Slot;
use hashbrown::HashTable;
use nilometer_env::Random;
use nilometer_model::Labels;
use nilometer_wire::remote_write::encode::put_key;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;

/// The hash of canonical label bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key([u32; 4]);

impl Key {
    fn short(self) -> u64 {
        u64::from(self.0[0]) | u64::from(self.0[1]) << 32
    }
}

#[derive(Clone, Debug)]
pub(crate) struct KeyHasher(SipHasher13);

impl KeyHasher {
    pub(crate) fn new(random: &dyn Random) -> Self {
        KeyHasher(SipHasher13::new_with_keys(random.u64(), random.u64()))
    }

    pub(crate) fn key(&self, canonical: &[u8]) -> Key {
        let mut hasher = self.0;
        hasher.write(canonical);
        let hash = hasher.finish128();
        Key([hash.h1 as u32, (hash.h1 >> 32) as u32, hash.h2 as u32, (hash.h2 >> 32) as u32])
    }

    /// The key of labels that were not sent: those of a series as it is stored.
    pub(crate) fn key_of(&self, labels: &Labels) -> Key {
        let mut canonical = Vec::with_capacity(labels.as_bytes().len() + 64);
        put_key(&mut canonical, labels);
        self.key(&canonical)
    }
}

/// Slots by key.
#[derive(Default)]
pub(crate) struct Keys(HashTable<(Key, Slot)>);

impl Keys {
    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<Slot> {
        self.0.find(key.short(), |(k, _)| *k == key).map(|(_, slot)| *slot)
    }

    /// `key` must not be there yet.
    pub(crate) fn insert(&mut self, key: Key, slot: Slot) {
        self.0.insert_unique(key.short(), (key, slot), |(k, _)| k.short());
    }

    /// Renumbers, dropping the keys whose slot has no new number.
    pub(crate) fn renumber(&mut self, new: impl Fn(Slot) -> Option<Slot>) {
        let kept: Vec<_> = self.0.iter().filter_map(|(key, slot)| Some((*key, new(*slot)?))).collect();
        let mut table = HashTable::with_capacity(kept.len());
        for (key, slot) in kept {
            table.insert_unique(key.short(), (key, slot), |(k, _)| k.short());
        }
        self.0 = table;
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.0.capacity() * (std::mem::size_of::<(Key, Slot)>() + 1) * 8 / 7
    }
}
