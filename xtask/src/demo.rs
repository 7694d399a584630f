//! `make demo`: the hub, and two real Prometheus servers as the Workload Clusters `wc-1` and `wc-2`.
//!
//! ```text
//! node exporter ◀─scrape─┬─ Prometheus wc-1 ──push──▶ hub ◀──query── you
//!                        └─ Prometheus wc-2 ──push──▶
//! ```
//!
//! Each cluster pushes with a credential of its own and reads what is its own; the third credential reads
//! all. The passwords are printed, and stand here: everything listens on loopback only.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process::{self, Group};
use crate::{shell, tools};

const HUB_PORT: u16 = 10902;
const WRITE_PORT: u16 = 19291;
const EXPORTER_PORT: u16 = 19100;

/// Ten polls are a second. A cluster's first push comes some seconds after its first scrape.
const MAX_POLLS: u32 = 600;

struct User {
    name: &'static str,
    password: &'static str,
    /// bcrypt, of the password.
    hash: &'static str,
}

struct Cluster {
    user: User,
    port: u16,
}

const CLUSTERS: [Cluster; 2] = [
    Cluster {
        user: User {
            name: "wc-1",
            password: "demo-wc-1",
            hash: "$2b$10$upCyy4LYHX0jJE7eJLyOJ.Cpt.b8BT5DBx6neUQVLPIhVidqU9Bny",
        },
        port: 19091,
    },
    Cluster {
        user: User {
            name: "wc-2",
            password: "demo-wc-2",
            hash: "$2b$10$TCXwes7Q3IcppxA3abRTC.y5aRcFu4LeoeZYlcjR47EdUpOT.wOSS",
        },
        port: 19092,
    },
];

const OPERATOR: User = User {
    name: "grafana",
    password: "demo-grafana",
    hash: "$2b$10$8AG71rcfYi1a5tSaVPIrBuRTBOw5qj5hVvFHBYBrzgQywHZ.u.Z/e",
};

/// `[BINARY]`: another hub than the one that `make demo` builds.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let hub = args.first().map_or_else(|| shell::root().join("target/release/nilometer"), PathBuf::from);
    ensure!(hub.is_file(), "{} is not there: `make demo` builds it first", hub.display());
    tools::run()?;
    let mut ports = vec![HUB_PORT, WRITE_PORT, EXPORTER_PORT];
    ports.extend(CLUSTERS.iter().map(|c| c.port));
    process::check_free(&ports)?;

    let folder = shell::root().join("target/demo");
    write_files(&folder)?;
    let mut group = Group::new(&folder, process::stop_flag()?);
    start(&mut group, &folder, &hub)?;
    println!("demo: started; waiting for the first samples of each cluster");
    if group.wait(MAX_POLLS, || CLUSTERS.iter().all(|c| has_arrived(c.user.name)))? {
        println!("{}", guide(&folder));
        group.run()?;
    }
    Ok(())
}

fn start(group: &mut Group, folder: &Path, hub: &Path) -> Result<()> {
    let mut command = Command::new(hub);
    command.arg("serve").arg(format!("--data-dir={}", folder.join("hub").display()));
    command.arg(format!("--http-address=127.0.0.1:{HUB_PORT}"));
    command.arg(format!("--remote-write.address=127.0.0.1:{WRITE_PORT}"));
    command.arg("--grpc-address=127.0.0.1:0");
    command.arg(format!("--tenants.config-file={}", folder.join("tenants.yaml").display()));
    group.start("hub", command)?;
    if !group.wait(MAX_POLLS, || matches!(process::get(HUB_PORT, "/-/ready", None), Some((200, _))))? {
        return Ok(());
    }

    let mut exporter = Command::new(tools::path("prometheus-node-exporter"));
    exporter.arg(format!("--web.listen-address=127.0.0.1:{EXPORTER_PORT}"));
    group.start("node-exporter", exporter)?;
    for cluster in &CLUSTERS {
        let name = cluster.user.name;
        let mut prometheus = Command::new(tools::path("prometheus"));
        prometheus.arg(format!("--config.file={}", folder.join(format!("{name}.yml")).display()));
        prometheus.arg(format!("--storage.tsdb.path={}", folder.join(name).display()));
        prometheus.arg(format!("--web.listen-address=127.0.0.1:{}", cluster.port));
        prometheus.current_dir(folder);
        group.start(name, prometheus)?;
    }
    Ok(())
}

