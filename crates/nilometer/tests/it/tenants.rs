//! With a tenants file: who may do what, and what guessing costs.

use crate::common::{Dir, Hub, V1, eventually, float, get, now_ms, post, query};
use rustix::process::Signal;

/// Passwords: `correct horse` (alice), `secret` (bob). Tokens: 64 times `a`, 64 times `b`, in one test 64 times `c`.
pub(crate) const FILE: &str = "\
tenants:
  - name: wc-1
    labels: {cluster: {mode: stamp}}
    credentials:
      - basic:
          username: alice
          password_hash: $2y$10$abcdefghijklmnopqrstuu23JPZtHcGhwXSF41f93o/7vBdDut3Xu
        scopes: [write]
      - bearer: {sha256: ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb}
        scopes: [write, read]
operators:
  - name: platform
    credentials:
      - bearer: {sha256: a0fab1377f49a759b57f63318262ebe89fabfc990e8e93ceac2984561482b9d4}
        scopes: [read-all, admin]
";

/// `alice:correct horse`
const ALICE: (&str, &str) = ("Authorization", "Basic YWxpY2U6Y29ycmVjdCBob3JzZQ==");

pub(crate) fn bearer(letter: &str) -> String {
    format!("Bearer {}", letter.repeat(64))
}

/// The letter of the operator's token.
const OPERATOR: &str = "b";

#[test]
fn everybody_is_asked_who_they_are() {
    let dir = Dir::new();
    let file = dir.file("tenants.yaml", FILE);
    let hub = Hub::start(dir.path(), &[&format!("--tenants.config-file={file}")]);
    let t = now_ms();
    for path in ["/", "/metrics", "/api/v1/query?query=up", "/api/v1/labels", "/nothing"] {
        let reply = get(hub.http, path, &[]);
        assert_eq!(reply.status, 401, "{path}");
        assert!(reply.header("www-authenticate").is_some_and(|c| c.starts_with("Basic ")), "{path}");
    }
    for path in ["/-/healthy", "/-/ready"] {
        assert_eq!(get(hub.http, path, &[]).status, 200, "{path}");
    }
    assert_eq!(post(hub.write, "/api/v1/receive", V1, &float("m", t, 1.0)).status, 401);
    let (reader, operator) = (bearer("a"), bearer(OPERATOR));
    let write = |who: (&str, &str), tenant: &str| {
        let headers = [V1, &[who, ("THANOS-TENANT", tenant)]].concat();
        post(hub.write, "/api/v1/receive", &headers, &float("m", t, 1.0))
    };
    assert_eq!(write(ALICE, "wc-1").status, 204);
    assert_eq!(write(ALICE, "").status, 204);
    assert_eq!(write(ALICE, "wc-2").status, 403);
    assert_eq!(write(("Authorization", &operator), "").status, 403, "an operator cannot write");
    assert_eq!(get(hub.http, "/api/v1/labels", &[ALICE]).status, 403, "write cannot read");
    for who in [&reader, &operator] {
        let found = query(hub.http, "m", t, &[("Authorization", who)]);
        let metric = serde_json::json!({"__name__": "m", "cluster": "wc-1", "tenant_id": "wc-1"});
        assert_eq!(found[0]["metric"], metric);
    }
    for (path, who, status) in [
        ("/metrics", &reader, 403),
        ("/metrics", &operator, 200),
        ("/", &reader, 200),
        ("/nothing", &reader, 404),
    ] {
        assert_eq!(get(hub.http, path, &[("Authorization", who)]).status, status, "{path}");
    }
    for path in ["/-/reload", "/api/v1/admin/tsdb/snapshot"] {
        assert_eq!(post(hub.http, path, &[("Authorization", &reader)], b"").status, 403, "{path}");
        assert_eq!(post(hub.http, path, &[("Authorization", &operator)], b"").status, 200, "{path}");
    }
}

