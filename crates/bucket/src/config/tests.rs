use super::*;
use expect_test::{Expect, expect};

fn env(name: &str) -> Option<String> {
    (name == "SECRET").then(|| "s3cr3t".to_owned())
}

fn parse(text: &str) -> Result<BucketConfig> {
    BucketConfig::parse("objstore.yaml", text.as_bytes(), &env)
}

fn refused(text: &str, expect: &Expect) {
    expect.assert_eq(&parse(text).err().expect("refused").to_string());
}

#[test]
fn s3_as_the_documentation_of_thanos_has_it() {
    let config = parse(
        r#"
type: S3
config:
  bucket: "metrics"
  endpoint: "s3.eu-central-1.amazonaws.com"
  region: ""
  disable_dualstack: false
  aws_sdk_auth: false
  access_key: "me"
  insecure: false
  signature_version2: false
  secret_key: $(SECRET)
  session_token: ""
  put_user_metadata: { "X-Amz-Storage-Class": STANDARD_IA, team: obs }
  http_config:
    idle_conn_timeout: 1m30s
    response_header_timeout: 2m
    insecure_skip_verify: false
    tls_handshake_timeout: 10s
    expect_continue_timeout: 1s
    max_idle_conns: 100
    max_idle_conns_per_host: 100
    max_conns_per_host: 0
    tls_config:
      ca_file: ""
      cert_file: ""
      key_file: ""
      server_name: ""
      insecure_skip_verify: false
    disable_compression: false
  trace:
    enable: false
  list_objects_version: ""
  bucket_lookup_type: auto
  send_content_md5: true
  disable_multipart: false
  part_size: 67108864
  sse_config:
    type: ""
    kms_key_id: ""
    kms_encryption_context: {}
    encryption_key: ""
  sts_endpoint: ""
  max_retries: 0
prefix: "/a/b/"
hedging_config: { enabled: true }
"#,
    )
    .unwrap();
    assert_eq!((config.name().as_str(), config.prefix.as_str()), ("metrics", "a/b"));
    assert_eq!(config.hedging, Some(Hedging { up_to: 3, quantile: 0.9 }));
    let ProviderConfig::S3(s3) = &config.provider else { panic!("it is S3") };
    assert_eq!(s3.region, "eu-central-1");
    assert_eq!(s3.endpoint, "https://s3.eu-central-1.amazonaws.com");
    assert!(s3.is_virtual_hosted, "as every name below amazonaws.com");
    assert_eq!((s3.storage_class.as_deref(), s3.metadata.len()), (Some("STANDARD_IA"), 1));
    assert_eq!((s3.part_bytes, s3.max_retries), (Some(64 << 20), None));
    assert!(matches!(&s3.credentials, S3Credentials::Static { secret_key, .. } if secret_key == "s3cr3t"));
    expect![[r#"
        objstore.yaml: config.trace does nothing here: --log.level=debug shows requests
        objstore.yaml: http_config.expect_continue_timeout does nothing here: bodies are sent without asking
        objstore.yaml: http_config.disable_compression does nothing here: objects are never sent compressed"#]]
    .assert_eq(&config.warnings.join("\n"));
}

#[test]
fn the_other_types() {
    let gcs = parse("type: gcs\nconfig:\n  bucket: b\n  service_account: ''\n").unwrap();
    assert!(matches!(&gcs.provider, ProviderConfig::Gcs(gcs) if gcs.service_account.is_none()));
    let fs = parse("type: FILESYSTEM\nconfig: { directory: /data/bucket }\nprefix:\n").unwrap();
    assert_eq!(fs.name(), "fs: /data/bucket");
    let azure = parse(
        "type: AZURE\nconfig:\n  storage_account: acc\n  container: box\n  storage_connection_string: \
         'DefaultEndpointsProtocol=http;AccountName=acc;AccountKey=a2V5PT0=;BlobEndpoint=http://127.0.0.1:1/acc/;'\n",
    );
    let ProviderConfig::Azure(azure) = azure.unwrap().provider else { panic!("it is Azure") };
    assert_eq!(azure.url, "http://127.0.0.1:1/acc");
    assert!(matches!(&azure.credentials, AzureCredentials::Key(key) if key == "a2V5PT0="));
    let azure =
        parse("type: AZURE\nconfig: { storage_account: acc, container: box, user_assigned_id: me }").unwrap();
    let ProviderConfig::Azure(azure) = azure.provider else { panic!("it is Azure") };
    assert_eq!(azure.url, "https://acc.blob.core.windows.net");
}

#[test]
fn swift_takes_each_way_to_log_in() {
    let swift = |keys: &str| {
        let text = format!("type: SWIFT\nconfig:\n  container_name: c\n  {}\n", keys.replace(", ", "\n  "));
        match parse(&text)?.provider {
            ProviderConfig::Swift(swift) => Ok::<_, Error>(swift),
            _ => panic!("it is Swift"),
        }
    };
    let id = |id: &str| Named::Id(id.into());
    let first = swift("auth_url: http://h/auth/v1.0, username: a:b, password: k").unwrap();
    assert!(matches!(&first.auth, SwiftAuth::V1 { user, key } if user == "a:b" && key == "k"));
    assert_eq!(first.segments_container, "c");
    let keystone =
        "auth_url: http://h/v3/, username: u, domain_id: d, project_id: p, password: k, region_name: r";
    let keystone = swift(keystone).unwrap();
    assert_eq!((keystone.auth_url.as_str(), keystone.region.as_deref()), ("http://h/v3", Some("r")));
    let SwiftAuth::Password { user, scope, .. } = &keystone.auth else { panic!("it is Keystone") };
    assert!(*user == Named::Name { name: "u".into(), domain: Some(Box::new(id("d"))) });
    assert!(*scope == Scope::Project(id("p")));
    let by_id = "auth_url: http://h/v3, application_credential_id: i, application_credential_secret: s";
    let auth = swift(by_id).unwrap().auth;
    assert!(auth == SwiftAuth::ApplicationCredential { credential: id("i"), secret: "s".into() });
    for wrong in [
        "auth_url: http://h/v2.0, username: u, password: k",
        "auth_url: http://h/v3, username: u",
        "auth_url: http://h/v3, application_credential_name: n, application_credential_secret: s",
        "username: u",
    ] {
        assert!(swift(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn mistakes_have_their_line_and_a_way_out() {
    refused("", &expect!["objstore.yaml:1: unexpected end of file"]);
    refused(
        "type: S3\nconfig:\n  endpoint: e\n  buket: b\n",
        &expect!["objstore.yaml:4: there is no key `buket` here; did you mean `bucket`?"],
    );
    refused(
        "type: FILESYSTEM\nconfig:\n  directory: d\nprefx: x\n",
        &expect!["objstore.yaml:4: there is no key `prefx` here; did you mean `prefix`?"],
    );
    refused(
        "type: FILESYSTEM\nconfig:\n  qwertyuiop: d\n",
        &expect!["objstore.yaml:3: there is no key `qwertyuiop` here"],
    );
    refused(
        "type: S4\nconfig: {}\n",
        &expect![[r#"objstore.yaml:1: type "S4" is not one of S3, GCS, AZURE, SWIFT, FILESYSTEM"#]],
    );
    refused(
        "type: OCI\nconfig: {}\n",
        &expect![
            "objstore.yaml:1: there is no client for type OCI yet: S3, GCS, AZURE, SWIFT, FILESYSTEM can be used"
        ],
    );
    refused("type: FILESYSTEM\n", &expect!["objstore.yaml:1: FILESYSTEM needs a section `config`"]);
    refused(
        "type: FILESYSTEM\nconfig: {}\n",
        &expect!["objstore.yaml:1: config.directory is missing: it names the folder that is the bucket"],
    );
    refused(
        "type: S3\nconfig:\n  bucket: b\n  secret_key: $(NOPE)\n",
        &expect!["objstore.yaml:4: the variable NOPE is not set: export it, or write the value"],
    );
    refused(
        "type: S3\nconfig: { bucket: b, endpoint: e, access_key: a }\n",
        &expect![
            "objstore.yaml:1: config.access_key and config.secret_key go together: set both, or neither"
        ],
    );
    refused(
        "type: S3\nconfig: { bucket: b, endpoint: e, http_config: { idle_conn_timeout: soon } }\n",
        &expect!["objstore.yaml:2: expected a duration, such as 90s or 1m30s"],
    );
    refused(
        "type: FILESYSTEM\nconfig: { directory: d }\nhedging_config: { quantile: 90 }\n",
        &expect!["objstore.yaml:1: hedging_config.quantile is a share from 0 to 1"],
    );
}

#[test]
fn no_secret_is_in_a_message() {
    for text in [
        "type: S3\nconfig:\n  secret_key: [hunter2]\n",
        "type: S3\nconfig:\n  secret_key: hunter2\n  secret_key: hunter2\n",
        "type: S3\nconfig:\n  bucket: b\n  secret_key: hunter2\n  part_size: x\n",
    ] {
        let message = parse(text).err().expect("refused").to_string();
        assert!(!message.contains("hunter2"), "{message}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_is_a_panic(text in "(type: (S3|GCS|AZURE|FILESYSTEM)\nconfig:\n)?[ a-z:{}\\[\\]\n$()&*0-9-]{0,80}") {
        let _ = parse(&text);
    }
}
