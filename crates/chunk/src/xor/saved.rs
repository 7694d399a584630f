//! The state of an XOR chunk as bytes, so that a chunk that was being written is gone on with at once: the state
//! follows from the chunk's own bytes too, but only by reading all of them.
//!
//! ```text
//! step u64, value u64, leading u8, trailing u8, bits used of the last byte u8      all little endian
//! ```

use super::{COUNT_BYTES, XorState, read_count};
use crate::read::corrupt;
use crate::window::Window;
use nilometer_model::Result;

impl XorState {
    pub const SAVED_BYTES: usize = 19;

    /// All that neither the chunk's bytes nor the time of its last sample says.
    pub fn saved(&self) -> [u8; Self::SAVED_BYTES] {
        let mut saved = [0; Self::SAVED_BYTES];
        saved[..8].copy_from_slice(&self.t_delta.to_le_bytes());
        saved[8..16].copy_from_slice(&self.v_bits.to_le_bytes());
        saved[16..].copy_from_slice(&[self.window.leading, self.window.trailing, self.used]);
        saved
    }

    /// The state of before, of a chunk with these bytes and its last sample at `t_ms`. Whether they belong together
    /// is not checked: who keeps them, keeps them under one checksum.
    pub fn restored(saved: &[u8; Self::SAVED_BYTES], t_ms: i64, bytes: &[u8]) -> Result<Self> {
        let u64_at = |at: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&saved[at..at + 8]);
            u64::from_le_bytes(eight)
        };
        let [leading, trailing, used] = [saved[16], saved[17], saved[18]];
        let window = Window { leading, trailing };
        let is_window = window == Window::NONE || (leading < 32 && trailing < 64 - leading);
        let count = read_count(bytes, COUNT_BYTES)?;
        if !is_window || used > 7 || count == 0 {
            return Err(corrupt(0, "the state of an XOR chunk is none that a chunk can have"));
        }
        Ok(XorState { t_ms, t_delta: u64_at(0), v_bits: u64_at(8), window, used, count })
    }
}
