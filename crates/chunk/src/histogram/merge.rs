//! Two layouts made one, so that histograms with different buckets share a chunk.

use nilometer_model::histogram::bucket_indexes;
use nilometer_model::{Count, Span};

/// The buckets of one side, those of the chunk (old) and of a histogram (new) together.
pub(super) struct Merge {
    /// Where each bucket is found in the old and in the new layout.
    slots: Vec<Slot>,
    /// The shortest spans for all of them.
    pub(super) spans: Vec<Span>,
}

#[derive(Clone, Copy)]
struct Slot {
    old: Option<usize>,
    new: Option<usize>,
}

impl Merge {
    pub(super) fn of(old: &[Span], new: &[Span]) -> Self {
        let indexes = |spans| bucket_indexes(spans, usize::MAX).enumerate().peekable();
        let (mut olds, mut news) = (indexes(old), indexes(new));
        let mut merge = Merge { slots: Vec::new(), spans: Vec::new() };
        let mut end = None;
        loop {
            let index = match (olds.peek(), news.peek()) {
                (Some(&(_, a)), Some(&(_, b))) => a.min(b),
                (Some(&(_, only)), None) | (None, Some(&(_, only))) => only,
                (None, None) => return merge,
            };
            merge.slots.push(Slot {
                old: olds.next_if(|&(_, i)| i == index).map(|(at, _)| at),
                new: news.next_if(|&(_, i)| i == index).map(|(at, _)| at),
            });
            match (end, merge.spans.last_mut()) {
                (Some(end), Some(span)) if end == index => span.length += 1,
                _ => merge.spans.push(Span { offset: index.wrapping_sub(end.unwrap_or(0)), length: 1 }),
            }
            end = Some(index.wrapping_add(1));
        }
    }

    /// Whether there are buckets that the old layout has not.
    pub(super) fn old_grows(&self) -> bool {
        self.slots.iter().any(|slot| slot.old.is_none())
    }

    /// Whether there are buckets that the new layout has not.
    pub(super) fn new_grows(&self) -> bool {
        self.slots.iter().any(|slot| slot.new.is_none())
    }

    /// Whether the new counts go on from the old ones: none is less, and none that counted is gone.
    pub(super) fn counts_on<C: Count>(&self, old: &[C], new: &[C]) -> bool {
        self.slots.iter().all(|slot| match (slot.old, slot.new) {
            (Some(a), Some(b)) => not_less(old[a], new[b]),
            (Some(a), None) => old[a] == C::default(),
            (None, _) => true,
        })
    }

    /// Counts of the old layout in the merged one.
    pub(super) fn spread_old<C: Count>(&self, old: &[C]) -> Vec<C> {
        self.slots.iter().map(|slot| slot.old.map_or_else(C::default, |at| old[at])).collect()
    }

    /// Counts of the new layout in the merged one.
    pub(super) fn spread_new<C: Count>(&self, new: &[C]) -> Vec<C> {
        self.slots.iter().map(|slot| slot.new.map_or_else(C::default, |at| new[at])).collect()
    }
}

/// NaN is less than nothing: it is no sign of a reset.
pub(super) fn not_less<C: Count>(old: C, new: C) -> bool {
    !matches!(new.partial_cmp(&old), Some(std::cmp::Ordering::Less))
}
