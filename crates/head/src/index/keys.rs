//! From the bytes of a request's labels straight to a series.
//!
//! The table is keyed by a 128-bit keyed hash of the canonical label bytes and does not keep the bytes: two
//! label sets with one hash would be taken for one series. The key is random for each process, and a sender
//! learns nothing of hashes, so for `n` distinct label sets ever seen the odds are at most about n²/2¹²⁹
//! (10⁻¹⁵ for 2⁴⁰ of them); ADR 0005 has the argument.

use super::Slot;
use hashbrown::HashTable;
use nilometer_env::Random;
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
    pub(crate) fn key_of<'a>(&self, labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Key {
        let mut canonical = Vec::with_capacity(512);
        put_key(&mut canonical, labels);
        self.key(&canonical)
    }
}

/// Slots by key.
///
/// An entry is a series' *own* key, by which the slow path finds whether it is there; or *judged*, the key of
/// labels as they were sent, which the policy that holds now has seen and led to that series; or both, which
/// one entry does for most series, sent just as they are stored.
#[derive(Default)]
pub(crate) struct Keys {
    table: HashTable<(Key, Marked)>,
    /// Entries that are nobody's own key.
    sent: usize,
}

/// A slot, and in its upper two bits which keys lead there.
#[derive(Clone, Copy)]
struct Marked(u32);

const OWN: u32 = 1 << 31;
const JUDGED: u32 = 1 << 30;

impl Marked {
    fn is(self, mark: u32) -> bool {
        self.0 & mark != 0
    }

    fn slot(self) -> Slot {
        self.0 & !(OWN | JUDGED)
    }
}

/// Senders whose labels are changed have one sent key for each series, or a few; a sender who changes what is
/// changed anyway has as many as it likes. Beyond this many for each series, and some, all are forgotten.
const SENT_PER_SERIES: usize = 4;
const SENT_IN_ANY_CASE: usize = 8_192;

impl Keys {
    /// The series of labels that were judged as they were sent.
    #[inline]
    pub(crate) fn judged(&self, key: Key) -> Option<Slot> {
        self.find(key, JUDGED)
    }

    /// The series that has exactly these labels, whether it was judged or not.
    pub(crate) fn own(&self, key: Key) -> Option<Slot> {
        self.find(key, OWN)
    }

    #[inline]
    fn find(&self, key: Key, mark: u32) -> Option<Slot> {
        self.table.find(key.short(), |(k, m)| *k == key && m.is(mark)).map(|(_, m)| m.slot())
    }

    /// Makes room for the own keys of so many series, at once.
    pub(crate) fn reserve(&mut self, series: usize) {
        self.table.reserve(series, |(k, _)| k.short());
    }

    /// The own key of a new series.
    pub(crate) fn insert_own(&mut self, key: Key, slot: Slot) {
        self.insert(key, slot, OWN);
    }

    /// Labels with the key `sent`, not judged so far, lead to the series at `slot`, whose own key is `own`.
    pub(crate) fn judge(&mut self, sent: Key, own: Key, slot: Slot) {
        if sent == own {
            let found = self.table.find_mut(own.short(), |(k, m)| *k == own && m.is(OWN));
            found.expect("a series has its own key").1.0 |= JUDGED;
        } else {
            if self.sent >= SENT_PER_SERIES * (self.table.len() - self.sent) + SENT_IN_ANY_CASE {
                self.forget_sent();
            }
            self.sent += 1;
            self.insert(sent, slot, JUDGED);
        }
    }

    fn insert(&mut self, key: Key, slot: Slot, mark: u32) {
        assert!(slot & (OWN | JUDGED) == 0, "a tenant has below 2^30 series");
        self.table.insert_unique(key.short(), (key, Marked(slot | mark)), |(k, _)| k.short());
    }

    /// Another policy holds: everything is to be judged anew.
    pub(crate) fn forget_judged(&mut self) {
        self.forget_sent();
        self.table.iter_mut().for_each(|(_, marked)| marked.0 &= !JUDGED);
    }

    fn forget_sent(&mut self) {
        self.sent = 0;
        self.table.retain(|(_, marked)| marked.is(OWN));
        if self.table.len() < self.table.capacity() / 4 {
            self.table.shrink_to_fit(|(k, _)| k.short());
        }
    }

    /// Renumbers, dropping the keys whose slot has no new number.
    pub(crate) fn renumber(&mut self, new: impl Fn(Slot) -> Option<Slot>) {
        let old = std::mem::take(&mut self.table);
        let renumbered = |(key, marked): (Key, Marked)| {
            Some((key, Marked(new(marked.slot())? | marked.0 & (OWN | JUDGED))))
        };
        let kept: Vec<_> = old.into_iter().filter_map(renumbered).collect();
        self.sent = kept.iter().filter(|(_, marked)| !marked.is(OWN)).count();
        self.table.reserve(kept.len(), |(k, _)| k.short());
        for entry in kept {
            self.table.insert_unique(entry.0.short(), entry, |(k, _)| k.short());
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.table.capacity() * (size_of::<(Key, Marked)>() + 1) * 8 / 7
    }
}
