//! What operators do to a running hub: reload its files, and take a snapshot.

use crate::{Hub, answer};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response, StatusCode, header};
use nilometer_model::{Error, Result, Ulid};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Reads the tenants file and the certificates again.
pub(crate) async fn reload(State(hub): State<Arc<Hub>>) -> Response<Body> {
    match tokio::task::spawn_blocking(move || hub.reload()).await {
        Ok(Ok(())) => answer::text(StatusCode::OK, "reloaded"),
        // As Prometheus answers: the request was right, a file is not.
        Ok(Err(e)) => answer::text(StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload: {e}")),
        Err(_) => answer::text(StatusCode::INTERNAL_SERVER_ERROR, "the reload was broken off, see the log"),
    }
}

/// Turns all that is in memory into blocks, and links all blocks into a folder of their own.
pub(crate) async fn snapshot(State(hub): State<Arc<Hub>>) -> Response<Body> {
    let taken = tokio::task::spawn_blocking(move || take_snapshot(&hub)).await;
    let (status, answer) = match taken {
        Ok(Ok(name)) => (StatusCode::OK, serde_json::json!({"status": "success", "data": {"name": name}})),
        failed => {
            let why = failed
                .map_or_else(|e| e.to_string(), |f| f.map_or_else(|e| e.to_string(), |_| String::new()));
            tracing::error!(error = why, "a snapshot could not be taken");
            let error = serde_json::json!({"status": "error", "errorType": "internal", "error": why});
            (StatusCode::INTERNAL_SERVER_ERROR, error)
        }
    };
    let mut response = Response::new(Body::from(answer.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn take_snapshot(hub: &Hub) -> Result<String> {
    hub.head.cut_everything()?;
    let now_ms = hub.clock.wall_ms();
    // A ULID's text sorts by time, and two snapshots of one millisecond differ.
    let mut random = [0; 10];
    hub.random.fill(&mut random);
    let name = Ulid::new(now_ms.max(0) as u64, random).to_string();
    let tmp = hub.dirs.snapshots.join(format!("{name}.tmp"));
    let linked = link_all(hub, &tmp, &hub.dirs.snapshots.join(&name));
    if linked.is_err() {
        // What is half there helps nobody.
        let _ = fs::remove_dir_all(&tmp);
    }
    linked?;
    tracing::info!(snapshot = name, "a snapshot was taken");
    Ok(name)
}

/// Links the blocks of all tenants into `tmp`, which becomes `finished` when it is whole and durable.
fn link_all(hub: &Hub, tmp: &Path, finished: &Path) -> Result<()> {
    create_dir(tmp)?;
    for tenant in hub.head.tenant_names() {
        let (from, to) = (hub.dirs.tsdb.join(tenant.as_str()), tmp.join(tenant.as_str()));
        create_dir(&to)?;
        for block in blocks_in(&from)? {
            link_block(&from.join(&block), &to.join(&block))?;
        }
        sync_dir(&to)?;
    }
    sync_dir(tmp)?;
    fs::rename(tmp, finished).map_err(|e| Error::io(format!("naming {}", finished.display()), e))?;
    sync_dir(&hub.dirs.snapshots)
}

/// The finished blocks of a tenant.
fn blocks_in(dir: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(format!("listing {}", dir.display()), e)),
    };
    let is_block = |name: &String| name.parse::<Ulid>().is_ok() && dir.join(name).join("meta.json").exists();
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).filter(is_block).collect())
}

/// Blocks never change, so a second name for their files is as good as a copy, and takes no space. Where the
/// snapshots lie on another file system, they are copied.
fn link_block(from: &Path, to: &Path) -> Result<()> {
    create_dir(to)?;
    let doing = |path: &Path| format!("linking {}", path.display());
    for entry in fs::read_dir(from).map_err(|e| Error::io(doing(from), e))? {
        let entry = entry.map_err(|e| Error::io(doing(from), e))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(|e| Error::io(doing(&source), e))?.is_dir() {
            link_block(&source, &target)?;
        } else if fs::hard_link(&source, &target).is_err() {
            fs::copy(&source, &target).map_err(|e| Error::io(doing(&source), e))?;
            let copied = fs::File::open(&target).and_then(|file| file.sync_all());
            copied.map_err(|e| Error::io(doing(&target), e))?;
        }
    }
    sync_dir(to)
}

fn create_dir(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).map_err(|e| Error::io(format!("creating {}", dir.display()), e))
}

fn sync_dir(dir: &Path) -> Result<()> {
    let synced = fs::File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|e| Error::io(format!("syncing {}", dir.display()), e))
}
