//! What senders get wrong, each with the answer that says so.

use crate::common::{Dir, Hub, Reply, V1, body, float, matrix, now_ms, post, series};
use nilometer_wire::remote_write::encode::{SentHistogram, v1};
use nilometer_wire::snappy::compress;

struct Bad {
    name: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
    status: u16,
    says: &'static str,
    written: [u64; 3],
}

fn bad(name: &'static str, body: Vec<u8>, status: u16, says: &'static str) -> Bad {
    Bad { name, headers: V1.to_vec(), body, status, says, written: [0, 0, 0] }
}

fn one(labels: &[(&str, &str)], t_ms: i64) -> Vec<u8> {
    body(&[series(labels, &[(t_ms, 1.0)])])
}

#[test]
fn every_mistake_has_its_answer() {
    let dir = Dir::new();
    let hub = Hub::start(dir.path(), &[]);
    let t = now_ms();
    assert_eq!(hub.push(&float("known", t, 1.0)).status, 204);
    for case in whole_requests(t).into_iter().chain(single_series(t)).chain(times(t)) {
        let reply = post(hub.write, "/api/v1/receive", &case.headers, &case.body);
        check(&case, &reply);
    }
    // After all that, what is good is taken, and nothing else was.
    assert_eq!(hub.push(&float("known", t + 1, 2.0)).status, 204);
    let names: Vec<String> =
        matrix(hub.http, r#"{__name__=~".+"}[1h]"#, t + 1, "__name__").into_keys().collect();
    assert_eq!(names, ["good", "known", "unsorted"]);
    assert_eq!(matrix(hub.http, "known[1h]", t + 1, "__name__")["known"], [(t, 1.0), (t + 1, 2.0)]);
}

fn check(case: &Bad, reply: &Reply) {
    let Bad { name, status, says, .. } = case;
    assert_eq!(reply.status, *status, "{name}: {}", reply.body);
    assert!(reply.body.contains(says), "{name}: {:?} does not say {says:?}", reply.body);
    assert_eq!(reply.written(), case.written, "{name}");
    assert_eq!(reply.header("retry-after"), None, "{name}: no retry mends it");
}

fn whole_requests(t: i64) -> Vec<Bad> {
    let good = float("m", t, 1.0);
    let with = |headers: &[(&'static str, &'static str)], says| Bad {
        headers: headers.to_vec(),
        ..bad("headers", good.clone(), 415, says)
    };
    let mut corrupt = good.clone();
    let middle = corrupt.len() / 2;
    corrupt[middle] ^= 0xff;
    vec![
        bad("no body", Vec::new(), 400, "snappy"),
        bad("truncated snappy", good[..good.len() - 3].to_vec(), 400, "snappy"),
        bad("not snappy", b"this is not snappy at all".to_vec(), 400, ""),
        bad("4 GiB claimed", [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &good[2..]].concat(), 413, "decompressed"),
        bad("random protobuf", compress(&[0xde, 0xad, 0xbe, 0xef, 0x77]).unwrap(), 400, ""),
        bad("cut protobuf", compress(&v1(&[series(&[("a", "b")], &[(t, 1.0)])], &[])[..9]).unwrap(), 400, ""),
        bad("too large", vec![0; (16 << 20) + 1], 413, "request_bytes"),
        with(&[("Content-Type", "application/json")], "send application/x-protobuf"),
        with(
            &[("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v3.Request")],
            "not supported",
        ),
        with(&[("Content-Encoding", "gzip"), ("Content-Type", "application/x-protobuf")], "send snappy"),
        Bad {
            headers: vec![("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")],
            ..bad("the other version's message", good, 400, "prometheus.WriteRequest")
        },
    ]
}

fn single_series(t: i64) -> Vec<Bad> {
    let long = "x".repeat(5_000);
    let many: Vec<(String, String)> = (0..70).map(|n| (format!("l{n:02}"), "v".to_owned())).collect();
    let mut many: Vec<(&str, &str)> = many.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    many.insert(0, ("__name__", "many"));
    let broken = series(&[("__name__", "broken"), ("l", "@@")], &[(t, 1.0)]);
    let mut not_utf8 = v1(&[broken], &[]);
    let at = not_utf8.windows(2).position(|w| w == b"@@").unwrap();
    not_utf8[at] = 0xff;
    let beside = [series(&[("__name__", "good")], &[(t, 1.0)]), series(&[("a", "b")], &[(t, 1.0)])];
    vec![
        bad("no labels", one(&[], t), 400, "no labels"),
        bad("no name", one(&[("a", "b")], t), 400, "no metric name"),
        bad("an empty label name", one(&[("", "v"), ("__name__", "m")], t), 400, "has no name"),
        bad("a label twice", one(&[("__name__", "m"), ("a", "1"), ("a", "2")], t), 400, "stands twice"),
        bad("not UTF-8", compress(&not_utf8).unwrap(), 400, "not UTF-8"),
        bad("a huge value", one(&[("__name__", "m"), ("l", &long)], t), 400, "too long"),
        bad("many labels", one(&many, t), 400, "1 over a label limit"),
        Bad { written: [1, 0, 0], ..bad("a good one beside", body(&beside), 400, "All others are stored") },
        Bad {
            written: [1, 0, 0],
            ..bad("unsorted is sorted", one(&[("z", "1"), ("a", "2"), ("__name__", "unsorted")], t), 204, "")
        },
        bad("a histogram that contradicts itself", histogram(t), 400, "histogram"),
    ]
}

fn histogram(t: i64) -> Vec<u8> {
    let value = nilometer_model::IntHistogram { count: 5, sum: 1.0, zero_count: 1, ..Default::default() };
    let value = nilometer_model::Value::Int(std::sync::Arc::new(value));
    let mut sent = series(&[("__name__", "h")], &[]);
    sent.histograms = vec![SentHistogram { t_ms: t, start_ms: 0, value }];
    body(&[sent])
}

fn times(t: i64) -> Vec<Bad> {
    let known = |t_ms: i64, v: f64| body(&[series(&[("__name__", "known")], &[(t_ms, v)])]);
    let year_2100 = 4_102_444_800_000;
    vec![
        bad("1970", known(0, 1.0), 400, "too old"),
        bad("before 1970", known(i64::MIN, 1.0), 400, "too old"),
        bad("2100", known(year_2100, 1.0), 400, "ahead of this hub's clock"),
        bad("the end of time", known(i64::MAX, 1.0), 400, "ahead of this hub's clock"),
        Bad { written: [1, 0, 0], ..bad("the same again", known(t, 1.0), 204, "") },
        bad("another value", known(t, 7.0), 409, "another value is stored"),
        bad("an hour late", known(t - 3_600_000, 1.0), 409, "outside the window"),
    ]
}

#[test]
fn special_values_come_back_bit_for_bit() {
    let dir = Dir::new();
    let hub = Hub::start(dir.path(), &[]);
    let t = now_ms();
    let stale = f64::from_bits(nilometer_model::STALE_NAN_BITS);
    let payload = f64::from_bits(0x7ff8_dead_beef_0001);
    let sent = [(t, f64::INFINITY), (t + 1, -0.0), (t + 2, payload), (t + 3, stale)];
    assert_eq!(hub.push(&body(&[series(&[("__name__", "odd")], &sent)])).status, 204);
    // Equal in bits is a success again, an ordinary NaN in its place a conflict.
    assert_eq!(hub.push(&body(&[series(&[("__name__", "odd")], &sent)])).status, 204);
    assert_eq!(hub.push(&float("odd", t + 2, f64::NAN)).status, 409);
    assert_eq!(hub.push(&float("odd", t + 1, 0.0)).status, 409);
    let found = &matrix(hub.http, "odd[1m]", t + 3, "__name__")["odd"];
    assert_eq!(found.len(), 3, "the stale marker ends the series and is none of its samples: {found:?}");
    assert!(found[1].1.is_sign_negative() && found[2].1.is_nan());
}
