//! Successful answers, written as they are read.
//!
//! A large result is turned into JSON a piece at a time, and what was written is let go of at once: its numbers
//! and its text never stand in memory together.

use super::json::{self, Escape};
use super::unsent::Room;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use futures::stream;
use nilometer_model::Labels;
use nilometer_model::Sample;
use nilometer_promql::value::{HistogramSample, MatrixSeries, SampleValue, VectorSample};
use std::convert::Infallible;

/// A piece of an answer has about so many bytes.
const PIECE_BYTES: usize = 64 << 10;
/// Points of one series that are written without a look at the size.
const RUN: usize = 64;
/// Prometheus says so many warnings, and as many hints, in words; of the others it gives the number.
const MAX_NOTES: usize = 10;

/// The data of an answer, written bit by bit.
pub(crate) trait WriteSome: Send + 'static {
    /// Writes some more, up to a few KiB; `false` once all is written.
    fn write_some(&mut self, out: &mut Vec<u8>) -> bool;
}

/// `{"status":"success","data":…}`
pub(crate) struct Answer {
    data: Box<dyn WriteSome>,
    pub(crate) warnings: Vec<String>,
    pub(crate) infos: Vec<String>,
    room: Room,
}

impl Answer {
    pub(crate) fn new(data: impl WriteSome) -> Self {
        Answer { data: Box::new(data), warnings: Vec::new(), infos: Vec::new(), room: None }
    }

    /// Something that is always the same.
    pub(crate) fn fixed(json: &'static [u8]) -> Self {
        Answer::new(Written(json.to_vec()))
    }

    /// Gives the room back once all is sent.
    pub(crate) fn in_room(mut self, room: Room) -> Self {
        self.room = room;
        self
    }

    pub(crate) fn with_warnings(mut self, warnings: Vec<String>) -> Self {
        self.warnings.extend(warnings);
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response<Body> {
        let pieces = Pieces {
            next: b"{\"status\":\"success\",\"data\":".to_vec(),
            tail: tail(&self.warnings, &self.infos),
            data: Some((self.data, self.room)),
        };
        pieces.into_response(HeaderValue::from_static("application/json"))
    }
}

/// An answer that is only data, in a form of its own.
pub(crate) fn plain(kind: HeaderValue, data: impl WriteSome, room: Room) -> Response<Body> {
    Pieces { next: Vec::new(), tail: Vec::new(), data: Some((Box::new(data), room)) }.into_response(kind)
}

/// What follows the data.
fn tail(warnings: &[String], infos: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, kind, notes) in [("warnings", "warning", warnings), ("infos", "info", infos)] {
        if notes.is_empty() {
            continue;
        }
        let mut said = notes[..notes.len().min(MAX_NOTES)].to_vec();
        if notes.len() > MAX_NOTES {
            said.push(format!("{} more {kind} annotations omitted", notes.len() - MAX_NOTES));
        }
        out.extend_from_slice(format!(",\"{name}\":").as_bytes());
        json::push_texts(&mut out, &said);
    }
    out.push(b'}');
    out
}

struct Pieces {
    next: Vec<u8>,
    tail: Vec<u8>,
    /// `None` once the tail is written.
    data: Option<(Box<dyn WriteSome>, Room)>,
}

impl Pieces {
    fn into_response(mut self, kind: HeaderValue) -> Response<Body> {
        let first = self.next().unwrap_or_default();
        let body = match self.data {
            None => Body::from(first),
            Some(_) => {
                let all = std::iter::once(first).chain(self);
                Body::from_stream(stream::iter(all.map(Ok::<_, Infallible>)))
            }
        };
        (StatusCode::OK, [(header::CONTENT_TYPE, kind)], body).into_response()
    }
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let (data, _) = self.data.as_mut()?;
        while self.next.len() < PIECE_BYTES {
            if !data.write_some(&mut self.next) {
                self.next.append(&mut self.tail);
                self.data = None;
                break;
            }
        }
        Some(std::mem::take(&mut self.next).into())
    }
}

/// Something small, whole.
pub(crate) struct Written(pub(crate) Vec<u8>);

