//! The flags of `tools bucket`, with Thanos' names and defaults.

use super::screen::Screen;
use super::{compactor, inspect, ls, mark, replicate, rewrite, upload_blocks, verify};
use crate::flags::{LogFormat, LogLevel};
use crate::history::BucketAt;
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Subcommand, Debug)]
pub(crate) enum ToolsFlags {
    /// Looks at, checks and changes what is in object storage
    Bucket(BucketFlags),
}

#[derive(Args, Debug)]
pub(crate) struct BucketFlags {
    #[command(flatten)]
    pub(super) shared: SharedFlags,
    #[command(subcommand)]
    pub(super) command: BucketCommand,
}

/// Before the command or behind it.
#[derive(Args, Debug)]
pub(super) struct SharedFlags {
    /// Object storage, as Thanos' YAML (docs/objstore.md)
    #[arg(
        long = "objstore.config",
        value_name = "YAML",
        global = true,
        help_heading = "Bucket",
        conflicts_with = "objstore_config_file"
    )]
    objstore_config: Option<String>,
    /// The same in a file
    #[arg(long = "objstore.config-file", value_name = "FILE", global = true, help_heading = "Bucket")]
    objstore_config_file: Option<PathBuf>,
    /// What was marked and deleted is written to `tools/deletions.jsonl` in here, and blocks are worked on here
    #[arg(long, value_name = "DIR", default_value = "./data", global = true, help_heading = "Itself")]
    pub(super) data_dir: PathBuf,
    /// What is logged at least
    #[arg(long = "log.level", value_enum, default_value_t = LogLevel::Info, global = true, help_heading = "Itself")]
    pub(super) log_level: LogLevel,
    #[arg(long = "log.format", value_enum, default_value_t = LogFormat::Logfmt, global = true, help_heading = "Itself")]
    pub(super) log_format: LogFormat,
}

impl SharedFlags {
    pub(super) fn bucket(&self) -> Result<BucketAt> {
        match bucket_at(self.objstore_config.as_ref(), self.objstore_config_file.as_ref()) {
            Some(at) => Ok(at),
            None => bail!("say where the bucket is: --objstore.config-file=FILE or --objstore.config=YAML"),
        }
    }
}

pub(super) fn bucket_at(text: Option<&String>, file: Option<&PathBuf>) -> Option<BucketAt> {
    text.map(|text| BucketAt::Text(text.clone())).or_else(|| file.map(|file| BucketAt::File(file.clone())))
}

/// Thanos serves metrics and probes while these run. Here nothing listens.
#[derive(Args, Debug)]
pub(super) struct IgnoredHttp {
    #[arg(long, hide = true)]
    http_address: Option<String>,
    #[arg(long, hide = true)]
    http_grace_period: Option<String>,
    #[arg(long = "http.config", hide = true)]
    http_config: Option<String>,
}

impl IgnoredHttp {
    pub(super) fn say(&self, screen: &Screen) {
        let given = [
            ("http-address", &self.http_address),
            ("http-grace-period", &self.http_grace_period),
            ("http.config", &self.http_config),
        ];
        for (name, _) in given.iter().filter(|(_, value)| value.is_some()) {
            screen.say(&format!("--{name} has no meaning here and changes nothing"));
        }
    }
}

#[derive(Subcommand, Debug)]
pub(super) enum BucketCommand {
    /// Says what is wrong with blocks, chunks included; mends some of it
    #[command(after_help = verify::REPAIRS)]
    Verify(verify::Flags),
    /// Lists blocks
    Ls(ls::Flags),
    /// Shows what the blocks have, as a table
    Inspect(inspect::Flags),
    /// Copies blocks to another bucket
    Replicate(replicate::Flags),
    /// Makes 5m and 1h samples of blocks that are long enough
    Downsample(compactor::DownsampleFlags),
    /// Deletes blocks that were marked long ago, and what is left of uploads that were given up
    Cleanup(compactor::CleanupFlags),
    /// Puts a mark on blocks, or takes it away
    Mark(mark::Flags),
    /// Makes blocks anew without some samples, or with other labels; without --no-dry-run it says what would change
    Rewrite(rewrite::Flags),
    /// Marks blocks for deletion that are older than what is kept
    Retention(compactor::RetentionFlags),
    /// Uploads blocks of Prometheus from a folder
    UploadBlocks(upload_blocks::Flags),
}
