//! Flags checked against each other, with what follows from them.

use super::compaction::DedupFunc;
use super::raw::{FloatChunks, LogFormat, LogLevel, ServeFlags};
use super::shared::{disk_cache, tls};
use super::values::{Address, Millis};
use crate::history::{BucketAt, HistoryOptions};
use anyhow::{Context, Result, bail, ensure};
use nilometer_access::HubLimits;
use nilometer_cluster::StoresOptions;
use nilometer_head::HeadOptions;
use nilometer_model::{Labels, Tenant};
use nilometer_server::{
    CallerOptions, Dirs, Origins, Patience, QueryFeatures, QueryOptions, RemoteReadOptions, StoreOptions,
    WebOptions,
};
use std::path::PathBuf;
use std::time::Duration;

/// Everything that `serve` needs to know.
pub(crate) struct Serve {
    pub(crate) http: Address,
    pub(crate) remote_write: Address,
    pub(crate) grpc: Address,
    pub(crate) grace: Duration,
    pub(crate) tenants_file: Option<PathBuf>,
    /// How many listeners ask for no credentials although others can reach them.
    pub(crate) insecure_listeners: usize,
    pub(crate) hub_limits: HubLimits,
    pub(crate) head: HeadOptions,
    pub(crate) history: HistoryOptions,
    pub(crate) dirs: Dirs,
    pub(crate) flush_on_shutdown: bool,
    pub(crate) query: QueryOptions,
    pub(crate) store_api: StoreOptions,
    /// Stores whose series queries see, too.
    pub(crate) stores: StoresOptions,
    pub(crate) query_log: Option<PathBuf>,
    pub(crate) callers: CallerOptions,
    pub(crate) web: WebOptions,
    pub(crate) patience: Patience,
    pub(crate) log_level: LogLevel,
    pub(crate) log_format: LogFormat,
    /// `None`: not at all.
    pub(crate) self_metrics_interval: Option<Duration>,
    /// What is odd about the flags without being wrong.
    pub(crate) warnings: Vec<String>,
}

pub(crate) fn resolve(flags: &ServeFlags) -> Result<Serve> {
    let mut warnings = Vec::new();
    let http_tls = tls(&flags.http_server_tls_cert, &flags.http_server_tls_key, None);
    let http = Address::parse("http-address", &flags.http_address, http_tls)?;
    let client_ca = flags.remote_write_server_tls_client_ca.clone();
    let write_tls = tls(&flags.remote_write_server_tls_cert, &flags.remote_write_server_tls_key, client_ca);
    let remote_write = Address::parse("remote-write.address", &flags.remote_write_address, write_tls)?;
    let grpc = flags.store_api.address(&flags.grpc_address)?;
    let insecure_listeners = check_exposure(flags, &[&http, &remote_write, &grpc])?;
    let tenant_header = flags.receive_tenant_header.clone();
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-_!#$%&'*+.^`|~".contains(&b);
    ensure!(
        !tenant_header.is_empty() && tenant_header.bytes().all(is_token),
        "--receive.tenant-header={tenant_header}: this cannot be a header's name"
    );
    let head = head(flags)?;
    let query = query(flags, &mut warnings)?;
    let interval = duration("self-metrics-interval", flags.self_metrics_interval, Duration::from_secs(1))?;
    Ok(Serve {
        insecure_listeners,
        http,
        remote_write,
        grpc,
        grace: flags.http_grace_period.duration(),
        tenants_file: flags.tenants_config_file.clone(),
        hub_limits: HubLimits { connections: flags.max_connections, ..HubLimits::default() },
        dirs: Dirs { tsdb: head.dir.clone(), snapshots: flags.data_dir.join("snapshots") },
        head,
        history: history(flags)?,
        flush_on_shutdown: flags.flush_on_shutdown,
        store_api: flags.store_api.options("receive", query.max_memory_bytes),
        query,
        stores: flags.store_client.options(&flags.endpoint)?,
        query_log: flags.query_log_file.clone(),
        callers: CallerOptions {
            tenant_header,
            enforce_tenancy: flags.query_enforce_tenancy,
            trusted_proxies: flags.http_trusted_proxy.iter().copied().collect(),
        },
        web: WebOptions {
            origins: if flags.web_disable_cors {
                Origins::none()
            } else {
                Origins::matching(&flags.web_cors_origin).context("--web.cors.origin")?
            },
            flags: flags.by_name.clone(),
            config: config(flags),
        },
        patience: Patience {
            first_request: flags.http_header_timeout.duration(),
            body_pause: flags.http_body_timeout.duration(),
            answer_pause: duration("http.unread-timeout", flags.http_unread_timeout, Duration::from_secs(1))?,
            ..Patience::default()
        },
        log_level: flags.log_level,
        log_format: flags.log_format,
        self_metrics_interval: (!flags.no_self_metrics).then_some(interval),
        warnings,
    })
}

fn history(flags: &ServeFlags) -> Result<HistoryOptions> {
    let bucket = match (&flags.objstore_config, &flags.objstore_config_file) {
        (Some(text), _) => BucketAt::Text(text.clone()),
        (None, Some(file)) => BucketAt::File(file.clone()),
        (None, None) => BucketAt::Folder(flags.data_dir.join("bucket")),
    };
    let compaction = flags.compaction.resolve(true, DedupFunc::OneToOne, flags.data_dir.join("compact"))?;
    Ok(HistoryOptions {
        bucket,
        sync_every: duration("sync-block-duration", flags.sync_block_duration, Duration::from_secs(1))?,
        ship_every: duration("shipper.interval", flags.shipper_interval, Duration::from_millis(10))?,
        cache_bytes: flags.index_cache_size.0,
        disk_cache: disk_cache(&flags.data_dir, flags.disk_cache_size),
        meta_dir: flags.data_dir.join("meta-syncer"),
        compaction: (!flags.no_compact).then_some(compaction),
    })
}

