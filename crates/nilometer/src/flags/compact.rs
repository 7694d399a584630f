//! The flags of `compact`: Thanos' own, with Thanos' defaults.

use super::compaction::{CompactionFlags, DedupFunc};
use super::raw::{LogFormat, LogLevel};
use super::shared::tls;
use super::values::{Address, Millis};
use crate::compaction::CompactionOptions;
use crate::history::BucketAt;
use anyhow::{Result, bail};
use clap::Args;
use nilometer_access::HubLimits;
use std::path::PathBuf;
use std::time::Duration;

// No `///` here: clap would show it in place of what the command is.
#[derive(Args, Debug)]
#[command(next_help_heading = "Addresses")]
pub(crate) struct CompactFlags {
    /// Where probes, metrics and what is under way are served, with --wait
    #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:10902")]
    pub(crate) http_address: String,
    /// At the end, requests that are being answered get so long
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    pub(crate) http_grace_period: Millis,
    /// Certificate (PEM) of the HTTP address; read again when it changes
    #[arg(long = "http-server-tls-cert", value_name = "FILE", requires = "http_server_tls_key")]
    pub(crate) http_server_tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long = "http-server-tls-key", value_name = "FILE", requires = "http_server_tls_cert")]
    pub(crate) http_server_tls_key: Option<PathBuf>,
    /// Tenants, their credentials and how long their samples are kept (docs/tenants.md)
    #[arg(long = "tenants.config-file", value_name = "FILE")]
    pub(crate) tenants_config_file: Option<PathBuf>,
    /// Label of blocks that names their tenant
    #[arg(long = "receive.tenant-label-name", value_name = "LABEL", default_value = "tenant_id")]
    pub(crate) tenant_label_name: String,

    /// What is worked on lies in here, and deletions.jsonl: what was deleted and why
    #[arg(long, value_name = "DIR", default_value = "./data", help_heading = "Compaction")]
    pub(crate) data_dir: PathBuf,
    /// Object storage, as Thanos' YAML (docs/objstore.md)
    #[arg(
        long = "objstore.config",
        value_name = "YAML",
        help_heading = "Compaction",
        conflicts_with = "objstore_config_file"
    )]
    pub(crate) objstore_config: Option<String>,
    /// The same in a file
    #[arg(long = "objstore.config-file", value_name = "FILE", help_heading = "Compaction")]
    pub(crate) objstore_config_file: Option<PathBuf>,
    /// Go on when nothing is left to do, and look again every --wait-interval
    #[arg(long, short = 'w', help_heading = "Compaction")]
    pub(crate) wait: bool,
    /// Merge blocks whose times overlap, instead of leaving their group alone
    #[arg(long = "compact.enable-vertical-compaction", help_heading = "Compaction")]
    pub(crate) vertical: bool,
    /// How samples of replicas are merged (--deduplication.replica-label): one by one, or `penalty`, as queries do it
    #[arg(
        long = "deduplication.func",
        value_name = "FUNC",
        default_value = "",
        hide_default_value = true,
        hide_possible_values = true,
        help_heading = "Compaction"
    )]
    pub(crate) dedup_func: DedupFunc,
    #[command(flatten)]
    pub(crate) compaction: CompactionFlags,

    /// What is logged at least
    #[arg(long = "log.level", value_enum, default_value_t = LogLevel::Info, help_heading = "Itself")]
    pub(crate) log_level: LogLevel,
    #[arg(long = "log.format", value_enum, default_value_t = LogFormat::Logfmt, help_heading = "Itself")]
    pub(crate) log_format: LogFormat,
}

/// Everything that `compact` needs to know.
pub(crate) struct Compact {
    pub(crate) http: Address,
    pub(crate) grace: Duration,
    pub(crate) insecure_listeners: usize,
    pub(crate) tenants_file: Option<PathBuf>,
    pub(crate) tenant_label: String,
    pub(crate) hub_limits: HubLimits,
    pub(crate) bucket: BucketAt,
    pub(crate) meta_dir: PathBuf,
    pub(crate) wait: bool,
    pub(crate) compaction: CompactionOptions,
    pub(crate) log_level: LogLevel,
    pub(crate) log_format: LogFormat,
}

pub(crate) fn resolve(flags: &CompactFlags) -> Result<Compact> {
    let bucket = match (&flags.objstore_config, &flags.objstore_config_file) {
        (Some(text), _) => BucketAt::Text(text.clone()),
        (None, Some(file)) => BucketAt::File(file.clone()),
        (None, None) => bail!("--objstore.config-file says which bucket is compacted; it is missing"),
    };
    let tls = tls(&flags.http_server_tls_cert, &flags.http_server_tls_key, None);
    let http = Address::parse("http-address", &flags.http_address, tls)?;
    let is_open = flags.wait && flags.tenants_config_file.is_none() && !http.socket.ip().is_loopback();
    Ok(Compact {
        insecure_listeners: usize::from(is_open),
        http,
        grace: flags.http_grace_period.duration(),
        tenants_file: flags.tenants_config_file.clone(),
        tenant_label: flags.tenant_label_name.clone(),
        hub_limits: HubLimits::default(),
        bucket,
        meta_dir: flags.data_dir.join("meta-syncer"),
        wait: flags.wait,
        compaction: flags.compaction.resolve(
            flags.vertical,
            flags.dedup_func,
            flags.data_dir.join("compact"),
        )?,
        log_level: flags.log_level,
        log_format: flags.log_format,
    })
}

/// Thanos keeps everything unless it is told otherwise.
pub(super) fn keep_all_by_default(command: clap::Command) -> clap::Command {
    let flags = ["retention_raw", "retention_5m", "retention_1h"];
    flags.into_iter().fold(command, |command, flag| command.mut_arg(flag, |arg| arg.default_value("0d")))
}
