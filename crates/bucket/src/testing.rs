//! A store that fails on purpose, and what tests of this and other rooms need around it.
//!
//! Everything follows from a seed: which operations fail, and how.

pub mod proxy;
pub mod stores;

use crate::backend::{
    Attempt, Attributes, Backend, Depth, Entry, Failure, Got, Page, PartsId, Proof, PutMode, Special,
    Version, Want,
};
use crate::{Bucket, BucketMetrics, Parts};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use nilometer_env::sim::{SimClock, SimFs, SimRandom};
use nilometer_model::{Error, Kind};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What goes wrong, each with its odds: once in so many attempts, never where 0.
#[derive(Clone, Default)]
pub struct Faults {
    /// A connection that breaks before the store has heard of it.
    pub error_one_in: u64,
    /// One that breaks after the store has done what was asked.
    pub unanswered_one_in: u64,
    /// A write of which the store keeps a part and says that it has all.
    pub torn_one_in: u64,
    /// So many reads of a part of an object give one byte that the store does not have.
    pub flipped_reads: u64,
    /// A read that takes [`Faults::slow`].
    pub slow_one_in: u64,
    pub slow: Duration,
    /// New objects are left out of so many listings.
    pub listing_lag: u32,
    /// Every attempt is refused.
    pub credentials_expired: bool,
    /// Nobody is there.
    pub unreachable: bool,
    /// After so many more changes of the bucket nothing reaches it: the process is dead.
    pub die_after_changes: Option<u64>,
    /// It dies with its disk, too.
    pub dies_with: Option<SimFs>,
}

/// Sets the faults of a bucket, and counts.
#[derive(Clone)]
pub struct Handle(Arc<State>);

struct State {
    faults: Mutex<Faults>,
    random: SimRandom,
    /// New keys, and how many listings still leave them out.
    hidden: Mutex<BTreeMap<String, u32>>,
    changes: Mutex<u64>,
}

impl Handle {
    pub fn set(&self, faults: Faults) {
        *self.0.faults.lock() = faults;
    }

    /// Changes of the bucket that reached it.
    pub fn changes(&self) -> u64 {
        *self.0.changes.lock()
    }
}

/// Parts with a simulated clock, disk and random source.
pub fn sim_parts(seed: u64) -> (Parts, Arc<SimClock>, SimFs) {
    let clock = Arc::new(SimClock::new(1_700_000_000_000));
    let fs = SimFs::new(seed);
    let parts = Parts {
        clock: clock.clone(),
        fs: Arc::new(fs.clone()),
        random: Arc::new(SimRandom::new(seed)),
        metrics: BucketMetrics::register(&mut Registry::default()),
        env: Arc::new(|_| None),
    };
    (parts, clock, fs)
}

/// Another handle to what `bucket` holds, over which things go wrong.
pub fn with_faults(bucket: &Bucket, seed: u64) -> (Bucket, Handle) {
    let state = Arc::new(State {
        faults: Mutex::default(),
        random: SimRandom::new(seed),
        hidden: Mutex::default(),
        changes: Mutex::new(0),
    });
    let open = bucket.0.current.load_full();
    let faulty = Faulty { under: open.backend.clone(), state: state.clone() };
    let over = bucket.over_another(Arc::new(faulty));
    (over, Handle(state))
}

struct Faulty {
    under: Arc<dyn Backend>,
    state: Arc<State>,
}

/// What becomes of one attempt.
enum Fate {
    Well,
    Unanswered,
    Torn,
}

impl Fate {
    /// What is told of an attempt that the store has carried out.
    fn tell<T>(&self, done: T) -> Result<T, Failure> {
        match self {
            Fate::Unanswered => {
                Err(Failure::passing(Error::unavailable("the connection broke before the answer")))
            }
            Fate::Well | Fate::Torn => Ok(done),
        }
    }
}

impl Faulty {
    fn happens(&self, one_in: u64) -> bool {
        one_in > 0 && self.state.random.one_in(one_in)
    }

