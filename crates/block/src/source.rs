//! Reading a file by ranges: bounds, errors that say where, and a little read-ahead.

use crate::bytes::{CRC_BYTES, Crc, Cursor};
use nilometer_env::{File, Fs};
use nilometer_model::{Error, Result};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// An open file that does not change any more.
pub(crate) struct Source {
    file: Arc<dyn File>,
    path: String,
    len: u64,
}

impl Source {
    pub(crate) fn open(fs: &dyn Fs, path: &Path) -> Result<Self> {
        let shown = path.display().to_string();
        let file = fs.open(path).map_err(|e| Error::io(format!("opening {shown}"), e))?;
        Source::new(file, shown)
    }

    pub(crate) fn new(file: Arc<dyn File>, path: String) -> Result<Self> {
        let len = file.len().map_err(|e| Error::io(format!("asking for the length of {path}"), e))?;
        Ok(Source { file, path, len })
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    #[cold]
    pub(crate) fn corrupt(&self, offset: u64, message: impl Into<String>) -> Error {
        Error::corrupt(self.path.clone(), offset, message)
    }

    pub(crate) fn read_at(&self, out: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_exact_at(out, offset).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => self.corrupt(offset, "the file ends before its content does"),
            _ => Error::io(format!("reading {} bytes at {offset} of {}", out.len(), self.path), e),
        })
    }

    /// Whether reading may wait for another machine.
    pub(crate) fn is_far(&self) -> bool {
        self.file.is_far()
    }

    /// Parts that are going to be read, in any order. They may reach beyond the end.
    pub(crate) fn will_need(&self, ranges: impl Iterator<Item = Range<u64>>) {
        if !self.is_far() {
            return;
        }
        let within = |r: Range<u64>| r.start.min(self.len)..r.end.min(self.len);
        let ranges: Vec<_> = ranges.map(within).filter(|r| !r.is_empty()).collect();
        if !ranges.is_empty() {
            self.file.will_need(&ranges);
        }
    }

    /// A new vector, never longer than the file.
    pub(crate) fn read_vec(&self, offset: u64, len: u64) -> Result<Vec<u8>> {
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(self.corrupt(offset, format!("{len} bytes are announced, the file is shorter")));
        }
        let mut bytes = vec![0; len as usize];
        self.read_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

/// The part of a file that was read last. Reads that go on where it ended read further and further ahead;
/// one that jumps reads little.
#[derive(Default)]
pub(crate) struct Window {
    start: u64,
    len: usize,
    /// What is behind `len` is of no use but to be written over.
    bytes: Vec<u8>,
    ahead: usize,
}

impl Window {
    const MIN_BYTES: usize = 4 << 10;
    pub(crate) const MAX_BYTES: usize = 64 << 10;

    /// One that uses some memory again.
    pub(crate) fn within(memory: Vec<u8>) -> Self {
        Window { bytes: memory, ..Window::default() }
    }

    pub(crate) fn into_memory(self) -> Vec<u8> {
        self.bytes
    }

    /// Reads so many bytes and no more; fewer only at the end of the file.
    pub(crate) fn read(&mut self, source: &Source, offset: u64, len: u64) -> Result<()> {
        let len = len.min(source.len.saturating_sub(offset)) as usize;
        if self.bytes.len() < len {
            self.bytes.resize(len, 0);
        }
        (self.start, self.len) = (offset, 0);
        source.read_at(&mut self.bytes[..len], offset)?;
        self.len = len;
        Ok(())
    }

    /// The bytes from `offset` on: at least `want` of them, fewer only at the end of the file.
    pub(crate) fn get(&mut self, source: &Source, offset: u64, want: usize) -> Result<&[u8]> {
        if offset > source.len {
            return Err(source.corrupt(offset, "a reference points behind the end of the file"));
        }
        let want = (want as u64).min(source.len - offset);
        let end = self.start + self.len as u64;
        if offset < self.start || offset + want > end {
            let goes_on = offset >= self.start && offset <= end + self.ahead as u64;
            self.ahead = if goes_on { (self.ahead * 4).min(Self::MAX_BYTES) } else { 0 }.max(Self::MIN_BYTES);
            self.read(source, offset, want.max(self.ahead as u64))?;
        }
        Ok(&self.bytes[(offset - self.start) as usize..self.len])
    }
}

