//! `tools bucket cleanup`, `retention` and `downsample`: parts of what a compactor does, done once or on their own.
//!
//! Each is a compactor that does only that. So it takes the bucket's lease, and two that work at the same time cannot
//! come in each other's way.

use super::Bench;
use super::flags::IgnoredHttp;
use super::rewrite::HashFunc;
use super::screen::{Progress, Unit};
use super::table::{Cell, Form, Table};
use crate::flags::{Millis, SelectorFlags};
use anyhow::{Context, Result, bail};
use clap::Args;
use nilometer_bucket::Lookout;
use nilometer_compact::lifecycle::{Delays, Periods, Retention};
use nilometer_compact::{Compactor, CompactorOptions, Dedup, DeletionLog, Parts, Planner, Round, Work};
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;

/// A compactor that fell silent for so long has lost the bucket.
const LEASE_TERM: Duration = Duration::from_secs(60);
/// How often it is looked how far the work is.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Whoever has the lease may have died: for so many terms it is waited for.
const TERMS: u32 = 2;

/// What cleanup and retention have in common.
#[derive(Args, Debug)]
struct SyncFlags {
    /// How long a mark stands before the block is deleted
    #[arg(long, value_name = "DURATION", default_value = "48h")]
    delete_delay: Millis,
    /// Fresh blocks that no compactor made are left alone for so long
    #[arg(long, value_name = "DURATION", default_value = "30m")]
    consistency_delay: Millis,
    #[arg(long = "block-sync-concurrency", value_name = "N", default_value_t = 20, hide = true)]
    _block_sync_concurrency: usize,
    #[command(flatten)]
    selector: SelectorFlags,
    #[arg(long, value_enum, default_value_t = Form::Table)]
    output: Form,
}

impl SyncFlags {
    fn delays(&self) -> Delays {
        Delays { consistency_ms: self.consistency_delay.0, delete_ms: self.delete_delay.0 }
    }
}

#[derive(Args, Debug)]
pub(super) struct CleanupFlags {
    #[command(flatten)]
    sync: SyncFlags,
}

#[derive(Args, Debug)]
pub(super) struct RetentionFlags {
    #[command(flatten)]
    sync: SyncFlags,
    /// How long raw samples are kept; 0d is for ever
    #[arg(long = "retention.resolution-raw", value_name = "DURATION", default_value = "0d")]
    raw: Millis,
    /// How long samples of five minutes are kept; 0d is for ever
    #[arg(long = "retention.resolution-5m", value_name = "DURATION", default_value = "0d")]
    five_minutes: Millis,
    /// How long samples of one hour are kept; 0d is for ever
    #[arg(long = "retention.resolution-1h", value_name = "DURATION", default_value = "0d")]
    one_hour: Millis,
    /// Mark raw samples though no 5m ones are made of them yet (Thanos does)
    #[arg(long = "retention.ignore-downsampling")]
    ignore_downsampling: bool,
}

#[derive(Args, Debug)]
pub(super) struct DownsampleFlags {
    /// From one run to the next
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    wait_interval: Millis,
    /// One run, and no more
    #[arg(long)]
    single_run: bool,
    #[arg(long = "downsample.concurrency", value_name = "N", default_value_t = 1, hide = true)]
    _downsample_concurrency: usize,
    #[arg(long = "block-files-concurrency", value_name = "N", default_value_t = 1, hide = true)]
    _block_files_concurrency: usize,
    /// SHA256: digests of files go into meta.json
    #[arg(long, value_enum, default_value_t = HashFunc::None, hide_default_value = true)]
    hash_func: HashFunc,
    #[command(flatten)]
    http: IgnoredHttp,
}

pub(super) async fn cleanup(bench: &Bench, flags: &CleanupFlags) -> Result<()> {
    let work = Work { clean: true, ..Work::NOTHING };
    let job = Job::open(bench, &flags.sync, work, Retention::default())?;
    job.reported(flags.sync.output).await
}

pub(super) async fn retention(bench: &Bench, flags: &RetentionFlags) -> Result<()> {
    let all =
        Periods { raw_ms: flags.raw.0, five_minutes_ms: flags.five_minutes.0, one_hour_ms: flags.one_hour.0 };
    let downsampling = !flags.ignore_downsampling;
    if downsampling {
        all.check().context("(--retention.ignore-downsampling does it all the same)")?;
    }
    if all == Periods::default() {
        bench
            .screen
            .say("everything is kept for ever: say how long by --retention.resolution-raw, -5m or -1h");
    }
    let work = Work { retention: true, ..Work::NOTHING };
    let job = Job::open(bench, &flags.sync, work, Retention { all, downsampling, ..Retention::default() })?;
    job.reported(flags.sync.output).await
}

