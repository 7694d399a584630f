//! What a compactor is at, for people.

use crate::Progress;
use nilometer_bucket::marks::reason;
use nilometer_model::{Error, Kind, Labels, Ulid};
use serde::Serialize;
use std::collections::BTreeMap;

/// A group is tried again after this, though nothing in it has changed.
const RETRY_MS: i64 = 60 * 60 * 1000;

#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    /// Who compacts the bucket, if it is not this process.
    pub waits_for: Option<String>,
    pub running: Option<Running>,
    pub todo: Todo,
    /// What is left alone for now, and why.
    pub quarantined: Vec<Quarantined>,
    /// Blocks that are left out of compaction for good, unless somebody removes their mark.
    pub left_out: Vec<LeftOut>,
    /// Blocks whose `meta.json` or mark cannot be read.
    pub broken: Vec<Broken>,
    /// When a round last came to its end, in milliseconds since 1970.
    pub last_round_ms: Option<i64>,
    /// Why the last one did not.
    pub error: Option<String>,
}

/// One block on its way.
#[derive(Clone, Debug, Serialize)]
pub struct Running {
    pub what: &'static str,
    pub labels: BTreeMap<String, String>,
    pub blocks: Vec<Ulid>,
    pub bytes: u64,
    pub since_ms: i64,
    pub series: u64,
    pub series_total: u64,
}

impl Running {
    pub(crate) fn set(&mut self, progress: Progress) {
        (self.series, self.series_total) = (progress.series, progress.series_total);
    }
}

/// What is due, those that follow from others included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Todo {
    pub compactions: u64,
    pub blocks: u64,
    pub bytes: u64,
    pub downsamples: u64,
    /// At the speed of what was done so far.
    pub seconds_left: Option<u64>,
}

/// A group of blocks that is left alone until its blocks are others, or an hour has passed.
#[derive(Clone, Debug, Serialize)]
pub struct Quarantined {
    pub resolution_ms: i64,
    pub labels: BTreeMap<String, String>,
    /// Only this one, which cannot be thinned out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<Ulid>,
    pub reason: String,
    pub since_ms: i64,
}

/// A block with a `no-compact-mark.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    pub block: Ulid,
    pub labels: BTreeMap<String, String>,
    /// Of the mark.
    pub reason: String,
    pub details: String,
    pub since_ms: i64,
}

impl LeftOut {
    pub fn is_corrupt(&self) -> bool {
        self.reason == reason::CORRUPT
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broken {
    pub block: Ulid,
    pub reason: String,
}

/// What can go wrong by itself: the compaction of a group, or the thinning out of one of its blocks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subject {
    pub(crate) resolution_ms: i64,
    pub(crate) labels: Labels,
    pub(crate) block: Option<Ulid>,
}

impl Subject {
    pub(crate) fn group(resolution_ms: i64, labels: Labels) -> Self {
        Subject { resolution_ms, labels, block: None }
    }
}

#[derive(Default)]
pub(crate) struct Quarantine(BTreeMap<Subject, Entry>);

struct Entry {
    reason: String,
    since_ms: i64,
    blocks: Vec<Ulid>,
}

impl Quarantine {
    pub(crate) fn add(&mut self, what: Subject, blocks: Vec<Ulid>, error: &Error, now_ms: i64) {
        // What passes is tried in the next round.
        let since_ms = if *error.kind() == Kind::Unavailable { now_ms - RETRY_MS } else { now_ms };
        self.0.insert(what, Entry { reason: error.to_string(), since_ms, blocks });
    }

    pub(crate) fn has(&self, what: &Subject, blocks: &[Ulid], now_ms: i64) -> bool {
        let entry = self.0.get(what);
        entry.is_some_and(|e| e.blocks == blocks && now_ms.saturating_sub(e.since_ms) < RETRY_MS)
    }

    pub(crate) fn release(&mut self, what: &Subject) {
        self.0.remove(what);
    }

    pub(crate) fn retain(&mut self, stays: impl Fn(&[Ulid]) -> bool) {
        self.0.retain(|_, entry| stays(&entry.blocks));
    }

    pub(crate) fn list(&self) -> Vec<Quarantined> {
        let entry = |(what, entry): (&Subject, &Entry)| Quarantined {
            resolution_ms: what.resolution_ms,
            labels: what.labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            block: what.block,
            reason: entry.reason.clone(),
            since_ms: entry.since_ms,
        };
        self.0.iter().map(entry).collect()
    }
}
