use super::*;
use crate::testing::{Faults, sim_parts, with_faults};
use crate::{Depth, Entry};
use futures::TryStreamExt;
use proptest::prelude::*;
use std::path::Path;
use std::time::Duration;

/// A memory bucket and a local one on a simulated disk.
fn buckets(seed: u64) -> [Bucket; 2] {
    let (parts, _, _) = sim_parts(seed);
    let local = Bucket::open(BucketConfig::filesystem("/bucket"), parts.clone()).unwrap();
    [Bucket::memory(parts), local]
}

#[tokio::test]
async fn memory_and_local_buckets_conform() {
    for bucket in buckets(1) {
        crate::testing::conform(&bucket).await;
    }
}

#[tokio::test]
async fn a_prefix_is_in_front_of_every_key_and_in_no_answer() {
    let (parts, _, fs) = sim_parts(1);
    let config = BucketConfig { prefix: "a/b".into(), ..BucketConfig::filesystem("/bucket") };
    let bucket = Bucket::open(config, parts).unwrap();
    crate::testing::conform(&bucket).await;
    bucket.put("x/y", "1").await.unwrap();
    assert!(fs.exists(Path::new("/bucket/a/b/x/y")));
    let keys: Vec<Entry> = bucket.list("", Depth::Folder).try_collect().await.unwrap();
    assert_eq!(keys, [Entry::Folder("x/".into())]);
}

#[tokio::test]
async fn an_empty_folder_goes_with_its_last_object() {
    let (parts, _, fs) = sim_parts(1);
    let bucket = Bucket::open(BucketConfig::filesystem("/bucket"), parts).unwrap();
    bucket.put("b/chunks/000001", "1").await.unwrap();
    bucket.put("b/index", "1").await.unwrap();
    bucket.delete("b/chunks/000001").await.unwrap();
    assert!(!fs.exists(Path::new("/bucket/b/chunks")) && fs.exists(Path::new("/bucket/b")));
    bucket.delete("b/index").await.unwrap();
    assert!(!fs.exists(Path::new("/bucket/b")) && fs.exists(Path::new("/bucket")));
}

