//! Samples as they are sent, and as they are read back.

use super::http::{Headers, get};
use nilometer_env::{Clock, SystemClock};
use nilometer_wire::remote_write::FloatSample;
use nilometer_wire::remote_write::encode::{SentSeries, v1};
use nilometer_wire::snappy::compress;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Headers of a remote write 1.0 request.
pub(crate) const V1: Headers<'static> =
    &[("Content-Type", "application/x-protobuf"), ("Content-Encoding", "snappy")];

pub(crate) fn now_ms() -> i64 {
    SystemClock::default().wall_ms()
}

/// `labels` are sent as they stand here.
pub(crate) fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> SentSeries {
    SentSeries {
        labels: labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        samples: samples.iter().map(|&(t_ms, v)| FloatSample { t_ms, v, start_ms: 0 }).collect(),
        ..SentSeries::default()
    }
}

pub(crate) fn body(series: &[SentSeries]) -> Vec<u8> {
    compress(&v1(series, &[])).unwrap()
}

/// A body with one sample of one series.
pub(crate) fn float(name: &str, t_ms: i64, v: f64) -> Vec<u8> {
    body(&[series(&[("__name__", name)], &[(t_ms, v)])])
}

/// The answer's `data.result`.
pub(crate) fn query(http: SocketAddr, query: &str, t_ms: i64, headers: Headers<'_>) -> serde_json::Value {
    let path = format!("/api/v1/query?query={}&time={}", encoded(query), t_ms as f64 / 1_000.0);
    let reply = get(http, &path, headers);
    assert_eq!(reply.status, 200, "{}", reply.body);
    let mut answer: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    answer["data"]["result"].take()
}

/// All samples that a range selector finds: time to value, by the series' value of `by`.
pub(crate) fn matrix(
    http: SocketAddr,
    selector: &str,
    t_ms: i64,
    by: &str,
) -> BTreeMap<String, Vec<(i64, f64)>> {
    let mut found = BTreeMap::new();
    for series in query(http, selector, t_ms, &[]).as_array().unwrap() {
        let samples = series["values"].as_array().unwrap().iter().map(|pair| {
            let t_ms = (pair[0].as_f64().unwrap() * 1_000.0).round() as i64;
            (t_ms, pair[1].as_str().unwrap().parse().unwrap())
        });
        let key = series["metric"][by].as_str().unwrap_or_default().to_owned();
        assert!(found.insert(key, samples.collect()).is_none(), "two series of one name");
    }
    found
}

pub(crate) fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}
