//! `nilometer compact`: the compactor of a bucket, as a process of its own: Thanos' compactor.

use crate::answering::{self, RUNTIME_GRACE};
use crate::flags::Compact;
use crate::history::{Outside, open_bucket};
use crate::{compaction, log, threads};
use anyhow::{Context, Result, bail};
use nilometer_bucket::{Bucket, Lookout};
use nilometer_compact::{Compactor, Parts as CompactParts, Round};
use nilometer_env::{Clock, RealFs, SystemClock, SystemRandom};
use nilometer_model::Tenant;
use nilometer_server::{CallerOptions, Edge, EdgeParts, Listener, Patience, TlsKeys, compact_routes};
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Credentials and certificates are renewed by somebody who does not tell: their files are looked at this often, also
/// while a block is being made, which may take longer than a credential lasts.
const UPKEEP: Duration = Duration::from_secs(30);

pub(crate) fn run(options: &Compact, ignored: &[&str]) -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    log::start(options.log_level, options.log_format, clock.clone());
    let open_files = threads::raise_file_limit();
    let build = answering::build();
    answering::tell_of_start(&build, ignored, &[], options.insecure_listeners);
    let edges = threads::ingest().context("starting threads")?;
    let storage = threads::storage().context("starting threads")?;
    let outside: Outside = (clock.clone(), Arc::new(RealFs), Arc::new(SystemRandom));
    let (fs, dir) = (outside.1.clone(), &options.compaction.dir);
    fs.create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    // Two on one directory would take each other for themselves after a restart.
    let _lock = fs.lock(&dir.join("lock")).with_context(|| {
        format!("another process works in {}: give one of the two another --data-dir", dir.display())
    })?;
    let tls = options.http.tls.clone().map(TlsKeys::load).transpose()?;
    let mut registry = Registry::default();
    let bucket = open_bucket(&options.bucket, &outside, &mut registry)?;
    let upkeep = storage.spawn(upkeep(bucket.clone(), tls.clone(), UPKEEP.min(options.compaction.every)));
    let lookout = Arc::new(Lookout::new(bucket, fs.clone(), clock.clone(), options.meta_dir.clone()));
    let tenants = (options.tenants_file.as_deref(), Tenant::new("default-tenant")?);
    let access = answering::access(&outside, tenants, options.hub_limits.clone(), &mut registry)?;
    let tenants = (access.clone(), options.tenant_label.clone());
    let parts = CompactParts { fs, clock: clock.clone(), random: outside.2.clone() };
    let compactor = compaction::open(&options.compaction, lookout, parts, Some(tenants), &mut registry)?;
    if !options.wait {
        return once(&compactor, &storage);
    }
    let compactor = Arc::new(compactor);
    let edge = Edge::new(EdgeParts {
        access,
        clock,
        patience: Patience::default(),
        callers: CallerOptions::default(),
        build,
        registry,
        tls: tls.iter().cloned().collect(),
        open_files,
    });
    edge.set_insecure_listeners(options.insecure_listeners);
    let (stop, stopped) = watch::channel(false);
    let (working, every) = (compactor.clone(), options.compaction.every);
    let mut work = storage.spawn(async move { working.run(every, stopped).await });
    let served = edges.block_on(async {
        let routes = compact_routes(&edge, compactor);
        let listener = Listener::bind("http", options.http.socket, routes, tls.as_ref()).await?;
        let reloading = edge.clone();
        let reload = move || drop(reloading.reload([]));
        answering::answer(edge.clone(), [listener], options.grace, std::future::ready(()), reload).await
    });
    upkeep.abort();
    let _ = stop.send(true);
    let ended = storage.block_on(async { tokio::time::timeout(RUNTIME_GRACE, &mut work).await });
    if ended.is_err() {
        work.abort();
    }
    for runtime in [edges, storage] {
        runtime.shutdown_timeout(RUNTIME_GRACE);
    }
    tracing::info!("nilometer ends");
    served
}

async fn upkeep(bucket: Bucket, tls: Option<Arc<TlsKeys>>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        if let Err(e) = bucket.reload() {
            tracing::error!(error = %e, "the objstore config could not be read again; the old one stays");
        }
        if let Err(e) = tls.iter().try_for_each(|keys| keys.reload().map(drop)) {
            tracing::error!(error = %e, "the certificates could not be read again; the old ones stay");
        }
    }
}

/// All that is due now, and no more.
fn once(compactor: &Compactor, storage: &Runtime) -> Result<()> {
    let round = storage.block_on(async {
        let round = compactor.once().await;
        compactor.release().await;
        round
    });
    match round? {
        Round::Done => {}
        Round::Waits { holder } => {
            bail!("another compactor ({holder}) works on this bucket: nothing was done")
        }
    }
    let quarantined = compactor.status().quarantined;
    if let Some(first) = quarantined.first() {
        bail!(
            "{} groups of blocks were left alone; the first, {:?}: {}",
            quarantined.len(),
            first.labels,
            first.reason
        );
    }
    tracing::info!("nothing is left to do");
    Ok(())
}
