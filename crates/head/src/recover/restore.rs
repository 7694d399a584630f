//! From the bodies of a snapshot to tenants.

use super::{Recovery, Returning, Tenants};
use crate::log::Lsn;
use crate::snapshot::Item;
use crate::state::Cut;
use nilometer_model::{Error, Labels, Result, Tenant};
use std::collections::{BTreeMap, VecDeque};

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
    /// Its series that were named and did not come yet.
    pub(super) named: VecDeque<(u64, Labels)>,
    pub(super) last_lsn: Lsn,
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
        if self.at != ordinal {
            self.add_bare(u64::MAX);
            self.at = ordinal;
        }
        // Series come in the order in which they were named; who is passed over is damaged.
        if let Item::Series(series) = &item {
            self.add_bare(series.id);
        }
        let recovery = self.recovery;
        let name = self.names.get(&ordinal);
        let tenant = name.and_then(|name| self.tenants.get_mut(name));
        let tenant =
            tenant.ok_or_else(|| Error::invalid("it belongs to a tenant whose own record is damaged"))?;
        let state = &mut tenant.head.lock_mut().state;
        match item {
            Item::Series(series) => {
                let (id, lsn) = (series.id, series.lsn);
                series.put_into(state, recovery.hasher)?;
                self.named.pop_front_if(|(named, _)| *named == id);
                tenant.done.push(lsn);
                self.last_lsn = self.last_lsn.max(lsn);
            }
            Item::Files(lengths) => tenant.files = Some(lengths),
            Item::Labels(labels) => self.named = labels.into(),
            Item::Exemplar(labels, exemplar) => {
                state.extras.exemplars.add(&labels, exemplar);
            }
            Item::Metadata(family, metadata) => {
                state.extras.set_metadata(&family, metadata);
            }
            Item::Tenant(_) => {}
        }
        Ok(())
    }

    /// Adds the named series with ids below `reached`, of which nothing but their labels could be read.
    fn add_bare(&mut self, reached: u64) {
        let name = self.names.get(&self.at);
        let Some(tenant) = name.and_then(|name| self.tenants.get_mut(name)) else {
            self.named.clear();
            return;
        };
        while let Some((id, labels)) = self.named.pop_front_if(|(id, _)| *id < reached) {
            tenant.add_bare(id, &labels, self.recovery.hasher);
        }
    }

    /// Brings chunks and cuts in line with what was read. Where anything was damaged, nothing is removed.
    pub(super) fn finish(mut self, damaged: Vec<String>) -> Result<Restored> {
        self.add_bare(u64::MAX);
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
    fn add_bare(&mut self, id: u64, labels: &Labels, hasher: &crate::index::KeyHasher) {
        let state = &mut self.head.lock_mut().state;
        if state.series.last().is_some_and(|last| last.id >= id) {
            return;
        }
        if state.add_stored(hasher.key_of(labels), labels, id).is_err() {
            return;
        }
        self.done.push(0);
        self.bare.insert(id);
    }
}
