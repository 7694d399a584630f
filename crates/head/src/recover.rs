//! Starting: the newest snapshot, then the log behind it.
//!
//! Reading the log does again what was done, in its order. What a series has from the snapshot is left out by
//! number, and storing a sample that is there is nothing, so a body may come twice. What cannot be read is
//! counted, named, and costs only itself.

mod restore;

use crate::chunks::FileLengths;
use crate::index::KeyHasher;
use crate::late::Sealed;
use crate::log::{Lsn, Replayed, replay};
use crate::ranges::Ranges;
use crate::record::{self, Body, EncodedLabels, Entry};
use crate::snapshot;
use crate::state::{Cut, State};
use crate::tenant::TenantHead;
use nilometer_chunk::Stamp;
use nilometer_env::{Fs, Random};
use nilometer_model::{Error, Result, Tenant, Ulid, Value};
use restore::{Restored, Restoring};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) struct Recovered {
    pub(crate) tenants: BTreeMap<Tenant, Arc<TenantHead>>,
    pub(crate) log: Replayed,
    /// What could not be read, in words.
    pub(crate) damaged: Vec<String>,
    pub(crate) series: u64,
}

pub(crate) struct Recovery<'a> {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) hasher: &'a KeyHasher,
    pub(crate) blocks_dir: PathBuf,
    pub(crate) hub_dir: PathBuf,
    pub(crate) ranges: Ranges,
    /// Tenants with local blocks, ours or adopted.
    pub(crate) with_blocks: &'a [Tenant],
}

/// A tenant while it is being brought back.
struct Returning {
    head: TenantHead,
    /// By slot: what the snapshot has of the series.
    done: Vec<Lsn>,
    /// Ids below it that are not there were forgotten before the snapshot.
    known_below: u64,
    /// Cuts up to this number are in the snapshot.
    cuts_done: Lsn,
    /// Series that were forgotten and came back under another id, by that id.
    renamed: HashMap<u64, u64>,
    /// Series whose body in the snapshot is damaged.
    bare: BTreeSet<u64>,
    /// The snapshot's files of closed chunks; `None` where a snapshot should say and does not.
    files: Option<FileLengths>,
    lost_samples: u64,
    /// Where the next sample's series is likely to be.
    next_slot: usize,
}

/// Floats of the log whose series are looked up together.
const AHEAD: usize = 32;

/// Closed chunks that reading the log makes are written when there are so many bytes of them.
const MAX_WAITING_CHUNK_BYTES: usize = 1 << 20;

type Tenants = BTreeMap<Tenant, Returning>;

impl Recovery<'_> {
    pub(crate) fn run(&self) -> Result<Recovered> {
        let mut tenants = Tenants::new();
        for name in self.with_blocks {
            tenants.insert(name.clone(), self.open(name)?);
        }
        let restored = self.restore(&mut tenants)?;
        let mut damaged = restored.damaged;
        let wal = wal_dir(&self.hub_dir);
        let mut replayed = replay(&*self.fs, &wal, |lsn, body| {
            let (name, body) = record::open(body)?;
            if !tenants.contains_key(&name) {
                tenants.insert(name.clone(), self.open(&name)?);
            }
            tenants.get_mut(&name).map_or(Ok(()), |tenant| tenant.body(lsn, body, self.hasher))
        })?;
        // Numbers go on behind the snapshot's too: the log's end may be damaged, or gone.
        replayed.last_lsn = replayed.last_lsn.max(restored.last_lsn);
        damaged.extend(replayed.damaged.iter().cloned());
        let mut series = 0;
        let mut heads = BTreeMap::new();
        for (name, mut tenant) in tenants {
            if tenant.lost_samples > 0 {
                damaged.push(format!(
                    "{} samples of tenant {name} belong to series that no record names",
                    tenant.lost_samples
                ));
            }
            let state = &mut tenant.head.lock_mut().state;
            series += state.series.len() as u64;
            state.find_uncut();
            damaged
                .extend(state.files.damaged().map(|path| format!("{} is damaged or gone", path.display())));
            heads.insert(name, Arc::new(tenant.head));
        }
        Ok(Recovered { tenants: heads, log: replayed, damaged, series })
    }

    fn open(&self, name: &Tenant) -> Result<Returning> {
        let head = TenantHead::open(
            name.clone(),
            &self.fs,
            &self.random,
            &self.blocks_dir,
            &self.hub_dir,
            self.ranges,
        )?;
        Ok(Returning {
            head,
            done: Vec::new(),
            known_below: 0,
            cuts_done: 0,
            renamed: HashMap::new(),
            bare: BTreeSet::new(),
            files: Some(FileLengths::new()),
            lost_samples: 0,
            next_slot: 0,
        })
    }

    /// Brings back what the newest snapshot has.
    fn restore(&self, tenants: &mut Tenants) -> Result<Restored> {
        let mut restoring =
            Restoring { recovery: self, tenants, names: BTreeMap::new(), ended: Vec::new(), last_lsn: 0 };
        let give = |tenant, item| restoring.take(tenant, item);
        let found = snapshot::restore(&*self.fs, &self.hub_dir, self.hasher, give)?;
        restoring.finish(found.damaged)
    }
}

