//! Asks a real Prometheus what `golden` compares with:
//! `NILOMETER_CAPTURE=<a prometheus binary> cargo test -p nilometer-server capture -- --ignored`

use super::golden::{Case, FILES, path};
use super::world::{data, escaped};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A Prometheus that scrapes nothing and takes what is sent to it.
struct Prometheus {
    child: Child,
    port: u16,
    dir: PathBuf,
}

impl Prometheus {
    fn start(binary: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = std::env::temp_dir().join(format!("nilometer-capture-{port}"));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("prometheus.yml"), "storage:\n  exemplars:\n    max_exemplars: 1000\n").unwrap();
        let child = Command::new(binary)
            .arg(format!("--config.file={}", dir.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(["--web.enable-remote-write-receiver", "--storage.tsdb.retention.time=100y"])
            .arg("--enable-feature=exemplar-storage,native-histograms")
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let prometheus = Prometheus { child, port, dir };
        for _ in 0..100 {
            std::thread::sleep(Duration::from_millis(100));
            if prometheus.ask("GET", "/-/ready", "", b"").is_some_and(|a| a.starts_with("200 ")) {
                return prometheus;
            }
        }
        panic!("{binary} does not start");
    }

    fn ask(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let len = body.len();
        // HTTP/1.0: no chunks to take apart.
        let head =
            format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\n{headers}Content-Length: {len}\r\n\r\n");
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some(format!("{} {}", head.split(' ').nth(1)?, body.trim_end()))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

#[test]
#[ignore = "needs a Prometheus and rewrites testdata"]
fn capture() {
    let binary = std::env::var("NILOMETER_CAPTURE").expect("NILOMETER_CAPTURE names a prometheus binary");
    let prometheus = Prometheus::start(&binary);
    let body = snap::raw::Encoder::new().compress_vec(&data(true)).unwrap();
    let headers = "Content-Encoding: snappy\r\nContent-Type: application/x-protobuf\r\n\
                   X-Prometheus-Remote-Write-Version: 0.1.0\r\n";
    let written = prometheus.ask("POST", "/api/v1/write", headers, &body).unwrap();
    assert!(written.starts_with("204"), "{written}");
    for name in FILES {
        let text = fs::read_to_string(path(name)).unwrap();
        let mut out = String::new();
        for line in text.lines().filter(|line| !line.starts_with("< ")) {
            out.push_str(line);
            out.push('\n');
            let Some(asked) = line.strip_prefix("> ") else { continue };
            let case = Case::new(asked);
            let form =
                case.form.as_deref().map_or("", |_| "Content-Type: application/x-www-form-urlencoded\r\n");
            let body = case.form.as_deref().unwrap_or_default().as_bytes();
            let answer = prometheus
                .ask(&case.method, &escaped(&format!("/api/v1/{}", case.path)), form, body)
                .unwrap();
            out.push_str(&format!("< {}\n", answer.trim_end()));
        }
        fs::write(path(name), out).unwrap();
    }
}
