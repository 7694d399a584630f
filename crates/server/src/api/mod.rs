//! Prometheus' HTTP API: what a dashboard asks.
//!
//! One file for each family of endpoints. Parameters are read by `params`, answers are written by `answer`
//! and `json` byte for byte as Prometheus writes them, mistakes by `error`. Facts:
//! <https://prometheus.io/docs/prometheus/latest/querying/api/> and, where that is silent, what a real one
//! answers (`testdata/api`).
//!
//! Each request that comes here carries a [`Caller`] in its extensions, put there by `auth`, and may read.
//! All that looks at data runs on the query pool.

mod answer;
mod data;
mod error;
mod exemplars;
mod explain;
mod features;
mod federate;
mod json;
mod labels;
mod metadata;
mod openapi;
mod params;
mod process;
mod query;
mod remote_read;
mod rules;
mod scraping;
mod search;
mod series;
mod status;
mod syntax;
mod text;
mod time;
mod unsent;

pub(crate) use data::Data;

use self::error::{ApiError, ApiResult, ErrorType};
use self::unsent::Unsent;
use crate::body::{BodyBudget, NoBody, Received};
use crate::gate::Who;
use crate::{BuildInfo, Caller, Hub, QueryLog, QueryOptions, QueryPool, RemoteReadOptions};
use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::{HeaderMap, Method, StatusCode, request};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use nilometer_access::{Identity, ReadScope, Scopes};
use nilometer_env::Clock;
use nilometer_promql::parse::ParseOptions;
use nilometer_promql::{Engine, EngineOptions, Limits, Resolution};
use nilometer_storage::Queryable;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Evaluation steps of a subquery. Prometheus bounds only the samples; this bounds the steps without any.
const MAX_SUBQUERY_STEPS: usize = 10_000_000;

/// Forms and bodies of all requests that are read or wait for a place; of one caller a quarter.
const MAX_BODIES_BYTES: usize = 64 << 20;

/// What the endpoints share.
pub(crate) struct Api {
    data: Arc<dyn Data>,
    engine: Engine,
    /// Where a query does not say.
    resolution: Resolution,
    pool: QueryPool,
    query_log: Option<Arc<QueryLog>>,
    clock: Arc<dyn Clock>,
    build: BuildInfo,
    unsent: Unsent,
    bodies: BodyBudget,
    max_memory_bytes: usize,
    search: Search,
    remote_read: RemoteReadOptions,
    read_places: remote_read::Places,
}

/// Whether names are searched, and how many of them at a time; 0 is any number.
struct Search {
    enabled: bool,
    max_limit: usize,
}

/// All routes that read.
pub(crate) fn routes(hub: &Arc<Hub>) -> Router<Arc<Hub>> {
    let (pool, log, clock) = (hub.query_pool.clone(), hub.query_log.clone(), hub.clock.clone());
    let api = Api::new(hub.clone(), &hub.query, pool, log, clock, hub.build.clone());
    all(&Arc::new(api))
}

/// The same over any data.
fn all<S: Clone + Send + Sync + 'static>(api: &Arc<Api>) -> Router<S> {
    let federate = Router::new().route("/federate", get(federate::federate)).with_state(api.clone());
    Router::new().nest("/api/v1", under_v1(api)).merge(federate)
}

/// Those that tell of the process.
pub(crate) fn process_routes() -> Router<Arc<Hub>> {
    Router::new()
        .route("/api/v1/status/config", get(process::config))
        .route("/api/v1/status/flags", get(process::flags))
        .route("/api/v1/status/compaction", get(process::compaction))
        .route("/api/v1/status/runtimeinfo", get(process::runtime))
}

fn under_v1<S>(api: &Arc<Api>) -> Router<S> {
    Router::<Arc<Api>>::new()
        .route("/query", get(query::instant).post(query::instant))
        .route("/query_range", get(query::range).post(query::range))
        .route("/query_explain", get(explain::instant).post(explain::instant))
        .route("/query_range_explain", get(explain::range).post(explain::range))
        .route("/query_exemplars", get(exemplars::exemplars).post(exemplars::exemplars))
        .route("/format_query", get(syntax::format).post(syntax::format))
        .route("/parse_query", get(syntax::tree).post(syntax::tree))
        .route("/series", get(series::series).post(series::series))
        .route("/labels", get(labels::names).post(labels::names))
        .route("/label/{name}/values", get(labels::values))
        .route("/search/metric_names", get(search::metric_names).post(search::metric_names))
        .route("/search/label_names", get(search::label_names).post(search::label_names))
        .route("/search/label_values", get(search::label_values).post(search::label_values))
        .route("/read", post(remote_read::read))
        .route("/metadata", get(metadata::metadata))
        .route("/targets", get(scraping::targets))
        .route("/targets/metadata", get(scraping::metadata))
        .route("/targets/relabel_steps", get(scraping::relabel_steps))
        .route("/scrape_pools", get(scraping::pools))
        .route("/scrape_pools/config", get(scraping::pool_config))
        .route("/rules", get(rules::rules))
        .route("/alerts", get(rules::alerts))
        .route("/alertmanagers", get(rules::alertmanagers))
        .route("/notifications", get(rules::notifications))
        .route("/notifications/live", get(rules::live_notifications))
        .route("/features", get(features::features))
        .route("/openapi.yaml", get(openapi::description))
        .route("/status/buildinfo", get(status::build_info))
        .route("/status/tsdb", get(status::tsdb))
        .route("/status/tsdb/blocks", get(status::blocks))
        .route("/status/walreplay", get(status::log_replay))
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(api.clone())
}

