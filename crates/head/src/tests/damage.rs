//! What the head does when its files are damaged, or are not there.

use super::world::{World, series};
use crate::frame::{FILE_HEAD_BYTES, FRAME_HEAD_BYTES};
use nilometer_env::Fs;
use std::path::{Path, PathBuf};

const HUB: &str = "/data/@nilometer/hub";

fn many(n: i64, now: i64) -> Vec<(i64, f64)> {
    (0..n).map(|i| (now + i, i as f64)).collect()
}

/// Puts other bytes into a file, durable.
fn rewrite(world: &World, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = world.fs.read(path).unwrap();
    change(&mut bytes);
    world.fs.write_atomic(path, &bytes).unwrap();
}

fn parts(world: &World) -> Vec<PathBuf> {
    let is_part = |path: &PathBuf| path.extension().is_some_and(|e| e == "snap");
    world.fs.files().into_iter().map(|(path, _)| path).filter(is_part).collect()
}

fn is_chunks(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "chunks")
}

fn wal(world: &World) -> Vec<PathBuf> {
    world
        .fs
        .files()
        .into_iter()
        .map(|(p, _)| p)
        .filter(|p| p.extension().is_some_and(|e| e == "wal"))
        .collect()
}

#[test]
fn a_tenant_named_like_a_file_of_ours_keeps_its_chunks() {
    for (name, snapshots) in [("snapshot.tmp", 2), ("snapshot-7", 1)] {
        let mut world = World::new(1);
        let now = world.now();
        world.send(name, &[(series(1), many(600, now))]).unwrap();
        (0..snapshots).for_each(|_| world.head().snapshot());
        world.crash();
        let found: usize = world.read(name).values().map(Vec::len).sum();
        assert_eq!(found, 600, "{name}");
    }
}

#[test]
fn a_tenant_named_like_a_snapshot_is_not_taken_for_one() {
    let mut world = World::new(1);
    let now = world.now();
    world.send("a", &[(series(1), many(600, now))]).unwrap();
    world.head().snapshot();
    world.send("snapshot-7", &[(series(1), many(1, now))]).unwrap();
    world.restart();
    assert_eq!(world.read("a").values().map(Vec::len).sum::<usize>(), 600);
}

#[test]
fn numbers_are_given_once_after_the_end_of_the_log_was_damaged() {
    let mut world = World::new(2);
    let now = world.now();
    for n in 0..20 {
        world.send("a", &[(series(1), vec![(now + n, 1.0)])]).unwrap();
    }
    let last = wal(&world).pop().unwrap();
    let mut log = world.fs.read(&last).unwrap();
    world.head().snapshot();
    world.close();
    // The snapshot has all samples, but the log before it had not left, and its last record is damaged.
    *log.last_mut().unwrap() ^= 1;
    let file = world.fs.create(&last).unwrap();
    file.append(&log).and_then(|()| file.sync()).unwrap();
    world.fs.sync_dir(last.parent().unwrap()).unwrap();
    world.restart();
    assert_eq!(world.read("a").values().map(Vec::len).sum::<usize>(), 20);
    world.send("a", &[(series(1), vec![(now + 100, 2.0)])]).unwrap();
    world.restart();
    assert_eq!(world.read("a").values().map(Vec::len).sum::<usize>(), 21, "acknowledged after the damage");
}

#[test]
fn numbers_are_given_once_after_the_log_was_removed() {
    let mut world = World::new(2);
    let now = world.now();
    for n in 0..20 {
        world.send("a", &[(series(1), vec![(now + n, 1.0)])]).unwrap();
    }
    world.head().snapshot();
    world.close();
    for path in wal(&world) {
        world.fs.remove_file(&path).unwrap();
    }
    world.fs.sync_dir(&Path::new(HUB).join("wal")).unwrap();
    world.restart();
    for n in 0..10 {
        world.send("a", &[(series(1), vec![(now + 100 + n, 2.0)])]).unwrap();
    }
    world.restart();
    assert_eq!(world.read("a").values().map(Vec::len).sum::<usize>(), 30, "acknowledged after the damage");
}

#[test]
fn a_tenants_record_stands_twice_in_a_snapshot() {
    for damaged in 0..2 {
        let mut world = World::new(6);
        let now = world.now();
        world.send("a", &[(series(1), many(600, now))]).unwrap();
        world.head().snapshot();
        world.close();
        assert_eq!(parts(&world).len(), 2);
        rewrite(&world, &parts(&world)[damaged], |bytes| bytes[FILE_HEAD_BYTES + FRAME_HEAD_BYTES + 3] ^= 1);
        world.restart();
        assert_eq!(world.read("a").values().map(Vec::len).sum::<usize>(), 600);
        assert_eq!(world.head().metrics.corruptions.get(), 1);
    }
}

#[test]
fn damage_to_a_tenant_in_the_snapshot_does_not_touch_another() {
    let mut world = World::new(5);
    let now = world.now();
    world.send("a", &[(series(1), many(600, now))]).unwrap();
    world
        .send("b", &[(series(1), many(600, now)), (series(2), many(600, now)), (series(3), many(600, now))])
        .unwrap();
    world.head().snapshot();
    world.close();
    for part in parts(&world) {
        rewrite(&world, &part, |bytes| {
            // Kind, number, and the name with its length.
            let record = (0..bytes.len() - 4).find(|&at| bytes[at..].starts_with(&[1, 2, 1, b'b']));
            if let Some(at) = record {
                bytes[at + 5] ^= 0x55;
            }
        });
    }
    world.restart();
    let a = world.read("a");
    assert_eq!((a.len(), a.values().map(Vec::len).sum::<usize>()), (1, 600), "{:?}", a.keys());
    assert_eq!(world.fs.files().into_iter().filter(|(p, _)| is_chunks(p)).count(), 2, "nothing is removed");
    assert!(world.head().metrics.corruptions.get() > 0);
}

#[test]
fn a_file_of_chunks_that_cannot_be_read_is_said() {
    let mut world = World::new(14);
    let now = world.now();
    world.send("a", &[(series(1), many(600, now))]).unwrap();
    world.head().snapshot();
    world.close();
    let (file, _) =
        world.fs.files().into_iter().find(|(p, _)| p.extension().is_some_and(|e| e == "chunks")).unwrap();
    rewrite(&world, &file, |bytes| bytes[..40].fill(0xff));
    world.restart();
    let (found, warnings) = world.read_with_warnings("a");
    let samples: usize = found.values().map(Vec::len).sum();
    let counted = world.head().metrics.corruptions.get();
    assert!(
        samples == 600 || warnings > 0 || counted > 0,
        "{samples} samples, {warnings} warnings, {counted} corruptions"
    );
}

#[test]
fn a_segment_whose_head_is_damaged_is_put_aside_and_counted() {
    let mut world = World::new(15);
    let now = world.now();
    world.send("a", &[(series(1), many(600, now))]).unwrap();
    world.restart();
    world.send("a", &[(series(1), vec![(now + 1000, 1.0)])]).unwrap();
    world.close();
    let first = wal(&world).remove(0);
    rewrite(&world, &first, |bytes| bytes[..40].fill(0xff));
    world.restart();
    let counted = world.head().metrics.corruptions.get();
    let samples: usize = world.read("a").values().map(Vec::len).sum();
    world.head().snapshot();
    assert_eq!((counted, samples), (2, 0));
    assert!(world.fs.exists(&first.with_extension("wal.unreadable")), "it is kept for whoever can mend it");
}
