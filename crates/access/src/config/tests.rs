//! The tenants file, good and bad. A bad one's messages are compared whole: operators read them.

use super::*;
use crate::identity::Scope;
use crate::limits::OverRate;
use crate::policy::LabelMode;
use expect_test::{Expect, expect};
use proptest::prelude::*;

const BCRYPT: &str = "$2y$10$abcdefghijklmnopqrstuu23JPZtHcGhwXSF41f93o/7vBdDut3Xu";
const TOKEN: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn parse(text: &str) -> Result<TenantsConfig> {
    let text = text.replace("BCRYPT", BCRYPT).replace("TOKEN", TOKEN);
    TenantsConfig::parse("tenants.yaml", text.as_bytes(), &HubLimits::default())
}

#[allow(clippy::needless_pass_by_value, reason = "an expected text is written in the call")]
fn check(text: &str, want: Expect) {
    let message = match parse(text) {
        Ok(config) => format!("no error: {config:#?}"),
        Err(e) => e.message().to_owned(),
    };
    for secret in [BCRYPT, TOKEN] {
        assert!(!message.contains(secret), "a message must not repeat a hash: {message}");
    }
    want.assert_eq(&message);
}

/// The example of `docs/tenants.md` is read from there, so that it stays true.
fn documented() -> String {
    let doc = include_str!("../../../../docs/tenants.md");
    let start = doc.find("```yaml\n").expect("an example") + 8;
    let len = doc[start..].find("```").expect("the end of the example");
    doc[start..start + len].to_owned()
}

#[test]
fn the_documented_example_is_accepted() {
    let config = parse(&documented()).unwrap();
    assert_eq!(config.hub.tenants, 200);
    let names: Vec<_> = config.tenants.iter().map(|t| t.tenant.as_str()).collect();
    assert_eq!(names, ["wc-1", "wc-2"]);
    let (one, two) = (&config.tenants[0], &config.tenants[1]);
    assert_eq!((one.limits.active_series, two.limits.active_series), (500_000, 2_500_000));
    assert_eq!((one.limits.over_rate, two.limits.over_rate), (OverRate::Drop, OverRate::Retry));
    let rule = |value: &str, mode| LabelRule { name: "cluster".into(), value: value.into(), mode };
    assert_eq!(one.labels, [rule("wc-1", LabelMode::Stamp)]);
    assert_eq!(two.labels, [rule("wc-two", LabelMode::Check)]);

    let credentials = &config.credentials;
    assert_eq!((credentials.basic.len(), credentials.bearer.len()), (2, 3));
    let user = &credentials.basic[credentials.by_user["wc-1"]];
    assert_eq!(user.identity.name, "wc-1 (user wc-1)");
    assert_eq!(user.identity.tenant.as_ref().map(Tenant::as_str), Some("wc-1"));
    assert!(user.identity.scopes.contains(Scope::Write) && !user.identity.scopes.contains(Scope::Read));
    let operators = credentials.bearer.values().filter(|i| i.tenant.is_none()).count();
    assert_eq!(operators, 1);
}

#[test]
fn debug_shows_no_secret() {
    let shown = format!("{:?}", parse(&documented()).unwrap());
    assert!(!shown.contains("$2y$") && !shown.contains("argon2id$"), "{shown}");
}

#[test]
fn not_yaml() {
    check("tenants: [", expect!["tenants.yaml:1: unclosed bracket '['"]);
    check(
        "tenants:\n  - name: a\n bad indent: 1\n",
        expect!["tenants.yaml:3: while parsing a block mapping, did not find expected key"],
    );
    check("\t\ttenants: x", expect!["tenants.yaml:1: expected a list here"]);
    check("", expect!["tenants.yaml:1: there is neither a tenant nor an operator: nobody could do anything"]);
    check("---\n---\n", expect!["tenants.yaml:1: expected `key: value` pairs here"]);
    check(
        "tenants: []\n",
        expect!["tenants.yaml:1: there is neither a tenant nor an operator: nobody could do anything"],
    );
    check("just text", expect!["tenants.yaml:1: expected `key: value` pairs here"]);
    let not_utf8 =
        TenantsConfig::parse("f", b"tenants:\n  - name: \xff\n", &HubLimits::default()).unwrap_err();
    expect!["f:2: the file is not UTF-8"].assert_eq(not_utf8.message());
}

