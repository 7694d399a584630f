//! Writes one block, from front to back, without ever holding its samples.
//!
//! Everything goes into `<ulid>.tmp-for-creation/`, is synced, and is then renamed: a block is there whole or
//! not at all. Symbols come first, then series in order, each with its chunks.

mod index;
mod output;
mod segments;
mod symbols;

use crate::dir::CREATION_SUFFIX;
use crate::index::{ChunkMeta, Index};
use crate::segments::MAX_CHUNK_BYTES;
use crate::tombstones::Tombstones;
use index::IndexWriter;
use nilometer_env::Fs;
use nilometer_model::{BlockMeta, BlockStats, Error, IndexStats, Labels, Result, TimeRange};
use nilometer_storage::ChunkRef;
use output::Output;
use segments::SegmentWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use symbols::SymbolTable;

/// A block while it is being written. Dropped before [`BlockWriter::finish`], it leaves nothing behind.
pub struct BlockWriter {
    fs: Arc<dyn Fs>,
    parent: PathBuf,
    /// The folder that is written to, until it is renamed.
    tmp: Option<PathBuf>,
    meta: BlockMeta,
    parts: Option<(IndexWriter, SegmentWriter)>,
    symbols_written: bool,
    ids: Vec<(u32, u32)>,
    chunks: Vec<ChunkMeta>,
}

impl BlockWriter {
    pub const MAX_SEGMENT_BYTES: u64 = 512 << 20;

    /// A block in the folder `parent`, whose own name is durable, to be described by `meta`: its ULID, range, compaction and `thanos`
    /// section. Statistics are counted here, those for readers by ranges too; a block without sources is its own.
    pub fn create(fs: &Arc<dyn Fs>, parent: &Path, meta: BlockMeta) -> Result<Self> {
        Self::with_segment_bytes(fs, parent, meta, Self::MAX_SEGMENT_BYTES)
    }

    /// As [`BlockWriter::create`], with smaller segments.
    pub fn with_segment_bytes(
        fs: &Arc<dyn Fs>,
        parent: &Path,
        mut meta: BlockMeta,
        max_segment_bytes: u64,
    ) -> Result<Self> {
        assert!(max_segment_bytes <= u64::from(u32::MAX), "offsets in a segment are 32 bits wide");
        let target = parent.join(meta.ulid.to_string());
        if fs.exists(&target) {
            return Err(Error::conflict(format!("block {} is there already", target.display())));
        }
        let tmp = parent.join(format!("{}{CREATION_SUFFIX}", meta.ulid));
        if fs.exists(&tmp) {
            fs.remove_dir_all(&tmp).map_err(|e| Error::io(format!("removing {}", tmp.display()), e))?;
        }
        meta.stats = BlockStats::default();
        meta.version = BlockMeta::VERSION;
        meta.compaction.level = meta.compaction.level.max(1);
        if meta.compaction.sources.is_empty() {
            meta.compaction.sources.push(meta.ulid);
        }
        // From here on dropping the writer removes the folder.
        let mut writer = BlockWriter {
            fs: fs.clone(),
            parent: parent.to_owned(),
            tmp: Some(tmp.clone()),
            meta,
            parts: None,
            symbols_written: false,
            ids: Vec::new(),
            chunks: Vec::new(),
        };
        let segments = SegmentWriter::create(fs.clone(), &tmp, max_segment_bytes)?;
        writer.parts = Some((IndexWriter::create(&**fs, tmp.join(Index::FILE))?, segments));
        Ok(writer)
    }

    /// All names and values of labels to come, sorted and unique; more than are used do no harm.
    pub fn symbols(&mut self, sorted: impl IntoIterator<Item = impl AsRef<str>>) -> Result<()> {
        assert!(!self.symbols_written, "symbols are written once");
        self.symbols_written = true;
        let table = SymbolTable::new(sorted);
        self.write(|index, _, _| index.put_symbols(table?))
    }

