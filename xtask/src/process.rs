//! Long-running programs of the demonstration: started with a log file each, started again when they are
//! killed, stopped in reverse order.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGINT, SIGTERM};

const POLL: Duration = Duration::from_millis(100);
/// A hub that drains its head writes blocks; more than this is a hang.
const MAX_POLLS_TO_STOP: u32 = 600;
const LOG_TAIL_LINES: usize = 15;
/// Long enough that what the others send meanwhile has to wait.
const OUTAGE_POLLS: u32 = 200;

/// Set by Ctrl-C and SIGTERM.
pub(crate) fn stop_flag() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&flag)).context("cannot watch for Ctrl-C")?;
    }
    Ok(flag)
}

struct Program {
    name: String,
    command: Command,
    child: Child,
}

/// Programs in the order they were started. None outlives it.
pub(crate) struct Group {
    logs: PathBuf,
    stop: Arc<AtomicBool>,
    running: Vec<Program>,
}

impl Group {
    pub(crate) fn new(logs: &Path, stop: Arc<AtomicBool>) -> Self {
        Group { logs: logs.to_owned(), stop, running: Vec::new() }
    }

    /// In a process group of its own: a Ctrl-C in the terminal reaches only us, and we stop in order.
    pub(crate) fn start(&mut self, name: &str, mut command: Command) -> Result<()> {
        let log = File::create(self.log(name)).context("cannot make a log file")?;
        let log_too = log.try_clone().context("cannot make a log file")?;
        command.stdin(Stdio::null()).stdout(log).stderr(log_too).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        self.running.push(Program { name: name.to_owned(), command, child });
        Ok(())
    }

    /// Until `ready` says so, a program ends by itself, or Ctrl-C.
    pub(crate) fn wait(&mut self, polls: u32, mut ready: impl FnMut() -> bool) -> Result<bool> {
        for _ in 0..polls {
            self.check()?;
            if self.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            if ready() {
                return Ok(true);
            }
            sleep(POLL);
        }
        bail!("not ready after {} s; the logs are in {}", (POLL * polls).as_secs(), self.logs.display())
    }

    /// Until Ctrl-C. A program that ends is started again, after an outage.
    pub(crate) fn run(&mut self) -> Result<()> {
        while !self.stop.load(Ordering::Relaxed) {
            if let Some((at, status)) = self.ended()? {
                self.restart(at, status)?;
            }
            sleep(POLL);
        }
        Ok(())
    }

    fn restart(&mut self, at: usize, status: ExitStatus) -> Result<()> {
        let Program { name, command, child } = &mut self.running[at];
        println!(
            "demo: {name} ended ({status}); it is started again in {} s",
            (POLL * OUTAGE_POLLS).as_secs()
        );
        let interrupted = (0..OUTAGE_POLLS).any(|_| {
            sleep(POLL);
            self.stop.load(Ordering::Relaxed)
        });
        if !interrupted {
            *child = command.spawn().with_context(|| format!("cannot start {name} again"))?;
            println!("demo: {name} runs again, as process {}", child.id());
        }
        Ok(())
    }

    fn check(&mut self) -> Result<()> {
        let Some((at, status)) = self.ended()? else { return Ok(()) };
        let name = &self.running[at].name;
        let log = fs::read_to_string(self.log(name)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n");
        bail!("{name} ended by itself ({status}):\n{tail}");
    }

    /// The first that has ended.
    fn ended(&mut self) -> Result<Option<(usize, ExitStatus)>> {
        for (at, program) in self.running.iter_mut().enumerate() {
            if let Some(status) = program.child.try_wait().context("cannot wait for a program")? {
                return Ok(Some((at, status)));
            }
        }
        Ok(None)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        while let Some(Program { name, mut child, .. }) = self.running.pop() {
            if !ended(&mut child) {
                println!("demo: stopping {name}");
                let _ = Command::new("kill").arg(child.id().to_string()).status();
            }
            let stopped = (0..MAX_POLLS_TO_STOP).any(|_| {
                ended(&mut child) || {
                    sleep(POLL);
                    false
                }
            });
            if !stopped {
                println!("demo: {name} does not stop, it is killed");
                let _ = child.kill().and_then(|()| child.wait());
            }
        }
    }
}

fn ended(child: &mut Child) -> bool {
    !matches!(child.try_wait(), Ok(None))
}

/// A size that the kernel tells of a process, such as `VmHWM:`, the most that was resident since its start.
pub(crate) fn status_bytes(pid: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1_024)
}

/// Says which port is taken before anything is started.
pub(crate) fn check_free(ports: &[u16]) -> Result<()> {
    for port in ports {
        TcpListener::bind(local(*port)).with_context(|| {
            format!("port {port} is taken: stop what listens there (`ss -ltnp 'sport = :{port}'` names it)")
        })?;
    }
    Ok(())
}

/// The status and body of a GET, or nothing while nobody answers.
pub(crate) fn get(port: u16, path: &str, authorization: Option<&str>) -> Option<(u16, String)> {
    let authorization = authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
    ask("GET", port, path, &authorization, Duration::from_secs(5))
}

/// The same of a POST that may take long.
pub(crate) fn post(port: u16, path: &str) -> Option<(u16, String)> {
    ask("POST", port, path, "Content-Length: 0\r\n", Duration::from_secs(180))
}

fn ask(method: &str, port: u16, path: &str, headers: &str, timeout: Duration) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&local(port), timeout).ok()?;
    stream.set_read_timeout(Some(timeout)).ok()?;
    let request = format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
