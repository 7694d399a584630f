//! Series entries: labels by symbol numbers, and where the chunks are.
//!
//! ```text
//! ┌───────────────┬───────────────────┬──────────────────────┬───────────────────┬────────┬──────────────┐
//! │ len <uvarint> │ #labels <uvarint> │ (name, value) <uv32> │ #chunks <uvarint> │ chunks │ CRC-32C <4b> │
//! └───────────────┴───────────────────┴──────────────────────┴───────────────────┴────────┴──────────────┘
//! chunks:  min <varint>, max − min <uvarint>, ref <uvarint>,
//!          then each: min − last max <uvarint>, max − min <uvarint>, ref − last ref <varint>
//! ```
//!
//! An entry begins at a multiple of 16 bytes; that multiple is its reference, and rises with the labels.

use crate::bytes::{CRC_BYTES, Cursor, MAX_VARINT_BYTES, crc32c, put_uvarint, put_varint};
use crate::source::{Source, Window};
use nilometer_model::{Error, Kind, Result, TimeRange};

pub(crate) const ALIGN_BYTES: u64 = 16;
/// Few entries are longer: ten labels, and the chunks of two weeks.
const USUAL_BYTES: u64 = 4 << 10;

/// Where a chunk is: the number of its segment in the upper 32 bits, the offset there in the lower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkMeta {
    pub(crate) reference: u64,
    pub(crate) range: TimeRange,
}

/// A decoded entry; its vectors are used again and again.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeriesEntry {
    /// Symbol numbers of names and values, sorted by name.
    pub(crate) labels: Vec<(u32, u32)>,
    pub(crate) chunks: Vec<ChunkMeta>,
}

impl SeriesEntry {
    /// Of the content between length and checksum. `Err` is the byte at which it makes no sense.
    pub(crate) fn decode(&mut self, content: &[u8]) -> Result<(), usize> {
        self.labels.clear();
        self.chunks.clear();
        let mut cursor = Cursor::new(content);
        self.decode_labels(&mut cursor).ok_or(cursor.position())?;
        self.decode_chunks(&mut cursor).ok_or(cursor.position())
    }

    fn decode_labels(&mut self, from: &mut Cursor<'_>) -> Option<()> {
        let symbol = |from: &mut Cursor<'_>| u32::try_from(from.uvarint()?).ok();
        for _ in 0..from.uvarint()? {
            let (name, value) = (symbol(from)?, symbol(from)?);
            // Symbols are sorted and unique, so their numbers order as they do.
            if self.labels.last().is_some_and(|last| last.0 >= name) {
                return None;
            }
            self.labels.push((name, value));
        }
        Some(())
    }

    fn decode_chunks(&mut self, from: &mut Cursor<'_>) -> Option<()> {
        let mut last = ChunkMeta { reference: 0, range: TimeRange::new(0, 0) };
        for at in 0..from.uvarint()? {
            let min_ms = match at {
                0 => from.varint()?,
                // Wraps where chunks overlap, which some old writers did.
                _ => last.range.max_ms.wrapping_add(from.uvarint()? as i64),
            };
            let max_ms = min_ms.checked_add(i64::try_from(from.uvarint()?).ok()?)?;
            let reference = match at {
                0 => from.uvarint()?,
                _ => last.reference.checked_add_signed(from.varint()?)?,
            };
            last = ChunkMeta { reference, range: TimeRange::new(min_ms, max_ms) };
            self.chunks.push(last);
        }
        Some(())
    }
}

/// Appends a whole entry to `out`.
pub(crate) fn encode(out: &mut Vec<u8>, labels: &[(u32, u32)], chunks: &[ChunkMeta], scratch: &mut Vec<u8>) {
    scratch.clear();
    put_uvarint(scratch, labels.len() as u64);
    for &(name, value) in labels {
        put_uvarint(scratch, name.into());
        put_uvarint(scratch, value.into());
    }
    put_uvarint(scratch, chunks.len() as u64);
    let mut last: Option<&ChunkMeta> = None;
    for chunk in chunks {
        match last {
            None => put_varint(scratch, chunk.range.min_ms),
            Some(last) => put_uvarint(scratch, chunk.range.min_ms.wrapping_sub(last.range.max_ms) as u64),
        }
        put_uvarint(scratch, chunk.range.max_ms.wrapping_sub(chunk.range.min_ms) as u64);
        match last {
            None => put_uvarint(scratch, chunk.reference),
            Some(last) => put_varint(scratch, chunk.reference.wrapping_sub(last.reference) as i64),
        }
        last = Some(chunk);
    }
    put_uvarint(out, scratch.len() as u64);
    out.extend_from_slice(scratch);
    out.extend_from_slice(&crc32c(scratch).to_be_bytes());
}

