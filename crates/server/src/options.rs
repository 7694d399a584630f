//! What a start decides, beyond the addresses: how much queries may take, and how writes find their tenant.

use crate::{Origins, TrustedProxies};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct QueryOptions {
    /// `--query.timeout`: the longest that one may take, waiting included.
    pub timeout: Duration,
    /// `--query.max-concurrent`: so many are computed at a time; others wait.
    pub max_concurrent: usize,
    /// `--query.lookback-delta`
    pub lookback_ms: i64,
    /// `--query.auto-downsampling`: the coarsest samples that will do, where a query does not say.
    pub auto_downsampling: bool,
    /// `--query.max-samples`: in memory at once, of one query.
    pub max_samples: usize,
    /// `--query.max-memory`: of intermediate results at once, of one query.
    pub max_memory_bytes: usize,
    /// `--web.search.max-limit`: the highest `limit` of a search for names; 0 is any.
    pub max_search_limit: usize,
    pub remote_read: RemoteReadOptions,
    pub features: QueryFeatures,
}

/// `--storage.remote.read-…`
#[derive(Clone, Copy, Debug)]
pub struct RemoteReadOptions {
    /// Of one query of a request whose answer is not streamed; 0 is without limit.
    pub max_samples: usize,
    /// So many are answered at a time; others wait.
    pub max_concurrent: usize,
    /// About the size of one frame of a streamed answer.
    pub frame_bytes: usize,
}

impl Default for RemoteReadOptions {
    fn default() -> Self {
        RemoteReadOptions { max_samples: 50_000_000, max_concurrent: 10, frame_bytes: 1 << 20 }
    }
}

impl Default for QueryOptions {
    fn default() -> Self {
        QueryOptions {
            timeout: Duration::from_secs(120),
            max_concurrent: 20,
            lookback_ms: 5 * 60_000,
            auto_downsampling: true,
            max_samples: 50_000_000,
            max_memory_bytes: 1 << 30,
            max_search_limit: 10_000,
            remote_read: RemoteReadOptions::default(),
            features: QueryFeatures::default(),
        }
    }
}

/// `--enable-feature`, by Prometheus' names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryFeatures {
    /// `promql-experimental-functions`
    pub experimental_functions: bool,
    /// `promql-delayed-name-removal`
    pub delayed_name_removal: bool,
    /// `promql-duration-expr`
    pub duration_expressions: bool,
    /// `promql-extended-range-selectors`
    pub extended_range_selectors: bool,
    /// `promql-binop-fill-modifiers`
    pub fill_modifiers: bool,
    /// `type-and-unit-labels`
    pub type_and_unit_labels: bool,
    /// `use-uncached-io` and others have no meaning here; `st-storage` and its kin change what `rate` sees.
    pub start_timestamps: bool,
    /// `promql-per-step-stats`
    pub per_step_stats: bool,
    /// `search-api`
    pub search_api: bool,
}

/// How it is found out who calls.
#[derive(Clone, Debug)]
pub struct CallerOptions {
    /// `--receive.tenant-header`; `THANOS-TENANT` is read too where this one is absent.
    pub tenant_header: String,
    /// `--query.enforce-tenancy`
    pub enforce_tenancy: bool,
    /// `--http.trusted-proxy`
    pub trusted_proxies: TrustedProxies,
}

impl Default for CallerOptions {
    fn default() -> Self {
        CallerOptions {
            tenant_header: "THANOS-TENANT".to_owned(),
            enforce_tenancy: false,
            trusted_proxies: TrustedProxies::default(),
        }
    }
}

/// What there is to say to who asks over HTTP, beside data.
#[derive(Clone, Debug, Default)]
pub struct WebOptions {
    /// `--web.cors.origin`
    pub origins: Origins,
    /// All flags by name, as `/api/v1/status/flags` shows them.
    pub flags: BTreeMap<String, String>,
    /// What of Prometheus' configuration file the flags say, as YAML: `/api/v1/status/config`.
    pub config: String,
}

/// How long a peer may take. Requests and answers that take longer are given up, so that slow ones do not fill
/// the hub.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From the connection to the end of the first request's head, TLS included.
    pub first_request: Duration,
    /// Pauses within a body.
    pub body_pause: Duration,
    /// A whole body.
    pub body: Duration,
    /// `--http.unread-timeout`: pauses in the taking of an answer.
    pub answer_pause: Duration,
    /// A whole answer.
    pub answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            first_request: Duration::from_secs(10),
            body_pause: Duration::from_secs(30),
            body: Duration::from_secs(120),
            answer_pause: Duration::from_secs(60),
            answer: Duration::from_secs(900),
        }
    }
}
