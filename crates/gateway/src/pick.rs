//! Which blocks of a stream answer for a range: the coarsest that will do, finer ones where those have gaps, and where
//! there are none, coarser ones if they are better than nothing.

use nilometer_model::TimeRange;
use nilometer_storage::Hints;

/// What the choice looks at, of one block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) range: TimeRange,
    pub(crate) resolution_ms: i64,
}

/// What of a query decides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) max_resolution_ms: i64,
    pub(crate) coarser_in_gaps: bool,
}

impl Wish {
    /// Where only names matter, any block will do.
    pub(crate) const ANY: Wish = Wish { max_resolution_ms: i64::MAX, coarser_in_gaps: false };

    pub(crate) fn of(hints: &Hints) -> Self {
        let Hints { labels_only, max_resolution_ms, coarser_in_gaps, .. } = *hints;
        if labels_only { Wish::ANY } else { Wish { max_resolution_ms, coarser_in_gaps } }
    }

    /// The times of blocks that are looked at: of the longest windows that there are the one counts that ended before.
    pub(crate) fn reach(self, range: TimeRange) -> TimeRange {
        const LONGEST_MS: i64 = 3_600_000;
        let is_raw = self.max_resolution_ms == 0 && !self.coarser_in_gaps;
        let before_ms = if is_raw { 0 } else { 2 * LONGEST_MS };
        TimeRange::new(range.min_ms.saturating_sub(before_ms), range.max_ms)
    }
}

/// The indexes of those to read, of blocks with the same external labels. All of one resolution that overlap are
/// read, and others than raw ones whole: what they have in common with others is told once when it is decoded.
pub(crate) fn pick(blocks: &[Candidate], range: TimeRange, wish: Wish) -> Vec<usize> {
    let is_coarser = |ms: i64| ms > wish.max_resolution_ms;
    let mut resolutions: Vec<i64> = blocks.iter().map(|b| b.resolution_ms).collect();
    resolutions.retain(|ms| wish.coarser_in_gaps || !is_coarser(*ms));
    resolutions.sort_unstable_by_key(|ms| (is_coarser(*ms), if is_coarser(*ms) { *ms } else { -ms }));
    resolutions.dedup();
    let (mut picked, mut gaps) = (Vec::new(), vec![range]);
    for resolution in resolutions {
        let of_it: Vec<usize> =
            (0..blocks.len()).filter(|i| blocks[*i].resolution_ms == resolution).collect();
        let overlaps = |i: &usize| gaps.iter().any(|gap| gap.overlaps(&blocks[*i].range));
        let taken: Vec<usize> = of_it.into_iter().filter(overlaps).collect();
        gaps =
            gaps.into_iter().flat_map(|gap| without(gap, taken.iter().map(|i| blocks[*i].range))).collect();
        picked.extend(taken);
    }
    picked.sort_unstable();
    picked
}

/// What is left of a range.
fn without(range: TimeRange, taken: impl Iterator<Item = TimeRange>) -> Vec<TimeRange> {
    let mut taken: Vec<TimeRange> = taken.filter(|t| t.overlaps(&range)).collect();
    taken.sort_unstable_by_key(|t| t.min_ms);
    let (mut left, mut from) = (Vec::new(), Some(range.min_ms));
    for t in taken {
        let Some(start) = from else { break };
        if start < t.min_ms {
            left.push(TimeRange::new(start, t.min_ms - 1));
        }
        from = t.max_ms.checked_add(1).map(|next| next.max(start));
    }
    if let Some(start) = from.filter(|start| *start <= range.max_ms) {
        left.push(TimeRange::new(start, range.max_ms));
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(min_ms: i64, max_ms: i64, resolution_ms: i64) -> Candidate {
        Candidate { range: TimeRange::new(min_ms, max_ms), resolution_ms }
    }

    fn upto(max_resolution_ms: i64) -> Wish {
        Wish { max_resolution_ms, coarser_in_gaps: false }
    }

    #[test]
    fn coarse_ones_first_and_finer_ones_in_the_gaps() {
        let blocks = [
            block(0, 99, 0),
            block(100, 199, 0),
            block(200, 299, 0),
            block(0, 99, 5),
            block(100, 199, 5),
            block(0, 99, 60),
        ];
        let of = |max| pick(&blocks, TimeRange::new(50, 250), upto(max));
        assert_eq!(of(0), [0, 1, 2]);
        assert_eq!(of(4), [0, 1, 2]);
        assert_eq!(of(5), [2, 3, 4]);
        assert_eq!(of(60), [2, 4, 5]);
        assert_eq!(pick(&blocks, TimeRange::new(300, 400), upto(60)), [0usize; 0]);
    }

    #[test]
    fn raw_samples_that_are_gone_are_not_missed_where_coarse_ones_will_do() {
        let blocks = [block(0, 99, 60), block(50, 149, 0)];
        assert_eq!(pick(&blocks, TimeRange::new(0, 200), upto(60)), [0, 1]);
        assert_eq!(pick(&blocks, TimeRange::new(0, 200), upto(0)), [1]);
    }

    #[test]
    fn coarser_ones_where_there_is_nothing_else() {
        let blocks = [block(0, 199, 60), block(100, 199, 5), block(200, 299, 0), block(100, 399, 60)];
        let of = |min, max, resolution| {
            let wish = Wish { max_resolution_ms: resolution, coarser_in_gaps: true };
            pick(&blocks, TimeRange::new(min, max), wish)
        };
        assert_eq!(of(0, 250, 0), [0, 1, 2]);
        assert_eq!(of(100, 250, 0), [1, 2]);
        assert_eq!(of(100, 350, 0), [1, 2, 3]);
        assert_eq!(of(0, 250, 5), [0, 1, 2]);
        assert_eq!(of(0, 250, 60), [0, 3]);
    }

    #[test]
    fn all_that_overlap_are_taken() {
        let blocks = [block(0, 99, 0), block(50, 59, 0), block(i64::MIN, i64::MAX, 5)];
        assert_eq!(pick(&blocks, TimeRange::new(0, 99), upto(0)), [0, 1]);
        assert_eq!(pick(&blocks, TimeRange::new(0, 99), upto(5)), [2]);
    }
}