/// What a `prometheus.yml` would say of it.
fn config(flags: &ServeFlags) -> String {
    let mut yaml = String::new();
    if !flags.labels.is_empty() {
        yaml += "global:\n  external_labels:\n";
        for pair in &flags.labels {
            // A text of JSON is one of YAML.
            yaml += &format!("    {}: {}\n", pair.name, serde_json::Value::from(pair.value.as_str()));
        }
    }
    let value = |name: &str| flags.by_name.get(name).map_or("", String::as_str);
    yaml += &format!(
        "storage:\n  tsdb:\n    out_of_order_time_window: {}\n    retention:\n      time: {}\n",
        value("tsdb.out-of-order.time-window"),
        value("tsdb.retention")
    );
    yaml
}

/// Refuses to be open to others by accident. Gives the number of listeners that are, knowingly.
fn check_exposure(flags: &ServeFlags, addresses: &[&Address]) -> Result<usize> {
    if flags.tenants_config_file.is_some() {
        return Ok(0);
    }
    let exposed: Vec<String> = addresses
        .iter()
        .map(|address| address.socket)
        .filter(|socket| !socket.ip().is_loopback())
        .map(|socket| socket.to_string())
        .collect();
    if !exposed.is_empty() && !flags.insecure_no_auth {
        bail!(
            "{} can be reached from other machines, and nobody would be asked for a credential.\n\
             Give each tenant a credential with --tenants.config-file (docs/tenants.md),\n\
             or listen on 127.0.0.1, or, where something in front asks for credentials, add --insecure-no-auth.",
            exposed.join(" and ")
        );
    }
    Ok(exposed.len())
}

fn head(flags: &ServeFlags) -> Result<HeadOptions> {
    const MINUTE: Duration = Duration::from_secs(60);
    let block = duration("tsdb.min-block-duration", flags.min_block_duration, MINUTE)?;
    ensure!(
        flags.min_block_duration == flags.max_block_duration,
        "--tsdb.min-block-duration and --tsdb.max-block-duration must be equal: blocks are not compacted here"
    );
    let tenant_label = flags.receive_tenant_label_name.clone();
    let mut labels = Labels::empty().to_builder();
    for pair in &flags.labels {
        ensure!(
            pair.name != tenant_label,
            "--label={}: this label is the tenant's (--receive.tenant-label-name)",
            pair.name
        );
        labels.set(&pair.name, &pair.value);
    }
    Ok(HeadOptions {
        dir: flags.tsdb_path.clone().unwrap_or_else(|| flags.data_dir.join("receive")),
        block_ms: block.as_millis() as i64,
        out_of_order_window_ms: flags.out_of_order_window.0,
        too_far_in_future_ms: flags.too_far_in_future_window.0,
        retention_ms: flags.tsdb_retention.0,
        keep_expired: true,
        reserve_bytes: flags.reserve.0,
        snapshot_after_bytes: flags.snapshot_after.0,
        keep_starts: flags.chunk_encoding == FloatChunks::Xor2,
        labels: labels.build(),
        tenant_label,
        default_tenant: Tenant::new(&flags.receive_default_tenant_id)
            .context("--receive.default-tenant-id")?,
        ..HeadOptions::default()
    })
}

fn query(flags: &ServeFlags, warnings: &mut Vec<String>) -> Result<QueryOptions> {
    ensure!(flags.query_max_concurrent > 0, "--query.max-concurrent=0: no query would ever be computed");
    ensure!(flags.query_lookback_delta.0 > 0, "--query.lookback-delta=0s: no sample would ever count");
    let max_memory = usize::try_from(flags.query_max_memory.0).context("--query.max-memory")?;
    Ok(QueryOptions {
        timeout: duration("query.timeout", flags.query_timeout, Duration::from_millis(1))?,
        max_concurrent: flags.query_max_concurrent,
        lookback_ms: flags.query_lookback_delta.0,
        auto_downsampling: !flags.no_query_auto_downsampling,
        max_samples: flags.query_max_samples,
        max_memory_bytes: max_memory,
        max_search_limit: flags.web_search_max_limit,
        remote_read: RemoteReadOptions {
            max_samples: flags.remote_read_sample_limit,
            max_concurrent: flags.remote_read_concurrent_limit,
            frame_bytes: usize::try_from(flags.remote_read_frame.0)
                .context("--storage.remote.read-max-bytes-in-frame")?,
        },
        features: features(&flags.enable_feature, warnings),
    })
}

/// Unknown features are warned about, as Prometheus does: what is experimental in one version is gone in the
/// next.
fn features(names: &[String], warnings: &mut Vec<String>) -> QueryFeatures {
    let mut features = QueryFeatures::default();
    for name in names {
        match name.as_str() {
            "promql-experimental-functions" => features.experimental_functions = true,
            "promql-delayed-name-removal" => features.delayed_name_removal = true,
            "promql-duration-expr" => features.duration_expressions = true,
            "promql-extended-range-selectors" => features.extended_range_selectors = true,
            "promql-binop-fill-modifiers" => features.fill_modifiers = true,
            "type-and-unit-labels" => features.type_and_unit_labels = true,
            "promql-per-step-stats" => features.per_step_stats = true,
            "search-api" => features.search_api = true,
            "use-start-timestamps" => features.start_timestamps = true,
            other => warnings.push(format!("--enable-feature={other}: there is no such feature here")),
        }
    }
    features
}

fn duration(flag: &str, value: Millis, at_least: Duration) -> Result<Duration> {
    let duration = value.duration();
    ensure!(duration >= at_least, "--{flag} must be at least {} ms", at_least.as_millis());
    Ok(duration)
}