pub(super) async fn downsample(bench: &Bench, flags: &DownsampleFlags) -> Result<()> {
    flags.http.say(&bench.screen);
    // As in Thanos, fresh blocks are worked on too.
    let delays = Delays { consistency_ms: 0, ..Delays::default() };
    let options = CompactorOptions {
        hash_files: flags.hash_func == HashFunc::Sha256,
        ..options(bench, delays, Work { downsample: true, ..Work::NOTHING })
    };
    let job = Job {
        bench,
        compactor: compactor(bench, options, Retention { downsampling: true, ..Retention::default() })?,
    };
    loop {
        let done = job.round().await;
        if flags.single_run {
            job.compactor.release().await;
            return done;
        }
        if let Err(e) = done {
            bench.screen.say(&format!("this run failed, the next one is in a while: {e:#}"));
        }
        tokio::time::sleep(flags.wait_interval.duration()).await;
    }
}

fn options(bench: &Bench, delays: Delays, work: Work) -> CompactorOptions {
    CompactorOptions {
        planner: Planner::default(),
        delays,
        dedup: Dedup::OneToOne,
        replica_labels: Vec::new(),
        hash_files: false,
        dir: bench.work_dir(),
        lease_term: LEASE_TERM,
        work,
        selector: nilometer_model::Relabel::default(),
    }
}

fn compactor(bench: &Bench, options: CompactorOptions, retention: Retention) -> Result<Compactor> {
    let lookout = Lookout::without_files(bench.bucket.clone(), bench.clock.clone());
    let parts = Parts { fs: bench.fs.clone(), clock: bench.clock.clone(), random: bench.random.clone() };
    let retention = move || retention.clone();
    Ok(Compactor::open(Arc::new(lookout), parts, options, retention, &mut Registry::default())?)
}

struct Job<'a> {
    bench: &'a Bench,
    compactor: Compactor,
}

impl<'a> Job<'a> {
    fn open(bench: &'a Bench, flags: &SyncFlags, work: Work, retention: Retention) -> Result<Self> {
        let selector = flags.selector.read()?.into_rules();
        let options = CompactorOptions { selector, ..options(bench, flags.delays(), work) };
        Ok(Job { bench, compactor: compactor(bench, options, retention)? })
    }

    /// Waits for the bucket, and does what is to be done.
    async fn round(&self) -> Result<()> {
        let began = self.bench.clock.monotonic();
        let mut told = String::new();
        loop {
            let round = tokio::select! {
                round = self.compactor.once() => round?,
                never = self.watch() => never,
            };
            let Round::Waits { holder } = round else { break };
            if self.bench.clock.monotonic().saturating_sub(began) > LEASE_TERM * TERMS {
                bail!(
                    "a compactor ({holder}) works on this bucket all the time: stop it, or leave this to it"
                );
            }
            if told != holder {
                self.bench
                    .screen
                    .say(&format!("a compactor ({holder}) works on this bucket: waiting for it"));
                told = holder;
            }
            tokio::time::sleep(LEASE_TERM / 10).await;
        }
        let failed = self.compactor.status().quarantined;
        for group in &failed {
            self.bench
                .screen
                .say(&format!("{:?} of {} ms: {}", group.labels, group.resolution_ms, group.reason));
        }
        if failed.is_empty() {
            Ok(())
        } else {
            bail!("{} groups of blocks could not be worked on", failed.len())
        }
    }

    /// Shows what is under way; for ever.
    async fn watch<T>(&self) -> T {
        let mut shown: Option<(String, Progress)> = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let Some(running) = self.compactor.status().running else {
                shown = None;
                continue;
            };
            let names: Vec<_> = running.blocks.iter().map(ToString::to_string).collect();
            let name = names.join(", ");
            if shown.as_ref().is_none_or(|(before, _)| *before != name) && running.series_total > 0 {
                let progress = self.bench.screen.begin(running.what, running.series_total, Unit::Series);
                progress.about(name.clone());
                shown = Some((name, progress));
            }
            if let Some((_, progress)) = &shown {
                progress.set(running.series);
            }
        }
    }

    /// One round, and what it wrote to the log of deletions.
    async fn reported(&self, form: Form) -> Result<()> {
        let path = self.bench.work_dir().join(DeletionLog::FILE);
        let before = self.bench.fs.read(&path)?.len();
        let done = self.round().await;
        self.compactor.release().await;
        let mut table = Table::new(&["BLOCK", "ACTION", "REASON"]);
        let log = self.bench.fs.read(&path)?;
        for line in
            log.get(before..).unwrap_or_default().split(|b| *b == b'\n').filter(|line| !line.is_empty())
        {
            let line: serde_json::Value = serde_json::from_slice(line)?;
            let text = |name: &str| Cell::from(line[name].as_str().unwrap_or_default());
            table.push(vec![text("block"), text("action"), text("reason")]);
        }
        super::print(&table.render(form));
        done
    }
}