#[test]
fn peers_read_what_their_scope_allows() {
    let dir = Dir::new();
    let file = dir.file("tenants.yaml", FILE);
    let hub = Hub::start(dir.path(), &[&format!("--tenants.config-file={file}")]);
    let t = now_ms();
    assert_eq!(post(hub.write, "/api/v1/receive", &[V1, &[ALICE]].concat(), &float("m", t, 1.0)).status, 204);
    let (reader, operator) = (bearer("a"), bearer(OPERATOR));
    let series = r#"m{cluster="wc-1",tenant_id="wc-1",instance=""} 1 "#;
    for (who, status) in [(None, 401), (Some(ALICE.1), 403), (Some(&*reader), 200), (Some(&*operator), 200)] {
        let headers: Vec<_> = who.map(|who| ("Authorization", who)).into_iter().collect();
        let reply = get(hub.http, "/federate?match[]=m", &headers);
        assert_eq!((reply.status, reply.body.contains(series)), (status, status == 200), "{reply:?}");
        for path in ["/api/v1/query_exemplars?query=m", "/api/v1/features", "/api/v1/status/tsdb/blocks"] {
            assert_eq!(get(hub.http, path, &headers).status, status, "{path}");
        }
        // The body is looked at only when who sends it may read.
        let reply = post(hub.http, "/api/v1/read", &headers, b"");
        assert_eq!(reply.status, if status == 200 { 400 } else { status }, "{reply:?}");
    }
    for path in ["/api/v1/status/flags", "/api/v1/status/config", "/api/v1/status/runtimeinfo"] {
        assert_eq!(get(hub.http, path, &[]).status, 401, "{path}");
        assert_eq!(get(hub.http, path, &[("Authorization", &reader)]).status, 403, "{path}");
        assert_eq!(get(hub.http, path, &[("Authorization", &operator)]).status, 200, "{path}");
    }
}

#[test]
fn browsers_are_told_what_pages_may_ask() {
    let dir = Dir::new();
    let file = dir.file("tenants.yaml", FILE);
    let origins = "--web.cors.origin=https://(a|b)\\.example";
    let hub = Hub::start(dir.path(), &[&format!("--tenants.config-file={file}"), origins]);
    let asked = |method: &str, path: &str, origin: &str| {
        let mut connection = crate::common::Connection::open(hub.http).unwrap();
        let reply = connection.ask(method, path, &[("Origin", origin)], b"").unwrap();
        let allowed = reply.header("access-control-allow-origin").map(str::to_owned);
        (reply.status, allowed)
    };
    let page = "https://a.example";
    // Without a credential: browsers send none with this question, and pages may learn that they need one.
    assert_eq!(asked("OPTIONS", "/api/v1/query", page), (204, Some(page.to_owned())));
    assert_eq!(asked("GET", "/api/v1/query?query=1", page), (401, Some(page.to_owned())));
    assert_eq!(asked("OPTIONS", "/api/v1/query", "https://c.example"), (204, None));
    assert_eq!(asked("GET", "/metrics", page), (401, None), "no page may ask for that");
    assert_eq!(asked("OPTIONS", "/api/v1/receive", page).1, None);
}

#[test]
fn the_file_reloads() {
    let dir = Dir::new();
    let file = dir.file("tenants.yaml", FILE);
    let hub = Hub::start(dir.path(), &[&format!("--tenants.config-file={file}")]);
    let operator = bearer(OPERATOR);
    let operator = [("Authorization", operator.as_str())];
    let alice =
        || post(hub.write, "/api/v1/receive", &[V1, &[ALICE]].concat(), &float("m", now_ms(), 1.0)).status;
    assert_eq!(alice(), 204);
    dir.file("tenants.yaml", "tenants:\n  - name: ..\n");
    let reply = post(hub.http, "/-/reload", &operator, b"");
    assert_eq!(reply.status, 500);
    assert!(reply.body.contains("tenants.yaml:2"), "it names the line: {}", reply.body);
    assert_eq!(alice(), 204, "what was in use stays so");
    dir.file("tenants.yaml", &FILE.replace("username: alice", "username: alicia"));
    hub.signal(Signal::HUP);
    eventually("the old name is gone", || alice() == 401);
}