impl WriteSome for Written {
    fn write_some(&mut self, out: &mut Vec<u8>) -> bool {
        out.append(&mut self.0);
        false
    }
}

/// A list, item by item.
pub(crate) struct List<T, F> {
    items: std::vec::IntoIter<T>,
    write: F,
    begun: bool,
}

impl<T, F: FnMut(&mut Vec<u8>, &T)> List<T, F> {
    pub(crate) fn new(items: Vec<T>, write: F) -> Self {
        List { items: items.into_iter(), write, begun: false }
    }
}

impl<T: Send + 'static, F: FnMut(&mut Vec<u8>, &T) + Send + 'static> WriteSome for List<T, F> {
    fn write_some(&mut self, out: &mut Vec<u8>) -> bool {
        let first = !std::mem::replace(&mut self.begun, true);
        if first {
            out.push(b'[');
        }
        let Some(item) = self.items.next() else {
            out.push(b']');
            return false;
        };
        if !first {
            out.push(b',');
        }
        (self.write)(out, &item);
        true
    }
}

/// `["a","b"]`
pub(crate) fn texts(items: Vec<String>) -> impl WriteSome {
    List::new(items, |out, text: &String| json::push_text(out, text, Escape::Html))
}

/// `[{"__name__":"up"}]`
pub(crate) fn label_sets(items: Vec<Labels>) -> impl WriteSome {
    List::new(items, json::push_labels)
}

/// `[{"metric":{…},"value":[…]}]`
pub(crate) fn vector(items: Vec<VectorSample>) -> impl WriteSome {
    List::new(items, |out, sample: &VectorSample| {
        out.extend_from_slice(b"{\"metric\":");
        json::push_labels(out, &sample.labels);
        match &sample.value {
            SampleValue::Float(v) => {
                out.extend_from_slice(b",\"value\":");
                json::push_point(out, sample.t_ms, *v);
            }
            SampleValue::Histogram(h) => {
                out.extend_from_slice(b",\"histogram\":");
                json::push_histogram_point(out, sample.t_ms, h);
            }
        }
        out.push(b'}');
    })
}

/// `[{"metric":{…},"values":[[…]],"histograms":[[…]]}]`, a few points at a time.
pub(crate) struct Matrix {
    series: std::vec::IntoIter<MatrixSeries>,
    current: Option<Points>,
    begun: bool,
}

/// What is left of one series.
struct Points {
    floats: std::vec::IntoIter<Sample>,
    histograms: std::vec::IntoIter<HistogramSample>,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    Floats,
    Histograms,
}

impl Matrix {
    pub(crate) fn new(series: Vec<MatrixSeries>) -> Self {
        Matrix { series: series.into_iter(), current: None, begun: false }
    }

    /// Begins the next series, or ends the list.
    fn begin(&mut self, out: &mut Vec<u8>) -> bool {
        let first = !std::mem::replace(&mut self.begun, true);
        if first {
            out.push(b'[');
        }
        let Some(series) = self.series.next() else {
            out.push(b']');
            return false;
        };
        out.extend_from_slice(if first { b"{\"metric\":" } else { b",{\"metric\":" });
        json::push_labels(out, &series.labels);
        let (floats, histograms) = (series.floats.into_iter(), series.histograms.into_iter());
        self.current = Some(Points { floats, histograms, place: Place::Start });
        true
    }
}

impl WriteSome for Matrix {
    fn write_some(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(points) = &mut self.current else { return self.begin(out) };
        if !points.write_some(out) {
            self.current = None;
        }
        true
    }
}

impl Points {
    fn write_some(&mut self, out: &mut Vec<u8>) -> bool {
        for _ in 0..RUN {
            if let Some(point) = self.floats.next() {
                self.separate(out, Place::Floats);
                json::push_point(out, point.t_ms, point.v);
            } else if let Some(point) = self.histograms.next() {
                self.separate(out, Place::Histograms);
                json::push_histogram_point(out, point.t_ms, &point.h);
                // One can have thousands of buckets.
                return true;
            } else {
                out.extend_from_slice(if self.place == Place::Start { b"}" } else { b"]}" });
                return false;
            }
        }
        true
    }