    async fn before(&self, is_change: bool) -> Result<Fate, Failure> {
        let faults = self.state.faults.lock().clone();
        let broken = |text: &str| Err(Failure::passing(Error::unavailable(text)));
        if faults.dies_with.as_ref().is_some_and(SimFs::is_dead) {
            return Err(Failure::lasting(Error::unavailable("the process is dead")));
        }
        if faults.unreachable {
            return broken("nobody is there");
        }
        if faults.credentials_expired {
            let error = Error::unavailable("the store refuses these credentials: ExpiredToken");
            return Err(Failure::lasting(error));
        }
        if self.happens(faults.slow_one_in) {
            tokio::time::sleep(faults.slow).await;
        }
        if self.happens(faults.error_one_in) {
            return broken("the connection broke");
        }
        if is_change {
            let mut faults = self.state.faults.lock();
            match &mut faults.die_after_changes {
                Some(0) => return Err(Failure::lasting(Error::unavailable("the process is dead"))),
                Some(left) => *left -= 1,
                None => {}
            }
            *self.state.changes.lock() += 1;
        }
        match () {
            () if self.happens(faults.unanswered_one_in) => Ok(Fate::Unanswered),
            () if is_change && self.happens(faults.torn_one_in) => Ok(Fate::Torn),
            () => Ok(Fate::Well),
        }
    }

    async fn through<'a, T: Send + 'a>(
        &'a self,
        is_change: bool,
        attempt: Attempt<'a, T>,
    ) -> Result<T, Failure> {
        let fate = self.before(is_change).await?;
        fate.tell(attempt.await?)
    }

    fn flip(&self, mut got: Got) -> Got {
        let left = &mut self.state.faults.lock().flipped_reads;
        if *left > 0 && !got.bytes.is_empty() {
            *left -= 1;
            let mut bytes = got.bytes.to_vec();
            let at = self.state.random.below(bytes.len() as u64) as usize;
            bytes[at] ^= 0x55;
            got.bytes = bytes.into();
        }
        got
    }

    fn hide(&self, key: &str) {
        let lag = self.state.faults.lock().listing_lag;
        if lag > 0 {
            self.state.hidden.lock().insert(key.to_owned(), lag);
        }
    }

    async fn put_or_tear(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<Version, Failure> {
        let fate = self.before(true).await?;
        let kept = match fate {
            Fate::Torn => bytes.slice(..self.state.random.below(bytes.len() as u64 + 1) as usize),
            _ => bytes,
        };
        let version = self.under.put(key, kept, mode).await?;
        self.hide(key);
        fate.tell(version)
    }
}

impl Backend for Faulty {
    fn get<'a>(&'a self, key: &'a str, want: Want) -> Attempt<'a, Got> {
        let is_part = matches!(want, Want::Range(_));
        async move {
            let got = self.through(false, self.under.get(key, want)).await?;
            Ok(if is_part { self.flip(got) } else { got })
        }
        .boxed()
    }

    fn head<'a>(&'a self, key: &'a str) -> Attempt<'a, Attributes> {
        self.through(false, self.under.head(key)).boxed()
    }

    fn put<'a>(&'a self, key: &'a str, bytes: Bytes, mode: PutMode) -> Attempt<'a, Version> {
        self.put_or_tear(key, bytes, mode).boxed()
    }

    fn delete<'a>(&'a self, key: &'a str) -> Attempt<'a, ()> {
        self.through(true, self.under.delete(key)).boxed()
    }

    fn list<'a>(&'a self, folder: &'a str, depth: Depth, from: Option<String>) -> Attempt<'a, Page> {
        async move {
            let mut page = self.through(false, self.under.list(folder, depth, from)).await?;
            let mut hidden = self.state.hidden.lock();
            page.entries.retain(|entry| match hidden.get_mut(entry.key()) {
                Some(0) | None => true,
                Some(left) => {
                    *left -= 1;
                    false
                }
            });
            Ok(page)
        }
        .boxed()
    }

