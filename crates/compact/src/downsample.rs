//! Downsampling: a series' samples become aggregates of five minutes, and those become aggregates of an hour.
//!
//! Windows, values and where chunks are cut are those of Thanos, so that its readers and ours get the same. Where it
//! gives up, ours goes on: histograms of custom buckets are aggregated like others, and a chunk ends where the layout
//! of histograms changes in a way that one chunk cannot hold.
//!
//! A window ends at its last millisecond, but with the last sample of a chunk at the latest. Stale markers and NaN
//! are no samples.

mod aggregates;
mod float;
mod histogram;
mod raw;
mod window;

use crate::merge::{Progress, STEP, symbols};
use crate::{FIVE_MINUTES_MS, resolution_ms};
use aggregates::Aggregates;
use nilometer_block::{Block, BlockWriter, pack};
use nilometer_chunk::Encoding;
use nilometer_env::Fs;
use nilometer_model::{BlockMeta, Error, Result, Ulid};
use nilometer_storage::{ChunkRef, ReadChunks};
use raw::Raw;
use std::path::Path;
use std::sync::Arc;

/// Thins out one series after the other. In memory are the times and values of the floats of one series, of
/// histograms the times and one at a time.
pub struct Downsampler {
    from_ms: i64,
    to_ms: i64,
    raw: Raw,
    aggregates: Aggregates,
    /// Of raw chunks among aggregates.
    mended: ReadChunks,
}

impl Downsampler {
    /// From one resolution to a coarser one; 0 is that of raw samples.
    pub fn new(from_ms: i64, to_ms: i64) -> Result<Self> {
        if from_ms < 0 || to_ms <= from_ms {
            return Err(Error::invalid(format!(
                "samples of {from_ms} ms cannot be downsampled to {to_ms} ms"
            )));
        }
        let (raw, aggregates) = (Raw::default(), Aggregates::default());
        Ok(Downsampler { from_ms, to_ms, raw, aggregates, mended: ReadChunks::default() })
    }

    /// The chunks of a series, which come in order and do not overlap, become chunks of aggregates in `out`.
    pub fn series(&mut self, chunks: &[ChunkRef<'_>], out: &mut ReadChunks) -> Result<()> {
        if let Some(pair) = chunks.windows(2).find(|pair| pair[0].range.max_ms >= pair[1].range.min_ms) {
            return Err(Error::invalid(format!(
                "chunks of a series overlap: one ends at {} ms, the next begins at {}; compact the block first",
                pair[0].range.max_ms, pair[1].range.min_ms
            )));
        }
        if self.from_ms == 0 {
            return self.raw.downsample(chunks, self.to_ms, out);
        }
        if chunks.iter().all(|c| c.encoding == Encoding::Aggr) {
            return self.aggregates.downsample(chunks, (self.from_ms, self.to_ms), out);
        }
        // Old compactors left raw chunks among the aggregates, most of them empty.
        self.mended.clear();
        for chunk in chunks {
            match chunk.encoding {
                Encoding::Aggr => self.mended.push(chunk.range, chunk.encoding, chunk.data),
                _ => self.raw.downsample(&[*chunk], FIVE_MINUTES_MS, &mut self.mended)?,
            }
        }
        let mended: Vec<_> = self.mended.iter().collect();
        self.aggregates.downsample(&mended, (self.from_ms, self.to_ms), out)
    }
}

/// Writes a block into `dir` that has the aggregates of `block`. Nothing if there are none. Damage anywhere is an
/// error, and so is one of `progress`.
pub fn downsample(
    fs: &Arc<dyn Fs>,
    dir: &Path,
    block: &Block,
    ulid: Ulid,
    to_ms: i64,
    progress: &mut dyn FnMut(Progress) -> Result<()>,
) -> Result<Option<BlockMeta>> {
    let mut downsampler = Downsampler::new(resolution_ms(block.meta()), to_ms)?;
    let scan = block.scan()?;
    let mut writer = BlockWriter::create(fs, dir, coarser_meta(block.meta(), ulid, to_ms))?;
    // The symbols stay the same, so their numbers do.
    symbols::merge(std::slice::from_ref(&scan), &mut writer)?;
    let mut series = scan.series();
    let (mut ranges, mut held, mut out) = (Vec::new(), ReadChunks::default(), ReadChunks::default());
    let mut done = Progress { series_total: block.meta().stats.num_series, ..Progress::default() };
    progress(done)?;
    while series.next_series()? {
        held.clear();
        out.clear();
        let deleted = series.deleted();
        ranges.clear();
        ranges.extend(series.ranges());
        for (at, range) in ranges.iter().enumerate().filter(|(_, range)| !deleted.covers(**range)) {
            let chunk = series.chunk(at)?;
            if deleted.touches(*range) {
                pack::without(deleted, chunk, &mut held)?;
            } else {
                held.push(chunk.range, chunk.encoding, chunk.data);
            }
        }
        let chunks: Vec<_> = held.iter().collect();
        downsampler.series(&chunks, &mut out)?;
        let written: Vec<_> = out.iter().collect();
        done.chunk_bytes += written.iter().map(|c| c.data.len() as u64).sum::<u64>();
        writer.series_by_symbols(series.labels(), &written)?;
        done.series += 1;
        if done.series.is_multiple_of(STEP) {
            progress(done)?;
        }
    }
    if writer.stats().num_series == 0 {
        return Ok(None);
    }
    progress(done)?;
    writer.finish().map(Some)
}

/// The same sources and parents, as Thanos has it: so it is known which raw block is thinned out already.
fn coarser_meta(meta: &BlockMeta, ulid: Ulid, to_ms: i64) -> BlockMeta {
    let mut coarser = BlockMeta { ulid, ..meta.clone() };
    let thanos = coarser.thanos.get_or_insert_default();
    thanos.downsample.resolution_ms = to_ms;
    thanos.source = "compactor".to_owned();
    (thanos.files, thanos.segment_files) = (Vec::new(), Vec::new());
    (thanos.index_stats, thanos.upload_time) = (None, None);
    coarser
}

#[cfg(test)]
mod tests;
