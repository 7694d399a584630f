//! JSON as Prometheus writes it, byte for byte.
//!
//! Two of its habits are visible from outside: numbers of samples are texts in Go's shortest form, and texts
//! outside of samples are escaped for HTML (`<` as `\u003c`), those of a sample's labels are not.

use nilometer_model::number::{push_plain, scientific};
use nilometer_model::{FloatHistogram, Labels};

/// Whether `<`, `>`, `&` and the two line separators of JavaScript are escaped too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escape {
    Plain,
    Html,
}

/// The bytes that stand for themselves whatever is escaped.
const PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let mut byte = 0;
    while byte < 256 {
        plain[byte] = byte >= 0x20 && !matches!(byte as u8, b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2);
        byte += 1;
    }
    plain
};

/// A text in quotes.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &str, escape: Escape) {
    out.push(b'"');
    let bytes = text.as_bytes();
    // Nearly all have nothing special, which is quickly seen.
    if bytes.iter().fold(true, |plain, byte| plain & PLAIN[usize::from(*byte)]) {
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    let mut done = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let special = match byte {
            b'"' | b'\\' | 0..=0x1f => true,
            b'<' | b'>' | b'&' => escape == Escape::Html,
            // U+2028 and U+2029 are E2 80 A8 and E2 80 A9.
            0xe2 => escape == Escape::Html && matches!(bytes.get(at + 1..at + 3), Some([0x80, 0xa8 | 0xa9])),
            _ => false,
        };
        if special {
            out.extend_from_slice(&bytes[done..at]);
            done = at + push_escaped(out, &bytes[at..]);
        }
    }
    out.extend_from_slice(&bytes[done..]);
    out.push(b'"');
}

/// Escapes the character at the start of `rest`; returns its length.
fn push_escaped(out: &mut Vec<u8>, rest: &[u8]) -> usize {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match rest[0] {
        byte @ (b'"' | b'\\') => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        0xe2 => {
            out.extend_from_slice(if rest[2] == 0xa8 { b"\\u2028" } else { b"\\u2029" });
            return 3;
        }
        byte => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
    1
}

/// Seconds with as many of three decimals as there are.
pub(crate) fn push_time(out: &mut Vec<u8>, t_ms: i64) {
    let (seconds, ms) = (t_ms.unsigned_abs() / 1000, t_ms.unsigned_abs() % 1000);
    if t_ms < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(itoa::Buffer::new().format(seconds).as_bytes());
    if ms != 0 {
        let digit = |unit: u64| b'0' + (ms / unit % 10) as u8;
        out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
    }
}

/// The same without zeros at the end: how Prometheus writes the time of a scalar or string.
pub(crate) fn push_scalar_time(out: &mut Vec<u8>, t_ms: i64) {
    push_time(out, t_ms);
    if t_ms % 1000 != 0 {
        let zeros = out.iter().rev().take_while(|b| **b == b'0').count();
        out.truncate(out.len() - zeros);
    }
}

/// A sample's value in quotes: with an exponent below 1e-6 and from 1e21 on.
pub(crate) fn push_value(out: &mut Vec<u8>, v: f64) {
    out.push(b'"');
    let size = v.abs();
    if size != 0.0 && size.is_finite() && !(1e-6..1e21).contains(&size) {
        out.extend_from_slice(scientific(v).as_bytes());
    } else {
        push_plain(out, v);
    }
    out.push(b'"');
}

/// A scalar's value in quotes: never with an exponent.
pub(crate) fn push_scalar(out: &mut Vec<u8>, v: f64) {
    out.push(b'"');
    push_plain(out, v);
    out.push(b'"');
}

/// A number as such.
pub(crate) fn push_number(out: &mut Vec<u8>, v: f64) {
    debug_assert!(v.is_finite(), "{v} is no JSON");
    push_plain(out, v);
}

/// `[1435781451.781,"1"]`
pub(crate) fn push_point(out: &mut Vec<u8>, t_ms: i64, v: f64) {
    out.push(b'[');
    push_time(out, t_ms);
    out.push(b',');
    push_value(out, v);
    out.push(b']');
}

/// `[1435781451.781,{"count":…}]`
pub(crate) fn push_histogram_point(out: &mut Vec<u8>, t_ms: i64, h: &FloatHistogram) {
    out.push(b'[');
    push_time(out, t_ms);
    out.push(b',');
    push_histogram(out, h);
    out.push(b']');
}

/// `{"count":"3","sum":"1.5","buckets":[[3,"-0.25","0.25","3"]]}`, without empty buckets. A bucket's first
/// number tells which bounds are part of it: 0 the upper, 1 the lower, 2 none, 3 both.
fn push_histogram(out: &mut Vec<u8>, h: &FloatHistogram) {
    out.extend_from_slice(b"{\"count\":");
    push_value(out, h.count);
    out.extend_from_slice(b",\"sum\":");
    push_value(out, h.sum);
    let mut any = false;
    for bucket in h.all_buckets().filter(|b| b.count != 0.0) {
        out.extend_from_slice(if any { b"," } else { b",\"buckets\":[" });
        any = true;
        out.extend_from_slice(match (bucket.lower_inclusive, bucket.upper_inclusive) {
            (false, true) => b"[0,",
            (true, false) => b"[1,",
            (false, false) => b"[2,",
            (true, true) => b"[3,",
        });
        push_value(out, bucket.lower);
        out.push(b',');
        push_value(out, bucket.upper);
        out.push(b',');
        push_value(out, bucket.count);
        out.push(b']');
    }
    if any {
        out.push(b']');
    }
    out.push(b'}');
}

/// `{"__name__":"up","job":"a"}`
pub(crate) fn push_labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_text(out, name, Escape::Plain);
        out.push(b':');
        push_text(out, value, Escape::Plain);
    }
    out.push(b'}');
}

