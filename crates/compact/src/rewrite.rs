//! Rewriting: one block becomes another without some of its samples, or with other labels.
//!
//! It is decided first, by one walk through the index, what goes and what every series is called; that alone is a dry
//! run. Then the new block is written. Chunks of which nothing goes pass as they are; series that get the same labels
//! become one, and of two samples of one time that of the series that came first stays.
//!
//! Names and values that nothing has any more are not in the new index either. Where labels change, those of all series
//! are in memory; else one byte for each symbol.

use crate::merge::chunks::ChunkMerge;
use crate::merge::{Dedup, Input, Progress, STEP};
use nilometer_block::{Block, BlockWriter, Scan, SeriesScan};
use nilometer_env::Fs;
use nilometer_model::{BlockMeta, Error, Labels, Matcher, Relabel, Result, TimeRange};
use nilometer_storage::ReadChunks;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// Samples that are to go.
#[derive(Clone, Debug)]
pub struct Deletion {
    /// All have to match, on labels that a series has.
    pub matchers: Vec<Matcher>,
    /// Closed on both sides; none: all of the series.
    pub intervals: Vec<TimeRange>,
}

/// What a rewrite is to change. Deletions look at labels as the rules leave them.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub relabel: Relabel,
    pub deletions: Vec<Deletion>,
    /// Whether chunks that lie outside of the block's time, which no query finds, go.
    pub drop_outside: bool,
}

/// What becomes of one series.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// Chunks, or parts of them.
    Deleted {
        labels: &'a Labels,
        ranges: &'a [TimeRange],
    },
    Relabelled {
        from: &'a Labels,
        to: &'a Labels,
    },
}

/// What is going to be written.
pub struct Rewriting<'b> {
    block: &'b Block,
    scan: Scan,
    order: Order,
    /// Whether the new block will be another than the old one.
    pub is_change: bool,
}

enum Order {
    /// As it is, and which symbols are still used.
    Same {
        used: Vec<bool>,
    },
    New(Vec<(Labels, u32)>),
}

/// Finds out what changes, and tells it. An error of `tell` ends it; damage anywhere is an error.
pub fn plan_rewrite<'b>(
    block: &'b Block,
    changes: &Changes,
    tell: &mut dyn FnMut(Change<'_>) -> Result<()>,
) -> Result<Rewriting<'b>> {
    let scan = block.scan()?;
    let mut tombstones = scan.tombstones().clone();
    // What was deleted before is carried out too.
    let mut is_change = !tombstones.is_empty();
    let mut order =
        if changes.relabel.is_empty() { Order::Same { used: Vec::new() } } else { Order::New(Vec::new()) };
    let mut series = scan.series();
    while series.next_series()? {
        let (old, reference) = (series.texts()?, series.reference());
        let new = if changes.relabel.is_empty() { Some(old.clone()) } else { changes.relabel.apply(&old) };
        let new = new.filter(|labels| !labels.is_empty());
        let gone = match &new {
            None => vec![TimeRange::ALL],
            Some(labels) => changes.deleted(labels, &series, block.meta().range())?,
        };
        let touched = touched(&series, &gone);
        if !touched.is_empty() {
            is_change = true;
            tell(Change::Deleted { labels: new.as_ref().unwrap_or(&old), ranges: &touched })?;
            gone.iter().for_each(|range| tombstones.add(reference, *range));
        }
        let Some(new) = new else { continue };
        let rest = tombstones.of(reference);
        if series.ranges().all(|range| rest.covers(range)) {
            continue;
        }
        if new != old {
            is_change = true;
            tell(Change::Relabelled { from: &old, to: &new })?;
        }
        match &mut order {
            Order::New(all) => all.push((new, reference)),
            Order::Same { used } => use_symbols(used, series.labels()),
        }
    }
    drop(series);
    if let Order::New(all) = &mut order {
        all.sort();
    }
    Ok(Rewriting { block, scan: scan.with_tombstones(tombstones), order, is_change })
}

impl Changes {
    fn deleted(&self, labels: &Labels, series: &SeriesScan<'_>, block: TimeRange) -> Result<Vec<TimeRange>> {
        let mut gone = Vec::new();
        let hits = |m: &Matcher| labels.has(&m.name) && m.matches(labels.get(&m.name));
        for deletion in self.deletions.iter().filter(|d| d.matchers.iter().all(hits)) {
            match deletion.intervals.is_empty() {
                true => gone.push(TimeRange::ALL),
                false => gone.extend(&deletion.intervals),
            }
        }
        if self.drop_outside {
            for range in series.ranges().filter(|r| !(block.contains(r.min_ms) && block.contains(r.max_ms))) {
                if range.overlaps(&block) {
                    return Err(Error::invalid(format!(
                        "a chunk of {labels} reaches out of the block's time: its samples would be lost"
                    )));
                }
                gone.push(range);
            }
        }
        Ok(gone)
    }
}

/// The parts of chunks that go.
fn touched(series: &SeriesScan<'_>, gone: &[TimeRange]) -> Vec<TimeRange> {
    let part = |chunk: TimeRange, gone: &TimeRange| {
        chunk
            .overlaps(gone)
            .then(|| TimeRange::new(chunk.min_ms.max(gone.min_ms), chunk.max_ms.min(gone.max_ms)))
    };
    let mut parts: Vec<_> =
        series.ranges().flat_map(|chunk| gone.iter().filter_map(move |g| part(chunk, g))).collect();
    parts.sort_by_key(|r| (r.min_ms, r.max_ms));
    parts.dedup_by(|next, last| {
        let joins = next.min_ms <= last.max_ms.saturating_add(1);
        if joins {
            last.max_ms = last.max_ms.max(next.max_ms);
        }
        joins
    });
    parts
}

