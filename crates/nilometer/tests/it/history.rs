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
