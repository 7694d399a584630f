//! Which blocks of a bucket are looked at, marked and deleted, and why.
//!
//! Nothing is deleted at once: a mark comes first, so that readers can turn to other blocks, and the delay after it
//! is passed. What a decision says goes to the log of deletions before it is carried out.

use crate::{DUE_MS, FIVE_MINUTES_MS, ONE_HOUR_MS, groups, resolution_ms, tenant_of};
use nilometer_model::{BlockMeta, Error, Result, Ulid};
use std::collections::{BTreeMap, BTreeSet};

/// What is to be done with a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub ulid: Ulid,
    pub action: Action,
    /// For people and for the log of deletions.
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is to have a `deletion-mark.json`.
    MarkForDeletion,
    /// Its files are to go, `meta.json` first.
    Delete,
    /// It would go if what is made of it were there.
    Hold,
}

/// The marks on blocks, as far as decisions depend on them.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    /// When a block was marked for deletion, in seconds since 1970.
    pub deletion_s: BTreeMap<Ulid, i64>,
    pub no_compact: BTreeSet<Ulid>,
    pub no_downsample: BTreeSet<Ulid>,
}

/// How long things wait.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    /// How old a block has to be before it is trusted to be whole: `--consistency-delay`.
    pub consistency_ms: i64,
    /// How long a mark stands before the block goes: `--delete-delay`.
    pub delete_ms: i64,
}

impl Default for Delays {
    fn default() -> Self {
        Delays { consistency_ms: 30 * 60 * 1000, delete_ms: 48 * 60 * 60 * 1000 }
    }
}

impl Delays {
    /// A folder without `meta.json` that has not changed for so long was given up by who uploaded it.
    pub const PARTIAL_UPLOAD_MS: i64 = 48 * 60 * 60 * 1000;

    /// Whether a compactor looks at a block: it is not too fresh, and not marked for deletion so long ago that
    /// it may go any moment. `uploaded_ms` is when it was uploaded, where that is known.
    pub fn is_visible(&self, meta: &BlockMeta, uploaded_ms: Option<i64>, marks: &Marks, now_ms: i64) -> bool {
        let source = meta.thanos.as_ref().map_or("", |t| t.source.as_str());
        // Whoever compacts knows that these are whole.
        let is_ours = matches!(source, "bucket.repair" | "compactor" | "compactor.repair");
        let born_ms = uploaded_ms.unwrap_or(meta.ulid.ms() as i64);
        if !is_ours && now_ms.saturating_sub(born_ms) < self.consistency_ms {
            return false;
        }
        let marked = marks.deletion_s.get(&meta.ulid);
        marked.is_none_or(|s| age_ms(*s, now_ms) <= self.delete_ms / 2)
    }

    /// Marked blocks that have waited long enough.
    pub fn deletions(&self, marks: &Marks, now_ms: i64) -> Vec<Decision> {
        let due = marks.deletion_s.iter().filter(|(_, s)| age_ms(**s, now_ms) > self.delete_ms);
        due.map(|(ulid, _)| Decision {
            ulid: *ulid,
            action: Action::Delete,
            reason: format!("marked for deletion longer than {} ago", Span(self.delete_ms)),
        })
        .collect()
    }
}

/// Since a time in seconds.
fn age_ms(since_s: i64, now_ms: i64) -> i64 {
    now_ms.saturating_sub(since_s.saturating_mul(1000))
}

/// A folder of a block without a readable `meta.json`.
#[derive(Clone, Copy, Debug)]
pub struct Partial {
    pub ulid: Ulid,
    /// Of the file that changed last, where the store tells.
    pub modified_ms: Option<i64>,
}

/// Uploads that were given up. What is marked for deletion goes in its own time: it is deleted from `meta.json` on.
pub fn aborted_uploads(partial: &[Partial], marks: &Marks, now_ms: i64) -> Vec<Decision> {
    let due = partial.iter().filter(|p| {
        let since_ms = p.modified_ms.unwrap_or(p.ulid.ms() as i64);
        !marks.deletion_s.contains_key(&p.ulid) && now_ms.saturating_sub(since_ms) > Delays::PARTIAL_UPLOAD_MS
    });
    due.map(|p| Decision {
        ulid: p.ulid,
        action: Action::Delete,
        reason: format!("an upload that was given up more than {} ago", Span(Delays::PARTIAL_UPLOAD_MS)),
    })
    .collect()
}

/// Blocks all of whose sources are in another block of their group: what a compaction left behind, or a second
/// compactor made again. `without` are the labels of replicas that are merged.
pub fn garbage<'a>(
    metas: impl IntoIterator<Item = &'a BlockMeta>,
    marks: &Marks,
    without: &[String],
) -> Vec<Decision> {
    let mut decisions = Vec::new();
    for mut group in groups(metas, without) {
        group.blocks.sort_by_key(|m| (std::cmp::Reverse(m.compaction.sources.len()), m.ulid));
        let mut kept = Vec::<(&BlockMeta, BTreeSet<Ulid>)>::new();
        for block in group.blocks {
            let sources = &block.compaction.sources;
            let covered_by = kept.iter().find(|(_, all)| sources.iter().all(|s| all.contains(s)));
            match covered_by {
                None => kept.push((block, sources.iter().copied().collect())),
                Some(_) if marks.deletion_s.contains_key(&block.ulid) => {}
                Some((by, _)) => decisions.push(Decision {
                    ulid: block.ulid,
                    action: Action::MarkForDeletion,
                    reason: format!("outdated block: {} has all that went into it", by.ulid),
                }),
            }
        }
    }
    decisions.sort_by_key(|d| d.ulid);
    decisions
}

