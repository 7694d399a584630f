//! Two real Prometheus servers push as two Workload Clusters, each with its own credential, over a restart of
//! each side and an outage. Whatever they answer, the hub answers; and what it cuts, they can read.

use crate::common::{Dir, Hub, eventually, get, now_ms, query, skipped};
use rustix::process::{Pid, Signal, kill_process};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Tokens: 64 times `a`, 64 times `b`; the operator's is 64 times `c`.
const TENANTS: &str = "\
tenants:
  - name: wc-1
    labels: {cluster: {mode: check}}
    credentials:
      - bearer: {sha256: ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb}
        scopes: [write, read]
  - name: wc-2
    labels: {cluster: {mode: check}}
    credentials:
      - bearer: {sha256: a0fab1377f49a759b57f63318262ebe89fabfc990e8e93ceac2984561482b9d4}
        scopes: [write, read]
operators:
  - name: platform
    credentials:
      - bearer: {sha256: 52b6419d27bd7f547cee3b92f8c17a908b8a49601ecbec161e5030de1dfe9e0a}
        scopes: [read-all, admin]
";

fn tool(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tools = std::env::var_os("NILOMETER_TOOLS").map_or(root.join("target/tools"), PathBuf::from);
    Some(tools.join("bin").join(name)).filter(|path| path.exists())
}

/// A Prometheus that scrapes itself and the hub each second, and pushes.
struct Cluster {
    child: Child,
    address: SocketAddr,
    name: &'static str,
    token: String,
    dir: PathBuf,
    prometheus: PathBuf,
}

