//! `verify --repair`: a block is replaced by a better one, or goes because another has all of it.
//!
//! What goes is first in the backup bucket, and in the log of deletions.

use super::{Bench, Scratch, verify};
use crate::history::BucketAt;
use anyhow::{Context, Result, anyhow, bail};
use nilometer_block::{Block, BlockDir};
use nilometer_bucket::{Bucket, Inventory, Listed, ShipOptions};
use nilometer_compact::lifecycle::{Action, Decision};
use nilometer_compact::{Changes, DeletionLog, plan_rewrite};
use nilometer_model::{BlockMeta, Ulid};
use std::path::Path;

pub(super) struct Repair<'a> {
    bench: &'a Bench,
    backup: Bucket,
    log: DeletionLog,
    delete_delay_ms: i64,
}

impl<'a> Repair<'a> {
    pub(super) fn open(bench: &'a Bench, backup: &BucketAt, delete_delay_ms: i64) -> Result<Self> {
        let backup = bench.other_bucket(backup).context("the backup bucket")?;
        Ok(Repair { bench, backup, log: bench.deletion_log()?, delete_delay_ms })
    }

    /// Each block on its own; an error if something is left that could not be mended.
    pub(super) async fn run(
        &self,
        inventory: &Inventory,
        suspects: &[Ulid],
        twins: &[(Ulid, Ulid)],
    ) -> Result<()> {
        let listed =
            |block: &Ulid| inventory.blocks.get(block).ok_or_else(|| anyhow!("block {block} is gone"));
        let mut left = inventory.broken.len();
        for (kept, twin) in twins {
            let done = match (listed(kept), listed(twin)) {
                (Ok(kept), Ok(twin)) => self.drop_twin(kept, twin).await,
                (Err(e), _) | (_, Err(e)) => Err(e),
            };
            left += self.say(*twin, done.map(|()| format!("gone: {kept} has all of it")));
        }
        let is_twin = |block: &&Ulid| twins.iter().any(|(_, twin)| twin == *block);
        for block in suspects.iter().filter(|block| !is_twin(block)) {
            let done = match listed(block) {
                Ok(listed) => self.replace(listed).await,
                Err(e) => Err(e),
            };
            left += self.say(*block, done.map(|new| format!("replaced by {new}")));
        }
        if left > 0 { bail!("{left} blocks could not be repaired, see above") } else { Ok(()) }
    }

    fn say(&self, block: Ulid, done: Result<String>) -> usize {
        match done {
            Ok(what) => self.bench.screen.say(&format!("{block}: {what}")),
            Err(e) => {
                self.bench.screen.say(&format!("{block}: not repaired: {e:#}"));
                return 1;
            }
        }
        0
    }

    async fn drop_twin(&self, kept: &Listed, twin: &Listed) -> Result<()> {
        let scratch = Scratch::new(self.bench, &std::env::temp_dir())?;
        let problems = {
            let block = self.fetch(kept, scratch.path()).await?;
            let dir = block.path().to_owned();
            verify::problems(block, true, &dir).await?
        };
        if let Some(problem) = problems.first() {
            bail!("{}, which would stay, is not in order: {problem}", kept.meta.ulid);
        }
        let block = self.fetch(twin, scratch.path()).await?;
        self.take_away(twin, &block, &format!("repair: {} has the same samples", kept.meta.ulid)).await
    }

    async fn replace(&self, listed: &Listed) -> Result<Ulid> {
        if listed.meta.resolution_ms() > 0 {
            bail!("it is downsampled: delete it, and downsample the raw block again");
        }
        let scratch = Scratch::new(self.bench, &std::env::temp_dir())?;
        let block = self.fetch(listed, scratch.path()).await?;
        let (made, ulid) = (scratch.path().join("made"), self.bench.new_ulid());
        self.bench.fs.create_dir_all(&made)?;
        let mut meta = BlockMeta { ulid, ..(*listed.meta).clone() };
        meta.thanos.get_or_insert_default().source = "bucket.repair".to_owned();
        let (source, fs, to) = (block.clone(), self.bench.fs.clone(), made.clone());
        let write = tokio::task::spawn_blocking(move || {
            let changes = Changes { drop_outside: true, ..Changes::default() };
            plan_rewrite(&source, &changes, &mut |_| Ok(()))?.write(&fs, &to, meta, &mut |_| Ok(()))
        });
        let Some(meta) = write.await.context("writing")?? else { bail!("nothing of it would be left") };
        let new = BlockDir::new(self.bench.fs.clone(), &made).open(ulid)?;
        let dir = made.join(ulid.to_string());
        if let Some(problem) = verify::problems(new, true, &dir).await?.first() {
            bail!("what was made of it is not in order either: {problem}");
        }
        self.bench.bucket.ship(&dir, &meta, ShipOptions::default()).await?;
        self.take_away(listed, &block, &format!("repair: replaced by {ulid}")).await?;
        Ok(ulid)
    }

    async fn fetch(&self, listed: &Listed, scratch: &Path) -> Result<Block> {
        let dir = scratch.join(listed.meta.ulid.to_string());
        self.bench.bucket.download_block(listed.meta.ulid, &listed.objects, &dir).await?;
        Ok(Block::with_meta(self.bench.fs.clone(), dir, listed.meta.clone()))
    }

    async fn take_away(&self, listed: &Listed, block: &Block, reason: &str) -> Result<()> {
        let options = ShipOptions { as_it_is: true, ..ShipOptions::default() };
        let copied = self.backup.ship(block.path(), &listed.meta, options).await;
        copied.context("copying it to the backup bucket")?;
        let ulid = listed.meta.ulid;
        if self.delete_delay_ms > 0 {
            return self.bench.mark_for_deletion(&self.log, ulid, Some(&listed.meta), reason).await.map(drop);
        }
        let decision = Decision { ulid, action: Action::Delete, reason: reason.to_owned() };
        self.log.write(&decision, Some(&listed.meta), self.bench.now_ms())?;
        self.bench.bucket.remove_block(ulid).await?;
        Ok(())
    }
}
