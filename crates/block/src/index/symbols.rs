//! The symbol table: every label name and value once, sorted; a symbol's number is its place.
//!
//! ```text
//! ┌──────────┬───────────────┬───────────────────────┬─────┬──────────────┐
//! │ len <4b> │ #symbols <4b> │ len(s) <uvarint>, s   │  …  │ CRC-32C <4b> │
//! └──────────┴───────────────┴───────────────────────┴─────┴──────────────┘
//! ```
//!
//! In memory is the place of every 32nd symbol and a checksum of each such run, so that a run that is read
//! again later is checked again.

use crate::bytes::{CRC_BYTES, Crc, Cursor, crc32c};
use crate::source::{Section, Source};
use hashbrown::HashMap;
use nilometer_model::Result;
use std::ops::Range;

const RUN: u32 = 32;

/// What is in memory of a symbol table.
pub(crate) struct Symbols {
    count: u32,
    /// Of each run of 32: where it starts in the file, and its checksum.
    runs: Vec<(u64, u32)>,
    end: u64,
}

impl Symbols {
    pub(crate) fn open(source: &Source, offset: u64) -> Result<Self> {
        let mut section = Section::open(source, offset, "symbol table")?;
        let count = section.be32()?;
        let (mut runs, mut crc) = (Vec::new(), Crc::new());
        let (mut symbol, mut last) = (Vec::new(), Vec::new());
        for number in 0..count {
            let at = section.offset();
            section.mark();
            section.prefixed(&mut symbol)?;
            if number > 0 && symbol <= last {
                return Err(source.corrupt(at, "the symbols are not sorted"));
            }
            if number % RUN == 0 {
                close(&mut runs, &mut crc);
                runs.push((at, 0));
            }
            crc.update(section.marked());
            std::mem::swap(&mut symbol, &mut last);
        }
        close(&mut runs, &mut crc);
        let end = section.offset();
        section.finish()?;
        Ok(Symbols { count, runs, end })
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Where the section ends in the file.
    pub(crate) fn end(&self) -> u64 {
        self.end + CRC_BYTES as u64
    }

    fn read_run(&self, source: &Source, run: u32) -> Result<Run> {
        let (start, crc) = self.runs[run as usize];
        let end = self.runs.get(run as usize + 1).map_or(self.end, |next| next.0);
        let bytes = source.read_vec(start, end - start)?;
        if crc32c(&bytes) != crc {
            return Err(source.corrupt(start, "symbols changed since the block was opened"));
        }
        let mut cursor = Cursor::new(&bytes);
        let (mut text, mut symbols) = (String::with_capacity(bytes.len()), Vec::with_capacity(RUN as usize));
        while let Some(symbol) = cursor.prefixed() {
            symbols.push(std::str::from_utf8(symbol).ok().map(|symbol| {
                text.push_str(symbol);
                text.len() - symbol.len()..text.len()
            }));
        }
        Ok(Run { start, text, symbols })
    }
}

/// Gives the last run its checksum.
fn close(runs: &mut [(u64, u32)], crc: &mut Crc) {
    if let Some(run) = runs.last_mut() {
        run.1 = crc.take();
    }
}

struct Run {
    /// Of the file.
    start: u64,
    text: String,
    /// Where in `text`; nothing for one that is not UTF-8.
    symbols: Vec<Option<Range<usize>>>,
}

/// Runs of symbols that a reader has used of late; at most some MiB, then it starts anew.
#[derive(Default)]
pub(crate) struct SymbolCache {
    runs: HashMap<u32, Run>,
    held_bytes: usize,
}

impl SymbolCache {
    const MAX_BYTES: usize = 4 << 20;
    /// Of a run besides its text.
    const RUN_OVERHEAD_BYTES: usize = RUN as usize * size_of::<Option<Range<usize>>>() + 96;

    /// Makes room. What was looked up before may have to be read again.
    pub(crate) fn trim(&mut self) {
        if self.held_bytes > Self::MAX_BYTES {
            self.runs.clear();
            self.held_bytes = 0;
        }
    }

    /// After this [`SymbolCache::get`] answers for `number`.
    pub(crate) fn load(&mut self, symbols: &Symbols, source: &Source, number: u32) -> Result<()> {
        if number >= symbols.count {
            return Err(source.corrupt(0, format!("symbol {number} of {} is referred to", symbols.count)));
        }
        if !self.runs.contains_key(&(number / RUN)) {
            let run = symbols.read_run(source, number / RUN)?;
            self.held_bytes += run.text.len() + Self::RUN_OVERHEAD_BYTES;
            self.runs.insert(number / RUN, run);
        }
        match self.find(number) {
            Some(_) => Ok(()),
            None => {
                let at = self.runs[&(number / RUN)].start;
                Err(source.corrupt(at, format!("symbol {number} is not UTF-8")))
            }
        }
    }

    /// A symbol that was loaded since the last [`SymbolCache::trim`].
    pub(crate) fn get(&self, number: u32) -> &str {
        self.find(number).expect("a symbol is loaded before it is used")
    }

    fn find(&self, number: u32) -> Option<&str> {
        let run = self.runs.get(&(number / RUN))?;
        let range = run.symbols.get((number % RUN) as usize)?.clone()?;
        Some(&run.text[range])
    }
}
