//! The same tests over real object stores. `cargo xtask tools` provides them; without them a test says that it was
//! skipped.

use futures::TryStreamExt;
use nilometer_bucket::testing::proxy::{Proxy, Trouble};
use nilometer_bucket::testing::stores::Store;
use nilometer_bucket::testing::{Faults, conform, with_faults};
use nilometer_bucket::{Bucket, BucketMetrics, Depth, Entry, Parts, ShipOptions, layout};
use nilometer_env::{RealFs, SystemClock, SystemRandom};
use nilometer_model::{BlockMeta, Kind, ThanosMeta};
use prometheus_client::registry::Registry;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn parts() -> Parts {
    Parts {
        clock: Arc::new(SystemClock::default()),
        fs: Arc::new(RealFs),
        random: Arc::new(SystemRandom),
        metrics: BucketMetrics::register(&mut Registry::default()),
        env: Arc::new(|_| None),
    }
}

/// A folder that is gone after the test, unless it failed.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Dir(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

fn write_block(dir: &Path) -> BlockMeta {
    std::fs::create_dir_all(dir.join("chunks")).unwrap();
    let bytes =
        |seed: u32, len: u32| (0..len).map(|i| (i.wrapping_mul(seed) >> 7) as u8).collect::<Vec<u8>>();
    std::fs::write(dir.join("chunks/000001"), bytes(2_654_435_761, 12 << 20)).unwrap();
    std::fs::write(dir.join("chunks/000002"), bytes(40_503, 5_000)).unwrap();
    std::fs::write(dir.join("index"), bytes(69_069, 17 << 20)).unwrap();
    let mut thanos = ThanosMeta::default();
    thanos.labels.insert("tenant_id".into(), "t1".into());
    let ulid = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
    BlockMeta {
        ulid,
        min_time_ms: 1,
        max_time_ms: 2,
        version: 1,
        thanos: Some(thanos),
        ..BlockMeta::default()
    }
}

/// Everything that a bucket must do, and a block's way into it and out of it.
async fn run(yaml: &str, dir: &Path, probed: &str) {
    let bucket = Bucket::from_text(yaml, parts()).unwrap();
    assert_eq!(bucket.probe().await.unwrap().to_string(), probed);
    conform(&bucket).await;
    let local = dir.join("01ARZ3NDEKTSV4RRFFQ69G5FAV");
    let meta = write_block(&local);
    // Stopped between, with a connection that breaks, then continued.
    let (faulty, handle) = with_faults(&bucket, 7);
    let faults = Faults { error_one_in: 4, unanswered_one_in: 5, ..Faults::default() };
    handle.set(Faults { die_after_changes: Some(2), ..faults.clone() });
    faulty.ship(&local, &meta, ShipOptions::default()).await.unwrap_err();
    assert!(!bucket.exists(&layout::meta_key(meta.ulid)).await.unwrap());
    handle.set(faults);
    let shipped =
        faulty.ship(&local, &meta, ShipOptions { hash_files: true, ..ShipOptions::default() }).await.unwrap();
    assert_eq!(shipped.sent_objects + shipped.found_objects, 3);
    assert!(shipped.found_objects > 0, "{shipped:?}");
    assert_eq!(bucket.read_meta(meta.ulid).await.unwrap(), shipped.meta);
    let back = dir.join("back");
    for file in ["chunks/000001", "index"] {
        bucket.download_file(&format!("{}/{file}", meta.ulid), &back).await.unwrap();
        assert!(std::fs::read(&back).unwrap() == std::fs::read(local.join(file)).unwrap(), "{file}");
        std::fs::remove_file(&back).unwrap();
    }
    assert!(bucket.ship(&local, &meta, ShipOptions::default()).await.unwrap().was_there);
    assert_eq!(bucket.remove_block(meta.ulid).await.unwrap(), 4);
    let left: Vec<Entry> = bucket.list("", Depth::All).try_collect().await.unwrap();
    assert_eq!(left, []);
}

