//! What is due in a round: compactions, one of each group at a time, and blocks that are to be thinned out.
//!
//! Whatever goes wrong with a group is that group's, and with a block that block's.

use super::compactor::Compactor;
use super::metrics::ByResolution;
use super::status::{LeftOut, Subject, Todo};
use super::stock::Stock;
use crate::group::labels_without;
use crate::{Compaction, DownsampleJob, Group, Plan, Why, downsampling, groups};
use nilometer_bucket::layout::INDEX;
use nilometer_model::{BlockMeta, Error, Kind, Result, TimeRange, Ulid};
use std::collections::{BTreeMap, BTreeSet};

impl Compactor {
    /// One compaction of each group that has one due; whether anything was done.
    pub(crate) async fn compact_groups(
        &self,
        stock: &mut Stock,
        failed: &mut BTreeSet<Subject>,
    ) -> Result<bool> {
        let now_ms = self.parts.clock.wall_ms();
        let of_group = |metas: &[&BlockMeta]| metas.iter().map(|m| m.ulid).collect::<Vec<_>>();
        let ids: Vec<(Subject, Vec<Ulid>)> = {
            let live = stock.live(&self.options.delays, now_ms);
            let all = groups(live, &self.options.replica_labels);
            all.into_iter()
                .map(|g| (Subject::group(g.resolution_ms, g.labels), of_group(&g.blocks)))
                .collect()
        };
        // What is gone needs no quarantine.
        self.quarantine.lock().retain(|blocks| blocks.iter().any(|block| stock.get(*block).is_some()));
        let mut any = false;
        for (id, blocks) in ids {
            if failed.contains(&id) || self.quarantine.lock().has(&id, &blocks, now_ms) {
                failed.insert(id);
                continue;
            }
            match self.compact_group(stock, &id, &blocks).await {
                Ok(done) => {
                    any |= done;
                    self.quarantine.lock().release(&id);
                }
                Err(e) if *e.kind() == Kind::Canceled => return Err(e),
                Err(e) => {
                    self.metrics
                        .compaction_failures
                        .get_or_create(&ByResolution { resolution: id.resolution_ms })
                        .inc();
                    self.leave_alone(id, blocks, &e, failed);
                }
            }
        }
        self.count_quarantined();
        Ok(any)
    }

    fn leave_alone(&self, what: Subject, blocks: Vec<Ulid>, e: &Error, failed: &mut BTreeSet<Subject>) {
        let (group, resolution_ms) = (&what.labels, what.resolution_ms);
        match what.block {
            None => {
                tracing::error!(%group, resolution_ms, error = %e, "this group of blocks is left alone for now; others go on");
            }
            Some(block) => {
                tracing::error!(%group, resolution_ms, %block, error = %e, "this block cannot be thinned out for now; others go on");
            }
        }
        failed.insert(what.clone());
        self.quarantine.lock().add(what, blocks, e, self.parts.clock.wall_ms());
    }

    pub(crate) fn count_quarantined(&self) {
        let quarantined = self.quarantine.lock().list().len();
        self.metrics.quarantined.set(quarantined as i64);
        self.metrics.halted.set(i64::from(quarantined > 0));
    }

    fn plan(&self, stock: &Stock, group: &Group<'_>) -> Result<Plan> {
        // That an index is missing is found out when its block is read.
        self.options.planner.plan(group, &stock.marks.no_compact, |meta| {
            Ok(stock.get(meta.ulid).and_then(|l| l.objects.get(INDEX)).copied().unwrap_or(0))
        })
    }

    async fn compact_group(&self, stock: &mut Stock, id: &Subject, blocks: &[Ulid]) -> Result<bool> {
        let plan = {
            let metas = blocks.iter().filter_map(|block| stock.get(*block)).map(|listed| &*listed.meta);
            self.plan(
                stock,
                &Group {
                    resolution_ms: id.resolution_ms,
                    labels: id.labels.clone(),
                    blocks: metas.collect(),
                },
            )?
        };
        for mark in &plan.marks {
            self.leave_out(stock, mark).await?;
        }
        if plan.blocks.is_empty() {
            return Ok(false);
        }
        let compaction =
            Compaction { ulid: self.new_ulid(), labels: id.labels.clone(), dedup: self.options.dedup };
        if let Err(e) = self.merge(stock, &plan.blocks, compaction).await {
            return self.leave_out_corrupt(stock, &plan.blocks, e).await.map(|()| true);
        }
        self.metrics.compactions.get_or_create(&ByResolution { resolution: id.resolution_ms }).inc();
        if plan.why == Why::Overlap {
            self.metrics.vertical.get_or_create(&ByResolution { resolution: id.resolution_ms }).inc();
        }
        Ok(true)
    }

