//! Seen from outside, by `strace`: no 2xx is written before the `fdatasync` behind its samples has returned.

use crate::common::{Connection, Dir, Hub, V1, float, now_ms, skipped};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::process::{Command, Stdio};

const REQUESTS: usize = 20;

#[test]
fn an_answer_follows_its_fdatasync() {
    let name = "an_answer_follows_its_fdatasync";
    let runs = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    if !runs.is_ok_and(|status| status.success()) {
        return skipped(name, "strace is missing or may not trace");
    }
    let dir = Dir::new();
    let trace = dir.path().join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-s", "32", "-e", "trace=pwrite64,fdatasync,write,writev,sendto,sendmsg"]);
    strace.arg("-o").arg(&trace).arg(env!("CARGO_BIN_EXE_nilometer"));
    let hub = Hub::spawn(strace, dir.path(), &[]).unwrap_or_else(|log| panic!("{log}"));
    let mut connection = Connection::open(hub.write).unwrap();
    let t = now_ms();
    for n in 0..REQUESTS as i64 {
        let reply = connection.ask("POST", "/api/v1/receive", V1, &float("m", t + n, 1.0)).unwrap();
        assert_eq!(reply.status, 204);
    }
    for child in children(hub.pid()) {
        kill_process(child, Signal::TERM).unwrap();
    }
    hub.wait_for("nilometer ends").expect("it ends");
    drop(hub);
    let text = std::fs::read_to_string(&trace).unwrap();
    assert_eq!(answers_after_syncs(&text).unwrap_or_else(|why| panic!("{why}\n{text}")), REQUESTS);
}

fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero();
    let text = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    text.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

/// Requests come one after the other here, so between two answers there must be a write to a log segment and
/// then a successful sync of it, both finished. Gives the number of answers.
fn answers_after_syncs(trace: &str) -> Result<usize, String> {
    #[derive(Clone, Copy, PartialEq)]
    enum Log {
        Untouched,
        Written,
        Synced,
    }
    let (mut log, mut answers) = (Log::Untouched, 0);
    // A call that another thread's interrupts stands in two lines.
    let mut unfinished: BTreeMap<&str, &str> = BTreeMap::new();
    for line in trace.lines() {
        let Some((pid, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        let (began, ended) = match (call.strip_suffix("<unfinished ...>"), call.starts_with("<... ")) {
            (Some(began), _) => {
                unfinished.insert(pid, began);
                (began, "")
            }
            (None, true) => (unfinished.remove(pid).unwrap_or_default(), call),
            (None, false) => (call, call),
        };
        let on_log = began.contains("/@nilometer/hub/wal");
        // An answer counts from where it begins, the log's calls from where they have ended.
        if began.contains("HTTP/1.1 204") && !call.starts_with("<... ") {
            if log != Log::Synced {
                return Err(format!("answered before its sync: {line}"));
            }
            (log, answers) = (Log::Untouched, answers + 1);
        } else if on_log && began.starts_with("pwrite64") && !ended.is_empty() {
            log = Log::Written;
        } else if on_log && began.starts_with("fdatasync") && ended.ends_with("= 0") && log == Log::Written {
            log = Log::Synced;
        }
    }
    Ok(answers)
}

#[test]
fn a_trace_is_read_right() {
    let wal = "8</d/@nilometer/hub/wal/1>";
    let answer = "1 writev(9<socket:[1]>, [{iov_base=\"HTTP/1.1 204 No\"...}], 1) = 20";
    let good = format!(
        "1 pwrite64({wal}, \"x\"..., 1, 0) = 1\n2 fdatasync({wal} <unfinished ...>\n1 write(3, \"\", 1) = 1\n2 <... fdatasync resumed>) = 0\n{answer}\n"
    );
    assert_eq!(answers_after_syncs(&good), Ok(1));
    let early = format!(
        "1 pwrite64({wal}, \"x\"..., 1, 0) = 1\n2 fdatasync({wal} <unfinished ...>\n{answer}\n2 <... fdatasync resumed>) = 0\n"
    );
    assert!(answers_after_syncs(&early).is_err());
    let failed =
        format!("1 pwrite64({wal}, \"x\"..., 1, 0) = 1\n2 fdatasync({wal}) = -1 EIO (error)\n{answer}\n");
    assert!(answers_after_syncs(&failed).is_err());
    let other = format!("1 pwrite64({wal}, \"x\"..., 1, 0) = 1\n2 fdatasync(7</d/else>) = 0\n{answer}\n");
    assert!(answers_after_syncs(&other).is_err());
    assert!(answers_after_syncs(answer).is_err());
}
