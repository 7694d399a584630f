//! A simulated year: blocks of two hours go to a bucket, and a compactor works on it while time passes.
//!
//! ```text
//! for each 2 h:   a block ─▶ shipped (hard links) ─▶ the local one goes      samples: pure functions (catalogue.rs)
//! every 8 h:      the compactor's round: compaction, downsampling, retention
//! ```
//!
//! How far it came is in `year.json`: who starts it again goes on from there, also after SIGKILL.

mod blocks;
mod catalogue;
mod stages;
#[cfg(test)]
mod tests;

pub use stages::{Stage, Stages};

use blocks::{BLOCK_MS, Cutter};
use nilometer_bucket::{Bucket, BucketConfig, BucketMetrics, Lookout, Parts as BucketParts, ShipOptions};
use nilometer_compact::lifecycle::{Delays, Periods, Retention};
use nilometer_compact::{Compactor, CompactorOptions, Dedup, Parts as CompactorParts, Planner, Round, Work};
use nilometer_env::{Clock, Fs, Random};
use nilometer_model::{Error, Relabel, Result};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use stages::{SHIPPING, WRITING, Watcher};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const STATE_FILE: &str = "year.json";
/// Of the walk that goes on there.
const LOCK_FILE: &str = "lock";
const DAY_MS: i64 = 24 * 3_600_000;
const BLOCKS_A_DAY: u64 = 12;
/// From one round of the compactor to the next.
const BLOCKS_A_ROUND: u64 = 4;
/// A head cuts a range so long after its end.
const CUT_AFTER_MS: i64 = 3_600_000;

#[derive(Clone, Debug)]
pub struct YearOptions {
    /// Of all that is written: the bucket is `bucket` in it.
    pub dir: PathBuf,
    /// Active at any time; a hundred to a target.
    pub series: u32,
    pub days: u64,
    /// Midnight of the first day.
    pub start_ms: i64,
    /// Stops before it takes more.
    pub max_bytes: u64,
    /// Whether a compactor works on the bucket.
    pub compacts: bool,
}

/// The outside world.
#[derive(Clone)]
pub struct YearParts {
    pub fs: Arc<dyn Fs>,
    /// Only how long things take is read from it.
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
}

/// What came of it, and what `year.json` holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct YearReport {
    pub series: u32,
    pub start_ms: i64,
    /// Blocks of two hours in the bucket.
    pub blocks: u64,
    pub samples: u64,
    /// The most that bucket and compactor had on disk at the end of a round.
    pub peak_disk_bytes: u64,
    pub stages: Stages,
    /// What is in the bucket at the end, what is marked for deletion included, by resolution in milliseconds.
    #[serde(skip_deserializing)]
    pub bucket: BTreeMap<i64, Held>,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Held {
    pub blocks: u64,
    pub samples: u64,
    pub bytes: u64,
    /// Of blocks that go soon, in the bytes too.
    pub marked_bytes: u64,
}

impl YearReport {
    pub fn days(&self) -> u64 {
        self.blocks / BLOCKS_A_DAY
    }

    /// The first millisecond after the simulated time.
    pub fn end_ms(&self) -> i64 {
        self.start_ms + self.blocks as i64 * BLOCK_MS
    }
}

/// The simulated wall: it stands where it was put, and goes on from there as fast as the real one.
struct Wall {
    real: Arc<dyn Clock>,
    set: Mutex<(i64, Duration)>,
}

impl Wall {
    fn set(&self, wall_ms: i64) {
        *self.set.lock() = (wall_ms, self.real.monotonic());
    }
}

impl Clock for Wall {
    fn wall_ms(&self) -> i64 {
        let (wall_ms, at) = *self.set.lock();
        wall_ms + self.real.monotonic().saturating_sub(at).as_millis() as i64
    }

    fn monotonic(&self) -> Duration {
        self.real.monotonic()
    }
}

