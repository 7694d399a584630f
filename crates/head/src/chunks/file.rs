//! One file of closed chunks, with what is not written to it yet.

use super::MAGIC;
use crate::frame::{FILE_HEAD_BYTES, FRAME_HEAD_BYTES, Found, Frames, Framing};
use nilometer_env::{File, Fs};
use nilometer_model::{Error, Kind, Result};
use std::path::Path;
use std::sync::Arc;

/// What is read at first: a whole chunk, mostly.
const READ_BYTES: usize = 512;

pub(super) struct ChunkFile {
    pub(super) range_start_ms: i64,
    pub(super) framing: Framing,
    /// Made when first written, so that taking a chunk cannot fail.
    pub(super) file: Option<Arc<dyn File>>,
    /// Length with what is not written yet.
    pub(super) len: u64,
    pub(super) waiting: Vec<u8>,
    pub(super) synced_len: u64,
    /// A sync failed: what was written since the one before may never reach the disk, whatever later ones say.
    pub(super) lost_sync: bool,
}

impl ChunkFile {
    /// Puts a copy, synced, in the place of a file that cannot be trusted to become durable.
    pub(super) fn write_anew(&mut self, fs: &dyn Fs, path: &Path) -> std::io::Result<()> {
        let bytes = self.all()?;
        // What the failed sync lost may be gone from the cache too: only whole frames go on.
        let is_whole = |found: &Found<'_>| matches!(found, Found::Body { .. });
        if !Frames::new(self.framing, &bytes).all(|found| is_whole(&found)) {
            return Err(std::io::Error::other(format!("{} was damaged by a failed sync", path.display())));
        }
        let copy = path.with_extension("copy");
        if fs.exists(&copy) {
            fs.remove_file(&copy)?;
        }
        let file = fs.create(&copy)?;
        file.append(&bytes)?;
        file.sync()?;
        fs.rename(&copy, path)?;
        if let Some(dir) = path.parent() {
            fs.sync_dir(dir)?;
        }
        (self.file, self.lost_sync) = (Some(file), false);
        Ok(())
    }

    /// The whole file, with what is not written yet.
    pub(super) fn all(&self) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; (self.len as usize).saturating_sub(self.waiting.len())];
        if let Some(file) = &self.file {
            file.read_exact_at(&mut bytes, 0)?;
        }
        bytes.extend_from_slice(&self.waiting);
        Ok(bytes)
    }

    /// The bytes from `offset` on, at least the frame that stands there.
    pub(super) fn read(&self, offset: u64) -> std::io::Result<Vec<u8>> {
        let written = self.len - self.waiting.len() as u64;
        if offset >= written {
            let from = usize::try_from(offset - written).unwrap_or(usize::MAX);
            let rest = self.waiting.get(from..).unwrap_or_default();
            let body = rest.first_chunk::<4>().map_or(0, |len| u32::from_le_bytes(*len) as usize);
            return Ok(rest[..rest.len().min(FRAME_HEAD_BYTES + body)].to_vec());
        }
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let left = usize::try_from(written - offset).unwrap_or(usize::MAX);
        let first = READ_BYTES.min(left);
        let mut bytes = vec![0; first];
        file.read_exact_at(&mut bytes, offset)?;
        if let Some(len) = bytes.first_chunk::<4>() {
            let whole = FRAME_HEAD_BYTES + u32::from_le_bytes(*len) as usize;
            // A damaged length may say anything; the file ends it.
            if whole > bytes.len() && whole <= left {
                bytes.resize(whole, 0);
                file.read_exact_at(&mut bytes[first..], offset + first as u64)?;
            }
        }
        Ok(bytes)
    }
}

/// `None` where it has no head that can be read: it was never finished, or is damaged.
pub(super) fn open(fs: &dyn Fs, path: &Path, range_start_ms: i64) -> Result<Option<ChunkFile>> {
    let io = |e| Error::io(format!("opening {}", path.display()), e);
    let file = fs.open(path).map_err(io)?;
    let len = file.len().map_err(io)?;
    let mut head = vec![0; FILE_HEAD_BYTES.min(len as usize)];
    file.read_exact_at(&mut head, 0).map_err(io)?;
    let framing = match Framing::open(&head, MAGIC, path) {
        Ok(Some(framing)) => framing,
        Ok(None) => return Ok(None),
        Err(e) if matches!(e.kind(), Kind::Corrupt { .. }) => return Ok(None),
        Err(e) => return Err(e),
    };
    Ok(Some(ChunkFile {
        range_start_ms,
        framing,
        file: Some(file),
        len,
        waiting: Vec::new(),
        synced_len: len,
        lost_sync: false,
    }))
}

/// `9f3c01aa.1700000000000.chunks`: its number, and the start of its range in milliseconds.
pub(super) fn name(number: u32, range_start_ms: i64) -> String {
    format!("{number:08x}.{range_start_ms}.chunks")
}

pub(super) fn parse_name(name: &str) -> Option<(u32, i64)> {
    let (number, range) = name.strip_suffix(".chunks")?.split_once('.')?;
    Some((u32::from_str_radix(number, 16).ok()?, range.parse().ok()?))
}