#[test]
fn wrong_shape() {
    check(
        "tenants:\n  - nam: a\n",
        expect![
            "tenants.yaml:2: unknown field `nam`, expected one of name, labels, limits, retention, credentials"
        ],
    );
    check(
        "tenants:\n  - name: a\n    name: b\n",
        expect!["tenants.yaml:3: duplicate mapping key `name` is not allowed here"],
    );
    check(
        "tenant:\n  - name: a\n",
        expect!["tenants.yaml:1: unknown field `tenant`, expected one of hub, defaults, tenants, operators"],
    );
    check(
        "tenants:\n  - name: a\n    limits: {samples: 1}\n",
        expect![
            "tenants.yaml:3: unknown field `samples`, expected one of active_series, samples_per_second, burst_seconds, over_rate_status, concurrent_requests, request_bytes, decompressed_bytes, series_per_request, labels_per_series, label_name_bytes, label_value_bytes"
        ],
    );
    check(
        "tenants:\n  - name: a\n    limits:\n      active_series: many\n",
        expect!["tenants.yaml:4: expected a whole number, such as 200000 or 200_000"],
    );
    check(
        "tenants:\n  - name: a\n    limits:\n      active_series: -1\n",
        expect![
            "tenants.yaml:4: invalid value: integer `-1`, expected a whole number, such as 200000 or 200_000"
        ],
    );
    check(
        "tenants:\n  - name: a\n    limits:\n      request_bytes: 1GB\n",
        expect!["tenants.yaml:4: expected a number of bytes, such as 1048576, 1024KiB or 1MiB"],
    );
    check(
        "tenants:\n  - name: a\n    credentials:\n      - basic: {username: a, password_hash: [BCRYPT]}\n",
        expect!["tenants.yaml:4: expected a text here"],
    );
    check(
        "tenants:\n  - name: a\n    credentials:\n      - bearer: TOKEN\n",
        expect!["tenants.yaml:4: expected `key: value` pairs here"],
    );
    check(
        "tenants:\n  - name: a\n    credentials:\n      - basic: {username: a}\n",
        expect!["tenants.yaml:4: missing field `password_hash`"],
    );
    check(
        "tenants:\n  - name: a\n    credentials:\n      - bearer: {sha256: TOKEN}\n        scopes: [wirte]\n",
        expect!["tenants.yaml:5: unknown variant `wirte`, expected one of write, read, read-all, admin"],
    );
    check(
        "tenants:\n  - name: a\n    credentials:\n      - basic: {username: a, BCRYPT}\n",
        expect!["tenants.yaml:4: unknown field `$2y$10$a…`, expected one of username, password_hash"],
    );
    check(
        "tenants:\n  - name: a\n    labels:\n      cluster: a\n",
        expect!["tenants.yaml:4: expected `key: value` pairs here"],
    );
    check(
        "tenants:\n  - name: a\n    labels:\n      cluster: {mode: force}\n",
        expect!["tenants.yaml:4: unknown variant `force`, expected one of stamp, check"],
    );
}

