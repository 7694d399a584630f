//! Real object stores, each started on free ports of this machine and ended when it is dropped. `cargo xtask tools`
//! provides the programs.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Tries of 100 ms each: longer than a store takes to start on a busy machine.
const TRIES: u32 = 900;
/// Azure's published key of its emulator.
const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A store that runs.
pub struct Store {
    process: Child,
    port: u16,
    config: fn(u16) -> String,
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Store {
    /// S3, with the identities `test` and `fresh`; `None` where the program is not there. Its files are in a folder of
    /// `dir`.
    pub fn seaweedfs(dir: &Path) -> Option<Store> {
        tool("weed").map(|weed| seaweedfs(&weed, &own_folder(dir)))
    }

    /// The same of Azure.
    pub fn azurite(dir: &Path) -> Option<Store> {
        tool("azurite-blob").map(|program| azurite(&program, &own_folder(dir)))
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The objstore config.
    pub fn config(&self) -> String {
        (self.config)(self.port)
    }

    /// One that goes to who listens on another port of this machine.
    pub fn config_through(&self, port: u16) -> String {
        (self.config)(port)
    }
}

fn tool(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tools = std::env::var_os("NILOMETER_TOOLS").map_or(root.join("target/tools"), PathBuf::from);
    Some(tools.join("stores/bin").join(name)).filter(|path| path.exists())
}

fn own_folder(dir: &Path) -> PathBuf {
    let folder = dir.join("store");
    std::fs::create_dir_all(&folder).expect("a folder for the store");
    folder
}

/// # Panics
/// If it cannot be started.
fn start(command: &mut Command, dir: &Path) -> Child {
    let log = File::create(dir.join("log")).expect("a log beside the store's files");
    let command = command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
    command.current_dir(dir).spawn().expect("the store starts")
}

/// Ports that nobody listens on, all different.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("its number").port())
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

fn seaweedfs(weed: &Path, dir: &Path) -> Store {
    let [master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc, admin] = free_ports();
    let identity = |key: &str| {
        format!(
            r#"{{"name":"{key}","credentials":[{{"accessKey":"{key}","secretKey":"{key}secret"}}],
            "actions":["Admin","Read","Write","List","Tagging"]}}"#
        )
    };
    let identities = format!(r#"{{"identities":[{},{}]}}"#, identity("test"), identity("fresh"));
    std::fs::write(dir.join("s3.json"), identities).expect("the store's files");
    std::fs::create_dir_all(dir.join("data")).expect("the store's files");
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
    let store = Store { process: start(&mut command, dir), port: s3, config: s3_config };
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
    store
}

fn s3_config(port: u16) -> String {
    format!(
        "type: S3\nprefix: hub\nconfig: {{bucket: metrics, endpoint: '127.0.0.1:{port}', insecure: true, access_key: test, \
         secret_key: testsecret, part_size: 5242880, put_user_metadata: {{team: obs}}}}\n\
         hedging_config: {{enabled: true}}\n"
    )
}

fn azurite(program: &Path, dir: &Path) -> Store {
    let [port] = free_ports();
    let mut command = Command::new(program);
    command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string(), "--silent"]);
    command.arg("--disableTelemetry").arg("-l").arg(dir.join("data"));
    let store = Store { process: start(&mut command, dir), port, config: azure_config };
    answer(port, &format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"));
    store
}

fn azure_config(port: u16) -> String {
    format!(
        "type: AZURE\nconfig:\n  storage_account: devstoreaccount1\n  container: metrics\n  storage_connection_string: \
         'DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={AZURITE_KEY};\
         BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1;'\n"
    )
}
