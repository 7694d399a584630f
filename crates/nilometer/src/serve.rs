//! `nilometer serve`: all roles in one process.
//!
//! Started from the inside out (disk, head, access, then sockets), stopped from the outside in.

use crate::flags::Serve;
use crate::history::History;
use crate::memory::Memory;
use crate::{log, threads};
use anyhow::{Context, Result, anyhow};
use nilometer_access::{Access, Parts, TenantLimits};
use nilometer_cluster::Stores;
use nilometer_env::{Clock, Fs, Random, RealFs, SystemClock, SystemRandom};
use nilometer_head::{Env, Head};
use nilometer_server::{
    BuildInfo, Edge, EdgeParts, Hub, HubParts, Listener, QueryLog, QueryPool, SelfMetrics, Server, TlsFiles,
    TlsKeys, grpc_routes, main_routes, write_routes,
};
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// A runtime that ends gives what still runs so long.
const RUNTIME_GRACE: Duration = Duration::from_secs(2);

pub(crate) fn run(options: &Serve, ignored: &[&str]) -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    log::start(options.log_level, options.log_format, clock.clone());
    let open_files = threads::raise_file_limit();
    let build = build();
    tracing::info!(version = build.version, revision = build.revision, "nilometer starts");
    for flag in ignored {
        tracing::warn!(flag = format!("--{flag}"), "this flag has no meaning here and changes nothing");
    }
    for warning in &options.warnings {
        tracing::warn!("{warning}");
    }
    if options.insecure_listeners > 0 {
        tracing::warn!(
            listeners = options.insecure_listeners,
            "nobody is asked for a credential, and other machines can reach this: whoever does writes and reads \
             everything (--tenants.config-file)"
        );
    }
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

fn build() -> BuildInfo {
    BuildInfo {
        version: env!("CARGO_PKG_VERSION"),
        revision: env!("NILOMETER_REVISION"),
        rustc: env!("NILOMETER_RUSTC"),
    }
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
    let parts = Parts {
        clock: clock.clone(),
        fs: fs.clone(),
        random: random.clone(),
        spawn: Arc::new(|worker| {
            let spawned = std::thread::Builder::new().name("password".to_owned()).spawn(move || worker.run());
            if let Err(e) = spawned {
                tracing::error!(error = %e, "no thread to check a password on");
            }
        }),
    };
    let access = match &options.tenants_file {
        Some(path) => Access::from_file(parts, path, options.hub_limits.clone(), &mut registry)?,
        None => {
            let (tenant, hub) = (options.head.default_tenant.clone(), options.hub_limits.clone());
            Access::open(parts, tenant, hub, TenantLimits::default(), &mut registry)
        }
    };
    let env = Env { fs: fs.clone(), clock: clock.clone(), random: random.clone() };
    let mut head_options = options.head.clone();
    head_options.max_tenants = access.hub_limits().tenants as usize + 1;
    let head = Arc::new(Head::open(env, head_options, &mut registry)?);
    for tenant in head.tenant_names() {
        // Those on disk count among the tenants that there may be; one that is in no file any more does not.
        let _ = access.tenant(&tenant);
    }
    let outside = (clock.clone(), fs as Arc<dyn Fs>, random.clone() as Arc<dyn Random>);
    let tenants = (access.clone(), options.head.tenant_label.clone());
    let history = History::open(&options.history, (head.clone(), tenants), outside, storage, &mut registry)?;
    let history = Arc::new(history);
    let stores = match options.endpoints.as_slice() {
        [] => None,
        endpoints => Some(Stores::new(endpoints, storage.handle(), &mut registry).context("--endpoint")?),
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
    let mut stop_signals = StopSignals::new()?;
    let listeners = [
        Listener::bind("http", http, main_routes(&hub), http_tls.as_ref()).await?,
        Listener::bind("remote-write", write, write_routes(&hub), write_tls.as_ref()).await?,
        Listener::bind("grpc", grpc, store_api, grpc_tls.as_ref()).await?,
    ];
    let http_address = listeners[0].address()?;
    let server = Server::new(hub.edge.clone());
    let (stop, stopped) = watch::channel(false);
    let mut accepting = Vec::new();
    for listener in listeners {
        // Whoever starts this with port 0 reads the address here.
        tracing::info!(listener = listener.name, address = %listener.address()?, "listening");
        let (server, stopped) = (server.clone(), stopped.clone());
        accepting.push(tokio::spawn(async move { server.accept(listener, stopped).await }));
    }
    let reloads = tokio::spawn(reload_on_hangup(hub.clone()));
    let scrapes = options.self_metrics_interval.map(|interval| {
        let own = SelfMetrics::new(hub.clone(), http_address.to_string());
        tokio::spawn(store_self_metrics(own, interval))
    });
    history.looked().await;
    hub.set_ready(true);
    tracing::info!("ready");
    let name = stop_signals.recv().await;
    tracing::info!(signal = name, "stopping: no new connections, requests that are here are answered");
    hub.set_ready(false);
    let _ = stop.send(true);
    for task in accepting {
        let _ = task.await;
    }
    tokio::select! {
        drained = server.drained(options.grace) => if !drained {
            tracing::warn!("some requests were not answered in time (--http-grace-period)");
        },
        _ = stop_signals.recv() => tracing::warn!("told again to stop: not waiting for requests"),
    }
    reloads.abort();
    if let Some(scrapes) = scrapes {
        scrapes.abort();
    }
    Ok(())
}

struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> Result<StopSignals> {
        let listen = |kind| signal(kind).context("listening for signals");
        Ok(StopSignals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn recv(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

async fn reload_on_hangup(hub: Arc<Hub>) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    while hangup.recv().await.is_some() {
        let hub = hub.clone();
        // What is wrong is in the log, and what was in use stays.
        let _ = tokio::task::spawn_blocking(move || hub.reload()).await;
    }
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
