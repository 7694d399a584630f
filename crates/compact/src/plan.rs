//! Planning: which blocks of a group become one, and which are thinned out.
//!
//! The same blocks and marks give the same plan as in Thanos, which in turn plans as Prometheus does. One plan at
//! a time: what comes next is planned when its block is there.

use crate::{FIVE_MINUTES_MS, Group, ONE_HOUR_MS, resolution_ms};
use nilometer_model::{BlockMeta, Error, Result, Ulid};
use std::collections::BTreeSet;

const HOUR_MS: i64 = 60 * 60 * 1000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// How blocks grow with age.
#[derive(Clone, Debug)]
pub struct Planner {
    /// Lengths of blocks, rising; the first is that of the shortest there are.
    pub ranges_ms: Vec<i64>,
    /// Whether blocks that overlap are merged. If not, they are an error: something is wrong with who wrote them.
    pub vertical: bool,
    /// Blocks whose indexes together come near this are not merged any more. No index can be larger than 64 GiB.
    pub max_index_bytes: u64,
}

impl Default for Planner {
    fn default() -> Self {
        Planner {
            ranges_ms: vec![HOUR_MS, 2 * HOUR_MS, 8 * HOUR_MS, 2 * DAY_MS, 14 * DAY_MS],
            vertical: false,
            max_index_bytes: 64 << 30,
        }
    }
}

/// Blocks that become one, and others that are to be marked first. No blocks: there is nothing to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Oldest samples first.
    pub blocks: Vec<Ulid>,
    pub why: Why,
    pub marks: Vec<NoCompact>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Why {
    #[default]
    Nothing,
    /// They lie in one range of this length.
    Range { range_ms: i64 },
    /// Their times overlap.
    Overlap,
    /// A block from which much was deleted is written anew, alone.
    Tombstones,
}

/// A block that is to be marked so that it is not compacted any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoCompact {
    pub ulid: Ulid,
    /// As in `no-compact-mark.json`.
    pub reason: &'static str,
    pub details: String,
}

impl Planner {
    /// Of a group's blocks and of those marked against compaction. `index_bytes` is asked for the length of an
    /// index that the block's `meta.json` does not tell.
    pub fn plan(
        &self,
        group: &Group<'_>,
        no_compact: &BTreeSet<Ulid>,
        mut index_bytes: impl FnMut(&BlockMeta) -> Result<u64>,
    ) -> Result<Plan> {
        let (mut excluded, mut marks) = (no_compact.clone(), Vec::new());
        loop {
            let (blocks, why) = self.candidates(&group.blocks, &excluded);
            if why == Why::Overlap && !self.vertical {
                let names: Vec<_> = blocks.iter().map(|m| m.ulid.to_string()).collect();
                return Err(Error::conflict(format!(
                    "blocks overlap: {}; find out who wrote them, or have them merged by --compact.enable-vertical-compaction",
                    names.join(", ")
                )));
            }
            let mut more = self.too_large(&blocks, &mut index_bytes)?.into_iter().collect::<Vec<_>>();
            if more.is_empty() && why == Why::Overlap {
                more = blocks.iter().filter(|m| resolution_ms(m) > 0).map(|m| downsampled(m)).collect();
            }
            if more.is_empty() {
                return Ok(Plan { blocks: blocks.iter().map(|m| m.ulid).collect(), why, marks });
            }
            excluded.extend(more.iter().map(|m| m.ulid));
            marks.append(&mut more);
        }
    }

    fn candidates<'a>(
        &self,
        blocks: &[&'a BlockMeta],
        excluded: &BTreeSet<Ulid>,
    ) -> (Vec<&'a BlockMeta>, Why) {
        let is_free = |m: &&BlockMeta| !excluded.contains(&m.ulid);
        let free: Vec<_> = blocks.iter().copied().filter(is_free).collect();
        let overlapping = overlapping(&free);
        if !overlapping.is_empty() {
            return (overlapping, Why::Overlap);
        }
        // The newest block is left alone: one of its time may still come.
        let Some((_, older)) = blocks.split_last() else { return (Vec::new(), Why::Nothing) };
        if let Some((range_ms, part)) = self.within_a_range(older, excluded) {
            return (part, Why::Range { range_ms });
        }
        let newest = blocks.last().filter(|m| is_free(m)).map_or(0, |_| 1);
        let free_older = &free[..free.len() - newest];
        let large_ms = self.ranges_ms.get(self.ranges_ms.len() / 2).copied().unwrap_or(i64::MAX);
        let deleted_from = free_older
            .iter()
            .rev()
            .take_while(|m| m.max_time_ms - m.min_time_ms >= large_ms)
            .find(|m| m.stats.num_tombstones as f64 / (m.stats.num_series + 1) as f64 > 0.05);
        deleted_from.map_or((Vec::new(), Why::Nothing), |m| (vec![*m], Why::Tombstones))
    }

    /// Blocks of the shortest range that is full, or behind which there is a newer block already.
    fn within_a_range<'a>(
        &self,
        blocks: &[&'a BlockMeta],
        excluded: &BTreeSet<Ulid>,
    ) -> Option<(i64, Vec<&'a BlockMeta>)> {
        let newest_ms = blocks.last()?.min_time_ms;
        for &range_ms in self.ranges_ms.iter().skip(1) {
            for part in split(blocks, range_ms) {
                let whole_ms = part.last()?.max_time_ms - part.first()?.min_time_ms;
                let is_closed = whole_ms == range_ms || part.last()?.max_time_ms <= newest_ms;
                if part.iter().any(|m| m.compaction.failed) || !is_closed {
                    continue;
                }
                // What is marked divides its range, so that no gap is closed over it.
                let pieces = part.split(|m| excluded.contains(&m.ulid));
                if let Some(piece) = pieces.into_iter().find(|piece| piece.len() > 1) {
                    return Some((range_ms, piece.to_vec()));
                }
            }
        }
        None
    }

