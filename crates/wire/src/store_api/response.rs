//! `SeriesResponse`: series with their chunks, some to a message, or a warning.
//!
//! ```text
//! SeriesResponse ─┬─ 1 Series ────────────────────────┬─ 1 Label ─┬─ 1 name
//!                 ├─ 2 warning                        │           └─ 2 value
//!                 └─ 4 SeriesBatch ─── 1 Series, …    └─ 2 AggrChunk ─┬─ 1, 2 times of the first and the last sample
//!                                                                     ├─ 3 raw Chunk ─┬─ 1 encoding
//!                                                                     │               └─ 2 bytes
//!                                                                     └─ 4 … 8 count, sum, min, max, counter
//! ```
//!
//! `Series` stands at 1 in a response and in a batch, so that one reader walks both.

use super::Aggr;
use crate::protobuf::{self, Reader, Wire, Writer, tag, varint_len};
use crate::remote_write::encode::put_labels;
use bytes::BufMut;
use nilometer_model::{Error, Labels, Result, TimeRange};

const SERIES: u32 = tag(1, Wire::Bytes);
const WARNING: u32 = tag(2, Wire::Bytes);
const BATCH: u32 = tag(4, Wire::Bytes);

/// `AggrChunk`: a raw chunk, or some of the aggregates of a downsampled one, each with the number that its encoding
/// has in blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ChunkParts<'a> {
    pub min_ms: i64,
    pub max_ms: i64,
    parts: [Option<(u8, &'a [u8])>; 6],
}

impl<'a> ChunkParts<'a> {
    pub fn new(range: TimeRange) -> Self {
        ChunkParts { min_ms: range.min_ms, max_ms: range.max_ms, parts: [None; 6] }
    }

    pub fn range(&self) -> TimeRange {
        TimeRange::new(self.min_ms, self.max_ms)
    }

    pub fn get(&self, part: Aggr) -> Option<(u8, &'a [u8])> {
        self.parts[part as usize]
    }

    #[must_use]
    pub fn with(mut self, part: Aggr, encoding: u8, chunk: &'a [u8]) -> Self {
        self.parts[part as usize] = Some((encoding, chunk));
        self
    }

    /// Whether nothing of it was wanted, or is there.
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(Option::is_none)
    }

    fn read(mut message: Reader<'a>) -> Result<Self> {
        const MIN: u32 = tag(1, Wire::Varint);
        const MAX: u32 = tag(2, Wire::Varint);
        let mut chunk = ChunkParts::default();
        while let Some(tag) = message.tag()? {
            match (tag, tag >> 3) {
                (MIN, _) => chunk.min_ms = message.int64()?,
                (MAX, _) => chunk.max_ms = message.int64()?,
                (tag, field @ 3..=8) if tag & 7 == Wire::Bytes as u32 => {
                    chunk.parts[field as usize - 3] = Some(part(message.nested()?)?);
                }
                _ => message.unknown(tag, &[1, 2, 3, 4, 5, 6, 7, 8])?,
            }
        }
        Ok(chunk)
    }

    fn put(&self, out: &mut Writer) {
        let len_of = |&(encoding, data): &(u8, &[u8])| {
            let encoding = if type_of(encoding) == 0 { 0 } else { 2 };
            encoding + if data.is_empty() { 0 } else { field_len(data.len()) }
        };
        let int_len = |n: i64| if n == 0 { 0 } else { 1 + varint_len(n as usize) };
        let parts = self.parts.iter().flatten().map(|part| field_len(len_of(part)));
        out.put_length(2, int_len(self.min_ms) + int_len(self.max_ms) + parts.sum::<usize>());
        out.int64(1, self.min_ms);
        out.int64(2, self.max_ms);
        for (field, part) in (3..).zip(&self.parts) {
            let Some(part) = part else { continue };
            out.put_length(field, len_of(part));
            out.uint64(1, type_of(part.0));
            if !part.1.is_empty() {
                out.put_bytes(2, part.1);
            }
        }
    }

    fn data_len(&self) -> usize {
        self.parts.iter().flatten().map(|(_, data)| data.len()).sum()
    }
}

/// Thanos counts encodings from 0 where blocks have 1.
fn type_of(encoding: u8) -> u64 {
    u64::from(encoding.saturating_sub(1))
}

/// Of a field with a number up to 15.
fn field_len(len: usize) -> usize {
    1 + varint_len(len) + len
}

fn part(mut message: Reader<'_>) -> Result<(u8, &[u8])> {
    const TYPE: u32 = tag(1, Wire::Varint);
    const DATA: u32 = tag(2, Wire::Bytes);
    let (mut kind, mut data): (_, &[u8]) = (0, &[]);
    while let Some(tag) = message.tag()? {
        match tag {
            TYPE => kind = message.varint()?,
            DATA => data = bytes(message.nested()?),
            _ => message.unknown(tag, &[1, 2])?,
        }
    }
    match kind {
        0..=2 => Ok((kind as u8 + 1, data)),
        _ => Err(Error::invalid(format!("a store sent a chunk of type {kind}, only 0 to 2 are known"))),
    }
}

fn bytes(message: Reader<'_>) -> &[u8] {
    &message.bytes()[message.at()..]
}

fn text<'a>(message: Reader<'a>) -> Result<&'a str> {
    str::from_utf8(bytes(message)).map_err(|_| Error::invalid("a store sent text that is not UTF-8"))
}

/// A message of an answer, still without its own head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    tag: u32,
    body: Vec<u8>,
}

impl Frame {
    pub fn warning(text: &str) -> Self {
        Frame { tag: WARNING, body: text.as_bytes().to_owned() }
    }

