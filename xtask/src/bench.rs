//! `cargo xtask bench`: the same load for the hub and for its peers, one after the other, as a table.
//!
//! Each server starts on an empty folder and goes through: the load, with its CPU and memory measured; SIGKILL, and the
//! time until it is ready and answers; everything read back; a snapshot, where it can write one, for the size of
//! blocks. Then once more on an empty folder, with a SIGKILL in the middle of the load.

mod server;
pub(crate) mod steady;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::{shell, tools};
use server::{Running, Server};

const USAGE: &str = "\
cargo xtask bench [options]

  --series=N        series, a hundred to a target (100000)
  --scrapes=N       scrapes, 15 s apart (480: two hours)
  --kill-at=N       acknowledged samples at which the second run is killed (8000000, at most half of the load); 0: none
  --only=NAME       just this server: nilometer, prometheus or victoria-metrics; may be repeated
  --peer=NAME=URL,PID
                    a server that runs already takes the load too, at this URL; it is not killed; may be repeated
  --binary=FILE     another hub than the one that is built (target/release/nilometer)
  --no-verify       do not read everything back after the load
  --what=WORDS      name of the table: bench/results/<date>-<words>.md (load)
";

/// A port on loopback that few use.
const PORT: u16 = 41_871;
const KILL_AT: u64 = 8_000_000;
/// Of a block.
const RANGE_SECONDS: u64 = 7_200;
const PER_REQUEST: u64 = 2_000;

struct Options {
    series: u64,
    scrapes: u64,
    kill_at: u64,
    only: Vec<String>,
    peers: Vec<Peer>,
    binary: Option<PathBuf>,
    verify: bool,
    what: String,
}

/// A server that somebody else started.
struct Peer {
    name: String,
    url: String,
    pid: u32,
}

fn parse(args: &[&str]) -> Result<Options> {
    let mut options = Options {
        series: 100_000,
        scrapes: 480,
        kill_at: KILL_AT,
        only: Vec::new(),
        peers: Vec::new(),
        binary: None,
        verify: true,
        what: "load".to_owned(),
    };
    for arg in args {
        let (name, value) = arg.split_once('=').unwrap_or((arg, ""));
        let number = || value.parse::<u64>().with_context(|| format!("{arg}: that is no number"));
        match name {
            "--series" => options.series = number()?,
            "--scrapes" => options.scrapes = number()?,
            "--kill-at" => options.kill_at = number()?,
            "--only" => options.only.push(value.to_owned()),
            "--peer" => options.peers.push(parse_peer(value)?),
            "--binary" => options.binary = Some(PathBuf::from(value)),
            "--no-verify" => options.verify = false,
            "--what" => options.what = value.to_owned(),
            _ => bail!("no such option: {arg}\n\n{USAGE}"),
        }
    }
    let named = options.what.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    ensure!(named && !options.what.is_empty(), "--what: letters, digits and - are for a file's name");
    options.kill_at = options.kill_at.min(options.series * options.scrapes / 2);
    Ok(options)
}

fn parse_peer(text: &str) -> Result<Peer> {
    let parts = text.split_once('=').and_then(|(name, rest)| {
        let (url, pid) = rest.rsplit_once(',')?;
        Some(Peer { name: name.to_owned(), url: url.to_owned(), pid: pid.parse().ok()? })
    });
    parts.with_context(|| format!("--peer={text}: it is like --peer=NAME=http://host:port/path,PID"))
}

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
    let options = parse(args)?;
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => build()?,
    };
    tools::run()?;
    tools::peers()?;
    crate::process::check_free(&[PORT, PORT + 1])?;
    let folder = shell::root().join("target/bench");
    let end_seconds = table::now_seconds()? / RANGE_SECONDS * RANGE_SECONDS;
    let bench = Bench { binary: binary.clone(), folder, options, end_seconds };
    let servers = server::all(&binary);
    let chosen = |server: &&Server| {
        bench.options.only.is_empty() || bench.options.only.iter().any(|name| name == server.name)
    };
    let machine = table::machine();
    let mut found = Vec::new();
    for server in servers.iter().filter(chosen) {
        found.push(bench.server(server).with_context(|| format!("measuring {}", server.name))?);
    }
    for peer in &bench.options.peers {
        let load = bench.load(&peer.name, &peer.url, Some(peer.pid), &[])?;
        let name = peer.name.clone();
        found.push(Found {
            name,
            revision: None,
            load,
            disk_bytes: None,
            block_bytes: None,
            ready_seconds: None,
            verified: None,
            killed: None,
        });
    }
    let text = table::markdown(&bench.options, &machine, &found)?;
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
    binary: PathBuf,
    folder: PathBuf,
    options: Options,
    /// The load's end, the same for all: where a block's range ends, so that two hours are one block.
    end_seconds: u64,
}

