//! Limits, reloads and resolution through [`Access`], as the server uses it.

use crate::testing::{FILE, World, basic, bearer};
use crate::{HubLimits, OverRate, RESERVED_TENANT, ReadScope, Refusal, Scope, TenantLimits, Verdict};
use expect_test::expect;
use nilometer_model::{Kind, Labels, Tenant};

const PEER: &str = "192.0.2.1";

fn name(name: &str) -> Tenant {
    Tenant::new(name).unwrap()
}

fn refusal<T>(result: Result<T, Refusal>) -> String {
    let refusal = result.err().expect("a refusal");
    format!("{} {:?} {}", refusal.status(), refusal.retry_after_seconds(), refusal.message)
}

#[test]
fn a_write_from_header_to_state() {
    let world = World::with_file(FILE);
    let who = world.login(&basic("alice", "correct horse"), PEER).unwrap();
    let state = world.access.resolve_write(&who, None).unwrap();
    assert_eq!((state.tenant.as_str(), state.limits.samples_per_second), ("wc-1", 100));
    let verdict = state.labels.apply([("a", "b")].into_iter());
    assert_eq!(verdict, Verdict::Stamped(Labels::from_pairs([("a", "b"), ("cluster", "wc-1")])));
    assert!(world.access.resolve_write(&who, Some("wc-1")).is_ok());
    expect!["403 None the header says tenant wc-2, but wc-1 (user alice) belongs to tenant wc-1: remove the header, or use the other tenant's credential"].assert_eq(&refusal(world.access.resolve_write(&who, Some("wc-2"))));
    expect!["403 None the header says tenant nilometer, but wc-1 (user alice) belongs to tenant wc-1: remove the header, or use the other tenant's credential"].assert_eq(&refusal(world.access.resolve_write(&who, Some(RESERVED_TENANT))));
    expect!["403 None this needs scope read; wc-1 (user alice) has write"]
        .assert_eq(&refusal(world.access.resolve_read(&who, None, false)));
    expect!["403 None this needs scope admin; wc-1 (user alice) has write"]
        .assert_eq(&refusal(world.access.require(&who, Scope::Admin)));
    assert_eq!(world.metric("nilometer_access_refused_total{reason=\"other_tenant\"}"), 2.0);
    assert_eq!(world.metric("nilometer_access_refused_total{reason=\"missing_scope\"}"), 2.0);

    let reader = world.login(&bearer("a"), PEER).unwrap();
    assert_eq!(world.access.resolve_read(&reader, None, false).unwrap(), ReadScope::Only(name("wc-1")));
    let operator = world.login(&bearer("b"), PEER).unwrap();
    assert_eq!(world.access.resolve_read(&operator, None, false).unwrap(), ReadScope::All);
    assert!(world.access.require(&operator, Scope::Admin).is_ok());
}

#[test]
fn samples_are_charged_whole_or_not_at_all() {
    let world = World::with_file(FILE);
    let one = world.access.tenant(&name("wc-1")).unwrap();
    assert!(world.access.admit_samples(&one, 150).is_ok());
    expect![
        "429 Some(1) tenant wc-1 is over its 100 samples a second (limit samples_per_second): retry later"
    ]
    .assert_eq(&refusal(world.access.admit_samples(&one, 60)));
    assert!(world.access.admit_samples(&one, 50).is_ok());
    assert!(world.access.admit_samples(&one, 1).is_err());
    world.seconds(1);
    assert!(world.access.admit_samples(&one, 100).is_ok());

    let two = world.access.tenant(&name("wc-2")).unwrap();
    assert_eq!((two.limits.over_rate, two.limits.over_rate.status()), (OverRate::Retry, 503));
    assert!(world.access.admit_samples(&two, 10_000_000).is_ok());
    expect![
        "503 Some(1) tenant wc-2 is over its 1000000 samples a second (limit samples_per_second): retry later"
    ]
    .assert_eq(&refusal(world.access.admit_samples(&two, 1)));
}

