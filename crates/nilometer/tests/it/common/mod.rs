//! Start, stop and kill hubs, and talk to them.

mod bucket;
mod http;
mod samples;

pub(crate) use bucket::{Contents, Samples, Shelf};
pub(crate) use http::{Connection, Reply, get, post};
pub(crate) use samples::{V1, body, encoded, float, matrix, now_ms, query, series};

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Longer than anything here takes on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A folder that is gone after the test, unless it failed.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Dir {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("hub-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file in it and gives its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// A running `nilometer serve` on ports of its own.
pub(crate) struct Hub {
    child: Child,
    pub(crate) http: SocketAddr,
    /// Of `serve` alone.
    pub(crate) write: SocketAddr,
    pub(crate) grpc: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    /// Behind a lock, so that several threads can ask one hub.
    lines: Mutex<Receiver<String>>,
}

impl Hub {
    /// Returns when it says that it is ready.
    pub(crate) fn start(dir: &Path, args: &[&str]) -> Hub {
        Self::try_start(dir, args).unwrap_or_else(|log| panic!("the hub did not start:\n{log}"))
    }

    /// Gives its log where it ends instead.
    pub(crate) fn try_start(dir: &Path, args: &[&str]) -> Result<Hub, String> {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_nilometer")), dir, args)
    }

    /// `command` is the binary, or something that runs it with the arguments behind.
    pub(crate) fn spawn(mut command: Command, dir: &Path, args: &[&str]) -> Result<Hub, String> {
        Self::complete(&mut command, dir, args);
        let mut hub = Self::follow(command);
        hub.http = hub.address_of("http").ok_or_else(|| hub.log())?;
        hub.write = hub.address_of("remote-write").ok_or_else(|| hub.log())?;
        hub.grpc = hub.address_of("grpc").ok_or_else(|| hub.log())?;
        hub.wait_for("msg=ready").ok_or_else(|| hub.log())?;
        Ok(hub)
    }

    /// `nilometer store`.
    pub(crate) fn store(dir: &Path, args: &[&str]) -> Hub {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
        command.arg("store").arg(format!("--data-dir={}", dir.join("store").display()));
        command.args(["--http-address=127.0.0.1:0", "--grpc-address=127.0.0.1:0"]).args(args);
        let mut hub = Self::follow(command);
        let started = ["http", "grpc"].map(|listener| hub.address_of(listener));
        let [Some(http), Some(grpc)] = started else { panic!("the store did not start:\n{}", hub.log()) };
        (hub.http, hub.grpc) = (http, grpc);
        hub.wait_for("msg=ready").unwrap();
        hub
    }

    /// `nilometer compact --wait`, on the bucket of a config file in `dir`. Returns when it answers.
    pub(crate) fn compactor(dir: &Path, name: &str, args: &[&str]) -> Hub {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
        command.args(["compact", "--wait", "--http-address=127.0.0.1:0", "--log.level=debug"]);
        command.arg(format!("--data-dir={}", dir.join(name).display()));
        command.arg(format!("--objstore.config-file={}", dir.join("objstore.yaml").display())).args(args);
        let mut hub = Self::follow(command);
        let started = hub.address_of("http");
        hub.http = started.unwrap_or_else(|| panic!("the compactor did not start:\n{}", hub.log()));
        hub
    }

    fn follow(mut command: Command) -> Hub {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (sender, lines) = channel();
        let (stderr, kept) = (child.stderr.take().unwrap(), log.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line.clone());
                let _ = sender.send(line);
            }
        });
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Hub { child, http: nowhere, write: nowhere, grpc: nowhere, log, lines: Mutex::new(lines) }
    }

    /// SIGKILL so soon after the start that it may not be ready yet. Says whether it was not.
    pub(crate) fn kill_while_it_starts(dir: &Path, args: &[&str], after: Duration) -> bool {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
        Self::complete(&mut command, dir, args);
        let piped = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        std::thread::sleep(after);
        child.kill().unwrap();
        let log = child.wait_with_output().unwrap().stderr;
        !String::from_utf8_lossy(&log).contains("msg=ready")
    }

    fn complete(command: &mut Command, dir: &Path, args: &[&str]) {
        command.arg("serve").arg(format!("--data-dir={}", dir.join("data").display()));
        for flag in ["--http-address=", "--remote-write.address=", "--grpc-address="] {
            if !args.iter().any(|arg| arg.starts_with(flag)) {
                command.arg(format!("{flag}127.0.0.1:0"));
            }
        }
        // Nothing is sent but by the test.
        command.arg("--no-self-metrics").args(args);
    }

    fn address_of(&self, listener: &str) -> Option<SocketAddr> {
        let line = self.wait_for(&format!("msg=listening listener={listener} "))?;
        let (_, address) = line.split_once("address=").unwrap();
        Some(address.parse().unwrap())
    }

    /// The next line of the log with this in it; `None` where the log ends before.
    pub(crate) fn wait_for(&self, text: &str) -> Option<String> {
        while let Ok(line) = self.lines.lock().unwrap().recv_timeout(PATIENCE) {
            if line.contains(text) {
                return Some(line);
            }
        }
        None
    }

    /// What was logged so far is not waited for.
    pub(crate) fn skip_log(&self) {
        while self.lines.lock().unwrap().try_recv().is_ok() {}
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The most memory that it ever had.
    pub(crate) fn peak_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid().as_raw_nonzero());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// SIGTERM, and its status at the end.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.child.wait().unwrap()
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Pushes a 1.0 request of the default tenant.
    pub(crate) fn push(&self, body: &[u8]) -> Reply {
        post(self.write, "/api/v1/receive", V1, body)
    }

    /// The value of a metric of the hub itself.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = get(self.http, "/metrics", &[]).body;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the hub's log:\n{}", self.log());
        }
    }
}

/// Moments that a seed picks.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn up_to_ms(&mut self, max: u64) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis((self.0 >> 33) % max)
    }
}

/// Asks again and again until it is so.
pub(crate) fn eventually(what: &str, is_so: impl FnMut() -> bool) {
    eventually_within(PATIENCE, what, is_so);
}

pub(crate) fn eventually_within(patience: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    const PAUSE: Duration = Duration::from_millis(50);
    for _ in 0..patience.as_millis() / PAUSE.as_millis() {
        if is_so() {
            return;
        }
        std::thread::sleep(PAUSE);
    }
    panic!("in {} s it never came about that {what}", patience.as_secs());
}

/// Says why a test could not run here.
pub(crate) fn skipped(test: &str, why: &str) {
    println!("SKIPPED {test}: {why}");
}
