//! SIGKILL at random moments: every acknowledged sample is there again, and nothing else.
//!
//! Simulated time runs a thousand times faster than the clock, and snapshots are small, so that the hub cuts
//! blocks and writes snapshots all the while. It is killed under load, while it starts, while it ends, and
//! while it turns everything into blocks.

use crate::common::{Connection, Dir, Hub, Random, V1, body, matrix, now_ms, series};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const WRITERS: usize = 3;
/// In CI; by hand, `NILOMETER_TEST_KILLS=100`, and others with another `NILOMETER_SEED`.
const KILLS: u64 = 5;
/// Series of a writer's request.
const SERIES: i64 = 20;
/// From one request of a writer to its next.
const STEP_MS: i64 = 5_000;
/// How long ago the first samples are: more than any number of kills gets through.
const AGO_MS: i64 = 300 * 24 * 3_600_000;

const ARGS: [&str; 4] = [
    "--tsdb.min-block-duration=10m",
    "--tsdb.max-block-duration=10m",
    "--tsdb.retention=0d",
    "--tsdb.snapshot-after=50KiB",
];

/// When the hub is killed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    UnderLoad,
    Starting,
    /// SIGTERM is answered with a snapshot.
    Ending,
    /// Told to end with everything in blocks.
    Flushing,
    /// Asked for a folder of blocks, under load.
    Copying,
}

const MOMENTS: [Moment; 5] =
    [Moment::UnderLoad, Moment::Starting, Moment::Ending, Moment::Flushing, Moment::Copying];

/// What one writer sent and what of it was acknowledged: the numbers of requests, which are times and values.
#[derive(Default)]
struct Sent {
    next: i64,
    acknowledged: BTreeSet<i64>,
    /// Was not answered, and is sent again.
    again: Option<i64>,
}

/// What the kills left behind, to see that they hit.
#[derive(Default)]
struct Hits {
    half_blocks: u64,
    half_snapshots: u64,
    half_starts: u64,
}

#[test]
fn what_is_acknowledged_survives_kills() {
    let dir = Dir::new();
    let epoch = now_ms() - AGO_MS;
    let sent: Vec<Mutex<Sent>> = (0..WRITERS).map(|_| Mutex::default()).collect();
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse().ok());
    let (kills, seed) =
        (number("NILOMETER_TEST_KILLS").unwrap_or(KILLS), number("NILOMETER_SEED").unwrap_or(0));
    let mut random = Random(seed);
    let mut hits = Hits::default();
    for kill in 0..kills {
        let moment = MOMENTS[((seed + kill) % MOMENTS.len() as u64) as usize];
        let was_ready = live(dir.path(), moment, epoch, &sent, &mut random);
        hits.look(dir.path());
        hits.half_starts += u64::from(!was_ready);
    }
    let hub = Hub::start(dir.path(), &[&ARGS[..], &["--flush-on-shutdown"]].concat());
    check(&hub, epoch, &sent);
    assert_eq!(hub.metric("nilometer_head_corruptions_total"), 0.0, "a kill damages nothing");
    assert!(hub.stop().success());
    let blocks = folders(&dir.path().join("data/receive"), "").len();
    // Now from blocks alone.
    let hub = Hub::start(dir.path(), &ARGS);
    check(&hub, epoch, &sent);
    let acknowledged: usize = sent.iter().map(|sent| sent.lock().unwrap().acknowledged.len()).sum();
    let Hits { half_blocks, half_snapshots, half_starts } = hits;
    println!(
        "kills={kills} acknowledged_requests={acknowledged} blocks={blocks} half_blocks={half_blocks} \
         half_snapshots={half_snapshots} half_starts={half_starts}"
    );
    assert!(acknowledged > 0, "nothing was ever acknowledged");
    assert!(blocks > 0, "nothing was ever cut");
}

/// From a start to a kill. Says whether it was ready in between.
fn live(dir: &Path, moment: Moment, epoch: i64, sent: &[Mutex<Sent>], random: &mut Random) -> bool {
    if moment == Moment::Starting {
        return !Hub::kill_while_it_starts(dir, &ARGS, random.up_to_ms(80));
    }
    let flush = if moment == Moment::Flushing { &["--flush-on-shutdown"][..] } else { &[] };
    let hub = Hub::start(dir, &[&ARGS[..], flush].concat());
    let (write, http, ends) = (hub.write, hub.http, AtomicBool::new(false));
    // Upkeep cuts and writes snapshots once a second.
    let under_load = random.up_to_ms(if moment == Moment::UnderLoad { 2_500 } else { 500 });
    std::thread::scope(|scope| {
        for (writer, sent) in sent.iter().enumerate() {
            let ends = &ends;
            scope.spawn(move || write_until_it_breaks(write, (writer, epoch), sent, ends));
        }
        std::thread::sleep(under_load);
        ends.store(true, Ordering::SeqCst);
        match moment {
            Moment::UnderLoad | Moment::Starting => {}
            Moment::Ending | Moment::Flushing => hub.signal(Signal::TERM),
            // Its answer does not come.
            Moment::Copying => {
                drop(scope.spawn(move || {
                    Connection::open(http)?.ask("POST", "/api/v1/admin/tsdb/snapshot", &[], b"")
                }))
            }
        }
        match moment {
            Moment::UnderLoad | Moment::Starting => {}
            // That is done in an instant: the kill waits for it to begin.
            Moment::Ending => {
                let waiting = (0..1_000).take_while(|_| !half_snapshot(dir).exists());
                waiting.for_each(|_| std::thread::sleep(Duration::from_micros(200)));
                std::thread::sleep(random.up_to_ms(8));
            }
            Moment::Flushing | Moment::Copying => std::thread::sleep(random.up_to_ms(150)),
        }
        hub.kill();
    });
    true
}

