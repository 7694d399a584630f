//! A store for the blocks of a bucket, and a hub that asks it.

use crate::common::{Dir, Hub, V1, body, eventually, get, matrix, now_ms, post, series, skipped};
use crate::tenants::{FILE, bearer};
use crate::tls::{certificate, signed};

const MINUTE_MS: i64 = 60_000;
const STEP_MS: i64 = 10 * MINUTE_MS;
const SAMPLES: i64 = 24 * 6;

/// Sends a day of one series.
fn push_a_day(hub: &Hub, start: i64) {
    for n in 0..SAMPLES {
        let one = series(&[("__name__", "m"), ("pod", "p")], &[(start + n * STEP_MS, n as f64)]);
        assert_eq!(post(hub.write, "/api/v1/receive", V1, &body(&[one])).status, 204);
    }
}

fn blocks(dir: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().join("meta.json").is_file()).count()
}

#[test]
fn a_hub_sees_what_a_store_has() {
    let (dir, other) = (Dir::new(), Dir::new());
    let bucket = dir.path().join("bucket");
    let config =
        format!("--objstore.config={{type: FILESYSTEM, config: {{directory: {}}}}}", bucket.display());
    let sender_flags = [
        "--tsdb.too-far-in-future.time-window=0s",
        "--shipper.interval=100ms",
        "--sync-block-duration=1s",
        config.as_str(),
    ];
    let mut hub = Hub::start(dir.path(), &sender_flags);
    let start = now_ms() / STEP_MS * STEP_MS;
    push_a_day(&hub, start);
    eventually("blocks are in the bucket", || blocks(&bucket) >= 10);
    let store = Hub::store(dir.path(), &[&config, "--sync-block-duration=1s"]);
    let listed = get(store.http, "/api/v1/blocks", &[]).body;
    assert!(listed.contains("\"ulid\""), "{listed}");

    // Both have the blocks: nothing counts twice.
    let all: Vec<_> = (0..SAMPLES).map(|n| (start + n * STEP_MS, n as f64)).collect();
    let (at_store, at_hub) = (format!("--endpoint={}", store.grpc), format!("--endpoint={}", hub.grpc));
    let end = start + SAMPLES * STEP_MS;
    let reader = Hub::start(other.path(), &[&at_store, &at_hub]);
    assert_eq!(matrix(reader.http, "m[2d]", end, "pod")["p"], all);
    assert_eq!(matrix(hub.http, "m[2d]", end, "pod")["p"], all);

    // The store alone has what is in blocks.
    assert!(hub.stop().success());
    let found = matrix(reader.http, "m[2d]", end, "pod");
    let (blocks, rest) = all.split_at(found["p"].len());
    assert_eq!(found["p"], blocks);
    assert!(!rest.is_empty() && blocks.len() >= 100, "{} of {} are in blocks", blocks.len(), all.len());
    assert!(instant_warnings(&reader, end).contains(&at_hub["--endpoint=".len()..]));

    // Without either there is nothing, and that is said.
    store.kill();
    let warnings = instant_warnings(&reader, end);
    assert!(warnings.contains("is missing"), "{warnings}");
    hub = Hub::start(dir.path(), &sender_flags);
    assert_eq!(matrix(hub.http, "m[2d]", end, "pod")["p"], all);
    drop(reader);
    let at_hub = format!("--endpoint={}", hub.grpc);
    let reader = Hub::start(other.path(), &[&at_hub]);
    assert_eq!(matrix(reader.http, "m[2d]", end, "pod")["p"], all);
}

/// The whole answer of a query that is not refused.
fn instant_warnings(hub: &Hub, at_ms: i64) -> String {
    let path = format!("/api/v1/query?query=m&time={}", at_ms / 1000);
    let reply = get(hub.http, &path, &[]);
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body
}

