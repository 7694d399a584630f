//! From the bodies of a snapshot to tenants.

use super::{Recovery, Returning, Tenants};
use crate::log::Lsn;
use crate::snapshot::{Batch, Item, TenantItem};
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
    pub(super) last_lsn: Lsn,
}

impl Restoring<'_> {
    pub(super) fn take(&mut self, ordinal: u64, item: Item) -> Result<()> {
        if let Item::Tenant(item) = item {
            // It stands there twice.
            return if self.names.contains_key(&ordinal) { Ok(()) } else { self.tenant(ordinal, item) };
        }
        let name = self.names.get(&ordinal);
        let tenant = name.and_then(|name| self.tenants.get_mut(name));
        let tenant =
            tenant.ok_or_else(|| Error::invalid("it belongs to a tenant whose own record is damaged"))?;
        let extras = &mut tenant.head.lock_mut().state.extras;
        match item {
            Item::Series(batch) => {
                let newest = batch.series.iter().map(|series| series.lsn).max();
                self.last_lsn = self.last_lsn.max(newest.unwrap_or_default());
                return tenant.add_batch(batch);
            }
            Item::Files(lengths) => tenant.files = Some(lengths),
            Item::Exemplar(labels, exemplar) => {
                extras.exemplars.add(&labels, exemplar);
            }
            Item::Metadata(family, metadata) => {
                extras.set_metadata(&family, metadata);
            }
            Item::Tenant(_) => {}
        }
        Ok(())
    }

    fn tenant(&mut self, ordinal: u64, item: TenantItem) -> Result<()> {
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
        Ok(())
    }

    /// Brings chunks and cuts in line with what was read. Where anything was damaged, nothing is removed.
    pub(super) fn finish(self, damaged: Vec<String>) -> Result<Restored> {
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
    /// Adds the series that are named: with what else is said of them, or, where that is damaged, with nothing
    /// but their labels. An error says what is missing.
    fn add_batch(&mut self, batch: Batch) -> Result<()> {
        let Some(names) = batch.names else { return nameless(batch.series.len()) };
        let state = &mut self.head.lock_mut().state;
        let Some(pairs) = state.index.intern_all(names.texts(), &names.pairs, names.labels()) else {
            return Err(Error::invalid(format!(
                "there is no room for the labels of {} series",
                batch.series.len()
            )));
        };
        let (mut series, mut lost, mut failed) = (batch.series.into_iter().peekable(), 0, Ok(()));
        let mut row = Vec::new();
        for ((id, stored), key) in names.series().zip(batch.keys) {
            while series.next_if(|s| s.id < id).is_some() {
                lost += 1;
            }
            let item = series.next_if(|s| s.id == id);
            if state.series.last().is_some_and(|last| last.id >= id) || state.keys.own(key).is_some() {
                continue;
            }
            row.clear();
            row.extend(stored.iter().map(|pair| pairs[*pair as usize]));
            let slot = state.add_row(key, &row, id);
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
