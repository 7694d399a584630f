//! From the bodies of a snapshot to tenants.

use super::{Recovery, Returning, Tenants};
use crate::log::Lsn;
use crate::series::Series;
use crate::snapshot::{Batch, Item, Stored, TenantItem};
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
                let newest = batch.series.iter().map(|stored| stored.lsn).max();
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
        // All at once, so that they wait for memory together.
        for key in &batch.keys {
            std::hint::black_box(state.keys.own(*key));
        }
        let (mut stored, mut lost, mut row) = (batch.series.into_iter().peekable(), 0, Vec::new());
        for ((id, numbers), key) in names.series().zip(batch.keys) {
            while stored.next_if(|s| s.series.id < id).is_some() {
                lost += 1;
            }
            let stored = stored.next_if(|s| s.series.id == id);
            if state.series.last().is_some_and(|last| last.id >= id) || state.keys.own(key).is_some() {
                continue;
            }
            if stored.is_none() {
                self.bare.insert(id);
            }
            let Stored { lsn, series } = stored.unwrap_or_else(|| Stored { lsn: 0, series: Series::new(id) });
            row.clear();
            row.extend(numbers.iter().map(|pair| pairs[*pair as usize]));
            state.add_row(key, &row, series);
            self.done.push(lsn);
        }
        nameless(lost + stored.count())
    }
}

fn nameless(count: usize) -> Result<()> {
    match count {
        0 => Ok(()),
        _ => Err(Error::invalid(format!("the labels of {count} series are damaged"))),
    }
}