/// One asks for a certificate, and shows one to who has none in common with it.
#[test]
fn stores_and_hubs_that_know_each_other() {
    let dir = Dir::new();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let made = ["ca", "other"].iter().all(|name| certificate(dir.path(), name))
        && ["hub", "reader"].iter().all(|name| signed(dir.path(), name, "ca"));
    if !made {
        return skipped("store::stores_and_hubs_that_know_each_other", "openssl is missing");
    }
    let hub = Hub::start(
        dir.path(),
        &[
            &format!("--grpc-server-tls-cert={}", at("hub.crt")),
            &format!("--grpc-server-tls-key={}", at("hub.key")),
            &format!("--grpc-server-tls-client-ca={}", at("ca.crt")),
        ],
    );
    let now = now_ms();
    let one = series(&[("__name__", "m"), ("pod", "p")], &[(now, 1.0)]);
    assert_eq!(post(hub.write, "/api/v1/receive", V1, &body(&[one])).status, 204);

    let identity = [
        format!("--grpc-client-tls-cert={}", at("reader.crt")),
        format!("--grpc-client-tls-key={}", at("reader.key")),
    ];
    let trusting = |ca: &str| format!("--grpc-client-tls-ca={}", at(ca));
    let both = |more: &[&str]| {
        identity.iter().map(String::as_str).chain(more.iter().copied()).map(str::to_owned).collect::<Vec<_>>()
    };
    let cases = [
        (both(&[&trusting("ca.crt")]), true),
        (both(&[&trusting("other.crt")]), false),
        (both(&["--grpc-client-tls-skip-verify"]), true),
        (both(&[&trusting("ca.crt"), "--grpc-client-server-name=other"]), false),
        (vec![trusting("ca.crt")], false),
    ];
    for (n, (flags, is_seen)) in cases.iter().enumerate() {
        let endpoint = format!("--endpoint={}", hub.grpc);
        let flags: Vec<_> = [endpoint.as_str(), "--grpc-client-tls-secure"]
            .into_iter()
            .chain(flags.iter().map(String::as_str))
            .collect();
        let reader = Hub::start(&dir.path().join(format!("reader-{n}")), &flags);
        let answer = instant_warnings(&reader, now + 1000);
        assert_eq!(answer.contains(r#""pod":"p""#), *is_seen, "{flags:?}: {answer}");
        assert_eq!(answer.contains("is missing"), !is_seen, "{flags:?}: {answer}");
    }
}

#[test]
fn a_store_that_asks_for_a_token() {
    let dir = Dir::new();
    let at = |name: &str| dir.path().join(name).display().to_string();
    if !certificate(dir.path(), "ca") || !signed(dir.path(), "hub", "ca") {
        return skipped("store::a_store_that_asks_for_a_token", "openssl is missing");
    }
    let tenants = dir.file("tenants.yaml", FILE);
    let hub = Hub::start(
        dir.path(),
        &[
            &format!("--tenants.config-file={tenants}"),
            &format!("--grpc-server-tls-cert={}", at("hub.crt")),
            &format!("--grpc-server-tls-key={}", at("hub.key")),
        ],
    );
    let (now, writer) = (now_ms(), bearer("a"));
    let one = series(&[("__name__", "m"), ("pod", "p")], &[(now, 1.0)]);
    let headers = [V1, &[("Authorization", writer.as_str())]].concat();
    assert_eq!(post(hub.write, "/api/v1/receive", &headers, &body(&[one])).status, 204);
    for (letter, is_seen) in [("b", true), ("c", false)] {
        let flags = [
            format!("--endpoint={}", hub.grpc),
            "--grpc-client-tls-secure".to_owned(),
            format!("--grpc-client-tls-ca={}", at("ca.crt")),
            format!("--grpc-client-token-file={}", dir.file("token", &(letter.repeat(64) + "\n"))),
        ];
        let reader = Hub::start(&dir.path().join(letter), &flags.each_ref().map(String::as_str));
        let answer = instant_warnings(&reader, now + 1000);
        assert_eq!(answer.contains(r#""pod":"p""#), is_seen, "{answer}");
        assert_eq!(answer.contains("is missing"), !is_seen, "{answer}");
    }
}
