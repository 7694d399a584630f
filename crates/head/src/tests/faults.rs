//! What the head does when the disk fails, fills up, or a thread panics.

use super::world::{World, series};
use crate::HeadOptions;
use crate::append::SeriesPolicy;
use crate::refused::Reason;
use nilometer_env::sim::Faults;
use nilometer_model::Labels;
use nilometer_wire::remote_write::encode::SentSeries;

const MINUTE: i64 = 60_000;
fn many(n: i64, now: i64) -> Vec<(i64, f64)> {
    (0..n).map(|i| (now + i, i as f64)).collect()
}

#[test]
fn after_a_replay_with_many_closed_chunks_writes_are_taken() {
    let mut world = World::new(3);
    let now = world.now();
    let mut x = 88172645463325252u64;
    let mut random = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        f64::from_bits(x >> 2)
    };
    for round in 0..4 {
        let request: Vec<_> = (0..1000)
            .map(|n| (series(n), (0..600).map(|i| (now + round * 600 + i, random())).collect::<Vec<_>>()))
            .collect();
        world.send("a", &request).unwrap();
    }
    world.restart();
    for _ in 0..5 {
        world.head().maintain();
        let _ = world.send("a", &[(series(1), vec![(now + 10_000, 1.0)])]);
    }
    world.send("a", &[(series(1), vec![(now + 10_001, 1.0)])]).unwrap();
}

#[test]
fn a_disk_that_fails_does_not_fill_memory() {
    let world = World::new(8);
    let now = world.now();
    world.send("a", &[(series(1), vec![(now, 1.0)])]).unwrap();
    let files = world.fs.files().len();
    world.fs.set_faults(Faults { sync_fails_one_in: 1, ..Faults::default() });
    let mut refused = false;
    for round in 0..160i64 {
        let request: Vec<_> = (0..100).map(|n| (series(n), many(1000, now + round * 1000))).collect();
        refused |= world.push("a", &request).is_err();
        if round % 40 == 39 {
            let _ = world.head().flush_log();
        }
    }
    let left = world.fs.files().len() - files;
    let bytes: u64 = world.fs.files().iter().map(|(_, l)| l).sum();
    assert!(
        refused,
        "{} MiB of log in memory, {left} new files of {} MiB",
        world.head().log.heap_bytes() >> 20,
        bytes >> 20
    );
}

struct Panics;
impl SeriesPolicy for Panics {
    fn limits(&self) -> crate::SeriesLimits {
        crate::SeriesLimits::default()
    }
    fn admit(&self, labels: Labels) -> Result<Labels, String> {
        assert!(!labels.to_string().contains("n=\"2\""), "a bug of ours, or 4 GiB of symbols");
        Ok(labels)
    }
    fn generation(&self) -> u64 {
        0
    }
}

#[test]
fn after_a_panic_in_a_change_the_tenant_takes_no_writes() {
    let mut world = World::new(16);
    let now = world.now();
    let sent: Vec<SentSeries> = [1, 2]
        .map(|n| SentSeries {
            samples: vec![nilometer_wire::remote_write::FloatSample { t_ms: now, v: 1.0, start_ms: 0 }],
            ..SentSeries::new(&series(n))
        })
        .to_vec();
    let broken =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.push_with("a", &sent, &Panics)));
    assert!(broken.is_err());
    let refused = world.send("a", &[(series(1), vec![(now, 1.0)])]).unwrap_err().to_string();
    assert!(refused.contains("started again"), "{refused}");
    world.send("b", &[(series(1), vec![(now, 1.0)])]).unwrap();
    world.head().snapshot();
    world.crash();
    world.send("a", &[(series(1), vec![(now, 1.0)])]).unwrap();
    world.crash();
    assert_eq!((world.read("a").len(), world.read("b").len()), (1, 1), "acknowledged");
}

#[test]
fn a_cut_that_failed_is_tried_again() {
    let mut world = World::new(18);
    let start = world.now() / (120 * MINUTE) * (120 * MINUTE);
    for minute in [0, 100, 119, 181] {
        world.set_now(start + minute * MINUTE);
        world.send("a", &[(series(1), vec![(start + minute * MINUTE, 1.0)])]).unwrap();
    }
    world.fs.set_faults(Faults { append_fails_one_in: 1, ..Faults::default() });
    world.head().maintain();
    world.fs.set_faults(Faults::default());
    for minute in 182..290 {
        world.set_now(start + minute * MINUTE);
        world.send("a", &[(series(1), vec![(start + minute * MINUTE, 1.0)])]).unwrap();
        world.head().maintain();
    }
    assert_eq!(world.blocks("a"), 1, "an hour and a half after the disk is well again");
}

#[test]
fn a_sender_that_runs_through_years_waits_for_the_cuts() {
    let world = World::with(19, HeadOptions { retention_ms: 0, reserve_bytes: 0, ..HeadOptions::default() });
    let now = world.now();
    let samples: Vec<_> = (0..1000).map(|i| (now - (1000 - i) * 120 * MINUTE, 1.0)).collect();
    let mut refused = 0;
    while world.send("a", &[(series(1), samples.clone())]).is_err() {
        let chunks =
            world.fs.files().iter().filter(|(p, _)| p.extension().is_some_and(|e| e == "chunks")).count();
        assert!(chunks <= 256, "{chunks} files of closed chunks");
        world.head().maintain();
        world.head().maintain();
        world.advance(MINUTE);
        refused += 1;
        assert!(refused < 10);
    }
    assert!(refused > 2);
    assert_eq!(world.read("a").values().map(Vec::len).sum::<usize>(), 1000);
}

#[test]
fn a_read_that_fails_during_a_cut_costs_nothing() {
    let world = World::new(9);
    let now = world.now();
    world.send("a", &[(series(1), many(600, now))]).unwrap();
    world.fs.set_faults(Faults { read_fails_one_in: 1, ..Faults::default() });
    world.head().cut_everything().unwrap_err();
    world.fs.set_faults(Faults::default());
    assert_eq!((world.blocks("a"), world.read("a").values().map(Vec::len).sum::<usize>()), (0, 600));
    world.head().cut_everything().unwrap();
    assert_eq!((world.blocks("a"), world.read("a").values().map(Vec::len).sum::<usize>()), (1, 600));
}

#[test]
fn a_late_sample_that_cannot_be_compared_now_is_sent_again() {
    let world = World::new(20);
    let now = world.now();
    world.send("a", &[(series(1), many(600, now))]).unwrap();
    world.fs.set_faults(Faults { read_fails_one_in: 1, ..Faults::default() });
    let again = [(series(1), vec![(now + 5, 7.0)]), (series(2), vec![(now, 1.0)])];
    world.send("a", &again).unwrap_err();
    world.fs.set_faults(Faults::default());
    let appended = world.send("a", &again).unwrap();
    assert_eq!((appended.samples, appended.refused.count(Reason::Conflict)), (1, 1));
}
