//! All that a tenant has in memory, behind one lock.

use crate::chunks::{ChunkFiles, ChunkPos};
use crate::extras::Extras;
use crate::index::{Index, Key, Keys, Slot};
use crate::ranges::Ranges;
use crate::series::Series;
use nilometer_chunk::Stamp;
use nilometer_model::{Error, Labels, Result, TimeRange, Value};
use std::collections::BTreeSet;

/// Of chunks that are closed all at once, so many bytes wait to be written.
const MAX_WAITING_BYTES: usize = 1 << 20;

pub(crate) struct State {
    pub(crate) index: Index,
    pub(crate) keys: Keys,
    /// By slot; ids ascend.
    pub(crate) series: Vec<Series>,
    pub(crate) files: ChunkFiles,
    pub(crate) extras: Extras,
    pub(crate) ranges: Ranges,
    pub(crate) next_id: u64,
    /// The time of the newest sample; `i64::MIN` where there is none.
    pub(crate) newest_ms: i64,
    /// Everything in order before this is in blocks, or about to be.
    pub(crate) cut_through_ms: i64,
    /// Everything in order before this is in blocks and has left memory.
    pub(crate) dropped_through_ms: i64,
    /// The starts of the ranges that have samples which no block has.
    pub(crate) uncut: BTreeSet<i64>,
    pub(crate) cuts: Cuts,
}

/// Cuts of this tenant, under way and ended.
#[derive(Debug, Default)]
pub(crate) struct Cuts {
    /// Counted up over the life of the tenant.
    pub(crate) last_id: u64,
    /// The one under way.
    pub(crate) begun: Option<Cut>,
    /// Ranges of which one did not come to its end.
    pub(crate) interrupted: BTreeSet<i64>,
    /// Their block is visible; their samples leave memory when no reader from before is left.
    pub(crate) ended: Vec<Cut>,
}

/// A cut: what of a range of a tenant it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cut {
    pub(crate) id: u64,
    /// The start of the range.
    pub(crate) start_ms: i64,
    /// What came in order before this is the cut's: the end of the range, or of what the range had so far.
    pub(crate) end_ms: i64,
}

impl State {
    pub(crate) fn new(files: ChunkFiles, ranges: Ranges) -> Self {
        State {
            index: Index::default(),
            keys: Keys::default(),
            series: Vec::new(),
            files,
            extras: Extras::default(),
            ranges,
            next_id: 1,
            newest_ms: i64::MIN,
            cut_through_ms: i64::MIN,
            dropped_through_ms: i64::MIN,
            uncut: BTreeSet::new(),
            cuts: Cuts::default(),
        }
    }

    /// Adds a series whose key is not there, and for which the index has room; `id` is above all others'.
    pub(crate) fn add_series(&mut self, key: Key, labels: &Labels, id: u64) -> Slot {
        let slot = self.index.add(labels);
        self.enter(key, slot, Series::new(id))
    }

    /// The same for one whose labels are given as numbers of the index' pairs.
    pub(crate) fn add_row(&mut self, key: Key, row: &[u32], series: Series) -> Slot {
        let slot = self.index.add_row(row);
        self.enter(key, slot, series)
    }

    /// Makes room for so many series with so many labels, at once; for more than can be, none.
    pub(crate) fn reserve(&mut self, series: usize, labels: usize) {
        const MOST: usize = 1 << 24;
        self.series.reserve_exact(series.min(MOST));
        self.keys.reserve(series.min(MOST));
        self.index.reserve(series.min(MOST), labels.min(16 * MOST));
    }

    fn enter(&mut self, key: Key, slot: Slot, series: Series) -> Slot {
        assert!(self.series.last().is_none_or(|s| s.id < series.id), "ids ascend");
        self.keys.insert_own(key, slot);
        if self.series.len() == self.series.capacity() {
            // Series are many and large: grow by an eighth, not by doubling.
            self.series.reserve_exact((self.series.len() / 8).max(64));
        }
        self.next_id = self.next_id.max(series.id + 1);
        self.series.push(series);
        slot
    }

