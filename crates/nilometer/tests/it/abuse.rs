//! Bad input under load: whatever one tenant asks for, its memory is bounded, and another tenant's writes and
//! queries go on.
//!
//! No time is asserted; how long answers took is printed. By hand, `NILOMETER_TEST_ABUSE_SECONDS=30 cargo test
//! --release -p nilometer --test it abuse -- --nocapture` measures.

mod bombs;
mod bystanders;

use crate::common::{Connection, Dir, Hub, V1, body, now_ms, post, series};
use bombs::{Bomb, bombs};
use bystanders::{Bystanders, Took};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Each tenant's token is its letter, 64 times.
const TENANTS: &str = "\
tenants:
  - name: steady
    credentials:
      - bearer: {sha256: ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb}
        scopes: [write, read]
  - name: noisy
    credentials:
      - bearer: {sha256: a0fab1377f49a759b57f63318262ebe89fabfc990e8e93ceac2984561482b9d4}
        scopes: [write, read]
";
const STEADY: &str = "a";
const NOISY: &str = "b";

const SERIES: usize = 3_000;
const SAMPLES: i64 = 60;
const STEP_MS: i64 = 15_000;

const PLACES: u64 = 4;
const MEMORY: u64 = 16 << 20;
/// What forms may take (`server/src/api`).
const BODIES: u64 = 64 << 20;
/// What the regular expressions of one request may take (`model/src/regex`).
const REGEXES: u64 = 256 << 20;

/// In CI; by hand, `NILOMETER_TEST_ABUSE_SECONDS=30`.
const SECONDS: u64 = 2;

fn bearer(letter: &str) -> (&'static str, String) {
    ("Authorization", format!("Bearer {}", letter.repeat(64)))
}

#[test]
fn the_others_go_on() {
    let asked = std::env::var("NILOMETER_TEST_ABUSE_SECONDS").ok().and_then(|n| n.parse().ok());
    let time = Duration::from_secs(asked.unwrap_or(SECONDS));
    let dir = Dir::new();
    let file = dir.file("tenants.yaml", TENANTS);
    let hub = Hub::start(
        dir.path(),
        &[
            &format!("--tenants.config-file={file}"),
            &format!("--query.max-concurrent={PLACES}"),
            &format!("--query.max-memory={MEMORY}"),
            "--query.timeout=10s",
            "--http.unread-timeout=1s",
        ],
    );
    let t = now_ms() / STEP_MS * STEP_MS;
    fill(&hub, t);
    let bystanders = Bystanders::start(&hub, t);
    std::thread::sleep(time);
    let idle = hub.peak_bytes();
    let quiet = bystanders.took();
    let bombs = bombs(t);
    for bomb in bombs.iter().filter(|bomb| !bomb.only_time_ends_it) {
        let reply = bomb.ask(&hub);
        assert!(bomb.is_met_by(&reply), "{}: {} {}", bomb.name, reply.status, start_of(&reply.body));
    }
    let one_by_one = bystanders.took();
    all_at_once(&hub, &bombs, time, t);
    let at_once = bystanders.took();
    bystanders.stop(&hub);
    let peak = hub.peak_bytes();
    // Tables grow by doubling, answers wait to be read, and two bombs are of regular expressions.
    let bound = idle + PLACES * MEMORY * 2 + MEMORY + BODIES + 2 * REGEXES;
    println!("peak memory: {} MB idle, {} MB, bound {} MB", idle >> 20, peak >> 20, bound >> 20);
    print_table(&[("quiet", quiet), ("one by one", one_by_one), ("all at once", at_once)]);
    assert!(peak < bound, "{peak} bytes of memory at most, of {bound}");
}

/// What the noisy tenant can ask for.
fn fill(hub: &Hub, t: i64) {
    for part in 0..10 {
        let many: Vec<_> = (part * SERIES / 10..(part + 1) * SERIES / 10)
            .map(|n| {
                let samples: Vec<_> = (0..SAMPLES).map(|i| (t - i * STEP_MS, n as f64)).rev().collect();
                series(&[("__name__", "m"), ("n", &n.to_string()), ("pod", &format!("pod-{n:x}"))], &samples)
            })
            .collect();
        let (name, token) = bearer(NOISY);
        let reply = post(hub.write, "/api/v1/receive", &[V1, &[(name, &token)]].concat(), &body(&many));
        assert_eq!(reply.status, 204, "{}", reply.body);
    }
}

/// Each again and again until all were answered and the time is over, beside clients that read nothing.
fn all_at_once(hub: &Hub, bombs: &[Bomb], time: Duration, t: i64) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asked = bombs.iter().map(|bomb| {
            let over = &over;
            scope.spawn(move || {
                let mut count = 0u64;
                while count == 0 || !over.load(Ordering::Relaxed) {
                    let reply = bomb.ask(hub);
                    // Whoever asks for so much at once waits for its own.
                    let waited = reply.status == 503 && reply.body.contains("query timed out");
                    let met = waited || bomb.is_met_by(&reply);
                    assert!(met, "{}: {} {}", bomb.name, reply.status, start_of(&reply.body));
                    count += 1;
                }
                count
            })
        });
        let asked: Vec<_> = asked.collect();
        let deaf: Vec<_> = (0..4).map(|_| deaf(hub, t)).collect();
        std::thread::sleep(time);
        over.store(true, Ordering::Relaxed);
        for (bomb, asked) in bombs.iter().zip(asked) {
            println!("{:4} times {}", asked.join().unwrap(), bomb.name);
        }
        for connection in deaf {
            // What it reads now ends before all is there.
            let rest = connection.rest().unwrap_or_default();
            assert!(!rest.ends_with(b"0\r\n\r\n"), "it got all {} bytes", rest.len());
        }
    });
}

/// Asks for more than the buffers of sockets hold, and reads none of it.
fn deaf(hub: &Hub, t: i64) -> Connection {
    let (start, end) = ((t - SAMPLES * STEP_MS) / 1_000, t / 1_000);
    let (name, token) = bearer(NOISY);
    let mut connection = Connection::open(hub.http).unwrap();
    let request = format!(
        "GET /api/v1/query_range?query=m&start={start}&end={end}&step=3 HTTP/1.1\r\nHost: hub\r\n\
         {name}: {token}\r\n\r\n"
    );
    connection.send(request.as_bytes()).unwrap();
    connection
}

fn start_of(body: &str) -> &str {
    body.get(..300).unwrap_or(body)
}

fn print_table(phases: &[(&str, [Took; 2])]) {
    println!("| | writes | p50 ms | p99 ms | most ms | queries | p50 ms | p99 ms | most ms |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for (name, [writes, queries]) in phases {
        println!("| {name} | {writes} | {queries} |");
    }
}