#[test]
fn the_hub_has_a_rate_too() {
    let hub = HubLimits { samples_per_second: 100, burst_seconds: 1, ..HubLimits::default() };
    let limits = TenantLimits { samples_per_second: 90, burst_seconds: 1, ..TenantLimits::default() };
    let world = World::open(hub, limits);
    let [a, b] = ["a", "b"].map(|t| world.access.tenant(&name(t)).unwrap());
    assert!(world.access.admit_samples(&a, 90).is_ok());
    expect!["503 Some(1) all tenants together are over the hub's 100 samples a second (limit hub.limits.samples_per_second): retry later"].assert_eq(&refusal(world.access.admit_samples(&b, 90)));
    assert!(world.access.admit_samples(&b, 10).is_ok(), "b was not charged for what the hub refused");
    world.seconds(1);
    assert!(world.access.admit_samples(&b, 90).is_ok());
}

#[test]
fn requests_at_a_time() {
    let world =
        World::with_file(&FILE.replace("tenants:\n", "hub: {limits: {concurrent_requests: 3}}\ntenants:\n"));
    let one = world.access.tenant(&name("wc-1")).unwrap();
    let first = world.access.enter(Some(&one)).unwrap();
    let _second = world.access.enter(Some(&one)).unwrap();
    expect!["503 Some(1) 2 requests of tenant wc-1 are being worked on, and that is its limit (concurrent_requests): retry"].assert_eq(&refusal(world.access.enter(Some(&one))));
    let third = world.access.enter(None).unwrap();
    expect!["503 Some(1) 3 requests are being worked on, and that is all there may be: retry"]
        .assert_eq(&refusal(world.access.enter(None)));
    drop((first, third));
    for _ in 0..100 {
        drop(world.access.enter(Some(&one)).unwrap());
    }
    let _again = world.access.enter(Some(&one)).unwrap();
    let _and_one_for_the_hub = world.access.enter(None).unwrap();
    assert!(world.access.enter(None).is_err());
}

