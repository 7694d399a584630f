//! Which labels make a key, and which are only walked.

use super::plain::pairs;
use crate::protobuf::Writer;
use crate::remote_write::encode::{self, SentSeries};
use crate::remote_write::{Defect, Identity, Limits, Message, Series, WriteRequest};

enum Is {
    Key,
    Loose,
}

fn sent(labels: &[(&str, &str)]) -> [SentSeries; 1] {
    let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    [SentSeries { labels, ..SentSeries::default() }]
}

fn check_series(message: Message, body: &[u8], labels: &[(&str, &str)], is: &Is) {
    let mut request = WriteRequest::default();
    request.read_plain(message, body, &Limits::default()).unwrap();
    let series = request.series().next().unwrap();
    let found: Vec<_> = pairs(series.labels());
    let wanted: Vec<_> = labels.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect();
    assert_eq!(found, wanted);
    let ok = matches!((series.identity(), is), (Identity::Key(_), Is::Key) | (Identity::Loose(_), Is::Loose));
    assert!(ok, "{message:?} {labels:?}");
}

fn check(labels: &[(&str, &str)], is: &Is) {
    check_series(Message::V1, &encode::v1(&sent(labels), &[]), labels, is);
    check_series(Message::V2, &encode::v2(&sent(labels)), labels, is);
}

#[test]
fn sorted_unique_and_filled_labels_make_a_key() {
    let long = "x".repeat(20_000);
    check(&[("__name__", "up")], &Is::Key);
    check(&[("__name__", "up"), ("a", "1"), ("b", "2")], &Is::Key);
    check(&[("aaaaaaaaX", "1"), ("aaaaaaaaY", "1")], &Is::Key);
    check(&[("aaaaaaaa", "1"), ("aaaaaaaaa", "1")], &Is::Key);
    check(&[("a", "1"), ("a\0", "1")], &Is::Key);
    check(&[("a", &long), ("b", "2"), (&long, "3")], &Is::Key);
    check(&[("z", "1"), ("é", "1")], &Is::Key);
}

#[test]
fn other_labels_are_loose() {
    check(&[], &Is::Loose);
    check(&[("b", "1"), ("a", "1")], &Is::Loose);
    check(&[("a", "1"), ("a", "1")], &Is::Loose);
    check(&[("aaaaaaaaa", "1"), ("aaaaaaaa", "1")], &Is::Loose);
    check(&[("aaaaaaaaY", "1"), ("aaaaaaaaX", "1")], &Is::Loose);
    check(&[("a\0", "1"), ("a", "1")], &Is::Loose);
    check(&[("a", ""), ("b", "1")], &Is::Loose);
    check(&[("a", "1"), ("b", "")], &Is::Loose);
    check(&[("", "")], &Is::Loose);
    check(&[("", "1"), ("a", "1")], &Is::Loose);
    check(&[("b", &"x".repeat(200)), ("a", "1")], &Is::Loose);
}