impl Api {
    fn new(
        data: Arc<dyn Data>,
        options: &QueryOptions,
        pool: QueryPool,
        query_log: Option<Arc<QueryLog>>,
        clock: Arc<dyn Clock>,
        build: BuildInfo,
    ) -> Self {
        let features = options.features;
        let engine = Engine::new(EngineOptions {
            lookback_ms: options.lookback_ms,
            limits: Limits {
                max_samples: options.max_samples,
                max_memory_bytes: options.max_memory_bytes,
                max_steps: MAX_SUBQUERY_STEPS,
            },
            parse: ParseOptions {
                experimental_functions: features.experimental_functions,
                duration_expressions: features.duration_expressions,
                extended_range_selectors: features.extended_range_selectors,
                binop_fill_modifiers: features.fill_modifiers,
            },
            delayed_name_removal: features.delayed_name_removal,
            type_and_unit_labels: features.type_and_unit_labels,
            start_timestamps: features.start_timestamps,
            per_step_stats: features.per_step_stats,
            ..EngineOptions::default()
        });
        let max_memory_bytes = options.max_memory_bytes;
        let resolution = if options.auto_downsampling { Resolution::Auto } else { Resolution::RAW };
        let remote_read = options.remote_read;
        Api {
            data,
            engine,
            resolution,
            pool,
            query_log,
            clock,
            build,
            unsent: Unsent::new(max_memory_bytes),
            bodies: BodyBudget::new(MAX_BODIES_BYTES),
            max_memory_bytes,
            search: Search { enabled: features.search_api, max_limit: options.max_search_limit },
            remote_read,
            read_places: remote_read::Places::new(remote_read),
        }
    }

    /// Reads a request's body, within what there is for those of all requests.
    async fn received(
        &self,
        reader: &Reader,
        headers: &HeaderMap,
        body: Body,
        max_bytes: u64,
    ) -> ApiResult<Received> {
        let who = reader.who();
        let received = self.bodies.receive(who.as_deref().unwrap_or_default(), headers, body, max_bytes);
        received.await.map_err(|e| match e {
            NoBody::TooLarge { max } => ApiError::new(
                ErrorType::TooLarge,
                format!("the body is larger than {} MiB: ask for less at a time", max >> 20),
            ),
            NoBody::NoMemory => ApiError::new(
                ErrorType::Unavailable,
                "other requests take all the memory that there is for bodies: retry, with fewer at a time",
            ),
            NoBody::TooSlow(why) => ApiError::bad_data(why.to_string()),
            NoBody::Broken(why) | NoBody::Malformed(why) => {
                ApiError::bad_data(format!("the body broke off: {why}"))
            }
        })
    }

    /// Does `work` on the query pool, at a place of `who`.
    async fn compute<T: Send + 'static>(
        &self,
        who: Who,
        timeout: Option<Duration>,
        work: impl Future<Output = ApiResult<T>> + Send + 'static,
    ) -> ApiResult<T> {
        self.pool.run(who, timeout, async { Ok(work.await) }).await?
    }
}

/// Who asks, and which tenants it sees.
struct Reader {
    scope: ReadScope,
    identity: Arc<Identity>,
    client: IpAddr,
    method: Method,
    /// As the route is written.
    path: String,
}

impl Reader {
    /// By whom places are shared out: its tenant, or its own name where it sees all.
    fn who(&self) -> Who {
        match &self.scope {
            ReadScope::Only(tenant) => Some(tenant.as_str().into()),
            ReadScope::All if self.identity.scopes == Scopes::ALL => None,
            ReadScope::All => Some(self.identity.name.as_str().into()),
        }
    }

    fn queryable(&self, api: &Api) -> Arc<dyn Queryable> {
        api.data.queryable(&self.scope)
    }
}

impl FromRequestParts<Arc<Api>> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, _api: &Arc<Api>) -> ApiResult<Self> {
        let nobody = "the request came here without being authenticated: please report this";
        let Some(caller) = parts.extensions.get::<Caller>() else {
            return Err(ApiError::new(ErrorType::Internal, nobody));
        };
        let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        Ok(Reader {
            scope: caller.read_scope.clone(),
            identity: caller.identity.clone(),
            client: caller.client,
            method: parts.method.clone(),
            path: path.to_owned(),
        })
    }
}

async fn method_not_allowed() -> impl IntoResponse {
    (StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n")
}

#[cfg(test)]
mod tests;
