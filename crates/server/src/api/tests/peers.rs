//! What other servers ask for: federation and remote read.

use super::world::{START_MS, Served, TENANT, World, patient, request};
use crate::{QueryOptions, RemoteReadOptions};
use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use expect_test::expect;
use nilometer_access::ReadScope;
use nilometer_chunk::{Encoding, encode_floats};
use nilometer_model::{Labels, STALE_NAN_BITS, Tenant, TimeRange, Value};
use nilometer_wire::remote_read::{CHUNKS_TYPE, Frames, put_result, put_series};
use nilometer_wire::snappy;

/// Response types of remote read.
pub(super) const SAMPLES: u8 = 0;
pub(super) const CHUNKS: u8 = 1;

pub(super) fn federate(selector: &str) -> Request<Body> {
    request("GET", &format!("/federate?match[]={selector}"), None)
}

/// Of all series with this name, at all times.
fn read_named(name: &str, kind: u8) -> Request<Body> {
    let nested = |field: u8, bytes: &[u8]| [&[field << 3 | 2, bytes.len() as u8], bytes].concat();
    let matcher = [nested(2, b"__name__"), nested(3, name.as_bytes())].concat();
    let end = b"\x10\xff\xff\xff\xff\xff\xff\xff\xff\x7f";
    let query = [end.as_slice(), &nested(3, &matcher)].concat();
    let plain = [nested(1, &query), vec![0x10, kind]].concat();
    read_body(snappy::compress(&plain).unwrap())
}

pub(super) fn read(kind: u8) -> Request<Body> {
    read_named("up", kind)
}

fn read_body(body: Vec<u8>) -> Request<Body> {
    Request::post("/api/v1/read").body(body.into()).unwrap()
}

/// Status, headers and body.
fn sent(served: &Served, request: Request<Body>) -> (u16, HeaderMap, Vec<u8>) {
    served.runtime().block_on(async {
        let (parts, body) = served.respond(request).await.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (parts.status.as_u16(), parts.headers, body.to_vec())
    })
}

fn served() -> Served {
    World::new().served(&patient())
}

fn of_tenant(mut request: Request<Body>, tenant: &str) -> Request<Body> {
    request.extensions_mut().insert(ReadScope::Only(Tenant::new(tenant).unwrap()));
    request
}

fn labels(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name), ("job", "a"), ("tenant_id", TENANT)])
}

/// All samples of the series `gone`.
fn gone() -> Vec<(i64, f64)> {
    let values = [1.0, 2.0, f64::from_bits(STALE_NAN_BITS)];
    values.into_iter().enumerate().map(|(i, v)| (START_MS + i as i64 * 15_000, v)).collect()
}

