//! Keeping house: cutting what is due, letting go of what is cut, retention, snapshots, and watching the disk.

use crate::head::Head;
use crate::snapshot;
use crate::tenant::TenantHead;
use nilometer_block::Block;
use nilometer_model::{Result, Tenant, Ulid};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Only one at a time keeps house.
#[derive(Default)]
pub(crate) struct Upkeep {
    snapshot_at_bytes: u64,
    /// When files of blocks were last closed.
    closed: Duration,
}

/// Files of blocks that nobody reads are closed this often.
const CLOSE_EVERY: Duration = Duration::from_secs(15);

impl Head {
    /// Keeps house: called about every second. Cuts what is due, lets go of what is cut, deletes what is past
    /// retention, writes a snapshot when the log has grown.
    pub fn maintain(&self) {
        let mut upkeep = self.upkeep.lock();
        self.watch_free_space();
        for tenant in self.all() {
            if let Err(e) = self.maintain_tenant(&tenant) {
                self.metrics.cut_failures.inc();
                tracing::error!(tenant = %tenant.name, error = %e, "cutting failed and will be tried again");
            }
        }
        let now = self.env.clock.monotonic();
        if now.saturating_sub(upkeep.closed) >= CLOSE_EVERY {
            upkeep.closed = now;
            for tenant in self.all() {
                tenant.lock().blocks.iter().for_each(Block::close_if_unused);
            }
        }
        if self.logged_bytes.load(Ordering::Relaxed)
            >= upkeep.snapshot_at_bytes.max(self.options.snapshot_after_bytes)
        {
            self.snapshot_with(&mut upkeep);
        }
    }

    fn maintain_tenant(&self, tenant: &Arc<TenantHead>) -> Result<()> {
        tenant.lock().check_sound(&tenant.name)?;
        // First, since a full disk stops cuts and this may mend it. Where it fails, cuts go on all the same.
        let retained = self.retain(tenant);
        if tenant.lock().drop_ended()? {
            tenant.lock().state.forget_spent();
        }
        for start_ms in self.due(tenant) {
            self.cut(tenant, start_ms)?;
            self.metrics.cuts.inc();
        }
        retained
    }

    /// The ranges of a tenant that are to be cut now, oldest first.
    fn due(&self, tenant: &TenantHead) -> Vec<i64> {
        let inner = tenant.lock();
        if self.env.clock.monotonic() < inner.no_cut_before {
            return Vec::new();
        }
        let idle_ms = (self.env.clock.monotonic().saturating_sub(inner.last_write)).as_millis() as i64;
        let state = &inner.state;
        // An ordinary cut waits half a range longer, so that what comes a little late is in it.
        let due = |start: i64| {
            idle_ms >= self.options.idle_ms
                || state.newest_ms >= state.ranges.end(start) + state.ranges.width_ms / 2
        };
        let is_late = |start: i64| {
            state.ranges.end(start) <= state.cut_through_ms && !state.cuts.interrupted.contains(&start)
        };
        let in_order: Vec<i64> = state.uncut.iter().copied().filter(|&s| !is_late(s) && due(s)).collect();
        // Late samples of cut ranges leave with the next ordinary cut.
        if in_order.is_empty() && idle_ms < self.options.idle_ms {
            return in_order;
        }
        let late = state.uncut.iter().copied().filter(|&start| is_late(start));
        late.chain(in_order).collect()
    }

    /// Cuts everything of all tenants, so that nothing is left in memory: going away from this program, or a
    /// snapshot in the sense of Prometheus' admin API.
    pub fn cut_everything(&self) -> Result<()> {
        let _upkeep = self.upkeep.lock();
        for tenant in self.all() {
            // Who goes on sending must not keep this going on.
            let starts: Vec<i64> = {
                let inner = tenant.lock();
                inner.check_sound(&tenant.name)?;
                inner.state.uncut.iter().copied().collect()
            };
            for start_ms in starts {
                self.cut(&tenant, start_ms)?;
            }
            let mut inner = tenant.lock();
            inner.drop_ended()?;
            inner.state.forget_spent();
        }
        Ok(())
    }

