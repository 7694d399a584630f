//! A file that is written from front to back, through a buffer.

use nilometer_env::{File, Fs};
use nilometer_model::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) struct Output {
    file: Arc<dyn File>,
    path: PathBuf,
    buf: Vec<u8>,
    /// What the file has already.
    written: u64,
}

impl Output {
    const BUF_BYTES: usize = 256 << 10;

    pub(super) fn create(fs: &dyn Fs, path: PathBuf) -> Result<Self> {
        let file = fs.create(&path).map_err(|e| Error::io(format!("creating {}", path.display()), e))?;
        // At once: a vector that grows leaves all of its smaller selves behind.
        Ok(Output { file, path, buf: Vec::with_capacity(Self::BUF_BYTES), written: 0 })
    }

    /// Where the next byte goes.
    pub(super) fn offset(&self) -> u64 {
        self.written + self.buf.len() as u64
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        if self.buf.len() + bytes.len() > Self::BUF_BYTES {
            self.flush()?;
        }
        if bytes.len() >= Self::BUF_BYTES {
            return self.append(bytes);
        }
        self.buf.extend_from_slice(bytes);
        Ok(())
    }

    /// Zeros up to a multiple of `align`.
    pub(super) fn align(&mut self, align: u64) -> Result<()> {
        let zeros = self.offset().next_multiple_of(align) - self.offset();
        self.put(&[0; 16][..zeros as usize])
    }

    /// Everything put so far can be read from the file.
    pub(super) fn flush(&mut self) -> Result<()> {
        let buf = std::mem::take(&mut self.buf);
        let appended = self.append(&buf);
        self.buf = buf;
        self.buf.clear();
        appended
    }

    pub(super) fn sync(&mut self) -> Result<()> {
        self.flush()?;
        self.file.sync().map_err(|e| Error::io(format!("syncing {}", self.path.display()), e))
    }

    pub(super) fn file(&self) -> (Arc<dyn File>, &Path) {
        (self.file.clone(), &self.path)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if !bytes.is_empty() {
            self.file.append(bytes).map_err(|e| Error::io(format!("writing {}", self.path.display()), e))?;
            self.written += bytes.len() as u64;
        }
        Ok(())
    }
}
