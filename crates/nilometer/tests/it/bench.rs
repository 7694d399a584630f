//! The load generator against the hub, and the verifier over what the hub has.

use crate::common::{Dir, Hub};
use std::path::Path;
use std::process::{Command, Output};

fn bench(args: &[&str], journal: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
    command.arg("bench").args(args).arg("--json").arg(format!("--journal={}", journal.display()));
    command.output().unwrap()
}

fn load(hub: &Hub, journal: &Path, more: &[&str]) -> Output {
    let url = format!("--url=http://{}/api/v1/receive", hub.write);
    let args = ["load", &url, "--series=2000", "--scrapes=10", "--connections=2", "--settle=0s"];
    bench(&[&args, more].concat(), journal)
}

fn report(output: &Output) -> serde_json::Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text)
        .unwrap_or_else(|e| panic!("{e}: {text:?} {}", String::from_utf8_lossy(&output.stderr)))
}

fn counts(report: &serde_json::Value) -> [u64; 4] {
    ["acknowledged", "lost", "extra", "wrong"].map(|name| report[name].as_u64().unwrap())
}

#[test]
fn what_is_loaded_is_there() {
    let dir = Dir::new();
    let hub = Hub::start(dir.path(), &[]);
    let journal = dir.path().join("journal");
    for version in [&["--churn=500"][..], &["--v2", "--seed=2", "--samples-per-request=300"]] {
        let _ = std::fs::remove_file(&journal);
        let loaded = load(&hub, &journal, version);
        assert!(loaded.status.success(), "{loaded:?}");
        assert_eq!(report(&loaded)["samples"], 20_000);
        let url = format!("--url=http://{}", hub.http);
        let verified = bench(&["verify", &url], &journal);
        assert!(verified.status.success(), "{verified:?}");
        assert_eq!(counts(&report(&verified)), [20_000, 0, 0, 0]);
    }
    let again = load(&hub, &journal, &[]);
    assert!(!again.status.success(), "a journal is not overwritten");
}

#[test]
fn after_a_kill_in_mid_load_the_rest_can_follow() {
    let dir = Dir::new();
    let journal = dir.path().join("journal");
    let hub = Hub::start(dir.path(), &[]);
    let write = format!("--remote-write.address={}", hub.write);
    let stopped = std::thread::scope(|scope| {
        // Slow enough that the kill comes first.
        let loading = scope.spawn(|| load(&hub, &journal, &["--rate=4000", "--retry-for=0s"]));
        crate::common::eventually("two requests are acknowledged", || {
            std::fs::read_to_string(&journal).is_ok_and(|text| text.lines().count() > 2)
        });
        hub.signal(rustix::process::Signal::KILL);
        loading.join().unwrap()
    });
    assert!(!stopped.status.success());
    assert!(report(&stopped)["stopped"].is_string());
    drop(hub);
    let hub = Hub::start(dir.path(), &[&write]);
    let url = format!("--url=http://{}", hub.http);
    let [acknowledged, faults @ ..] = counts(&report(&bench(&["verify", &url], &journal)));
    assert!((1..20_000).contains(&acknowledged), "{acknowledged}");
    assert_eq!(faults, [0; 3]);
    assert!(load(&hub, &journal, &["--resume"]).status.success());
    assert_eq!(counts(&report(&bench(&["verify", &url], &journal))), [20_000, 0, 0, 0]);
}

#[test]
fn each_query_of_the_list_has_an_answer() {
    let dir = Dir::new();
    let hub = Hub::start(dir.path(), &[]);
    let (journal, answers) = (dir.path().join("journal"), dir.path().join("answers"));
    assert!(load(&hub, &journal, &[]).status.success());
    let timed = Command::new(env!("CARGO_BIN_EXE_nilometer"))
        .args(["bench", "query", "--runs=1", "--json"])
        .arg(format!("--url=http://{}", hub.http))
        .arg(format!("--answers={}", answers.display()))
        .output()
        .unwrap();
    let report = report(&timed);
    let queries = report["queries"].as_array().unwrap();
    for query in queries {
        assert!(query["refused"].is_null() && query["series"].as_u64() > Some(0), "{query}");
    }
    assert_eq!(std::fs::read_dir(&answers).unwrap().count(), queries.len());
}
