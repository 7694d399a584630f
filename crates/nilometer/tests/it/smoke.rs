//! A sample goes in and comes out, and the process does what it is told.

use crate::common::{Dir, Hub, V1, body, eventually, float, get, matrix, now_ms, post, query, series};
use nilometer_wire::remote_write::encode::{SentHistogram, v2};
use nilometer_wire::snappy::compress;
use rustix::process::Signal;

#[test]
fn a_sample_goes_in_and_comes_out() {
    let dir = Dir::new();
    let hub = Hub::start(dir.path(), &["--label=replica=\"a\""]);
    let t = now_ms();
    for (address, path) in
        [(hub.write, "/api/v1/receive"), (hub.http, "/api/v1/write"), (hub.http, "/api/v1/receive")]
    {
        let reply = post(address, path, V1, &float("m", t, 1.5));
        assert_eq!((reply.status, reply.written()), (204, [1, 0, 0]), "{path}: {}", reply.body);
    }
    let found = query(hub.http, "m", t, &[]);
    let expected = serde_json::json!([{
        "metric": {"__name__": "m", "tenant_id": "default-tenant", "replica": "a"},
        "value": [t as f64 / 1_000.0, "1.5"],
    }]);
    assert_eq!(found, expected);
    assert_eq!(hub.metric(r#"http_requests_total{code="204",handler="receive",method="post"}"#), 3.0);
    assert_eq!(hub.metric(r#"thanos_receive_write_samples_count{code="204",tenant="default-tenant"}"#), 3.0);
    // Tenants are counted once a second.
    let series = r#"prometheus_tsdb_head_series{tenant="default-tenant"} 1"#;
    eventually("the series is counted", || get(hub.http, "/metrics", &[]).body.contains(series));
    let appended = r#"prometheus_tsdb_head_samples_appended_total{tenant="default-tenant",type="float"}"#;
    assert_eq!(hub.metric(appended), 3.0);
    assert!(get(hub.http, "/", &[]).body.contains("Samples/s"));
    assert!(hub.stop().success());
}

#[test]
fn memory_adds_up() {
    let dir = Dir::new();
    let hub = Hub::start(dir.path(), &[]);
    eventually("memory is measured", || {
        get(hub.http, "/metrics", &[]).body.contains("nilometer_memory_bytes{")
    });
    let metrics = get(hub.http, "/metrics", &[]).body;
    let bytes = |line: &str| line.rsplit_once(' ').and_then(|(_, v)| v.parse::<f64>().ok());
    let of = |name: &str| metrics.lines().filter(|l| l.starts_with(name)).filter_map(bytes).sum::<f64>();
    let (parts, resident) = (of("nilometer_memory_bytes{"), of("process_resident_memory_bytes "));
    assert!((0.8..1.1).contains(&(parts / resident)), "{parts} of {resident} bytes");
    assert!(of(r#"nilometer_memory_bytes{part="other"}"#) < 0.25 * resident, "{metrics}");
}

#[test]
fn it_says_what_it_was_built_from() {
    let dir = Dir::new();
    let hub = Hub::start(dir.path(), &[]);
    let reply = get(hub.http, "/api/v1/status/buildinfo", &[]);
    let info: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    let said = |name: &str| info["data"][name].as_str().unwrap().to_owned();
    let revision = said("revision");
    // A tarball has none.
    let is_commit = revision.len() == 40 && revision.bytes().all(|b| b.is_ascii_hexdigit());
    assert!(is_commit || revision == "unknown", "{revision:?}");
    assert!(said("rustVersion").starts_with(|c: char| c.is_ascii_digit()), "{info}");
    let (version, rustc) = (said("version"), said("rustVersion"));
    let labels = format!(r#"version="{version}",revision="{revision}",rustc="{rustc}""#);
    assert_eq!(hub.metric(&format!("nilometer_build_info{{{labels}}}")), 1.0);
}

#[test]
fn queries_are_logged() {
    let dir = Dir::new();
    let (log, moved) = (dir.path().join("queries.log"), dir.path().join("queries.1"));
    let hub = Hub::start(dir.path(), &[&format!("--query.log-file={}", log.display())]);
    get(hub.http, "/api/v1/query?query=up&time=5", &[]);
    get(hub.http, "/api/v1/query_range?query=sum(&start=1&end=4&step=3", &[]);
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let [first, second] = lines.as_slice() else { panic!("{text}") };
    assert_eq!(first["params"]["query"], "up");
    assert_eq!(first["params"]["start"], "1970-01-01T00:00:05.000Z");
    assert_eq!(first["httpRequest"]["path"], "/api/v1/query");
    assert_eq!(first["httpRequest"]["clientIP"], "127.0.0.1");
    assert_eq!(first["identity"], "anyone");
    assert!(first["stats"]["timings"]["execTotalTime"].is_number() && first.get("error").is_none());
    assert_eq!(second["params"]["step"], 3);
    assert!(second["error"].as_str().is_some_and(|e| e.contains("unclosed left parenthesis")), "{text}");
    std::fs::rename(&log, &moved).unwrap();
    hub.signal(Signal::HUP);
    eventually("it goes on in a new file", || {
        get(hub.http, "/api/v1/query?query=1", &[]);
        std::fs::read_to_string(&log).is_ok_and(|text| !text.is_empty())
    });
}

#[test]
fn remote_write_2() {
    let dir = Dir::new();
    let hub = Hub::start(dir.path(), &[]);
    let t = now_ms();
    let mut sent = series(&[("__name__", "two_total"), ("a", "b")], &[(t, 7.0)]);
    sent.samples[0].start_ms = t - 1_000;
    let trace = nilometer_model::Labels::from_pairs([("trace_id", "1")]);
    sent.exemplars = vec![nilometer_model::Exemplar { labels: trace, t_ms: t, v: 7.0 }];
    let (kind, help) = (nilometer_model::MetricType::Counter, "Twice one".to_owned());
    sent.metadata = Some(nilometer_model::Metadata { kind, help, unit: String::new() });
    let histogram = nilometer_model::IntHistogram { count: 3, zero_count: 3, sum: 1.5, ..Default::default() };
    let value = nilometer_model::Value::Int(std::sync::Arc::new(histogram));
    let mut other = series(&[("__name__", "h")], &[]);
    other.histograms = vec![SentHistogram { t_ms: t, start_ms: 0, value }];
    let sent = compress(&v2(&[sent, other])).unwrap();
    let headers = [("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")];
    let reply = post(hub.write, "/api/v1/receive", &headers, &sent);
    assert_eq!((reply.status, reply.written()), (204, [1, 1, 1]), "{}", reply.body);
    assert_eq!(query(hub.http, "two_total", t, &[])[0]["value"][1], "7");
    assert_eq!(query(hub.http, "histogram_count(h)", t, &[])[0]["value"][1], "3");
    assert!(get(hub.http, "/api/v1/metadata", &[]).body.contains("Twice one"));
}

#[test]
fn idle_connections_do_not_hold_up_the_end() {
    let dir = Dir::new();
    let hub = Hub::start(dir.path(), &["--http-grace-period=1h", "--http.header-timeout=1h"]);
    let _never_asked = crate::common::Connection::open(hub.http).unwrap();
    let mut asked = crate::common::Connection::open(hub.write).unwrap();
    assert_eq!(asked.ask("GET", "/-/ready", &[], b"").unwrap().status, 200);
    assert!(hub.stop().success());
}

#[test]
fn tenants_by_header() {
    let dir = Dir::new();
    let hub = Hub::start(dir.path(), &["--query.enforce-tenancy"]);
    let t = now_ms();
    for tenant in ["a", "b"] {
        let headers = [V1, &[("THANOS-TENANT", tenant)]].concat();
        assert_eq!(post(hub.write, "/api/v1/receive", &headers, &float("m", t, 1.0)).status, 204);
    }
    let found = query(hub.http, "m", t, &[("THANOS-TENANT", "b")]);
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(found[0]["metric"]["tenant_id"], "b");
    for bad in ["../a", "..", "a/b", "a\\b", "%2e%2e", "@nilometer", "nilometer"] {
        let headers = [V1, &[("THANOS-TENANT", bad)]].concat();
        let reply = post(hub.write, "/api/v1/receive", &headers, &float("m", t, 1.0));
        assert!(matches!(reply.status, 400 | 403), "{bad:?}: {} {}", reply.status, reply.body);
        assert_eq!(reply.written(), [0, 0, 0]);
    }
    let names: Vec<String> = std::fs::read_dir(dir.path().join("data/receive"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !["a", "b", "@nilometer"].contains(&name.as_str()))
        .collect();
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn restarts_remember() {
    let dir = Dir::new();
    let t = now_ms();
    let hub = Hub::start(dir.path(), &[]);
    assert_eq!(hub.push(&float("m", t, 1.0)).status, 204);
    assert!(hub.stop().success());
    let hub = Hub::start(dir.path(), &[]);
    assert_eq!(hub.push(&float("m", t + 1, 2.0)).status, 204);
    hub.kill();
    let hub = Hub::start(dir.path(), &["--flush-on-shutdown"]);
    let both = vec![(t, 1.0), (t + 1, 2.0)];
    assert_eq!(matrix(hub.http, "m[1m]", t + 1, "__name__")["m"], both);
    assert!(hub.stop().success());
    let blocks = std::fs::read_dir(dir.path().join("data/receive/default-tenant")).unwrap();
    assert!(blocks.count() >= 1, "no block was cut");
    let hub = Hub::start(dir.path(), &[]);
    assert_eq!(matrix(hub.http, "m[1m]", t + 1, "__name__")["m"], both);
}

#[test]
fn one_process_at_a_time() {
    let dir = Dir::new();
    let hub = Hub::start(dir.path(), &[]);
    let second = Hub::try_start(dir.path(), &[]).err().expect("it must not start");
    assert!(second.contains("another process has"), "{second}");
    assert!(hub.stop().success());
}

#[test]
fn pages() {
    let dir = Dir::new();
    let hub = Hub::start(dir.path(), &[]);
    for (path, says) in [
        ("/", "<td>default-tenant</td>"),
        ("/-/healthy", "healthy"),
        ("/-/ready", "ready"),
        ("/metrics", "process_resident_memory_bytes"),
        ("/metrics", "nilometer_build_info{version="),
    ] {
        hub.push(&float("m", now_ms(), 1.0));
        crate::common::eventually(&format!("{path} says {says}"), || {
            let reply = get(hub.http, path, &[]);
            assert_eq!(reply.status, 200, "{path}");
            reply.body.contains(says)
        });
    }
    let open = get(hub.http, "/metrics", &[("Accept", "application/openmetrics-text;version=1.0.0")]);
    assert!(open.body.ends_with("# EOF\n"));
    assert!(open.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert_eq!(get(hub.http, "/nothing", &[]).status, 404);
    assert_eq!(get(hub.write, "/api/v1/query?query=up", &[]).status, 404, "only writes there");
    assert_eq!(get(hub.http, "/api/v1/receive", &[]).status, 405);
}

#[test]
fn snapshot() {
    let dir = Dir::new();
    let hub = Hub::start(dir.path(), &[]);
    let t = now_ms();
    assert_eq!(hub.push(&float("m", t, 1.0)).status, 204);
    let reply = post(hub.http, "/api/v1/admin/tsdb/snapshot", &[], b"");
    assert_eq!(reply.status, 200, "{}", reply.body);
    let answer: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    let name = answer["data"]["name"].as_str().unwrap();
    let blocks = dir.path().join("data/snapshots").join(name).join("default-tenant");
    let blocks: Vec<_> = std::fs::read_dir(blocks).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!blocks.is_empty());
    assert!(blocks.iter().all(|b| b.join("meta.json").exists() && b.join("index").exists()));
    assert_eq!(hub.push(&float("m", t + 1, 2.0)).status, 204, "writes go on");
    assert_eq!(matrix(hub.http, "m[1m]", t + 1, "__name__")["m"], [(t, 1.0), (t + 1, 2.0)]);
}

#[test]
fn a_request_under_way_is_answered_at_the_end() {
    let dir = Dir::new();
    let hub = Hub::start(dir.path(), &[]);
    let t = now_ms();
    let sent = body(&[series(&[("__name__", "late")], &[(t, 1.0)])]);
    let mut slow = crate::common::Connection::open(hub.write).unwrap();
    let head =
        format!("POST /api/v1/receive HTTP/1.1\r\nHost: hub\r\nContent-Length: {}\r\n\r\n", sent.len());
    slow.send(head.as_bytes()).unwrap();
    slow.send(&sent[..5]).unwrap();
    crate::common::eventually("the request is there", || {
        hub.metric("thanos_receive_pending_write_requests") == 1.0
    });
    hub.signal(Signal::TERM);
    hub.wait_for("stopping").expect("it stops");
    slow.send(&sent[5..]).unwrap();
    assert_eq!(slow.reply().unwrap().status, 204);
    assert!(hub.stop().success());
    let hub = Hub::start(dir.path(), &[]);
    assert_eq!(matrix(hub.http, "late[1m]", t, "__name__")["late"], [(t, 1.0)]);
}

#[test]
fn own_metrics_are_there_to_query() {
    let dir = Dir::new();
    let hub = Hub::start(dir.path(), &["--self-metrics", "--self-metrics-interval=1s"]);
    crate::common::eventually("own metrics are found", || {
        let found = query(hub.http, "up{job=\"nilometer\",tenant_id=\"nilometer\"}", now_ms(), &[]);
        found.as_array().unwrap().len() == 1
    });
}
