//! Garbage, from a fixed seed: no panic, and no more memory than the limits allow.

use crate::protobuf::Writer;
use crate::remote_write::{Limits, Message, RETAINED_BYTES, WriteRequest};
use crate::snappy;

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

/// Small enough to be hit.
const TIGHT: Limits = Limits {
    max_decompressed_bytes: 1 << 16,
    max_series: 40,
    max_samples: 60,
    max_histograms: 20,
    max_exemplars: 20,
    max_metadata: 20,
    max_symbols: 100,
    max_label_bytes: 1 << 14,
    max_labels_per_series: 12,
    max_label_bytes_per_series: 1 << 10,
    max_buckets_per_histogram: 16,
};

/// Rows are at most 64 bytes and columns at most twice as long as needed; the rest is the body, rounded up,
/// the references, four bytes for one, and the first block of text.
const TIGHT_BYTES: usize =
    2 * 64 * (40 + 60 + 20 + 20 + 20 + 100 + 40) + (1 << 16) * (1 + 2 * 4 * 2) + (64 << 10);

fn try_all(request: &mut WriteRequest, body: &[u8]) {
    for message in [Message::V1, Message::V2] {
        for limits in [TIGHT, Limits::default()] {
            if request.read_plain(message, body, &limits).is_ok() {
                request.walk(&limits);
            }
            let _ = request.read(message, body, &limits);
        }
    }
    let mut fresh = WriteRequest::default();
    let _ = fresh.read_plain(Message::V2, body, &TIGHT);
    assert!(fresh.allocated_bytes() <= TIGHT_BYTES, "{} bytes for {}", fresh.allocated_bytes(), body.len());
}

#[test]
fn random_bytes() {
    let mut random = XorShift(0x9e37_79b9_7f4a_7c15);
    let mut request = WriteRequest::default();
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
        try_all(&mut request, &body);
    }
}

#[test]
fn mutated_requests() {
    let mut random = XorShift(0x2545_f491_4f6c_dd1d);
    let mut request = WriteRequest::default();
    let seeds: Vec<Vec<u8>> = super::golden::bodies().into_iter().map(|(_, _, plain)| plain).collect();
    let small: Vec<&[u8]> = seeds.iter().map(|s| &s[..s.len().min(3_000)]).collect();
    for _ in 0..4_000 {
        let mut body = small[random.below(small.len())].to_vec();
        for _ in 0..1 + random.below(4) {
            let at = random.below(body.len());
            body[at] = random.next() as u8;
        }
        try_all(&mut request, &body);
        if let Ok(mut compressed) = snappy::compress(&body) {
            let at = random.below(compressed.len());
            compressed[at] ^= 1 << random.below(8);
            if request.read(Message::V1, &compressed, &TIGHT).is_ok() {
                request.walk(&TIGHT);
            }
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
    assert_eq!(error.to_string().split("(limit ").nth(1), Some("max_label_bytes = 134217728)"));
    assert!(
        request.allocated_bytes() <= 10 * RETAINED_BYTES,
        "a refused request holds {}",
        request.allocated_bytes()
    );
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
