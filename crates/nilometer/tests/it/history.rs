//! Blocks go to the bucket, leave the local disk, and still answer.

use crate::common::{Dir, Hub, V1, body, eventually, matrix, now_ms, post, series};
use std::path::Path;

const MINUTE_MS: i64 = 60_000;
const STEP_MS: i64 = 10 * MINUTE_MS;
const SAMPLES: i64 = 24 * 6;

const FLAGS: [&str; 4] = [
    "--tsdb.retention=4h",
    "--tsdb.too-far-in-future.time-window=0s",
    "--shipper.interval=100ms",
    "--sync-block-duration=1s",
];

fn blocks(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().join("meta.json").is_file()).count()
}

#[test]
fn years_are_in_the_bucket_and_hours_here() {
    let dir = Dir::new();
    let (bucket, local) = (dir.path().join("bucket"), dir.path().join("data/receive/default-tenant"));
    let config =
        format!("--objstore.config={{type: FILESYSTEM, config: {{directory: {}}}}}", bucket.display());
    let flags: Vec<&str> = FLAGS.into_iter().chain([config.as_str()]).collect();
    let mut hub = Hub::start(dir.path(), &flags);
    let start = now_ms() / STEP_MS * STEP_MS;
    let at = |n: i64| start + n * STEP_MS;
    for n in 0..SAMPLES {
        let one = |pod: i64| {
            let name = format!("p{pod}");
            series(&[("__name__", "m"), ("pod", &name)], &[(at(n), (n * (pod + 1)) as f64)])
        };
        let all: Vec<_> = (0..3).map(one).collect();
        assert_eq!(post(hub.write, "/api/v1/receive", V1, &body(&all)).status, 204);
    }
    // What passed the retention, four hours before the newest sample, is in the bucket alone.
    eventually("blocks are in the bucket", || blocks(&bucket) >= 10);
    eventually("old ones are gone here", || blocks(&local) <= 3);
    let all_of = |hub: &Hub, until: i64| {
        let found = matrix(hub.http, "m[2d]", at(until - 1), "pod");
        for pod in 0..3 {
            let expected: Vec<_> = (0..until).map(|n| (at(n), (n * (pod + 1)) as f64)).collect();
            assert_eq!(found[&format!("p{pod}")], expected);
        }
    };
    all_of(&hub, SAMPLES);
    hub.kill();
    hub = Hub::start(dir.path(), &flags);
    all_of(&hub, SAMPLES);
    assert!(hub.stop().success());
    // Without the local disk the bucket has all but what was in no block yet.
    std::fs::remove_dir_all(dir.path().join("data/receive")).unwrap();
    hub = Hub::start(dir.path(), &flags);
    all_of(&hub, SAMPLES - 18 - 12);
}

/// How often blocks of the bucket were compacted, and how many there are.
fn compacted(bucket: &Path) -> (u64, usize) {
    let entries = std::fs::read_dir(bucket).into_iter().flatten().flatten();
    let metas = entries.filter_map(|entry| std::fs::read(entry.path().join("meta.json")).ok());
    let levels: Vec<u64> = metas
        .filter_map(|json| {
            serde_json::from_slice::<serde_json::Value>(&json).ok()?["compaction"]["level"].as_u64()
        })
        .collect();
    (levels.iter().copied().max().unwrap_or(0), levels.len())
}

#[test]
fn without_any_flag_blocks_become_fewer_and_answer_the_same() {
    let dir = Dir::new();
    let compaction = ["--consistency-delay=0s", "--wait-interval=1s", "--delete-delay=3s"];
    let flags: Vec<&str> = FLAGS.into_iter().chain(compaction).collect();
    let mut hub = Hub::start(dir.path(), &flags);
    let start = now_ms() / STEP_MS * STEP_MS;
    for n in 0..SAMPLES {
        let one = series(&[("__name__", "m"), ("pod", "p0")], &[(start + n * STEP_MS, n as f64)]);
        assert_eq!(post(hub.write, "/api/v1/receive", V1, &body(&[one])).status, 204);
    }
    let bucket = dir.path().join("data/bucket");
    eventually("blocks are compacted and the old ones gone", || {
        let (level, blocks) = compacted(&bucket);
        level >= 2 && blocks <= 6
    });
    let expected: Vec<_> = (0..SAMPLES).map(|n| (start + n * STEP_MS, n as f64)).collect();
    let all = |hub: &Hub| matrix(hub.http, "m[2d]", start + SAMPLES * STEP_MS, "pod").remove("p0").unwrap();
    eventually("nothing is missing", || all(&hub) == expected);
    let log = std::fs::read_to_string(dir.path().join("data/compact/deletions.jsonl")).unwrap();
    assert!(log.lines().any(|line| line.contains("source of compacted block")), "{log}");
    hub.kill();
    hub = Hub::start(dir.path(), &flags);
    assert_eq!(all(&hub), expected);
}

#[test]
fn a_bucket_that_is_not_there_costs_disk_only() {
    let dir = Dir::new();
    let config = dir.path().join("objstore.yaml");
    let yaml = "type: S3\nconfig:\n  bucket: b\n  endpoint: 127.0.0.1:1\n  insecure: true\n  access_key: a\n  secret_key: s\n";
    std::fs::write(&config, yaml).unwrap();
    let file = format!("--objstore.config-file={}", config.display());
    let flags: Vec<&str> = FLAGS.into_iter().chain([file.as_str()]).collect();
    let hub = Hub::start(dir.path(), &flags);
    let start = now_ms() / STEP_MS * STEP_MS;
    for n in 0..SAMPLES {
        let one = series(&[("__name__", "m")], &[(start + n * STEP_MS, n as f64)]);
        assert_eq!(post(hub.write, "/api/v1/receive", V1, &body(&[one])).status, 204);
    }
    let local = dir.path().join("data/receive/default-tenant");
    eventually("blocks stay here", || blocks(&local) >= 10);
}
