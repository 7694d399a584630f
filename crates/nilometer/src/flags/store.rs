//! The flags of `store`: Thanos' own, with Thanos' defaults.

use super::raw::{LogFormat, LogLevel};
use super::shared::{StoreApiFlags, disk_cache, tls};
use super::values::{Address, Bytes, Millis, TimeOrDuration};
use crate::history::BucketAt;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use nilometer_access::HubLimits;
use nilometer_gateway::{GatewayOptions, Partition};
use nilometer_model::{Relabel, RelabelAction};
use nilometer_server::{CallerOptions, Patience, StoreOptions};
use std::path::PathBuf;
use std::time::Duration;

// No `///` here: clap would show it in place of what the command is.
#[derive(Args, Debug)]
#[command(next_help_heading = "Addresses")]
pub(crate) struct StoreFlags {
    /// Where probes, metrics and the list of blocks are served
    #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:10902")]
    pub(crate) http_address: String,
    /// Where queriers read (StoreAPI)
    #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:10901")]
    pub(crate) grpc_address: String,
    /// At the end, requests that are being answered get so long
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    pub(crate) http_grace_period: Millis,
    /// Certificate (PEM) of the HTTP address; read again when it changes
    #[arg(long = "http-server-tls-cert", value_name = "FILE", requires = "http_server_tls_key")]
    pub(crate) http_server_tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long = "http-server-tls-key", value_name = "FILE", requires = "http_server_tls_cert")]
    pub(crate) http_server_tls_key: Option<PathBuf>,
    /// Tenants and their credentials (docs/tenants.md); without it whoever reaches this reads everything
    #[arg(long = "tenants.config-file", value_name = "FILE")]
    pub(crate) tenants_config_file: Option<PathBuf>,
    /// Label of blocks that names their tenant
    #[arg(long = "receive.tenant-label-name", value_name = "LABEL", default_value = "tenant_id")]
    pub(crate) tenant_label_name: String,

    #[command(flatten)]
    pub(crate) store_api: StoreApiFlags,

    /// What is known of blocks is kept in here
    #[arg(long, value_name = "DIR", default_value = "./data", help_heading = "Blocks")]
    pub(crate) data_dir: PathBuf,
    /// Object storage, as Thanos' YAML (docs/objstore.md)
    #[arg(
        long = "objstore.config",
        value_name = "YAML",
        help_heading = "Blocks",
        conflicts_with = "objstore_config_file"
    )]
    pub(crate) objstore_config: Option<String>,
    /// The same in a file, which is read again when it changes
    #[arg(long = "objstore.config-file", value_name = "FILE", help_heading = "Blocks")]
    pub(crate) objstore_config_file: Option<PathBuf>,
    /// The bucket is looked through this often
    #[arg(long, value_name = "DURATION", default_value = "15m", help_heading = "Blocks")]
    pub(crate) sync_block_duration: Millis,
    /// Memory for what was read of blocks
    #[arg(long, value_name = "SIZE", default_value = "250MB", help_heading = "Blocks")]
    pub(crate) index_cache_size: Bytes,
    /// Disk for the same, where the bucket is no folder: in --data-dir, `page-cache`; 0B is none
    #[arg(long, value_name = "SIZE", default_value = "1GB", help_heading = "Blocks")]
    pub(crate) disk_cache_size: Bytes,
    /// Blocks that are marked for deletion answer for so long
    #[arg(long, value_name = "DURATION", default_value = "24h", help_heading = "Blocks")]
    pub(crate) ignore_deletion_marks_delay: Millis,

    /// Only blocks that have something after this time (RFC 3339), or this duration from now, like -2w
    #[arg(
        long,
        value_name = "TIME",
        default_value = "0000-01-01T00:00:00Z",
        help_heading = "Blocks",
        allow_hyphen_values = true
    )]
    pub(crate) min_time: TimeOrDuration,
    /// Only blocks that have something before it
    #[arg(
        long,
        value_name = "TIME",
        default_value = "9999-12-31T23:59:59Z",
        help_heading = "Blocks",
        allow_hyphen_values = true
    )]
    pub(crate) max_time: TimeOrDuration,
    /// Only blocks whose external labels, and __block_id, pass these rules: Prometheus' relabelling with keep, drop
    /// and hashmod
    #[arg(
        long = "selector.relabel-config",
        value_name = "YAML",
        help_heading = "Blocks",
        conflicts_with = "selector_relabel_config_file"
    )]
    pub(crate) selector_relabel_config: Option<String>,
    /// The same in a file
    #[arg(long = "selector.relabel-config-file", value_name = "FILE", help_heading = "Blocks")]
    pub(crate) selector_relabel_config_file: Option<PathBuf>,

    /// What is logged at least
    #[arg(long = "log.level", value_enum, default_value_t = LogLevel::Info, help_heading = "Itself")]
    pub(crate) log_level: LogLevel,
    #[arg(long = "log.format", value_enum, default_value_t = LogFormat::Logfmt, help_heading = "Itself")]
    pub(crate) log_format: LogFormat,
}