/// The same labels in forms that protobuf allows and nobody sends.
#[test]
fn unusual_forms_are_loose() {
    let a1 = [0x0a, 0x06, 0x0a, 0x01, b'a', 0x12, 0x01, b'1'];
    let b2 = [0x0a, 0x06, 0x0a, 0x01, b'b', 0x12, 0x01, b'2'];
    let sample = [0x12, 0x02, 0x10, 0x05];
    let overlong_len = [0x0a, 0x86, 0x00, 0x0a, 0x01, b'b', 0x12, 0x01, b'2'];
    let overlong_tag = [0x8a, 0x00, 0x06, 0x0a, 0x01, b'b', 0x12, 0x01, b'2'];
    let overlong_name = [0x0a, 0x07, 0x0a, 0x81, 0x00, b'b', 0x12, 0x01, b'2'];
    let value_first = [0x0a, 0x06, 0x12, 0x01, b'2', 0x0a, 0x01, b'b'];
    let name_twice = [0x0a, 0x09, 0x0a, 0x01, b'c', 0x0a, 0x01, b'b', 0x12, 0x01, b'2'];
    let more_fields = [0x0a, 0x08, 0x0a, 0x01, b'b', 0x12, 0x01, b'2', 0x18, 0x01];
    let ab = &[("a", "1"), ("b", "2")];
    let series = |pieces: &[&[u8]], labels: &[(&str, &str)], is: &Is| {
        let mut request = Writer::default();
        request.put_bytes(1, &pieces.concat());
        check_series(Message::V1, &request.into_bytes(), labels, is);
    };
    series(&[&a1, &b2], ab, &Is::Key);
    series(&[&sample, &a1, &b2, &sample], ab, &Is::Key);
    series(&[&a1, &sample, &b2], ab, &Is::Loose);
    series(&[&b2, &sample, &a1], &[("b", "2"), ("a", "1")], &Is::Loose);
    for form in [&overlong_len[..], &overlong_tag, &overlong_name, &value_first, &name_twice, &more_fields] {
        series(&[&a1, form], ab, &Is::Loose);
        series(&[&a1, form, &sample], ab, &Is::Loose);
    }
    series(&[&a1, &[0x0a, 0x00]], &[("a", "1"), ("", "")], &Is::Loose);
}

fn refs_request(symbols: &[&str], series: &[u8]) -> Vec<u8> {
    let mut request = Writer::default();
    symbols.iter().for_each(|s| request.put_bytes(4, s.as_bytes()));
    request.put_bytes(5, series);
    request.into_bytes()
}

#[test]
fn references_come_packed_or_not_and_before_their_symbols() {
    let symbols = ["", "a", "1", "b", "2"];
    let ab = &[("a", "1"), ("b", "2")];
    let check = |series: &[u8]| check_series(Message::V2, &refs_request(&symbols, series), ab, &Is::Key);
    check(&[0x0a, 4, 1, 2, 3, 4]);
    check(&[0x0a, 3, 1, 2, 3, 0x08, 4]);
    check(&[0x08, 1, 0x08, 2, 0x12, 2, 0x10, 5, 0x0a, 2, 3, 4]);
    check(&[0x0a, 5, 0x81, 0x00, 2, 3, 4]);

    let mut swapped = Writer::default();
    swapped.put_bytes(5, &[0x0a, 2, 1, 2]);
    ["", "a", "1"].iter().for_each(|s| swapped.put_bytes(4, s.as_bytes()));
    check_series(Message::V2, &swapped.into_bytes(), &[("a", "1")], &Is::Key);
}

/// Names are compared once for series that have the same ones. What was not in order must not count as seen.
#[test]
fn names_of_a_series_do_not_vouch_for_the_next() {
    // Symbols: 1 "b", 2 "a", 3 "c". Each list is a series' references; "x" stands for the value 4.
    let check = |lists: &[&[u8]]| {
        let mut body = Writer::default();
        ["", "b", "a", "c", "x"].iter().for_each(|s| body.put_bytes(4, s.as_bytes()));
        lists.iter().for_each(|list| body.nested(5, |m| m.put_bytes(1, list)));
        let mut request = WriteRequest::default();
        request.read_plain(Message::V2, &body.into_bytes(), &Limits::default()).unwrap();
        let letter = |series: Series<'_>| match series.identity() {
            Identity::Key(_) => 'k',
            Identity::Loose(_) => 'l',
            Identity::Refused(_) => 'r',
        };
        request.series().map(letter).collect::<String>()
    };
    assert_eq!(check(&[&[2, 4, 1, 4], &[2, 4, 1, 4], &[2, 4, 1, 4, 3, 4], &[2, 4], &[1, 4, 3, 4]]), "kkkkk");
    assert_eq!(check(&[&[1, 4, 2, 4], &[1, 4, 2, 4], &[1, 4, 3, 4]]), "llk");
    assert_eq!(check(&[&[1, 4, 2, 4, 9, 4], &[1, 4, 2, 4]]), "rl");
    assert_eq!(check(&[&[0, 4, 2, 4, 9, 4], &[0, 4, 2, 4]]), "rl");
    assert_eq!(check(&[&[2, 4, 2, 4, 1], &[2, 4, 2, 4]]), "rl");
    assert_eq!(
        check(&[&[2, 4, 1, 4, 3, 4], &[2, 4, 3, 4, 1, 4], &[2, 4, 1, 4, 3, 4], &[2, 4, 3, 4]]),
        "klkk"
    );
    assert_eq!(check(&[&[2, 0, 1, 4], &[2, 4, 1, 4], &[2, 4, 1, 0]]), "lkl");
}

