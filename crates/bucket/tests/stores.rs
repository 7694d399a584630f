//! The same tests over real object stores, each started on free ports of this machine and ended with the
//! test. `cargo xtask tools` provides them; without them a test says that it was skipped.

use futures::TryStreamExt;
use nilometer_bucket::testing::{Faults, conform, with_faults};
use nilometer_bucket::{Bucket, BucketMetrics, Depth, Entry, Parts, ShipOptions, layout};
use nilometer_env::{RealFs, SystemClock, SystemRandom};
use nilometer_model::{BlockMeta, Kind, ThanosMeta};
use prometheus_client::registry::Registry;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Tries of 100 ms each: longer than a store takes to start on a busy machine.
const TRIES: u32 = 900;
/// Azure's published key of its emulator.
const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

fn tool(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tools = std::env::var_os("NILOMETER_TOOLS").map_or(root.join("target/tools"), PathBuf::from);
    Some(tools.join("stores/bin").join(name)).filter(|path| path.exists())
}

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

struct Store(Child);

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(command: &mut Command, dir: &Path) -> Store {
    let log = std::fs::File::create(dir.join("log")).unwrap();
    let command = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    Store(command.current_dir(dir).spawn().unwrap())
}

/// Ports that nobody listens on, all different.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// One request over a connection of its own; the answer's first line, once anybody answers.
fn answer(port: u16, request: &str) -> String {
    for _ in 0..TRIES {
        if let Ok(mut connection) = TcpStream::connect(("127.0.0.1", port)) {
            let mut text = String::new();
            let asked = connection.write_all(request.as_bytes());
            if asked.and_then(|()| connection.read_to_string(&mut text)).is_ok() && !text.is_empty() {
                return text.lines().next().unwrap_or_default().to_owned();
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("nobody answers on port {port}");
}

fn seaweedfs(weed: &Path, dir: &Path) -> (Store, String) {
    let [master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc, admin] = free_ports();
    let identities = r#"{"identities":[{"name":"t","credentials":[{"accessKey":"test","secretKey":"testsecret"}],
        "actions":["Admin","Read","Write","List","Tagging"]}]}"#;
    std::fs::write(dir.join("s3.json"), identities).unwrap();
    std::fs::create_dir_all(dir.join("data")).unwrap();
    let mut command = Command::new(weed);
    command.args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-s3.config=s3.json"]);
    command.args(["-master.telemetry=false", "-master.volumeSizeLimitMB=256", "-volume.max=20"]);
    command.args(["-s3.port.iceberg=0", "-s3.port.lance=0"]);
    command.arg(format!("-dir={}", dir.join("data").display()));
    for (flag, port) in [
        ("-master.port", master),
        ("-master.port.grpc", master_grpc),
        ("-volume.port", volume),
        ("-volume.port.grpc", volume_grpc),
        ("-filer.port", filer),
        ("-filer.port.grpc", filer_grpc),
        ("-s3.port", s3),
        ("-s3.port.grpc", s3_grpc),
        ("-debug.port", admin),
    ] {
        command.arg(format!("{flag}={port}"));
    }
    let store = start(&mut command, dir);
    // A folder below /buckets is a bucket; it can be made once a volume can be written to.
    let make = format!(
        "POST /buckets/metrics/ HTTP/1.1\r\nHost: 127.0.0.1:{filer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    for _ in 0..TRIES {
        if answer(filer, &make).contains(" 201 ") {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    answer(s3, &format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{s3}\r\nConnection: close\r\n\r\n"));
    let yaml = format!(
        "type: S3\nprefix: hub\nconfig: {{bucket: metrics, endpoint: '127.0.0.1:{s3}', insecure: true, access_key: test, \
         secret_key: testsecret, part_size: 5242880, put_user_metadata: {{team: obs}}}}\n\
         hedging_config: {{enabled: true}}\n"
    );
    (store, yaml)
}

fn azurite(program: &Path, dir: &Path) -> (Store, String) {
    let [port] = free_ports();
    let mut command = Command::new(program);
    command.args([
        "--blobHost",
        "127.0.0.1",
        "--blobPort",
        &port.to_string(),
        "--silent",
        "--disableTelemetry",
    ]);
    let store = start(command.arg("-l").arg(dir.join("data")), dir);
    answer(port, &format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"));
    let yaml = format!(
        "type: AZURE\nconfig:\n  storage_account: devstoreaccount1\n  container: metrics\n  storage_connection_string: \
         'DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={AZURITE_KEY};\
         BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1;'\n"
    );
    (store, yaml)
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seaweedfs_conforms_and_takes_new_credentials() {
    let Some(weed) = tool("weed") else {
        return println!(
            "SKIPPED seaweedfs_conforms: no weed in target/tools/stores/bin: run `cargo xtask tools`"
        );
    };
    let dir = Dir::new("seaweedfs");
    let (_store, yaml) = seaweedfs(&weed, &dir.0);
    run(
        &yaml,
        &dir.0,
        "conditional create: yes, conditional update: yes, checks SHA-256: yes, object lock: no",
    )
    .await;
    // What was rotated away is refused at once; a file with the new secret is taken without a restart.
    let file = dir.0.join("objstore.yaml");
    std::fs::write(&file, yaml.replace("testsecret", "rotated-away")).unwrap();
    let bucket = Bucket::from_file(&file, parts()).unwrap();
    let e = bucket.put("k", "v").await.unwrap_err();
    assert!(*e.kind() == Kind::Unavailable && e.to_string().contains("refuses these credentials"), "{e}");
    std::fs::write(&file, &yaml).unwrap();
    assert!(bucket.reload().unwrap());
    bucket.put("k", "v").await.unwrap();
    bucket.delete("k").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azurite_conforms() {
    let Some(program) = tool("azurite-blob") else {
        return println!(
            "SKIPPED azurite_conforms: no azurite-blob in target/tools/stores/bin: run `cargo xtask tools`"
        );
    };
    let dir = Dir::new("azurite");
    let (_store, yaml) = azurite(&program, &dir.0);
    run(
        &yaml,
        &dir.0,
        "conditional create: yes, conditional update: yes, checks SHA-256: unknown, object lock: unknown",
    )
    .await;
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