#[test]
fn the_newest_samples_are_federated() {
    let served = served();
    let shown = ["{__name__=~\".%2B\"}", "up&match[]={job=\"b\"}", "gone", "none"].map(|selector| {
        let got = served.send(federate(selector));
        assert_eq!(
            got.headers[header::CONTENT_TYPE],
            "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
        );
        format!("{} {selector}\n{}", got.status, got.body)
    });
    expect![[r#"
        200 {__name__=~".%2B"}
        # TYPE http_requests_total untyped
        http_requests_total{job="a",method="GET",tenant_id="golden",instance=""} 357 1700001785123
        http_requests_total{job="a",method="POST",tenant_id="golden",instance=""} 59.5 1700001785123
        # TYPE latency_seconds_bucket untyped
        latency_seconds_bucket{job="a",le="+Inf",tenant_id="golden",instance=""} 480 1700001800000
        latency_seconds_bucket{job="a",le="0.1",tenant_id="golden",instance=""} 120 1700001800000
        latency_seconds_bucket{job="a",le="1",tenant_id="golden",instance=""} 360 1700001800000
        # TYPE odd_labels untyped
        odd_labels{job="a",tenant_id="golden",text="<a href=\"x\">&\\\n é",instance=""} 1 1700001800000
        # TYPE up untyped
        up{instance="localhost:9090",job="a",tenant_id="golden"} 1 1700001800000
        up{instance="localhost:9090",job="b",tenant_id="golden"} 0 1700001800000
        200 up&match[]={job="b"}
        # TYPE up untyped
        up{instance="localhost:9090",job="a",tenant_id="golden"} 1 1700001800000
        up{instance="localhost:9090",job="b",tenant_id="golden"} 0 1700001800000
        200 gone
        200 none
    "#]]
    .assert_eq(&shown.concat());
}

#[test]
fn native_histograms_are_federated_as_protobuf() {
    let served = served();
    let mut asked = federate("{job=\"a\"}");
    let accept = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    asked.headers_mut().insert(header::ACCEPT, accept.parse().unwrap());
    let (status, headers, body) = sent(&served, asked);
    assert_eq!(status, 200);
    assert!(
        headers[header::CONTENT_TYPE].to_str().unwrap().ends_with("encoding=delimited; escaping=underscores")
    );
    for name in ["native_seconds", "http_requests_total", "up"] {
        let family = [&[0x0a, name.len() as u8], name.as_bytes()].concat();
        assert_eq!(body.windows(family.len()).filter(|w| *w == family).count(), 1, "{name}");
    }
}

#[test]
fn mistakes_in_federation_are_told_as_text() {
    let served = served();
    let shown = ["up{", "{a=~\"(\"}", "&x=%zz"].map(|selector| {
        let got = served.send(federate(selector));
        assert_eq!(got.headers[header::CONTENT_TYPE], "text/plain; charset=utf-8");
        format!("{} {}", got.status, got.body)
    });
    expect![[r#"
        400 1:4: parse error: unexpected end of input inside braces
        400 1:2: parse error: error parsing regexp: missing closing ): `(`
        400 error parsing form values: invalid URL escape "%zz"
    "#]]
    .assert_eq(&shown.concat());
    let tight = World::new().served(&QueryOptions { max_memory_bytes: 100, ..patient() });
    let got = tight.send(federate("up"));
    assert_eq!((got.status, got.body.contains("query.max-memory")), (422, true), "{}", got.body);
}

#[test]
fn samples_are_read() {
    let (status, headers, body) = sent(&served(), read_named("gone", SAMPLES));
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    assert_eq!(headers[header::CONTENT_TYPE], "application/x-protobuf");
    assert_eq!(headers[header::CONTENT_ENCODING], "snappy");
    let samples: Vec<_> = gone().into_iter().map(|(t_ms, v)| (t_ms, Value::Float(v))).collect();
    let (mut result, mut want) = (Vec::new(), Vec::new());
    put_series(&mut result, &labels("gone"), &samples);
    put_result(&mut want, &result);
    assert_eq!(body, snappy::compress(&want).unwrap());
}

#[test]
fn chunks_are_streamed() {
    let (status, headers, body) = sent(&served(), read_named("gone", CHUNKS));
    assert_eq!((status, headers[header::CONTENT_TYPE].to_str().unwrap()), (200, CHUNKS_TYPE));
    let data = encode_floats(gone());
    let range = TimeRange::new(START_MS, START_MS + 30_000);
    let mut want = Vec::new();
    Frames::new(0, 1 << 20).put(&mut want, &labels("gone"), [(range, Encoding::Xor.byte(), &data[..])]);
    assert_eq!(body, want);
    let small = RemoteReadOptions { frame_bytes: 1, ..RemoteReadOptions::default() };
    let small = World::new().served(&QueryOptions { remote_read: small, ..patient() });
    let (_, _, body) = sent(&small, read_named("latency_seconds_bucket", CHUNKS));
    let name = b"latency_seconds_bucket";
    assert!(body.windows(name.len()).filter(|w| w == name).count() >= 3, "each series has its frames");
}

#[test]
fn peers_see_what_their_credential_may() {
    let served = served();
    for (asked, empty) in [
        (federate as fn(&str) -> Request<Body>, 0),
        (|name| read_named(name, CHUNKS), 0),
        // A result without series, compressed.
        (|name| read_named(name, SAMPLES), 4),
        (|name| request("GET", &format!("/query_exemplars?query={name}"), None), 30),
    ] {
        let (status, _, body) = sent(&served, of_tenant(asked("http_requests_total"), TENANT));
        assert!(status == 200 && body.len() > 100, "{status} {body:?}");
        let (status, _, body) = sent(&served, of_tenant(asked("http_requests_total"), "other"));
        assert_eq!((status, body.len()), (200, empty), "{body:?}");
    }
}

#[test]
fn who_is_not_known_reads_nothing() {
    let served = served();
    for asked in [federate("up"), read(SAMPLES), read(CHUNKS)] {
        let response = served.runtime().block_on(served.unauthenticated(asked));
        assert_eq!(response.status(), 500);
    }
}

#[test]
fn remote_reads_have_limits() {
    let remote_read = RemoteReadOptions { max_samples: 100, ..RemoteReadOptions::default() };
    let served = World::new().served(&QueryOptions { remote_read, ..patient() });
    let got = served.send(read(SAMPLES));
    assert_eq!((got.status, got.body.as_str()), (400, "exceeded sample limit (100)\n"));
    assert_eq!(sent(&served, read(CHUNKS)).0, 200, "streams have none");
    let tight = World::new().served(&QueryOptions { max_memory_bytes: 1000, ..patient() });
    let got = tight.send(read(SAMPLES));
    assert_eq!((got.status, got.body.contains("query.max-memory")), (400, true), "{}", got.body);
    for body in [Vec::new(), vec![0xff; 10], snappy::compress(b"\x0a\x05").unwrap()] {
        assert_eq!(served.send(read_body(body)).status, 400);
    }
    assert_eq!(served.send(read_body(vec![0; 5 << 20])).status, 413);
}