/// A list of texts.
pub(crate) fn push_texts(out: &mut Vec<u8>, texts: &[String]) {
    out.push(b'[');
    for (i, text) in texts.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_text(out, text, Escape::Html);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use nilometer_model::Span;
    use proptest::prelude::*;

    fn text(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_as_go_writes_them() {
        for (v, want) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (1e-6, "0.000001"),
            (9.99e-7, "9.99e-07"),
            (1e-7, "1e-07"),
            (5e-324, "5e-324"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (-1.234e100, "-1.234e+100"),
            (f64::MAX, "1.7976931348623157e+308"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(text(|out| push_value(out, v)), format!("\"{want}\""), "{v}");
        }
        assert_eq!(text(|out| push_scalar(out, 1e21)), "\"1000000000000000000000\"");
        assert_eq!(text(|out| push_scalar(out, 1e-7)), "\"0.0000001\"");
    }

    #[test]
    fn times_have_three_decimals_or_none() {
        for (t_ms, want) in [
            (0, "0"),
            (1, "0.001"),
            (10, "0.010"),
            (1_700_000_000_123, "1700000000.123"),
            (1_700_000_000_100, "1700000000.100"),
            (1000, "1"),
            (-1, "-0.001"),
            (-1500, "-1.500"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            assert_eq!(text(|out| push_time(out, t_ms)), want);
        }
        for (t_ms, want) in [(1000, "1"), (10_000, "10"), (100, "0.1"), (-1_010, "-1.01"), (0, "0")] {
            assert_eq!(text(|out| push_scalar_time(out, t_ms)), want);
        }
    }

    #[test]
    fn texts_are_escaped() {
        let odd = "a\"b\\c\n\r\t\u{8}\u{1f}\u{7f}<é>&\u{2028}\u{2029}\u{2027}";
        assert_eq!(
            text(|out| push_text(out, odd, Escape::Html)),
            "\"a\\\"b\\\\c\\n\\r\\t\\u0008\\u001f\u{7f}\\u003cé\\u003e\\u0026\\u2028\\u2029\u{2027}\""
        );
        assert_eq!(
            text(|out| push_text(out, odd, Escape::Plain)),
            "\"a\\\"b\\\\c\\n\\r\\t\\u0008\\u001f\u{7f}<é>&\u{2028}\u{2029}\u{2027}\""
        );
    }

    #[test]
    fn histograms_show_their_filled_buckets() {
        let span = |offset, length| Span { offset, length };
        let h = FloatHistogram {
            zero_threshold: 0.001,
            zero_count: 2.0,
            count: 10.0,
            sum: -1.5,
            positive_spans: vec![span(0, 3)],
            positive: vec![1.0, 0.0, 3.0],
            negative_spans: vec![span(1, 1)],
            negative: vec![4.0],
            ..FloatHistogram::default()
        };
        assert_eq!(
            text(|out| push_histogram_point(out, 1500, &h)),
            "[1.500,{\"count\":\"10\",\"sum\":\"-1.5\",\"buckets\":[[1,\"-2\",\"-1\",\"4\"],\
             [3,\"-0.001\",\"0.001\",\"2\"],[0,\"0.5\",\"1\",\"1\"],[0,\"2\",\"4\",\"3\"]]}]"
        );
        assert_eq!(
            text(|out| push_histogram(out, &FloatHistogram::default())),
            "{\"count\":\"0\",\"sum\":\"0\"}"
        );
    }

    proptest! {
        #[test]
        fn every_text_is_json(odd in ".*") {
            for escape in [Escape::Plain, Escape::Html] {
                let json = text(|out| push_text(out, &odd, escape));
                prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), odd.clone());
            }
        }

        #[test]
        fn every_value_reads_back(bits: u64) {
            let v = f64::from_bits(bits);
            let json = text(|out| push_value(out, v));
            let back: f64 = json.trim_matches('"').parse().unwrap();
            prop_assert!(back.to_bits() == bits || v.is_nan() && back.is_nan());
        }
    }
}
