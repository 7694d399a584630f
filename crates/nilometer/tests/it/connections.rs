//! Many connections at a time.

use crate::common::{Connection, Dir, Hub, V1, body, eventually, float, get, now_ms, series};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::process::Command;

/// In CI; by hand, `NILOMETER_TEST_CONNECTIONS=10000`.
const CONNECTIONS: u64 = 2_000;

#[test]
fn all_are_answered_while_all_are_open() {
    let asked = std::env::var("NILOMETER_TEST_CONNECTIONS").ok().and_then(|n| n.parse().ok());
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    let open_files = limit.maximum.unwrap_or(u64::MAX).saturating_sub(200);
    let count = asked.unwrap_or(CONNECTIONS).min(open_files);
    let dir = Dir::new();
    // The first is asked when all are open, however long that takes here.
    let hub = Hub::start(dir.path(), &["--http.header-timeout=5m"]);
    let before = hub.metric("process_resident_memory_bytes");
    let mut connections: Vec<Connection> = (0..count).map(|_| Connection::open(hub.write).unwrap()).collect();
    let t = now_ms();
    for (n, connection) in connections.iter_mut().enumerate() {
        let reply = connection.ask("POST", "/api/v1/receive", V1, &float("m", t + n as i64, 1.0)).unwrap();
        assert_eq!(reply.status, 204, "connection {n}: {}", reply.body);
    }
    let grown = hub.metric("process_resident_memory_bytes") - before;
    println!("{count} connections: {} KiB each", grown / 1_024.0 / count as f64);
    assert!(hub.metric("nilometer_connections") >= count as f64);
    drop(connections);
    eventually("all are gone", || hub.metric("nilometer_connections") <= 2.0);
}

#[test]
fn few_open_files_leave_room_for_the_rest() {
    let dir = Dir::new();
    let mut command = Command::new("prlimit");
    command.arg("--nofile=64:200").arg(env!("CARGO_BIN_EXE_nilometer"));
    let hub = Hub::spawn(command, dir.path(), &[]).unwrap_or_else(|log| panic!("{log}"));
    assert!(hub.log().contains("limit=20000 open_files=200 connections=150"), "it says so:\n{}", hub.log());
    let mut open: Vec<_> = (0..160).map(|_| Connection::open(hub.write).unwrap()).collect();
    let answered = |c: &mut Connection| c.ask("GET", "/-/ready", &[], b"").is_ok();
    let count = open.iter_mut().map(answered).filter(|ok| *ok).count();
    assert_eq!(count, 150, "more than the soft limit, and fewer than the hard one");
    drop(open.split_off(100));
    eventually("a sample is stored, with files of its own", || {
        let mut connection = Connection::open(hub.write).unwrap();
        connection
            .ask("POST", "/api/v1/receive", V1, &float("m", now_ms(), 1.0))
            .is_ok_and(|r| r.status == 204)
    });
}

#[test]
fn beyond_the_limit_the_others_go_on() {
    let dir = Dir::new();
    let hub = Hub::start(dir.path(), &["--max-connections=3"]);
    let mut inside: Vec<_> = (0..3).map(|_| Connection::open(hub.http).unwrap()).collect();
    for connection in &mut inside {
        assert_eq!(connection.ask("GET", "/-/ready", &[], b"").unwrap().status, 200);
    }
    let mut outside = Connection::open(hub.http).unwrap();
    assert!(outside.ask("GET", "/-/ready", &[], b"").is_err(), "the fourth is closed");
    for connection in &mut inside {
        assert_eq!(connection.ask("GET", "/-/ready", &[], b"").unwrap().status, 200);
    }
    drop(inside);
    eventually("there is room again", || {
        Connection::open(hub.http).is_ok_and(|mut c| c.ask("GET", "/-/ready", &[], b"").is_ok())
    });
    eventually("it was counted", || hub.metric("nilometer_connections_refused_total") >= 1.0);
    assert_eq!(get(hub.http, "/-/healthy", &[]).status, 200);
}

#[test]
fn what_nobody_reads_is_let_go_of() {
    let dir = Dir::new();
    let hub = Hub::start(dir.path(), &["--http.unread-timeout=1s"]);
    let t = now_ms();
    let many: Vec<_> =
        (0..100).map(|n| series(&[("__name__", "m"), ("n", &n.to_string())], &[(t, 1.0)])).collect();
    assert_eq!(hub.push(&body(&many)).status, 204);
    // More than the buffers of both sockets hold: 1.1 million points.
    let (start, end) = (t as f64 / 1e3, t as f64 / 1e3 + 110.0);
    let path = format!("/api/v1/query_range?query=m&start={start}&end={end}&step=0.01");
    let mut deaf = Connection::open(hub.http).unwrap();
    deaf.send(format!("GET {path} HTTP/1.1\r\nHost: hub\r\n\r\n").as_bytes()).unwrap();
    eventually("it is given up", || hub.metric("nilometer_answers_unread_total") == 1.0);
    // What it reads now ends before all is there.
    let rest = deaf.rest().unwrap_or_default();
    assert!(rest.len() < 20_000_000 && !rest.ends_with(b"0\r\n\r\n"), "{} bytes", rest.len());
    let whole = get(hub.http, &path, &[]);
    assert!(whole.body.len() > 20_000_000 && whole.body.ends_with("]}]}}"), "{} bytes", whole.body.len());
}