    /// Whether everything is in blocks.
    pub fn is_flushed(&self) -> bool {
        self.all().iter().all(|tenant| tenant.lock().state.uncut.is_empty())
    }

    /// Writes a snapshot now and drops the log before it.
    pub fn snapshot(&self) {
        self.snapshot_with(&mut self.upkeep.lock());
    }

    fn snapshot_with(&self, upkeep: &mut Upkeep) {
        let before = self.logged_bytes.load(Ordering::Relaxed);
        // First the number, then the tenants: whatever is logged up to it is in the memory of one of them.
        self.log.end_segment();
        let lsn = self.log.last();
        let written =
            snapshot::write(&*self.env.fs, &*self.env.random, &self.hub_dir(), &self.log, &self.all());
        match written.and_then(|bytes| self.log.drop_through(lsn).map(|()| bytes)) {
            Ok(bytes) => {
                self.metrics.snapshots.inc();
                self.logged_bytes.fetch_sub(before, Ordering::Relaxed);
                // A start reads the snapshot and the log behind it, and a byte of log takes it three times as long:
                // four times as much snapshot as log is written for a start that is short.
                upkeep.snapshot_at_bytes = bytes / 4;
            }
            Err(e) => {
                self.metrics.snapshot_failures.inc();
                tracing::error!(error = %e, "a snapshot could not be written; the log is kept instead");
                upkeep.snapshot_at_bytes = before + self.options.snapshot_after_bytes;
            }
        }
    }

    pub(crate) fn watch_free_space(&self) {
        let Ok(free) = self.env.fs.available_bytes(&self.options.dir) else { return };
        let full = free < self.options.reserve_bytes;
        if full != self.read_only.swap(full, Ordering::Relaxed) {
            if full {
                tracing::error!(
                    free_mib = free >> 20,
                    "the disk is nearly full: writes are refused until space is free"
                );
            } else {
                tracing::info!(free_mib = free >> 20, "there is space again: writes are taken");
            }
        }
        self.metrics.read_only.set(i64::from(full));
    }

    /// Deletes the local blocks that ended before the retention, counted from the tenant's newest sample.
    fn retain(&self, tenant: &TenantHead) -> Result<()> {
        if self.options.keep_expired {
            return Ok(());
        }
        self.delete(tenant, &self.expired_of(tenant))
    }

    fn expired_of(&self, tenant: &TenantHead) -> Vec<Ulid> {
        if self.options.retention_ms == 0 {
            return Vec::new();
        }
        let inner = tenant.lock();
        let newest = inner.blocks.iter().map(|b| b.meta().max_time_ms).max().unwrap_or(i64::MIN);
        let oldest = newest.max(inner.state.newest_ms).saturating_sub(self.options.retention_ms);
        let expired = inner.blocks.iter().map(Block::meta).filter(|meta| meta.max_time_ms <= oldest);
        expired.map(|meta| meta.ulid).collect()
    }

    /// The local blocks of a tenant that ended before the retention.
    pub fn expired(&self, tenant: &Tenant) -> Vec<Ulid> {
        self.find(tenant).map(|tenant| self.expired_of(&tenant)).unwrap_or_default()
    }

    /// Deletes local blocks that are past the retention.
    pub fn delete_expired(&self, tenant: &Tenant, blocks: &[Ulid]) -> Result<()> {
        self.find(tenant).map_or(Ok(()), |tenant| self.delete(&tenant, blocks))
    }

    fn delete(&self, tenant: &TenantHead, blocks: &[Ulid]) -> Result<()> {
        let mut inner = tenant.lock();
        let (gone, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut inner.blocks).into_iter().partition(|b| blocks.contains(&b.meta().ulid));
        inner.blocks = kept;
        drop(inner);
        let mut failed = Ok(());
        for block in gone {
            let logged =
                crate::deletions::log(&self.env, &self.hub_dir(), &tenant.name, block.meta(), "retention");
            if let Err(e) = logged.and_then(|()| tenant.dir.delete(block.meta().ulid)) {
                failed = Err(e);
                tenant.lock().blocks.push(block);
            }
        }
        failed
    }
}