#[test]
fn names() {
    check(
        "tenants:\n  - name: a/b\n  - name: ..\n  - name: nilometer\n  - name: ''\n",
        expect![[r#"
        tenants.yaml:2: "a/b" is not a tenant's name: 1 to 128 of A-Z a-z 0-9 _ . - are, but not "." or ".."
        tenants.yaml:3: ".." is not a tenant's name: 1 to 128 of A-Z a-z 0-9 _ . - are, but not "." or ".."
        tenants.yaml:4: tenant "nilometer": this name is the hub's own; choose another
        tenants.yaml:5: "" is not a tenant's name: 1 to 128 of A-Z a-z 0-9 _ . - are, but not "." or "..""#]],
    );
    check(
        "tenants:\n  - name: a\n  - name: b\n  - name: a\n",
        expect![[r#"tenants.yaml:4: tenant "a": there is one of this name already, on line 2"#]],
    );
    check(
        "hub:\n  limits: {tenants: 1}\ntenants:\n  - name: a\n  - name: b\n",
        expect!["tenants.yaml:1: 2 tenants are more than hub.limits.tenants = 1"],
    );
    check(
        "operators:\n  - name: ops\n  - name: ops\n    credentials:\n      - bearer: {sha256: TOKEN}\n        scopes: [admin]\n",
        expect![[r#"
            tenants.yaml:2: operator "ops": has no credentials
            tenants.yaml:3: operator "ops": there is one of this name already, on line 2"#]],
    );
}

#[test]
fn limits() {
    check(
        "\
defaults:
  limits: {labels_per_series: 0}
hub:
  limits:
    connections: 0
tenants:
  - name: a
    limits:
      active_series: 0
      samples_per_second: 99999999999
      burst_seconds: 4_000
      over_rate_status: 500
      request_bytes: 2048MiB
      label_value_bytes: 1
",
        expect![[r#"
            tenants.yaml:2: defaults: limit labels_per_series is 0; it can be 1 to 512
            tenants.yaml:5: hub: limit connections is 0; it can be 1 to 1000000
            tenants.yaml:9: tenant "a": limit active_series is 0; it can be 1 to 1000000000
            tenants.yaml:10: tenant "a": limit samples_per_second is 99999999999; it can be 1 to 1000000000
            tenants.yaml:11: tenant "a": limit burst_seconds is 4000; it can be 1 to 3600
            tenants.yaml:12: tenant "a": limit over_rate_status is 500; it can be 429 or 503
            tenants.yaml:13: tenant "a": limit request_bytes is 2147483648; it can be 1024 to 1073741824
            tenants.yaml:14: tenant "a": limit label_value_bytes is 1; it can be 16 to 262144"#]],
    );
}

#[test]
fn labels() {
    check(
        "\
defaults:
  labels:
    __name__: {value: x, mode: stamp}
tenants:
  - name: a
    limits: {label_value_bytes: 16}
    labels:
      good: {mode: check}
      'no-dash': {value: x, mode: stamp}
      empty: {value: '', mode: check}
      long: {value: 12345678901234567, mode: check}
",
        expect![[r#"
            tenants.yaml:3: defaults: "__name__" is not a label's name: letters, digits and _, not __ in front
            tenants.yaml:9: tenant "a": "no-dash" is not a label's name: letters, digits and _, not __ in front
            tenants.yaml:10: tenant "a": label empty has an empty value, which is the same as no label
            tenants.yaml:11: tenant "a": label long is longer than label_value_bytes"#]],
    );
}

#[test]
fn credentials() {
    check(
        "\
tenants:
  - name: a
    credentials:
      - basic: {username: a, password_hash: BCRYPT}
        scopes: [write]
      - basic: {username: a, password_hash: BCRYPT}
        scopes: [write]
      - bearer: {sha256: TOKEN}
        scopes: [write, read]
      - bearer: {sha256: TOKEN}
        basic: {username: b, password_hash: BCRYPT}
        scopes: [read]
      - scopes: [read]
      - basic:
          username: 'c:d'
          password_hash: hunter2
      - bearer: {sha256: abc}
        scopes: [write]
  - name: b
    credentials:
      - bearer: {sha256: TOKEN}
        scopes: [write]
      - basic: {username: z, password_hash: $2y$04$abcdefghijklmnopqrstuu23JPZtHcGhwXSF41f93o/7vBdDut3Xu}
        scopes: [write]
operators:
  - name: ops
    credentials:
      - bearer: {sha256: aa7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad}
        scopes: [write, read, read-all]
",
        expect![[r#"
            tenants.yaml:6: tenant "a": this username is taken already, on line 4
            tenants.yaml:6: tenant "a": this password_hash is another credential's already, on line 4
            tenants.yaml:10: tenant "a": a credential is either `basic` or `bearer`
            tenants.yaml:13: tenant "a": a credential is either `basic` or `bearer`
            tenants.yaml:14: tenant "a": a credential without scopes; `scopes: [write]` lets it send
            tenants.yaml:15: tenant "a": a username has 1 to 128 bytes, no colon, no control characters
            tenants.yaml:16: tenant "a": password_hash is not a bcrypt hash ($2y$…) nor an argon2id hash ($argon2id$…); make one with `htpasswd -nB -C 10 USER`
            tenants.yaml:17: tenant "a": sha256 is not a SHA-256 in 64 hexadecimal digits; make one with `printf %s "$TOKEN" | sha256sum`
            tenants.yaml:21: tenant "b": this token is another credential's already, on line 8
            tenants.yaml:23: tenant "b": password_hash has bcrypt cost 4; 10 to 14 are neither too easy to guess nor too slow (`htpasswd -C 10`)
            tenants.yaml:29: operator "ops": scope write is that of a tenant: operators have read-all and admin
            tenants.yaml:29: operator "ops": scope read is that of a tenant: operators have read-all and admin"#]],
    );
}

#[test]
fn one_credential_used_twice_through_an_alias() {
    check(
        "\
tenants:
  - name: a
    credentials: &same
      - bearer: {sha256: TOKEN}
        scopes: [write]
  - name: b
    credentials: *same
",
        expect![[r#"tenants.yaml:7: tenant "b": this token is another credential's already, on line 4"#]],
    );
}

#[test]
fn aliases_are_welcome_where_they_make_sense() {
    let config = parse(
        "\
tenants:
  - name: a
    limits: &small {active_series: 10_000, request_bytes: 64KiB}
  - name: b
    limits: {<<: *small, active_series: 20_000}
",
    );
    let config = config.unwrap();
    let got: Vec<_> =
        config.tenants.iter().map(|t| (t.limits.active_series, t.limits.request_bytes)).collect();
    assert_eq!(got, [(10_000, 65_536), (20_000, 65_536)]);
}

#[test]
fn many_mistakes_are_cut() {
    let tenants: String = (0..100).map(|i| format!("  - name: a/{i}\n")).collect();
    let message = parse(&format!("tenants:\n{tenants}")).unwrap_err().message().to_owned();
    assert_eq!(message.lines().count(), 21);
    assert!(message.ends_with("and 80 more"), "{message}");
}

#[test]
fn bombs() {
    let mut aliases = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let item = format!("*a{}", i - 1);
        aliases.push_str(&format!("a{i}: &a{i} [{}]\n", [item.as_str(); 9].join(", ")));
    }
    check(
        &format!("{aliases}tenants: *a11\n"),
        expect!["tenants.yaml:1: unknown field `a0`, expected one of hub, defaults, tenants, operators"],
    );
    // The same where the type has room for it: a list of tenants, over and over.
    let mut tenants = String::from("tenants:\n  - &t {name: a, credentials: [");
    tenants.push_str(&vec!["{bearer: {sha256: x}, scopes: [write]}"; 1_000].join(", "));
    tenants.push_str("]}\n");
    tenants.push_str(&"  - *t\n".repeat(9_000));
    check(
        &tenants,
        expect![
            "tenants.yaml:21: YAML document too large or too complex: total_replayed_events=200001 > 200000"
        ],
    );
    let deep = "[".repeat(100_000);
    check(&format!("tenants: {deep}"), expect!["tenants.yaml:1: recursion limit exceeded"]);
    let deep = "{a: ".repeat(100_000);
    check(&format!("tenants: {deep}"), expect!["tenants.yaml:1: expected a list here"]);
    let huge = " ".repeat(MAX_FILE_BYTES as usize + 1);
    check(&huge, expect!["tenants.yaml:1: the file is larger than 4 MiB"]);
}

#[test]
fn a_thousand_tenants() {
    let mut text = String::from("tenants:\n");
    for i in 0..1_000 {
        text.push_str(&format!(
            "  - name: wc-{i}\n    labels: {{cluster: {{mode: stamp}}}}\n    credentials:\n      \
             - bearer: {{sha256: {i:064x}}}\n        scopes: [write, read]\n"
        ));
    }
    let config = parse(&text).unwrap();
    assert_eq!((config.tenants.len(), config.credentials.bearer.len()), (1_000, 1_000));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Bytes that are not a file, and the example with pieces cut out, doubled or overwritten.
    #[test]
    fn garbage_does_no_harm(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
        len in 0usize..40,
        with in "[ \\n:{}\\[\\]&*<\"'a-c0-9-]{0,8}",
    ) {
        let _ = TenantsConfig::parse("f", &bytes, &HubLimits::default());
        let mut text = documented().into_bytes();
        let start = at.index(text.len());
        let end = (start + len).min(text.len());
        text.splice(start..end, with.into_bytes());
        if let Err(e) = TenantsConfig::parse("f", &text, &HubLimits::default()) {
            for line in e.message().lines().filter(|l| !l.starts_with("and ")) {
                prop_assert!(line.starts_with("f:"), "no line is named: {}", line);
            }
        }
    }
}
