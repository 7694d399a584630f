//! `cargo xtask bench`: the same load for the hub and for its peers, one after the other, as a table.
//!
//! Each server starts on an empty folder and goes through: the load, with its CPU and memory measured; SIGKILL, and the
//! time until it is ready and answers; everything read back; a snapshot, where it can write one, for the size of
//! blocks. Then once more on an empty folder, with a SIGKILL in the middle of the load. Queries are timed when
//! everything is read back, or over the data of an earlier run.

mod answers;
pub(crate) mod compaction;
mod kept;
mod options;
mod queries;
mod query_table;
mod server;
pub(crate) mod steady;
mod table;
pub(crate) mod year;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::{shell, tools};
use kept::Plan;
use options::Options;
use queries::Asked;
use server::{Running, Server};
use table::Machine;

/// A port on loopback that few use.
const PORT: u16 = 41_871;
/// Of a block.
const RANGE_SECONDS: i64 = 7_200;
const PER_REQUEST: u64 = 2_000;

/// What was found of one server.
struct Found {
    name: String,
    /// What it says of itself.
    revision: Option<String>,
    load: Load,
    /// All that it has on disk after the load.
    disk_bytes: Option<u64>,
    /// Its blocks, where it writes a snapshot.
    block_bytes: Option<u64>,
    ready_seconds: Option<f64>,
    verified: Option<Verified>,
    killed: Option<Verified>,
    asked: Option<Asked>,
}

/// The part of `bench load --json` that is shown.
#[derive(Deserialize)]
struct Load {
    stopped: Option<String>,
    samples: u64,
    seconds: f64,
    protobuf_bytes: u64,
    snappy_bytes: u64,
    latency: Latency,
    server: Option<Usage>,
    own: Option<Usage>,
}

#[derive(Deserialize)]
struct Latency {
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

#[derive(Deserialize)]
struct Usage {
    cpu_seconds: f64,
    peak_bytes: u64,
}

/// The same of `bench verify --json`.
#[derive(Deserialize)]
struct Verified {
    acknowledged: u64,
    lost: u64,
    extra: u64,
    wrong: u64,
}

pub(crate) fn run(args: &[&str]) -> Result<()> {
    let options = options::parse(args)?;
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => build()?,
    };
    tools::run()?;
    tools::peers()?;
    crate::process::check_free(&[PORT, PORT + 1])?;
    let folder = shell::root().join("target/bench");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let client = options.client.clone().unwrap_or_else(|| binary.clone());
    let bench = Bench { client, folder, options };
    let mut servers = server::all(&binary);
    let only = &bench.options.only;
    servers.retain(|server| only.is_empty() || only.iter().any(|name| name == server.name));
    let machine = table::machine();
    let text = match &bench.options.kept {
        Some(kept) => bench.only_queries(&servers, kept, &machine)?,
        None => bench.all(&servers, &machine)?,
    };
    let path = table::path(&bench.options.what)?;
    fs::write(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{text}\nbench: written to {}", path.display());
    Ok(())
}

fn build() -> Result<PathBuf> {
    let args = ["build", "--release", "--locked", "--package", "nilometer"];
    let mut cargo = shell::cargo_command();
    shell::run(cargo.args(args).env("CARGO_TARGET_DIR", shell::root().join("target")))?;
    Ok(shell::root().join("target/release/nilometer"))
}

struct Bench {
    /// Loads, verifies and asks.
    client: PathBuf,
    folder: PathBuf,
    options: Options,
}

impl Bench {
    fn all(&self, servers: &[Server], machine: &Machine) -> Result<String> {
        // The same for all: where a block's range ends, so that two hours are one block.
        let end_seconds = table::now_seconds()? / RANGE_SECONDS * RANGE_SECONDS;
        let mut found = Vec::new();
        for server in servers {
            found.push(
                self.server(server, end_seconds).with_context(|| format!("measuring {}", server.name))?,
            );
        }
        for peer in &self.options.peers {
            let load = self.load(&peer.name, &peer.url, Some(peer.pid), end_seconds)?;
            found.push(Found {
                name: peer.name.clone(),
                revision: None,
                load,
                disk_bytes: None,
                block_bytes: None,
                ready_seconds: None,
                verified: None,
                killed: None,
                asked: None,
            });
        }
        let asked: Vec<Asked> = found.iter_mut().filter_map(|one| one.asked.take()).collect();
        Ok(table::markdown(&self.options, machine, &found)? + &query_table::markdown(&asked)?)
    }

    /// Over copies of what an earlier run has kept.
    fn only_queries(&self, servers: &[Server], kept: &Path, machine: &Machine) -> Result<String> {
        let (mut asked, mut revisions) = (Vec::new(), Vec::new());
        let mut plan = None;
        for server in servers {
            let (dir, journal) = (self.folder.join(server.name), self.journal(server.name));
            let kept_journal = kept.join(format!("{}.journal", server.name));
            kept::copy((&kept.join(server.name), &kept_journal), (&dir, &journal))?;
            let of_journal = Plan::of_journal(&journal)?;
            let running = Running::start_again(server, &dir, PORT)?;
            revisions.push((server.name, running.revision()));
            let of_server = self.ask(server, &running, of_journal.end_seconds())?;
            running.kill()?;
            if let Some(mut of_server) = of_server {
                self.weigh(server, &dir, &mut of_server, of_journal.end_seconds())?;
                asked.push(of_server);
            }
            fs::remove_dir_all(&dir).context("cannot remove what was measured")?;
            plan = Some(of_journal);
        }
        let plan = plan.context("--only names no server")?;
        Ok(table::queries_alone(&plan, machine, &revisions)? + &query_table::markdown(&asked)?)
    }

