//! The flags of whoever compacts a bucket, under Thanos' names.

use super::values::Millis;
use crate::compaction::CompactionOptions;
use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use nilometer_compact::lifecycle::{Delays, Periods};
use nilometer_compact::{Dedup, Planner};
use std::path::PathBuf;
use std::time::Duration;

// No `///` here: clap would show it in place of what the command is.
#[derive(Args, Debug)]
#[command(next_help_heading = "Compaction")]
pub(crate) struct CompactionFlags {
    /// Raw samples older than this are deleted from the bucket, once there are coarser ones; 0d keeps all
    #[arg(long = "retention.resolution-raw", value_name = "DURATION", default_value = "30d")]
    pub(crate) retention_raw: Millis,
    /// The same of aggregates of five minutes
    #[arg(long = "retention.resolution-5m", value_name = "DURATION", default_value = "90d")]
    pub(crate) retention_5m: Millis,
    /// The same of aggregates of an hour
    #[arg(long = "retention.resolution-1h", value_name = "DURATION", default_value = "0d")]
    pub(crate) retention_1h: Millis,
    /// Make no coarser samples of those that are older
    #[arg(long = "downsampling.disable")]
    pub(crate) downsampling_disable: bool,
    /// The bucket is looked through for what is to be compacted this often
    #[arg(long = "wait-interval", value_name = "DURATION", default_value = "5m")]
    pub(crate) wait_interval: Millis,
    /// New blocks are compacted when they are so old: until then some of their files may not be seen
    #[arg(long = "consistency-delay", value_name = "DURATION", default_value = "30m")]
    pub(crate) consistency_delay: Millis,
    /// Blocks are deleted so long after they were marked for it: until then readers turn to others
    #[arg(long = "delete-delay", value_name = "DURATION", default_value = "48h")]
    pub(crate) delete_delay: Millis,
    /// Label that tells replicas apart, whose blocks become one; may be repeated. It cannot be undone
    #[arg(long = "deduplication.replica-label", value_name = "LABEL")]
    pub(crate) replica_labels: Vec<String>,
    /// Digests that go into meta.json
    #[arg(long = "hash-func", value_name = "FUNC", default_value = "", hide_default_value = true)]
    pub(crate) hash_func: String,
    /// The longest that compacted blocks become
    #[arg(
        long = "compact.max-level",
        value_name = "LEVEL",
        default_value_t = 4,
        hide = true,
        alias = "debug.max-compaction-level"
    )]
    pub(crate) max_level: usize,
    /// How long another compactor waits for one that fell silent
    #[arg(long = "compact.lease", value_name = "DURATION", default_value = "1m", hide = true)]
    pub(crate) lease: Millis,
}

/// How samples of replicas are merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DedupFunc {
    /// Samples of one time are one
    #[default]
    #[value(name = "")]
    OneToOne,
    /// As queries do it: one replica is followed until it has a gap
    Penalty,
}

impl CompactionFlags {
    /// `vertical`: whether blocks that overlap are merged. `dir`: for the work.
    pub(crate) fn resolve(
        &self,
        vertical: bool,
        dedup: DedupFunc,
        dir: PathBuf,
    ) -> Result<CompactionOptions> {
        ensure!(
            matches!(self.hash_func.as_str(), "" | "SHA256"),
            "--hash-func={}: there is SHA256, or nothing",
            self.hash_func
        );
        let mut planner =
            Planner { vertical: vertical || !self.replica_labels.is_empty(), ..Planner::default() };
        ensure!(
            (1..=planner.ranges_ms.len() - 1).contains(&self.max_level),
            "--compact.max-level={}: it can be 1 to {}",
            self.max_level,
            planner.ranges_ms.len() - 1
        );
        planner.ranges_ms.truncate(self.max_level + 1);
        let periods = Periods {
            raw_ms: self.retention_raw.0,
            five_minutes_ms: self.retention_5m.0,
            one_hour_ms: self.retention_1h.0,
        };
        if !self.downsampling_disable {
            periods.check()?;
        }
        Ok(CompactionOptions {
            planner,
            delays: Delays { consistency_ms: self.consistency_delay.0, delete_ms: self.delete_delay.0 },
            dedup: match dedup {
                DedupFunc::OneToOne => Dedup::OneToOne,
                DedupFunc::Penalty => Dedup::Penalty,
            },
            replica_labels: self.replica_labels.clone(),
            hash_files: self.hash_func == "SHA256",
            periods,
            downsampling: !self.downsampling_disable,
            every: at_least_a_second(self.wait_interval).context("--wait-interval")?,
            lease_term: at_least_a_second(self.lease).context("--compact.lease")?,
            dir,
        })
    }
}

fn at_least_a_second(value: Millis) -> Result<Duration> {
    ensure!(value.0 >= 1000, "it must be at least 1s");
    Ok(value.duration())
}
