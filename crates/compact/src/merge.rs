//! Compaction: several blocks become one, series by series.
//!
//! Symbols are merged first, so that from then on series of different blocks are compared by numbers. Chunks pass as
//! they are where nothing else is of their time and nothing of them was deleted; what is decoded is only what must
//! be. In memory are the symbols of the new block, four bytes for each symbol of each old one, and the chunks of one
//! series.

pub(crate) mod chunks;
mod dedup;
pub(crate) mod symbols;

pub use dedup::Dedup;

use crate::resolution_ms;
use chunks::ChunkMerge;
use nilometer_block::{Block, BlockWriter, Scan, SeriesScan};
use nilometer_env::Fs;
use nilometer_model::{
    BlockCompaction, BlockDesc, BlockMeta, BlockStats, Error, Labels, Result, ThanosMeta, Ulid,
};
use nilometer_storage::ReadChunks;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// What the new block is called, and how it comes about.
#[derive(Clone, Debug)]
pub struct Compaction {
    pub ulid: Ulid,
    /// Its external labels: those of the group.
    pub labels: Labels,
    /// How samples of one time are merged.
    pub dedup: Dedup,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Series read, of all blocks together, and how many these are.
    pub series: u64,
    pub series_total: u64,
    /// Bytes of chunks written.
    pub chunk_bytes: u64,
}

/// So many series are read between two words of progress.
pub(crate) const STEP: u64 = 256;

/// Writes one block into `dir` with what is in `blocks` and was not deleted. Nothing if nothing is left. An error of
/// `progress` ends it. Damage anywhere is an error: the old blocks are all that is left then.
pub fn compact(
    fs: &Arc<dyn Fs>,
    dir: &Path,
    blocks: &[Block],
    compaction: &Compaction,
    progress: &mut dyn FnMut(Progress) -> Result<()>,
) -> Result<Option<BlockMeta>> {
    let metas: Vec<_> = blocks.iter().map(Block::meta).collect();
    let meta = merged_meta(&metas, compaction)?;
    let scans: Vec<Scan> = blocks.iter().map(Block::scan).collect::<Result<_>>()?;
    let mut writer = BlockWriter::create(fs, dir, meta)?;
    let numbers = symbols::merge(&scans, &mut writer)?;
    let mut inputs: Vec<Input<'_>> = Vec::with_capacity(scans.len());
    for (scan, numbers) in scans.iter().zip(numbers) {
        inputs.push(Input::new(scan.series(), numbers)?);
    }
    let mut chunks = ChunkMerge::new(compaction.dedup, &metas);
    let (mut labels, mut of_series, mut out) = (Vec::new(), Vec::new(), ReadChunks::default());
    let mut done =
        Progress { series_total: metas.iter().map(|m| m.stats.num_series).sum(), ..Progress::default() };
    let mut told = 0;
    progress(done)?;
    while next_series(&inputs, &mut labels, &mut of_series) {
        out.clear();
        chunks.merge(&mut inputs, &of_series, &mut out)?;
        let written: Vec<_> = out.iter().collect();
        done.chunk_bytes += written.iter().map(|c| c.data.len() as u64).sum::<u64>();
        writer.series_by_symbols(&labels, &written)?;
        for &at in &of_series {
            inputs[at].advance()?;
        }
        done.series += of_series.len() as u64;
        if done.series >= told + STEP {
            told = done.series;
            progress(done)?;
        }
    }
    if writer.stats().num_series == 0 {
        return Ok(None);
    }
    progress(done)?;
    writer.finish().map(Some)
}

/// A block that is read, at one of its series.
pub(crate) struct Input<'a> {
    series: SeriesScan<'a>,
    /// By the numbers of symbols in this block, those in the new one.
    numbers: Vec<u32>,
    /// Of the series, in numbers of the new block; none at the end.
    labels: Vec<(u32, u32)>,
    is_done: bool,
}

impl<'a> Input<'a> {
    fn new(series: SeriesScan<'a>, numbers: Vec<u32>) -> Result<Self> {
        let mut input = Input { series, numbers, labels: Vec::new(), is_done: false };
        input.advance()?;
        Ok(input)
    }