    /// The largest of blocks whose indexes together are too large.
    fn too_large(
        &self,
        blocks: &[&BlockMeta],
        index_bytes: &mut impl FnMut(&BlockMeta) -> Result<u64>,
    ) -> Result<Option<NoCompact>> {
        // An index of many may be longer than they are together, by as much as is left free here.
        let max_bytes = (self.max_index_bytes as f64 * 0.85) as u64;
        let (mut total, mut largest) = (0u64, None::<(u64, &BlockMeta)>);
        for block in blocks {
            let bytes = match told_index_bytes(block) {
                Some(bytes) => bytes,
                None => index_bytes(block)?,
            };
            if largest.is_none_or(|(most, _)| bytes > most) {
                largest = Some((bytes, block));
            }
            total = total.saturating_add(bytes);
            if total >= max_bytes {
                break;
            }
        }
        Ok(largest.filter(|_| total >= max_bytes).map(|(bytes, block)| NoCompact {
            ulid: block.ulid,
            reason: "index-size-exceeding",
            details: format!(
                "the index of the compacted block could exceed {} bytes; that of this one has {bytes}",
                self.max_index_bytes
            ),
        }))
    }
}

fn downsampled(meta: &BlockMeta) -> NoCompact {
    NoCompact {
        ulid: meta.ulid,
        reason: "downsample-vertical-compaction",
        details: "a downsampled block overlaps others: aggregates of the same samples cannot be merged"
            .to_owned(),
    }
}

fn told_index_bytes(meta: &BlockMeta) -> Option<u64> {
    let files = &meta.thanos.as_ref()?.files;
    files.iter().rev().find(|f| f.rel_path == "index").map(|f| f.size_bytes).filter(|bytes| *bytes > 0)
}

/// The first blocks that overlap, and those that overlap them in turn. They have to come by their start.
fn overlapping<'a>(blocks: &[&'a BlockMeta]) -> Vec<&'a BlockMeta> {
    let mut found = Vec::new();
    let mut end_ms = i64::MIN;
    for (at, block) in blocks.iter().enumerate() {
        if at > 0 && block.min_time_ms < end_ms {
            if found.is_empty() {
                found.push(blocks[at - 1]);
            }
            found.push(block);
        } else if !found.is_empty() {
            break;
        }
        end_ms = end_ms.max(block.max_time_ms);
    }
    found
}

/// Blocks by the ranges that they lie in, which begin at multiples of their length. What fits in none is left out.
fn split<'b, 'a>(blocks: &'b [&'a BlockMeta], range_ms: i64) -> Vec<&'b [&'a BlockMeta]> {
    let (mut parts, mut rest) = (Vec::new(), blocks);
    while let Some(first) = rest.first() {
        let end_ms = first.min_time_ms.div_euclid(range_ms).saturating_add(1).saturating_mul(range_ms);
        let len = rest.iter().take_while(|m| m.max_time_ms <= end_ms).count();
        if len > 0 {
            parts.push(&rest[..len]);
        }
        rest = &rest[len.max(1)..];
    }
    parts
}

/// A block that is to be thinned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DownsampleJob {
    pub ulid: Ulid,
    pub resolution_ms: i64,
}

/// Blocks are thinned out if they are at least this long: those of two days. What comes later is late.
pub const DUE_MS: i64 = 40 * HOUR_MS;

/// Blocks of which there is no coarser one yet, though they are long enough; or whatever their length, if they
/// are among those `soon_gone` for their age ([`crate::lifecycle::Retention::held`]). By ULID.
pub fn downsampling<'a>(
    metas: impl IntoIterator<Item = &'a BlockMeta> + Clone,
    no_downsample: &BTreeSet<Ulid>,
    soon_gone: &BTreeSet<Ulid>,
) -> Vec<DownsampleJob> {
    let sources = |resolution: i64| -> BTreeSet<Ulid> {
        let of = metas.clone().into_iter().filter(|m| resolution_ms(m) == resolution);
        of.flat_map(|m| m.compaction.sources.iter().copied()).collect()
    };
    let (five_minutes, one_hour) = (sources(FIVE_MINUTES_MS), sources(ONE_HOUR_MS));
    let job = |meta: &BlockMeta| {
        let (done, to) = match resolution_ms(meta) {
            0 => (&five_minutes, FIVE_MINUTES_MS),
            FIVE_MINUTES_MS => (&one_hour, ONE_HOUR_MS),
            _ => return None,
        };
        let is_due = meta.max_time_ms - meta.min_time_ms >= DUE_MS || soon_gone.contains(&meta.ulid);
        let is_done = meta.compaction.sources.iter().all(|s| done.contains(s));
        (is_due && !is_done && !no_downsample.contains(&meta.ulid))
            .then_some(DownsampleJob { ulid: meta.ulid, resolution_ms: to })
    };
    let mut jobs: Vec<_> = metas.into_iter().filter_map(job).collect();
    jobs.sort_by_key(|job| job.ulid);
    jobs
}

#[cfg(test)]
mod tests;
