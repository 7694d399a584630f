//! Started where a Prometheus or a Thanos Receive ran before.

use super::world::{Contents, World, series};
use crate::HeadOptions;
use crate::adopt::unflushed;
use nilometer_env::Fs;
use nilometer_model::Labels;
use std::path::{Path, PathBuf};

const HOUR: i64 = 3_600_000;

/// A world that has only this: blocks of five hours that lie directly in its directory.
fn prometheus_was_here(seed: u64) -> (World, Contents) {
    let mut world = World::new(seed);
    let start = world.now();
    for hour in 0..5 {
        world.set_now(start + hour * HOUR);
        world.send("default-tenant", &[(series(1), vec![(world.now(), hour as f64)])]).unwrap();
    }
    let sent = world.read("default-tenant");
    world.head().cut_everything().unwrap();
    world.close();
    let from = Path::new("/data/default-tenant");
    for entry in world.fs.read_dir(from).unwrap() {
        world.fs.rename(&from.join(&entry.name), &Path::new("/data").join(&entry.name)).unwrap();
    }
    world.fs.remove_dir_all(from).unwrap();
    world.fs.remove_dir_all(Path::new("/data/@nilometer")).unwrap();
    (world, sent)
}

#[test]
fn blocks_of_a_prometheus_go_to_the_default_tenant() {
    let (mut world, sent) = prometheus_was_here(1);
    let names = |world: &World| -> Vec<String> {
        world.fs.read_dir(Path::new("/data")).unwrap().into_iter().map(|e| e.name).collect()
    };
    assert!(names(&world).len() >= 3, "{:?}", names(&world));
    world.restart();
    assert_eq!(names(&world), ["@nilometer", "default-tenant"]);
    assert_eq!(world.read("default-tenant"), sent);
    world.crash();
    assert_eq!(world.read("default-tenant"), sent, "moved for good");

    let newest = world.now();
    world.send("default-tenant", &[(series(1), vec![(newest + HOUR / 10, 5.0)])]).unwrap();
    let labels = Labels::from_pairs([("__name__", "m"), ("n", "1"), ("tenant_id", "default-tenant")]);
    assert_eq!(world.read("default-tenant")[&labels].len(), 6, "old and new are one series");
}

#[test]
fn what_is_older_than_the_retention_is_not_deleted_unasked() {
    let (mut world, sent) = prometheus_was_here(2);
    let before = world.fs.files();
    world.options = HeadOptions { retention_ms: 2 * HOUR, ..world.options.clone() };
    let refused = world.open_beside().unwrap_err().to_string();
    assert!(refused.contains("--tsdb.retention"), "{refused}");
    let blocks = |files: &[(PathBuf, u64)]| -> Vec<PathBuf> {
        files.iter().map(|f| f.0.clone()).filter(|p| !p.starts_with("/data/@nilometer")).collect()
    };
    assert_eq!(blocks(&world.fs.files()), blocks(&before), "nothing is moved");
    world.options.retention_ms = 0;
    world.restart();
    assert_eq!(world.read("default-tenant"), sent);
}

#[test]
fn a_foreign_log_is_named_and_not_touched() {
    let mut world = World::new(3);
    world.send("a", &[(series(1), vec![(world.now(), 1.0)])]).unwrap();
    world.send("wal", &[(series(1), vec![(world.now(), 1.0)])]).unwrap();
    world.head().cut_everything().unwrap();
    world.close();
    let segments = ["/data/wal/00000001", "/data/a/wal/00000000", "/data/a/wbl/00000000"].map(PathBuf::from);
    for segment in &segments {
        world.fs.create_dir_all(segment.parent().unwrap()).unwrap();
        world.fs.create(segment).unwrap().append(b"samples").unwrap();
    }
    world.fs.create_dir_all(Path::new("/data/b/wal")).unwrap();
    world.restart();
    for segment in &segments {
        assert_eq!(world.fs.read(segment).unwrap(), b"samples");
    }
    let found = |dir: &str| unflushed(&world.fs, Path::new(dir)).unwrap();
    assert_eq!(found("/data"), [Path::new("/data/wal")]);
    assert_eq!(found("/data/a"), [Path::new("/data/a/wal"), Path::new("/data/a/wbl")]);
    assert!(found("/data/b").is_empty(), "an empty folder is no log");
    assert_eq!(world.read("wal").len(), 1, "a tenant may be called that");
}

#[test]
fn two_programs_do_not_run_on_one_directory() {
    for lock in ["/data/lock", "/data/a/lock"].map(Path::new) {
        let mut world = World::new(4);
        world.close();
        world.fs.create_dir_all(Path::new("/data/a")).unwrap();
        world.fs.create(lock).unwrap();
        let held = world.fs.lock(lock).unwrap();
        let refused = world.open_beside().unwrap_err().to_string();
        assert!(refused.contains("stop it first"), "{refused}");
        drop(held);
        world.restart();
        assert!(world.fs.lock(lock).is_err(), "held as long as this runs");
        world.close();
        assert!(world.fs.lock(lock).is_ok());
    }
}
