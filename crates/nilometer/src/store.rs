//! `nilometer store`: the blocks of a bucket over the StoreAPI, Thanos' store gateway.

use crate::answering::{self, RUNTIME_GRACE};
use crate::flags::Store;
use crate::history::{FIRST_LOOK, Outside, open_bucket};
use crate::{log, threads};
use anyhow::{Context, Result};
use nilometer_bucket::Lookout;
use nilometer_env::{Clock, RealFs, SystemClock, SystemRandom};
use nilometer_gateway::{Gateway, Parts as GatewayParts};
use nilometer_model::Tenant;
use nilometer_server::{
    BucketData, Edge, EdgeParts, Listener, QueryPool, TlsKeys, grpc_routes, store_routes,
};
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Memory of blocks that nobody asks for is given back, and certificates and the objstore config are looked at, this
/// often.
const UPKEEP: Duration = Duration::from_secs(30);

pub(crate) fn run(options: &Store, ignored: &[&str]) -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    log::start(options.log_level, options.log_format, clock.clone());
    let open_files = threads::raise_file_limit();
    let build = answering::build();
    answering::tell_of_start(&build, ignored, &[], options.insecure_listeners);
    let edges = threads::ingest().context("starting threads")?;
    let queries = threads::queries(options.store_api.max_concurrent).context("starting threads")?;
    let storage = threads::storage().context("starting threads")?;
    let outside: Outside = (clock.clone(), Arc::new(RealFs), Arc::new(SystemRandom));
    let load = |files: &Option<_>| files.clone().map(TlsKeys::load).transpose();
    let (http_tls, grpc_tls) = (load(&options.http.tls)?, load(&options.grpc.tls)?);
    let mut registry = Registry::default();
    let bucket = open_bucket(&options.bucket, &outside, &mut registry)?;
    let lookout = Lookout::new(bucket.clone(), outside.1.clone(), clock.clone(), options.meta_dir.clone());
    let parts =
        GatewayParts { clock: clock.clone(), fs: outside.1.clone(), runtime: storage.handle().clone() };
    let gateway = Arc::new(Gateway::new(Arc::new(lookout), parts, options.gateway.clone(), &mut registry));
    let tenants = (options.tenants_file.as_deref(), Tenant::new("default-tenant")?);
    let access = answering::access(&outside, tenants, options.hub_limits.clone(), &mut registry)?;
    let edge = Edge::new(EdgeParts {
        access,
        clock,
        patience: options.patience,
        callers: options.callers.clone(),
        build,
        registry,
        tls: [&http_tls, &grpc_tls].into_iter().flatten().cloned().collect(),
        open_files,
    });
    edge.set_insecure_listeners(options.insecure_listeners);
    let pool = QueryPool::new(queries.handle().clone(), options.store_api.max_concurrent, options.timeout);
    let data = Arc::new(BucketData::new(gateway.clone(), options.tenant_label.clone()));
    let (looked, mut first_look) = watch::channel(false);
    let upkeep =
        Upkeep { bucket, gateway: gateway.clone(), edge: edge.clone(), every: options.sync_every, looked };
    let upkeep = storage.spawn(upkeep.run());
    let served = edges.block_on(async {
        let listeners = [
            Listener::bind("http", options.http.socket, store_routes(&edge, gateway), http_tls.as_ref())
                .await?,
            Listener::bind(
                "grpc",
                options.grpc.socket,
                grpc_routes(&edge, data, pool, options.store_api),
                grpc_tls.as_ref(),
            )
            .await?,
        ];
        let prepared = async move {
            let _ = tokio::time::timeout(FIRST_LOOK, first_look.wait_for(|looked| *looked)).await;
        };
        let reloading = edge.clone();
        let reload = move || drop(reloading.reload([]));
        answering::answer(edge.clone(), listeners, options.grace, prepared, reload).await
    });
    upkeep.abort();
    for runtime in [edges, queries, storage] {
        runtime.shutdown_timeout(RUNTIME_GRACE);
    }
    tracing::info!("nilometer ends");
    served
}

/// Keeps what is known of the bucket true.
struct Upkeep {
    bucket: nilometer_bucket::Bucket,
    gateway: Arc<Gateway>,
    edge: Arc<Edge>,
    /// The bucket is looked through this often.
    every: Duration,
    looked: watch::Sender<bool>,
}

impl Upkeep {
    async fn run(self) {
        let clock = self.edge.clock.clone();
        let mut synced: Option<Duration> = None;
        loop {
            if let Err(e) = self.bucket.reload() {
                tracing::error!(error = %e, "the objstore config could not be read again; the old one stays");
            }
            let now = clock.monotonic();
            if synced.is_none_or(|at| now.saturating_sub(at) >= self.every) {
                match self.gateway.sync().await {
                    Ok(found) => {
                        synced = Some(now);
                        tracing::info!(blocks = found.loaded, "the bucket was looked through");
                    }
                    Err(e) => {
                        tracing::error!(error = %e, "the bucket could not be looked through: what was seen before answers");
                    }
                }
                self.looked.send_replace(true);
            }
            self.gateway.close_unused();
            if let Err(e) = self.edge.reload_certificates() {
                tracing::error!(error = %e, "the certificates could not be read again; the old ones stay");
            }
            tokio::time::sleep(UPKEEP.min(self.every)).await;
        }
    }
}
