//! Every series of a block from the first to the last, as it lies on disk: for who makes another block of it.
//!
//! Nothing is read around here. A block of which a part is damaged must not be replaced by one without that part, so
//! any damage is an error.

use crate::Block;
use crate::block::OpenBlock;
use crate::index::{SeriesEntry, SeriesWalk, SymbolCache, toc};
use crate::segments::ChunkWindow;
use crate::source::{Section, Window};
use crate::tombstones::{Deleted, Tombstones};
use nilometer_model::{Labels, Result, TimeRange};
use nilometer_storage::ChunkRef;
use std::sync::Arc;

/// A block that is walked.
pub struct Scan {
    open: Arc<OpenBlock>,
    deleted: Tombstones,
}

impl Block {
    pub fn scan(&self) -> Result<Scan> {
        let open = self.open()?;
        let damage = open.segments.damage().next().cloned();
        damage.map_or_else(|| Ok(Scan { deleted: open.tombstones.clone(), open }), Err)
    }
}

impl Scan {
    /// As if these had been deleted, and nothing else.
    #[must_use]
    pub fn with_tombstones(self, deleted: Tombstones) -> Self {
        Scan { deleted, ..self }
    }

    /// What is deleted.
    pub fn tombstones(&self) -> &Tombstones {
        &self.deleted
    }

    /// All symbols in order.
    pub fn symbols(&self) -> Result<SymbolScan<'_>> {
        let mut section = Section::open(&self.open.index.source, toc::SYMBOLS, "symbol table")?;
        let left = section.be32()?;
        Ok(SymbolScan { open: &self.open, section: Some(section), left, symbol: Vec::new() })
    }

    /// All series in order.
    pub fn series(&self) -> SeriesScan<'_> {
        SeriesScan {
            open: &self.open,
            deleted: &self.deleted,
            walk: self.open.index.walk(),
            reference: 0,
            entry: SeriesEntry::default(),
            before: Vec::new(),
            symbols: SymbolCache::default(),
            window: Window::default(),
            chunks: ChunkWindow::default(),
        }
    }
}

pub struct SymbolScan<'a> {
    open: &'a OpenBlock,
    /// Until the end, where its checksum is looked at.
    section: Option<Section<'a>>,
    left: u32,
    symbol: Vec<u8>,
}

impl SymbolScan<'_> {
    /// The next symbol; the first has number 0.
    pub fn next_symbol(&mut self) -> Result<Option<&str>> {
        let Some(section) = &mut self.section else { return Ok(None) };
        if self.left == 0 {
            return self.section.take().map_or(Ok(None), |section| section.finish().map(|()| None));
        }
        self.left -= 1;
        let at = section.offset();
        section.mark();
        section.prefixed(&mut self.symbol)?;
        let source = &self.open.index.source;
        std::str::from_utf8(&self.symbol).map(Some).map_err(|_| source.corrupt(at, "a symbol is not UTF-8"))
    }
}

/// The series that was read last.
pub struct SeriesScan<'a> {
    open: &'a OpenBlock,
    deleted: &'a Tombstones,
    walk: SeriesWalk<'a>,
    reference: u32,
    entry: SeriesEntry,
    before: Vec<(u32, u32)>,
    symbols: SymbolCache,
    /// Of entries that were sought.
    window: Window,
    chunks: ChunkWindow,
}

impl<'a> SeriesScan<'a> {
    /// Goes on to the next series; false at the end. They come in the order of their labels.
    pub fn next_series(&mut self) -> Result<bool> {
        std::mem::swap(&mut self.before, &mut self.entry.labels);
        let Some((reference, content)) = self.walk.next()? else { return Ok(false) };
        let index = &self.open.index;
        if self.entry.decode(content).is_err() {
            return Err(index.corrupt(reference, "a series entry makes no sense"));
        }
        if self.reference > 0 && self.before >= self.entry.labels {
            return Err(index.corrupt(reference, "a series is not in the order of labels"));
        }
        self.reference = reference;
        Ok(true)
    }

    /// Goes to a series by its [`reference`](Self::reference), in any order. From there it does not go on.
    pub fn seek(&mut self, reference: u32) -> Result<()> {
        let index = &self.open.index;
        index.series.read(&mut self.window, &index.source, reference, &mut self.entry)?;
        self.reference = reference;
        Ok(())
    }

    /// Its labels as texts, for who is not to write numbers.
    pub fn texts(&mut self) -> Result<Labels> {
        self.open.index.labels(&self.entry, &mut self.symbols)
    }

    /// By which [`crate::Tombstones`] name it.
    pub fn reference(&self) -> u32 {
        self.reference
    }

    /// Names and values as numbers of symbols, which order as the symbols do.
    pub fn labels(&self) -> &[(u32, u32)] {
        &self.entry.labels
    }

    /// When its chunks begin and end, in the order of the index.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = TimeRange> {
        self.entry.chunks.iter().map(|c| c.range)
    }

    /// What is deleted of it.
    pub fn deleted(&self) -> Deleted<'a> {
        self.deleted.of(self.reference)
    }

    /// The chunk at a place among [`ranges`](Self::ranges), its checksum right; nothing of it is deleted yet.
    pub fn chunk(&mut self, at: usize) -> Result<ChunkRef<'_>> {
        let chunk = self.entry.chunks[at];
        let (encoding, data) = self.open.segments.read(&mut self.chunks, chunk.reference)?;
        Ok(ChunkRef { range: chunk.range, encoding, data })
    }
}
