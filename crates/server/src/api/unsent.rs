//! What is computed and not yet read by its client: bounded over all answers.
//!
//! Without it, clients that ask for much and read slowly would fill the memory, each within its own limits. A
//! query that finds no room waits at its place in the pool, so that no others are begun for nothing.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Smaller answers are sent in one piece, and soon.
const SMALL_BYTES: usize = 64 << 10;

/// Room for answers, counted in KiB.
pub(crate) struct Unsent {
    room: Arc<Semaphore>,
    all_kib: u32,
}

/// Room that an answer has until it is sent. Small ones need none.
pub(crate) type Room = Option<OwnedSemaphorePermit>;

impl Unsent {
    /// 0 is without bound, as elsewhere.
    pub(crate) fn new(max_bytes: usize) -> Self {
        let most = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
        let all_kib = match max_bytes {
            0 => most,
            bytes => u32::try_from(bytes >> 10).unwrap_or(most).clamp(1, most),
        };
        Unsent { room: Arc::new(Semaphore::new(all_kib as usize)), all_kib }
    }

    /// Waits until there is room for `bytes`. An answer larger than all room takes all of it.
    pub(crate) async fn room_for(&self, bytes: usize) -> Room {
        if bytes <= SMALL_BYTES {
            return None;
        }
        let kib = u32::try_from(bytes >> 10).unwrap_or(u32::MAX).min(self.all_kib);
        // It is never closed.
        self.room.clone().acquire_many_owned(kib).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn answers_wait_for_room() {
        let unsent = Unsent::new(1 << 20);
        let try_for = |bytes| unsent.room_for(bytes).now_or_never();
        assert!(matches!(try_for(SMALL_BYTES), Some(None)));
        let half = try_for(512 << 10).flatten().unwrap();
        assert!(try_for(513 << 10).is_none());
        let other = try_for(512 << 10).flatten().unwrap();
        assert!(try_for(100 << 10).is_none());
        drop((half, other));
        let all = try_for(usize::MAX).flatten().unwrap();
        assert!(try_for(100 << 10).is_none());
        drop(all);
        assert!(try_for(100 << 10).flatten().is_some());
        assert!(Unsent::new(0).room_for(usize::MAX).now_or_never().flatten().is_some());
        assert!(Unsent::new(1).room_for(usize::MAX).now_or_never().flatten().is_some());
    }
}
