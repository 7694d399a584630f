//! `nilometer compact` beside a hub that leaves its bucket to it.

use crate::common::{Dir, Hub, V1, body, eventually, matrix, now_ms, post, series};
use std::path::Path;
use std::process::{Command, Output};

const STEP_MS: i64 = 600_000;
const SAMPLES: i64 = 24 * 6;

fn compact(dir: &Path, data: &str, more: &[&str]) -> Output {
    let bucket = dir.join("bucket");
    let config =
        format!("--objstore.config={{type: FILESYSTEM, config: {{directory: {}}}}}", bucket.display());
    let data = format!("--data-dir={}", dir.join(data).display());
    Command::new(env!("CARGO_BIN_EXE_nilometer"))
        .args(["compact", &config, &data, "--consistency-delay=0s"])
        .args(more)
        .output()
        .unwrap()
}

fn levels(bucket: &Path) -> Vec<u64> {
    let entries = std::fs::read_dir(bucket).into_iter().flatten().flatten();
    let metas = entries.filter_map(|entry| std::fs::read(entry.path().join("meta.json")).ok());
    let level = |json: Vec<u8>| {
        serde_json::from_slice::<serde_json::Value>(&json).ok()?["compaction"]["level"].as_u64()
    };
    metas.filter_map(level).collect()
}

#[test]
fn one_compactor_after_the_other() {
    let dir = Dir::new();
    let bucket = dir.path().join("bucket");
    let config =
        format!("--objstore.config={{type: FILESYSTEM, config: {{directory: {}}}}}", bucket.display());
    let flags = [
        "--no-compact",
        "--tsdb.retention=4h",
        "--tsdb.too-far-in-future.time-window=0s",
        "--shipper.interval=100ms",
        "--sync-block-duration=1s",
        config.as_str(),
    ];
    let hub = Hub::start(dir.path(), &flags);
    let start = now_ms() / STEP_MS * STEP_MS;
    for n in 0..SAMPLES {
        let one = series(&[("__name__", "m"), ("pod", "p0")], &[(start + n * STEP_MS, n as f64)]);
        assert_eq!(post(hub.write, "/api/v1/receive", V1, &body(&[one])).status, 204);
    }
    eventually("blocks are in the bucket", || levels(&bucket).len() >= 10);
    let first = compact(dir.path(), "one", &[]);
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    assert!(levels(&bucket).contains(&2), "{:?}", levels(&bucket));
    let again = levels(&bucket);
    let second = compact(dir.path(), "two", &["--delete-delay=0s"]);
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));
    assert!(levels(&bucket).len() < again.len(), "the second one deletes what the first one marked");
    let expected: Vec<_> = (0..SAMPLES).map(|n| (start + n * STEP_MS, n as f64)).collect();
    eventually("nothing is missing", || {
        matrix(hub.http, "m[2d]", start + SAMPLES * STEP_MS, "pod").remove("p0").unwrap() == expected
    });
}

#[test]
fn a_mistake_says_what_to_do() {
    let dir = Dir::new();
    let said = |more: &[&str]| {
        let output = compact(dir.path(), "one", more);
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let short = said(&["--retention.resolution-raw=1d"]);
    assert!(short.contains("--retention.resolution-raw=1d is less than the 40h"), "{short}");
    assert!(said(&["--hash-func=MD5"]).contains("there is SHA256, or nothing"));
    let missing = Command::new(env!("CARGO_BIN_EXE_nilometer")).arg("compact").output().unwrap();
    assert!(String::from_utf8_lossy(&missing.stderr).contains("--objstore.config-file"));
}
