//! Senders that are slow, or go away half-way.

use crate::common::{Connection, Dir, Hub, eventually, float, matrix, now_ms};
use std::time::Duration;

#[test]
fn a_slow_loris_is_let_go() {
    let dir = Dir::new();
    let hub = Hub::start(dir.path(), &["--http.header-timeout=500ms"]);
    let mut silent = Connection::open(hub.write).unwrap();
    let mut preface = Connection::open(hub.write).unwrap();
    preface.send(b"PRI * HT").unwrap();
    let mut loris = Connection::open(hub.write).unwrap();
    let head = b"POST /api/v1/receive HTTP/1.1\r\nHost: hub\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3\r\n";
    let mut sent = 0;
    eventually("the slow one is let go", || {
        let over = loris.send(&head[sent % head.len()..][..1]).is_err();
        sent += 1;
        over
    });
    // All three are closed, without an answer or with one that says so; neither kept the others out.
    silent.send(b"").unwrap();
    for connection in [silent, preface] {
        let rest = connection.rest().unwrap_or_default();
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 4"), "{}", rest.escape_ascii());
    }
    assert!(hub.metric("nilometer_connections_timed_out_total") >= 3.0);
    assert_eq!(hub.push(&float("m", now_ms(), 1.0)).status, 204);
}

#[test]
fn a_body_that_pauses_is_given_up() {
    let dir = Dir::new();
    let hub = Hub::start(dir.path(), &["--http.body-timeout=300ms"]);
    let mut slow = Connection::open(hub.write).unwrap();
    slow.send(b"POST /api/v1/receive HTTP/1.1\r\nHost: hub\r\nContent-Length: 100\r\n\r\nabc").unwrap();
    let reply = slow.reply().unwrap();
    assert_eq!(reply.status, 503, "{}", reply.body);
    assert!(reply.body.contains("did not come in time"), "{}", reply.body);
    eventually("its place is free", || hub.metric("thanos_receive_pending_write_requests") == 0.0);
}

#[test]
fn slow_senders_take_nobodys_place() {
    let dir = Dir::new();
    let hub = Hub::start(dir.path(), &[]);
    // More than the requests that a tenant may have worked on at a time.
    let half = b"POST /api/v1/receive HTTP/1.1\r\nHost: hub\r\nContent-Length: 9999999\r\n\r\nabc";
    let slow: Vec<_> = (0..300)
        .map(|_| {
            let mut sender = Connection::open(hub.write).unwrap();
            sender.send(half).unwrap();
            sender
        })
        .collect();
    eventually("all are there", || hub.metric("thanos_receive_pending_write_requests") == 300.0);
    assert_eq!(hub.push(&float("m", now_ms(), 1.0)).status, 204);
    drop(slow);
}

#[test]
fn a_sender_that_goes_away_leaves_nothing() {
    let dir = Dir::new();
    let hub = Hub::start(dir.path(), &[]);
    let t = now_ms();
    for cut in [0, 1, 10] {
        let sent = float("half", t, 1.0);
        let head =
            format!("POST /api/v1/receive HTTP/1.1\r\nHost: hub\r\nContent-Length: {}\r\n\r\n", sent.len());
        let mut gone = Connection::open(hub.write).unwrap();
        gone.send(head.as_bytes()).unwrap();
        gone.send(&sent[..cut]).unwrap();
        eventually("the request is there", || hub.metric("thanos_receive_pending_write_requests") == 1.0);
        drop(gone);
        eventually("it is noticed", || hub.metric("thanos_receive_pending_write_requests") == 0.0);
    }
    assert_eq!(hub.push(&float("whole", t, 1.0)).status, 204);
    let found = matrix(hub.http, r#"{__name__=~".+"}[1m]"#, t, "__name__");
    assert_eq!(found.into_keys().collect::<Vec<_>>(), ["whole"]);
}

#[test]
fn an_early_answer_is_read_although_the_body_goes_on() {
    let dir = Dir::new();
    let hub = Hub::start(dir.path(), &[]);
    // Ten times, as what could go wrong is a race.
    for _ in 0..10 {
        let mut sender = Connection::open(hub.write).unwrap();
        let len = 20 << 20;
        let head = format!("POST /api/v1/receive HTTP/1.1\r\nHost: hub\r\nContent-Length: {len}\r\n\r\n");
        sender.send(head.as_bytes()).unwrap();
        let block = vec![0; 1 << 20];
        for _ in 0..8 {
            sender.send(&block).unwrap();
            std::thread::sleep(Duration::from_millis(5));
        }
        let reply = sender.reply().unwrap();
        assert_eq!(reply.status, 413, "{}", reply.body);
    }
}
