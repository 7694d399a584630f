//! One new block: its sources come here, it is made, checked, and goes to the bucket.

use super::compactor::Compactor;
use super::status::Running;
use super::stock::Stock;
use crate::{Compaction, DownsampleJob, Progress, compact, downsample};
use nilometer_block::{Block, BlockDir};
use nilometer_bucket::ShipOptions;
use nilometer_env::Fs;
use nilometer_model::{BlockMeta, Error, Result, Ulid};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Tells a thread that nobody waits for what it does.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// A folder that goes when nobody uses it any more.
pub(crate) struct Scratch {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) dir: PathBuf,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(e) = self.fs.remove_dir_all(&self.dir) {
            tracing::warn!(dir = %self.dir.display(), error = %e, "a working folder is left over; the next start removes it");
        }
    }
}

type Make = dyn FnOnce(&Arc<dyn Fs>, &Path, &[Block], &mut dyn FnMut(Progress) -> Result<()>) -> Result<Option<BlockMeta>>
    + Send;

impl Compactor {
    /// Blocks become one, and are marked for deletion when it is there.
    pub(crate) async fn merge(
        &self,
        stock: &mut Stock,
        blocks: &[Ulid],
        compaction: Compaction,
    ) -> Result<()> {
        let reason = match &self
            .make(
                stock,
                "compaction",
                blocks,
                compaction.ulid,
                Box::new(move |fs, dir, blocks, progress| {
                    let made = compact(fs, dir, blocks, &compaction, progress)?;
                    check(blocks, made.as_ref())?;
                    Ok(made)
                }),
            )
            .await?
        {
            Some(made) => format!("source of compacted block {made}"),
            None => "nothing of it is left".to_owned(),
        };
        for block in blocks {
            self.mark_for_deletion(stock, *block, &reason, "compacted").await?;
        }
        Ok(())
    }

    pub(crate) async fn thin_out(&self, stock: &mut Stock, job: DownsampleJob) -> Result<()> {
        let ulid = self.new_ulid();
        let to_ms = job.resolution_ms;
        let make: Box<Make> = Box::new(move |fs, dir, blocks, progress| match blocks {
            [block] => downsample(fs, dir, block, ulid, to_ms, progress),
            _ => Err(Error::invalid("one block at a time is downsampled")),
        });
        if self.make(stock, "downsampling", &[job.ulid], ulid, make).await?.is_none() {
            // Stale markers alone, say: it must not be tried again and again, and retention must not wait for it.
            self.mark_no_downsample(stock, job.ulid, "there is nothing in it to thin out").await?;
        }
        Ok(())
    }

    async fn make(
        &self,
        stock: &mut Stock,
        what: &'static str,
        blocks: &[Ulid],
        ulid: Ulid,
        make: Box<Make>,
    ) -> Result<Option<Ulid>> {
        let fs = self.parts.fs.clone();
        let scratch = Arc::new(Scratch { fs: fs.clone(), dir: self.work_dir().join(ulid.to_string()) });
        let bytes = blocks.iter().map(|b| stock.bytes(*b)).sum();
        let labels = blocks.first().and_then(|b| stock.get(*b)).and_then(|l| l.meta.thanos.as_ref());
        let labels = labels.map(|t| t.labels.clone()).unwrap_or_default();
        let since_ms = self.parts.clock.wall_ms();
        let blocks = blocks.to_vec();
        let running =
            Running { what, labels, blocks: blocks.clone(), bytes, since_ms, series: 0, series_total: 0 };
        let _running = self.status.run(running);
        tracing::debug!(block = %ulid, from = blocks.len(), bytes_in = bytes, "{what} begins");
        let sources = scratch.dir.join("sources");
        for block in &blocks {
            let listed = stock.get(*block);
            let listed = listed.ok_or_else(|| Error::not_found(format!("block {block} is gone")))?;
            let dir = sources.join(block.to_string());
            let fetched = self.bucket().download_block(*block, &listed.objects, &dir).await;
            fetched.map_err(|e| e.context(format!("fetching block {block}")))?;
        }
        let made = self.on_a_thread(scratch.clone(), sources, blocks.clone(), make).await?;
        let Some(meta) = made else { return Ok(None) };
        let dir = scratch.dir.join("made").join(ulid.to_string());
        self.made.lock().insert(ulid);
        let options = ShipOptions { hash_files: self.options.hash_files, ..ShipOptions::default() };
        let shipped = self.bucket().ship_if(&dir, &meta, options, || self.check_lease()).await?;
        let out = shipped.meta.thanos.iter().flat_map(|t| &t.files).map(|f| f.size_bytes).sum::<u64>();
        let took_ms = self.parts.clock.wall_ms().saturating_sub(since_ms);
        self.status.done(bytes, took_ms);
        tracing::info!(
            block = %ulid, from = blocks.len(), bytes_in = bytes, bytes_out = out, took_ms,
            level = shipped.meta.compaction.level, resolution_ms = shipped.meta.resolution_ms(), "{what} done"
        );
        stock.add(shipped.meta);
        Ok(Some(ulid))
    }

    async fn on_a_thread(
        &self,
        scratch: Arc<Scratch>,
        sources: PathBuf,
        blocks: Vec<Ulid>,
        make: Box<Make>,
    ) -> Result<Option<BlockMeta>> {
        let stop = StopOnDrop(Arc::default());
        let (stopped, status, fs) = (stop.0.clone(), self.status.clone(), self.parts.fs.clone());
        let worked = tokio::task::spawn_blocking(move || {
            // It must not go while this thread writes to it.
            let scratch = scratch;
            let made = scratch.dir.join("made");
            fs.create_scratch_dir_all(&made)
                .map_err(|e| Error::io(format!("creating {}", made.display()), e))?;
            let dir = BlockDir::new(fs.clone(), &sources);
            let open = |block: &Ulid| dir.open(*block);
            let blocks: Vec<Block> = blocks.iter().map(open).collect::<Result<_>>()?;
            make(&fs, &made, &blocks, &mut |progress| {
                status.progress(progress);
                if stopped.load(Relaxed) {
                    Err(Error::canceled("nobody waits for this block any more"))
                } else {
                    Ok(())
                }
            })
        });
        worked.await.map_err(|e| Error::canceled(format!("the work was stopped: {e}")))?
    }
}

/// A last look before the sources are given up: no sample may be missing.
fn check(blocks: &[Block], made: Option<&BlockMeta>) -> Result<()> {
    let count = |meta: &BlockMeta| meta.stats.num_samples;
    let (before, after) = (blocks.iter().map(|b| count(b.meta())).sum::<u64>(), made.map_or(0, count));
    let mut ranges: Vec<_> = blocks.iter().map(|b| b.meta().range()).collect();
    ranges.sort_by_key(|range| range.min_ms);
    let overlap = ranges.windows(2).any(|pair| pair[0].max_ms >= pair[1].min_ms);
    let deleted = blocks.iter().any(|b| b.tombstones().is_ok_and(|t| !t.is_empty()));
    // Blocks of old programs do not say how many samples they have.
    let is_told = blocks.iter().all(|b| count(b.meta()) > 0);
    if !is_told || (overlap || deleted) && after <= before || after == before {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the blocks have {before} samples, and what was made of them {after}: they stay as they are; look at them \
         with `nilometer tools bucket verify`"
    )))
}