    fn server(&self, server: &Server, end_seconds: i64) -> Result<Found> {
        let dir = self.fresh(server.name)?;
        println!("bench: {}: the load", server.name);
        let running = Running::start(server, &dir, PORT)?;
        let revision = running.revision();
        let load = self.load(server.name, &running.write_url(), Some(running.pid()), end_seconds)?;
        let disk_bytes = Some(table::size(&dir.join(server::DATA))?);
        running.kill()?;
        if let Some(kept) = &self.options.keep {
            let journal = kept.join(format!("{}.journal", server.name));
            kept::copy((&dir, &self.journal(server.name)), (&kept.join(server.name), &journal))?;
        }
        let again = Running::start_again(server, &dir, PORT)?;
        let ready_seconds = Some(again.ready_seconds);
        let verified = if self.options.verify {
            println!("bench: {}: reading everything back", server.name);
            Some(self.verify(server, &again)?)
        } else {
            None
        };
        let mut asked = self.ask(server, &again, end_seconds)?;
        println!("bench: {}: a snapshot", server.name);
        let block_bytes = again.snapshot()?;
        again.kill()?;
        if let Some(asked) = &mut asked {
            self.weigh(server, &dir, asked, end_seconds)?;
        }
        let kills = self.options.kill_at > 0;
        let killed = if kills { Some(self.kill_in_mid_load(server, end_seconds)?) } else { None };
        fs::remove_dir_all(&dir).context("cannot remove what was measured")?;
        let name = server.name.to_owned();
        Ok(Found { name, revision, load, disk_bytes, block_bytes, ready_seconds, verified, killed, asked })
    }

    fn kill_in_mid_load(&self, server: &Server, end_seconds: i64) -> Result<Verified> {
        let dir = self.fresh(server.name)?;
        println!("bench: {}: SIGKILL in mid-load", server.name);
        let running = Running::start(server, &dir, PORT)?;
        let mut load = self.load_command(server.name, &running.write_url(), end_seconds);
        load.args(["--retry-for=0s", "--settle=0s"]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut load = load.spawn().context("cannot start the load")?;
        let killed = self.wait_for_acknowledged(server.name, &mut load).and_then(|()| running.kill());
        // It ends by itself when nobody answers; after an error it is not waited for.
        if killed.is_err() {
            let _ = load.kill();
        }
        load.wait().context("waiting for the load")?;
        killed?;
        // It may have lost everything, and then has nothing to answer for.
        self.verify(server, &Running::start(server, &dir, PORT)?)
    }

    fn wait_for_acknowledged(&self, name: &str, load: &mut Child) -> Result<()> {
        let requests = self.options.kill_at / PER_REQUEST;
        loop {
            // Its first line is the plan; each further one a request.
            let journal = fs::read(self.journal(name)).unwrap_or_default();
            if journal.iter().filter(|&&b| b == b'\n').count() as u64 > requests {
                return Ok(());
            }
            let ended = load.try_wait().context("waiting for the load")?;
            ensure!(ended.is_none(), "the load of {name} ended before its server was killed");
            sleep(Duration::from_millis(20));
        }
    }

    fn load(&self, name: &str, url: &str, pid: Option<u32>, end_seconds: i64) -> Result<Load> {
        let mut command = self.load_command(name, url, end_seconds);
        command.arg("--json");
        if let Some(pid) = pid {
            command.arg(format!("--server-pid={pid}"));
        }
        let load: Load = serde_json::from_str(&shell::output(&mut command)?)?;
        ensure!(load.stopped.is_none(), "the load of {name} did not get through");
        Ok(load)
    }

    fn load_command(&self, name: &str, url: &str, end_seconds: i64) -> Command {
        let journal = self.journal(name);
        let _ = fs::remove_file(&journal);
        let mut command = Command::new(&self.client);
        command.args(["bench", "load"]).arg(format!("--url={url}"));
        command.arg(format!("--journal={}", journal.display()));
        command.arg(format!("--series={}", self.options.series));
        command.arg(format!("--scrapes={}", self.options.scrapes));
        command.arg(format!("--end={end_seconds}"));
        command
    }

    fn verify(&self, server: &Server, running: &Running) -> Result<Verified> {
        let mut command = Command::new(&self.client);
        command.args(["bench", "verify", "--json"]).arg(format!("--url={}", running.url()));
        command.arg(format!("--journal={}", self.journal(server.name).display()));
        command.arg(format!("--tolerance={}", server.tolerance));
        // What is lost is a finding, not a failure of the measurement.
        let out = command.stderr(Stdio::inherit()).output().context("cannot start the verifier")?;
        serde_json::from_slice(&out.stdout).context("the verifier did not come to an end")
    }

    /// Beside the folders, which are removed.
    fn journal(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.journal"))
    }

    fn fresh(&self, name: &str) -> Result<PathBuf> {
        let dir = self.folder.join(name);
        remove(&dir)?;
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(dir)
    }
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}
