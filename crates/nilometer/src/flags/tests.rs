use super::*;
use std::time::Duration;

fn serve(args: &[&str]) -> Result<(Box<ServeFlags>, Vec<&'static str>), Error> {
    let args = ["nilometer", "serve"].iter().chain(args).map(OsString::from);
    match parse(args)? {
        Command::Serve(flags, ignored) => Ok((flags, ignored)),
        Command::Store(..) | Command::Compact(..) | Command::Bench(_) | Command::Tools(_) => {
            unreachable!("the arguments begin with serve")
        }
    }
}

fn resolved(args: &[&str]) -> Serve {
    resolve(&serve(args).unwrap().0).unwrap()
}

fn refused(args: &[&str]) -> String {
    match serve(args) {
        Err(e) => e.to_string(),
        Ok((flags, _)) => resolve(&flags).err().expect("this must be refused").to_string(),
    }
}

#[test]
fn defaults_are_safe() {
    let options = resolved(&[]);
    assert!(options.http.socket.ip().is_loopback());
    assert!(options.remote_write.socket.ip().is_loopback());
    assert!(options.grpc.socket.ip().is_loopback());
    assert_eq!(options.insecure_listeners, 0);
    assert_eq!(options.head.dir, std::path::Path::new("./data/receive"));
    assert_eq!(options.dirs.snapshots, std::path::Path::new("./data/snapshots"));
    assert_eq!(options.head.retention_ms, 15 * 86_400_000);
    assert_eq!(options.head.out_of_order_window_ms, 600_000);
    assert_eq!(options.head.too_far_in_future_ms, 600_000);
    assert_eq!(options.self_metrics_interval, Some(Duration::from_secs(15)));
    assert!(!options.flush_on_shutdown);
    assert!(!options.head.keep_starts, "blocks are for every reader");
    assert!(resolved(&["--tsdb.chunk-encoding.floats=xor2"]).head.keep_starts);
}

#[test]
fn open_addresses_need_credentials_or_a_word() {
    let refusal = refused(&["--http-address=0.0.0.0:10902"]);
    assert!(refusal.contains("0.0.0.0:10902 can be reached from other machines"), "{refusal}");
    assert!(refusal.contains("--tenants.config-file") && refusal.contains("--insecure-no-auth"), "{refusal}");
    let both = ["--http-address=:1", "--remote-write.address=[::]:2"];
    assert!(refused(&both).contains("0.0.0.0:1 and [::]:2"));
    assert_eq!(resolved(&["--http-address=:1", "--insecure-no-auth"]).insecure_listeners, 1);
    assert_eq!(resolved(&["--http-address=:1", "--tenants.config-file=f"]).insecure_listeners, 0);
}

