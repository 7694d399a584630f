//! `nilometer tools`: what an operator does with a bucket by hand, one file a command.
//!
//! What is found goes to stdout, what is said about the way there to stderr. A command that found something wrong, or
//! could not do all that it was to, ends with an error.

mod compactor;
mod flags;
mod inspect;
mod ls;
mod mark;
mod repair;
mod replicate;
mod rewrite;
mod screen;
mod table;
mod upload_blocks;
mod verify;

pub(crate) use flags::ToolsFlags;

use crate::history::{BucketAt, open_bucket};
use crate::{log, threads};
use anyhow::{Context, Result, bail};
use flags::{BucketCommand, BucketFlags, SharedFlags};
use futures::TryStreamExt;
use nilometer_bucket::marks::DeletionMark;
use nilometer_bucket::{Bucket, Depth, Inventory, Listed, Lookout};
use nilometer_compact::DeletionLog;
use nilometer_compact::lifecycle::{Action, Decision};
use nilometer_env::{Clock, Fs, Random, RealFs, SystemClock, SystemRandom};
use nilometer_model::{BlockMeta, Ulid};
use prometheus_client::registry::Registry;
use screen::Screen;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What every command has at hand.
struct Bench {
    bucket: Bucket,
    fs: Arc<dyn Fs>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    screen: Screen,
    /// `--data-dir`
    data_dir: PathBuf,
}

pub(crate) fn run(ToolsFlags::Bucket(flags): &ToolsFlags) -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let screen = Screen::new(clock.clone());
    log::start_to(flags.shared.log_level, flags.shared.log_format, clock.clone(), screen.log_writer());
    let runtime = threads::storage().context("starting threads")?;
    let bench = Bench::open(&flags.shared, clock, screen)?;
    let ran = runtime.block_on(async {
        tokio::select! {
            ran = command(&bench, flags) => ran,
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("stopped before it was done")),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    ran
}

async fn command(bench: &Bench, flags: &BucketFlags) -> Result<()> {
    match &flags.command {
        BucketCommand::Ls(flags) => ls::run(bench, flags).await,
        BucketCommand::Inspect(flags) => inspect::run(bench, flags).await,
        BucketCommand::Mark(flags) => mark::run(bench, flags).await,
        BucketCommand::Verify(flags) => verify::run(bench, flags).await,
        BucketCommand::Replicate(flags) => replicate::run(bench, flags).await,
        BucketCommand::Rewrite(flags) => rewrite::run(bench, flags).await,
        BucketCommand::UploadBlocks(flags) => upload_blocks::run(bench, flags).await,
        BucketCommand::Downsample(flags) => compactor::downsample(bench, flags).await,
        BucketCommand::Cleanup(flags) => compactor::cleanup(bench, flags).await,
        BucketCommand::Retention(flags) => compactor::retention(bench, flags).await,
    }
}

impl Bench {
    fn open(flags: &SharedFlags, clock: Arc<dyn Clock>, screen: Screen) -> Result<Bench> {
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let outside = (clock.clone(), fs.clone(), random.clone());
        let bucket = open_bucket(&flags.bucket()?, &outside, &mut Registry::default())?;
        Ok(Bench { bucket, fs, clock, random, screen, data_dir: flags.data_dir.clone() })
    }

    /// Another bucket than that of `--objstore.config`.
    fn other_bucket(&self, at: &BucketAt) -> Result<Bucket> {
        let outside = (self.clock.clone(), self.fs.clone(), self.random.clone());
        open_bucket(at, &outside, &mut Registry::default())
    }

    fn now_ms(&self) -> i64 {
        self.clock.wall_ms()
    }

    fn new_ulid(&self) -> Ulid {
        let mut random = [0; 10];
        self.random.fill(&mut random);
        Ulid::new(self.now_ms().max(0) as u64, random)
    }

    /// All that the bucket has; what cannot be read is told.
    async fn look(&self, timeout: Option<Duration>) -> Result<Inventory> {
        let looking = look_at(self, &self.bucket);
        let Some(timeout) = timeout else { return looking.await };
        match tokio::time::timeout(timeout, looking).await {
            Ok(looked) => looked,
            Err(_) => bail!("the bucket was not looked through in {timeout:?} (--timeout)"),
        }
    }

    /// Whether anything lies in the bucket under a block's name.
    async fn has_folder(&self, block: Ulid) -> Result<bool> {
        Ok(self.bucket.list(&block.to_string(), Depth::Folder).try_next().await?.is_some())
    }

    /// Apart from what a hub has in the same folder.
    fn work_dir(&self) -> PathBuf {
        self.data_dir.join("tools")
    }

    fn deletion_log(&self) -> Result<DeletionLog> {
        Ok(DeletionLog::open(&self.fs, &self.work_dir())?)
    }

    /// Whether the mark is new.
    async fn mark_for_deletion(
        &self,
        log: &DeletionLog,
        block: Ulid,
        meta: Option<&BlockMeta>,
        reason: &str,
    ) -> Result<bool> {
        let decision = Decision { ulid: block, action: Action::MarkForDeletion, reason: reason.to_owned() };
        log.write(&decision, meta, self.now_ms())?;
        Ok(self.bucket.mark(&DeletionMark::new(block, reason, self.now_ms())).await?)
    }

    /// What is no block, or none that can be read.
    fn say_rest(&self, inventory: &Inventory) {
        for (block, e) in &inventory.broken {
            self.screen.say(&format!("{block} cannot be read: {e}"));
        }
        for (block, partial) in &inventory.partial {
            let why = if partial.is_marked { "it is being deleted" } else { "an upload is not finished" };
            self.screen.say(&format!("{block} has no meta.json: {why}"));
        }
    }
}

async fn look_at(bench: &Bench, bucket: &Bucket) -> Result<Inventory> {
    let lookout = Lookout::without_files(bucket.clone(), bench.clock.clone());
    Ok(lookout.look().await?)
}

/// A folder that goes when it is no longer used.
struct Scratch {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
}

impl Scratch {
    fn new(bench: &Bench, root: &Path) -> Result<Scratch> {
        let dir = root.join(format!("nilometer-{}", bench.new_ulid()));
        bench.fs.create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        Ok(Scratch { fs: bench.fs.clone(), dir })
    }

    fn path(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(e) = self.fs.remove_dir_all(&self.dir) {
            tracing::warn!(dir = %self.dir.display(), error = %e, "a working folder is left over: remove it");
        }
    }
}

/// To stdout; whoever reads it may stop doing so.
fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}
