//! Closed chunks that queries read again and again, for all tenants: a system call for each of them would cost more
//! than all that is done with it.
//!
//! Only of who skips some: who walks over all series reads pages ([`super::Pages`]), and leaves nothing here.

use crate::frame::Framing;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

const SETS: usize = 1 << 13;
const WAYS: usize = 4;
/// Longer ones are not kept, so that all that is kept has a bound: 16 MiB. Most have some 200 bytes.
const MAX_FRAME_BYTES: usize = 512;

/// A table of fixed size; in each set the frame that was used longest ago makes room.
#[derive(Default)]
pub(crate) struct HotChunks {
    /// Made when it is first wanted: who only writes does without.
    sets: OnceLock<Box<[Mutex<Set>]>>,
    bytes: AtomicUsize,
}

/// Used last in front.
type Set = [Option<Hot>; WAYS];

struct Hot {
    at: (Framing, u64),
    frame: Arc<[u8]>,
}

impl HotChunks {
    /// The frame at an offset of the file with this framing, which is drawn anew for each file.
    pub(super) fn get(&self, file: Framing, offset: u64) -> Option<Arc<[u8]>> {
        let mut set = self.set(file, offset).lock();
        let way = set.iter().position(|hot| hot.as_ref().is_some_and(|hot| hot.at == (file, offset)))?;
        set[..=way].rotate_right(1);
        set[0].as_ref().map(|hot| hot.frame.clone())
    }

    /// Keeps a frame that was found whole.
    pub(super) fn put(&self, file: Framing, offset: u64, frame: &[u8]) {
        if frame.len() > MAX_FRAME_BYTES {
            return;
        }
        let mut set = self.set(file, offset).lock();
        set.rotate_right(1);
        self.bytes.fetch_add(frame.len(), Ordering::Relaxed);
        if let Some(gone) = set[0].replace(Hot { at: (file, offset), frame: frame.into() }) {
            self.bytes.fetch_sub(gone.frame.len(), Ordering::Relaxed);
        }
    }

    fn set(&self, file: Framing, offset: u64) -> &Mutex<Set> {
        let sets = self.sets.get_or_init(|| (0..SETS).map(|_| Mutex::default()).collect());
        // Neither files nor offsets are a client's to choose.
        let mixed = (file.salt() ^ offset).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &sets[(mixed >> (u64::BITS - SETS.ilog2())) as usize]
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let sets = self.sets.get().map_or(0, |sets| size_of_val(&**sets));
        sets + self.bytes.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nilometer_env::sim::SimRandom;

    #[test]
    fn what_is_found_is_what_was_put_last() {
        let (hot, random) = (HotChunks::default(), SimRandom::new(1));
        let files = [Framing::new(&random), Framing::new(&random)];
        let frame = |at: usize, offset: u64| -> Arc<[u8]> { format!("{at} {offset}").into_bytes().into() };
        let mut found = 0;
        for _ in 0..200_000 {
            let (at, offset) = (random.below(2) as usize, random.below(40_000) * 200);
            match hot.get(files[at], offset) {
                Some(there) => {
                    assert_eq!(there, frame(at, offset));
                    found += 1;
                }
                None => hot.put(files[at], offset, &frame(at, offset)),
            }
        }
        assert!(found > 20_000, "{found}");
        let kept: usize = hot
            .sets
            .get()
            .unwrap()
            .iter()
            .flat_map(|set| set.lock().iter().flatten().map(|h| h.frame.len()).collect::<Vec<_>>())
            .sum();
        assert_eq!(hot.bytes.load(Ordering::Relaxed), kept);
    }

    #[test]
    fn long_ones_are_not_kept() {
        let (hot, file) = (HotChunks::default(), Framing::new(&SimRandom::new(1)));
        hot.put(file, 0, &[0; MAX_FRAME_BYTES + 1]);
        assert!(hot.get(file, 0).is_none());
        hot.put(file, 0, &[0; MAX_FRAME_BYTES]);
        assert!(hot.get(file, 0).is_some());
    }
}
