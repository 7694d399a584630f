//! The flags of `serve` as they are written.

use super::compaction::CompactionFlags;
use super::shared::{StoreApiFlags, StoreClientFlags};
use super::values::{Bytes, LabelPair, Millis};
use clap::{Args, ValueEnum};
use nilometer_server::Network;
use std::collections::BTreeMap;
use std::path::PathBuf;

// No `///` here: clap would show it in place of what the command is.
#[derive(Args, Debug)]
#[command(next_help_heading = "Addresses")]
pub(crate) struct ServeFlags {
    /// Where everything is served: queries, the page at /, metrics, and writes
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:10902")]
    pub(crate) http_address: String,
    /// Where writes are taken, at /api/v1/receive
    #[arg(long = "remote-write.address", value_name = "HOST:PORT", default_value = "127.0.0.1:19291")]
    pub(crate) remote_write_address: String,
    /// Where Thanos' queriers, and other hubs, read what is here (StoreAPI)
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:10901")]
    pub(crate) grpc_address: String,
    /// At the end, requests that are being answered get so long
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    pub(crate) http_grace_period: Millis,
    /// A new connection must have sent the head of a request within this
    #[arg(long = "http.header-timeout", value_name = "DURATION", default_value = "10s", hide = true)]
    pub(crate) http_header_timeout: Millis,
    /// Pauses within a body may last so long
    #[arg(long = "http.body-timeout", value_name = "DURATION", default_value = "30s", hide = true)]
    pub(crate) http_body_timeout: Millis,
    /// An answer of which nothing is taken for so long is given up
    #[arg(long = "http.unread-timeout", value_name = "DURATION", default_value = "1m", hide = true)]
    pub(crate) http_unread_timeout: Millis,
    /// Origins whose pages may read answers, as a regular expression
    #[arg(long = "web.cors.origin", value_name = "REGEX", default_value = ".*")]
    pub(crate) web_cors_origin: String,
    /// The highest limit of a search for names (--enable-feature=search-api); 0: any
    #[arg(long = "web.search.max-limit", value_name = "N", default_value_t = 10_000)]
    pub(crate) web_search_max_limit: usize,
    /// Pages of no other origin may read answers
    #[arg(long = "web.disable-cors")]
    pub(crate) web_disable_cors: bool,
    /// Address or network of a proxy in front: wrong passwords are counted against whom its X-Forwarded-For names;
    /// may be repeated
    #[arg(long = "http.trusted-proxy", value_name = "ADDRESS[/BITS]")]
    pub(crate) http_trusted_proxy: Vec<Network>,
    /// Certificate (PEM) of the HTTP address; read again when it changes
    #[arg(long = "http-server-tls-cert", value_name = "FILE", requires = "http_server_tls_key")]
    pub(crate) http_server_tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long = "http-server-tls-key", value_name = "FILE", requires = "http_server_tls_cert")]
    pub(crate) http_server_tls_key: Option<PathBuf>,
    /// Certificate (PEM) of the remote-write address; read again when it changes
    #[arg(
        long = "remote-write.server-tls-cert",
        value_name = "FILE",
        requires = "remote_write_server_tls_key"
    )]
    pub(crate) remote_write_server_tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(
        long = "remote-write.server-tls-key",
        value_name = "FILE",
        requires = "remote_write_server_tls_cert"
    )]
    pub(crate) remote_write_server_tls_key: Option<PathBuf>,
    /// Senders must have a certificate that one of these (PEM) signed
    #[arg(
        long = "remote-write.server-tls-client-ca",
        value_name = "FILE",
        requires = "remote_write_server_tls_cert"
    )]
    pub(crate) remote_write_server_tls_client_ca: Option<PathBuf>,

    /// Tenants, their credentials and limits (docs/tenants.md); read again on SIGHUP and POST /-/reload
    #[arg(long = "tenants.config-file", value_name = "FILE", help_heading = "Tenants")]
    pub(crate) tenants_config_file: Option<PathBuf>,
    /// Listen beyond loopback without a tenants file: whoever reaches it writes and reads everything
    #[arg(long, help_heading = "Tenants")]
    pub(crate) insecure_no_auth: bool,
    /// Header that names the tenant of a write
    #[arg(
        long = "receive.tenant-header",
        value_name = "NAME",
        default_value = "THANOS-TENANT",
        help_heading = "Tenants"
    )]
    pub(crate) receive_tenant_header: String,
    /// Tenant of writes that name none
    #[arg(
        long = "receive.default-tenant-id",
        value_name = "TENANT",
        default_value = "default-tenant",
        help_heading = "Tenants"
    )]
    pub(crate) receive_default_tenant_id: String,
    /// Label by which queries see the tenant
    #[arg(
        long = "receive.tenant-label-name",
        value_name = "LABEL",
        default_value = "tenant_id",
        help_heading = "Tenants"
    )]
    pub(crate) receive_tenant_label_name: String,

    /// Everything lies in here
    #[arg(long, value_name = "DIR", default_value = "./data", help_heading = "Storage")]
    pub(crate) data_dir: PathBuf,
    /// Blocks and log lie in here [default: `receive` in --data-dir]
    #[arg(long = "tsdb.path", value_name = "DIR", help_heading = "Storage")]
    pub(crate) tsdb_path: Option<PathBuf>,
    /// Object storage, as Thanos' YAML (docs/objstore.md), where all but the newest samples lie
    /// [default: the folder `bucket` in --data-dir]
    #[arg(
        long = "objstore.config",
        value_name = "YAML",
        help_heading = "Storage",
        conflicts_with = "objstore_config_file"
    )]
    pub(crate) objstore_config: Option<String>,
    /// The same in a file, which is read again when it changes
    #[arg(long = "objstore.config-file", value_name = "FILE", help_heading = "Storage")]
    pub(crate) objstore_config_file: Option<PathBuf>,
    /// The bucket is looked through for blocks of others this often
    #[arg(
        long = "sync-block-duration",
        value_name = "DURATION",
        default_value = "15m",
        help_heading = "Storage"
    )]
    pub(crate) sync_block_duration: Millis,
    /// New blocks are looked for this often, to be uploaded
    #[arg(long = "shipper.interval", value_name = "DURATION", default_value = "30s", hide = true)]
    pub(crate) shipper_interval: Millis,
    /// Memory for what was read of blocks in the bucket
    #[arg(long = "index-cache-size", value_name = "BYTES", default_value = "64MB", help_heading = "Storage")]
    pub(crate) index_cache_size: Bytes,
    /// Disk for the same, where the bucket is no folder: in --data-dir, `page-cache`; 0B is none
    #[arg(long = "disk-cache-size", value_name = "BYTES", default_value = "1GB", help_heading = "Storage")]
    pub(crate) disk_cache_size: Bytes,
    /// Blocks older than this are deleted here: they are in object storage then; 0d keeps all here too
    #[arg(long = "tsdb.retention", value_name = "DURATION", default_value = "15d", help_heading = "Storage")]
    pub(crate) tsdb_retention: Millis,
    #[command(flatten)]
    pub(crate) compaction: CompactionFlags,
    /// The bucket is left to another compactor
    #[arg(long = "no-compact", help_heading = "Compaction")]
    pub(crate) no_compact: bool,
    /// Samples may be so much older than the tenant's newest one
    #[arg(
        long = "tsdb.out-of-order.time-window",
        value_name = "DURATION",
        default_value = "10m",
        help_heading = "Storage"
    )]
    pub(crate) out_of_order_window: Millis,
    /// Samples may be so much ahead of this machine's clock
    #[arg(
        long = "tsdb.too-far-in-future.time-window",
        value_name = "DURATION",
        default_value = "10m",
        help_heading = "Storage"
    )]
    pub(crate) too_far_in_future_window: Millis,
    /// Width of the blocks that are cut
    #[arg(long = "tsdb.min-block-duration", value_name = "DURATION", default_value = "2h", hide = true)]
    pub(crate) min_block_duration: Millis,
    #[arg(long = "tsdb.max-block-duration", value_name = "DURATION", default_value = "2h", hide = true)]
    pub(crate) max_block_duration: Millis,
    /// Chunks of floats in blocks; xor2 keeps start timestamps, which Prometheus before 3.11 cannot read
    #[arg(
        long = "tsdb.chunk-encoding.floats",
        value_name = "ENCODING",
        default_value = "xor",
        help_heading = "Storage"
    )]
    pub(crate) chunk_encoding: FloatChunks,
    /// Writes are refused while less is free on the disk
    #[arg(long = "tsdb.reserve", value_name = "SIZE", default_value = "256MiB", help_heading = "Storage")]
    pub(crate) reserve: Bytes,
    /// A snapshot of what is in memory is written, and the log before it dropped, when this much was logged
    #[arg(long = "tsdb.snapshot-after", value_name = "SIZE", default_value = "8MiB", hide = true)]
    pub(crate) snapshot_after: Bytes,
    /// Label of all blocks and series of this process, like replica="a"; may be repeated
    #[arg(long = "label", value_name = "NAME=\"VALUE\"", help_heading = "Storage")]
    pub(crate) labels: Vec<LabelPair>,
    /// At the end, cut everything into blocks, so that Thanos or Prometheus can go on with them
    #[arg(long, help_heading = "Storage")]
    pub(crate) flush_on_shutdown: bool,

    /// Another process that answers over the StoreAPI, such as a store: queries see what it has, too; may be repeated
    #[arg(long, value_name = "HOST:PORT", help_heading = "Queries")]
    pub(crate) endpoint: Vec<String>,
    #[command(flatten)]
    pub(crate) store_client: StoreClientFlags,
    /// The longest that a query may take, waiting included
    #[arg(long = "query.timeout", value_name = "DURATION", default_value = "2m", help_heading = "Queries")]
    pub(crate) query_timeout: Millis,
    /// So many queries are computed at a time; others wait
    #[arg(long = "query.max-concurrent", value_name = "N", default_value_t = 20, help_heading = "Queries")]
    pub(crate) query_max_concurrent: usize,
    /// How old the newest sample of a series may be to count
    #[arg(
        long = "query.lookback-delta",
        value_name = "DURATION",
        default_value = "5m",
        help_heading = "Queries"
    )]
    pub(crate) query_lookback_delta: Millis,
    /// Without max_source_resolution=auto a query looks at raw samples only, else at downsampled ones where they will do
    #[arg(long = "no-query.auto-downsampling", help_heading = "Queries")]
    pub(crate) no_query_auto_downsampling: bool,
    /// Samples that one query may hold at once
    #[arg(
        long = "query.max-samples",
        value_name = "N",
        default_value_t = 50_000_000,
        help_heading = "Queries"
    )]
    pub(crate) query_max_samples: usize,
    /// Memory that one query may hold at once
    #[arg(long = "query.max-memory", value_name = "SIZE", default_value = "1GiB", help_heading = "Queries")]
    pub(crate) query_max_memory: Bytes,
    /// A line of JSON for each query is appended to this file, which is opened anew on SIGHUP
    #[arg(long = "query.log-file", value_name = "FILE", help_heading = "Queries")]
    pub(crate) query_log_file: Option<PathBuf>,
    /// Samples of one query of a remote read that is not streamed; 0 is without limit
    #[arg(
        long = "storage.remote.read-sample-limit",
        value_name = "N",
        default_value_t = 50_000_000,
        help_heading = "Queries"
    )]
    pub(crate) remote_read_sample_limit: usize,
    /// So many remote reads are answered at a time; others wait
    #[arg(
        long = "storage.remote.read-concurrent-limit",
        value_name = "N",
        default_value_t = 10,
        help_heading = "Queries"
    )]
    pub(crate) remote_read_concurrent_limit: usize,
    /// About the size of a frame of a streamed remote read
    #[arg(
        long = "storage.remote.read-max-bytes-in-frame",
        value_name = "SIZE",
        default_value = "1048576",
        hide = true
    )]
    pub(crate) remote_read_frame: Bytes,
    /// The tenant header says which tenant a query sees, of those that it may
    #[arg(long = "query.enforce-tenancy", help_heading = "Queries")]
    pub(crate) query_enforce_tenancy: bool,
    /// Experimental parts, by Prometheus' names, with commas between; may be repeated
    #[arg(long = "enable-feature", value_name = "NAME", value_delimiter = ',', help_heading = "Queries")]
    pub(crate) enable_feature: Vec<String>,

    #[command(flatten)]
    pub(crate) store_api: StoreApiFlags,

    /// What is logged at least
    #[arg(long = "log.level", value_enum, default_value_t = LogLevel::Info, help_heading = "Itself")]
    pub(crate) log_level: LogLevel,
    #[arg(long = "log.format", value_enum, default_value_t = LogFormat::Logfmt, help_heading = "Itself")]
    pub(crate) log_format: LogFormat,
    /// Do not keep the hub's own metrics under tenant `nilometer`
    #[arg(long, help_heading = "Itself")]
    pub(crate) no_self_metrics: bool,
    /// How often they are stored
    #[arg(long, value_name = "DURATION", default_value = "15s", help_heading = "Itself")]
    pub(crate) self_metrics_interval: Millis,
    /// Connections that may be open, where no tenants file says
    #[arg(long, value_name = "N", default_value_t = 20_000, help_heading = "Itself")]
    pub(crate) max_connections: u64,

    /// All flags by name, those left out with their defaults.
    #[arg(skip)]
    pub(crate) by_name: BTreeMap<String, String>,
}

/// The values of Prometheus' `storage.tsdb.chunk_encoding.floats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FloatChunks {
    Xor,
    Xor2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Logfmt,
    Json,
}