impl Bench {
    fn server(&self, server: &Server) -> Result<Found> {
        let dir = self.fresh(server.name)?;
        println!("bench: {}: the load", server.name);
        let running = Running::start(server, &dir, PORT)?;
        let revision = running.revision();
        let load = self.load(server.name, &running.write_url(), Some(running.pid()), &[])?;
        let disk_bytes = Some(table::size(&dir.join(server::DATA))?);
        running.kill()?;
        let again = Running::start_again(server, &dir, PORT)?;
        let ready_seconds = Some(again.ready_seconds);
        let verified = if self.options.verify {
            println!("bench: {}: reading everything back", server.name);
            Some(self.verify(server, &again)?)
        } else {
            None
        };
        println!("bench: {}: a snapshot", server.name);
        let block_bytes = again.snapshot()?;
        again.kill()?;
        let killed = if self.options.kill_at > 0 { Some(self.kill_in_mid_load(server)?) } else { None };
        fs::remove_dir_all(&dir).context("cannot remove what was measured")?;
        let name = server.name.to_owned();
        Ok(Found { name, revision, load, disk_bytes, block_bytes, ready_seconds, verified, killed })
    }

    fn kill_in_mid_load(&self, server: &Server) -> Result<Verified> {
        let dir = self.fresh(server.name)?;
        println!("bench: {}: SIGKILL in mid-load", server.name);
        let running = Running::start(server, &dir, PORT)?;
        let mut load = self.load_command(server.name, &running.write_url());
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

    fn load(&self, name: &str, url: &str, pid: Option<u32>, more: &[&str]) -> Result<Load> {
        let mut command = self.load_command(name, url);
        command.arg("--json").args(more);
        if let Some(pid) = pid {
            command.arg(format!("--server-pid={pid}"));
        }
        let load: Load = serde_json::from_str(&shell::output(&mut command)?)?;
        ensure!(load.stopped.is_none(), "the load of {name} did not get through");
        Ok(load)
    }

    fn load_command(&self, name: &str, url: &str) -> Command {
        let journal = self.journal(name);
        let _ = fs::remove_file(&journal);
        let mut command = Command::new(&self.binary);
        command.args(["bench", "load"]).arg(format!("--url={url}"));
        command.arg(format!("--journal={}", journal.display()));
        command.arg(format!("--series={}", self.options.series));
        command.arg(format!("--scrapes={}", self.options.scrapes));
        command.arg(format!("--end={}", self.end_seconds));
        command
    }

    fn verify(&self, server: &Server, running: &Running) -> Result<Verified> {
        let mut command = Command::new(&self.binary);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let found =
            parse(&["--series=200", "--scrapes=3", "--peer=a=http://h:1/x,77", "--no-verify"]).unwrap();
        assert_eq!((found.series, found.scrapes, found.kill_at, found.verify), (200, 3, 300, false));
        let peer = &found.peers[0];
        assert_eq!((peer.name.as_str(), peer.url.as_str(), peer.pid), ("a", "http://h:1/x", 77));
        for bad in ["--peer=a", "--peer=a=b", "--series=x", "--nothing", "--what=a/b", "--what="] {
            assert!(parse(&[bad]).is_err(), "{bad}");
        }
    }
}
