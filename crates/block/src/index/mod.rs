//! The index of a block, read by ranges: in memory is a sample of its two tables, everything else is read and
//! checked when it is asked for.

mod offsets;
mod plan;
pub(crate) mod postings;
pub(crate) mod series;
mod symbols;
pub(crate) mod toc;

pub(crate) use offsets::Name;
pub(crate) use plan::{Plan, plan};
pub(crate) use series::{ChunkMeta, SeriesEntry, SeriesSection, SeriesWalk};
pub(crate) use symbols::SymbolCache;

use crate::source::{Source, Window};
use nilometer_model::{Error, Kind, Labels, Result};
use offsets::Offsets;
use std::ops::ControlFlow;
use symbols::Symbols;
use toc::Toc;

pub(crate) struct Index {
    pub(crate) source: Source,
    symbols: Symbols,
    /// Where it is damaged, everything is found by walking the series.
    pub(crate) offsets: Result<Offsets>,
    pub(crate) series: SeriesSection,
}

impl Index {
    pub(crate) const FILE: &'static str = "index";

    /// Fails without symbols, for without them nothing can be told; all else that is damaged costs time only.
    pub(crate) fn open(source: Source) -> Result<Self> {
        toc::check_head(&source)?;
        let symbols = Symbols::open(&source, toc::SYMBOLS)?;
        let toc = Toc::read(&source);
        let offsets = toc.clone().and_then(|toc| Offsets::open(&source, toc.postings_table));
        let series = match toc {
            Ok(toc) => SeriesSection { start: toc.series, end: toc.series_end(source.len()) },
            Err(_) => SeriesSection { start: symbols.end(), end: source.len() - Toc::LEN as u64 },
        };
        if let Err(e) = &offsets
            && !is_corrupt(e)
        {
            return Err(e.clone());
        }
        Ok(Index { source, symbols, offsets, series })
    }

    pub(crate) fn symbol_count(&self) -> u32 {
        self.symbols.count()
    }

    pub(crate) fn walk(&self) -> SeriesWalk<'_> {
        SeriesWalk::new(&self.source, self.series)
    }

    /// The references of all series, from their list.
    pub(crate) fn all_series(&self, window: &mut Window) -> Result<Vec<u32>> {
        let mut refs = Vec::new();
        if let Some(list) = self.offsets.as_ref().map_err(Clone::clone)?.all() {
            postings::read(window, &self.source, list, &mut refs)?;
        }
        Ok(refs)
    }

    /// The references of all series whose entries are readable, where their list is not; `damage` gets what
    /// the others suffer from.
    pub(crate) fn all_series_by_walk(&self, damage: &mut Vec<Error>) -> Result<Vec<u32>> {
        let (mut refs, mut walk) = (Vec::new(), self.walk());
        loop {
            match walk.next() {
                Ok(Some((reference, _))) => refs.push(reference),
                Ok(None) => return Ok(refs),
                Err(e) if is_corrupt(&e) => damage.push(e),
                Err(e) => return Err(e),
            }
        }
    }

    /// All values of a name, sorted, each with the place of its list, until `each` breaks.
    pub(crate) fn values(
        &self,
        name: &Name,
        prefix: &str,
        each: impl FnMut(&str, u64) -> ControlFlow<()>,
    ) -> Result<()> {
        name.scan(&mut Window::default(), &self.source, prefix, each)
    }

    /// The labels of an entry.
    pub(crate) fn labels(&self, entry: &SeriesEntry, cache: &mut SymbolCache) -> Result<Labels> {
        cache.trim();
        for &(name, value) in &entry.labels {
            cache.load(&self.symbols, &self.source, name)?;
            cache.load(&self.symbols, &self.source, value)?;
        }
        let pairs = entry.labels.iter().map(|&(name, value)| (cache.get(name), cache.get(value)));
        // An empty value is none, as everywhere.
        Ok(Labels::from_sorted(pairs.filter(|(_, value)| !value.is_empty())))
    }

    pub(crate) fn corrupt(&self, reference: u32, message: impl Into<String>) -> Error {
        self.source.corrupt(u64::from(reference) * series::ALIGN_BYTES, message)
    }
}

pub(crate) fn is_corrupt(e: &Error) -> bool {
    matches!(e.kind(), Kind::Corrupt { .. })
}
