//! What every role does from its first connection to its last: sockets, signals, and the way from starting over ready
//! to drained.

use crate::history::Outside;
use anyhow::{Context, Result};
use nilometer_access::{Access, HubLimits, Parts, TenantLimits};
use nilometer_model::Tenant;
use nilometer_server::{BuildInfo, Edge, Listener, Server};
use prometheus_client::registry::Registry;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// A runtime that ends gives what still runs so long.
pub(crate) const RUNTIME_GRACE: Duration = Duration::from_secs(2);

pub(crate) fn build() -> BuildInfo {
    BuildInfo {
        version: env!("CARGO_PKG_VERSION"),
        revision: env!("NILOMETER_REVISION"),
        rustc: env!("NILOMETER_RUSTC"),
    }
}

/// Who may do what, by the tenants file; without one everybody may everything, as the default tenant.
pub(crate) fn access(
    (clock, fs, random): &Outside,
    (tenants_file, default_tenant): (Option<&Path>, Tenant),
    limits: HubLimits,
    registry: &mut Registry,
) -> Result<Access> {
    let parts = Parts {
        clock: clock.clone(),
        fs: fs.clone(),
        random: random.clone(),
        // Passwords are checked on threads of their own.
        spawn: Arc::new(|worker| {
            let spawned = std::thread::Builder::new().name("password".to_owned()).spawn(move || worker.run());
            if let Err(e) = spawned {
                tracing::error!(error = %e, "no thread to check a password on");
            }
        }),
    };
    Ok(match tenants_file {
        Some(path) => Access::from_file(parts, path, limits, registry)?,
        None => Access::open(parts, default_tenant, limits, TenantLimits::default(), registry),
    })
}

/// The first lines of the log.
pub(crate) fn tell_of_start(
    build: &BuildInfo,
    ignored: &[&str],
    warnings: &[String],
    insecure_listeners: usize,
) {
    tracing::info!(version = build.version, revision = build.revision, "nilometer starts");
    for flag in ignored {
        tracing::warn!(flag = format!("--{flag}"), "this flag has no meaning here and changes nothing");
    }
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if insecure_listeners > 0 {
        tracing::warn!(
            listeners = insecure_listeners,
            "nobody is asked for a credential, and other machines can reach this: whoever does writes and reads \
             everything (--tenants.config-file)"
        );
    }
}

/// Answers until a signal says to stop, then until all is answered, at most `grace`. Connections are taken at once; it
/// is ready when `prepared` is done. `reload` is what SIGHUP does.
pub(crate) async fn answer(
    edge: Arc<Edge>,
    listeners: impl IntoIterator<Item = Listener>,
    grace: Duration,
    prepared: impl Future<Output = ()>,
    reload: impl Fn() + Clone + Send + 'static,
) -> Result<()> {
    let mut stop_signals = StopSignals::new()?;
    let server = Server::new(edge.clone());
    let (stop, stopped) = watch::channel(false);
    let mut accepting = Vec::new();
    for listener in listeners {
        // Whoever starts this with port 0 reads the address here.
        tracing::info!(listener = listener.name, address = %listener.address()?, "listening");
        let (server, stopped) = (server.clone(), stopped.clone());
        accepting.push(tokio::spawn(async move { server.accept(listener, stopped).await }));
    }
    let reloads = tokio::spawn(reload_on_hangup(reload));
    let name = tokio::select! {
        name = stop_signals.recv() => name,
        name = async {
            prepared.await;
            edge.set_ready(true);
            tracing::info!("ready");
            std::future::pending().await
        } => name,
    };
    tracing::info!(signal = name, "stopping: no new connections, requests that are here are answered");
    edge.set_ready(false);
    let _ = stop.send(true);
    for task in accepting {
        let _ = task.await;
    }
    tokio::select! {
        drained = server.drained(grace) => if !drained {
            tracing::warn!("some requests were not answered in time (--http-grace-period)");
        },
        _ = stop_signals.recv() => tracing::warn!("told again to stop: not waiting for requests"),
    }
    reloads.abort();
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

async fn reload_on_hangup(reload: impl Fn() + Clone + Send + 'static) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    while hangup.recv().await.is_some() {
        // What is wrong is in the log, and what was in use stays.
        let _ = tokio::task::spawn_blocking(reload.clone()).await;
    }
}