fn use_symbols(used: &mut Vec<bool>, labels: &[(u32, u32)]) {
    for number in labels.iter().flat_map(|(name, value)| [*name as usize, *value as usize]) {
        if used.len() <= number {
            used.resize(number + 1, false);
        }
        used[number] = true;
    }
}

impl Rewriting<'_> {
    /// Writes the new block into `dir`, to be described by `meta`. Nothing if nothing is left.
    pub fn write(
        self,
        fs: &Arc<dyn Fs>,
        dir: &Path,
        mut meta: BlockMeta,
        progress: &mut dyn FnMut(Progress) -> Result<()>,
    ) -> Result<Option<BlockMeta>> {
        if let Some(thanos) = &mut meta.thanos {
            (thanos.files, thanos.segment_files) = (Vec::new(), Vec::new());
            (thanos.index_stats, thanos.upload_time) = (None, None);
        }
        let series_total = self.block.meta().stats.num_series;
        let mut work = Work {
            scan: &self.scan,
            writer: BlockWriter::create(fs, dir, meta)?,
            inputs: Vec::new(),
            chunks: ReadChunks::default(),
            done: Progress { series_total, ..Progress::default() },
            progress,
        };
        match self.order {
            Order::Same { used } => work.in_order(&used)?,
            Order::New(order) => work.in_new_order(&order)?,
        }
        (work.progress)(work.done)?;
        if work.writer.stats().num_series == 0 {
            return Ok(None);
        }
        work.writer.finish().map(Some)
    }
}

struct Work<'a> {
    scan: &'a Scan,
    writer: BlockWriter,
    inputs: Vec<Input<'a>>,
    chunks: ReadChunks,
    done: Progress,
    progress: &'a mut dyn FnMut(Progress) -> Result<()>,
}

impl Work<'_> {
    fn in_order(&mut self, used: &[bool]) -> Result<()> {
        let numbers = self.symbols(used)?;
        let mut merge = ChunkMerge::with_ages(Dedup::OneToOne, vec![0], vec![i64::MIN]);
        let mut walk = self.scan.series();
        self.inputs.push(Input::without_labels(self.scan.series()));
        let mut labels = Vec::new();
        while walk.next_series()? {
            self.read(&mut merge, &[walk.reference()])?;
            labels.clear();
            // A series that goes may have symbols that go too.
            let number = |old: u32| numbers.get(old as usize).copied().flatten();
            labels.extend(walk.labels().iter().filter_map(|(n, v)| Some((number(*n)?, number(*v)?))));
            let written: Vec<_> = self.chunks.iter().collect();
            self.writer.series_by_symbols(&labels, &written)?;
        }
        Ok(())
    }

    fn in_new_order(&mut self, order: &[(Labels, u32)]) -> Result<()> {
        let texts: BTreeSet<&str> = order
            .iter()
            .flat_map(|(labels, _)| labels.iter())
            .flat_map(|(name, value)| [name, value])
            .collect();
        self.writer.symbols(texts)?;
        for same in order.chunk_by(|a, b| a.0 == b.0) {
            while self.inputs.len() < same.len() {
                self.inputs.push(Input::without_labels(self.scan.series()));
            }
            // Who came first in the old block counts as the older.
            let mut merge =
                ChunkMerge::with_ages(Dedup::OneToOne, (0..same.len()).collect(), vec![i64::MIN; same.len()]);
            let references: Vec<u32> = same.iter().map(|(_, reference)| *reference).collect();
            self.read(&mut merge, &references)?;
            let written: Vec<_> = self.chunks.iter().collect();
            self.writer.series(&same[0].0, &written)?;
        }
        Ok(())
    }

    /// The chunks of the series that become one.
    fn read(&mut self, merge: &mut ChunkMerge, references: &[u32]) -> Result<()> {
        for (input, reference) in self.inputs.iter_mut().zip(references) {
            input.seek(*reference)?;
        }
        let all: Vec<usize> = (0..references.len()).collect();
        self.chunks.clear();
        merge.merge(&mut self.inputs, &all, &mut self.chunks)?;
        self.done.chunk_bytes += self.chunks.iter().map(|c| c.data.len() as u64).sum::<u64>();
        let before = self.done.series / STEP;
        self.done.series += references.len() as u64;
        if self.done.series / STEP != before { (self.progress)(self.done) } else { Ok(()) }
    }

    /// Writes the symbols that are used. Gives their new numbers.
    fn symbols(&mut self, used: &[bool]) -> Result<Vec<Option<u32>>> {
        let mut scan = self.scan.symbols()?;
        let (mut numbers, mut failed, mut count) = (Vec::with_capacity(used.len()), None, 0u32);
        let texts = std::iter::from_fn(|| {
            loop {
                match scan.next_symbol() {
                    Ok(Some(symbol)) => {
                        let is_used = used.get(numbers.len()) == Some(&true);
                        numbers.push(is_used.then_some(count));
                        if is_used {
                            count += 1;
                            return Some(symbol.to_owned());
                        }
                    }
                    Ok(None) => return None,
                    Err(e) => {
                        failed = Some(e);
                        return None;
                    }
                }
            }
        });
        let written = self.writer.symbols(texts);
        failed.map_or(written, Err).map(|()| numbers)
    }
}

#[cfg(test)]
mod tests;