/// Walks up to the last day, from where an earlier walk stopped. `each_day` hears how far it is.
///
/// # Errors
/// Those of the disk, a group of blocks that cannot be compacted, and the limit of [`YearOptions::max_bytes`].
pub fn walk(
    options: &YearOptions,
    parts: &YearParts,
    each_day: &mut dyn FnMut(&YearReport),
) -> Result<YearReport> {
    let failed = |e| Error::io(format!("taking the folder {}", options.dir.display()), e);
    parts.fs.create_dir_all(&options.dir).map_err(failed)?;
    let _alone = parts.fs.lock(&options.dir.join(LOCK_FILE)).map_err(failed)?;
    let report = resume(options, &*parts.fs)?;
    let watcher = Watcher::new(parts.clock.clone(), report.stages.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Error::io("starting the threads of the walk", e))?;
    let mut walk = Walk::new(options, parts, report, watcher.clone())?;
    tracing::subscriber::with_default(watcher, || {
        runtime.block_on(async {
            walk.run(each_day).await?;
            walk.take_stock().await
        })
    })?;
    Ok(walk.report)
}

fn resume(options: &YearOptions, fs: &dyn Fs) -> Result<YearReport> {
    let new = YearReport { series: options.series, start_ms: options.start_ms, ..YearReport::default() };
    let path = options.dir.join(STATE_FILE);
    if !fs.exists(&path) {
        return Ok(new);
    }
    let text = fs.read(&path).map_err(|e| Error::io(path.display(), e))?;
    let found: YearReport =
        serde_json::from_slice(&text).map_err(|e| Error::invalid(format!("{}: {e}", path.display())))?;
    if (found.series, found.start_ms) != (new.series, new.start_ms) {
        let text = format!("{} is of another year: take another folder", options.dir.display());
        return Err(Error::invalid(text));
    }
    Ok(found)
}

struct Walk<'a> {
    options: &'a YearOptions,
    fs: Arc<dyn Fs>,
    wall: Arc<Wall>,
    bucket: Bucket,
    lookout: Arc<Lookout>,
    compactor: Compactor,
    watcher: Watcher,
    cutter: Cutter,
    report: YearReport,
}

impl<'a> Walk<'a> {
    fn new(
        options: &'a YearOptions,
        parts: &YearParts,
        report: YearReport,
        watcher: Watcher,
    ) -> Result<Self> {
        let fs = parts.fs.clone();
        let set = Mutex::new((report.end_ms(), parts.clock.monotonic()));
        let wall = Arc::new(Wall { real: parts.clock.clone(), set });
        let bucket_parts = BucketParts {
            clock: wall.clone(),
            fs: fs.clone(),
            random: parts.random.clone(),
            metrics: BucketMetrics::register(&mut Registry::default()),
            env: Arc::new(|_| None),
        };
        let folder = bucket_dir(&options.dir);
        fs.create_dir_all(&folder).map_err(|e| Error::io(folder.display(), e))?;
        let bucket = Bucket::open(BucketConfig::filesystem(folder), bucket_parts)?;
        let lookout =
            Arc::new(Lookout::new(bucket.clone(), fs.clone(), wall.clone(), options.dir.join("metas")));
        let retention = Retention {
            all: Periods { raw_ms: 30 * DAY_MS, five_minutes_ms: 90 * DAY_MS, one_hour_ms: 0 },
            tenant_label: "tenant_id".to_owned(),
            downsampling: true,
            ..Retention::default()
        };
        let compactor = Compactor::open(
            lookout.clone(),
            CompactorParts { fs: fs.clone(), clock: wall.clone(), random: parts.random.clone() },
            CompactorOptions {
                planner: Planner::default(),
                delays: Delays::default(),
                dedup: Dedup::OneToOne,
                replica_labels: Vec::new(),
                hash_files: false,
                dir: options.dir.join("compact"),
                lease_term: Duration::from_secs(600),
                work: Work::default(),
                selector: Relabel::default(),
            },
            move || retention.clone(),
            &mut Registry::default(),
        )?;
        Ok(Walk { options, fs, wall, bucket, lookout, compactor, watcher, cutter: Cutter::default(), report })
    }