pub(crate) fn wal_dir(hub_dir: &Path) -> PathBuf {
    hub_dir.join("wal")
}

impl Returning {
    /// Does what a body says. Floats are stored a few at a time, so that their series wait for memory together.
    fn body(&mut self, lsn: Lsn, body: Body<'_>, hasher: &KeyHasher) -> Result<()> {
        let files = &mut self.head.lock_mut().state.files;
        if files.waiting_bytes() > MAX_WAITING_CHUNK_BYTES {
            // On a full disk they wait in memory; the log still has them.
            let _ = files.write();
        }
        let mut floats = Vec::with_capacity(AHEAD);
        for entry in body {
            let Ok(entry) = entry else {
                // What stands before the damage counts.
                self.floats(lsn, &mut floats)?;
                return entry.map(drop);
            };
            match entry {
                Entry::Float { id, t_ms, v } => {
                    floats.push((self.slot(id), id, t_ms, v));
                    if floats.len() == AHEAD {
                        self.floats(lsn, &mut floats)?;
                    }
                }
                other => self.apply(lsn, other, hasher)?,
            }
        }
        self.floats(lsn, &mut floats)
    }

    fn floats(&mut self, lsn: Lsn, floats: &mut Vec<(Option<usize>, u64, i64, f64)>) -> Result<()> {
        let series = &self.head.lock_mut().state.series;
        for slot in floats.iter().filter_map(|(slot, ..)| *slot) {
            std::hint::black_box(series[slot].open.touch());
        }
        floats.drain(..).try_for_each(|(slot, id, t_ms, v)| {
            self.sample(lsn, (slot, id), Stamp::at(t_ms), Value::Float(v))
        })
    }

    fn apply(&mut self, lsn: Lsn, entry: Entry<'_>, hasher: &KeyHasher) -> Result<()> {
        match entry {
            Entry::Series { id, labels } => self.series(id, labels, hasher),
            Entry::Float { id, t_ms, v } => {
                let slot = self.slot(id);
                self.sample(lsn, (slot, id), Stamp::at(t_ms), Value::Float(v))
            }
            Entry::Sample { id, at, value } => {
                let slot = self.slot(id);
                self.sample(lsn, (slot, id), at, value)
            }
            Entry::CutBegun(_) | Entry::CutEnded { .. } if lsn <= self.cuts_done => Ok(()),
            Entry::CutBegun(cut) => {
                let done = &self.done;
                let state = &mut self.head.lock_mut().state;
                state.begin_cut(cut, |slot| done.get(slot).is_some_and(|&d| d >= lsn));
                Ok(())
            }
            Entry::CutEnded { cut, block } => self.cut_ended(cut, block),
            Entry::Exemplar { id, exemplar } => {
                if let Some(slot) = self.slot(id) {
                    let state = &mut self.head.lock_mut().state;
                    let labels = state.index.labels(slot as u32);
                    state.extras.exemplars.add(&labels, exemplar);
                }
                Ok(())
            }
            Entry::Metadata { family, metadata } => {
                self.head.lock_mut().state.extras.set_metadata(&family, metadata);
                Ok(())
            }
        }
    }