#[test]
fn without_a_file_tenants_appear_up_to_a_limit() {
    let hub = HubLimits { tenants: 2, ..HubLimits::default() };
    let world = World::open(hub, TenantLimits::default());
    let anyone = match world.access.authenticate(None, crate::testing::ip(PEER)) {
        crate::Outcome::Known(anyone) => anyone,
        _ => panic!("nobody is asked"),
    };
    let write = |header| world.access.resolve_write(&anyone, header);
    assert_eq!(write(None).unwrap().tenant.as_str(), "default-tenant");
    assert!(world.access.find_tenant(&name("a")).is_none(), "to ask makes no tenant");
    assert_eq!(write(Some("a")).unwrap().tenant.as_str(), "a");
    assert!(world.access.find_tenant(&name("a")).is_some());
    expect![
        "400 None there are 2 tenants, and that is all there may be (limit hub.limits.tenants): b is not taken in"
    ]
    .assert_eq(&refusal(write(Some("b"))));
    assert!(write(Some("a")).is_ok(), "those that are there go on");
    expect![[r#"400 None tenant header: "../a" is not a tenant's name: 1 to 128 of A-Z a-z 0-9 _ . - are, but not "." or "..""#]].assert_eq(&refusal(write(Some("../a"))));
    expect!["403 None tenant nilometer holds the hub's own metrics: choose another name to write to"]
        .assert_eq(&refusal(write(Some(RESERVED_TENANT))));
    world.access.forget(&name("a"));
    world.access.forget(&name(RESERVED_TENANT));
    assert!(write(Some("b")).is_ok());
    assert_eq!(world.access.reserved_tenant().tenant.as_str(), RESERVED_TENANT);
    let all: Vec<_> = world.access.tenants().iter().map(|t| t.tenant.to_string()).collect();
    assert_eq!(all, ["b", "default-tenant", RESERVED_TENANT]);
    assert_eq!(world.metric("nilometer_tenants"), 3.0);
    let text = world.metrics();
    assert!(!text.contains("nilometer_tenants_config"), "there is no file whose reload could fail:\n{text}");
}

#[test]
fn a_bad_file_changes_nothing() {
    let world = World::with_file(FILE);
    assert!(world.login(&bearer("a"), PEER).is_ok());
    world.seconds(60);
    world.rewrite(&FILE.replace("name: wc-2", "name: nilometer"));
    let error = world.access.reload().unwrap_err();
    assert_eq!(error.kind(), &Kind::Invalid);
    expect![[r#"tenants.yaml:14: tenant "nilometer": this name is the hub's own; choose another"#]]
        .assert_eq(error.message());
    assert!(world.login(&bearer("a"), PEER).is_ok());
    assert_eq!(world.metric("nilometer_tenants_config_last_reload_successful"), 0.0);
    let good = world.metric("nilometer_tenants_config_last_reload_success_timestamp_seconds");
    assert_eq!(good, 1_700_000_000.0);
    world.rewrite(FILE);
    assert!(!world.access.reload().unwrap());
    assert_eq!(world.metric("nilometer_tenants_config_last_reload_successful"), 1.0);
    assert_eq!(world.metric("nilometer_tenants_config_last_reload_success_timestamp_seconds"), good + 60.0);
}

#[test]
fn of_the_hub_the_file_says_what_it_says_and_flags_the_rest() {
    let text = FILE.replace("tenants:\n", "hub: {limits: {tenants: 7}}\ntenants:\n");
    let flags = HubLimits { connections: 50, tenants: 60, ..HubLimits::default() };
    let world = World::try_with_file_and(&text, flags).unwrap();
    let hub = world.access.hub_limits();
    assert_eq!((hub.tenants, hub.connections), (7, 50));
    world.rewrite(FILE);
    assert!(world.access.reload().unwrap());
    assert_eq!(world.access.hub_limits().tenants, 60, "what the file said before counts no more");
    assert_eq!(World::with_file(FILE).access.hub_limits().connections, 20_000);
}

#[test]
fn a_start_needs_a_good_file() {
    let error = World::try_with_file("tenants: 1").err().unwrap();
    expect!["tenants.yaml:1: expected a list here"].assert_eq(error.message());
    let huge = World::try_with_file(&" ".repeat(5 << 20)).err().unwrap();
    expect!["cannot read the tenants file tenants.yaml: it has 5242880 bytes, more than 4194304"]
        .assert_eq(huge.message());
}

#[test]
fn a_tenant_that_left_the_file_is_refused() {
    let world = World::with_file(FILE);
    let who = world.login(&bearer("a"), PEER).unwrap();
    world.rewrite(&FILE.replace("name: wc-1", "name: wc-9"));
    assert!(world.access.reload().unwrap());
    expect!["401 None tenant wc-1 is not in the tenants file (any more)"]
        .assert_eq(&refusal(world.access.resolve_write(&who, None)));
}

#[test]
fn meters_and_label_generations_outlive_a_reload() {
    let world = World::with_file(FILE);
    let before = world.access.tenant(&name("wc-1")).unwrap();
    assert!(world.access.admit_samples(&before, 200).is_ok());
    let in_flight = world.access.enter(Some(&before)).unwrap();

    world.rewrite(&format!("# only a comment\n{FILE}"));
    assert!(world.access.reload().unwrap());
    let after = world.access.tenant(&name("wc-1")).unwrap();
    assert!(world.access.admit_samples(&after, 1).is_err(), "a reload is no new burst");
    let second = world.access.enter(Some(&after)).unwrap();
    assert!(world.access.enter(Some(&after)).is_err(), "requests from before still count");
    drop((in_flight, second));
    assert_eq!(after.labels.generation(), before.labels.generation());

    world.rewrite(&FILE.replace("mode: stamp", "mode: check"));
    assert!(world.access.reload().unwrap());
    let changed = world.access.tenant(&name("wc-1")).unwrap();
    assert_ne!(changed.labels.generation(), before.labels.generation());
    let other = world.access.tenant(&name("wc-2")).unwrap();
    world.rewrite(FILE);
    assert!(world.access.reload().unwrap());
    let back = world.access.tenant(&name("wc-1")).unwrap();
    assert!(![before.labels.generation(), changed.labels.generation()].contains(&back.labels.generation()));
    assert_eq!(world.access.tenant(&name("wc-2")).unwrap().labels.generation(), other.labels.generation());
}

#[test]
fn metrics() {
    let world = World::with_file(FILE);
    assert!(world.login(&basic("alice", "wrong"), PEER).is_err());
    let text = world.metrics();
    let mut lines: Vec<_> = text.lines().filter(|l| !l.contains("_bucket{")).collect();
    lines.sort_unstable();
    expect![[r##"
        # EOF
        # HELP nilometer_access_credential_cache_hits Passwords found in the cache of verified ones.
        # HELP nilometer_access_password_hash_queue_length Credentials that wait for their hash.
        # HELP nilometer_access_password_hash_seconds Time that a password hash took.
        # HELP nilometer_access_password_hashes Password hashes computed.
        # HELP nilometer_access_refused Requests refused before anything of them was stored or computed.
        # HELP nilometer_tenants Tenants that were written to or are configured.
        # HELP nilometer_tenants_config_last_reload_success_timestamp_seconds When the tenants file was last loaded successfully.
        # HELP nilometer_tenants_config_last_reload_successful 1 if the tenants file is loaded as it is, 0 if an older one is in use.
        # HELP nilometer_tenants_config_reloads Loads of the tenants file.
        # TYPE nilometer_access_credential_cache_hits counter
        # TYPE nilometer_access_password_hash_queue_length gauge
        # TYPE nilometer_access_password_hash_seconds histogram
        # TYPE nilometer_access_password_hashes counter
        # TYPE nilometer_access_refused counter
        # TYPE nilometer_tenants gauge
        # TYPE nilometer_tenants_config_last_reload_success_timestamp_seconds gauge
        # TYPE nilometer_tenants_config_last_reload_successful gauge
        # TYPE nilometer_tenants_config_reloads counter
        nilometer_access_credential_cache_hits_total 0
        nilometer_access_password_hash_queue_length 0
        nilometer_access_password_hash_seconds_count 1
        nilometer_access_password_hash_seconds_sum 0.0
        nilometer_access_password_hashes_total{result="right"} 0
        nilometer_access_password_hashes_total{result="wrong"} 1
        nilometer_access_refused_total{reason="bad_tenant_name"} 0
        nilometer_access_refused_total{reason="hash_queue_full"} 0
        nilometer_access_refused_total{reason="hub_rate"} 0
        nilometer_access_refused_total{reason="hub_requests"} 0
        nilometer_access_refused_total{reason="malformed_credential"} 0
        nilometer_access_refused_total{reason="missing_credential"} 0
        nilometer_access_refused_total{reason="missing_scope"} 0
        nilometer_access_refused_total{reason="other_tenant"} 0
        nilometer_access_refused_total{reason="reserved_tenant"} 0
        nilometer_access_refused_total{reason="tenant_rate"} 0
        nilometer_access_refused_total{reason="tenant_rate_retry"} 0
        nilometer_access_refused_total{reason="tenant_requests"} 0
        nilometer_access_refused_total{reason="too_many_failures"} 0
        nilometer_access_refused_total{reason="too_many_tenants"} 0
        nilometer_access_refused_total{reason="wrong_credential"} 1
        nilometer_tenants 3
        nilometer_tenants_config_last_reload_success_timestamp_seconds 1700000000
        nilometer_tenants_config_last_reload_successful 1
        nilometer_tenants_config_reloads_total{result="changed"} 1
        nilometer_tenants_config_reloads_total{result="failed"} 0
        nilometer_tenants_config_reloads_total{result="unchanged"} 0"##]].assert_eq(&lines.join("\n"));
}
