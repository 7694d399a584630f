//! The log on a simulated disk: what it said to be durable is there after a crash, whatever failed.

use super::*;
use nilometer_env::sim::{Faults, SimFs, SimRandom};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// `known` is the last number that a snapshot has.
fn open(fs: &SimFs, seed: u64, known: Lsn) -> (Log, BTreeMap<Lsn, Vec<u8>>, Replayed) {
    let (dir, mut bodies) = (Path::new("/wal"), BTreeMap::new());
    fs.create_dir_all(dir).unwrap();
    let mut replayed = replay(fs, dir, |lsn, body| {
        if let Some(before) = bodies.insert(lsn, body.to_vec()) {
            assert_eq!(before, body, "a body that is logged twice is the same twice");
        }
        Ok(())
    })
    .unwrap();
    replayed.last_lsn = replayed.last_lsn.max(known);
    let log = Log::new(Arc::new(fs.clone()), Arc::new(SimRandom::new(seed)), dir, &replayed);
    (log, bodies, replayed)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn durable_survives(seed: u64, ops in prop::collection::vec(0..13u8, 1..60), fails in 0..6u64) {
        let fs = SimFs::new(seed);
        let (mut log, _, _) = open(&fs, seed, 0);
        let mut sent = BTreeMap::new();
        let mut dropped = 0;
        for (n, op) in ops.iter().enumerate() {
            match op {
                0..6 => {
                    let body = format!("body {n} {}", "x".repeat(n)).into_bytes();
                    let lsn = log.push(|out| out.extend_from_slice(&body));
                    prop_assert!(sent.insert(lsn, body).is_none(), "a number is given once");
                }
                6..10 => {
                    fs.set_faults(Faults { sync_fails_one_in: fails, append_fails_one_in: fails * 2, ..Faults::default() });
                    let flushed = log.flush();
                    fs.set_faults(Faults::default());
                    prop_assert!(flushed.is_err() || log.durable_through() == log.last());
                }
                10 => {
                    dropped = dropped.max(log.durable_through() / 2);
                    log.drop_through(dropped).unwrap();
                }
                11 => {
                    log.end_segment();
                    if log.flush().is_ok() {
                        dropped = log.last();
                    }
                    log.drop_through(dropped).unwrap();
                }
                _ => {
                    let durable = log.durable_through();
                    fs.crash();
                    let (again, bodies, replayed) = open(&fs, seed + n as u64, dropped);
                    prop_assert!(replayed.damaged.is_empty(), "{:?}", replayed.damaged);
                    for (lsn, body) in sent.iter().filter(|(lsn, _)| (dropped + 1..=durable).contains(lsn)) {
                        prop_assert_eq!(bodies.get(lsn), Some(body), "{} of {} durable", lsn, durable);
                    }
                    for (lsn, body) in &bodies {
                        prop_assert_eq!(sent.get(lsn), Some(body), "nothing is invented");
                    }
                    // What was not durable and is gone may get its number again.
                    sent.retain(|lsn, _| bodies.contains_key(lsn) || *lsn <= dropped);
                    log = again;
                }
            }
        }
    }
}

#[test]
fn a_failed_sync_refuses_and_the_next_segment_has_all() {
    let fs = SimFs::new(3);
    let (log, _, _) = open(&fs, 3, 0);
    log.push(|out| out.extend_from_slice(b"zero"));
    log.flush().unwrap();
    let first = log.push(|out| out.extend_from_slice(b"one"));
    fs.set_faults(Faults { sync_fails_one_in: 1, ..Faults::default() });
    assert!(log.flush().is_err());
    let refused = futures::executor::block_on(log.durable(first)).unwrap_err();
    assert!(refused.to_string().contains("retry"), "{refused}");
    fs.set_faults(Faults::default());
    let second = log.push(|out| out.extend_from_slice(b"two"));
    log.flush().unwrap();
    futures::executor::block_on(log.durable(second)).unwrap();
    fs.crash();
    let (_, bodies, replayed) = open(&fs, 4, 0);
    assert_eq!(bodies.into_values().collect::<Vec<_>>(), [&b"zero"[..], b"one", b"two"]);
    assert_eq!(replayed.segments.len(), 2, "the failed one, and one after it");
}

#[test]
fn what_a_snapshot_has_leaves_whole() {
    let fs = SimFs::new(5);
    let (log, _, _) = open(&fs, 5, 0);
    log.push(|out| out.extend_from_slice(b"one"));
    log.flush().unwrap();
    log.end_segment();
    let last = log.last();
    log.drop_through(last).unwrap();
    assert!(fs.read_dir(Path::new("/wal")).unwrap().is_empty(), "no segment is open");
    log.push(|out| out.extend_from_slice(b"two"));
    log.flush().unwrap();
    log.drop_through(log.last()).unwrap();
    let (_, bodies, _) = open(&fs, 6, last);
    assert_eq!(bodies.into_iter().collect::<Vec<_>>(), [(2, b"two".to_vec())], "an open one stays");
}
