//! What is run over the query engine: Prometheus' test scripts, and random queries whose answers are compared with
//! another server's. The work is done by examples of the room, since automation imports none.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{process, shell, tools};

const PACKAGE: &str = "nilometer-promql";
const POLL: Duration = Duration::from_millis(50);
const MAX_POLLS: u32 = 1_200;
/// Queries of CI: some seconds.
const SMOKE: &str = "--seeds=0..2000";

const FUZZ_USAGE: &str = "\
cargo xtask promqlfuzz [--seeds=A..B] [--peer-url=URL] [--hub-url=URL] [--capture=FILE] [--query=TEXT] [--smoke]

Asks our engine and another server random queries, one for each seed, over data that it sends there first, and
prints what differs, shrunk. Any difference that is not listed in crates/promql/src/fuzz/known.rs ends it with 1.

  --seeds=A..B    which queries [0..1000]
  --peer-url=URL  a Prometheus that takes remote write and has nothing else; otherwise Debian's is started. For one
                  of version 3: --web.enable-remote-write-receiver and --enable-feature=promql-experimental-functions,\
promql-duration-expr,promql-extended-range-selectors,promql-binop-fill-modifiers
                  What else it has is found out: promql-delayed-name-removal, type-and-unit-labels; and start timestamps
                  with use-start-timestamps,st-storage,xor2-encoding, --web.enable-otlp-receiver and, in its
                  configuration, otlp: {translation_strategy: NoTranslation}
  --hub-url=URL   compare a hub with the peer, not the engine: serve --receive.default-tenant-id=fuzz
                  --tsdb.retention=0d --tsdb.out-of-order.time-window=1d and the same features
  --capture=FILE  write the peer's answers, which `cargo test -p nilometer-promql --test peers` replays
  --query=TEXT    this one instead, at the times of each seed
  --smoke         the few that CI runs
";

/// `promqltest DIR`
pub(crate) fn test(args: &[&str]) -> Result<()> {
    let [folder] = args else { bail!("promqltest takes one folder of .test scripts") };
    // Cargo runs in the root of the repository, and people do not.
    let folder: PathBuf = std::path::absolute(folder).context("the folder's name")?;
    shell::run(example("promqltest").arg(folder))
}

/// `promqlfuzz …`
pub(crate) fn fuzz(args: &[&str]) -> Result<()> {
    if args.iter().any(|arg| matches!(*arg, "-h" | "--help")) {
        print!("{FUZZ_USAGE}");
        return Ok(());
    }
    let args: Vec<&str> = args.iter().map(|arg| if *arg == "--smoke" { SMOKE } else { arg }).collect();
    if args.iter().any(|arg| arg.starts_with("--peer-url=")) {
        return shell::run(example("promqlfuzz").args(args));
    }
    let peer = Peer::start()?;
    shell::run(example("promqlfuzz").args(args).arg(format!("--peer-url={}", peer.url())))
}

/// What CI runs.
pub(crate) fn smoke() -> Result<()> {
    fuzz(&["--smoke"])
}

fn example(name: &str) -> Command {
    let mut cargo = shell::cargo_command();
    cargo.args(["run", "--quiet", "--locked", "--package", PACKAGE, "--example", name, "--"]);
    cargo
}

/// Debian's Prometheus on a port and in a folder of its own, gone at the end.
struct Peer {
    child: Child,
    port: u16,
    dir: PathBuf,
}

impl Peer {
    fn start() -> Result<Peer> {
        tools::run()?;
        let dir = shell::root().join("target/promqlfuzz").join(std::process::id().to_string());
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        fs::write(dir.join("prometheus.yml"), "global: {}\n").context("cannot write a configuration")?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = File::create(dir.join("log")).context("cannot make a log file")?;
        let mut command = Command::new(tools::path("prometheus"));
        command.arg(format!("--config.file={}", dir.join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", dir.join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        command.arg("--web.enable-remote-write-receiver").stdin(Stdio::null());
        command.stdout(log.try_clone().context("cannot make a log file")?).stderr(log);
        let child = command.spawn().context("cannot start prometheus")?;
        let peer = Peer { child, port, dir };
        for _ in 0..MAX_POLLS {
            if matches!(process::get(port, "/-/ready", None), Some((200, _))) {
                return Ok(peer);
            }
            sleep(POLL);
        }
        bail!("prometheus is not ready; its log is {}", peer.dir.join("log").display())
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}