#[test]
fn guessing_is_slowed_and_harms_nobody() {
    let dir = Dir::new();
    let file = dir.file("tenants.yaml", FILE);
    let hub = Hub::start(dir.path(), &[&format!("--tenants.config-file={file}")]);
    let alice =
        || post(hub.write, "/api/v1/receive", &[V1, &[ALICE]].concat(), &float("m", now_ms(), 1.0)).status;
    assert_eq!(alice(), 204);
    let mut statuses = std::collections::BTreeMap::new();
    for n in 0..300 {
        // `alice:` and three digits, of which the last may be part of one letter of base64.
        let guess = format!("Basic {}", base64(&format!("alice:guess{n:03}")));
        let reply = get(hub.http, "/", &[("Authorization", &guess)]);
        *statuses.entry(reply.status).or_insert(0) += 1;
        if reply.status == 429 {
            assert!(reply.header("retry-after").is_some());
        }
    }
    assert_eq!(statuses.keys().copied().collect::<Vec<_>>(), [401, 429], "{statuses:?}");
    assert!(statuses[&401] < 100, "most were not even hashed: {statuses:?}");
    assert_eq!(alice(), 204, "who is known goes on");
    for token in 0..300 {
        let guess = format!("Bearer {token:064}");
        assert_eq!(get(hub.http, "/", &[("Authorization", &guess)]).status, 401);
    }
}

#[test]
fn behind_a_proxy_each_is_counted_alone() {
    let dir = Dir::new();
    let file = dir.file("tenants.yaml", FILE);
    let args = [format!("--tenants.config-file={file}"), "--http.trusted-proxy=127.0.0.0/8".to_owned()];
    let hub = Hub::start(dir.path(), &args.each_ref().map(String::as_str));
    let guess = |n: usize| {
        let guess = format!("Basic {}", base64(&format!("nobody{n:03}:guess")));
        get(hub.http, "/", &[("Authorization", &guess), ("X-Forwarded-For", "9.9.9.9")]).status
    };
    assert!((0..300).any(|n| guess(n) == 429), "the guesser is stopped");
    // Never seen before, through the same proxy.
    let headers = [V1, &[ALICE, ("X-Forwarded-For", "1.1.1.1")]].concat();
    assert_eq!(post(hub.write, "/api/v1/receive", &headers, &float("m", now_ms(), 1.0)).status, 204);
}

#[test]
fn a_full_hub_and_a_full_tenant_say_which_is_full() {
    let dir = Dir::new();
    let limits = "hub: {limits: {active_series: 3}}\ndefaults: {limits: {active_series: 2}}\n";
    let second = "  - name: wc-2
    limits: {active_series: 1000}
    credentials:
      - bearer: {sha256: 52b6419d27bd7f547cee3b92f8c17a908b8a49601ecbec161e5030de1dfe9e0a}
        scopes: [write]
operators:";
    let file = dir.file("tenants.yaml", &format!("{limits}{}", FILE.replace("operators:", second)));
    let hub = Hub::start(dir.path(), &[&format!("--tenants.config-file={file}")]);
    let write = |who: &str, name: &str| {
        let headers = [V1, &[("Authorization", who)]].concat();
        post(hub.write, "/api/v1/receive", &headers, &float(name, now_ms(), 1.0))
    };
    let (one, two) = (bearer("a"), bearer("c"));
    for name in ["a", "b"] {
        assert_eq!(write(&one, name).status, 204);
    }
    let full = write(&one, "c");
    assert_eq!(full.status, 400);
    assert!(full.body.contains("over the tenant's limit of active series"), "{}", full.body);
    assert!(full.body.contains("limit of 2 active series (active_series)"), "{}", full.body);
    assert_eq!(write(&one, "a").status, 204, "what is there goes on");
    assert_eq!(write(&two, "a").status, 204);
    // All series are counted once a second.
    let (mut last, mut names) = (String::new(), 0..);
    eventually("the hub is full", || {
        let reply = write(&two, &format!("b{}", names.next().unwrap()));
        last = reply.body;
        reply.status == 400
    });
    assert!(last.contains("over the hub's limit of active series, all tenants together"), "{last}");
    assert!(last.contains("limit of 3 active series (hub.limits.active_series)"), "{last}");
}

fn base64(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let n = chunk.iter().fold(0u32, |n, &b| n << 8 | u32::from(b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let letter = ALPHABET[(n >> (18 - 6 * i) & 63) as usize] as char;
            out.push(if i <= chunk.len() { letter } else { '=' });
        }
    }
    out
}