/// How long samples are kept, by resolution, in milliseconds; 0 is for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Periods {
    /// `--retention.resolution-raw`
    pub raw_ms: i64,
    /// `--retention.resolution-5m`
    pub five_minutes_ms: i64,
    /// `--retention.resolution-1h`
    pub one_hour_ms: i64,
}

impl Periods {
    /// Whether samples are long enough there for coarser ones to be made of them, as Thanos asks at its start.
    pub fn check(&self) -> Result<()> {
        for (name, period_ms, to) in [("raw", self.raw_ms, "5m"), ("5m", self.five_minutes_ms, "1h")] {
            if period_ms != 0 && period_ms < DUE_MS {
                return Err(Error::invalid(format!(
                    "--retention.resolution-{name}={} is less than the {} that blocks have to span before {to} \
                     samples are made of them: raise it, or switch downsampling off",
                    Span(period_ms),
                    Span(DUE_MS)
                )));
            }
        }
        Ok(())
    }

    fn of(&self, resolution_ms: i64) -> i64 {
        match resolution_ms {
            0 => self.raw_ms,
            FIVE_MINUTES_MS => self.five_minutes_ms,
            ONE_HOUR_MS => self.one_hour_ms,
            // Nobody makes such blocks, so nobody said how long they stay.
            _ => 0,
        }
    }

    /// Whether a block of a resolution that ends at a time is older than what is kept.
    fn is_over(&self, resolution_ms: i64, max_time_ms: i64, now_ms: i64) -> bool {
        let period_ms = self.of(resolution_ms);
        // Whole seconds, as in Thanos.
        period_ms != 0 && now_ms > (max_time_ms.div_euclid(1000) * 1000).saturating_add(period_ms)
    }
}

/// How long samples are kept: all tenants', and those of some otherwise.
#[derive(Clone, Debug, Default)]
pub struct Retention {
    pub all: Periods,
    pub tenants: BTreeMap<String, Periods>,
    /// The external label that names the tenant.
    pub tenant_label: String,
    /// Whether blocks are thinned out. If not, nothing waits for it.
    pub downsampling: bool,
}

impl Retention {
    /// Blocks whose time is over, each to be marked, or held until there is a coarser block with all of its
    /// samples: never does the last trace of a sample go that is to be kept.
    pub fn decide<'a>(
        &self,
        metas: impl IntoIterator<Item = &'a BlockMeta> + Clone,
        marks: &Marks,
        now_ms: i64,
    ) -> Vec<Decision> {
        let coarser = Coarser::of(metas.clone(), marks);
        let mut decisions: Vec<_> = metas
            .into_iter()
            .filter(|m| !marks.deletion_s.contains_key(&m.ulid))
            .filter_map(|meta| self.decide_one(meta, &coarser, marks, now_ms))
            .collect();
        decisions.sort_by_key(|d| d.ulid);
        decisions
    }

    /// Those of the decisions that wait: for [`crate::downsampling`].
    pub fn held(decisions: &[Decision]) -> BTreeSet<Ulid> {
        decisions.iter().filter(|d| d.action == Action::Hold).map(|d| d.ulid).collect()
    }

    fn decide_one(
        &self,
        meta: &BlockMeta,
        coarser: &Coarser,
        marks: &Marks,
        now_ms: i64,
    ) -> Option<Decision> {
        let tenant = tenant_of(meta, &self.tenant_label);
        let periods = self.tenants.get(tenant).unwrap_or(&self.all);
        let resolution = resolution_ms(meta);
        if !periods.is_over(resolution, meta.max_time_ms, now_ms) {
            return None;
        }
        let kept_coarser = [FIVE_MINUTES_MS, ONE_HOUR_MS]
            .into_iter()
            .filter(|to| *to > resolution && !periods.is_over(*to, meta.max_time_ms, now_ms));
        let may_wait =
            self.downsampling && !marks.no_downsample.contains(&meta.ulid) && meta.stats.num_samples > 0;
        let is_missing = may_wait && kept_coarser.clone().count() > 0 && !coarser.has_any(kept_coarser, meta);
        let period = Span(periods.of(resolution));
        Some(if is_missing {
            Decision {
                ulid: meta.ulid,
                action: Action::Hold,
                reason: format!("exceeds its retention of {period}, but is not downsampled yet"),
            }
        } else {
            Decision {
                ulid: meta.ulid,
                action: Action::MarkForDeletion,
                reason: format!("block exceeding retention of {period}"),
            }
        })
    }
}

/// What went into downsampled blocks that stay.
struct Coarser(BTreeMap<i64, BTreeSet<Ulid>>);

impl Coarser {
    fn of<'a>(metas: impl IntoIterator<Item = &'a BlockMeta>, marks: &Marks) -> Self {
        let mut sources = BTreeMap::<i64, BTreeSet<Ulid>>::new();
        for meta in metas.into_iter().filter(|m| !marks.deletion_s.contains_key(&m.ulid)) {
            sources.entry(resolution_ms(meta)).or_default().extend(&meta.compaction.sources);
        }
        Coarser(sources)
    }

    fn has_any(&self, mut resolutions: impl Iterator<Item = i64>, meta: &BlockMeta) -> bool {
        resolutions.any(|resolution| {
            let have = self.0.get(&resolution);
            have.is_some_and(|have| meta.compaction.sources.iter().all(|s| have.contains(s)))
        })
    }
}

/// A length of time as flags have it: `30d`, `48h`.
struct Span(i64);

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
        match units.into_iter().find(|(_, ms)| self.0 != 0 && self.0 % ms == 0) {
            Some((unit, ms)) => write!(f, "{}{unit}", self.0 / ms),
            None => write!(f, "{}ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests;