    /// Adds a series that was stored before. Fails where there is no room: others may not have left yet.
    pub(crate) fn add_stored(&mut self, key: Key, labels: &Labels, id: u64) -> Result<Slot> {
        if !self.index.has_room(labels, u64::MAX) {
            return Err(Error::invalid(format!("there is no room for the labels of series {id}")));
        }
        Ok(self.add_series(key, labels, id))
    }

    /// The slot of an id. `hint` is where it was, or is likely to be: it can only have moved down.
    pub(crate) fn slot_of(&self, id: u64, hint: usize) -> Option<usize> {
        if self.series.get(hint).is_some_and(|s| s.id == id) {
            return Some(hint);
        }
        self.series.binary_search_by_key(&id, |s| s.id).ok()
    }

    /// Appends a sample that is newer than all of its series that came in order.
    pub(crate) fn append(&mut self, slot: usize, at: Stamp, value: &Value) {
        if self.series[slot].append(at, value, self.ranges, &mut self.files) {
            self.uncut.insert(self.ranges.start(at.t_ms));
        }
        self.newest_ms = self.newest_ms.max(at.t_ms);
    }

    /// The value that a series has at a time, wherever in the head it is.
    pub(crate) fn find(&self, slot: usize, t_ms: i64) -> Result<Option<Value>> {
        self.series[slot].find(t_ms, self.dropped_through_ms, &self.files)
    }

    /// Stores a sample out of order, at whose time none is there that can be read.
    pub(crate) fn put_late(&mut self, slot: usize, at: Stamp, value: Value) {
        let series = &mut self.series[slot];
        let late = series.late.get_or_insert_default();
        late.insert(at, value);
        if late.is_full() {
            late.seal(series.id, TimeRange::ALL, self.ranges, &mut self.files);
        }
        self.uncut.insert(self.ranges.start(at.t_ms));
        self.newest_ms = self.newest_ms.max(at.t_ms);
    }

    /// A cut of all that a range has now.
    pub(crate) fn new_cut(&self, start_ms: i64) -> Cut {
        let end_ms = self.ranges.end(start_ms);
        // Where the range goes on, only what is there: what comes next is still in order.
        let newest_end_ms = self.newest_ms.saturating_add(1);
        let end_ms = if newest_end_ms > start_ms { end_ms.min(newest_end_ms) } else { end_ms };
        Cut { id: self.cuts.last_id + 1, start_ms, end_ms }
    }

    /// Begins a cut: what is in its range now is the cut's, what comes later is not. Of the series that
    /// `done` names it has begun already.
    pub(crate) fn begin_cut(&mut self, cut: Cut, done: impl Fn(usize) -> bool) {
        let range = self.ranges.range(cut.start_ms);
        self.cut_through_ms = self.cut_through_ms.max(cut.end_ms);
        self.cuts.last_id = self.cuts.last_id.max(cut.id);
        self.uncut.remove(&cut.start_ms);
        self.cuts.interrupted.remove(&cut.start_ms);
        self.cuts.begun = Some(cut);
        let goes_on = cut.end_ms <= range.max_ms;
        for (slot, series) in self.series.iter_mut().enumerate() {
            if done(slot) {
                continue;
            }
            if goes_on {
                series.close(self.ranges, &mut self.files);
                if self.files.waiting_bytes() > MAX_WAITING_BYTES {
                    // What cannot be written now goes on waiting.
                    let _ = self.files.write();
                }
            }
            let Some(late) = &mut series.late else { continue };
            late.seal(series.id, range, self.ranges, &mut self.files);
            let of_range = late.sealed.iter_mut().filter(|s| range.contains(s.range.min_ms));
            of_range.for_each(|sealed| sealed.cut = cut.id);
        }
    }

    /// The cut did not come to its end: its samples wait for another.
    pub(crate) fn abandon_cut(&mut self, cut: Cut) {
        self.uncut.insert(cut.start_ms);
        self.cuts.begun = None;
        self.cuts.interrupted.insert(cut.start_ms);
    }

