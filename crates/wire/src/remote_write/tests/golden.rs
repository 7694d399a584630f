//! What real Prometheus servers sent: see `testdata/README.md`.

use super::differential::naive_key;
use super::oracle;
use super::plain::{PlainMetadata, pairs, plain};
use crate::remote_write::{FloatSample, Identity, Limits, Message, Series, WriteRequest};
use crate::snappy;
use expect_test::{Expect, expect};
use std::fmt::Write;

fn read(name: &str) -> Vec<u8> {
    let path = format!("{}/testdata/{name}.bin", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Names, messages and decompressed bodies.
pub(super) fn bodies() -> Vec<(&'static str, Message, Vec<u8>)> {
    let v1 = ["v1-app", "v1-stale", "v1-metadata", "v1-self"].map(|name| (name, Message::V1));
    let v2 = ["v2-app", "v2-stale", "v2-self", "v2-typed"].map(|name| (name, Message::V2));
    let load = |(name, message)| {
        let mut plain = snappy::Buffer::default();
        snappy::decompress(&read(name), 1 << 20, &mut plain).unwrap();
        (name, message, plain.as_slice().to_vec())
    };
    v1.into_iter().chain(v2).map(load).collect()
}

#[test]
fn read_as_prost_reads_them_and_every_series_has_a_key() {
    let limits = Limits::default();
    let mut request = WriteRequest::default();
    for (name, message, bytes) in bodies() {
        request.read(message, &read(name), &limits).unwrap();
        assert_eq!(Some(plain(&request)), oracle::read(message, &bytes), "{name}");
        for series in request.series() {
            let Identity::Key(key) = series.identity() else { panic!("{name}: {}", line(&series)) };
            assert_eq!(Some(key), naive_key(&pairs(series.labels())).as_deref());
        }
    }
}

/// One line as a person would note it.
fn line(series: &Series<'_>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut out = String::new();
    for (name, value) in
        series.labels().filter(|(n, _)| ![&b"cluster"[..], b"replica", b"job", b"instance"].contains(n))
    {
        let _ = write!(out, "{}={:?} ", text(name), text(value));
    }
    for FloatSample { t_ms, v, start_ms } in series.samples() {
        // Ports and times differ from capture to capture, but not where they are.
        let since = if *start_ms == 0 { String::new() } else { format!(" since {}", t_ms - start_ms) };
        let _ = write!(out, "| {v} {:x}{since} ", v.to_bits() >> 48);
    }
    for h in series.histograms() {
        let since = if h.start_ms == 0 { String::new() } else { format!(" since {}", h.t_ms - h.start_ms) };
        let _ = write!(out, "| {:?}{since} ", h.decode().unwrap());
    }
    for e in series.exemplars() {
        let labels: Vec<_> = e.labels.unwrap().map(|(n, v)| format!("{}={}", text(n), text(v))).collect();
        let _ = write!(out, "| # {} {}", labels.join(","), e.v);
    }
    if let Some(m) = series.metadata() {
        let _ = write!(out, "| {} {:?} {:?}", m.kind.as_str(), text(m.help), text(m.unit));
    }
    out
}

fn check(name: &str, message: Message, expected: &Expect) {
    let limits = Limits::default();
    let mut request = WriteRequest::default();
    request.read(message, &read(name), &limits).unwrap();
    let lines: String = request.series().map(|s| line(&s) + "\n").collect();
    expected.assert_eq(&lines);
}

#[test]
fn version_1() {
    check(
        "v1-stale",
        Message::V1,
        &expect![[r#"
        __name__="app_requests_total" method="GET" | 4 4010 
        __name__="app_requests_total" method="POST" | 8 4020 
        __name__="app_requests_total" method="PUT" | 12 4028 
        __name__="app_temperature_celsius" room="küche" zone="eu" | -21.25 c035 
        __name__="app_temperature_celsius" room="nan" | NaN 7ff8 
        __name__="app_temperature_celsius" room="inf" | inf 7ff0 
        __name__="app_classic_seconds_count" path="/b" | 20 4034 
        __name__="app_classic_seconds_sum" path="/b" | 36 4042 
        __name__="app_classic_seconds_bucket" le="0.1" path="/b" | 4 4010 
        __name__="app_classic_seconds_bucket" le="1.0" path="/b" | 16 4030 
        __name__="app_classic_seconds_bucket" le="10.0" path="/b" | 16 4030 
        __name__="app_classic_seconds_bucket" le="+Inf" path="/b" | 20 4034 
        __name__="app_fleeting" | NaN 7ff0 
        __name__="up" | 1 3ff0 
        __name__="scrape_duration_seconds" | 0.002280028 3f62 
        __name__="scrape_samples_scraped" | 15 402e 
        __name__="scrape_samples_post_metric_relabeling" | 15 402e 
        __name__="scrape_series_added" | 0 0 
        __name__="app_requests_total" method="GET" | # span_id=0f0e0d0c,trace_id=ab000004 1.5
        __name__="app_requests_total" method="POST" | # span_id=0f0e0d0c,trace_id=ab010004 1.5
        __name__="app_requests_total" method="PUT" | # span_id=0f0e0d0c,trace_id=ab020004 1.5
        __name__="app_latency_seconds" path="/a" | Int(Histogram { reset: Unknown, schema: 1, zero_threshold: 0.001, zero_count: 8, count: 52, sum: 74.0, positive_spans: [Span { offset: 0, length: 2 }, Span { offset: 1, length: 2 }], negative_spans: [Span { offset: 0, length: 1 }], positive: [4, 8, 4, 24], negative: [4], custom_values: [] }) 
        __name__="app_queue" | Int(Histogram { reset: Gauge, schema: 1, zero_threshold: 0.001, zero_count: 8, count: 52, sum: 74.0, positive_spans: [Span { offset: 0, length: 2 }, Span { offset: 1, length: 2 }], negative_spans: [Span { offset: 0, length: 1 }], positive: [4, 8, 4, 24], negative: [4], custom_values: [] }) 
        __name__="app_share" | FloatHistogram(Histogram { reset: Unknown, schema: 0, zero_threshold: 1e-128, zero_count: 1.5, count: 30.0, sum: 3.25, positive_spans: [Span { offset: -2, length: 2 }], negative_spans: [], positive: [2.5, 3.5], negative: [], custom_values: [] }) 
    "#]],
    );
}

#[test]
fn version_2() {
    check(
        "v2-stale",
        Message::V2,
        &expect![[r#"
        __name__="app_requests_total" method="GET" | 4 4010 since 8371 
        __name__="app_requests_total" method="POST" | 8 4020 since 8371 
        __name__="app_requests_total" method="PUT" | 12 4028 since 8371 
        __name__="app_temperature_celsius" room="küche" zone="eu" | -21.25 c035 
        __name__="app_temperature_celsius" room="nan" | NaN 7ff8 
        __name__="app_temperature_celsius" room="inf" | inf 7ff0 
        __name__="app_classic_seconds_count" path="/b" | 20 4034 since 8371 
        __name__="app_classic_seconds_sum" path="/b" | 36 4042 since 8371 
        __name__="app_classic_seconds_bucket" le="0.1" path="/b" | 4 4010 since 8371 
        __name__="app_classic_seconds_bucket" le="1.0" path="/b" | 16 4030 since 8371 
        __name__="app_classic_seconds_bucket" le="10.0" path="/b" | 16 4030 since 8371 
        __name__="app_classic_seconds_bucket" le="+Inf" path="/b" | 20 4034 since 8371 
        __name__="app_fleeting" | NaN 7ff0 
        __name__="up" | 1 3ff0 
        __name__="scrape_duration_seconds" | 0.002105459 3f61 
        __name__="scrape_samples_scraped" | 16 4030 
        __name__="scrape_samples_post_metric_relabeling" | 16 4030 
        __name__="scrape_series_added" | 0 0 
        __name__="app_latency_seconds" path="/a" | Int(Histogram { reset: Unknown, schema: 1, zero_threshold: 0.001, zero_count: 8, count: 52, sum: 74.0, positive_spans: [Span { offset: 0, length: 2 }, Span { offset: 1, length: 2 }], negative_spans: [Span { offset: 0, length: 1 }], positive: [4, 8, 4, 24], negative: [4], custom_values: [] }) 
        __name__="app_queue" | Int(Histogram { reset: Gauge, schema: 1, zero_threshold: 0.001, zero_count: 8, count: 52, sum: 74.0, positive_spans: [Span { offset: 0, length: 2 }, Span { offset: 1, length: 2 }], negative_spans: [Span { offset: 0, length: 1 }], positive: [4, 8, 4, 24], negative: [4], custom_values: [] }) 
        __name__="app_classic_seconds" path="/b" | Int(Histogram { reset: Unknown, schema: -53, zero_threshold: 0.0, zero_count: 0, count: 20, sum: 36.0, positive_spans: [Span { offset: 0, length: 4 }], negative_spans: [], positive: [4, 12, 0, 4], negative: [], custom_values: [0.1, 1.0, 10.0] }) 
        __name__="app_share" | FloatHistogram(Histogram { reset: Unknown, schema: 0, zero_threshold: 1e-128, zero_count: 1.5, count: 30.0, sum: 3.25, positive_spans: [Span { offset: -2, length: 2 }], negative_spans: [], positive: [2.5, 3.5], negative: [], custom_values: [] }) 
        __name__="app_requests_total" method="GET" | # span_id=0f0e0d0c,trace_id=ab000004 1.5
        __name__="app_requests_total" method="POST" | # span_id=0f0e0d0c,trace_id=ab010004 1.5
        __name__="app_requests_total" method="PUT" | # span_id=0f0e0d0c,trace_id=ab020004 1.5
        __name__="app_latency_seconds" path="/a" | # span_id=0f0e0d0c,trace_id=cd0004 0.7
        __name__="app_queue" | # span_id=0f0e0d0c,trace_id=cd0004 0.7
    "#]],
    );
}

#[test]
fn version_2_with_metadata() {
    check(
        "v2-typed",
        Message::V2,
        &expect![[r#"
        __name__="app_requests_total" __type__="counter" method="GET" | 11 4026 | counter "" ""
        __name__="app_requests_total" __type__="counter" method="POST" | 22 4036 | counter "" ""
        __name__="app_requests_total" __type__="counter" method="PUT" | 33 4040 | counter "" ""
        __name__="app_temperature_celsius" __type__="gauge" __unit__="celsius" room="küche" zone="eu" | -21.25 c035 | gauge "" "celsius"
        __name__="app_temperature_celsius" __type__="gauge" __unit__="celsius" room="nan" | NaN 7ff8 | gauge "" "celsius"
        __name__="app_temperature_celsius" __type__="gauge" __unit__="celsius" room="inf" | inf 7ff0 | gauge "" "celsius"
        __name__="app_classic_seconds_count" __type__="histogram" path="/b" | 55 404b | histogram "" ""
        __name__="app_classic_seconds_sum" __type__="histogram" path="/b" | 99 4058 | histogram "" ""
        __name__="app_classic_seconds_bucket" __type__="histogram" le="0.1" path="/b" | 11 4026 | histogram "" ""
        __name__="app_classic_seconds_bucket" __type__="histogram" le="1.0" path="/b" | 44 4046 | histogram "" ""
        __name__="app_classic_seconds_bucket" __type__="histogram" le="10.0" path="/b" | 44 4046 | histogram "" ""
        __name__="app_classic_seconds_bucket" __type__="histogram" le="+Inf" path="/b" | 55 404b | histogram "" ""
        __name__="up" | 1 3ff0 
        __name__="scrape_duration_seconds" | 0.002021185 3f60 
        __name__="scrape_samples_scraped" | 16 4030 
        __name__="scrape_samples_post_metric_relabeling" | 16 4030 
        __name__="scrape_series_added" | 0 0 
        __name__="app_latency_seconds" __type__="histogram" path="/a" | Int(Histogram { reset: Unknown, schema: 1, zero_threshold: 0.001, zero_count: 22, count: 143, sum: 203.5, positive_spans: [Span { offset: 0, length: 2 }, Span { offset: 1, length: 2 }], negative_spans: [Span { offset: 0, length: 1 }], positive: [11, 22, 11, 66], negative: [11], custom_values: [] }) | histogram "" ""
        __name__="app_queue" __type__="gaugehistogram" | Int(Histogram { reset: Gauge, schema: 1, zero_threshold: 0.001, zero_count: 22, count: 143, sum: 203.5, positive_spans: [Span { offset: 0, length: 2 }, Span { offset: 1, length: 2 }], negative_spans: [Span { offset: 0, length: 1 }], positive: [11, 22, 11, 66], negative: [11], custom_values: [] }) | gaugehistogram "" ""
        __name__="app_classic_seconds" __type__="histogram" path="/b" | Int(Histogram { reset: Unknown, schema: -53, zero_threshold: 0.0, zero_count: 0, count: 55, sum: 99.0, positive_spans: [Span { offset: 0, length: 4 }], negative_spans: [], positive: [11, 33, 0, 11], negative: [], custom_values: [0.1, 1.0, 10.0] }) | histogram "" ""
        __name__="app_share" __type__="histogram" | FloatHistogram(Histogram { reset: Unknown, schema: 0, zero_threshold: 1e-128, zero_count: 1.5, count: 82.5, sum: 3.25, positive_spans: [Span { offset: -2, length: 2 }], negative_spans: [], positive: [2.5, 3.5], negative: [], custom_values: [] }) | histogram "" ""
        __name__="app_requests_total" __type__="counter" method="GET" | # span_id=0f0e0d0c,trace_id=ab000011 1.5| counter "" ""
        __name__="app_requests_total" __type__="counter" method="POST" | # span_id=0f0e0d0c,trace_id=ab010011 1.5| counter "" ""
        __name__="app_requests_total" __type__="counter" method="PUT" | # span_id=0f0e0d0c,trace_id=ab020011 1.5| counter "" ""
        __name__="app_latency_seconds" __type__="histogram" path="/a" | # span_id=0f0e0d0c,trace_id=cd0011 0.7| histogram "" ""
        __name__="app_queue" __type__="gaugehistogram" | # span_id=0f0e0d0c,trace_id=cd0011 0.7| gaugehistogram "" ""
    "#]],
    );
}

#[test]
fn metadata_of_version_1() {
    let limits = Limits::default();
    let mut request = WriteRequest::default();
    request.read(Message::V1, &read("v1-metadata"), &limits).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let line = |m: PlainMetadata| {
        format!("{} {} {:?} {:?}\n", text(&m.family), m.kind.as_str(), text(&m.help), text(&m.unit))
    };
    let mut lines: Vec<String> = plain(&request).families.into_iter().map(line).collect();
    lines.sort();
    expect![[r#"
        app_classic_seconds histogram "A classic histogram." ""
        app_fleeting gauge "Soon gone." ""
        app_latency_seconds histogram "Latency." ""
        app_queue gaugehistogram "A gauge histogram." ""
        app_requests_total counter "Requests by method." ""
        app_share histogram "A float histogram." ""
        app_temperature_celsius gauge "Wärme." ""
    "#]]
    .assert_eq(&lines.concat());
}

#[test]
fn a_whole_scrape() {
    let mut request = WriteRequest::default();
    let mut counts = String::new();
    for (name, message, _) in bodies() {
        request.read(message, &read(name), &Limits::default()).unwrap();
        let (series, families) = (request.series().len(), request.families().count());
        let (samples, histograms, exemplars) =
            (request.sample_count(), request.histogram_count(), request.exemplar_count());
        let with_metadata = request.series().filter(|s| s.metadata().is_some()).count();
        let _ = writeln!(
            counts,
            "{name}: {series} series, {samples} samples, {histograms} histograms, {exemplars} exemplars, \
             metadata of {with_metadata} series, {families} families"
        );
    }
    expect![[r#"
        v1-app: 24 series, 18 samples, 3 histograms, 3 exemplars, metadata of 0 series, 0 families
        v1-stale: 24 series, 18 samples, 3 histograms, 3 exemplars, metadata of 0 series, 0 families
        v1-metadata: 0 series, 0 samples, 0 histograms, 0 exemplars, metadata of 0 series, 7 families
        v1-self: 447 series, 441 samples, 3 histograms, 3 exemplars, metadata of 0 series, 0 families
        v2-app: 26 series, 17 samples, 4 histograms, 5 exemplars, metadata of 0 series, 0 families
        v2-stale: 27 series, 18 samples, 4 histograms, 5 exemplars, metadata of 0 series, 0 families
        v2-self: 500 series, 491 samples, 4 histograms, 5 exemplars, metadata of 0 series, 0 families
        v2-typed: 26 series, 17 samples, 4 histograms, 5 exemplars, metadata of 21 series, 0 families
    "#]]
    .assert_eq(&counts);
}
