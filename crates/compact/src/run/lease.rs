//! Of several compactors of one bucket, one works.
//!
//! Where the store has conditional writes, one object says who: whoever holds it writes it anew every third of its
//! term, and it is taken over only from who has not done so for a whole term. That is measured by the clock of who
//! waits, from when it saw the object, so clocks of different machines need not agree. A holder that was paused finds
//! out before it changes anything, since it asks its own clock first.
//!
//! Where the store has none, each compactor has an object of its own that it writes as often. Who sees that another's
//! changes does not begin to work. Two that begin within the same moment can both believe to be alone: then they make
//! blocks twice, which is cleaned up like any duplicate.

use futures::TryStreamExt;
use nilometer_bucket::{Bucket, Depth, Entry, Version};
use nilometer_env::Clock;
use nilometer_model::{Error, Kind, Result};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// No reader takes these for a block.
const FOLDER: &str = "nilometer/compactors";
const LEASE: &str = "nilometer/compactor-lease.json";
/// What is written is a few lines.
const MAX_BYTES: u64 = 64 << 10;

/// Who compacts a bucket, as the object says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// Empty when nobody does.
    holder: String,
    /// How often it was written by this holder, so that each time it is another text.
    count: u64,
    /// For people.
    renewed_ms: i64,
    term_seconds: u64,
    /// Whether it has found itself alone. Only where the store has no conditional writes.
    #[serde(default)]
    works: bool,
}

/// Of one compactor.
pub(crate) struct Lease {
    bucket: Bucket,
    clock: Arc<dyn Clock>,
    /// The same after a restart of the same data directory, which one process at a time has.
    holder: String,
    term: Duration,
    is_conditional: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    count: u64,
    /// When the write that made it ours, or kept it so, was begun; none while it is not ours.
    held: Option<(Version, Duration)>,
    /// What others wrote last, and when that was first seen.
    others: BTreeMap<String, (Version, Duration)>,
    began: Option<Duration>,
}

/// Whether to work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Ours,
    Others { holder: String },
}

impl Lease {
    pub(crate) fn new(
        bucket: Bucket,
        clock: Arc<dyn Clock>,
        holder: String,
        term: Duration,
        is_conditional: bool,
    ) -> Self {
        Lease { bucket, clock, holder, term, is_conditional, state: Mutex::default() }
    }

    /// One attempt to have it, or to keep it. To be repeated while others have it.
    pub(crate) async fn take(&self) -> Result<Turn> {
        if self.is_conditional { self.take_object().await } else { self.take_beats().await }
    }

    /// Whether it is ours still; asks the store if that is not known. An error ends the work.
    pub(crate) async fn check(&self) -> Result<()> {
        let since = self.state.lock().held.as_ref().map(|(_, at)| *at);
        let Some(since) = since else { return Err(self.lost("nobody")) };
        if self.clock.monotonic().saturating_sub(since) < self.term / 3 * 2 {
            return Ok(());
        }
        match self.take().await? {
            Turn::Ours => Ok(()),
            Turn::Others { holder } => Err(self.lost(&holder)),
        }
    }

    /// Keeps it; returns when it is lost.
    pub(crate) async fn keep(&self) -> Error {
        loop {
            tokio::time::sleep(self.term / 3).await;
            match self.take().await {
                Ok(Turn::Ours) => {}
                Ok(Turn::Others { holder }) => return self.lost(&holder),
                Err(e) => {
                    let since = self.state.lock().held.as_ref().map(|(_, at)| *at);
                    if since.is_none_or(|at| self.clock.monotonic().saturating_sub(at) >= self.term) {
                        return e.context("the compactor's lease could not be renewed in time");
                    }
                }
            }
        }
    }

    /// For whoever comes next, who need not wait then.
    pub(crate) async fn release(&self) -> Result<()> {
        let held = self.state.lock().held.take();
        let Some((version, _)) = held else { return Ok(()) };
        if self.is_conditional {
            let free = self.text("", false);
            return self.bucket.update_if_match(LEASE, free, &version).await.map(drop);
        }
        self.bucket.delete(&self.beat()).await
    }

    fn lost(&self, to: &str) -> Error {
        Error::canceled(format!(
            "another compactor works on this bucket now ({to}): what is under way here is given up"
        ))
    }

    fn beat(&self) -> String {
        format!("{FOLDER}/{}.json", self.holder)
    }

