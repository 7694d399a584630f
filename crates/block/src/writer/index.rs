//! Writes an index from front to back: symbols, series, postings, their table, the table of contents.
//!
//! Postings need all series by label pair. They are not collected while series come; the series section is
//! read again instead, as many times as needed for the pairs of a few names to fit in a fixed amount of
//! memory: 16 bytes a series, at least 8 MiB. What stays in memory all the time is the symbols with 4 bytes
//! for each, and 8 bytes for each label pair.

use super::output::Output;
use super::symbols::SymbolTable;
use crate::bytes::{CRC_BYTES, Crc, put_str, put_uvarint, uvarint_len};
use crate::index::toc::{HEADER, Toc};
use crate::index::{ChunkMeta, SeriesEntry, SeriesSection, SeriesWalk, series};
use crate::source::Source;
use hashbrown::HashMap;
use nilometer_env::Fs;
use nilometer_model::{Error, Result};
use std::path::PathBuf;

/// References are 32 bits wide and count 16 bytes.
const MAX_INDEX_BYTES: u64 = 16 << 32;

pub(super) struct IndexWriter {
    out: Output,
    symbols: SymbolTable,
    toc: Toc,
    series: u32,
    /// How often each label name is used, by symbol.
    uses: HashMap<u32, u32>,
    last: Vec<(u32, u32)>,
    entry: Vec<u8>,
    scratch: Vec<u8>,
    /// Of a series' entry.
    largest_bytes: u64,
}

/// The values of one name and how many series have each; in the order of their postings lists.
struct Lists {
    name: u32,
    values: Vec<(u32, u32)>,
}

impl IndexWriter {
    pub(super) fn create(fs: &dyn Fs, path: PathBuf) -> Result<Self> {
        let mut out = Output::create(fs, path)?;
        out.put(&HEADER)?;
        Ok(IndexWriter {
            out,
            symbols: SymbolTable::default(),
            toc: Toc::default(),
            series: 0,
            uses: HashMap::new(),
            last: Vec::new(),
            entry: Vec::new(),
            scratch: Vec::new(),
            largest_bytes: 0,
        })
    }

    pub(super) fn put_symbols(&mut self, symbols: SymbolTable) -> Result<()> {
        self.toc.symbols = self.out.offset();
        self.symbols = symbols;
        let (content, crc) = self.symbols.section();
        self.out.put(&(content.len() as u32).to_be_bytes())?;
        self.out.put(content)?;
        self.out.put(&crc.to_be_bytes())?;
        self.toc.series = self.out.offset();
        Ok(())
    }

    pub(super) fn symbols(&mut self) -> &mut SymbolTable {
        &mut self.symbols
    }

    /// `labels` are symbol numbers, which order as the symbols do.
    pub(super) fn put_series(&mut self, labels: &[(u32, u32)], chunks: &[ChunkMeta]) -> Result<()> {
        self.check_order(labels)?;
        self.out.align(series::ALIGN_BYTES)?;
        if self.out.offset() >= MAX_INDEX_BYTES {
            return Err(Error::limit(
                "index-bytes",
                MAX_INDEX_BYTES,
                "the block has too many series: cut it smaller",
            ));
        }
        self.entry.clear();
        series::encode(&mut self.entry, labels, chunks, &mut self.scratch);
        self.out.put(&self.entry)?;
        self.largest_bytes = self.largest_bytes.max(self.entry.len() as u64);
        self.series += 1;
        for (name, _) in labels {
            *self.uses.entry(*name).or_default() += 1;
        }
        self.last.clear();
        self.last.extend_from_slice(labels);
        Ok(())
    }

    /// The length of the largest entry of a series.
    pub(super) fn largest_bytes(&self) -> u64 {
        self.largest_bytes
    }

    /// Writes the rest. The file is durable when this returns, its name is not yet.
    pub(super) fn finish(mut self) -> Result<()> {
        self.toc.label_indices = self.out.offset();
        let section = SeriesSection { start: self.toc.series, end: self.out.offset() };
        self.out.flush()?;
        let (file, path) = self.out.file();
        let source = Source::new(file, path.display().to_string())?;
        self.out.align(4)?;
        let first_list = self.out.offset();
        self.toc.postings = first_list;
        self.put_all_series(SeriesWalk::new(&source, section))?;
        let mut lists = Vec::with_capacity(self.uses.len());
        for names in self.plan_passes() {
            self.put_postings(SeriesWalk::new(&source, section), &names, &mut lists)?;
        }
        self.toc.postings_table = self.out.offset();
        self.toc.label_table = self.toc.postings_table;
        self.put_table(first_list, &lists)?;
        let toc = self.toc.encode();
        self.out.put(&toc)?;
        self.out.sync()
    }

