//! The protobuf wire format, read in place and written by hand.
//!
//! ```text
//! ┌───────────────────────────┬─────────────────────────────────────────────────┐
//! │ field << 3 | wire (varint)│ 0: varint  1: 8 bytes  2: len, bytes  5: 4 bytes│ …
//! └───────────────────────────┴─────────────────────────────────────────────────┘
//! ```
//!
//! No generated code: a request's labels are nine tenths of its bytes, and only a reader that knows what is
//! wanted of them can leave them where they are. Groups (wire types 3 and 4) are refused, not skipped: no
//! message here has them, and skipping them is the one thing that would need recursion.

mod read;
mod write;

pub(crate) use read::{Malformed, Reader, Result, Wire, unzigzag};
pub(crate) use write::{Writer, zigzag};

/// The key of a field: its number and wire type in one value, as it stands in front of the field.
pub(crate) const fn tag(field: u32, wire: Wire) -> u32 {
    field << 3 | wire as u32
}

/// Bytes of a varint.
pub(crate) fn varint_len(value: usize) -> usize {
    (value | 1).ilog2() as usize / 7 + 1
}
