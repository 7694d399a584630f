//! The chunks of some series of a block, read when they are wanted.

use crate::Block;
use crate::block::{OpenBlock, is_damage};
use crate::index::ChunkMeta;
use crate::pack;
use crate::segments::ChunkWindow;
use nilometer_chunk::{AggrChunk, Aggregate, Encoding};
use nilometer_model::{Error, Result};
use nilometer_storage::{ChunkHolder, ChunkRef, ReadChunks};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where they are, of one series after the other; the files stay open as long.
pub(crate) struct GroupChunks {
    block: Block,
    open: Arc<OpenBlock>,
    chunks: Vec<ChunkMeta>,
    /// Only these of downsampled ones.
    aggregates: Option<&'static [Aggregate]>,
    damage: Arc<Damage>,
}

impl GroupChunks {
    pub(crate) fn new(
        (block, open): (Block, Arc<OpenBlock>),
        chunks: Vec<ChunkMeta>,
        aggregates: Option<&'static [Aggregate]>,
        damage: Arc<Damage>,
    ) -> Self {
        GroupChunks { block, open, chunks, aggregates, damage }
    }

    /// Whether reading may wait for another machine.
    pub(crate) fn are_far(&self) -> bool {
        self.open.segments.are_far()
    }

    /// What a reader is told of these chunks, for [`ChunkHolder::read`].
    pub(crate) fn place(chunks: Range<usize>) -> u64 {
        (chunks.start as u64) << 32 | chunks.end as u64
    }

    /// Reads those of one series; of damage there is a warning.
    pub(crate) fn read_some(&self, series: u32, chunks: Range<usize>, out: &mut ReadChunks) -> Result<()> {
        let mut window = ChunkWindow::within(std::mem::take(&mut out.scratch));
        let read = self.read_within(&mut window, (series, chunks), out);
        out.scratch = window.into_memory();
        read
    }

    fn read_within(
        &self,
        window: &mut ChunkWindow,
        (series, chunks): (u32, Range<usize>),
        out: &mut ReadChunks,
    ) -> Result<()> {
        let behind = self.chunks.get(chunks.end).map(|chunk| chunk.reference);
        let (deleted, chunks) = (self.open.tombstones.of(series), &self.chunks[chunks]);
        self.open.segments.read_ahead(window, chunks, behind);
        for chunk in chunks {
            let (range, mark) = (chunk.range, out.mark());
            let read = self.open.segments.read(window, chunk.reference).and_then(|(encoding, data)| {
                if deleted.touches(range) {
                    return pack::without(deleted, ChunkRef { range, encoding, data }, out);
                }
                let kept = self.aggregates.filter(|_| encoding == Encoding::Aggr);
                match kept.map(|kept| (kept, AggrChunk::read(data))) {
                    Some((kept, Ok(chunk))) => {
                        out.push_with(range, encoding, |bytes| chunk.only(kept).encode_to(bytes));
                    }
                    // What is wrong with it is told by who decodes it.
                    _ => out.push(range, encoding, data),
                }
                Ok(())
            });
            if let Err(e) = read {
                out.back_to(mark);
                if !is_damage(&e) {
                    return Err(e);
                }
                self.damage.note(&self.block, &e, &mut out.warnings);
            }
        }
        Ok(())
    }
}

impl ChunkHolder for GroupChunks {
    fn read(&self, series: u64, place: u64, out: &mut ReadChunks) {
        let chunks = (place >> 32) as usize..(place & u64::from(u32::MAX)) as usize;
        if let Err(e) = self.read_some(series as u32, chunks, out) {
            self.damage.note(&self.block, &e, &mut out.warnings);
        }
    }
}

/// How much of a block a query found damaged. Only of as much as a user can read there is a warning.
#[derive(Default)]
pub(crate) struct Damage {
    seen: AtomicUsize,
}

impl Damage {
    const MAX_WARNINGS: usize = 10;

    pub(crate) fn note(&self, block: &Block, damage: &Error, warnings: &mut Vec<String>) {
        block.count_damage();
        match self.seen.fetch_add(1, Ordering::Relaxed) {
            ..Self::MAX_WARNINGS => warnings.push(damage.to_string()),
            Self::MAX_WARNINGS => {
                let block = block.meta().ulid;
                warnings.push(format!("more damaged series or chunks of block {block} are left out"));
            }
            _ => {}
        }
    }
}