    fn copy<'a>(&'a self, from: &'a str, to: &'a str) -> Attempt<'a, ()> {
        self.through(true, self.under.copy(from, to)).boxed()
    }

    fn take_file<'a>(&'a self, key: &'a str, file: &'a Path) -> Option<Attempt<'a, Proof>> {
        let taking = self.under.take_file(key, file)?;
        Some(
            async move {
                let fate = self.before(true).await?;
                let proof = taking.await?;
                self.hide(key);
                fate.tell(proof)
            }
            .boxed(),
        )
    }

    fn start_parts<'a>(&'a self, key: &'a str) -> Attempt<'a, PartsId> {
        self.through(false, self.under.start_parts(key)).boxed()
    }

    fn put_part<'a>(
        &'a self,
        key: &'a str,
        id: &'a PartsId,
        part: usize,
        bytes: Bytes,
    ) -> Attempt<'a, String> {
        self.through(false, self.under.put_part(key, id, part, bytes)).boxed()
    }

    fn finish_parts<'a>(&'a self, key: &'a str, id: &'a PartsId, parts: Vec<String>) -> Attempt<'a, Version> {
        async move {
            let fate = self.before(true).await?;
            let version = self.under.finish_parts(key, id, parts).await?;
            self.hide(key);
            fate.tell(version)
        }
        .boxed()
    }

    fn abort_parts<'a>(&'a self, key: &'a str, id: &'a PartsId) -> Attempt<'a, ()> {
        self.through(false, self.under.abort_parts(key, id)).boxed()
    }

    fn probe<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Special> {
        self.under.probe(key)
    }

    fn sends_sha256(&self) -> bool {
        self.under.sends_sha256()
    }
}

/// What every bucket must do, whatever is behind it. It must be empty, and is again in the end.
///
/// # Panics
/// If it does not.
pub async fn conform(bucket: &Bucket) {
    objects_come_back(bucket).await;
    conditions_hold(bucket).await;
    listings_are_in_order(bucket).await;
}

async fn objects_come_back(bucket: &Bucket) {
    let kind = |e: Error| e.kind().clone();
    assert!(!bucket.exists("c/none").await.unwrap());
    assert_eq!(kind(bucket.get("c/none", 10).await.unwrap_err()), Kind::NotFound);
    assert_eq!(kind(bucket.get_range("c/none", 0..1).await.unwrap_err()), Kind::NotFound);
    assert_eq!(kind(bucket.attributes("c/none").await.unwrap_err()), Kind::NotFound);
    assert_eq!(kind(bucket.put("../x", "").await.unwrap_err()), Kind::Invalid);
    bucket.delete("c/none").await.unwrap();
    let bytes: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
    bucket.put("c/object with a space+ü", bytes.clone()).await.unwrap();
    bucket.put("c/empty", "").await.unwrap();
    let key = "c/object with a space+ü";
    assert_eq!(bucket.get(key, 300_000).await.unwrap(), bytes);
    assert_eq!(bucket.get("c/empty", 0).await.unwrap(), "");
    assert!(matches!(kind(bucket.get(key, 299_999).await.unwrap_err()), Kind::Limit { .. }));
    assert_eq!(bucket.get_range(key, 7..19).await.unwrap(), bytes[7..19]);
    assert_eq!(bucket.get_range(key, 299_999..300_000).await.unwrap(), bytes[299_999..]);
    assert_eq!(bucket.get_range(key, 5..5).await.unwrap(), "");
    assert_eq!(kind(bucket.get_range(key, 299_999..300_001).await.unwrap_err()), Kind::Invalid);
    assert_eq!(kind(bucket.get_range(key, 400_000..400_001).await.unwrap_err()), Kind::Invalid);
    let got = bucket.get_ranges(key, &[200_000..200_004, 1..3, 2..2]).await.unwrap();
    assert_eq!(got, [&bytes[200_000..200_004], &bytes[1..3], &[]]);
    let there = bucket.attributes(key).await.unwrap();
    assert_eq!(there.size_bytes, 300_000);
    bucket.copy(key, "c/copy").await.unwrap();
    bucket.put(key, "new").await.unwrap();
    assert_eq!(bucket.get("c/copy", 300_000).await.unwrap(), bytes, "a copy keeps what was copied");
    assert_eq!(bucket.get(key, 10).await.unwrap(), "new");
    for key in [key, "c/empty", "c/copy"] {
        bucket.delete(key).await.unwrap();
    }
    assert!(!bucket.exists(key).await.unwrap());
}

