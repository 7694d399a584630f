//! What refuses a whole request, what refuses one histogram or exemplar, and what is set right.

use crate::protobuf::Writer;
use crate::remote_write::encode::{self, SentSeries};
use crate::remote_write::{FloatSample, HistogramRef, Limits, Message, WriteRequest};
use crate::snappy;
use expect_test::{Expect, expect};
use nilometer_model::Kind;

fn error(message: Message, body: &[u8], limits: &Limits) -> String {
    let mut request = WriteRequest::default();
    let error = request.read_plain(message, body, limits).unwrap_err();
    assert_eq!((request.message(), request.series().len(), request.decompressed_bytes()), (None, 0, 0));
    error.to_string()
}

#[track_caller]
fn malformed(message: Message, body: &[u8], expected: &Expect) {
    let text = error(message, body, &Limits::default());
    let advice = "; check that the sender's Content-Type names the message that it sends";
    let text = text.strip_prefix("malformed protobuf: expected ").unwrap().strip_suffix(advice).unwrap();
    expected.assert_eq(text.strip_suffix(" of the decompressed body").unwrap());
}

#[test]
fn malformed_bytes_are_named_with_their_place() {
    use Message::{V1, V2};
    malformed(V1, &[0x0a], &expect!["a varint of at most 64 bits at byte 1"]);
    malformed(V1, &[0x0a, 0x05, 0x0a], &expect!["a length within its message at byte 1"]);
    malformed(V1, &[0x0a, 0x02, 0x0a, 0x05], &expect!["a length within its message at byte 3"]);
    malformed(V1, &[0x00], &expect!["a field number from 1 to 536870911 at byte 0"]);
    malformed(V1, &[0x50, 0xff, 0xff], &expect!["a varint of at most 64 bits at byte 1"]);
    malformed(V1, &[0x53, 0x54], &expect!["a field of wire type 0, 1, 2 or 5 at byte 1"]);
    malformed(
        V1,
        &[0x0a, 0x02, 0x08, 0x01],
        &expect!["another wire type for the field whose key ends here at byte 3"],
    );
    malformed(V1, &[0x08, 0x01], &expect!["another wire type for the field whose key ends here at byte 1"]);
    malformed(V1, &[0x18, 0x01], &expect!["another wire type for the field whose key ends here at byte 1"]);
    malformed(V1, &[0x0a, 0x05, 0x12, 0x03, 0x09, 0x01, 0x02], &expect!["8 bytes of a double at byte 5"]);
    malformed(
        V1,
        &[0x0a, 0x05, 0x0a, 0x03, 0x0a, 0x05, b'a'],
        &expect!["a length within its message at byte 5"],
    );
    malformed(V1, &[0x0a, 0x04, 0x1a, 0x02, 0x0a, 0x05], &expect!["a length within its message at byte 5"]);
    malformed(V1, &[0x0a, 0x04, 0x22, 0x02, 0x0a, 0x05], &expect!["a length within its message at byte 5"]);
    malformed(V2, &[0x22, 0x05, b'a'], &expect!["a length within its message at byte 1"]);
    malformed(
        V2,
        &[0x22, 0x00, 0x2a, 0x03, 0x0a, 0x01, 0x80],
        &expect!["a varint of at most 64 bits at byte 6"],
    );
    malformed(
        V2,
        &[0x22, 0x00, 0x2a, 0x06, 0x08, 0xff, 0xff, 0xff, 0xff, 0x1f],
        &expect!["a varint of at most 32 bits at byte 5"],
    );
    malformed(
        V2,
        &[0x22, 0x00, 0x2a, 0x04, 0x2a, 0x02, 0x1a, 0x00],
        &expect!["another wire type for the field whose key ends here at byte 7"],
    );
}

