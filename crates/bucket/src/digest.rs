//! SHA-256 of bytes and files, as small letters of hexadecimal digits.

use nilometer_env::{File, Fs};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::io;
use std::path::Path;

/// How much of a file is in memory at a time.
const PIECE_BYTES: usize = 128 << 10;

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A digest that is fed piece by piece.
#[derive(Default)]
pub(crate) struct Running(Sha256);

impl Running {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

/// SHA-256 of a file.
pub(crate) fn of_file(fs: &dyn Fs, path: &Path) -> io::Result<String> {
    let file = fs.open(path)?;
    let mut running = Running::default();
    for_each_piece(&*file, |piece| {
        running.update(piece);
        Ok(())
    })?;
    Ok(running.finish())
}

/// All bytes of a file in order; says how many.
pub(crate) fn for_each_piece(
    file: &dyn File,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let len = file.len()?;
    let mut buffer = vec![0; PIECE_BYTES.min(usize::try_from(len).unwrap_or(PIECE_BYTES))];
    let mut at = 0;
    while at < len {
        let piece = &mut buffer[..PIECE_BYTES.min(usize::try_from(len - at).unwrap_or(PIECE_BYTES))];
        file.read_exact_at(piece, at)?;
        take(piece)?;
        at += piece.len() as u64;
    }
    Ok(len)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
