//! Garbage, from a fixed seed: no panic, and no more memory than the limits allow.

use crate::fuzz;
use crate::protobuf::Writer;
use crate::remote_write::{Limits, Message, RETAINED_BYTES, WriteRequest};
use crate::snappy;
use nilometer_model::Kind;

/// Marsaglia's xorshift, enough to make garbage.
struct XorShift(u64);

impl XorShift {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Both messages and both limits.
fn try_all(body: &[u8]) {
    for first in [0, 1, 4, 5] {
        fuzz::remote_write(&[&[first], body].concat());
    }
}

#[test]
fn random_bytes() {
    let mut random = XorShift(0x9e37_79b9_7f4a_7c15);
    for _ in 0..20_000 {
        let len = random.below(200);
        // Mostly bytes that mean something: field keys and short lengths.
        let body: Vec<u8> = (0..len)
            .map(|_| match random.below(4) {
                0 => random.next() as u8,
                1 => random.below(20) as u8,
                _ => [0x0a, 0x12, 0x1a, 0x22, 0x2a, 0x09, 0x10, 0x18, 0x42, 0x4a, 0x52][random.below(11)],
            })
            .collect();
        try_all(&body);
    }
}

#[test]
fn mutated_requests() {
    let mut random = XorShift(0x2545_f491_4f6c_dd1d);
    let seeds: Vec<Vec<u8>> = super::golden::bodies().into_iter().map(|(_, _, plain)| plain).collect();
    let small: Vec<&[u8]> = seeds.iter().map(|s| &s[..s.len().min(3_000)]).collect();
    for _ in 0..4_000 {
        let mut body = small[random.below(small.len())].to_vec();
        for _ in 0..1 + random.below(4) {
            let at = random.below(body.len());
            body[at] = random.next() as u8;
        }
        try_all(&body);
        if let Ok(mut compressed) = snappy::compress(&body) {
            let at = random.below(compressed.len());
            compressed[at] ^= 1 << random.below(8);
            fuzz::remote_write(&[&[2 + 4 * (at as u8 & 1)], &compressed[..]].concat());
        }
    }
}

/// A symbol of 60 kB, named by thousands of series of six bytes.
#[test]
fn references_cannot_be_blown_up() {
    let mut body = Writer::default();
    ["", "a", &"x".repeat(60_000)].iter().for_each(|s| body.put_bytes(4, s.as_bytes()));
    (0..100_000).for_each(|_| body.put_bytes(5, &[0x0a, 2, 1, 2]));
    let body = body.into_bytes();
    assert!(body.len() < 1_000_000);
    let mut request = WriteRequest::default();
    let error = request.read_plain(Message::V2, &body, &Limits::default()).unwrap_err();
    assert_eq!(error.to_string().split("(limit ").nth(1), Some("max_label_bytes = 67108864)"));
    assert!(
        request.allocated_bytes() <= 10 * RETAINED_BYTES,
        "a refused request holds {}",
        request.allocated_bytes()
    );
}

/// Labels that are written out and found too long cost time, so they count as well.
#[test]
fn refused_labels_are_counted() {
    let long = "x".repeat(100);
    let limits = Limits { max_label_bytes_per_series: 250, max_label_bytes: 10_000, ..Limits::default() };
    let series = |n: usize, refs: &[u8]| {
        let mut body = Writer::default();
        ["", "a", &long].iter().for_each(|s| body.put_bytes(4, s.as_bytes()));
        (0..n).for_each(|_| body.nested(5, |m| m.put_bytes(1, refs)));
        body.into_bytes()
    };
    let mut request = WriteRequest::default();
    // Two labels of 107 bytes each are written before the third is too long, or refers to nothing.
    for refs in [&[1, 2, 1, 2, 1, 2], &[1, 2, 1, 2, 1, 9]] {
        request.read_plain(Message::V2, &series(10_000 / 214, refs), &limits).unwrap();
        let error = request.read_plain(Message::V2, &series(10_000 / 214 + 1, refs), &limits).unwrap_err();
        assert_eq!(*error.kind(), Kind::Limit { name: "max_label_bytes", max: 10_000 });
    }
}

/// The series that cost least to send.
#[test]
fn empty_series_are_counted() {
    let limits = Limits { max_series: 1_000, ..Limits::default() };
    let mut request = WriteRequest::default();
    request.read_plain(Message::V1, &[0x0a, 0x00].repeat(1_000), &limits).unwrap();
    let error = request.read_plain(Message::V1, &[0x0a, 0x00].repeat(1_001), &limits).unwrap_err();
    assert_eq!(
        error.to_string(),
        "too many series in one request; send fewer at a time (limit max_series = 1000)"
    );
}
