//! Passwords whose hash was computed: verified ones, and some that were wrong.
//!
//! Keys are SipHash-2-4 with 128 bits of output over the base64 text of the credential, under a random key of
//! the process. Whoever does not know the key cannot compute a digest, so a wrong credential is taken for one
//! of `n` cached ones with probability `n`/2^128: with 1,000 of them and 2^40 tries, below 2^-78. Passwords
//! themselves are not kept.
//!
//! A cache belongs to one load of the tenants file and is dropped with it.

use crate::identity::Identity;
use parking_lot::{Mutex, RwLock};
use siphasher::sip128::{Hasher128, SipHasher24};
use std::collections::{HashMap, HashSet};
use std::hash::Hasher;
use std::sync::Arc;

pub(crate) fn digest(key: &[u8; 16], credential: &[u8]) -> u128 {
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write(credential);
    hasher.finish128().as_u128()
}

/// Of wrong credentials, so many are remembered; a later one takes an earlier one's place.
const WRONG: usize = 1 << 12;

/// Of credentials verified before a reload, so many are remembered.
const MAX_FORMERLY: usize = 10_000;

pub(crate) struct Cache {
    /// One entry at most for each user of the file, since a user has one password and that one spelling.
    verified: RwLock<HashMap<u128, Arc<Identity>>>,
    /// Verified under the previous load: these need no try, so that an attacker who uses up a user's tries
    /// cannot lock out who was just inside.
    formerly: Mutex<HashSet<u128>>,
    /// A sender with an old password repeats it for ever: that costs one hash, and no further tries.
    wrong: Mutex<Box<[u128]>>,
}

impl Cache {
    pub(crate) fn new(formerly: HashSet<u128>) -> Self {
        Cache {
            verified: RwLock::default(),
            formerly: Mutex::new(formerly),
            wrong: Mutex::new(vec![0; WRONG].into()),
        }
    }

    /// The hot path: one read lock, one lookup, one counter.
    #[inline]
    pub(crate) fn verified(&self, digest: u128) -> Option<Arc<Identity>> {
        self.verified.read().get(&digest).cloned()
    }

    pub(crate) fn set_verified(&self, digest: u128, identity: Arc<Identity>) {
        self.verified.write().insert(digest, identity);
    }

    pub(crate) fn was_verified(&self, digest: u128) -> bool {
        self.formerly.lock().contains(&digest)
    }

    pub(crate) fn is_wrong(&self, digest: u128) -> bool {
        self.wrong.lock()[digest as usize % WRONG] == digest
    }

    pub(crate) fn set_wrong(&self, digest: u128) {
        self.formerly.lock().remove(&digest);
        self.wrong.lock()[digest as usize % WRONG] = digest;
    }

    /// What the next cache gets as `formerly`.
    pub(crate) fn to_formerly(&self) -> HashSet<u128> {
        let mut all: HashSet<u128> = self.verified.read().keys().copied().collect();
        // Two reloads in a row must not make strangers of those who had no time to come back in between.
        let older = self.formerly.lock();
        all.extend(older.iter().take(MAX_FORMERLY.saturating_sub(all.len())));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verified(digests: impl IntoIterator<Item = u128>) -> Cache {
        let cache = Cache::new(HashSet::new());
        for digest in digests {
            cache.set_verified(digest, Arc::new(Identity::anyone()));
        }
        cache
    }

    #[test]
    fn what_was_verified_is_remembered_until_it_is_wrong() {
        let second = Cache::new(verified([1, 2]).to_formerly());
        assert!(second.verified(1).is_none(), "it has to be verified again");
        assert!(second.was_verified(1) && second.was_verified(2) && !second.was_verified(3));
        second.set_wrong(1);
        assert!(second.is_wrong(1) && !second.is_wrong(2));
        let third = Cache::new(second.to_formerly());
        assert!(!third.was_verified(1) && third.was_verified(2) && !third.is_wrong(1));
    }

    #[test]
    fn memory_of_former_ones_is_bounded() {
        let many = Cache::new(verified(0..20_000).to_formerly());
        many.set_verified(1 << 100, Arc::new(Identity::anyone()));
        let next = many.to_formerly();
        assert!(next.contains(&(1 << 100)), "the present ones come first");
        assert_eq!(next.len(), MAX_FORMERLY);
    }

    #[test]
    fn a_digest_depends_on_key_and_text() {
        let all =
            [digest(&[1; 16], b"a"), digest(&[2; 16], b"a"), digest(&[1; 16], b"b"), digest(&[1; 16], b"")];
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 4);
    }
}