    /// Of the time of blocks that are about to be merged some may be thinned out already, its samples still there or gone.
    /// Then the others are thinned out before it, too: else all of it would be once more, or aggregates around others,
    /// which could not be merged. And aggregates wait for all that belongs among them. While something cannot be thinned
    /// out, groups that wait for it are not compacted. Whether anything was.
    pub(crate) async fn thin_out_rest(
        &self,
        stock: &mut Stock,
        failed: &mut BTreeSet<Subject>,
    ) -> Result<bool> {
        let due = self.downsamplings(stock, &BTreeSet::new());
        let mut waiting: BTreeMap<Ulid, Vec<Subject>> = BTreeMap::new();
        let live = stock.live(&self.options.delays, self.parts.clock.wall_ms());
        let all = groups(live, &self.options.replica_labels);
        for group in &all {
            let Ok(plan) = self.plan(stock, group) else { continue };
            let planned = group.blocks.iter().filter(|m| plan.blocks.contains(&m.ulid)).map(|m| m.range());
            let both =
                |a: TimeRange, b: TimeRange| TimeRange::new(a.min_ms.min(b.min_ms), a.max_ms.max(b.max_ms));
            let Some(span) = planned.reduce(both) else { continue };
            if plan.why == Why::Overlap {
                continue;
            }
            let of_labels = |other: &&Group<'_>| other.labels == group.labels;
            let overlap = |other: &Group<'_>| {
                other.blocks.iter().filter(|m| m.range().overlaps(&span)).map(|m| m.ulid).collect::<Vec<_>>()
            };
            let (coarser, finer): (Vec<_>, Vec<_>) = all
                .iter()
                .filter(of_labels)
                .filter(|other| other.resolution_ms != group.resolution_ms)
                .partition(|other| other.resolution_ms > group.resolution_ms);
            let mut first: Vec<Ulid> = finer.into_iter().flat_map(overlap).collect();
            if coarser.into_iter().any(|other| !overlap(other).is_empty()) {
                first.extend(plan.blocks);
            }
            let id = Subject::group(group.resolution_ms, group.labels.clone());
            first.into_iter().for_each(|block| waiting.entry(block).or_default().push(id.clone()));
        }
        let mut any = false;
        for job in due {
            if let Some(ids) = waiting.remove(&job.ulid) {
                let is_done = self.try_to_thin_out(stock, job, failed).await?;
                any |= is_done;
                failed.extend(ids.into_iter().filter(|_| !is_done));
            }
        }
        Ok(any)
    }

    pub(crate) async fn thin_out_all(
        &self,
        stock: &mut Stock,
        held: &BTreeSet<Ulid>,
        failed: &mut BTreeSet<Subject>,
    ) -> Result<bool> {
        let mut any = false;
        for job in self.downsamplings(stock, held) {
            // Those of a group that could not be compacted are only due if they are as long as they will be: aggregates
            // of blocks that overlap cannot be merged any more.
            let is_stuck = stock.get(job.ulid).is_some_and(|listed| {
                let labels = labels_without(&listed.meta, &self.options.replica_labels);
                failed.contains(&Subject::group(listed.meta.resolution_ms(), labels))
            });
            if !is_stuck || !held.contains(&job.ulid) {
                any |= self.try_to_thin_out(stock, job, failed).await?;
            }
        }
        self.count_quarantined();
        Ok(any)
    }

    /// Whether anything was done. What goes wrong is the block's: its group is compacted all the same.
    async fn try_to_thin_out(
        &self,
        stock: &mut Stock,
        job: DownsampleJob,
        failed: &mut BTreeSet<Subject>,
    ) -> Result<bool> {
        let Some(meta) = stock.get(job.ulid).map(|listed| listed.meta.clone()) else { return Ok(false) };
        let labels = labels_without(&meta, &self.options.replica_labels);
        let what = Subject { block: Some(job.ulid), ..Subject::group(meta.resolution_ms(), labels) };
        let (block, now_ms) = (job.ulid, self.parts.clock.wall_ms());
        if failed.contains(&what) || self.quarantine.lock().has(&what, &[block], now_ms) {
            return Ok(false);
        }
        let by = ByResolution { resolution: job.resolution_ms };
        let e = match self.thin_out(stock, job).await {
            Ok(()) => {
                self.metrics.downsamples.get_or_create(&by).inc();
                return Ok(true);
            }
            Err(e) if *e.kind() == Kind::Canceled => return Err(e),
            Err(e) => e.context(format!("block {block}")),
        };
        self.metrics.downsample_failures.get_or_create(&by).inc();
        match self.leave_out_corrupt(stock, &[block], e).await {
            Ok(()) => Ok(true),
            Err(e) if *e.kind() == Kind::Canceled => Err(e),
            Err(e) => {
                self.leave_alone(what, vec![block], &e, failed);
                Ok(false)
            }
        }
    }

    fn downsamplings(&self, stock: &Stock, held: &BTreeSet<Ulid>) -> Vec<DownsampleJob> {
        if !(self.retention)().downsampling {
            return Vec::new();
        }
        let live = stock.live(&self.options.delays, self.parts.clock.wall_ms());
        // What is corrupt is there for who mends it.
        let left_out = self.left_out.lock();
        let is_corrupt = |block: Ulid| left_out.get(&block).is_some_and(LeftOut::is_corrupt);
        let can = |m: &&BlockMeta| m.stats.num_samples > 0 && !is_corrupt(m.ulid);
        downsampling(live.into_iter().filter(can).collect::<Vec<_>>(), &stock.marks.no_downsample, held)
    }

    pub(crate) fn tell_todo(&self, stock: &Stock, held: &BTreeSet<Ulid>) {
        let now_ms = self.parts.clock.wall_ms();
        let live = stock.live(&self.options.delays, now_ms);
        let mut todo = Todo { downsamples: self.downsamplings(stock, held).len() as u64, ..Todo::default() };
        for group in groups(live, &self.options.replica_labels) {
            let plan = self.options.planner.plan(&group, &stock.marks.no_compact, |_| Ok(0));
            if let Ok(plan) = plan.as_ref().map(|p| &p.blocks).map_err(drop)
                && !plan.is_empty()
            {
                todo.compactions += 1;
                todo.blocks += plan.len() as u64;
                todo.bytes += plan.iter().map(|b| stock.bytes(*b)).sum::<u64>();
            }
        }
        self.metrics.todo_compactions.set(todo.compactions as i64);
        self.metrics.todo_blocks.set(todo.blocks as i64);
        self.metrics.todo_bytes.set(todo.bytes as i64);
        self.metrics.todo_downsamples.set(todo.downsamples as i64);
        self.metrics.todo_deletions.set(held.len() as i64);
        self.status.todo(todo);
    }
}