impl Cluster {
    fn start(prometheus: &Path, dir: &Path, name: &'static str, letter: &str, hub: &Hub) -> Cluster {
        let dir = dir.join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let (address, token) = (free_address(), letter.repeat(64));
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, external_labels: {{cluster: {name}}}}}\n\
             scrape_configs:\n\
             - {{job_name: prometheus, static_configs: [{{targets: [\"{address}\"]}}]}}\n\
             remote_write:\n\
             - url: http://{}/api/v1/receive\n  \
               authorization: {{credentials: {token}}}\n  \
               queue_config: {{retry_on_http_429: true, batch_send_deadline: 1s, max_backoff: 1s}}\n",
            hub.write
        );
        std::fs::write(dir.join("prometheus.yml"), config).unwrap();
        let prometheus = prometheus.to_owned();
        let child = Self::run(&prometheus, &dir, address);
        Cluster { child, address, name, token, dir, prometheus }
    }

    fn run(prometheus: &Path, dir: &Path, address: SocketAddr) -> Child {
        let config = format!("--config.file={}", dir.join("prometheus.yml").display());
        let data = format!("--storage.tsdb.path={}", dir.join("data").display());
        let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("log")).unwrap();
        Command::new(prometheus)
            .args([config, data, format!("--web.listen-address={address}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// In order, so that it sends what it has scraped: after a kill it goes on with what it scrapes from then
    /// on, and what it had not sent is never sent.
    fn restart(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.child.wait().unwrap();
        self.child = Self::run(&self.prometheus, &self.dir, self.address);
    }

    fn authorization(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// Everything that it has in the 15 s before a time, as text, one line a series.
    fn own(&self, t_ms: i64) -> Vec<String> {
        lines(&query(self.address, r#"{__name__!=""}[15s]"#, t_ms, &[]))
    }

    /// The same as the hub has it, without what only the hub knows.
    fn at(&self, hub: &Hub, t_ms: i64) -> Vec<String> {
        let authorization = self.authorization();
        let mut found = query(hub.http, r#"{__name__!=""}[15s]"#, t_ms, &[("Authorization", &authorization)]);
        for series in found.as_array_mut().unwrap() {
            let labels = series["metric"].as_object_mut().unwrap();
            assert_eq!(labels.remove("tenant_id").unwrap(), self.name, "a tenant sees itself only");
            assert_eq!(labels.remove("cluster").unwrap(), self.name);
        }
        lines(&found)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            eprintln!("the log of {}:\n{log}", self.name);
        }
    }
}

fn lines(result: &serde_json::Value) -> Vec<String> {
    let mut lines: Vec<String> = result.as_array().unwrap().iter().map(ToString::to_string).collect();
    lines.sort();
    lines
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn two_clusters_push_and_the_hub_answers_the_same() {
    let (Some(prometheus), Some(promtool)) = (tool("prometheus"), tool("promtool")) else {
        return skipped("two_clusters_push", "no prometheus in target/tools/bin: run `cargo xtask tools`");
    };
    let dir = Dir::new();
    let tenants = format!("--tenants.config-file={}", dir.file("tenants.yaml", TENANTS));
    let (http, write) = (free_address(), free_address());
    let fixed = [format!("--http-address={http}"), format!("--remote-write.address={write}"), tenants];
    let args: Vec<&str> = fixed.iter().map(String::as_str).collect();
    let hub = Hub::start(dir.path(), &args);
    let mut clusters = [
        Cluster::start(&prometheus, dir.path(), "wc-1", "a", &hub),
        Cluster::start(&prometheus, dir.path(), "wc-2", "b", &hub),
    ];
    let same = |hub: &Hub, clusters: &[Cluster]| {
        // What was scraped until now has to arrive.
        let t = now_ms();
        for cluster in clusters {
            eventually(&format!("the hub has all that {} has", cluster.name), || {
                let own = cluster.own(t);
                own.len() > 300 && own == cluster.at(hub, t)
            });
        }
    };
    std::thread::sleep(Duration::from_secs(8));
    // On a busy machine its first attempt to read its own log may fail: then it never sends what it has scraped in the
    // five seconds until the next.
    for cluster in &clusters {
        eventually(&format!("{} sends all it scrapes", cluster.name), || {
            let t = now_ms() - 1000;
            let own = cluster.own(t);
            own.len() > 300 && own == cluster.at(&hub, t)
        });
    }
    same(&hub, &clusters);

    // The hub dies; what is scraped meanwhile arrives afterwards.
    hub.kill();
    std::thread::sleep(Duration::from_secs(6));
    let hub = Hub::start(dir.path(), &args);
    same(&hub, &clusters);

    // A cluster is restarted.
    clusters[0].restart();
    std::thread::sleep(Duration::from_secs(6));
    same(&hub, &clusters);

    blocks_are_prometheus_own(hub, &dir, &prometheus, &promtool);
}

/// Leaves the hub for good: its blocks are listed, analysed, and answered from by the real thing.
fn blocks_are_prometheus_own(hub: Hub, dir: &Dir, prometheus: &Path, promtool: &Path) {
    let t = now_ms();
    let authorization = format!("Bearer {}", "a".repeat(64));
    // Not a rate: of a counter that is near zero, as after the restart, 2.42 and Prometheus 3 extrapolate it
    // differently.
    let asked = r#"sum by (handler, code) (sum_over_time(prometheus_http_requests_total[15s]))"#;
    let labelless = |mut found: serde_json::Value| {
        for series in found.as_array_mut().unwrap() {
            let labels = series["metric"].as_object_mut().unwrap();
            labels.remove("tenant_id");
        }
        lines(&found)
    };
    let everything = r#"{__name__!=""}[15s]"#;
    let headers = [("Authorization", authorization.as_str())];
    let (own, sums) = (query(hub.http, everything, t, &headers), query(hub.http, asked, t, &headers));
    assert_eq!(get(hub.http, "/-/ready", &[]).status, 200);
    assert!(hub.stop().success());
    // Once more, now to leave.
    let tenants = format!("--tenants.config-file={}", dir.path().join("tenants.yaml").display());
    let hub = Hub::start(dir.path(), &[&tenants, "--flush-on-shutdown"]);
    assert!(hub.stop().success());

    let blocks = dir.path().join("data/receive/wc-1");
    std::fs::create_dir_all(blocks.join("wal")).unwrap();
    for verb in ["list", "analyze"] {
        let told = Command::new(promtool).args(["tsdb", verb]).arg(&blocks).output().unwrap();
        assert!(told.status.success(), "promtool tsdb {verb}: {}", String::from_utf8_lossy(&told.stderr));
    }
    let address = free_address();
    let reader_dir = dir.path().join("reader");
    std::fs::create_dir_all(&reader_dir).unwrap();
    std::fs::write(reader_dir.join("prometheus.yml"), "global: {}\n").unwrap();
    std::fs::rename(&blocks, reader_dir.join("data")).unwrap();
    let child = Cluster::run(prometheus, &reader_dir, address);
    let reader = Cluster {
        child,
        address,
        name: "reader",
        token: String::new(),
        dir: reader_dir,
        prometheus: prometheus.to_owned(),
    };
    eventually("a Prometheus starts on the blocks", || {
        std::net::TcpStream::connect(address).is_ok() && get(address, "/-/ready", &[]).status == 200
    });
    assert_eq!(lines(&query(reader.address, everything, t, &[])), labelless(own));
    assert_eq!(lines(&query(reader.address, asked, t, &[])), labelless(sums));
}
