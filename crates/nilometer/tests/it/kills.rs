//! SIGKILL at random moments under load: every acknowledged sample is there again, and nothing else.

use crate::common::{Connection, Dir, Hub, V1, body, matrix, now_ms, series};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

const WRITERS: usize = 3;
/// In CI; by hand, `NILOMETER_TEST_KILLS=100`.
const KILLS: u64 = 4;
/// Series of a writer's request.
const SERIES: usize = 20;

/// What one writer sent and what of it was acknowledged: the numbers of requests, which are times and values.
#[derive(Default)]
struct Sent {
    next: i64,
    acknowledged: BTreeSet<i64>,
}

#[test]
fn what_is_acknowledged_survives_kills() {
    let dir = Dir::new();
    let epoch = now_ms() - 600_000;
    let sent: Vec<Mutex<Sent>> = (0..WRITERS).map(|_| Mutex::default()).collect();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let kills = std::env::var("NILOMETER_TEST_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    for _ in 0..kills {
        let hub = Hub::start(dir.path(), &[]);
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let alive = Duration::from_millis(150 + (seed >> 33) % 600);
        let address = hub.write;
        std::thread::scope(|scope| {
            for (writer, sent) in sent.iter().enumerate() {
                scope.spawn(move || write_until_it_breaks(address, writer, epoch, sent));
            }
            std::thread::sleep(alive);
            hub.kill();
        });
    }
    let hub = Hub::start(dir.path(), &[]);
    let mut acknowledged = 0;
    for (writer, sent) in sent.iter().enumerate() {
        let sent = sent.lock().unwrap();
        let selector = format!("load{{writer=\"{writer}\"}}[2h]");
        let found = matrix(hub.http, &selector, epoch + 1_200_000, "n");
        assert_eq!(found.len(), SERIES, "of writer {writer}");
        for (n, samples) in found {
            let times: BTreeSet<i64> = samples.iter().map(|(t, _)| t - epoch).collect();
            assert_eq!(times.len(), samples.len(), "doubled in series {n} of writer {writer}");
            let lost: Vec<_> = sent.acknowledged.difference(&times).collect();
            assert!(lost.is_empty(), "lost in series {n} of writer {writer}: {lost:?}");
            for (t, v) in samples {
                assert!((0..sent.next).contains(&(t - epoch)), "never sent: {t}");
                assert_eq!(v, value(t - epoch, &n), "altered at {t} in series {n} of writer {writer}");
            }
        }
        acknowledged += sent.acknowledged.len();
    }
    println!("{kills} kills, {acknowledged} requests acknowledged, {SERIES} samples each");
    assert!(acknowledged > 0, "nothing was ever acknowledged");
}

fn value(request: i64, series: &str) -> f64 {
    request as f64 + series.parse::<f64>().unwrap() / 1_000.0
}

fn write_until_it_breaks(address: SocketAddr, writer: usize, epoch: i64, sent: &Mutex<Sent>) {
    let Ok(mut connection) = Connection::open(address) else { return };
    let writer = writer.to_string();
    loop {
        let mut sent = sent.lock().unwrap();
        let request = sent.next;
        sent.next += 1;
        let names: Vec<String> = (0..SERIES).map(|n| n.to_string()).collect();
        let all: Vec<_> = names
            .iter()
            .map(|n| {
                let labels = [("__name__", "load"), ("n", n.as_str()), ("writer", writer.as_str())];
                series(&labels, &[(epoch + request, value(request, n))])
            })
            .collect();
        match connection.ask("POST", "/api/v1/receive", V1, &body(&all)) {
            Ok(reply) => {
                assert_eq!(reply.status, 204, "{}", reply.body);
                sent.acknowledged.insert(request);
            }
            // Killed: it may be stored or not.
            Err(_) => return,
        }
    }
}
