//! The head and the tail of an index: its version, and where its sections are.
//!
//! ```text
//! ┌─────────────────────┬─────────────────┐   ┌─────────┬────────┬───────────────┬─────────────┬──────────┬────────────────┬─────┐
//! │ 0xBAAAD700 <4b>     │ version 2 <1b>  │ … │ symbols │ series │ label indices │ label table │ postings │ postings table │ CRC │
//! └─────────────────────┴─────────────────┘   └─────────┴────────┴───────────────┴─────────────┴──────────┴────────────────┴─────┘
//!                                               six offsets <8b> each, 0 where a section is not there
//! ```
//!
//! The label indices are no longer read by anyone; Prometheus 3 leaves them out, and so do we: their table's
//! offset is then that of the postings table.

use crate::bytes::{CRC_BYTES, Cursor, crc32c};
use crate::source::Source;
use nilometer_model::{Error, Result};

const MAGIC: u32 = 0xbaaa_d700;
const VERSION: u8 = 2;

pub(crate) const HEADER: [u8; 5] = {
    let m = MAGIC.to_be_bytes();
    [m[0], m[1], m[2], m[3], VERSION]
};

/// The symbols come first.
pub(crate) const SYMBOLS: u64 = HEADER.len() as u64;

/// That the file is an index, of a version that can be read.
pub(crate) fn check_head(source: &Source) -> Result<()> {
    if source.len() < (HEADER.len() + Toc::LEN) as u64 {
        return Err(source.corrupt(0, "the file is too short for an index"));
    }
    let head = source.read_vec(0, HEADER.len() as u64)?;
    if head[..4] != HEADER[..4] {
        return Err(source.corrupt(0, "the file does not begin as an index"));
    }
    if head[4] != VERSION {
        return Err(Error::invalid(format!(
            "{} has index version {}, only {VERSION} can be read: one of 1 becomes 2 when Prometheus 2 compacts it",
            source.path(),
            head[4],
        )));
    }
    Ok(())
}

/// Offsets in bytes from the start of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Toc {
    pub(crate) symbols: u64,
    pub(crate) series: u64,
    pub(crate) label_indices: u64,
    pub(crate) label_table: u64,
    pub(crate) postings: u64,
    pub(crate) postings_table: u64,
}

impl Toc {
    pub(crate) const LEN: usize = 6 * 8 + CRC_BYTES;

    /// Of a file whose head was checked.
    pub(crate) fn read(source: &Source) -> Result<Self> {
        let at = source.len() - Self::LEN as u64;
        let toc = Self::decode(&source.read_vec(at, Self::LEN as u64)?)
            .ok_or_else(|| source.corrupt(at, "the checksum of the table of contents is wrong"))?;
        if toc.symbols != SYMBOLS || toc.series <= toc.symbols || toc.sections().iter().any(|s| *s > at) {
            return Err(source.corrupt(at, "the table of contents points to where nothing can be"));
        }
        Ok(toc)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let content = cursor.clone().take(Self::LEN - CRC_BYTES)?;
        let mut next = || cursor.be64();
        let toc = Toc {
            symbols: next()?,
            series: next()?,
            label_indices: next()?,
            label_table: next()?,
            postings: next()?,
            postings_table: next()?,
        };
        (cursor.be32()? == crc32c(content)).then_some(toc)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out: Vec<u8> = self.sections().iter().flat_map(|offset| offset.to_be_bytes()).collect();
        let crc = crc32c(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    /// Where the series end: at whatever comes behind them.
    pub(crate) fn series_end(&self, file_len: u64) -> u64 {
        let toc = file_len - Self::LEN as u64;
        self.sections().into_iter().filter(|s| *s >= self.series && *s != 0).skip(1).min().unwrap_or(toc)
    }

    fn sections(&self) -> [u64; 6] {
        [self.symbols, self.series, self.label_indices, self.label_table, self.postings, self.postings_table]
    }
}
