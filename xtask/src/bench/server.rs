//! The servers that are measured: how each is started, and how it says that it is ready.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{process, tools};

/// Where a server's data lies, in its folder.
pub(super) const DATA: &str = "data";

/// Where a server over a bucket finds it, in its folder.
pub(super) const OBJSTORE: &str = "objstore.yml";

/// Ours; the others are its peers.
pub(super) const HUB: &str = "nilometer";

/// What is ready in 0.1 s is seen in time.
const POLL: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(600);

/// A query for the newest sample of some series of the load, which may have been killed long before its end.
const QUERY: &str =
    "/api/v1/query?query=count(last_over_time(up%7Bcluster%3D~%22bench-.*%22%7D%5B1d%5D))&nocache=1";

pub(super) struct Server {
    pub(super) name: &'static str,
    program: PathBuf,
    args: fn(&Path, u16) -> Vec<String>,
    write_path: &'static str,
    ready_path: &'static str,
    /// Where it puts blocks of all it has, when it is asked to.
    snapshots: Option<&'static str>,
    /// By how much of itself it may change a value.
    pub(super) tolerance: &'static str,
    /// Whether its functions compute what ours do.
    pub(super) is_exact: bool,
}

fn hub_args(dir: &Path, port: u16) -> Vec<String> {
    vec![
        "serve".to_owned(),
        format!("--data-dir={}", dir.join(DATA).display()),
        format!("--http-address=127.0.0.1:{port}"),
        format!("--remote-write.address=127.0.0.1:{}", port + 1),
        "--grpc-address=127.0.0.1:0".to_owned(),
        // Peers are not scraped either.
        "--no-self-metrics".to_owned(),
    ]
}

/// The hub over a bucket, whose config lies in its folder.
pub(super) fn over_bucket(binary: &Path) -> Server {
    Server {
        name: HUB,
        program: binary.to_owned(),
        args: |dir, port| {
            let mut args = hub_args(dir, port);
            args.push(format!("--objstore.config-file={}", dir.join(OBJSTORE).display()));
            args
        },
        write_path: "/api/v1/receive",
        ready_path: "/-/ready",
        snapshots: None,
        tolerance: "0",
        is_exact: true,
    }
}

/// The hub is `binary`.
pub(super) fn all(binary: &Path) -> Vec<Server> {
    vec![
        Server {
            name: HUB,
            program: binary.to_owned(),
            args: hub_args,
            write_path: "/api/v1/receive",
            ready_path: "/-/ready",
            snapshots: Some("snapshots"),
            tolerance: "0",
            is_exact: true,
        },
        Server {
            name: "prometheus",
            program: tools::path("prometheus"),
            args: |dir, port| {
                vec![
                    format!("--config.file={}", dir.join("prometheus.yml").display()),
                    format!("--storage.tsdb.path={}", dir.join(DATA).display()),
                    format!("--web.listen-address=127.0.0.1:{port}"),
                    "--web.enable-remote-write-receiver".to_owned(),
                    "--web.enable-admin-api".to_owned(),
                ]
            },
            write_path: "/api/v1/write",
            ready_path: "/-/ready",
            snapshots: Some("snapshots"),
            tolerance: "0",
            is_exact: true,
        },
        Server {
            name: "victoria-metrics",
            program: tools::peer("victoria-metrics"),
            args: |dir, port| {
                vec![
                    format!("-storageDataPath={}", dir.join(DATA).display()),
                    format!("-httpListenAddr=127.0.0.1:{port}"),
                ]
            },
            write_path: "/api/v1/write",
            ready_path: "/health",
            snapshots: None,
            // Values become decimals of some 12 digits.
            tolerance: "1e-11",
            // It extrapolates differently.
            is_exact: false,
        },
    ]
}

pub(super) struct Running<'a> {
    server: &'a Server,
    dir: PathBuf,
    port: u16,
    child: Child,
    /// From its start until it said that it is ready and, where it must have data, answered a query for them.
    pub(super) ready_seconds: f64,
}

impl<'a> Running<'a> {
    pub(super) fn start(server: &'a Server, dir: &Path, port: u16) -> Result<Running<'a>> {
        Running::start_with(server, dir, port, false)
    }

    /// One that has all of a load, so that it is not ready before it answers for it.
    pub(super) fn start_again(server: &'a Server, dir: &Path, port: u16) -> Result<Running<'a>> {
        Running::start_with(server, dir, port, true)
    }

    fn start_with(server: &'a Server, dir: &Path, port: u16, has_data: bool) -> Result<Running<'a>> {
        fs::write(dir.join("prometheus.yml"), "global: {}\n").context("cannot write a configuration")?;
        let log = File::create(dir.join("log")).context("cannot make a log file")?;
        let mut command = Command::new(&server.program);
        command.args((server.args)(dir, port)).stdin(Stdio::null());
        command.stdout(log.try_clone().context("cannot make a log file")?).stderr(log);
        let started = now();
        let child = command.spawn().with_context(|| format!("cannot start {}", server.program.display()))?;
        let mut running = Running { server, dir: dir.to_owned(), port, child, ready_seconds: 0.0 };
        running.wait(server.ready_path, started, |_| true)?;
        if has_data {
            running.wait(QUERY, started, |body| body.contains("\"value\":["))?;
        }
        running.ready_seconds = started.elapsed().as_secs_f64();
        Ok(running)
    }

    fn wait(&mut self, path: &str, started: Instant, is_it: impl Fn(&str) -> bool) -> Result<()> {
        while started.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().context("cannot wait for a server")? {
                bail!("{} ended ({status}):\n{}", self.server.name, self.log_tail());
            }
            if let Some((200, body)) = process::get(self.port, path, None)
                && is_it(&body)
            {
                return Ok(());
            }
            sleep(POLL);
        }
        bail!("{} does not answer {path} as it should:\n{}", self.server.name, self.log_tail())
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(super) fn write_url(&self) -> String {
        self.url() + self.server.write_path
    }

    /// The revision that it was built from, where it says so.
    pub(super) fn revision(&self) -> Option<String> {
        let (_, body) = process::get(self.port, "/api/v1/status/buildinfo", None)?;
        let answer: serde_json::Value = serde_json::from_str(&body).ok()?;
        let revision = answer["data"]["revision"].as_str()?;
        (!revision.is_empty()).then(|| revision.to_owned())
    }

    /// The size of the blocks of all that it has; `None` where it does not write them in time.
    pub(super) fn snapshot(&self) -> Result<Option<u64>> {
        let Some(folder) = self.server.snapshots else { return Ok(None) };
        let answer = process::post(self.port, "/api/v1/admin/tsdb/snapshot");
        let Some((200, _)) = answer else {
            println!("bench: {} wrote no snapshot: {answer:?}", self.server.name);
            return Ok(None);
        };
        let folder = self.dir.join(DATA).join(folder);
        let size = super::table::size(&folder)?;
        super::remove(&folder)?;
        Ok(Some(size))
    }

    /// SIGKILL.
    pub(super) fn kill(mut self) -> Result<()> {
        self.child.kill().context("cannot kill a server")?;
        self.child.wait().context("cannot wait for a server")?;
        Ok(())
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "automation runs on the real clock")]
fn now() -> Instant {
    Instant::now()
}
