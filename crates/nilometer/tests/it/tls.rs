//! TLS on both listeners: certificates that are exchanged while it runs, senders that need one.

use crate::common::{Dir, Hub, eventually, float, now_ms, post, skipped};
use std::path::Path;
use std::process::{Command, Stdio};

/// Makes a certificate for `127.0.0.1` that signs itself: `<name>.crt` and `<name>.key`.
pub(crate) fn certificate(dir: &Path, name: &str) -> bool {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    openssl.args(["-days", "2", "-subj", "/CN=hub", "-addext", "subjectAltName=IP:127.0.0.1"]);
    openssl.arg("-keyout").arg(dir.join(format!("{name}.key")));
    openssl.arg("-out").arg(dir.join(format!("{name}.crt")));
    openssl.stdout(Stdio::null()).stderr(Stdio::null());
    openssl.status().is_ok_and(|status| status.success())
}

/// Makes a certificate for `127.0.0.1` that `ca` signs, as a sender has one.
pub(crate) fn signed(dir: &Path, name: &str, ca: &str) -> bool {
    let file = |name: &str, kind: &str| dir.join(format!("{name}.{kind}"));
    let run = |command: &mut Command| {
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    std::fs::write(file(name, "ext"), "basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1\n").unwrap();
    let mut request = Command::new("openssl");
    request.args(["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    request.args(["-subj", "/CN=sender", "-keyout"]).arg(file(name, "key"));
    request.arg("-out").arg(file(name, "csr"));
    let mut sign = Command::new("openssl");
    sign.args(["x509", "-req", "-days", "2", "-set_serial", "7", "-in"]).arg(file(name, "csr"));
    sign.arg("-CA").arg(file(ca, "crt")).arg("-CAkey").arg(file(ca, "key"));
    sign.arg("-extfile").arg(file(name, "ext")).arg("-out").arg(file(name, "crt"));
    run(&mut request) && run(&mut sign)
}

/// Status and version of HTTP that curl got, `None` where it trusted nobody or was not trusted.
fn curl(dir: &Path, trusts: &str, args: &[&str]) -> Option<String> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code} %{http_version}"]);
    curl.arg("--cacert").arg(dir.join(format!("{trusts}.crt"))).args(args);
    let output = curl.output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn certificates() {
    let dir = Dir::new();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let has_curl = Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_ok();
    let made = ["hub", "next", "ca"].iter().all(|name| certificate(dir.path(), name))
        && signed(dir.path(), "sender", "ca");
    if !has_curl || !made {
        return skipped("tls::certificates", "openssl or curl is missing");
    }
    let hub = Hub::start(
        dir.path(),
        &[
            &format!("--http-server-tls-cert={}", at("hub.crt")),
            &format!("--http-server-tls-key={}", at("hub.key")),
            &format!("--remote-write.server-tls-cert={}", at("hub.crt")),
            &format!("--remote-write.server-tls-key={}", at("hub.key")),
            &format!("--remote-write.server-tls-client-ca={}", at("ca.crt")),
        ],
    );
    let (ready, write) =
        (format!("https://{}/-/ready", hub.http), format!("https://{}/api/v1/receive", hub.write));
    assert_eq!(curl(dir.path(), "hub", &[&ready]).as_deref(), Some("200 2"));
    assert_eq!(curl(dir.path(), "hub", &["--http1.1", &ready]).as_deref(), Some("200 1.1"));
    assert_eq!(curl(dir.path(), "next", &[&ready]), None, "another certificate is not trusted");

    std::fs::write(dir.path().join("body"), float("m", now_ms(), 1.0)).unwrap();
    let body = format!("@{}", at("body"));
    let send = ["--data-binary", &body, "--header", "Content-Type: application/x-protobuf", &write];
    assert_eq!(curl(dir.path(), "hub", &send), None, "a sender without a certificate");
    let (cert, key) = (at("sender.crt"), at("sender.key"));
    let with_cert = [&["--cert", &cert, "--key", &key][..], &send].concat();
    assert_eq!(curl(dir.path(), "hub", &with_cert).as_deref(), Some("204 2"));

    // Half-written files change nothing; then the new pair is in use, without a restart.
    std::fs::copy(at("hub.crt"), at("first.crt")).unwrap();
    std::fs::write(at("hub.crt"), "no certificate").unwrap();
    std::fs::copy(at("next.key"), at("hub.key")).unwrap();
    hub.signal(rustix::process::Signal::HUP);
    hub.wait_for("a reload failed").expect("it says what is wrong");
    assert!(curl(dir.path(), "first", &[&ready]).is_some(), "the old one is still in use");
    std::fs::copy(at("next.crt"), at("hub.crt")).unwrap();
    hub.signal(rustix::process::Signal::HUP);
    eventually("the new certificate is in use", || curl(dir.path(), "next", &[&ready]).is_some());
}

#[test]
fn no_tls_where_tls_is_wanted() {
    let dir = Dir::new();
    if !certificate(dir.path(), "hub") {
        return skipped("tls::no_tls_where_tls_is_wanted", "openssl is missing");
    }
    let at = |name: &str| dir.path().join(name).display().to_string();
    let missing = [
        &format!("--http-server-tls-cert={}", at("hub.crt"))[..],
        &format!("--http-server-tls-key={}", at("nothing.key")),
    ];
    let log = Hub::try_start(dir.path(), &missing).err().expect("it must not start");
    assert!(log.contains("nothing.key"), "{log}");
    let hub = Hub::start(
        dir.path(),
        &[
            &format!("--remote-write.server-tls-cert={}", at("hub.crt")),
            &format!("--remote-write.server-tls-key={}", at("hub.key")),
        ],
    );
    let mut plain = crate::common::Connection::open(hub.write).unwrap();
    assert!(plain.ask("GET", "/-/ready", &[], b"").is_err());
    assert_eq!(post(hub.http, "/api/v1/receive", crate::common::V1, &float("m", now_ms(), 1.0)).status, 204);
    eventually("it is counted", || hub.metric("nilometer_tls_handshake_failures_total") >= 1.0);
}
