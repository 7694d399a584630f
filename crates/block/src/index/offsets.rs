//! The postings offset table: where the postings of each label pair are, sorted by name and value.
//!
//! ```text
//! ┌──────────┬───────────────┬───────┬──────────────────┬──────────────────┬──────────────────┬───┬──────────────┐
//! │ len <4b> │ #entries <4b> │ 2 <1b>│ name <uvarint+…> │ value <uvarint+…>│ offset <uvarint> │ … │ CRC-32C <4b> │
//! └──────────┴───────────────┴───────┴──────────────────┴──────────────────┴──────────────────┴───┴──────────────┘
//! ```
//!
//! The first entry, of the empty pair, is that of all series. In memory are the names, and of each name every
//! 32nd value with a checksum of the run that it begins.

use crate::bytes::{Crc, Cursor, crc32c};
use crate::source::{Section, Source, Window};
use nilometer_model::Result;
use std::cmp::Ordering;
use std::ops::ControlFlow;

const RUN: usize = 32;
/// In front of each entry: how many strings it has.
const STRINGS: u64 = 2;

/// What is in memory of a postings offset table.
pub(crate) struct Offsets {
    /// Sorted by name.
    names: Vec<Name>,
    /// Of the list of all series.
    all: Option<u64>,
}

/// A label name and a sample of its values.
pub(crate) struct Name {
    pub(crate) name: Box<str>,
    /// How many values there are.
    pub(crate) values: usize,
    runs: Vec<Run>,
    /// Where in the file the last run ends.
    end: u64,
}

struct Run {
    first: Box<str>,
    start: u64,
    crc: u32,
}

impl Offsets {
    pub(crate) fn open(source: &Source, offset: u64) -> Result<Self> {
        let mut section = Section::open(source, offset, "postings offset table")?;
        let mut builder = Builder { names: Vec::new(), last_value: Vec::new(), crc: Crc::new() };
        let (mut name, mut value, mut all) = (Vec::new(), Vec::new(), None);
        for number in 0..section.be32()? {
            let at = section.offset();
            section.mark();
            let strings = section.uvarint()?;
            section.prefixed(&mut name)?;
            section.prefixed(&mut value)?;
            let list = section.uvarint()?;
            if number == 0 && name.is_empty() && value.is_empty() {
                all = Some(list);
                continue;
            }
            let entry = (at, section.marked());
            if strings != STRINGS || builder.push(&name, &mut value, entry).is_none() {
                return Err(source.corrupt(at, "the postings offset table is not sorted, or not text"));
            }
        }
        builder.end_run();
        section.finish()?;
        Ok(Offsets { names: builder.names, all })
    }

    /// Where the list of all series is.
    pub(crate) fn all(&self) -> Option<u64> {
        self.all
    }

    /// All label names, sorted.
    pub(crate) fn names(&self) -> &[Name] {
        &self.names
    }

    pub(crate) fn name(&self, name: &str) -> Option<&Name> {
        let at = self.names.binary_search_by(|n| n.name.as_ref().cmp(name)).ok()?;
        Some(&self.names[at])
    }
}

impl Name {
    /// Where the list of one value is.
    pub(crate) fn find(&self, window: &mut Window, source: &Source, value: &str) -> Result<Option<u64>> {
        let Some(run) = self.runs.partition_point(|r| *r.first <= *value).checked_sub(1) else {
            return Ok(None);
        };
        let mut found = None;
        let _ended = self.scan_run(window, source, run, &mut |v, list| match v.cmp(value) {
            Ordering::Less => ControlFlow::Continue(()),
            order => {
                found = order.is_eq().then_some(list);
                ControlFlow::Break(())
            }
        })?;
        Ok(found)
    }

    /// All values that begin with `prefix`, sorted, each with the place of its list, until `each` breaks.
    pub(crate) fn scan(
        &self,
        window: &mut Window,
        source: &Source,
        prefix: &str,
        mut each: impl FnMut(&str, u64) -> ControlFlow<()>,
    ) -> Result<()> {
        let first = self.runs.partition_point(|r| *r.first <= *prefix).saturating_sub(1);
        for run in first..self.runs.len() {
            let flow = self.scan_run(window, source, run, &mut |value, list| {
                if value.starts_with(prefix) {
                    each(value, list)
                } else if value < prefix {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
            if flow.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn scan_run(
        &self,
        window: &mut Window,
        source: &Source,
        run: usize,
        each: &mut dyn FnMut(&str, u64) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let Run { start, crc, .. } = self.runs[run];
        let len = (self.runs.get(run + 1).map_or(self.end, |next| next.start) - start) as usize;
        let bytes = window.get(source, start, len)?;
        let changed = || source.corrupt(start, "label values changed since the block was opened");
        let bytes = bytes.get(..len).filter(|b| crc32c(b) == crc).ok_or_else(changed)?;
        let mut cursor = Cursor::new(bytes);
        while cursor.remaining() > 0 {
            let entry = (cursor.uvarint(), cursor.prefixed(), cursor.prefixed(), cursor.uvarint());
            let (Some(_), Some(_), Some(value), Some(list)) = entry else { return Err(changed()) };
            if each(std::str::from_utf8(value).map_err(|_| changed())?, list).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Samples the entries as they come.
struct Builder {
    names: Vec<Name>,
    last_value: Vec<u8>,
    /// Of the run that is open.
    crc: Crc,
}

impl Builder {
    /// `None` if the entry is not text, or not behind the one before. `entry` is its place and its bytes.
    fn push(&mut self, name: &[u8], value: &mut Vec<u8>, entry: (u64, &[u8])) -> Option<()> {
        let (text, first) = (std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?);
        let order = self.names.last().map_or(Ordering::Less, |last| last.name.as_bytes().cmp(name));
        let (start, bytes) = entry;
        if order.is_gt() || (order.is_eq() && self.last_value >= *value) {
            return None;
        }
        if order.is_lt() {
            self.end_run();
            self.names.push(Name { name: text.into(), values: 0, runs: Vec::new(), end: 0 });
        } else if self.names.last().is_some_and(|n| n.values.is_multiple_of(RUN)) {
            self.end_run();
        }
        let open = self.names.last_mut()?;
        if open.values.is_multiple_of(RUN) {
            open.runs.push(Run { first: first.into(), start, crc: 0 });
        }
        open.values += 1;
        open.end = start + bytes.len() as u64;
        self.crc.update(bytes);
        std::mem::swap(&mut self.last_value, value);
        Some(())
    }

    fn end_run(&mut self) {
        if let Some(run) = self.names.last_mut().and_then(|n| n.runs.last_mut()) {
            run.crc = self.crc.take();
        }
    }
}