/// Whether the hub answers with samples of this cluster, through the credential that reads all.
fn has_arrived(cluster: &str) -> bool {
    let path = format!("/api/v1/query?query=up%7Bcluster%3D%22{cluster}%22%7D");
    process::get(HUB_PORT, &path, Some(&basic(&OPERATOR)))
        .is_some_and(|(status, body)| status == 200 && body.contains(cluster))
}

fn write_files(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    write(&folder.join("tenants.yaml"), &tenants())?;
    CLUSTERS.iter().try_for_each(|c| write(&folder.join(format!("{}.yml", c.user.name)), &prometheus(c)))
}

/// Readable by its owner only, as a file with credentials should be.
fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o600)))
        .with_context(|| format!("cannot write {}", path.display()))
}

fn prometheus(cluster: &Cluster) -> String {
    let Cluster { user: User { name, password, .. }, port } = cluster;
    format!(
        "global:
  scrape_interval: 5s
  external_labels:
    cluster: {name}
    prometheus_replica: prometheus-0
scrape_configs:
  - job_name: prometheus
    static_configs: [{{targets: ['127.0.0.1:{port}']}}]
  - job_name: node
    static_configs: [{{targets: ['127.0.0.1:{EXPORTER_PORT}']}}]
remote_write:
  - url: http://127.0.0.1:{WRITE_PORT}/api/v1/receive
    basic_auth: {{username: {name}, password: {password}}}
    queue_config:
      retry_on_http_429: true
"
    )
}

fn tenants() -> String {
    let mut text = String::from("tenants:\n");
    for Cluster { user, .. } in &CLUSTERS {
        let label = "labels: {cluster: {mode: check}} # its value is the tenant's name";
        text += &format!("  - name: {}\n    {label}\n{}", user.name, credential(user, "write, read"));
    }
    text + "operators:\n  - name: " + OPERATOR.name + "\n" + &credential(&OPERATOR, "read-all")
}

fn credential(User { name, hash, .. }: &User, scopes: &str) -> String {
    format!(
        "    credentials:\n      - basic: {{username: {name}, password_hash: '{hash}'}}\n        scopes: [{scopes}]\n"
    )
}

fn guide(folder: &Path) -> String {
    let User { name, password, .. } = OPERATOR;
    let Cluster { user: own, port, .. } = &CLUSTERS[0];
    format!(
        "
The hub runs, and two Prometheus servers push to it.

  page                    http://127.0.0.1:{HUB_PORT}/            (user {name}, password {password})
  which clusters push     curl -su {name}:{password} 'http://127.0.0.1:{HUB_PORT}/api/v1/query?query=count+by+(cluster,tenant_id)+(up)'
  load of both            curl -su {name}:{password} 'http://127.0.0.1:{HUB_PORT}/api/v1/query?query=node_load1'
  wc-1 sees only itself   curl -su {own_name}:{own_password} 'http://127.0.0.1:{HUB_PORT}/api/v1/query?query=up'
  the same from wc-1      curl -s 'http://127.0.0.1:{port}/api/v1/query?query=up'
  Grafana                 a Prometheus data source with URL http://127.0.0.1:{HUB_PORT}, basic auth {name} / {password}
  an outage               kill one of the programs (`pkill -9 nilometer`): it is started again, and nothing is missing

Data, configuration and logs are in {folder}. Ctrl-C stops everything; the next `make demo` goes on with the
same data, `rm -r {folder}` starts over.",
        own_name = own.name,
        own_password = own.password,
        folder = folder.display(),
    )
}

/// The value of an `Authorization` header.
fn basic(user: &User) -> String {
    format!("Basic {}", base64(format!("{}:{}", user.name, user.password).as_bytes()))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            out.push(if digit > group.len() { '=' } else { char::from(DIGITS[value as usize]) });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_rfc_4648() {
        for (text, wanted) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(text.as_bytes()), wanted);
        }
        assert_eq!(base64(&[0xff, 0xef, 0xbe]), "/+++");
    }

    #[test]
    fn each_cluster_names_itself_and_has_its_own_password() {
        for cluster in &CLUSTERS {
            let config = prometheus(cluster);
            assert!(config.contains(&format!("cluster: {}\n", cluster.user.name)), "{config}");
            assert!(config.contains(&format!("password: {}}}", cluster.user.password)), "{config}");
            assert!(tenants().contains(cluster.user.hash));
        }
    }
}