    /// Writes what stands before a point.
    fn separate(&mut self, out: &mut Vec<u8>, place: Place) {
        if self.place == place {
            out.push(b',');
            return;
        }
        if self.place == Place::Floats {
            out.push(b']');
        }
        out.extend_from_slice(if place == Place::Floats { b",\"values\":[" } else { b",\"histograms\":[" });
        self.place = place;
    }
}

/// Something between two fixed texts.
pub(crate) struct Wrapped<W> {
    before: Vec<u8>,
    inner: W,
    after: Vec<u8>,
}

impl<W: WriteSome> Wrapped<W> {
    pub(crate) fn new(before: Vec<u8>, inner: W, after: Vec<u8>) -> Self {
        Wrapped { before, inner, after }
    }
}

impl<W: WriteSome> WriteSome for Wrapped<W> {
    fn write_some(&mut self, out: &mut Vec<u8>) -> bool {
        out.append(&mut self.before);
        let more = self.inner.write_some(out);
        if !more {
            out.append(&mut self.after);
        }
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nilometer_model::FloatHistogram;
    use std::sync::Arc;

    fn written(mut data: impl WriteSome) -> String {
        let mut out = Vec::new();
        while data.write_some(&mut out) {}
        String::from_utf8(out).unwrap()
    }

    fn series(floats: usize, histograms: usize) -> MatrixSeries {
        let h = Arc::new(FloatHistogram { count: 1.0, ..FloatHistogram::default() });
        MatrixSeries {
            labels: Labels::from_pairs([("a", "b")]),
            floats: (0..floats).map(|i| Sample { t_ms: i as i64 * 1000, v: 1.0 }).collect(),
            histograms: (0..histograms)
                .map(|i| HistogramSample { t_ms: i as i64 * 1000, h: h.clone() })
                .collect(),
        }
    }

    #[test]
    fn matrices() {
        assert_eq!(written(Matrix::new(Vec::new())), "[]");
        assert_eq!(
            written(Matrix::new(vec![series(0, 0), series(2, 0), series(1, 2), series(0, 1)])),
            "[{\"metric\":{\"a\":\"b\"}},\
             {\"metric\":{\"a\":\"b\"},\"values\":[[0,\"1\"],[1,\"1\"]]},\
             {\"metric\":{\"a\":\"b\"},\"values\":[[0,\"1\"]],\"histograms\":\
             [[0,{\"count\":\"1\",\"sum\":\"0\"}],[1,{\"count\":\"1\",\"sum\":\"0\"}]]},\
             {\"metric\":{\"a\":\"b\"},\"histograms\":[[0,{\"count\":\"1\",\"sum\":\"0\"}]]}]"
        );
    }

    #[test]
    fn large_matrices_come_in_pieces() {
        for points in [RUN - 1, RUN, RUN + 1, 20_000] {
            let all = Matrix::new(vec![series(points, 3), series(points, 0)]);
            let mut pieces =
                Pieces { next: Vec::new(), tail: tail(&[], &[]), data: Some((Box::new(all), None)) };
            let mut text = Vec::new();
            for piece in &mut pieces {
                assert!(piece.len() < PIECE_BYTES + 4096, "{}", piece.len());
                text.extend_from_slice(&piece);
            }
            assert!(pieces.next().is_none());
            assert_eq!(text.pop(), Some(b'}'));
            let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(json[0]["values"].as_array().unwrap().len(), points);
            assert_eq!(json[0]["histograms"].as_array().unwrap().len(), 3);
            assert_eq!(json[1]["values"].as_array().unwrap().len(), points);
        }
    }

    #[test]
    fn many_warnings_are_counted() {
        let many: Vec<String> = (0..12).map(|i| i.to_string()).collect();
        assert_eq!(
            String::from_utf8(tail(&many, &many[..1])).unwrap(),
            ",\"warnings\":[\"0\",\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\
             \"2 more warning annotations omitted\"],\"infos\":[\"0\"]}"
        );
    }
}
