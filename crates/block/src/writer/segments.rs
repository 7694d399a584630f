//! Writes chunks into numbered segments.

use super::output::Output;
use crate::bytes::{Crc, put_uvarint};
use crate::segments::{DIR, HEADER};
use nilometer_env::Fs;
use nilometer_model::{Error, Result};
use nilometer_storage::ChunkRef;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) struct SegmentWriter {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    max_bytes: u64,
    /// How many segments there are, the open one among them.
    count: u64,
    open: Option<Output>,
    scratch: Vec<u8>,
    /// Of a chunk with all around it.
    largest_bytes: u64,
}

impl SegmentWriter {
    pub(super) fn create(fs: Arc<dyn Fs>, block: &Path, max_bytes: u64) -> Result<Self> {
        let dir = block.join(DIR);
        // Its name is synced with the block's others.
        fs.create_scratch_dir_all(&dir).map_err(|e| Error::io(format!("creating {}", dir.display()), e))?;
        Ok(SegmentWriter { fs, dir, max_bytes, count: 0, open: None, scratch: Vec::new(), largest_bytes: 0 })
    }

    /// Writes a chunk and says by which reference it is found.
    pub(super) fn put(&mut self, chunk: &ChunkRef<'_>) -> Result<u64> {
        let encoding = [chunk.encoding.byte()];
        let mut crc = Crc::new();
        crc.update(&encoding);
        crc.update(chunk.data);
        self.scratch.clear();
        put_uvarint(&mut self.scratch, chunk.data.len() as u64);
        self.scratch.extend_from_slice(&encoding);
        let record = self.scratch.len() + chunk.data.len() + crate::bytes::CRC_BYTES;
        self.largest_bytes = self.largest_bytes.max(record as u64);
        self.make_room(record as u64)?;
        let Some(open) = &mut self.open else { unreachable!("room was made in an open segment") };
        let reference = (self.count - 1) << 32 | open.offset();
        open.put(&self.scratch)?;
        open.put(chunk.data)?;
        open.put(&crc.take().to_be_bytes())?;
        Ok(reference)
    }

    /// The length of the largest chunk with all around it.
    pub(super) fn largest_bytes(&self) -> u64 {
        self.largest_bytes
    }

    pub(super) fn finish(mut self) -> Result<()> {
        self.close()?;
        self.fs.sync_dir(&self.dir).map_err(|e| Error::io(format!("syncing {}", self.dir.display()), e))
    }

    fn make_room(&mut self, record_bytes: u64) -> Result<()> {
        let header = HEADER.len() as u64;
        // A chunk that is larger than a segment gets one of its own.
        let full = |o: &Output| o.offset() > header && o.offset() + record_bytes > self.max_bytes;
        if self.open.as_ref().is_some_and(|open| !full(open)) {
            return Ok(());
        }
        self.close()?;
        self.count += 1;
        let mut next = Output::create(&*self.fs, self.dir.join(format!("{:06}", self.count)))?;
        next.put(&HEADER)?;
        self.open = Some(next);
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.open.take().map_or(Ok(()), |mut open| open.sync())
    }
}
