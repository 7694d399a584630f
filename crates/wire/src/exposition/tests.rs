use super::*;
use expect_test::expect;
use nilometer_model::Span;
use prost::Message as _;

fn float(labels: Vec<(&'static str, &'static str)>, v: f64) -> Metric<'static> {
    Metric { labels, t_ms: 1_700_000_000_123, value: MetricValue::Float(v) }
}

fn custom() -> FloatHistogram {
    FloatHistogram {
        schema: nilometer_model::histogram::CUSTOM_BUCKETS_SCHEMA,
        count: 7.5,
        sum: -2.0,
        positive_spans: vec![Span { offset: 0, length: 1 }, Span { offset: 1, length: 2 }],
        positive: vec![1.0, 2.5, 4.0],
        custom_values: vec![0.1, 1.0, 1e6],
        ..FloatHistogram::default()
    }
}

fn text(escaping: Escaping, name: &str, metrics: &[Metric<'_>]) -> String {
    let exposition = Exposition { format: Format::Text, escaping };
    let family = Family { name, kind: metrics[0].value.family_type() };
    let mut out = Vec::new();
    exposition.put(&mut out, family, true, metrics);
    exposition.put(&mut out, family, false, &metrics[..1]);
    String::from_utf8(out).unwrap()
}

#[test]
fn floats_as_text() {
    let metrics = [
        float(vec![("job", "a\"b\\c\nd"), ("instance", "")], 1.0),
        float(vec![], -0.0),
        float(vec![("a.b", "c")], f64::NAN),
        float(vec![], 1e6),
        float(vec![], 123_456.75),
        float(vec![], 1.25e-5),
        float(vec![], 0.0001),
        float(vec![], -1.5e300),
        float(vec![], f64::NEG_INFINITY),
    ];
    expect![[r#"
        # TYPE up untyped
        up{job="a\"b\\c\nd",instance=""} 1 1700000000123
        up 0 1700000000123
        up{"a.b"="c"} NaN 1700000000123
        up 1e+06 1700000000123
        up 123456.75 1700000000123
        up 1.25e-05 1700000000123
        up 0.0001 1700000000123
        up -1.5e+300 1700000000123
        up -Inf 1700000000123
        up{job="a\"b\\c\nd",instance=""} 1 1700000000123
    "#]]
    .assert_eq(&text(Escaping::AllowUtf8, "up", &metrics));
}

#[test]
fn names_as_scrapers_understand_them() {
    let metrics = [float(vec![("é.x_y", "c")], 1.0)];
    let all = [Escaping::AllowUtf8, Escaping::Underscores, Escaping::Dots, Escaping::Values];
    let shown = all.map(|escaping| text(escaping, "1a.b_c", &metrics)).concat();
    expect![[r#"
        # TYPE "1a.b_c" untyped
        {"1a.b_c","é.x_y"="c"} 1 1700000000123
        {"1a.b_c","é.x_y"="c"} 1 1700000000123
        # TYPE _a_b_c untyped
        _a_b_c{__x_y="c"} 1 1700000000123
        _a_b_c{__x_y="c"} 1 1700000000123
        # TYPE __a_dot_b__c untyped
        __a_dot_b__c{___dot_x__y="c"} 1 1700000000123
        __a_dot_b__c{___dot_x__y="c"} 1 1700000000123
        # TYPE U___31_a_2e_b__c untyped
        U___31_a_2e_b__c{U___e9__2e_x__y="c"} 1 1700000000123
        U___31_a_2e_b__c{U___e9__2e_x__y="c"} 1 1700000000123
    "#]]
    .assert_eq(&shown);
}

#[test]
fn custom_buckets_are_classic_ones() {
    let h = custom();
    let metric = Metric { labels: vec![("a", "b")], t_ms: -1, value: MetricValue::Histogram(&h) };
    expect![[r#"
        # TYPE h histogram
        h_bucket{a="b",le="0.1"} 1 -1
        h_bucket{a="b",le="1"} 1 -1
        h_bucket{a="b",le="1e+06"} 3.5 -1
        h_bucket{a="b",le="+Inf"} 7.5 -1
        h_sum{a="b"} -2 -1
        h_count{a="b"} 7.5 -1
    "#]]
    .assert_eq(
        &text(Escaping::Underscores, "h", &[metric])
            .lines()
            .take(7)
            .map(|line| format!("{line}\n"))
            .collect::<String>(),
    );
}

#[test]
fn what_scrapers_ask_for() {
    let chosen = [
        "",
        "*/*",
        "application/openmetrics-text;version=1.0.0,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3",
        "text/plain;version=0.0.4;escaping=dots",
        "text/plain; version=0.0.4; escaping=nonsense; q=x",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,text/plain;q=0.3;version=0.0.4",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;escaping=values;q=0.2,text/plain;q=0.3",
        "application/vnd.google.protobuf;proto=other;encoding=delimited",
        ";;,,=;q=",
    ]
    .map(|accept| Exposition::negotiate(accept).content_type());
    expect![[r#"
        text/plain; version=0.0.4; charset=utf-8; escaping=underscores
        text/plain; version=0.0.4; charset=utf-8; escaping=underscores
        text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8
        text/plain; version=0.0.4; charset=utf-8; escaping=dots
        text/plain; version=0.0.4; charset=utf-8; escaping=underscores
        application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=underscores
        text/plain; version=0.0.4; charset=utf-8; escaping=underscores
        text/plain; version=0.0.4; charset=utf-8; escaping=underscores
        text/plain; version=0.0.4; charset=utf-8; escaping=underscores"#]]
    .assert_eq(&chosen.join("\n"));
}

#[derive(Clone, PartialEq, prost::Message)]
struct MetricFamily {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(int32, optional, tag = "3")]
    kind: Option<i32>,
    #[prost(message, repeated, tag = "4")]
    metric: Vec<ProtoMetric>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ProtoMetric {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(message, optional, tag = "5")]
    untyped: Option<Untyped>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<ProtoHistogram>,
    #[prost(int64, optional, tag = "6")]
    timestamp_ms: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LabelPair {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    value: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Untyped {
    #[prost(double, optional, tag = "1")]
    value: Option<f64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ProtoHistogram {
    #[prost(double, optional, tag = "2")]
    sample_sum: Option<f64>,
    #[prost(double, optional, tag = "4")]
    sample_count_float: Option<f64>,
    #[prost(message, repeated, tag = "3")]
    bucket: Vec<Bucket>,
    #[prost(sint32, optional, tag = "5")]
    schema: Option<i32>,
    #[prost(double, optional, tag = "6")]
    zero_threshold: Option<f64>,
    #[prost(double, optional, tag = "8")]
    zero_count_float: Option<f64>,
    #[prost(message, repeated, tag = "9")]
    negative_span: Vec<BucketSpan>,
    #[prost(double, repeated, packed = "false", tag = "11")]
    negative_count: Vec<f64>,
    #[prost(message, repeated, tag = "12")]
    positive_span: Vec<BucketSpan>,
    #[prost(double, repeated, packed = "false", tag = "14")]
    positive_count: Vec<f64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Bucket {
    #[prost(double, optional, tag = "2")]
    upper_bound: Option<f64>,
    #[prost(double, optional, tag = "4")]
    cumulative_count_float: Option<f64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct BucketSpan {
    #[prost(sint32, optional, tag = "1")]
    offset: Option<i32>,
    #[prost(uint32, optional, tag = "2")]
    length: Option<u32>,
}

fn proto(metric: Metric<'_>) -> MetricFamily {
    let exposition = Exposition { format: Format::Protobuf, escaping: Escaping::Underscores };
    assert!(exposition.takes(metric.value));
    let family = Family { name: "a.b", kind: metric.value.family_type() };
    let mut out = Vec::new();
    exposition.put(&mut out, family, true, &[metric]);
    MetricFamily::decode_length_delimited(out.as_slice()).unwrap()
}

#[test]
fn floats_as_protobuf() {
    let family = proto(float(vec![("c.d", "")], 0.0));
    assert_eq!((family.name.as_deref(), family.kind), (Some("a_b"), Some(3)));
    let metric = &family.metric[0];
    assert_eq!(metric.label[0], LabelPair { name: Some("c_d".into()), value: Some(String::new()) });
    assert_eq!(metric.untyped.as_ref().and_then(|u| u.value), Some(0.0));
    assert_eq!(metric.timestamp_ms, Some(1_700_000_000_123));
}

#[test]
fn histograms_as_protobuf() {
    let mut h = FloatHistogram {
        schema: -1,
        zero_threshold: 0.5,
        zero_count: 1.0,
        count: 6.0,
        sum: 3.0,
        positive_spans: vec![Span { offset: -2, length: 2 }],
        positive: vec![1.0, 0.0],
        negative_spans: vec![Span { offset: 3, length: 1 }],
        negative: vec![4.0],
        ..FloatHistogram::default()
    };
    let of = |h: &FloatHistogram| {
        let family = proto(Metric { labels: vec![], t_ms: 5, value: MetricValue::Histogram(h) });
        (family.kind, family.metric[0].histogram.clone().unwrap())
    };
    let (kind, native) = of(&h);
    assert_eq!(kind, Some(4));
    let span = |offset, length| BucketSpan { offset: Some(offset), length: Some(length) };
    let want = ProtoHistogram {
        sample_sum: Some(3.0),
        sample_count_float: Some(6.0),
        bucket: vec![],
        schema: Some(-1),
        zero_threshold: Some(0.5),
        zero_count_float: Some(1.0),
        negative_span: vec![span(3, 1)],
        negative_count: vec![4.0],
        positive_span: vec![span(-2, 2)],
        positive_count: vec![1.0, 0.0],
    };
    assert_eq!(native, want);
    h.reset = CounterReset::Gauge;
    assert_eq!(of(&h).0, Some(5));
    let (_, classic) = of(&custom());
    let buckets: Vec<_> = classic.bucket.iter().map(|b| (b.upper_bound, b.cumulative_count_float)).collect();
    assert_eq!(buckets, [(Some(0.1), Some(1.0)), (Some(1.0), Some(1.0)), (Some(1e6), Some(3.5))]);
    assert_eq!((classic.schema, classic.sample_count_float), (None, Some(7.5)));
    let text = Exposition { format: Format::Text, escaping: Escaping::Underscores };
    assert!(!text.takes(MetricValue::Histogram(&h)) && text.takes(MetricValue::Histogram(&custom())));
}