async fn conditions_hold(bucket: &Bucket) {
    let is_conflict = |e: Error| *e.kind() == Kind::Conflict;
    let first = bucket.put_if_absent("c/lease", "1").await.unwrap();
    assert!(is_conflict(bucket.put_if_absent("c/lease", "2").await.unwrap_err()));
    let second = match bucket.update_if_match("c/lease", "3", &first).await {
        // A store that cannot do it says so; the probe tells.
        Err(e) if *e.kind() == Kind::Invalid => return bucket.delete("c/lease").await.unwrap(),
        updated => updated.unwrap(),
    };
    assert!(is_conflict(bucket.update_if_match("c/lease", "4", &first).await.unwrap_err()));
    let (bytes, version) = bucket.get_versioned("c/lease", 10).await.unwrap();
    assert_eq!(bytes, "3");
    let third = bucket.update_if_match("c/lease", "5", &version).await.unwrap();
    assert!(is_conflict(bucket.update_if_match("c/lease", "6", &second).await.unwrap_err()));
    bucket.delete("c/lease").await.unwrap();
    assert!(is_conflict(bucket.update_if_match("c/lease", "7", &third).await.unwrap_err()));
    assert!(!bucket.exists("c/lease").await.unwrap());
}

async fn listings_are_in_order(bucket: &Bucket) {
    let mut keys: Vec<String> = (0..130).map(|i| format!("l/{i:03}/meta.json")).collect();
    keys.extend(["l/000.x", "l/000/index", "l/zz", "l2/a", "m"].map(String::from));
    for key in &keys {
        bucket.put(key, key.clone()).await.unwrap();
    }
    keys.sort();
    let all: Vec<Entry> = bucket.list("", Depth::All).try_collect().await.unwrap();
    assert_eq!(all.iter().map(Entry::key).collect::<Vec<_>>(), keys);
    for entry in &all {
        let Entry::Object { key, attributes } = entry else { panic!("{entry:?} is no object") };
        assert_eq!(attributes.size_bytes, key.len() as u64);
    }
    let names = |entries: Vec<Entry>| entries.iter().map(|e| e.key().to_owned()).collect::<Vec<_>>();
    let mut top = names(bucket.list("", Depth::Folder).try_collect().await.unwrap());
    // Some stores show folders for a while after their last object went.
    for shown in top.clone().iter().filter(|name| !["l/", "l2/", "m"].contains(&name.as_str())) {
        assert_eq!(names(bucket.list(shown, Depth::All).try_collect().await.unwrap()), [""; 0], "{shown}");
        top.retain(|name| name != shown);
    }
    assert_eq!(top, ["l/", "l2/", "m"]);
    let folders: Vec<Entry> = bucket.list("l", Depth::Folder).try_collect().await.unwrap();
    let count = folders.iter().filter(|entry| matches!(entry, Entry::Folder(_))).count();
    assert_eq!((count, folders.len()), (130, 132));
    assert_eq!(
        names(bucket.list("l/000", Depth::Folder).try_collect().await.unwrap()),
        ["l/000/index", "l/000/meta.json"]
    );
    assert_eq!(names(bucket.list("nothing", Depth::All).try_collect().await.unwrap()), [""; 0]);
    for key in &keys {
        bucket.delete(key).await.unwrap();
    }
    assert_eq!(names(bucket.list("", Depth::All).try_collect().await.unwrap()), [""; 0]);
}
