//! Chunk segments: the files under `chunks/`, numbered from 1.
//!
//! ```text
//! ┌─────────────────────┬───────────────┬────────────────┬────────
//! │ 0x85BD40DD <4b>     │ version 1 <1b>│ padding 0 <3b> │ chunks …
//! └─────────────────────┴───────────────┴────────────────┴────────
//! ┌───────────────┬─────────────────┬──────┬──────────────────────────────────┐
//! │ len <uvarint> │ encoding <1b>   │ data │ CRC-32C of encoding and data <4b>│   a chunk; `len` is that of `data`
//! └───────────────┴─────────────────┴──────┴──────────────────────────────────┘
//! ```
//!
//! A chunk's reference is the number of its file less one in the upper 32 bits, its offset in the lower ones.

use crate::bytes::{CRC_BYTES, Cursor, crc32c};
use crate::index::ChunkMeta;
use crate::source::{Source, Window};
use nilometer_chunk::Encoding;
use nilometer_env::Fs;
use nilometer_model::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;

pub(crate) const DIR: &str = "chunks";
pub(crate) const HEADER: [u8; 8] = [0x85, 0xbd, 0x40, 0xdd, 1, 0, 0, 0];
/// The longest form of `len` that Prometheus reads.
const MAX_LEN_BYTES: usize = 5;
/// Few chunks of numbers are longer.
const USUAL_CHUNK_BYTES: u64 = 2 << 10;
/// Far beyond any real chunk: a damaged length does not make a reader take the memory for it.
pub(crate) const MAX_CHUNK_BYTES: usize = 64 << 20;

/// The open segments of a block.
pub(crate) struct Segments {
    dir: String,
    /// By the upper half of references. One that is damaged at its head says so for each of its chunks.
    files: BTreeMap<u64, Result<Source>>,
}

impl Segments {
    pub(crate) fn open(fs: &dyn Fs, block: &Path) -> Result<Self> {
        let dir = block.join(DIR);
        let shown = dir.display().to_string();
        let entries = match fs.read_dir(&dir) {
            // A block without samples need not have the folder.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            entries => entries.map_err(|e| Error::io(format!("listing {shown}"), e))?,
        };
        let mut files = BTreeMap::new();
        for entry in entries {
            // Prometheus takes every file whose name is a number, in order.
            if let (Ok(number @ 1..), false) = (entry.name.parse::<u64>(), entry.is_dir) {
                files.insert(number - 1, open_segment(fs, &dir.join(&entry.name)));
            }
        }
        Ok(Segments { dir: shown, files })
    }

    pub(crate) fn len_bytes(&self) -> u64 {
        self.files.values().flatten().map(Source::len).sum()
    }

    /// What is wrong with whole files.
    pub(crate) fn damage(&self) -> impl Iterator<Item = &Error> {
        self.files.values().filter_map(|f| f.as_ref().err())
    }

    /// Whether reading may wait for another machine.
    pub(crate) fn are_far(&self) -> bool {
        self.files.values().flatten().any(Source::is_far)
    }

    /// Reads the chunks of a series at once, where they lie close together; `behind` is the reference of what comes
    /// next, if it is known. What cannot be read is told by [`read`](Self::read).
    pub(crate) fn read_ahead(&self, window: &mut ChunkWindow, chunks: &[ChunkMeta], behind: Option<u64>) {
        let (Some(first), Some(last)) = (chunks.first(), chunks.last()) else { return };
        let (from, last) = (first.reference, last.reference);
        let usual_end = last.saturating_add(USUAL_CHUNK_BYTES);
        let end = behind.filter(|behind| (last..usual_end).contains(behind)).unwrap_or(usual_end);
        if from >> 32 != end >> 32 || end < from || end - from > Window::MAX_BYTES as u64 {
            return;
        }
        if let Some(Ok(source)) = self.files.get(&(from >> 32)) {
            let offset = from & u64::from(u32::MAX);
            let _ = window.of_segment(from >> 32).read(source, offset, end - from);
        }
    }

    /// Says which chunks are going to be read.
    pub(crate) fn will_need(&self, references: impl Iterator<Item = u64>) {
        if !self.are_far() {
            return;
        }
        let mut places: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for reference in references {
            places.entry(reference >> 32).or_default().push(reference & u64::from(u32::MAX));
        }
        for (segment, offsets) in places {
            if let Some(Ok(source)) = self.files.get(&segment) {
                source.will_need(offsets.into_iter().map(|offset| offset..offset + USUAL_CHUNK_BYTES));
            }
        }
    }

    /// The chunk of a reference, its checksum right.
    pub(crate) fn read<'w>(
        &self,
        window: &'w mut ChunkWindow,
        reference: u64,
    ) -> Result<(Encoding, &'w [u8])> {
        let (segment, offset) = (reference >> 32, reference & u64::from(u32::MAX));
        let source = match self.files.get(&segment) {
            Some(Ok(source)) => source,
            Some(Err(e)) => return Err(e.clone()),
            None => {
                let path = format!("{}/{:06}", self.dir, segment + 1);
                return Err(Error::corrupt(path, offset, "a chunk segment is missing"));
            }
        };
        let window = window.of_segment(segment);
        let mut cursor = Cursor::new(window.get(source, offset, MAX_LEN_BYTES + 1)?);
        let len = cursor.uvarint().and_then(|len| usize::try_from(len).ok());
        let head = cursor.position();
        let Some(len) = len.filter(|len| head <= MAX_LEN_BYTES && *len <= MAX_CHUNK_BYTES) else {
            return Err(source.corrupt(offset, "the length of a chunk is damaged"));
        };
        let mut cursor = Cursor::new(window.get(source, offset, head + 1 + len + CRC_BYTES)?);
        let content = cursor.take(head).and_then(|_| cursor.take(1 + len)).zip(cursor.be32());
        match content {
            Some((content, crc)) if crc32c(content) == crc => {
                let encoding =
                    Encoding::from_byte(content[0]).map_err(|e| source.corrupt(offset, e.message()))?;
                Ok((encoding, &content[1..]))
            }
            _ => Err(source.corrupt(offset, "the checksum of a chunk is wrong")),
        }
    }
}

/// What was read last, of one segment.
#[derive(Default)]
pub(crate) struct ChunkWindow {
    segment: u64,
    window: Window,
}

impl ChunkWindow {
    /// One that uses some memory again.
    pub(crate) fn within(memory: Vec<u8>) -> Self {
        ChunkWindow { segment: 0, window: Window::within(memory) }
    }

    pub(crate) fn into_memory(self) -> Vec<u8> {
        self.window.into_memory()
    }

    fn of_segment(&mut self, segment: u64) -> &mut Window {
        if self.segment != segment {
            *self = ChunkWindow { segment, window: Window::within(std::mem::take(self).into_memory()) };
        }
        &mut self.window
    }
}

fn open_segment(fs: &dyn Fs, path: &Path) -> Result<Source> {
    let source = Source::open(fs, path)?;
    let head = source.read_vec(0, HEADER.len() as u64)?;
    if head[..4] != HEADER[..4] {
        return Err(source.corrupt(0, "the file does not begin as a chunk segment"));
    }
    if head[4] != HEADER[4] {
        return Err(Error::invalid(format!("{} has version {}, only 1 can be read", source.path(), head[4])));
    }
    Ok(source)
}