fn refusal(series: &[u8], limits: &Limits) -> Defect {
    let mut request = WriteRequest::default();
    let good = [0x0a, 2, 1, 2];
    let mut body = refs_request(&["", "a", "1"], series);
    body.extend([0x2a, 4]);
    body.extend(good);
    request.read_plain(Message::V2, &body, limits).unwrap();
    let [bad, good] = request.series().collect::<Vec<_>>()[..] else { panic!("two series were sent") };
    assert!(matches!(good.identity(), Identity::Key(_)), "the other series suffers");
    assert_eq!(bad.labels().count(), 0);
    match bad.identity() {
        Identity::Refused(defect) => defect,
        _ => panic!("taken"),
    }
}

#[test]
fn bad_references_refuse_their_series_only() {
    let limits = Limits::default();
    assert_eq!(refusal(&[0x0a, 3, 1, 2, 1], &limits), Defect::OddRefs { count: 3 });
    assert_eq!(refusal(&[0x0a, 2, 1, 3], &limits), Defect::NoSuchSymbol { label_ref: 3, symbols: 3 });
    assert_eq!(refusal(&[0x0a, 2, 9, 1], &limits), Defect::NoSuchSymbol { label_ref: 9, symbols: 3 });
    // In its metadata.
    let metadata = [0x0a, 2, 1, 2, 0x2a, 2, 0x18, 7];
    assert_eq!(refusal(&metadata, &limits), Defect::NoSuchSymbol { label_ref: 7, symbols: 3 });
    assert_eq!(
        nilometer_model::Error::from(refusal(&metadata, &limits)).to_string(),
        "it refers to symbol 7, but the request has only 3 symbols"
    );
}

#[test]
fn too_many_or_too_long_labels_refuse_their_series_only() {
    let limits = Limits { max_labels_per_series: 2, max_label_bytes_per_series: 40, ..Limits::default() };
    assert_eq!(refusal(&[0x0a, 6, 1, 2, 1, 2, 1, 2], &limits), Defect::TooManyLabels { count: 3, max: 2 });

    let long = "x".repeat(40);
    for labels in [&[("a", long.as_str())][..], &[("b", &long), ("a", "1")], &[("a", "1"), ("b", &long)]] {
        for (message, body) in
            [(Message::V1, encode::v1(&sent(labels), &[])), (Message::V2, encode::v2(&sent(labels)))]
        {
            let mut request = WriteRequest::default();
            request.read_plain(message, &body, &limits).unwrap();
            let Identity::Refused(defect) = request.series().next().unwrap().identity() else {
                panic!("taken")
            };
            assert_eq!(defect, Defect::LabelsTooLong { max: 40 });
        }
    }
    let many = sent(&[("a", "1"), ("b", "1"), ("c", "1")]);
    let mut request = WriteRequest::default();
    request.read_plain(Message::V1, &encode::v1(&many, &[]), &limits).unwrap();
    let Identity::Refused(defect) = request.series().next().unwrap().identity() else { panic!("taken") };
    assert_eq!(
        nilometer_model::Error::from(defect).to_string(),
        "it has 3 labels; drop some by relabelling (limit max_labels_per_series = 2)"
    );
}
