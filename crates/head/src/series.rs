//! One series: its open chunk, where its closed ones begin, and what came late.

use crate::chunks::{ChunkFiles, ChunkPos, ClosedChunk};
use crate::late::Late;
use crate::open::OpenChunk;
use crate::ranges::Ranges;
use nilometer_chunk::Stamp;
use nilometer_model::{Error, Result, TimeRange, Value};

/// Every active series costs one of these, so its size is counted.
pub(crate) struct Series {
    /// Counted up over the life of the tenant: what log and files know it by.
    pub(crate) id: u64,
    pub(crate) open: OpenChunk,
    /// The newest closed chunk; each names the one before.
    pub(crate) chain: ChunkPos,
    pub(crate) late: Option<Box<Late>>,
}

const _: () = assert!(size_of::<Series>() <= 96);

impl Series {
    pub(crate) fn new(id: u64) -> Self {
        Series { id, open: OpenChunk::default(), chain: ChunkPos::NONE, late: None }
    }

    /// Whether nothing is left of it but its labels.
    pub(crate) fn is_spent(&self) -> bool {
        self.open.is_empty() && self.chain.is_none() && self.late.as_ref().is_none_or(|l| l.is_empty())
    }

    /// Appends a sample newer than all that came in order. Says whether a new chunk was begun.
    pub(crate) fn append(
        &mut self,
        at: Stamp,
        value: &Value,
        ranges: Ranges,
        files: &mut ChunkFiles,
    ) -> bool {
        let start = ranges.start(at.t_ms);
        let begun = self.open.range().map(|r| ranges.start(r.min_ms));
        // A chunk never reaches over the end of a range.
        let ended = if begun.is_some_and(|b| b != start) { self.open.take() } else { None };
        let full = self.open.append(at, value);
        let closed = ended.or(full);
        if let (Some(closed), Some(begun)) = (&closed, begun) {
            self.chain = files.put(begun, self.id, self.chain, closed);
        }
        if self.open.is_too_large()
            && let Some(large) = self.open.close()
        {
            self.chain = files.put(start, self.id, self.chain, &large);
        }
        closed.is_some() || begun.is_none()
    }

    /// Closes the open chunk, where there is one.
    pub(crate) fn close(&mut self, ranges: Ranges, files: &mut ChunkFiles) {
        if let Some(closed) = self.open.take() {
            self.chain = files.put(ranges.start(closed.range.min_ms), self.id, self.chain, &closed);
        }
    }

    /// The closed chunks that overlap `range`, newest first, as far back as `since_ms`: older ones are cut.
    pub(crate) fn closed<'f>(
        &self,
        range: TimeRange,
        since_ms: i64,
        files: &'f ChunkFiles,
    ) -> ClosedIter<'f> {
        let range = TimeRange::new(range.min_ms.max(since_ms), range.max_ms);
        // What came in order is all before the open chunk.
        if self.open.range().is_some_and(|open| open.min_ms <= range.min_ms) {
            return Box::new(std::iter::empty());
        }
        closed_chunks(self, range, files)
    }

    /// The value at a time, wherever it is in the head.
    pub(crate) fn find(&self, t_ms: i64, since_ms: i64, files: &ChunkFiles) -> Result<Option<Value>> {
        if self.open.range().is_some_and(|r| r.contains(t_ms))
            && let Some(found) = self.open.value_at(t_ms)?
        {
            return Ok(Some(found));
        }
        let closed = self.closed(TimeRange::new(t_ms, t_ms), since_ms, files);
        let late = self.late.iter().flat_map(|late| late.sealed_at(t_ms, files));
        if let Some(found) = self.late.as_ref().and_then(|late| late.waiting_at(t_ms)) {
            return Ok(Some(found));
        }
        // What is damaged may hide the value, but another chunk may have it.
        let mut hidden = Ok(None);
        for chunk in closed.chain(late) {
            match chunk.and_then(|c| c.packed.value_at(t_ms)) {
                Ok(None) => {}
                Err(e) if !e.is_passing() => hidden = Err(e),
                decided => return decided,
            }
        }
        hidden
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.open.heap_bytes() + self.late.as_ref().map_or(0, |l| size_of::<Late>() + l.heap_bytes())
    }
}

pub(crate) type ClosedIter<'a> = Box<dyn Iterator<Item = Result<ClosedChunk>> + 'a>;

/// The chunks of a series that overlap `range`, newest first. A damaged one is an error among them; those
/// before it are then found by reading the files.
fn closed_chunks<'f>(series: &Series, range: TimeRange, files: &'f ChunkFiles) -> ClosedIter<'f> {
    let (mut pos, id) = (series.chain, series.id);
    let mut searched: Option<std::vec::IntoIter<ChunkPos>> = None;
    let mut before_ms = i64::MAX;
    let walk = std::iter::from_fn(move || {
        if let Some(rest) = &mut searched {
            pos = rest.next()?;
        }
        // A file that is gone was cut, with all that is before it.
        if pos.is_none() || (files.range_start_ms(pos).is_none() && !files.is_damaged(pos)) {
            return None;
        }
        let closed = files.get(pos).and_then(|closed| match closed.series == id {
            true => Ok(closed),
            false => Err(Error::invalid(format!(
                "a closed chunk of series {} stands where one of {id} should",
                closed.series
            ))),
        });
        match &closed {
            Ok(closed) => {
                before_ms = closed.packed.range.min_ms;
                // What is before it is all out of the range.
                pos = if before_ms <= range.min_ms { ChunkPos::NONE } else { closed.previous };
            }
            Err(e) if e.is_passing() => pos = ChunkPos::NONE,
            Err(_) if searched.is_none() => match search(files, id, before_ms) {
                Ok(found) => searched = Some(found.into_iter()),
                Err(e) => {
                    pos = ChunkPos::NONE;
                    return Some(Err(e));
                }
            },
            Err(_) => {}
        }
        Some(closed)
    });
    Box::new(
        walk.take_while(move |closed| {
            closed.as_ref().map_or(true, |c| c.packed.range.max_ms >= range.min_ms)
        })
        .filter(move |closed| closed.as_ref().map_or(true, |c| c.packed.range.overlaps(&range))),
    )
}

/// Where a series' whole chunks before a time are, newest first.
fn search(files: &ChunkFiles, id: u64, before_ms: i64) -> Result<Vec<ChunkPos>> {
    let mut found = files.of_series(|series| series == id)?;
    found.retain(|(_, range, _)| range.max_ms < before_ms);
    found.sort_by_key(|(_, range, _)| std::cmp::Reverse(range.max_ms));
    Ok(found.into_iter().map(|(_, _, pos)| pos).collect())
}