    pub fn encode(&self, out: &mut impl BufMut) {
        let mut head = Writer::default();
        head.put_varint(self.tag.into());
        head.put_varint(self.body.len() as u64);
        out.put_slice(&head.into_bytes());
        out.put_slice(&self.body);
    }

    pub fn len_bytes(&self) -> usize {
        self.body.len()
    }
}

/// Makes messages of series. A series that is large has several, one after the other, each with all its labels.
pub struct SeriesFrames {
    batch: usize,
    max_bytes: usize,
    pending: Writer,
    series: usize,
}

impl SeriesFrames {
    /// A message ends with the series that makes it `batch` series, or with the chunk that makes it `max_bytes`.
    pub fn new(batch: usize, max_bytes: usize) -> Self {
        SeriesFrames { batch, max_bytes, pending: Writer::default(), series: 0 }
    }

    /// Adds a series; messages that are done go to `out`.
    pub fn put(&mut self, labels: &Labels, chunks: &[ChunkParts<'_>], out: &mut Vec<Frame>) {
        let mut head = Writer::default();
        put_labels(&mut head, labels.iter());
        let (mut from, mut len) = (0, 0);
        for (at, chunk) in chunks.iter().enumerate() {
            len += chunk.data_len();
            if len >= self.max_bytes && at + 1 < chunks.len() {
                self.put_part(&head, &chunks[from..=at], out);
                (from, len) = (at + 1, 0);
            }
        }
        self.put_part(&head, &chunks[from..], out);
    }

    fn put_part(&mut self, head: &Writer, chunks: &[ChunkParts<'_>], out: &mut Vec<Frame>) {
        let mut series = Writer::default();
        series.append(head);
        chunks.iter().for_each(|chunk| chunk.put(&mut series));
        if self.batch <= 1 {
            out.push(Frame { tag: SERIES, body: series.into_bytes() });
            return;
        }
        self.pending.put_bytes(1, &series.into_bytes());
        self.series += 1;
        if self.series >= self.batch || self.pending.len() >= self.max_bytes {
            self.flush(out);
        }
    }

    /// Makes a message of what is left.
    pub fn flush(&mut self, out: &mut Vec<Frame>) {
        if self.series > 0 {
            self.series = 0;
            out.push(Frame { tag: BATCH, body: std::mem::take(&mut self.pending).into_bytes() });
        }
    }
}

/// A message of an answer, read where it lies.
pub enum Response<'a> {
    Series(SeriesIter<'a>),
    Warning(&'a str),
    /// What is of no use here.
    Other,
}

impl<'a> Response<'a> {
    /// # Errors
    /// `Invalid` where it is not what it should be.
    pub fn read(body: &'a [u8]) -> Result<Self> {
        let whole = Reader::new(body, 0, body.len());
        let (mut message, mut found) = (whole, Response::Other);
        while let Some(tag) = message.tag()? {
            match tag {
                SERIES => {
                    message.nested()?;
                    found = Response::Series(SeriesIter(whole));
                }
                WARNING => found = Response::Warning(text(message.nested()?)?),
                BATCH => found = Response::Series(SeriesIter(message.nested()?)),
                _ => message.unknown(tag, &[1, 2, 4])?,
            }
        }
        Ok(found)
    }
}

/// The series of a message.
#[derive(Clone, Copy)]
pub struct SeriesIter<'a>(Reader<'a>);

impl<'a> Iterator for SeriesIter<'a> {
    type Item = Result<SeriesView<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        next_nested(&mut self.0, SERIES).map(|series| series.map(SeriesView))
    }
}

/// A series as it lies in a message.
#[derive(Clone, Copy)]
pub struct SeriesView<'a>(Reader<'a>);

impl<'a> SeriesView<'a> {
    pub fn labels(&self) -> Result<Labels> {
        let (mut message, mut pairs) = (self.0, Vec::new());
        while let Some(label) = next_nested(&mut message, tag(1, Wire::Bytes)) {
            pairs.push(label_of(label?)?);
        }
        let is_sorted = pairs.is_sorted_by(|a, b| a.0 < b.0) && pairs.iter().all(|(_, v)| !v.is_empty());
        Ok(if is_sorted { Labels::from_sorted(pairs.into_iter()) } else { Labels::from_pairs(pairs) })
    }

    /// In the order in which they were sent.
    pub fn chunks(&self) -> impl Iterator<Item = Result<ChunkParts<'a>>> + use<'a> {
        let mut message = self.0;
        std::iter::from_fn(move || {
            Some(next_nested(&mut message, tag(2, Wire::Bytes))?.and_then(ChunkParts::read))
        })
    }
}

fn label_of<'a>(mut message: Reader<'a>) -> Result<(&'a str, &'a str)> {
    const NAME: u32 = tag(1, Wire::Bytes);
    const VALUE: u32 = tag(2, Wire::Bytes);
    let (mut name, mut value) = ("", "");
    while let Some(tag) = message.tag()? {
        match tag {
            NAME => name = text(message.nested()?)?,
            VALUE => value = text(message.nested()?)?,
            _ => message.unknown(tag, &[1, 2])?,
        }
    }
    Ok((name, value))
}

/// The next field of a message that is `wanted`; after an error there is nothing more.
fn next_nested<'a>(message: &mut Reader<'a>, wanted: u32) -> Option<Result<Reader<'a>>> {
    let mut found = || -> protobuf::Result<Option<Reader<'a>>> {
        while let Some(tag) = message.tag()? {
            if tag == wanted {
                return message.nested().map(Some);
            }
            message.skip(tag)?;
        }
        Ok(None)
    };
    match found() {
        Ok(found) => found.map(Ok),
        Err(e) => {
            message.skip_to(message.end());
            Some(Err(e.into()))
        }
    }
}