/// Uploads in parts that break in the midst, answers that break or do not come: the block is whole in the end.
async fn a_block_gets_through_a_bad_network(store: &Store, dir: &Path) {
    let proxy = Proxy::start(store.port(), 7);
    let through = Bucket::from_text(&store.config_through(proxy.port()), parts()).unwrap();
    let local = dir.join("01ARZ3NDEKTSV4RRFFQ69G5FAV");
    let meta = write_block(&local);
    proxy.set(Trouble {
        refused_one_in: 12,
        torn_request_one_in: 5,
        unanswered_one_in: 10,
        torn_answer_one_in: 10,
        ..Trouble::default()
    });
    let shipped = through.ship(&local, &meta, ShipOptions::default()).await.unwrap();
    let met = proxy.met();
    assert!(met.get("torn request").is_some_and(|count| *count > 0), "{met:?}");
    let bucket = Bucket::from_text(&store.config(), parts()).unwrap();
    assert_eq!(bucket.read_meta(meta.ulid).await.unwrap(), shipped.meta);
    // Compares every byte of what is visible.
    assert!(bucket.ship(&local, &meta, ShipOptions::default()).await.unwrap().was_there);
    assert_eq!(bucket.remove_block(meta.ulid).await.unwrap(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seaweedfs_conforms_and_takes_new_credentials() {
    let dir = Dir::new("seaweedfs");
    let Some(store) = Store::seaweedfs(&dir.0) else {
        return println!(
            "SKIPPED seaweedfs_conforms: no weed in target/tools/stores/bin: run `cargo xtask tools`"
        );
    };
    let yaml = store.config();
    run(
        &yaml,
        &dir.0,
        "conditional create: yes, conditional update: yes, checks SHA-256: yes, object lock: no",
    )
    .await;
    a_block_gets_through_a_bad_network(&store, &dir.0).await;
    // What was rotated away is refused at once; a file with the new secret is taken without a restart.
    let file = dir.0.join("objstore.yaml");
    std::fs::write(&file, yaml.replace("testsecret", "rotated-away")).unwrap();
    let bucket = Bucket::from_file(&file, parts()).unwrap();
    let e = bucket.put("k", "v").await.unwrap_err();
    assert!(*e.kind() == Kind::Unavailable && e.to_string().contains("refuses these credentials"), "{e}");
    let e = bucket.list("", Depth::All).try_next().await.unwrap_err();
    assert!(*e.kind() == Kind::Unavailable && e.to_string().contains("refuses these credentials"), "{e}");
    std::fs::write(&file, &yaml).unwrap();
    assert!(bucket.reload().unwrap());
    bucket.put("k", "v").await.unwrap();
    bucket.delete("k").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azurite_conforms() {
    let dir = Dir::new("azurite");
    let Some(store) = Store::azurite(&dir.0) else {
        return println!(
            "SKIPPED azurite_conforms: no azurite-blob in target/tools/stores/bin: run `cargo xtask tools`"
        );
    };
    let yaml = store.config();
    run(
        &yaml,
        &dir.0,
        "conditional create: yes, conditional update: yes, checks SHA-256: unknown, object lock: unknown",
    )
    .await;
    a_block_gets_through_a_bad_network(&store, &dir.0).await;
}

/// For stores that are not provided: `NILOMETER_TEST_OBJSTORE=FILE cargo test -p nilometer-bucket`, with a
/// prefix in the file below which there is nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_of_a_variable_conforms() {
    let Some(file) = std::env::var_os("NILOMETER_TEST_OBJSTORE") else {
        return println!(
            "SKIPPED the_store_of_a_variable_conforms: NILOMETER_TEST_OBJSTORE names no objstore config"
        );
    };
    let yaml = std::fs::read_to_string(file).unwrap();
    let probed = Bucket::from_text(&yaml, parts()).unwrap().probe().await.unwrap().to_string();
    println!("{probed}");
    run(&yaml, &Dir::new("variable").0, &probed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_this_machine_conforms() {
    let dir = Dir::new("folder");
    let yaml = format!("type: FILESYSTEM\nconfig: {{directory: '{}'}}\n", dir.0.join("bucket").display());
    run(
        &yaml,
        &dir.0,
        "conditional create: yes, conditional update: yes, checks SHA-256: unknown, object lock: no",
    )
    .await;
    let left: Vec<_> =
        std::fs::read_dir(dir.0.join("bucket")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["@nilometer"], "empty folders are gone");
}
