//! `nilometer serve`: all roles in one process.
//!
//! Started from the inside out (disk, head, access, then sockets), stopped from the outside in.

use crate::answering::{self, RUNTIME_GRACE};
use crate::flags::Serve;
use crate::history::{History, Outside};
use crate::memory::Memory;
use crate::{log, threads};
use anyhow::{Context, Result, anyhow};
use nilometer_cluster::Stores;
use nilometer_env::{Clock, Fs, RealFs, SystemClock, SystemRandom};
use nilometer_head::{Env, Head};
use nilometer_server::{
    BuildInfo, Edge, EdgeParts, Hub, HubParts, Listener, QueryLog, QueryPool, SelfMetrics, TlsFiles, TlsKeys,
    grpc_routes, main_routes, write_routes,
};
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;

pub(crate) fn run(options: &Serve, ignored: &[&str]) -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    log::start(options.log_level, options.log_format, clock.clone());
    let open_files = threads::raise_file_limit();
    let build = answering::build();
    answering::tell_of_start(&build, ignored, &options.warnings, options.insecure_listeners);
    let ingest = threads::ingest().context("starting threads")?;
    let queries = threads::queries(options.query.max_concurrent).context("starting threads")?;
    let storage = threads::storage().context("starting threads")?;
    let assembled = assemble(options, clock, build, (&queries, &storage), open_files)?;
    let (hub, memory, history) = (assembled.hub.clone(), assembled.memory.clone(), assembled.history.clone());
    let log_thread = threads::log(hub.head.clone()).context("starting threads")?;
    let upkeep = threads::Upkeep::start(hub.clone(), memory).context("starting threads")?;
    let (stop_history, stopped) = watch::channel(false);
    let mut history = storage.spawn(history.run(stopped));
    if let Some(stores) = hub.stores.clone() {
        storage.spawn(async move { stores.run().await });
    }
    let served = ingest.block_on(serve(options, assembled));
    let _ = stop_history.send(true);
    // Nobody writes any more, unless a request outlived its grace: its answer is then an error.
    ingest.shutdown_timeout(RUNTIME_GRACE);
    queries.shutdown_timeout(RUNTIME_GRACE);
    // An upload that is broken off goes on at the next start.
    let ended = storage.block_on(async { tokio::time::timeout(RUNTIME_GRACE, &mut history).await });
    if ended.is_err() {
        history.abort();
    }
    storage.shutdown_timeout(RUNTIME_GRACE);
    upkeep.stop();
    let left = leave(&hub, options.flush_on_shutdown);
    hub.head.stop();
    if log_thread.join().is_err() {
        tracing::error!("the log thread ended in a panic");
    }
    tracing::info!("nilometer ends");
    served.and(left)
}

/// What is there before the first socket is.
struct Assembled {
    hub: Arc<Hub>,
    memory: Memory,
    history: Arc<History>,
    http_tls: Option<Arc<TlsKeys>>,
    write_tls: Option<Arc<TlsKeys>>,
    grpc_tls: Option<Arc<TlsKeys>>,
}