#[test]
fn unknown_fields_are_passed_over() {
    let mut request = WriteRequest::default();
    // 2: a varint, 6: 8 bytes, 7: a string, 8: 4 bytes.
    let unknown = [0x10, 0x96, 0x01, 0x31, 1, 2, 3, 4, 5, 6, 7, 8, 0x3a, 0x01, 0xff, 0x45, 1, 2, 3, 4];
    request.read_plain(Message::V1, &[&unknown[..], &[0x0a, 0x00]].concat(), &Limits::default()).unwrap();
    assert_eq!(request.series().len(), 1);
    request.read_plain(Message::V2, &[&unknown[2 + 1..], &[]].concat(), &Limits::default()).unwrap();
}

#[test]
fn an_empty_request_is_one() {
    let mut request = WriteRequest::default();
    for message in [Message::V1, Message::V2] {
        request.read(message, &snappy::compress(b"").unwrap(), &Limits::default()).unwrap();
        assert_eq!((request.message(), request.series().len()), (Some(message), 0));
    }
}

#[test]
fn the_other_message_is_not_taken_for_an_empty_one() {
    let series = [SentSeries { labels: vec![("a".into(), "1".into())], ..SentSeries::default() }];
    for (message, body, looks_like, content_type) in [
        (Message::V1, encode::v2(&series), "io.prometheus.write.v2.Request", Message::V2.content_type()),
        (Message::V2, encode::v1(&series, &[]), "prometheus.WriteRequest", "application/x-protobuf"),
    ] {
        let text = error(message, &body, &Limits::default());
        assert!(text.contains(&format!("it looks like {looks_like}; ")), "{text}");
        assert!(text.ends_with(&format!("Content-Type: {content_type}")), "{text}");
    }
}

#[test]
fn symbols_begin_with_the_empty_one() {
    let text = "the first symbol of a remote write 2.0 request must be the empty string";
    assert_eq!(error(Message::V2, &[0x22, 0x01, b'a', 0x2a, 0x00], &Limits::default()), text);
    assert_eq!(error(Message::V2, &[0x2a, 0x00], &Limits::default()), text);
}

