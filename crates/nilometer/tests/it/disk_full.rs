//! A full disk: writes are refused, queries go on, and it recovers by itself.

use crate::common::{Dir, Hub, eventually, float, matrix, now_ms, skipped};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file system of 64 MiB in memory, unmounted at the end.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path) -> Option<Small> {
        std::fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64m", "none"]).arg(at).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then(|| Small(at.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_recovers() {
    let dir = Dir::new();
    let Some(small) = Small::mount(&dir.path().join("small")) else {
        return skipped("a_full_disk_recovers", "mount -t tmpfs is not allowed here");
    };
    let hub = Hub::start(&small.0, &["--tsdb.reserve=32MiB"]);
    let t = now_ms();
    assert_eq!(hub.push(&float("m", t, 1.0)).status, 204);
    let ballast = small.0.join("ballast");
    std::fs::write(&ballast, vec![1; 40 << 20]).unwrap();
    let mut sent = t;
    let mut push = || {
        sent += 1;
        (sent, hub.push(&float("m", sent, 1.0)))
    };
    let mut stored = vec![(t, 1.0)];
    eventually("writes are refused", || {
        let (at, reply) = push();
        match reply.status {
            204 => stored.push((at, 1.0)),
            503 => {
                assert!(reply.body.contains("disk is nearly full"), "{}", reply.body);
                assert!(reply.header("retry-after").is_some());
                assert_eq!(reply.written(), [0, 0, 0]);
            }
            other => panic!("{other}: {}", reply.body),
        }
        reply.status == 503
    });
    assert_eq!(matrix(hub.http, "m[1h]", t + 60_000, "__name__")["m"], stored, "queries go on");
    assert_eq!(hub.metric("nilometer_head_read_only"), 1.0);
    std::fs::remove_file(&ballast).unwrap();
    eventually("writes are taken again", || {
        let (at, reply) = push();
        if reply.status == 204 {
            stored.push((at, 1.0));
        }
        reply.status == 204
    });
    hub.kill();
    let hub = Hub::start(&small.0, &["--tsdb.reserve=32MiB"]);
    assert_eq!(matrix(hub.http, "m[1h]", t + 60_000, "__name__")["m"], stored);
}

/// The same without a mount: the reserve is more than any disk has.
#[test]
fn below_the_reserve_nothing_is_written() {
    let dir = Dir::new();
    let t = now_ms();
    let hub = Hub::start(dir.path(), &[]);
    assert_eq!(hub.push(&float("m", t, 1.0)).status, 204);
    assert!(hub.stop().success());
    let hub = Hub::start(dir.path(), &["--tsdb.reserve=1000000TiB"]);
    eventually("it has looked at the disk", || hub.metric("nilometer_head_read_only") == 1.0);
    let reply = hub.push(&float("m", t + 1, 1.0));
    assert_eq!((reply.status, reply.written()), (503, [0, 0, 0]), "{}", reply.body);
    assert_eq!(matrix(hub.http, "m[1h]", t + 60_000, "__name__")["m"], [(t, 1.0)]);
}