#[test]
fn kingpin_syntax() {
    assert_eq!(resolved(&["--http-address", "127.0.0.1:7"]).http.socket.port(), 7);
    assert!(resolved(&["--no-self-metrics"]).self_metrics_interval.is_none());
    assert!(resolved(&["--no-self-metrics", "--self-metrics"]).self_metrics_interval.is_some());
    assert!(
        resolved(&[]).query.auto_downsampling
            && resolved(&["--query.auto-downsampling"]).query.auto_downsampling
    );
    assert!(!resolved(&["--no-query.auto-downsampling"]).query.auto_downsampling);
    assert!(resolved(&["--flush-on-shutdown"]).flush_on_shutdown);
    assert!(!resolved(&["--flush-on-shutdown", "--no-flush-on-shutdown"]).flush_on_shutdown);
    assert!(resolved(&["--no-flush-on-shutdown", "--flush-on-shutdown"]).flush_on_shutdown);
    let labels = resolved(&["--label=b=\"2\"", "--label", "a=\"1\""]).head.labels;
    assert_eq!(labels.to_string(), r#"{a="1", b="2"}"#);
    assert!(refused(&["--log.level=info", "--log.level=warn"]).contains("cannot be used multiple times"));
}

#[test]
fn unknown_flags_show_the_nearest() {
    let refusal = refused(&["--tsdb.retentoin=1d"]);
    assert!(refusal.contains("--tsdb.retention"), "{refusal}");
    // They would promise what is not there.
    for flag in [
        "--receive.hashrings-file=x",
        "--receive.replication-factor=3",
        "--query.replica-label=x",
        "--http.config=x",
    ] {
        assert!(refused(&[flag]).contains("unexpected argument"), "{flag}");
    }
}

#[test]
fn flags_without_meaning_are_named() {
    let (_, ignored) =
        serve(&["--grpc-grace-period=1m", "--no-tsdb.wal-compression", "--tsdb.no-lockfile"]).unwrap();
    assert_eq!(ignored, ["grpc-grace-period", "tsdb.no-lockfile", "tsdb.wal-compression"]);
    assert!(serve(&[]).unwrap().1.is_empty());
}

#[test]
fn mistakes() {
    for (args, says) in [
        (&["--tsdb.retention=15"][..], "a duration is like"),
        (&["--label=tenant_id=\"x\""], "is the tenant's"),
        (&["--label=a=b"], "with the quotes"),
        (&["--receive.default-tenant-id=../x"], "--receive.default-tenant-id"),
        (&["--receive.tenant-header=a b"], "cannot be a header's name"),
        (&["--http-address=nonsense"], "an address is like 127.0.0.1:10902"),
        (&["--query.max-concurrent=0"], "no query would ever be computed"),
        (&["--tsdb.min-block-duration=1h"], "must be equal"),
        (&["--http.trusted-proxy=host"], "10.0.0.0/8"),
        (&["--http-server-tls-cert=x"], "--http-server-tls-key"),
        (&["--self-metrics-interval=1ms"], "at least 1000 ms"),
        (&["--web.cors.origin=("], "--web.cors.origin"),
        (&["--grpc-client-tls-ca=x"], "mean nothing without --grpc-client-tls-secure"),
        (&["--grpc-client-tls-secure", "--grpc-client-tls-cert=x"], "--grpc-client-tls-key"),
        (&["--grpc-client-token-file=x"], "--grpc-client-tls-secure"),
    ] {
        let refusal = refused(args);
        assert!(refusal.contains(says), "{args:?}: {refusal}");
    }
}

#[test]
fn other_stores() {
    let plain = resolved(&["--endpoint=a:1", "--endpoint=b:1"]).stores;
    assert_eq!((plain.addresses.len(), plain.response_timeout.map(|t| t.as_secs())), (2, Some(30)));
    assert_eq!(plain.tls, None);
    assert_eq!(resolved(&["--store.response-timeout=0s"]).stores.response_timeout, None);
    let safe = resolved(&["--grpc-client-tls-secure", "--grpc-client-server-name=n"]).stores.tls.unwrap();
    assert_eq!(safe.server_name.as_deref(), Some("n"));
}

#[test]
fn features_by_prometheus_names() {
    let options =
        resolved(&["--enable-feature=promql-duration-expr,use-start-timestamps", "--enable-feature=x"]);
    assert!(options.query.features.duration_expressions && options.query.features.start_timestamps);
    assert!(!options.query.features.experimental_functions);
    assert_eq!(options.warnings, ["--enable-feature=x: there is no such feature here"]);
}

#[test]
fn flags_are_shown_by_name() {
    let options =
        resolved(&["--label=a=\"x\\\"y\"", "--label=b=\"2\"", "--enable-feature=x", "--tsdb.retention=3d"]);
    let flags = &options.web.flags;
    for (name, value) in [
        ("tsdb.retention", "3d"),
        ("label", "a=\"x\\\"y\",b=\"2\""),
        ("query.timeout", "2m"),
        ("tsdb.path", ""),
        ("self-metrics", "true"),
        ("insecure-no-auth", "false"),
    ] {
        assert_eq!(flags.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!flags.contains_key("no-self-metrics") && !flags.contains_key("no-insecure-no-auth"));
    let config = "global:\n  external_labels:\n    a: \"x\\\"y\"\n    b: \"2\"\nstorage:\n  tsdb:\n    \
                  out_of_order_time_window: 10m\n    retention:\n      time: 3d\n";
    assert_eq!(options.web.config, config);
}

#[test]
fn help_is_well_formed() {
    command().debug_assert();
    let help = serve(&["--help"]).expect_err("help is no command").to_string();
    for said in [
        "Receives samples by remote write",
        "Durations are like",
        "--tsdb.retention <DURATION>",
        "[default: 15d]",
        "Addresses:",
        "Queries:",
    ] {
        assert!(help.contains(said), "{said} in\n{help}");
    }
}
