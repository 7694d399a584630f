//! Walks a whole block and says all that is wrong with it.

use crate::Block;
use crate::block::OpenBlock;
use crate::index::{ChunkMeta, SeriesEntry, SymbolCache, is_corrupt, postings};
use crate::segments::ChunkWindow;
use crate::source::Window;
use nilometer_chunk::{AggrChunk, Aggregate, Encoding, Samples};
use nilometer_model::{BlockStats, Error, Labels, Result, TimeRange};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;

/// What is in a block, and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Counted, not read from `meta.json`.
    pub stats: BlockStats,
    pub symbols: u64,
    /// Label pairs, each with a postings list.
    pub label_pairs: u64,
    /// In the order found, the first 1,000.
    pub problems: Vec<String>,
    pub problem_count: u64,
}

impl Report {
    const MAX_PROBLEMS: usize = 1000;

    pub fn is_clean(&self) -> bool {
        self.problem_count == 0
    }

    fn problem(&mut self, what: String) {
        self.problem_count += 1;
        if self.problems.len() < Self::MAX_PROBLEMS {
            self.problems.push(what);
        }
    }
}

/// Reads every byte of index and chunks, decodes every sample, and compares what can be: order, checksums,
/// times, postings against series, counts against `meta.json`. Memory is that of the longest postings list.
pub fn verify(block: &Block) -> Report {
    walk(block, true)
}

/// The same of the index alone; chunk segments need not be there.
pub fn verify_index(block: &Block) -> Report {
    walk(block, false)
}

fn walk(block: &Block, reads_chunks: bool) -> Report {
    let open = match block.open() {
        Ok(open) => open,
        Err(e) => {
            return Report { problems: vec![e.to_string()], problem_count: 1, ..Report::default() };
        }
    };
    let mut verifier = Verifier {
        block,
        open: &open,
        report: Report { symbols: open.index.symbol_count().into(), ..Report::default() },
        in_series: PairSum::default(),
        in_postings: PairSum::default(),
        chunks: ChunkWindow::default(),
        last_chunk: None,
        reads_chunks,
    };
    for damage in open.segments.damage() {
        verifier.report.problem(damage.to_string());
    }
    if let Err(e) = verifier.walk_series() {
        verifier.report.problem(e.to_string());
    }
    if let Err(e) = verifier.walk_postings() {
        verifier.report.problem(e.to_string());
    }
    verifier.compare();
    verifier.report
}

struct Verifier<'a> {
    block: &'a Block,
    open: &'a OpenBlock,
    report: Report,
    /// Of label pairs and references, once as the series have them and once as the postings do.
    in_series: PairSum,
    in_postings: PairSum,
    chunks: ChunkWindow,
    last_chunk: Option<u64>,
    reads_chunks: bool,
}

/// A sum over a set, the same in any order: two sets with equal sums are equal but for a chance of 2⁻⁶⁴.
#[derive(Default, PartialEq, Eq)]
struct PairSum {
    sum: u64,
    count: u64,
}

impl PairSum {
    fn add(&mut self, name: &str, value: &str, reference: u32) {
        let mut hasher = DefaultHasher::new();
        (name, value, reference).hash(&mut hasher);
        self.sum = self.sum.wrapping_add(hasher.finish());
        self.count += 1;
    }
}