/// A section of an index, read once from its start to its end:
///
/// ```text
/// ┌──────────┬─────────┬─────────────┐
/// │ len <4b> │ content │ CRC-32C <4b>│
/// └──────────┴─────────┴─────────────┘
/// ```
///
/// The checksum is known to be right only after [`Section::finish`]: until then nothing read may be trusted
/// with more memory than the section has bytes.
pub(crate) struct Section<'a> {
    source: &'a Source,
    name: &'static str,
    /// Of the file: where `buf` ends, and where the content does.
    loaded: u64,
    end: u64,
    buf: Vec<u8>,
    at: usize,
    /// Where in `buf` the entry that is being read begins.
    mark: usize,
    crc: Crc,
}

impl<'a> Section<'a> {
    const BUF_BYTES: usize = 64 << 10;

    pub(crate) fn open(source: &'a Source, offset: u64, name: &'static str) -> Result<Self> {
        let head = source.read_vec(offset, 4)?;
        let len = u64::from(u32::from_be_bytes([head[0], head[1], head[2], head[3]]));
        let end = offset + 4 + len;
        if end + CRC_BYTES as u64 > source.len {
            return Err(source.corrupt(offset, format!("the {name} is longer than the file")));
        }
        Ok(Section {
            source,
            name,
            loaded: offset + 4,
            end,
            buf: Vec::new(),
            at: 0,
            mark: 0,
            crc: Crc::new(),
        })
    }

    /// Where in the file the next byte is.
    pub(crate) fn offset(&self) -> u64 {
        self.loaded - (self.buf.len() - self.at) as u64
    }

    pub(crate) fn remaining(&self) -> u64 {
        self.end - self.offset()
    }

    pub(crate) fn be32(&mut self) -> Result<u32> {
        let offset = self.offset();
        let read = Cursor::new(self.fill(4)?).be32();
        self.step(4);
        read.ok_or_else(|| self.bad(offset))
    }

    pub(crate) fn uvarint(&mut self) -> Result<u64> {
        let offset = self.offset();
        let mut cursor = Cursor::new(self.fill(crate::bytes::MAX_VARINT_BYTES)?);
        let (read, len) = (cursor.uvarint(), cursor.position());
        self.step(len);
        read.ok_or_else(|| self.bad(offset))
    }

    /// Bytes behind their length, into `out`.
    pub(crate) fn prefixed(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let offset = self.offset();
        let len = self.uvarint()?;
        if len > self.remaining() {
            return Err(self.bad(offset));
        }
        out.clear();
        let len = len as usize;
        out.extend_from_slice(&self.fill(len)?[..len]);
        self.step(len);
        Ok(())
    }

    /// An entry begins here.
    pub(crate) fn mark(&mut self) {
        self.mark = self.at;
    }

    /// All bytes since the mark.
    pub(crate) fn marked(&self) -> &[u8] {
        &self.buf[self.mark..self.at]
    }

    /// Reads what is left, and compares the checksum.
    pub(crate) fn finish(mut self) -> Result<()> {
        while self.remaining() > 0 {
            self.mark();
            let n = self.fill(1)?.len();
            self.step(n);
        }
        let stored = self.source.read_vec(self.end, CRC_BYTES as u64)?;
        if self.crc.take().to_be_bytes()[..] != stored {
            return Err(self.source.corrupt(self.end, format!("the checksum of the {} is wrong", self.name)));
        }
        Ok(())
    }

    #[cold]
    fn bad(&self, offset: u64) -> Error {
        self.source.corrupt(offset, format!("the {} is damaged", self.name))
    }

    /// What is read ahead: at least `want` bytes unless the content ends before.
    fn fill(&mut self, want: usize) -> Result<&[u8]> {
        if self.buf.len() - self.at < want && self.loaded < self.end {
            self.buf.drain(..self.mark);
            self.at -= self.mark;
            self.mark = 0;
            let held = self.buf.len();
            let more = (Self::BUF_BYTES.max(want) as u64).min(self.end - self.loaded);
            self.buf.resize(held + more as usize, 0);
            self.source.read_at(&mut self.buf[held..], self.loaded)?;
            self.crc.update(&self.buf[held..]);
            self.loaded += more;
        }
        Ok(&self.buf[self.at..])
    }

    fn step(&mut self, n: usize) {
        self.at = (self.at + n).min(self.buf.len());
    }
}