    /// After a start, when no cut is under way and none has ended: whatever is in memory is in no block.
    pub(crate) fn find_uncut(&mut self) {
        self.cuts.begun = None;
        let ranges = self.ranges;
        let in_files = self.files.range_starts().filter(|&start| ranges.end(start) > self.dropped_through_ms);
        self.uncut = in_files.collect();
        for series in &self.series {
            self.uncut.extend(series.open.range().map(|r| ranges.start(r.min_ms)));
            let Some(late) = &series.late else { continue };
            self.uncut.extend(late.samples.iter().map(|(at, _)| ranges.start(at.t_ms)));
            self.uncut.extend(late.sealed.iter().map(|s| ranges.start(s.range.min_ms)));
        }
        let was_begun =
            |start: &i64| (self.dropped_through_ms + 1..=self.cut_through_ms).contains(&ranges.end(*start));
        self.cuts.interrupted = self.uncut.iter().copied().filter(was_begun).collect();
    }

    /// The cut's block is visible.
    pub(crate) fn end_cut(&mut self, cut: Cut) {
        self.cuts.begun = None;
        self.cuts.ended.push(cut);
    }

    /// The start of the oldest range of which memory has anything.
    pub(crate) fn oldest_ms(&self) -> Option<i64> {
        let cuts = self.cuts.begun.iter().chain(&self.cuts.ended).map(|cut| cut.start_ms);
        self.uncut.first().copied().into_iter().chain(cuts).min()
    }

    /// Lets go of what an ended cut took. Cuts end in the order in which they began, oldest range first.
    pub(crate) fn drop_cut(&mut self, cut: Cut) -> Result<()> {
        let range = self.ranges.range(cut.start_ms);
        self.dropped_through_ms = self.dropped_through_ms.max(cut.end_ms);
        let goes_on = cut.end_ms <= range.max_ms;
        let mut held = BTreeSet::new();
        for series in &mut self.series {
            if series.open.last_ms().is_some_and(|t| t < cut.end_ms) {
                series.open.take();
            }
            let oldest = self.files.range_start_ms(series.chain);
            let is_cut = match oldest {
                Some(start) if start == cut.start_ms && goes_on => {
                    self.files.get(series.chain).is_ok_and(|c| c.packed.range.max_ms < cut.end_ms)
                }
                Some(start) => start <= cut.start_ms,
                None => true,
            };
            if is_cut {
                series.chain = ChunkPos::NONE;
            }
            if let Some(late) = &mut series.late {
                late.sealed.retain(|s| s.cut != cut.id || !range.contains(s.range.min_ms));
                held.extend(late.sealed.iter().map(|s| self.ranges.start(s.range.min_ms)));
                if late.is_empty() {
                    series.late = None;
                }
            }
        }
        self.cuts.ended.retain(|e| *e != cut);
        self.cuts.begun.take_if(|begun| *begun == cut);
        // Files of later ranges go on; those of this and earlier ones only where samples need them.
        let end_ms = if goes_on { cut.start_ms } else { self.ranges.end(cut.start_ms) };
        self.files.drop_ranges(end_ms, |start| held.contains(&start))
    }

    /// Forgets the series of which nothing is left, if they are many enough to pay for building all again.
    pub(crate) fn forget_spent(&mut self) {
        let spent = self.series.iter().filter(|s| s.is_spent()).count();
        if spent * 16 < self.series.len().max(1) {
            return;
        }
        let mut new_slots: Vec<Option<Slot>> = Vec::with_capacity(self.series.len());
        let mut next = 0;
        for series in &self.series {
            let kept = !series.is_spent();
            new_slots.push(kept.then_some(next));
            next += Slot::from(kept);
        }
        self.index = self.index.rebuilt(|slot| new_slots[slot as usize].is_some());
        self.keys.renumber(|slot| new_slots[slot as usize]);
        self.series.retain(|s| !s.is_spent());
        self.series.shrink_to_fit();
    }
}