#[test]
fn every_limit_is_named() {
    let one = SentSeries {
        labels: vec![("b".into(), "1".into()), ("a".into(), "1".into())],
        samples: vec![FloatSample { t_ms: 1, v: 1.0, start_ms: 0 }],
        ..SentSeries::default()
    };
    let v1 = encode::v1(
        &[one.clone(), one.clone()],
        &[("a".into(), <_>::default()), ("b".into(), <_>::default())],
    );
    let v2 = encode::v2(&[one.clone(), one]);
    let rows = |column: u8| [[0x0a, 4, column, 0, column, 0].as_slice(), &[]].concat();
    let all = Limits::default();
    let mut texts = String::new();
    for (message, body, limits) in [
        (Message::V1, &v1, Limits { max_decompressed_bytes: 10, ..all }),
        (Message::V1, &v1, Limits { max_series: 1, ..all }),
        (Message::V2, &v2, Limits { max_series: 1, ..all }),
        (Message::V1, &v1, Limits { max_samples: 1, ..all }),
        (Message::V2, &v2, Limits { max_samples: 1, ..all }),
        (Message::V1, &rows(0x22), Limits { max_histograms: 1, ..all }),
        (Message::V1, &rows(0x1a), Limits { max_exemplars: 1, ..all }),
        (Message::V1, &v1, Limits { max_metadata: 1, ..all }),
        (Message::V2, &v2, Limits { max_symbols: 3, ..all }),
        (Message::V1, &v1, Limits { max_label_bytes: 20, ..all }),
        (Message::V2, &v2, Limits { max_label_bytes: 20, ..all }),
    ] {
        let mut request = WriteRequest::default();
        let error = request.read_plain(message, body, &limits).unwrap_err();
        assert!(matches!(error.kind(), Kind::Limit { .. }));
        texts += &format!("{error}\n");
    }
    expect![[r#"
        the body has 72 bytes; send fewer samples per request (limit max_decompressed_bytes = 10)
        too many series in one request; send fewer at a time (limit max_series = 1)
        too many series in one request; send fewer at a time (limit max_series = 1)
        too many samples in one request; send fewer at a time (limit max_samples = 1)
        too many samples in one request; send fewer at a time (limit max_samples = 1)
        too many histograms in one request; send fewer at a time (limit max_histograms = 1)
        too many exemplars in one request; send fewer at a time (limit max_exemplars = 1)
        too many metadata in one request; send fewer at a time (limit max_metadata = 1)
        too many symbols in one request; send fewer at a time (limit max_symbols = 3)
        too many label bytes in one request; send fewer at a time (limit max_label_bytes = 20)
        too many label bytes in one request; send fewer at a time (limit max_label_bytes = 20)
    "#]]
    .assert_eq(&texts);
}

/// The histograms of one series, each given as the bytes of its message.
fn histograms(messages: &[&[u8]], limits: &Limits) -> Vec<String> {
    let mut request = WriteRequest::default();
    let mut series = Writer::default();
    messages.iter().for_each(|m| series.put_bytes(4, m));
    let mut body = Writer::default();
    body.put_bytes(1, &series.into_bytes());
    request.read_plain(Message::V1, &body.into_bytes(), limits).unwrap();
    let text = |h: HistogramRef<'_>| h.decode().map_or_else(|e| format!("{e}"), |v| format!("{v:?}"));
    request.series().next().unwrap().histograms().map(text).collect()
}

#[test]
fn a_bad_histogram_is_refused_alone() {
    let one = 1.0f64.to_le_bytes();
    let float = |tag: u8| [&[tag][..], &one].concat();
    let limits = Limits { max_buckets_per_histogram: 3, ..Limits::default() };
    let texts = histograms(
        &[
            &[0x08, 5, 0x62, 2, 2, 2],
            &[0x08, 5, 0x60, 2, 0x60, 1],
            &[&[0x08, 5][..], &float(0x11)].concat(),
            &[&[0x08, 5][..], &float(0x69)].concat(),
            &float(0x69),
            &[0x08, 5, 0x62, 1, 1],
            &[
                0x62, 20, 0xfe, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0xfe, 255, 255, 255, 255, 255,
                255, 255, 255, 1,
            ],
            &[
                0x62, 22, 0xfe, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0xfe, 255, 255, 255, 255, 255,
                255, 255, 255, 1, 2, 2,
            ],
            &[0x62, 4, 2, 2, 2, 2],
            &[0x62, 2, 2, 2, 0x4a, 2, 2, 2],
            &[0x5a, 1, 0x08],
            &[0x62, 1, 0x80],
            &[0x65, 1, 2, 3, 4],
            &[0x20, 0xff, 0xff, 0xff, 0xff, 0x1f],
            &[0x70, 9, 0x78, 7],
        ],
        &limits,
    );
    expect![[r#"
        Int(Histogram { reset: Unknown, schema: 0, zero_threshold: 0.0, zero_count: 0, count: 5, sum: 0.0, positive_spans: [], negative_spans: [], positive: [1, 2], negative: [], custom_values: [] })
        Int(Histogram { reset: Unknown, schema: 0, zero_threshold: 0.0, zero_count: 0, count: 5, sum: 0.0, positive_spans: [], negative_spans: [], positive: [1, 0], negative: [], custom_values: [] })
        the histogram mixes integer and float counts; send one kind
        the histogram mixes integer and float counts; send one kind
        the histogram has float buckets but no float count; send count_float
        a bucket of the histogram is below 0 or over 64 bits: its deltas do not add up
        Int(Histogram { reset: Unknown, schema: 0, zero_threshold: 0.0, zero_count: 0, count: 0, sum: 0.0, positive_spans: [], negative_spans: [], positive: [9223372036854775807, 18446744073709551614], negative: [], custom_values: [] })
        a bucket of the histogram is below 0 or over 64 bits: its deltas do not add up
        the histogram has too many buckets, spans or bounds; lower its resolution (limit max_buckets_per_histogram = 3)
        the histogram has too many buckets, spans or bounds; lower its resolution (limit max_buckets_per_histogram = 3)
        malformed protobuf: expected a varint of at most 64 bits at byte 136 of the decompressed body; check that the sender's Content-Type names the message that it sends
        malformed protobuf: expected a varint of at most 64 bits at byte 140 of the decompressed body; check that the sender's Content-Type names the message that it sends
        malformed protobuf: expected numbers, packed or one by one at byte 144 of the decompressed body; check that the sender's Content-Type names the message that it sends
        malformed protobuf: expected a varint of at most 32 bits at byte 151 of the decompressed body; check that the sender's Content-Type names the message that it sends
        Int(Histogram { reset: Unknown, schema: 0, zero_threshold: 0.0, zero_count: 0, count: 0, sum: 0.0, positive_spans: [], negative_spans: [], positive: [], negative: [], custom_values: [] })
    "#]].assert_eq(&(texts.join("\n") + "\n"));
}

#[test]
fn starts_of_older_drafts_reach_the_samples_that_have_none() {
    // Before 2.0-rc.4 a series had one start, its field 6.
    let mut series = Writer::default();
    series.int64(6, 77);
    series.nested(2, |m| m.int64(2, 100));
    series.nested(2, |m| {
        m.int64(2, 101);
        m.int64(3, 88);
    });
    series.nested(3, |m| m.int64(15, 102));
    let mut body = Writer::default();
    body.put_bytes(4, b"");
    body.nested(5, |m| m.nested(2, |m| m.int64(2, 99)));
    body.put_bytes(5, &series.into_bytes());
    let mut request = WriteRequest::default();
    request.read_plain(Message::V2, &body.into_bytes(), &Limits::default()).unwrap();
    let starts: Vec<Vec<(i64, i64)>> = request
        .series()
        .map(|s| {
            let samples = s.samples().iter().map(|s| (s.t_ms, s.start_ms));
            samples.chain(s.histograms().map(|h| (h.t_ms, h.start_ms))).collect()
        })
        .collect();
    assert_eq!(starts, [vec![(99, 0)], vec![(100, 77), (101, 88), (102, 77)]]);
}

#[test]
fn a_bad_exemplar_is_refused_alone() {
    let mut body = Writer::default();
    ["", "a", "1"].iter().for_each(|s| body.put_bytes(4, s.as_bytes()));
    body.nested(5, |series| {
        series.packed_varints(1, [1, 2].into_iter());
        series.nested(4, |e| e.packed_varints(1, [1, 5].into_iter()));
        series.nested(4, |e| e.packed_varints(1, [1].into_iter()));
        series.nested(4, |e| e.packed_varints(1, [1, 2].into_iter()));
    });
    let mut request = WriteRequest::default();
    request.read_plain(Message::V2, &body.into_bytes(), &Limits::default()).unwrap();
    let series = request.series().next().unwrap();
    let found: Vec<_> = series
        .exemplars()
        .map(|e| e.labels.map_or_else(|d| d.to_string(), |l| l.count().to_string()))
        .collect();
    expect![[r#"
        it refers to symbol 5, but the request has only 3 symbols
        it has 1 references to symbols, but labels are pairs of a name and a value
        1"#]]
    .assert_eq(&found.join("\n"));
}

#[test]
fn one_huge_request_is_not_remembered() {
    let series = vec![
        SentSeries {
            labels: vec![("b".into(), "x".repeat(300)), ("a".into(), "1".into())],
            samples: vec![FloatSample::default(); 3],
            ..SentSeries::default()
        };
        100_000
    ];
    let mut request = WriteRequest::default();
    request.read_plain(Message::V1, &encode::v1(&series, &[]), &Limits::default()).unwrap();
    assert!(request.allocated_bytes() > 60 << 20);
    request.clear();
    assert!(request.allocated_bytes() < 20 << 20, "{} bytes stay", request.allocated_bytes());
    assert_eq!(request.series().len(), 0);
}
