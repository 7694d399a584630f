//! From the bodies of a snapshot to tenants.

use super::{Recovery, Returning, Tenants};
use crate::index::KeyHasher;
use crate::log::Lsn;
use crate::snapshot::{Item, Names, SeriesItem};
use crate::state::Cut;
use nilometer_model::{Error, Result, Tenant};
use std::collections::BTreeMap;

/// What a snapshot gave besides the tenants.
pub(super) struct Restored {
    pub(super) damaged: Vec<String>,
    /// The highest number of the log that it knows of.
    pub(super) last_lsn: Lsn,
}

/// A snapshot while it is read.
pub(super) struct Restoring<'a> {
    pub(super) recovery: &'a Recovery<'a>,
    pub(super) tenants: &'a mut Tenants,
    /// The tenants of the snapshot by their numbers there.
    pub(super) names: BTreeMap<u64, Tenant>,
    pub(super) ended: Vec<(Tenant, Cut)>,
    /// The tenant whose bodies are being read.
    pub(super) at: u64,
    /// The batch of its series that is being read.
    pub(super) batch: Batch,
    pub(super) last_lsn: Lsn,
}

/// Series and their names, which stand before and behind them.
#[derive(Default)]
pub(super) struct Batch {
    names: Option<Names>,
    series: Vec<SeriesItem>,
}

impl Restoring<'_> {
    pub(super) fn take(&mut self, ordinal: u64, item: Item) -> Result<()> {
        let item = match item {
            Item::Tenant(_) if self.names.contains_key(&ordinal) => return Ok(()),
            Item::Tenant(item) => {
                self.last_lsn = self.last_lsn.max(item.lsn);
                let name = item.name.clone();
                let mut tenant = match self.tenants.remove(&name) {
                    Some(tenant) => tenant,
                    None => self.recovery.open(&name)?,
                };
                tenant.cuts_done = item.lsn;
                let state = &mut tenant.head.lock_mut().state;
                self.ended.extend(item.put_into(state).into_iter().map(|ended| (name.clone(), ended)));
                tenant.known_below = state.next_id;
                tenant.files = None;
                self.tenants.insert(name.clone(), tenant);
                self.names.insert(ordinal, name);
                return Ok(());
            }
            item => item,
        };
        let mut added = Ok(());
        if self.at != ordinal || matches!(item, Item::Names(_)) {
            added = self.add_batch();
            self.at = ordinal;
        }
        if let Item::Series(series) = item {
            self.last_lsn = self.last_lsn.max(series.lsn);
            self.batch.series.push(*series);
            return added;
        }
        let name = self.names.get(&ordinal);
        let tenant = name.and_then(|name| self.tenants.get_mut(name));
        let tenant =
            tenant.ok_or_else(|| Error::invalid("it belongs to a tenant whose own record is damaged"))?;
        let extras = &mut tenant.head.lock_mut().state.extras;
        match item {
            Item::Names(names) => self.batch.names = Some(names),
            Item::NamesAgain(names) => {
                self.batch.names.get_or_insert(names);
                return added.and(self.add_batch());
            }
            Item::Files(lengths) => tenant.files = Some(lengths),
            Item::Exemplar(labels, exemplar) => {
                extras.exemplars.add(&labels, exemplar);
            }
            Item::Metadata(family, metadata) => {
                extras.set_metadata(&family, metadata);
            }
            Item::Tenant(_) | Item::Series(_) => {}
        }
        added
    }

    /// Adds the series that were named: what else is said of them, or, where that is damaged, with nothing but
    /// their labels.
    fn add_batch(&mut self) -> Result<()> {
        let Batch { names, series } = std::mem::take(&mut self.batch);
        let name = self.names.get(&self.at);
        let Some(tenant) = name.and_then(|name| self.tenants.get_mut(name)) else { return Ok(()) };
        match names {
            Some(names) => tenant.add_batch(&names, series, self.recovery.hasher),
            None => nameless(series.len()),
        }
    }

    /// Brings chunks and cuts in line with what was read. Where anything was damaged, nothing is removed.
    pub(super) fn finish(mut self, mut damaged: Vec<String>) -> Result<Restored> {
        damaged.extend(self.add_batch().err().map(|e| e.to_string()));
        let whole = damaged.is_empty();
        for tenant in self.tenants.values_mut() {
            if let Some(lengths) = tenant.files.take() {
                let files = &mut tenant.head.lock_mut().state.files;
                files.keep_only(&lengths, whole)?;
            }
            tenant.find_chunks_of_bare()?;
        }
        for (name, ended) in self.ended {
            if let Some(tenant) = self.tenants.get_mut(&name) {
                tenant.head.lock_mut().state.drop_cut(ended)?;
            }
        }
        Ok(Restored { damaged, last_lsn: self.last_lsn })
    }
}

impl Returning {
    /// Adds what can be added; an error says what cannot.
    fn add_batch(&mut self, names: &Names, series: Vec<SeriesItem>, hasher: &KeyHasher) -> Result<()> {
        let state = &mut self.head.lock_mut().state;
        let labels = names.series().map(|(_, pairs)| pairs.len()).sum();
        let Some(symbols) = state.index.intern_all(&names.texts, labels) else {
            return Err(Error::invalid(format!(
                "there is no room for the labels of {} series",
                series.len()
            )));
        };
        let (mut series, mut lost, mut failed) = (series.into_iter().peekable(), 0, Ok(()));
        for (id, pairs) in names.series() {
            while series.next_if(|s| s.id < id).is_some() {
                lost += 1;
            }
            let item = series.next_if(|s| s.id == id);
            let key = hasher.key_of(names.labels(pairs));
            if state.series.last().is_some_and(|last| last.id >= id) || state.keys.own(key).is_some() {
                continue;
            }
            let pairs: Vec<(u32, u32)> =
                pairs.iter().map(|(n, v)| (symbols[*n as usize], symbols[*v as usize])).collect();
            let slot = state.add_pairs(key, &pairs, id);
            let lsn = item.and_then(|item| {
                let lsn = item.lsn;
                let put = item.put_into(state, slot).map(|()| lsn);
                put.map_err(|e| failed = Err(e.context(format!("series {id}")))).ok()
            });
            self.done.push(lsn.unwrap_or_default());
            if lsn.is_none() {
                self.bare.insert(id);
            }
        }
        failed.and(nameless(lost + series.count()))
    }
}

fn nameless(count: usize) -> Result<()> {
    match count {
        0 => Ok(()),
        _ => Err(Error::invalid(format!("the labels of {count} series are damaged"))),
    }
}