    async fn run(&mut self, each_day: &mut dyn FnMut(&YearReport)) -> Result<()> {
        // It may have been stopped in the midst of a round, or before it.
        if self.report.blocks > 0 && self.options.compacts {
            self.round().await?;
        }
        while self.report.blocks < self.options.days * BLOCKS_A_DAY {
            self.block().await?;
            if self.report.blocks.is_multiple_of(BLOCKS_A_ROUND) {
                // Who goes on does not write again what may be compacted already.
                self.save()?;
                if self.options.compacts {
                    self.round().await?;
                    self.save()?;
                }
            }
            if self.report.blocks.is_multiple_of(BLOCKS_A_DAY) {
                each_day(&self.report);
            }
        }
        Ok(())
    }

    async fn block(&mut self) -> Result<()> {
        self.wall.set(self.report.end_ms() + BLOCK_MS + CUT_AFTER_MS);
        self.watcher.begin();
        let cut = self.options.dir.join("cut");
        let failed = |e| Error::io(cut.display(), e);
        if self.fs.exists(&cut) {
            self.fs.remove_dir_all(&cut).map_err(failed)?;
        }
        self.fs.create_dir_all(&cut).map_err(failed)?;
        let of = (self.options.series, self.options.start_ms);
        let meta = self.cutter.cut(&self.fs, &cut, of, self.report.blocks)?;
        let dir = cut.join(meta.ulid.to_string());
        let bytes = bytes_below(&*self.fs, &dir)?;
        self.watcher.end(WRITING, (1, 0, bytes));
        self.bucket.ship(&dir, &meta, ShipOptions::default()).await?;
        self.fs.remove_dir_all(&dir).map_err(failed)?;
        self.watcher.end(SHIPPING, (1, bytes, 0));
        self.report.blocks += 1;
        self.report.samples += meta.stats.num_samples;
        Ok(())
    }

    async fn round(&mut self) -> Result<()> {
        self.watcher.begin();
        let round = self.compactor.once().await?;
        self.watcher.end(stages::TIDYING, (0, 0, 0));
        if let Round::Waits { holder } = round {
            return Err(Error::conflict(format!("the bucket has another compactor: {holder}")));
        }
        let status = self.compactor.status();
        if let Some(group) = status.quarantined.first() {
            return Err(Error::invalid(format!("blocks cannot be compacted: {}", group.reason)));
        }
        if let Some(error) = self.watcher.errors().first() {
            return Err(Error::invalid(format!("something went wrong: {error}")));
        }
        let bytes = bytes_below(&*self.fs, &self.options.dir)?;
        self.report.peak_disk_bytes = self.report.peak_disk_bytes.max(bytes);
        if bytes > self.options.max_bytes {
            let text = format!("the year has {bytes} bytes on disk by now, and may have no more");
            return Err(Error::limit("max-bytes", self.options.max_bytes, text));
        }
        Ok(())
    }

    fn save(&mut self) -> Result<()> {
        self.report.stages = self.watcher.stages();
        let path = self.options.dir.join(STATE_FILE);
        let text = serde_json::to_vec_pretty(&self.report).map_err(|e| Error::invalid(e.to_string()))?;
        self.fs.write_atomic(&path, &text).map_err(|e| Error::io(path.display(), e))
    }

    async fn take_stock(&mut self) -> Result<()> {
        self.report.bucket.clear();
        for listed in self.lookout.look().await?.blocks.values() {
            let held = self.report.bucket.entry(listed.meta.resolution_ms()).or_default();
            let bytes = listed.objects.values().sum::<u64>();
            held.blocks += 1;
            held.samples += listed.meta.stats.num_samples;
            held.bytes += bytes;
            held.marked_bytes += if listed.marked_ms.is_some() { bytes } else { 0 };
        }
        Ok(())
    }
}

/// Where the bucket lies in the year's folder.
pub fn bucket_dir(dir: &Path) -> PathBuf {
    dir.join("bucket")
}

fn bytes_below(fs: &dyn Fs, dir: &Path) -> Result<u64> {
    let failed = |e| Error::io(dir.display(), e);
    let mut bytes = 0;
    for entry in fs.read_dir(dir).map_err(failed)? {
        let path = dir.join(&entry.name);
        bytes += if entry.is_dir {
            bytes_below(fs, &path)?
        } else {
            fs.open(&path).and_then(|file| file.len()).map_err(failed)?
        };
    }
    Ok(bytes)
}