/// Everything that `store` needs to know.
pub(crate) struct Store {
    pub(crate) http: Address,
    pub(crate) grpc: Address,
    pub(crate) grace: Duration,
    pub(crate) tenants_file: Option<PathBuf>,
    pub(crate) tenant_label: String,
    /// How many listeners ask for no credentials although others can reach them.
    pub(crate) insecure_listeners: usize,
    pub(crate) hub_limits: HubLimits,
    pub(crate) callers: CallerOptions,
    pub(crate) patience: Patience,
    pub(crate) bucket: BucketAt,
    /// For `meta.json` files that were read before.
    pub(crate) meta_dir: PathBuf,
    pub(crate) gateway: GatewayOptions,
    /// The bucket is looked through this often.
    pub(crate) sync_every: Duration,
    pub(crate) store_api: StoreOptions,
    /// The longest that one call may wait for its place.
    pub(crate) timeout: Duration,
    pub(crate) log_level: LogLevel,
    pub(crate) log_format: LogFormat,
}

/// Of series that have to be sorted before they can be sent, of one call.
const MAX_MEMORY_BYTES: usize = 1 << 30;
const TIMEOUT: Duration = Duration::from_secs(120);

pub(crate) fn resolve(flags: &StoreFlags) -> Result<Store> {
    let http_tls = tls(&flags.http_server_tls_cert, &flags.http_server_tls_key, None);
    let http = Address::parse("http-address", &flags.http_address, http_tls)?;
    let grpc = flags.store_api.address(&flags.grpc_address)?;
    let bucket = match (&flags.objstore_config, &flags.objstore_config_file) {
        (Some(text), _) => BucketAt::Text(text.clone()),
        (None, Some(file)) => BucketAt::File(file.clone()),
        (None, None) => bail!("say where the blocks are: --objstore.config-file (docs/objstore.md)"),
    };
    let is_open = |address: &&Address| !address.socket.ip().is_loopback();
    let insecure_listeners = match &flags.tenants_config_file {
        Some(_) => 0,
        None => [&http, &grpc].into_iter().filter(is_open).count(),
    };
    let sync_every = flags.sync_block_duration.duration();
    ensure!(sync_every >= Duration::from_secs(1), "--sync-block-duration must be at least 1s");
    Ok(Store {
        http,
        grpc,
        grace: flags.http_grace_period.duration(),
        tenants_file: flags.tenants_config_file.clone(),
        tenant_label: flags.tenant_label_name.clone(),
        insecure_listeners,
        hub_limits: HubLimits::default(),
        callers: CallerOptions::default(),
        patience: Patience::default(),
        bucket,
        meta_dir: flags.data_dir.join("meta-syncer"),
        gateway: GatewayOptions {
            partition: Partition {
                min_time: flags.min_time.0,
                max_time: flags.max_time.0,
                selector: selector(flags)?,
            },
            ignore_deletion_marks_delay_ms: flags.ignore_deletion_marks_delay.0,
            cache_bytes: flags.index_cache_size.0,
            disk_cache: disk_cache(&flags.data_dir, flags.disk_cache_size),
            max_concurrent: flags.store_api.series_max_concurrency,
        },
        sync_every,
        store_api: flags.store_api.options("store", MAX_MEMORY_BYTES),
        timeout: TIMEOUT,
        log_level: flags.log_level,
        log_format: flags.log_format,
    })
}

fn selector(flags: &StoreFlags) -> Result<Relabel> {
    let (from, text) = match (&flags.selector_relabel_config, &flags.selector_relabel_config_file) {
        (Some(text), _) => ("--selector.relabel-config".to_owned(), text.clone()),
        (None, Some(path)) => {
            let from = path.display().to_string();
            (from.clone(), std::fs::read_to_string(path).with_context(|| format!("reading {from}"))?)
        }
        (None, None) => return Ok(Relabel::default()),
    };
    if text.trim().is_empty() {
        return Ok(Relabel::default());
    }
    let rules: Relabel = serde_saphyr::from_str(&text).with_context(|| from.clone())?;
    rules
        .check_actions(&[RelabelAction::Keep, RelabelAction::Drop, RelabelAction::HashMod])
        .with_context(|| from)?;
    Ok(rules)
}