#[tokio::test]
async fn after_a_power_cut_an_object_is_whole_or_not_there() {
    for seed in 0..50 {
        let (parts, _, fs) = sim_parts(seed);
        let bucket = Bucket::open(BucketConfig::filesystem("/bucket"), parts.clone()).unwrap();
        bucket.put("kept", vec![7; 1_000]).await.unwrap();
        let next = bucket.put("next", vec![8; 1_000]);
        // Stopped after the write that is torn, at the latest.
        fs.set_faults(nilometer_env::sim::Faults { sync_fails_one_in: 2, ..Default::default() });
        let _ = tokio::time::timeout(Duration::from_millis(1), next).await;
        fs.set_faults(Default::default());
        fs.crash();
        let bucket = Bucket::open(BucketConfig::filesystem("/bucket"), parts).unwrap();
        assert_eq!(bucket.get("kept", 1 << 20).await.unwrap(), vec![7; 1_000]);
        match bucket.get("next", 1 << 20).await {
            Ok(bytes) => assert_eq!(bytes, vec![8; 1_000]),
            Err(e) => assert_eq!(*e.kind(), Kind::NotFound, "{e}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn passing_faults_are_not_seen() {
    let [memory, _] = buckets(3);
    for seed in 0..10 {
        let (faulty, handle) = with_faults(&memory, seed);
        handle.set(Faults {
            error_one_in: 6,
            unanswered_one_in: 6,
            slow_one_in: 7,
            slow: Duration::from_secs(5),
            ..Faults::default()
        });
        crate::testing::conform(&faulty).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_pass_is_an_error_that_says_where() {
    let [memory, _] = buckets(4);
    memory.put("k", "v").await.unwrap();
    let (faulty, handle) = with_faults(&memory, 1);
    handle.set(Faults { unreachable: true, ..Faults::default() });
    let e = faulty.get("k", 10).await.unwrap_err();
    assert_eq!(*e.kind(), Kind::Unavailable);
    assert_eq!(e.to_string(), r#"bucket "memory": get of k (11 attempts): nobody is there"#);
    handle.set(Faults { credentials_expired: true, ..Faults::default() });
    let e = faulty.put("k", "w").await.unwrap_err();
    assert!(e.is_passing() && e.to_string().contains("upload of k: the store refuses"), "{e}");
    handle.set(Faults::default());
    assert_eq!(faulty.get("k", 10).await.unwrap(), "v");
    assert!(matches!(
        faulty.get("k", 0).await.unwrap_err().kind(),
        Kind::Limit { name: "object_bytes", max: 0 }
    ));
}

#[tokio::test(start_paused = true)]
async fn of_many_who_create_or_update_one_wins() {
    for bucket in buckets(5) {
        let (bucket, handle) = with_faults(&bucket, 1);
        handle.set(Faults { unanswered_one_in: 3, ..Faults::default() });
        let racers = (0..16).map(|i| {
            let bucket = bucket.clone();
            async move { bucket.put_if_absent("lease", format!("{i}")).await }
        });
        let results = futures::future::join_all(racers).await;
        let winners: Vec<usize> = (0..16).filter(|&i| results[i].is_ok()).collect();
        assert_eq!(winners.len(), 1);
        let (bytes, version) = bucket.get_versioned("lease", 100).await.unwrap();
        assert_eq!(bytes, winners[0].to_string());
        let racers = (0..16).map(|i| {
            let (bucket, version) = (bucket.clone(), version.clone());
            async move { bucket.update_if_match("lease", format!("u{i}"), &version).await }
        });
        let results = futures::future::join_all(racers).await;
        let winners: Vec<usize> = (0..16).filter(|&i| results[i].is_ok()).collect();
        assert_eq!(winners.len(), 1);
        assert_eq!(bucket.get("lease", 100).await.unwrap(), format!("u{}", winners[0]));
    }
}

#[tokio::test]
async fn the_probe_says_what_there_is_and_leaves_nothing() {
    for bucket in buckets(6) {
        let probe = bucket.probe().await.unwrap();
        let text =
            "conditional create: yes, conditional update: yes, checks SHA-256: unknown, object lock: no";
        assert_eq!(probe.to_string(), text);
        let left: Vec<Entry> = bucket.list("", Depth::All).try_collect().await.unwrap();
        assert_eq!(left, []);
    }
}

#[tokio::test]
async fn a_changed_file_is_taken_and_a_wrong_one_is_not() {
    let (mut parts, _, fs) = sim_parts(7);
    let value = Arc::new(parking_lot::Mutex::new("0.9".to_owned()));
    let seen = value.clone();
    parts.env = Arc::new(move |name| (name == "Q").then(|| seen.lock().clone()));
    let path = Path::new("/objstore.yaml");
    let write = |text: &str| fs.write_atomic(path, text.as_bytes()).unwrap();
    fs.create_dir_all(Path::new("/")).unwrap();
    let good = "type: FILESYSTEM\nconfig: { directory: /bucket }\nhedging_config: { enabled: true, quantile: $(Q) }\n";
    write(good);
    let bucket = Bucket::from_file(path, parts).unwrap();
    assert!(!bucket.reload().unwrap());
    *value.lock() = "0.5".into();
    assert!(bucket.reload().unwrap(), "a variable changed");
    assert_eq!(bucket.0.current.load().hedging.unwrap().quantile, 0.5);
    write("type: FILESYSTEM\nconfig: { directory: /bucket, x: 1 }\n");
    assert!(bucket.reload().is_err());
    write("type: FILESYSTEM\nconfig: { directory: /elsewhere }\n");
    let e = bucket.reload().unwrap_err();
    assert!(e.to_string().contains("restart for that"), "{e}");
    bucket.put("k", "v").await.unwrap();
    assert!(fs.exists(Path::new("/bucket/k")), "what was in use is in use");
}

#[tokio::test]
async fn metrics_have_thanos_names() {
    let mut registry = prometheus_client::registry::Registry::default();
    let (mut parts, _, _) = sim_parts(8);
    parts.metrics = BucketMetrics::register(&mut registry);
    let bucket = Bucket::memory(parts);
    bucket.put("k", "value").await.unwrap();
    bucket.get("k", 10).await.unwrap();
    bucket.get("nothing", 10).await.unwrap_err();
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        r#"thanos_objstore_bucket_operations_total{bucket="memory",operation="get"} 2"#,
        r#"thanos_objstore_bucket_operation_failures_total{bucket="memory",operation="get"} 0"#,
        r#"thanos_objstore_bucket_operation_duration_seconds_count{bucket="memory",operation="upload"} 1"#,
        r#"thanos_objstore_bucket_operation_fetched_bytes_total{bucket="memory",operation="get"} 5"#,
        r#"thanos_objstore_bucket_last_successful_upload_time{bucket="memory"} 1700000000"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

proptest! {
    #[test]
    fn merged_ranges_hold_all_and_do_not_touch(
        ranges in prop::collection::vec((0u64..40 << 20, 0u64..2 << 20), 0..40)
    ) {
        let ranges: Vec<Range<u64>> = ranges.into_iter().map(|(at, len)| at..at + len).collect();
        let merged = merge(&ranges);
        for range in ranges.iter().filter(|r| r.start < r.end) {
            let holders = merged.iter().filter(|m| m.start <= range.start && range.end <= m.end).count();
            prop_assert_eq!(holders, 1);
        }
        for pair in merged.windows(2) {
            prop_assert!(pair[0].end <= pair[1].start);
        }
    }

    #[test]
    fn ranges_are_what_was_asked_for(ranges in prop::collection::vec((0u64..900, 0u64..100), 0..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let bytes: Vec<u8> = (0..1_000u32).map(|i| (i % 251) as u8).collect();
        let ranges: Vec<Range<u64>> = ranges.into_iter().map(|(at, len)| at..at + len).collect();
        runtime.block_on(async {
            let [memory, _] = buckets(9);
            memory.put("k", bytes.clone()).await.unwrap();
            let got = memory.get_ranges("k", &ranges).await.unwrap();
            let wanted: Vec<&[u8]> = ranges.iter().map(|r| &bytes[r.start as usize..r.end as usize]).collect();
            assert_eq!(got, wanted);
        });
    }

    /// Any sequence of operations does the same to a map, a memory bucket and a local one.
    #[test]
    fn buckets_are_maps(operations in prop::collection::vec((0u8..5, 0usize..8, 0u8..255), 0..40)) {
        const KEYS: [&str; 8] = ["a", "b/c", "b/c2", "b.d", "b/e/f", "b/e/g", "z", "01/x"];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let buckets = buckets(10);
            let mut map = std::collections::BTreeMap::<&str, Vec<u8>>::new();
            for (operation, key, value) in operations {
                let key = KEYS[key];
                match operation {
                    0 | 1 => { map.insert(key, vec![value]); }
                    2 => { map.remove(key); }
                    3 => { map.entry(key).or_insert_with(|| vec![value]); }
                    _ => if let Some(there) = map.get("a").cloned() { map.insert(key, there); },
                }
                for bucket in &buckets {
                    match operation {
                        0 | 1 => { bucket.put(key, vec![value]).await.unwrap(); }
                        2 => bucket.delete(key).await.unwrap(),
                        3 => { let _ = bucket.put_if_absent(key, vec![value]).await; }
                        _ => { let _ = bucket.copy("a", key).await; }
                    }
                }
            }
            for bucket in &buckets {
                let listed: Vec<Entry> = bucket.list("", Depth::All).try_collect().await.unwrap();
                let keys: Vec<&str> = listed.iter().map(Entry::key).collect();
                assert_eq!(keys, map.keys().copied().collect::<Vec<_>>());
                for (key, value) in &map {
                    assert_eq!(bucket.get(key, 100).await.unwrap(), value);
                }
            }
        });
    }
}
