//! Who is to notice nothing: a writer and a reader of another tenant. Each of their answers is checked.

use super::{STEADY, bearer};
use crate::common::{Connection, Hub, V1, body, encoded, query, series};
use nilometer_env::{Clock, SystemClock};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Of a request.
const SERIES: i64 = 100;
const PAUSE: Duration = Duration::from_millis(5);

/// How long answers took, in order.
pub(super) struct Took(Vec<Duration>);

impl fmt::Display for Took {
    /// How many, the median, the 99th of a hundred and the longest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |part: f64| {
            let rank = (self.0.len() as f64 * part).ceil() as usize;
            self.0.get(rank.saturating_sub(1)).copied().unwrap_or_default().as_secs_f64() * 1e3
        };
        write!(f, "{} | {:.1} | {:.1} | {:.1}", self.0.len(), at(0.5), at(0.99), at(1.0))
    }
}

/// The writer and the reader.
pub(super) struct Bystanders {
    over: Arc<AtomicBool>,
    took: [Arc<Mutex<Vec<Duration>>>; 2],
    writer: JoinHandle<i64>,
    reader: JoinHandle<()>,
    t: i64,
}

impl Bystanders {
    pub(super) fn start(hub: &Hub, t: i64) -> Bystanders {
        let over: Arc<AtomicBool> = Arc::default();
        let took: [Arc<Mutex<Vec<Duration>>>; 2] = Default::default();
        let mut connection = Connection::open(hub.write).unwrap();
        write(&mut connection, t);
        let (stop, times) = (over.clone(), took[0].clone());
        let writer = std::thread::spawn(move || {
            let mut sent = 1;
            while !stop.load(Ordering::Relaxed) {
                timed(&times, || write(&mut connection, t + sent));
                sent += 1;
                std::thread::sleep(PAUSE);
            }
            sent
        });
        let (stop, times, http) = (over.clone(), took[1].clone(), hub.http);
        let reader = std::thread::spawn(move || {
            let mut connection = Connection::open(http).unwrap();
            while !stop.load(Ordering::Relaxed) {
                timed(&times, || read(&mut connection, t));
                std::thread::sleep(PAUSE);
            }
        });
        Bystanders { over, took, writer, reader, t }
    }

    /// Of the writer and of the reader, since this was asked last.
    pub(super) fn took(&self) -> [Took; 2] {
        [0, 1].map(|who| {
            let mut took = std::mem::take(&mut *self.took[who].lock().unwrap());
            took.sort_unstable();
            Took(took)
        })
    }

    /// Checks that all that was written is there.
    pub(super) fn stop(self, hub: &Hub) {
        self.over.store(true, Ordering::Relaxed);
        let sent = self.writer.join().expect("every write is acknowledged");
        self.reader.join().expect("every query is answered");
        let (name, token) = bearer(STEADY);
        let found = query(hub.http, "sum(count_over_time(steady[1h]))", self.t + sent - 1, &[(name, &token)]);
        assert_eq!(found[0]["value"][1], (sent * SERIES).to_string(), "of {sent} requests");
    }
}

fn timed(times: &Mutex<Vec<Duration>>, what: impl FnOnce()) {
    let clock = SystemClock::default();
    what();
    times.lock().unwrap().push(clock.monotonic());
}

/// One sample of each series, whose values add up to 4950.
fn write(connection: &mut Connection, t: i64) {
    let all: Vec<_> = (0..SERIES)
        .map(|n| series(&[("__name__", "steady"), ("n", &n.to_string())], &[(t, n as f64)]))
        .collect();
    let (name, token) = bearer(STEADY);
    let reply = connection.ask("POST", "/api/v1/receive", &[V1, &[(name, &token)]].concat(), &body(&all));
    let reply = reply.unwrap();
    assert_eq!((reply.status, reply.written()), (204, [SERIES as u64, 0, 0]), "{}", reply.body);
}

fn read(connection: &mut Connection, t: i64) {
    let (name, token) = bearer(STEADY);
    let path = format!("/api/v1/query?query={}&time={}", encoded("sum(steady)"), t as f64 / 1e3);
    let reply = connection.ask("GET", &path, &[(name, &token)], b"").unwrap();
    assert!(reply.status == 200 && reply.body.contains(",\"4950\"]"), "{} {}", reply.status, reply.body);
}