    fn slot(&mut self, id: u64) -> Option<usize> {
        let id = match self.renamed.is_empty() {
            true => id,
            false => self.renamed.get(&id).copied().unwrap_or(id),
        };
        // Mostly the series behind the one before.
        let slot = self.head.lock_mut().state.slot_of(id, self.next_slot)?;
        self.next_slot = slot + 1;
        Some(slot)
    }

    fn series(&mut self, id: u64, labels: EncodedLabels<'_>, hasher: &KeyHasher) -> Result<()> {
        if id < self.known_below || self.slot(id).is_some() {
            return Ok(());
        }
        let labels = &labels.read()?;
        let key = hasher.key_of(labels);
        let state = &mut self.head.lock_mut().state;
        if let Some(slot) = state.keys.own(key) {
            self.renamed.insert(id, state.series[slot as usize].id);
            state.next_id = state.next_id.max(id + 1);
            return Ok(());
        }
        if state.series.last().is_some_and(|s| s.id > id) {
            return Err(Error::invalid(format!("series {id} comes after a later one")));
        }
        state.add_stored(key, labels, id).map(drop)
    }

    fn sample(&mut self, lsn: Lsn, of: (Option<usize>, u64), at: Stamp, value: Value) -> Result<()> {
        let (Some(slot), _) = of else {
            self.lost_samples += u64::from(of.1 >= self.known_below);
            return Ok(());
        };
        let done = self.done.get(slot).is_some_and(|&d| d >= lsn);
        let state: &mut State = &mut self.head.lock_mut().state;
        state.newest_ms = state.newest_ms.max(at.t_ms);
        if done {
            return Ok(());
        }
        let last = state.series[slot].open.last_ms();
        if at.t_ms >= state.cut_through_ms && last.is_none_or(|last| last < at.t_ms) {
            state.append(slot, at, &value);
            return Ok(());
        }
        match state.find(slot, at.t_ms) {
            Ok(Some(_)) => {}
            Err(e) if e.is_passing() => return Err(e),
            // Where what is there is damaged, the log may just have what is missing.
            Ok(None) | Err(_) => state.put_late(slot, at, value),
        }
        Ok(())
    }

    /// Closed chunks say whose they are: those of bare series are found by reading them all. They are taken
    /// for late ones, whose places are listed one by one.
    fn find_chunks_of_bare(&mut self) -> Result<()> {
        let bare = std::mem::take(&mut self.bare);
        if bare.is_empty() {
            return Ok(());
        }
        let state = &mut self.head.lock_mut().state;
        for (id, range, pos) in state.files.of_series(|id| bare.contains(&id))? {
            if let Some(slot) = state.slot_of(id, 0) {
                let late = state.series[slot].late.get_or_insert_default();
                late.sealed.push(Sealed { range, pos, cut: 0 });
            }
        }
        Ok(())
    }

    fn cut_ended(&mut self, cut: Cut, block: Option<&[u8; 16]>) -> Result<()> {
        let inner = self.head.lock_mut();
        let ulid = block.map(|bytes| Ulid::from_bytes(*bytes));
        match ulid {
            // It was never made visible: the samples are still here.
            Some(ulid) if !inner.blocks.iter().any(|b| b.meta().ulid == ulid) => {
                inner.state.abandon_cut(cut);
                Ok(())
            }
            _ => inner.state.drop_cut(cut),
        }
    }
}
