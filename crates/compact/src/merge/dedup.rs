//! Samples of one series in several blocks: which of them count.

use nilometer_block::Deleted;
use nilometer_chunk::{Samples, Stamp};
use nilometer_model::{Result, TimeRange, Value};
use nilometer_storage::ChunkRef;
use std::collections::VecDeque;

/// How samples are merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dedup {
    /// All of them; of several of one time that of the oldest block. For copies of the same samples.
    #[default]
    OneToOne,
    /// Those of one replica as long as it goes on, as Thanos does in queries. For replicas that each scrape in
    /// their own time.
    Penalty,
}

/// Chunks of one block that do not overlap, as samples that were not deleted.
pub(super) struct Lane<'a> {
    age: usize,
    deleted: Deleted<'a>,
    last_ms: i64,
    chunks: VecDeque<ChunkRef<'a>>,
    samples: Option<Samples<'a>>,
    head: Option<(Stamp, Value)>,
}

impl<'a> Lane<'a> {
    pub(super) fn new(age: usize, deleted: Deleted<'a>, first: ChunkRef<'a>) -> Self {
        let last_ms = first.range.max_ms;
        Lane { age, deleted, last_ms, chunks: [first].into(), samples: None, head: None }
    }

    pub(super) fn age(&self) -> usize {
        self.age
    }

    /// Whether a chunk of a block follows here.
    pub(super) fn takes(&self, age: usize, range: TimeRange) -> bool {
        self.age == age && self.last_ms < range.min_ms
    }

    pub(super) fn push(&mut self, chunk: ChunkRef<'a>) {
        self.last_ms = chunk.range.max_ms;
        self.chunks.push_back(chunk);
    }

    fn head_ms(&self) -> Option<i64> {
        self.head.as_ref().map(|(at, _)| at.t_ms)
    }

    fn advance(&mut self) -> Result<()> {
        loop {
            let Some(samples) = &mut self.samples else {
                self.head = None;
                let Some(chunk) = self.chunks.pop_front() else { return Ok(()) };
                self.samples = Some(Samples::new(chunk.data, chunk.encoding)?);
                continue;
            };
            match samples.next().transpose()? {
                None => self.samples = None,
                Some((t_ms, _)) if self.deleted.has(t_ms) => {}
                Some((t_ms, value)) => {
                    self.head = Some((Stamp { t_ms, start_ms: samples.start_ms() }, value));
                    return Ok(());
                }
            }
        }
    }

    /// Goes on to the first sample at `t_ms` or later.
    fn seek(&mut self, t_ms: i64) -> Result<()> {
        while self.head_ms().is_some_and(|head| head < t_ms) {
            self.advance()?;
        }
        Ok(())
    }
}

/// What is left of several lanes, in order of time.
pub(super) enum Merged<'a> {
    OneToOne(Vec<Lane<'a>>),
    Penalty(Penalty<'a>),
}

impl<'a> Merged<'a> {
    pub(super) fn new(dedup: Dedup, mut lanes: Vec<Lane<'a>>) -> Result<Self> {
        lanes.iter_mut().try_for_each(Lane::advance)?;
        Ok(match dedup {
            Dedup::OneToOne => Merged::OneToOne(lanes),
            Dedup::Penalty => Merged::Penalty(Penalty::new(lanes)),
        })
    }

    pub(super) fn next(&mut self) -> Result<Option<(Stamp, Value)>> {
        let lanes = match self {
            Merged::Penalty(penalty) => return penalty.next(),
            Merged::OneToOne(lanes) => lanes,
        };
        // The first of those of one time is the oldest block's.
        let first = lanes.iter().enumerate().filter_map(|(at, lane)| Some((lane.head_ms()?, at))).min();
        let Some((t_ms, at)) = first else { return Ok(None) };
        let head = lanes[at].head.take();
        lanes[at].advance()?;
        lanes[at + 1..].iter_mut().try_for_each(|lane| lane.seek(t_ms.saturating_add(1)))?;
        Ok(head)
    }
}

/// Two sources at a time, the first of which may itself be two.
///
/// The source that was not taken is passed over for twice the time between the last two samples taken, or five
/// seconds where that is not known yet. So its samples do not come between those of the other, and step in only
/// where the other has a gap.
pub(super) struct Penalty<'a> {
    lanes: Vec<Lane<'a>>,
    /// Between the sources up to each lane and that lane: one less than there are lanes.
    pairs: Vec<Pair>,
}

struct Pair {
    last_ms: Option<i64>,
    /// What was pulled from the sources before.
    left: Option<(Stamp, Value)>,
    left_penalty_ms: i64,
    right_penalty_ms: i64,
    begun: bool,
}

const FIRST_PENALTY_MS: i64 = 5000;

impl<'a> Penalty<'a> {
    fn new(lanes: Vec<Lane<'a>>) -> Self {
        let pair =
            || Pair { last_ms: None, left: None, left_penalty_ms: 0, right_penalty_ms: 0, begun: false };
        let pairs = (1..lanes.len()).map(|_| pair()).collect();
        Penalty { lanes, pairs }
    }

    fn next(&mut self) -> Result<Option<(Stamp, Value)>> {
        pull(&mut self.lanes, &mut self.pairs)
    }
}

/// The next sample of all lanes.
fn pull(lanes: &mut [Lane<'_>], pairs: &mut [Pair]) -> Result<Option<(Stamp, Value)>> {
    let (Some((right, before)), Some((pair, pairs_before))) =
        (lanes.split_last_mut(), pairs.split_last_mut())
    else {
        let Some(only) = lanes.first_mut() else { return Ok(None) };
        let head = only.head.take();
        only.advance()?;
        return Ok(head);
    };
    if !pair.begun {
        pair.begun = true;
        pair.left = pull(before, pairs_before)?;
    }
    if let Some(last_ms) = pair.last_ms {
        let after = last_ms.saturating_add(1);
        let left_from = after.saturating_add(pair.left_penalty_ms);
        while pair.left.as_ref().is_some_and(|(at, _)| at.t_ms < left_from) {
            pair.left = pull(before, pairs_before)?;
        }
        right.seek(after.saturating_add(pair.right_penalty_ms))?;
    }
    let (left_ms, right_ms) = (pair.left.as_ref().map(|(at, _)| at.t_ms), right.head_ms());
    let takes_left = match (left_ms, right_ms) {
        (None, None) => return Ok(None),
        (Some(left), Some(right)) => left <= right,
        (left, _) => left.is_some(),
    };
    let t_ms = if takes_left { left_ms } else { right_ms }.unwrap_or_default();
    let penalty_ms = match (left_ms, right_ms, pair.last_ms) {
        (Some(_), Some(_), Some(last_ms)) => t_ms.saturating_sub(last_ms).saturating_mul(2),
        (Some(_), Some(_), None) => FIRST_PENALTY_MS,
        _ => 0,
    };
    (pair.left_penalty_ms, pair.right_penalty_ms) =
        if takes_left { (0, penalty_ms) } else { (penalty_ms, 0) };
    pair.last_ms = Some(t_ms);
    Ok(if takes_left { pair.left.clone() } else { right.head.clone() })
}