    fn text(&self, holder: &str, works: bool) -> Vec<u8> {
        let mut state = self.state.lock();
        state.count += 1;
        let record = Record {
            holder: holder.to_owned(),
            count: state.count,
            renewed_ms: self.clock.wall_ms(),
            term_seconds: self.term.as_secs(),
            works,
        };
        serde_json::to_vec(&record).unwrap_or_default()
    }

    async fn take_object(&self) -> Result<Turn> {
        let now = self.clock.monotonic();
        let held = self.state.lock().held.clone();
        let mine = self.text(&self.holder, true);
        let written = match held {
            Some((version, _)) => self.bucket.update_if_match(LEASE, mine, &version).await,
            None => match self.bucket.get_versioned(LEASE, MAX_BYTES).await {
                Ok((json, version)) => {
                    if let Some(holder) = self.waits_for(&json, &version, now) {
                        return Ok(Turn::Others { holder });
                    }
                    self.bucket.update_if_match(LEASE, mine, &version).await
                }
                Err(e) if *e.kind() == Kind::NotFound => self.bucket.put_if_absent(LEASE, mine).await,
                Err(e) => return Err(e),
            },
        };
        let mut state = self.state.lock();
        match written {
            Ok(version) => {
                state.held = Some((version, now));
                Ok(Turn::Ours)
            }
            Err(e) if *e.kind() == Kind::Conflict => {
                state.held = None;
                Ok(Turn::Others { holder: "who was quicker".to_owned() })
            }
            Err(e) => Err(e),
        }
    }

    /// The other that has the lease and may still be at work.
    fn waits_for(&self, json: &[u8], version: &Version, now: Duration) -> Option<String> {
        // What cannot be read is somebody's all the same.
        let holder = serde_json::from_slice::<Record>(json).map_or("unknown".to_owned(), |r| r.holder);
        if holder.is_empty() || holder == self.holder {
            return None;
        }
        let mut state = self.state.lock();
        let seen = state.others.entry(LEASE.to_owned()).or_insert_with(|| (version.clone(), now));
        if seen.0 != *version {
            *seen = (version.clone(), now);
        }
        (now.saturating_sub(seen.1) < self.term).then_some(holder)
    }

    async fn take_beats(&self) -> Result<Turn> {
        let now = self.clock.monotonic();
        let (began, works) = {
            let mut state = self.state.lock();
            (*state.began.get_or_insert(now), state.held.is_some())
        };
        let mut version = self.bucket.put(&self.beat(), self.text(&self.holder, works)).await?;
        let mut other = self.other_at_work(now, works).await?;
        if !works && other.is_none() {
            if now.saturating_sub(began) < self.term {
                return Ok(Turn::Others { holder: "nobody yet: others are looked out for".to_owned() });
            }
            // Others are told before they are looked at a last time.
            version = self.bucket.put(&self.beat(), self.text(&self.holder, true)).await?;
            other = self.other_at_work(now, true).await?;
        }
        let mut state = self.state.lock();
        match other {
            None => {
                state.held = Some((version, now));
                Ok(Turn::Ours)
            }
            Some(holder) => {
                state.held = None;
                Ok(Turn::Others { holder })
            }
        }
    }

    /// One that has written within the last term, and goes first.
    async fn other_at_work(&self, now: Duration, works: bool) -> Result<Option<String>> {
        let mut entries = self.bucket.list(FOLDER, Depth::All);
        let own = self.beat();
        while let Some(entry) = entries.try_next().await? {
            let Entry::Object { key, .. } = entry else { continue };
            if key == own {
                continue;
            }
            let (json, version) = match self.bucket.get_versioned(&key, MAX_BYTES).await {
                Ok(got) => got,
                Err(e) if *e.kind() == Kind::NotFound => continue,
                Err(e) => return Err(e),
            };
            let record = serde_json::from_slice::<Record>(&json).ok();
            let mut state = self.state.lock();
            let seen = state.others.entry(key.clone()).or_insert_with(|| (version.clone(), now));
            if seen.0 != version {
                *seen = (version, now);
            }
            let lives = now.saturating_sub(seen.1) < self.term;
            // Of several that wait, or that found out too late, the first by name.
            let goes_first = record
                .as_ref()
                .is_none_or(|r| (!r.works, r.holder.as_str()) < (!works, self.holder.as_str()));
            if lives && goes_first {
                return Ok(Some(record.map_or(key, |r| r.holder)));
            }
        }
        Ok(None)
    }
}