fn assemble(
    options: &Serve,
    clock: Arc<dyn Clock>,
    build: BuildInfo,
    (queries, storage): (&Runtime, &Runtime),
    open_files: Option<u64>,
) -> Result<Assembled> {
    let (fs, random) = (Arc::new(RealFs), Arc::new(SystemRandom));
    let load = |files: &Option<TlsFiles>| files.clone().map(TlsKeys::load).transpose();
    let (http_tls, write_tls) = (load(&options.http.tls)?, load(&options.remote_write.tls)?);
    let grpc_tls = load(&options.grpc.tls)?;
    let mut registry = Registry::default();
    let memory = Memory::default();
    memory.register(&mut registry);
    let outside: Outside = (clock.clone(), fs.clone(), random.clone());
    let tenants = (options.tenants_file.as_deref(), options.head.default_tenant.clone());
    let access = answering::access(&outside, tenants, options.hub_limits.clone(), &mut registry)?;
    let env = Env { fs: fs.clone(), clock: clock.clone(), random: random.clone() };
    let mut head_options = options.head.clone();
    head_options.max_tenants = access.hub_limits().tenants as usize + 1;
    let head = Arc::new(Head::open(env, head_options, &mut registry)?);
    for tenant in head.tenant_names() {
        // Those on disk count among the tenants that there may be; one that is in no file any more does not.
        let _ = access.tenant(&tenant);
    }
    let tenants = (access.clone(), options.head.tenant_label.clone());
    let history = History::open(&options.history, (head.clone(), tenants), outside, storage, &mut registry)?;
    let history = Arc::new(history);
    let stores = match options.stores.addresses.as_slice() {
        [] => None,
        _ => {
            let outside = (storage.handle(), fs.clone() as Arc<dyn Fs>);
            Some(Stores::new(&options.stores, outside, &mut registry).context("--endpoint")?)
        }
    };
    let edge = Edge::new(EdgeParts {
        access,
        clock,
        patience: options.patience,
        callers: options.callers.clone(),
        build,
        registry,
        tls: [&http_tls, &write_tls, &grpc_tls].into_iter().flatten().cloned().collect(),
        open_files,
    });
    let hub = Hub::new(HubParts {
        edge,
        gateway: Some(history.gateway.clone()),
        upkeep: Some(history.upkeep()),
        stores,
        head,
        query: options.query.clone(),
        web: options.web.clone(),
        query_log: options.query_log.as_ref().map(QueryLog::open).transpose()?.map(Arc::new),
        query_pool: QueryPool::new(
            queries.handle().clone(),
            options.query.max_concurrent,
            options.query.timeout,
        ),
        random,
        dirs: options.dirs.clone(),
    });
    hub.set_insecure_listeners(options.insecure_listeners);
    Ok(Assembled { hub, memory, history, http_tls, write_tls, grpc_tls })
}

/// Answers until a signal says to stop, then until all is answered.
async fn serve(options: &Serve, assembled: Assembled) -> Result<()> {
    let Assembled { hub, history, http_tls, write_tls, grpc_tls, .. } = assembled;
    let (http, write, grpc) = (options.http.socket, options.remote_write.socket, options.grpc.socket);
    let store_api = grpc_routes(&hub.edge, hub.clone(), hub.query_pool.clone(), options.store_api);
    let listeners = [
        Listener::bind("http", http, main_routes(&hub), http_tls.as_ref()).await?,
        Listener::bind("remote-write", write, write_routes(&hub), write_tls.as_ref()).await?,
        Listener::bind("grpc", grpc, store_api, grpc_tls.as_ref()).await?,
    ];
    let http_address = listeners[0].address()?;
    let scrapes = options.self_metrics_interval.map(|interval| {
        let own = SelfMetrics::new(hub.clone(), http_address.to_string());
        tokio::spawn(store_self_metrics(own, interval))
    });
    let prepared = async move { history.looked().await };
    let reloading = hub.clone();
    let reload = move || drop(reloading.reload());
    let answered = answering::answer(hub.edge.clone(), listeners, options.grace, prepared, reload).await;
    if let Some(scrapes) = scrapes {
        scrapes.abort();
    }
    answered
}

async fn store_self_metrics(mut own: SelfMetrics, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        if let Err(e) = own.store().await {
            tracing::warn!(error = %e, "own metrics were not stored");
        }
    }
}

/// Leaves the directory as the next start finds it quickest, or as another program can go on with it.
fn leave(hub: &Hub, flush: bool) -> Result<()> {
    if !flush {
        hub.head.snapshot();
        return Ok(());
    }
    // Nobody writes any more.
    let cut = hub.head.cut_everything().map_err(anyhow::Error::from);
    cut.and_then(
        |()| if hub.head.is_flushed() { Ok(()) } else { Err(anyhow!("something is left in memory")) },
    )
    .context(
        "cutting everything into blocks (--flush-on-shutdown): start again and let it end before another \
             program uses the directory",
    )?;
    hub.head.snapshot();
    tracing::info!("everything is in blocks: another program can go on with them");
    Ok(())
}