impl Verifier<'_> {
    fn walk_series(&mut self) -> Result<()> {
        let index = &self.open.index;
        let (mut walk, mut entry, mut cache) = (index.walk(), SeriesEntry::default(), SymbolCache::default());
        let mut last: Option<Labels> = None;
        loop {
            let (reference, content) = match walk.next() {
                Ok(Some(entry)) => entry,
                Ok(None) => return Ok(()),
                Err(e) if is_corrupt(&e) => {
                    self.report.problem(e.to_string());
                    continue;
                }
                Err(e) => return Err(e),
            };
            self.report.stats.num_series += 1;
            self.in_series.add("", "", reference);
            if entry.decode(content).is_err() {
                self.report.problem(index.corrupt(reference, "a series entry makes no sense").to_string());
                continue;
            }
            let labels = match index.labels(&entry, &mut cache) {
                Ok(labels) => labels,
                Err(e) => {
                    self.report.problem(e.to_string());
                    continue;
                }
            };
            if labels.len() != entry.labels.len() || labels.is_empty() {
                self.report.problem(
                    index.corrupt(reference, format!("{labels} has empty labels, or none")).to_string(),
                );
            }
            if last.as_ref().is_some_and(|last| *last >= labels) {
                self.report
                    .problem(index.corrupt(reference, format!("{labels} is not in order")).to_string());
            }
            for (name, value) in &labels {
                self.in_series.add(name, value, reference);
            }
            self.check_chunks(&labels, &entry.chunks);
            last = Some(labels);
        }
    }

    fn check_chunks(&mut self, labels: &Labels, chunks: &[ChunkMeta]) {
        if chunks.is_empty() {
            self.report.problem(format!("{labels} has no chunks"));
        }
        let mut last_max = None;
        for chunk in chunks {
            if self.last_chunk.is_some_and(|last| last >= chunk.reference) {
                self.report
                    .problem(format!("{labels}: chunk {:#x} is not in the order of series", chunk.reference));
            }
            if last_max.is_some_and(|last| last >= chunk.range.min_ms) {
                self.report
                    .problem(format!("{labels}: chunk {:#x} overlaps the one before", chunk.reference));
            }
            (self.last_chunk, last_max) = (Some(chunk.reference), Some(chunk.range.max_ms));
            if !self.within(chunk) {
                self.report
                    .problem(format!("{labels}: chunk {:#x} is outside of its block", chunk.reference));
            }
            if !self.reads_chunks {
                self.report.stats.num_chunks += 1;
                continue;
            }
            if let Err(e) = self.check_samples(labels, chunk) {
                self.report.problem(e.context(labels).to_string());
            }
        }
    }

    fn check_samples(&mut self, labels: &Labels, chunk: &ChunkMeta) -> Result<()> {
        let (encoding, data) = self.open.segments.read(&mut self.chunks, chunk.reference)?;
        let times = match encoding {
            Encoding::Aggr => Times::of_aggregates(AggrChunk::read(data)?)?,
            _ => Times::of(encoding, data)?,
        };
        crate::count(&mut self.report.stats, encoding, times.count);
        let announced = crate::samples_of(encoding, data).unwrap_or(0);
        let mut problem = |what: &str| {
            self.report.problem(format!("{labels}: chunk {:#x} {what}", chunk.reference));
        };
        if !times.sorted {
            problem("has samples out of order");
        }
        if announced != times.count {
            problem("has not as many samples as it says");
        }
        if times.range != Some(chunk.range) {
            problem("has other times than its index entry");
        }
        Ok(())
    }

    fn within(&self, chunk: &ChunkMeta) -> bool {
        let range = self.block.meta().range();
        range.contains(chunk.range.min_ms) && range.contains(chunk.range.max_ms)
    }

    fn walk_postings(&mut self) -> Result<()> {
        let index = &self.open.index;
        let (mut window, mut list) = (Window::default(), Vec::new());
        for reference in index.all_series(&mut window)? {
            self.in_postings.add("", "", reference);
        }
        for name in index.offsets.as_ref().map_err(Clone::clone)?.names() {
            index.values(name, "", |value, at| {
                self.report.label_pairs += 1;
                list.clear();
                match postings::read(&mut window, &index.source, at, &mut list) {
                    Ok(()) => list.iter().for_each(|r| self.in_postings.add(&name.name, value, *r)),
                    Err(e) => self.report.problem(e.to_string()),
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(())
    }

    fn compare(&mut self) {
        if self.in_series != self.in_postings {
            let (series, postings) = (self.in_series.count, self.in_postings.count);
            self.report
                .problem(format!("series have {series} label pairs, postings {postings}, or they differ"));
        }
        let (told, found) = (self.block.meta().stats, &mut self.report.stats);
        found.num_tombstones = self.open.tombstones.len() as u64;
        // Older writers count no kinds of samples, and Prometheus not always tombstones.
        let samples = |s: &BlockStats| if self.reads_chunks { s.num_samples } else { 0 };
        let key = |s: &BlockStats| (samples(s), s.num_series, s.num_chunks);
        if key(&told) != key(found) {
            let shown = |s: &BlockStats| {
                format!("{} samples in {} series and {} chunks", s.num_samples, s.num_series, s.num_chunks)
            };
            let problem = format!("meta.json counts {}, the block has {}", shown(&told), shown(found));
            self.report.problem(problem);
        }
    }
}

/// The times of the samples in a chunk, all of which were decoded.
#[derive(PartialEq, Eq)]
struct Times {
    count: u64,
    /// Of the first and the last.
    range: Option<TimeRange>,
    /// Each after the one before.
    sorted: bool,
}

impl Times {
    fn of(encoding: Encoding, data: &[u8]) -> Result<Self> {
        let mut times = Times { count: 0, range: None, sorted: true };
        for sample in Samples::new(data, encoding)? {
            times.add(sample?.0);
        }
        Ok(times)
    }

    fn add(&mut self, t_ms: i64) {
        let range = self.range.get_or_insert(TimeRange::new(t_ms, t_ms));
        self.sorted &= self.count == 0 || range.max_ms < t_ms;
        range.max_ms = t_ms;
        self.count += 1;
    }

    /// Those of the count, which all other aggregates have to have too, but for a counter of floats: that has
    /// true values at both ends, and may lack windows where it is not a number.
    fn of_aggregates(chunk: AggrChunk<'_>) -> Result<Self> {
        let part = |aggregate| chunk.get(aggregate).map(|(encoding, data)| Times::of(encoding, data));
        let mut times = part(Aggregate::Count)
            .transpose()?
            .ok_or_else(|| Error::invalid("a downsampled chunk has no count"))?;
        for aggregate in [Aggregate::Sum, Aggregate::Min, Aggregate::Max, Aggregate::Counter] {
            let Some(other) = part(aggregate).transpose()? else { continue };
            if aggregate == Aggregate::Counter && !chunk.is_histogram() {
                times.sorted &= other.count <= times.count + 2;
                times.sorted &= other.range.map(|r| r.max_ms) <= times.range.map(|r| r.max_ms);
            } else {
                times.sorted &= other == times;
            }
        }
        Ok(times)
    }
}