    /// For who goes from series to series by itself.
    pub(crate) fn without_labels(series: SeriesScan<'a>) -> Self {
        Input { series, numbers: Vec::new(), labels: Vec::new(), is_done: false }
    }

    pub(crate) fn seek(&mut self, reference: u32) -> Result<()> {
        self.series.seek(reference)
    }

    fn advance(&mut self) -> Result<()> {
        self.labels.clear();
        self.is_done = !self.series.next_series()?;
        if self.is_done {
            return Ok(());
        }
        for &(name, value) in self.series.labels() {
            let number = |old: u32| self.numbers.get(old as usize).copied();
            match (number(name), number(value)) {
                (Some(name), Some(value)) => self.labels.push((name, value)),
                _ => return Err(Error::corrupt("index", 0, "a series refers to a symbol that is not there")),
            }
        }
        Ok(())
    }
}

/// The labels that come next, and which inputs have them; false at the end.
fn next_series(inputs: &[Input<'_>], labels: &mut Vec<(u32, u32)>, of_series: &mut Vec<usize>) -> bool {
    of_series.clear();
    for (at, input) in inputs.iter().enumerate().filter(|(_, i)| !i.is_done) {
        match of_series.first().map(|first| input.labels.cmp(&inputs[*first].labels)) {
            Some(std::cmp::Ordering::Greater) => {}
            Some(std::cmp::Ordering::Equal) => of_series.push(at),
            _ => {
                of_series.clear();
                of_series.push(at);
            }
        }
    }
    labels.clear();
    of_series.first().map(|first| labels.extend_from_slice(&inputs[*first].labels)).is_some()
}

/// What the new block says of itself, as Prometheus and Thanos put it together.
fn merged_meta(metas: &[&BlockMeta], compaction: &Compaction) -> Result<BlockMeta> {
    let first = metas.first().ok_or_else(|| Error::invalid("a compaction needs blocks"))?;
    let resolution = resolution_ms(first);
    if metas.iter().any(|m| resolution_ms(m) != resolution) {
        return Err(Error::invalid("blocks of different resolutions cannot become one"));
    }
    let sources: BTreeSet<Ulid> = metas.iter().flat_map(|m| m.compaction.sources.iter().copied()).collect();
    let desc =
        |m: &&BlockMeta| BlockDesc { ulid: m.ulid, min_time_ms: m.min_time_ms, max_time_ms: m.max_time_ms };
    let mut hints = Vec::new();
    if metas.iter().all(|m| m.is_from_out_of_order()) {
        hints.push(BlockMeta::FROM_OUT_OF_ORDER.to_owned());
    }
    let mut thanos = first.thanos.clone().unwrap_or_default();
    thanos.labels = compaction.labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    thanos.source = "compactor".to_owned();
    keep_shared_extensions(&mut thanos, metas);
    (thanos.files, thanos.segment_files) = (Vec::new(), Vec::new());
    (thanos.index_stats, thanos.upload_time, thanos.rewrites) = (None, None, None);
    Ok(BlockMeta {
        ulid: compaction.ulid,
        min_time_ms: metas.iter().map(|m| m.min_time_ms).min().unwrap_or_default(),
        max_time_ms: metas.iter().map(|m| m.max_time_ms).max().unwrap_or_default(),
        stats: BlockStats::default(),
        compaction: BlockCompaction {
            level: metas.iter().map(|m| m.compaction.level).max().unwrap_or_default() + 1,
            sources: sources.into_iter().collect(),
            parents: metas.iter().map(desc).collect(),
            hints,
            ..BlockCompaction::default()
        },
        thanos: Some(thanos),
        ..BlockMeta::default()
    })
}

/// Of the first block's extensions those that all others with extensions have too.
fn keep_shared_extensions(thanos: &mut ThanosMeta, metas: &[&BlockMeta]) {
    let all = || metas.iter().filter_map(|m| m.thanos.as_ref()?.extensions.as_ref());
    thanos.extensions = all().next().cloned();
    if let Some(shared) = thanos.extensions.as_mut().and_then(|e| e.as_object_mut()) {
        for other in all().filter_map(|e| e.as_object()) {
            shared.retain(|key, _| other.contains_key(key));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