    /// A series behind all before it, with its chunks in order of time, which may not overlap. One without
    /// chunks is left out.
    pub fn series(&mut self, labels: &Labels, chunks: &[ChunkRef<'_>]) -> Result<()> {
        let mut ids = std::mem::take(&mut self.ids);
        ids.clear();
        let written = self
            .write(|index, _, _| {
                for (name, value) in labels {
                    match (index.symbols().number(name), index.symbols().number(value)) {
                        (Some(name), Some(value)) => ids.push((name, value)),
                        _ => {
                            return Err(Error::invalid(format!(
                                "label {name}={value:?} is not among the symbols"
                            )));
                        }
                    }
                }
                Ok(())
            })
            .and_then(|()| self.series_by_symbols(&ids, chunks));
        self.ids = ids;
        written
    }

    /// As [`BlockWriter::series`], for who knows the places of names and values among the symbols.
    pub fn series_by_symbols(&mut self, labels: &[(u32, u32)], chunks: &[ChunkRef<'_>]) -> Result<()> {
        assert!(self.symbols_written, "symbols come before series");
        if chunks.is_empty() {
            return Ok(());
        }
        let mut metas = std::mem::take(&mut self.chunks);
        metas.clear();
        let within = self.meta.range();
        let written = self.write(|index, segments, stats| {
            for chunk in chunks {
                check(chunk, metas.last(), within)?;
                let samples = crate::samples_of(chunk.encoding, chunk.data);
                let samples = samples.ok_or_else(|| Error::invalid("the data of a chunk is none"))?;
                crate::count(stats, chunk.encoding, samples);
                metas.push(ChunkMeta { reference: segments.put(chunk)?, range: chunk.range });
            }
            stats.num_series += 1;
            index.put_series(labels, &metas)
        });
        self.chunks = metas;
        written
    }

    /// How much is in it so far.
    pub fn stats(&self) -> &BlockStats {
        &self.meta.stats
    }

    /// Makes the block durable, then visible.
    pub fn finish(mut self) -> Result<BlockMeta> {
        assert!(self.symbols_written, "a block has symbols, if only none");
        let (Some((index, segments)), Some(tmp)) = (self.parts.take(), self.tmp.clone()) else {
            return Err(Error::unavailable("the block could not be written before, so it is given up"));
        };
        // Who reads by ranges guesses from these how much to ask for.
        if let Some(thanos) = &mut self.meta.thanos {
            thanos.index_stats = Some(IndexStats {
                series_max_bytes: index.largest_bytes(),
                chunk_max_bytes: segments.largest_bytes(),
            });
        }
        segments.finish()?;
        index.finish()?;
        let fs = &*self.fs;
        for (name, bytes) in
            [(Tombstones::FILE, Tombstones::default().encode()), (BlockMeta::FILE, self.meta.to_json())]
        {
            let mut file = Output::create(fs, tmp.join(name))?;
            file.put(&bytes)?;
            file.sync()?;
        }
        let target = self.parent.join(self.meta.ulid.to_string());
        let failed = |e| Error::io(format!("making block {} visible", target.display()), e);
        fs.sync_dir(&tmp).map_err(failed)?;
        fs.rename(&tmp, &target).map_err(failed)?;
        if let Err(e) = fs.sync_dir(&self.parent) {
            // Who retries would have the samples twice: take it back, dropping removes it.
            fs.rename(&target, &tmp).map_err(failed)?;
            return Err(failed(e));
        }
        self.tmp = None;
        Ok(std::mem::take(&mut self.meta))
    }

    /// Nothing may be written behind what failed: a part of it may be in the file.
    fn write(
        &mut self,
        doing: impl FnOnce(&mut IndexWriter, &mut SegmentWriter, &mut BlockStats) -> Result<()>,
    ) -> Result<()> {
        let Some((index, segments)) = &mut self.parts else {
            return Err(Error::unavailable("the block could not be written before, so it is given up"));
        };
        let done = doing(index, segments, &mut self.meta.stats);
        if done.is_err() {
            self.parts = None;
        }
        done
    }
}

impl Drop for BlockWriter {
    fn drop(&mut self) {
        self.parts = None;
        if let Some(tmp) = self.tmp.take() {
            // What cannot be removed now is removed at the next start.
            drop(self.fs.remove_dir_all(&tmp));
        }
    }
}

fn check(chunk: &ChunkRef<'_>, before: Option<&ChunkMeta>, within: TimeRange) -> Result<()> {
    let TimeRange { min_ms, max_ms } = chunk.range;
    if min_ms > max_ms || !within.contains(min_ms) || !within.contains(max_ms) {
        return Err(Error::invalid(format!(
            "a chunk of {min_ms} to {max_ms} ms is not within its block: {within:?}"
        )));
    }
    if chunk.data.len() > MAX_CHUNK_BYTES {
        let max = MAX_CHUNK_BYTES as u64;
        return Err(Error::limit("chunk-bytes", max, format!("a chunk has {} bytes", chunk.data.len())));
    }
    if let Some(before) = before.filter(|b| b.range.max_ms >= min_ms) {
        return Err(Error::invalid(format!(
            "a chunk from {min_ms} ms on overlaps the one before: {:?}",
            before.range
        )));
    }
    Ok(())
}