/// The part of an index that holds the series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeriesSection {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl SeriesSection {
    fn holds(&self, offset: u64) -> bool {
        self.start <= offset && offset < self.end
    }

    /// Where the content of the entry at `offset` starts, and where the entry ends; both are in the window,
    /// and the checksum is right.
    fn content(
        &self,
        window: &mut Window,
        source: &Source,
        offset: u64,
        max_bytes: u64,
    ) -> Result<(u64, u64)> {
        if !self.holds(offset) {
            return Err(source.corrupt(offset, "a series reference points outside of the series"));
        }
        let max_bytes = max_bytes.min(self.end - offset);
        let mut cursor = Cursor::new(window.get(source, offset, MAX_VARINT_BYTES)?);
        let len = cursor.uvarint();
        let head = cursor.position() as u64;
        let whole = len.and_then(|len| len.checked_add(head + CRC_BYTES as u64));
        let (Some(len), Some(whole)) = (len, whole.filter(|w| *w <= max_bytes)) else {
            return Err(source.corrupt(offset, "the length of a series entry is damaged"));
        };
        let mut cursor = Cursor::new(window.get(source, offset, whole as usize)?);
        let content = cursor.take(head as usize).and_then(|_| cursor.take(len as usize));
        match content.zip(cursor.be32()) {
            Some((content, crc)) if crc32c(content) == crc => Ok((offset + head, offset + whole)),
            _ => Err(source.corrupt(offset, "the checksum of a series entry is wrong")),
        }
    }

    /// Says which entries are going to be read.
    pub(crate) fn will_need(&self, source: &Source, references: &[u32]) {
        let place = |reference: &u32| {
            let offset = u64::from(*reference) * ALIGN_BYTES;
            offset..offset + USUAL_BYTES
        };
        source.will_need(references.iter().map(place));
    }

    /// The entry of a reference into `entry`.
    pub(crate) fn read(
        &self,
        window: &mut Window,
        source: &Source,
        reference: u32,
        entry: &mut SeriesEntry,
    ) -> Result<()> {
        let offset = u64::from(reference) * ALIGN_BYTES;
        let (start, end) = self.content(window, source, offset, u64::MAX)?;
        let content = &window.get(source, start, 0)?[..(end - start) as usize - CRC_BYTES];
        entry.decode(content).map_err(|at| senseless(source, offset + at as u64))
    }
}

fn senseless(source: &Source, offset: u64) -> Error {
    source.corrupt(offset, "a series entry makes no sense, though its checksum is right")
}

/// All entries in order, without postings. Behind a damaged one it goes on at the next that is whole: entries
/// begin at multiples of 16 bytes, and their checksums tell them from anything else.
pub(crate) struct SeriesWalk<'a> {
    source: &'a Source,
    section: SeriesSection,
    window: Window,
    next: u64,
    /// Damage was told, and no whole entry has come since.
    lost: bool,
}

impl<'a> SeriesWalk<'a> {
    /// While lost, what says that it is longer is not believed.
    const MAX_LOST_BYTES: u64 = 64 << 10;

    pub(crate) fn new(source: &'a Source, section: SeriesSection) -> Self {
        SeriesWalk { source, section, window: Window::default(), next: section.start, lost: false }
    }

    /// The next entry's reference and content. After damage to an entry, and nothing else, it can go on.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, &[u8])>> {
        loop {
            let Some(offset) = self.next.checked_next_multiple_of(ALIGN_BYTES) else { return Ok(None) };
            let Some(reference) =
                self.section.holds(offset).then(|| u32::try_from(offset / ALIGN_BYTES).ok())
            else {
                return Ok(None);
            };
            self.next = offset + ALIGN_BYTES;
            let max_bytes = if self.lost { Self::MAX_LOST_BYTES } else { u64::MAX };
            // Zeros fill the gaps between sections.
            if self.window.get(self.source, offset, MAX_VARINT_BYTES)?.first() == Some(&0) {
                continue;
            }
            match self.section.content(&mut self.window, self.source, offset, max_bytes) {
                Ok((start, end)) => {
                    self.next = end;
                    self.lost = false;
                    let Some(reference) = reference else { return Ok(None) };
                    let content = self.window.get(self.source, start, 0)?;
                    return Ok(Some((reference, &content[..(end - start) as usize - CRC_BYTES])));
                }
                Err(e) if self.lost && matches!(e.kind(), Kind::Corrupt { .. }) => {}
                Err(e) => {
                    self.lost = true;
                    return Err(e);
                }
            }
        }
    }
}