/// Most samples come in their order; each series keeps back some of them for two requests.
fn is_kept_back(request: i64, n: i64) -> bool {
    (request + n) % 11 == 0
}

/// The times of series `n` that a request holds, as numbers of requests.
fn held(request: i64, n: i64) -> impl Iterator<Item = i64> {
    let late = Some(request - 2).filter(|&late| late >= 0 && is_kept_back(late, n));
    late.into_iter().chain(Some(request).filter(|&now| !is_kept_back(now, n)))
}

fn value(request: i64, n: i64) -> f64 {
    request as f64 + n as f64 / 1_000.0
}

fn write_until_it_breaks(
    address: SocketAddr,
    (writer, epoch): (usize, i64),
    sent: &Mutex<Sent>,
    ends: &AtomicBool,
) {
    let Ok(mut connection) = Connection::open(address) else { return };
    let writer = writer.to_string();
    // Each a tenant of its own: none waits for another's time.
    let tenant = format!("wc-{writer}");
    let headers = [V1, &[("THANOS-TENANT", tenant.as_str())]].concat();
    let mut sent = sent.lock().unwrap();
    loop {
        let request = sent.again.take().unwrap_or(sent.next);
        sent.next = sent.next.max(request + 1);
        let all: Vec<_> = (0..SERIES)
            .map(|n| {
                let samples: Vec<_> = held(request, n).map(|r| (epoch + r * STEP_MS, value(r, n))).collect();
                series(&[("__name__", "load"), ("n", &n.to_string()), ("writer", &writer)], &samples)
            })
            .collect();
        match connection.ask("POST", "/api/v1/receive", &headers, &body(&all)) {
            Ok(reply) if reply.status == 503 && ends.load(Ordering::SeqCst) => {}
            Ok(reply) => {
                assert_eq!(reply.status, 204, "request {request} of writer {writer}: {}", reply.body);
                sent.acknowledged.insert(request);
                continue;
            }
            Err(_) => {}
        }
        // It may be stored or not. A sender tries again; one that was started anew does not.
        sent.again = (request % 3 > 0).then_some(request);
        return;
    }
}

/// Everything that was acknowledged is there, once, and what is there was sent.
fn check(hub: &Hub, epoch: i64, sent: &[Mutex<Sent>]) {
    for (writer, sent) in sent.iter().enumerate() {
        let sent = sent.lock().unwrap();
        let selector = format!("load{{writer=\"{writer}\"}}[1y]");
        let mut found = matrix(hub.http, &selector, epoch + sent.next * STEP_MS, "n");
        for n in 0..SERIES {
            let who = format!("series {n} of writer {writer}");
            let samples = found.remove(&n.to_string()).unwrap_or_default();
            let times: BTreeSet<i64> = samples.iter().map(|(t, _)| (t - epoch) / STEP_MS).collect();
            assert_eq!(times.len(), samples.len(), "doubled in {who}");
            let acknowledged: BTreeSet<i64> = sent.acknowledged.iter().flat_map(|&r| held(r, n)).collect();
            let lost: Vec<_> = acknowledged.difference(&times).collect();
            assert!(lost.is_empty(), "lost in {who}: {lost:?} of {} requests", sent.next);
            for (t, v) in samples {
                let r = (t - epoch) / STEP_MS;
                let was_sent =
                    (0..3).any(|later| r + later < sent.next && held(r + later, n).any(|h| h == r));
                assert!(was_sent && (t - epoch) % STEP_MS == 0, "never sent to {who}: {t}");
                assert_eq!(v, value(r, n), "altered at {t} in {who}");
            }
        }
        assert!(found.is_empty(), "series that were never sent: {:?}", found.keys());
    }
}

impl Hits {
    fn look(&mut self, dir: &Path) {
        self.half_blocks += folders(&dir.join("data/receive"), ".tmp-for-creation").len() as u64;
        self.half_snapshots += u64::from(half_snapshot(dir).exists());
    }
}

/// Becomes a snapshot by being renamed.
fn half_snapshot(dir: &Path) -> PathBuf {
    dir.join("data/receive/@nilometer/hub/snapshot.tmp")
}

/// Blocks of all tenants whose folders' names end so; with an empty ending, those that are whole.
fn folders(receive: &Path, ending: &str) -> Vec<String> {
    let names = |path: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(path).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    };
    let tenants = names(receive).into_iter().filter(|name| name.starts_with("wc-"));
    let all = tenants.flat_map(|tenant| names(&receive.join(tenant)));
    all.filter(|name| if ending.is_empty() { !name.contains('.') } else { name.ends_with(ending) }).collect()
}