    fn check_order(&self, labels: &[(u32, u32)]) -> Result<()> {
        let count = self.symbols.len();
        if labels.iter().any(|(n, v)| *n >= count || *v >= count) {
            return Err(Error::invalid("a series refers to a symbol that is not in the table"));
        }
        if labels.is_empty() || !labels.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(Error::invalid("the labels of a series are none, or not sorted by name"));
        }
        if self.series > 0 && self.last.as_slice() >= labels {
            return Err(Error::invalid(format!(
                "series are not in order: {} comes after {}",
                self.show(labels),
                self.show(&self.last)
            )));
        }
        Ok(())
    }

    fn show(&self, labels: &[(u32, u32)]) -> String {
        let pairs =
            labels.iter().map(|(n, v)| format!("{}={:?}", self.symbols.get(*n), self.symbols.get(*v)));
        format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
    }

    /// Which names are collected together, so that the pairs of a pass fit in the memory for it.
    fn plan_passes(&self) -> Vec<Vec<u32>> {
        const MIN_PAIRS: u64 = 1 << 20;
        const PAIRS_PER_SERIES: u64 = 2;
        let max_pairs = (PAIRS_PER_SERIES * u64::from(self.series)).max(MIN_PAIRS);
        let mut names: Vec<_> = self.uses.iter().map(|(name, uses)| (*name, u64::from(*uses))).collect();
        names.sort_unstable();
        let (mut passes, mut pairs) = (Vec::<Vec<u32>>::new(), u64::MAX);
        for (name, uses) in names {
            pairs = pairs.saturating_add(uses);
            match passes.last_mut() {
                Some(pass) if pairs <= max_pairs => pass.push(name),
                _ => {
                    passes.push(vec![name]);
                    pairs = uses;
                }
            }
        }
        passes
    }

    fn put_all_series(&mut self, mut walk: SeriesWalk<'_>) -> Result<()> {
        let mut crc = self.begin_list(self.series)?;
        while let Some((reference, _)) = walk.next()? {
            let bytes = reference.to_be_bytes();
            crc.update(&bytes);
            self.out.put(&bytes)?;
        }
        self.out.put(&crc.take().to_be_bytes())
    }

    fn put_postings(
        &mut self,
        mut walk: SeriesWalk<'_>,
        names: &[u32],
        lists: &mut Vec<Lists>,
    ) -> Result<()> {
        let place: HashMap<u32, usize> = names.iter().enumerate().map(|(at, name)| (*name, at)).collect();
        // Of each name value and reference, the value in the upper half.
        let mut pairs: Vec<Vec<u64>> =
            names.iter().map(|name| Vec::with_capacity(self.uses[name] as usize)).collect();
        let mut entry = SeriesEntry::default();
        while let Some((reference, content)) = walk.next()? {
            entry
                .decode(content)
                .map_err(|_| Error::unavailable("the index changed while it was written"))?;
            for (name, value) in &entry.labels {
                if let Some(at) = place.get(name) {
                    pairs[*at].push(u64::from(*value) << 32 | u64::from(reference));
                }
            }
        }
        for (name, mut pairs) in names.iter().zip(pairs) {
            pairs.sort_unstable();
            let mut values = Vec::new();
            for list in pairs.chunk_by(|a, b| a >> 32 == b >> 32) {
                values.push(((list[0] >> 32) as u32, list.len() as u32));
                self.put_list(list)?;
            }
            lists.push(Lists { name: *name, values });
        }
        Ok(())
    }

    fn begin_list(&mut self, count: u32) -> Result<Crc> {
        let too_long =
            || Error::limit("postings-bytes", u32::MAX.into(), "too many series: cut the block smaller");
        let len = count.checked_mul(4).and_then(|l| l.checked_add(4)).ok_or_else(too_long)?;
        self.out.put(&len.to_be_bytes())?;
        self.out.put(&count.to_be_bytes())?;
        let mut crc = Crc::new();
        crc.update(&count.to_be_bytes());
        Ok(crc)
    }

    fn put_list(&mut self, pairs: &[u64]) -> Result<()> {
        let mut crc = self.begin_list(pairs.len() as u32)?;
        for part in pairs.chunks(4096) {
            self.scratch.clear();
            self.scratch.extend(part.iter().flat_map(|pair| (*pair as u32).to_be_bytes()));
            crc.update(&self.scratch);
            self.out.put(&self.scratch)?;
        }
        self.out.put(&crc.take().to_be_bytes())
    }

    /// Twice over the lists: the section's length comes before its content.
    fn put_table(&mut self, first_list: u64, lists: &[Lists]) -> Result<()> {
        let (mut entries, mut len) = (0u32, 0u64);
        for_each_list(first_list, self.series, lists, |name, value, offset| {
            let name = name.map_or("", |n| self.symbols.get(n));
            let value = value.map_or("", |v| self.symbols.get(v));
            let str_len = |s: &str| uvarint_len(s.len() as u64) + s.len() as u64;
            entries += 1;
            len += 1 + str_len(name) + str_len(value) + uvarint_len(offset);
            Ok(())
        })?;
        let too_long = |_| {
            Error::limit(
                "postings-table-bytes",
                u32::MAX.into(),
                "too many label pairs: cut the block smaller",
            )
        };
        let len = u32::try_from(len + 4).map_err(too_long)?;
        self.out.put(&len.to_be_bytes())?;
        let mut crc = Crc::new();
        crc.update(&entries.to_be_bytes());
        self.out.put(&entries.to_be_bytes())?;
        let IndexWriter { out, symbols, scratch, .. } = self;
        for_each_list(first_list, self.series, lists, |name, value, offset| {
            scratch.clear();
            scratch.push(2);
            put_str(scratch, name.map_or("", |n| symbols.get(n)));
            put_str(scratch, value.map_or("", |v| symbols.get(v)));
            put_uvarint(scratch, offset);
            crc.update(scratch);
            out.put(scratch)
        })?;
        self.out.put(&crc.take().to_be_bytes())
    }
}

/// Calls `each` with name, value and place of every postings list, the one of all series first. Places follow
/// from the lengths.
fn for_each_list(
    first: u64,
    series: u32,
    lists: &[Lists],
    mut each: impl FnMut(Option<u32>, Option<u32>, u64) -> Result<()>,
) -> Result<()> {
    let len = |count: u32| 8 + 4 * u64::from(count) + CRC_BYTES as u64;
    each(None, None, first)?;
    let mut offset = first + len(series);
    for Lists { name, values } in lists {
        for (value, count) in values {
            each(Some(*name), Some(*value), offset)?;
            offset += len(*count);
        }
    }
    Ok(())
}
