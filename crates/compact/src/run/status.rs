//! What a compactor is at, for people.

use crate::Progress;
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
    /// What is left alone, and why.
    pub quarantined: Vec<Quarantined>,
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
    pub reason: String,
    pub since_ms: i64,
}

/// Resolution and external labels.
pub(crate) type GroupId = (i64, Labels);

#[derive(Default)]
pub(crate) struct Quarantine(BTreeMap<GroupId, Entry>);

struct Entry {
    reason: String,
    since_ms: i64,
    blocks: Vec<Ulid>,
}

impl Quarantine {
    pub(crate) fn add(&mut self, group: GroupId, blocks: Vec<Ulid>, error: &Error, now_ms: i64) {
        // What passes is tried in the next round.
        let since_ms = if *error.kind() == Kind::Unavailable { now_ms - RETRY_MS } else { now_ms };
        self.0.insert(group, Entry { reason: error.to_string(), since_ms, blocks });
    }

    pub(crate) fn has(&self, group: &GroupId, blocks: &[Ulid], now_ms: i64) -> bool {
        let entry = self.0.get(group);
        entry.is_some_and(|e| e.blocks == blocks && now_ms.saturating_sub(e.since_ms) < RETRY_MS)
    }

    pub(crate) fn release(&mut self, group: &GroupId) {
        self.0.remove(group);
    }

    pub(crate) fn retain(&mut self, stays: impl Fn(&GroupId, &[Ulid]) -> bool) {
        self.0.retain(|group, entry| stays(group, &entry.blocks));
    }

    pub(crate) fn list(&self) -> Vec<Quarantined> {
        let entry = |((resolution_ms, labels), entry): (&GroupId, &Entry)| Quarantined {
            resolution_ms: *resolution_ms,
            labels: labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            reason: entry.reason.clone(),
            since_ms: entry.since_ms,
        };
        self.0.iter().map(entry).collect()
    }
}
