//! `prometheus.ReadResponse` and `prometheus.ChunkedReadResponse`.

use crate::protobuf::Writer;
use crate::remote_write::encode::{SentHistogram, put_histogram, put_labels, put_sample};
use nilometer_model::{Labels, TimeRange, Value};

/// Appends a series with its samples to a `QueryResult`.
pub fn put_series(out: &mut Vec<u8>, labels: &Labels, samples: &[(i64, Value)]) {
    let mut result = Writer::onto(std::mem::take(out));
    result.nested(1, |series| {
        put_labels(series, labels.iter());
        for (t_ms, value) in samples {
            match value {
                Value::Float(v) => series.nested(2, |m| put_sample(m, *v, *t_ms)),
                _ => {
                    let sent = SentHistogram { t_ms: *t_ms, start_ms: 0, value: value.clone() };
                    put_histogram(series, 4, &sent, 0);
                }
            }
        }
    });
    *out = result.into_bytes();
}

/// Appends a whole `QueryResult` to a `ReadResponse`.
pub fn put_result(out: &mut Vec<u8>, result: &[u8]) {
    let mut response = Writer::onto(std::mem::take(out));
    response.put_bytes(1, result);
    *out = response.into_bytes();
}

/// Writes series as frames of about the same size. A series has frames of its own, as many as it needs.
pub struct Frames {
    /// In the request.
    query: usize,
    max_bytes: usize,
}

impl Frames {
    /// A frame ends with the chunk that makes it `max_bytes` or more.
    pub fn new(query: usize, max_bytes: usize) -> Self {
        Frames { query, max_bytes }
    }

    /// Appends a series: its chunks as range, number of the encoding, and bytes.
    pub fn put<'a>(
        &self,
        out: &mut Vec<u8>,
        labels: &Labels,
        chunks: impl IntoIterator<Item = (TimeRange, u8, &'a [u8])>,
    ) {
        let mut head = Writer::default();
        put_labels(&mut head, labels.iter());
        let head = head.into_bytes();
        let mut series = Writer::onto(head.clone());
        let (mut any, mut len) = (false, head.len());
        for (range, encoding, data) in chunks {
            series.nested(2, |chunk| {
                chunk.int64(1, range.min_ms);
                chunk.int64(2, range.max_ms);
                chunk.uint64(3, encoding.into());
                if !data.is_empty() {
                    chunk.put_bytes(4, data);
                }
            });
            (any, len) = (true, len + data.len());
            if len >= self.max_bytes {
                self.put_frame(out, &series.into_bytes());
                series = Writer::onto(head.clone());
                (any, len) = (false, head.len());
            }
        }
        if any {
            self.put_frame(out, &series.into_bytes());
        }
    }

    fn put_frame(&self, out: &mut Vec<u8>, series: &[u8]) {
        let mut message = Writer::default();
        message.put_bytes(1, series);
        message.int64(2, self.query as i64);
        let message = message.into_bytes();
        let mut frame = Writer::onto(std::mem::take(out));
        frame.put_varint(message.len() as u64);
        *out = frame.into_bytes();
        let checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &message) as u32;
        out.extend_from_slice(&checksum.to_be_bytes());
        out.extend_from_slice(&message);
    }
}
