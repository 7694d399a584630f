//! Start timestamps beside the samples: when the counter began, as XOR2 and the newer histogram chunks tell.
//!
//! One byte of the chunk's header says from which sample on there are any:
//!
//! ```text
//! ┌────────────────────────┬─────────────────────────┐
//! │ first is known <1 bit> │ changes from on <7 bit> │   0: it never changes; 127: from there on, changed or not
//! └────────────────────────┴─────────────────────────┘
//! first sample:        t − start <varint>, if it is known
//! sample "from":       t of the sample before − start <varbit>
//! all samples after:   what that difference differs from the one before <varbit>
//! ```
//!
//! 0 stands for "not known", as on the wire. All arithmetic wraps, as Prometheus' does.

use crate::bits::{BitReader, BitWriter};
use crate::read::corrupt;
use crate::varbit;
use nilometer_model::Result;

/// When a sample is from, and what it counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub t_ms: i64,
    /// The start timestamp, 0 where it is not known; dropped by encodings that cannot hold it.
    pub start_ms: i64,
}

impl Stamp {
    /// Without a start timestamp.
    pub fn at(t_ms: i64) -> Self {
        Stamp { t_ms, start_ms: 0 }
    }
}

/// The last sample that the header's seven bits can name.
const LAST_CHANGE: u16 = 0x7f;
const KNOWN: u8 = 0x80;

/// The state of writing or reading them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StartTimes {
    pub(crate) start_ms: i64,
    /// Of the sample before: its predecessor's time less its start.
    diff: i64,
    header: u8,
}

impl StartTimes {
    /// Before the first sample of a chunk with this `header`, 0 for one to be written.
    pub(crate) fn new(header: u8) -> Self {
        StartTimes { start_ms: 0, diff: 0, header }
    }

    pub(crate) fn header(self) -> u8 {
        self.header
    }

    fn changes_from(self) -> u16 {
        u16::from(self.header & !KNOWN)
    }

    /// Whether any but the first sample has a start of its own.
    pub(crate) fn changes(self) -> bool {
        self.changes_from() > 0
    }

    /// Fails where the header is not one that writing `count` samples leads to: the chunk could be read, but
    /// not continued.
    pub(crate) fn check_header(self, count: u16) -> Result<()> {
        let written = match self.changes_from() {
            0 => count <= LAST_CHANGE && (count > 0 || self.header == 0),
            from => from < count,
        };
        if written {
            return Ok(());
        }
        Err(corrupt(2, format!("a chunk of {count} samples cannot have the start timestamps that it names")))
    }

    /// Writes the start of sample `n` (from 0) behind its other parts; the header may have changed after.
    pub(crate) fn write(
        &mut self,
        out: &mut BitWriter<'_>,
        n: u16,
        (before_ms, t_ms): (i64, i64),
        start_ms: i64,
    ) {
        let diff = before_ms.wrapping_sub(start_ms);
        if n == 0 {
            if start_ms != 0 {
                out.put_varint(t_ms.wrapping_sub(start_ms));
                self.header = KNOWN;
            }
        } else if self.changes() {
            varbit::put_int(out, diff.wrapping_sub(self.diff));
            self.diff = diff;
        } else if start_ms != self.start_ms || n == LAST_CHANGE {
            varbit::put_int(out, diff);
            self.header |= n as u8 & !KNOWN;
            self.diff = diff;
        }
        self.start_ms = start_ms;
    }

    /// Reads the start of sample `n`. `None`: it is none.
    #[inline(always)]
    pub(crate) fn read(
        &mut self,
        from: &mut BitReader<'_>,
        n: u16,
        (before_ms, t_ms): (i64, i64),
    ) -> Option<()> {
        if self.header != 0 {
            self.read_present(from, n, before_ms, t_ms)?;
        }
        Some(())
    }

    fn read_present(&mut self, from: &mut BitReader<'_>, n: u16, before_ms: i64, t_ms: i64) -> Option<()> {
        if n == 0 {
            if self.header & KNOWN != 0 {
                self.start_ms = t_ms.wrapping_sub(from.take_varint()?);
            }
        } else if self.changes() && n >= self.changes_from() {
            let read = varbit::take_int(from);
            self.diff = if n == self.changes_from() { read } else { self.diff.wrapping_add(read) };
            self.start_ms = before_ms.wrapping_sub(self.diff);
        }
        Some(())
    }
}
