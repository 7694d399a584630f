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
use nilometer_block::{Block, BlockWriter, SeriesScan, pack};
use nilometer_chunk::Encoding;
use nilometer_env::Fs;
use nilometer_model::{BlockMeta, Error, Result, TimeRange, Ulid};
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
    let new = || Downsampler::new(resolution_ms(block.meta()), to_ms);
    let mut downsamplers = [new()?, new()?];
    let scan = block.scan()?;
    let mut writer = BlockWriter::create(fs, dir, coarser_meta(block.meta(), ulid, to_ms))?;
    // The symbols stay the same, so their numbers do.
    symbols::merge(std::slice::from_ref(&scan), &mut writer)?;
    let mut series = scan.series();
    let mut batch = Batch::default();
    let mut done = Progress { series_total: block.meta().stats.num_series, ..Progress::default() };
    progress(done)?;
    while batch.read(&mut series)? {
        batch.thin_out(&mut downsamplers)?;
        for one in batch.read_series() {
            let written: Vec<_> = one.coarser.iter().collect();
            done.chunk_bytes += written.iter().map(|c| c.data.len() as u64).sum::<u64>();
            writer.series_by_symbols(&one.labels, &written)?;
            done.series += 1;
            if done.series.is_multiple_of(STEP) {
                progress(done)?;
            }
        }
    }
    if writer.stats().num_series == 0 {
        return Ok(None);
    }
    progress(done)?;
    writer.finish().map(Some)
}

/// So much is read at once, and at least one series.
const BATCH_BYTES: usize = 256 << 10;

/// Series that two threads thin out at the same time. What one needed is used again for one of the next.
#[derive(Default)]
struct Batch {
    series: Vec<One>,
    /// So many of them count.
    len: usize,
    ranges: Vec<TimeRange>,
}

#[derive(Default)]
struct One {
    labels: Vec<(u32, u32)>,
    chunks: ReadChunks,
    coarser: ReadChunks,
}

impl Batch {
    /// The next ones, without what was deleted; whether there are any.
    fn read(&mut self, from: &mut SeriesScan<'_>) -> Result<bool> {
        let Batch { series, len, ranges } = self;
        let mut bytes = 0;
        *len = 0;
        while bytes < BATCH_BYTES && from.next_series()? {
            if *len == series.len() {
                series.push(One::default());
            }
            let one = &mut series[*len];
            *len += 1;
            one.chunks.clear();
            one.labels.clear();
            one.labels.extend_from_slice(from.labels());
            let deleted = from.deleted();
            ranges.clear();
            ranges.extend(from.ranges());
            for (at, range) in ranges.iter().enumerate().filter(|(_, range)| !deleted.covers(**range)) {
                let chunk = from.chunk(at)?;
                bytes += chunk.data.len();
                if deleted.touches(*range) {
                    pack::without(deleted, chunk, &mut one.chunks)?;
                } else {
                    one.chunks.push(chunk.range, chunk.encoding, chunk.data);
                }
            }
        }
        Ok(*len > 0)
    }

    fn read_series(&self) -> &[One] {
        &self.series[..self.len]
    }

    fn thin_out(&mut self, [first, second]: &mut [Downsampler; 2]) -> Result<()> {
        let (one_half, other_half) = self.series[..self.len].split_at_mut(self.len / 2);
        let all = |downsampler: &mut Downsampler, series: &mut [One]| {
            series.iter_mut().try_for_each(|one| {
                one.coarser.clear();
                let chunks: Vec<_> = one.chunks.iter().collect();
                downsampler.series(&chunks, &mut one.coarser)
            })
        };
        std::thread::scope(|scope| {
            let other = (!one_half.is_empty()).then(|| scope.spawn(|| all(first, one_half)));
            let this = all(second, other_half);
            let other = other.map_or(Ok(Ok(())), |other| other.join());
            other.unwrap_or_else(|panic| std::panic::resume_unwind(panic)).and(this)
        })
    }
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
