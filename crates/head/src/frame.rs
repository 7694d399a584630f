//! Files made of checked frames: the one form of every append-only file of the head.
//!
//! ```text
//! file   ┌──────┬──────────────┬───────┬───────┬───
//!        │ head │ head, again  │ frame │ frame │ …                all little endian
//!        └──────┴──────────────┴───────┴───────┴───
//! head   ┌───────────┬─────────────┬──────────┬─────────┐
//!        │ magic 4 B │ version u32 │ salt u64 │ crc u32 │
//!        └───────────┴─────────────┴──────────┴─────────┘
//! frame  ┌─────────┬─────────────┬──────────────┬─────────────┐
//!        │ len u32 │ head crc u32│ body crc u32 │ body, len B │
//!        └─────────┴─────────────┴──────────────┴─────────────┘
//! ```
//!
//! Both checksums are CRC-32C over the file's random salt, the frame's offset, and what they cover (`len`; the
//! body). The head stands twice, so that no single damaged byte costs the file. So a reader can look for the next whole frame behind a damaged one, and no bytes that a client sends
//! can pose as one: it knows neither salt nor offset.

use nilometer_env::{File, Fs, Random};
use nilometer_model::{Error, Result};
use std::io;
use std::path::Path;
use std::sync::Arc;

pub(crate) const FILE_HEAD_BYTES: usize = 2 * HEAD_BYTES;
const HEAD_BYTES: usize = 20;
pub(crate) const FRAME_HEAD_BYTES: usize = 12;
const VERSION: u32 = 1;

/// Turns bodies into frames of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Framing {
    salt: u64,
}

impl Framing {
    /// A new file with its head written, not yet synced.
    pub(crate) fn create(
        fs: &dyn Fs,
        path: &Path,
        magic: [u8; 4],
        random: &dyn Random,
    ) -> io::Result<(Framing, Arc<dyn File>)> {
        let framing = Framing::new(random);
        let file = fs.create(path)?;
        file.append(&framing.file_head(magic))?;
        Ok((framing, file))
    }

    pub(crate) fn new(random: &dyn Random) -> Framing {
        Framing { salt: random.u64() }
    }

    pub(crate) fn salt(self) -> u64 {
        self.salt
    }

    pub(crate) fn file_head(self, magic: [u8; 4]) -> Vec<u8> {
        let mut head = Vec::with_capacity(FILE_HEAD_BYTES);
        head.extend_from_slice(&magic);
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&self.salt.to_le_bytes());
        head.extend_from_slice(&crc32c(&[&head]).to_le_bytes());
        head.extend_from_within(..);
        head
    }

    /// Reads a file's head. An unfinished one (shorter than it must be) is `None`: such a file was never
    /// counted on.
    pub(crate) fn open(file: &[u8], magic: [u8; 4], path: &Path) -> Result<Option<Framing>> {
        let Some(heads) = file.get(..FILE_HEAD_BYTES) else { return Ok(None) };
        for head in heads.chunks_exact(HEAD_BYTES) {
            let at = |from: usize| {
                u32::from_le_bytes([head[from], head[from + 1], head[from + 2], head[from + 3]])
            };
            if head[..4] != magic || crc32c(&[&head[..16]]) != at(16) {
                continue;
            }
            if at(4) > VERSION {
                return Err(Error::invalid(format!(
                    "{} has version {}, this program reads up to {VERSION}: start the newer program that wrote it",
                    path.display(),
                    at(4)
                )));
            }
            return Ok(Some(Framing { salt: u64::from(at(8)) | u64::from(at(12)) << 32 }));
        }
        Err(Error::corrupt(path.display().to_string(), 0, "the file's head is damaged"))
    }

    /// Appends the frame of `body`, which will stand at `offset` in its file, to `out`.
    ///
    /// # Panics
    /// If the body is longer than `u32::MAX` bytes: callers bound it far below.
    pub(crate) fn push(self, out: &mut Vec<u8>, offset: u64, body: &[u8]) {
        let len = u32::try_from(body.len()).expect("a frame's body is bounded by its writer");
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&self.head_crc(offset, len).to_le_bytes());
        out.extend_from_slice(&self.body_crc(offset, body).to_le_bytes());
        out.extend_from_slice(body);
    }

    fn head_crc(self, offset: u64, len: u32) -> u32 {
        crc32c(&[&self.salt.to_le_bytes(), &offset.to_le_bytes(), &len.to_le_bytes()])
    }

    fn body_crc(self, offset: u64, body: &[u8]) -> u32 {
        crc32c(&[&self.salt.to_le_bytes(), &offset.to_le_bytes(), body])
    }

    /// The body's length, if a frame's head that is whole stands at `offset`.
    fn head_at(self, bytes: &[u8], offset: u64) -> Option<u32> {
        let len = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
        let crc = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?);
        (self.head_crc(offset, len) == crc).then_some(len)
    }

    /// The body of the frame that stands in `bytes`, which were read at `offset`.
    pub(crate) fn body_at(self, bytes: &[u8], offset: u64) -> Option<&[u8]> {
        let len = self.head_at(bytes, offset)?;
        let crc = u32::from_le_bytes(bytes.get(8..12)?.try_into().ok()?);
        let body = bytes.get(FRAME_HEAD_BYTES..)?.get(..len as usize)?;
        (self.body_crc(offset, body) == crc).then_some(body)
    }
}

fn crc32c(parts: &[&[u8]]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    for part in parts {
        digest.update(part);
    }
    digest.finalize() as u32
}

/// What a walk over a file meets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    Body {
        offset: u64,
        body: &'a [u8],
    },
    /// Bytes between whole frames that are none.
    Damaged {
        offset: u64,
        bytes: u64,
    },
    /// Bytes behind the last whole frame: an unfinished write, or damage to the last frame.
    Tail {
        offset: u64,
        bytes: u64,
    },
}

/// Walks the frames of a file's bytes, head included.
pub(crate) struct Frames<'a> {
    framing: Framing,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Frames<'a> {
    pub(crate) fn new(framing: Framing, bytes: &'a [u8]) -> Self {
        Frames { framing, bytes, at: FILE_HEAD_BYTES.min(bytes.len()) }
    }

    fn body_at(&self, at: usize) -> Option<&'a [u8]> {
        self.framing.body_at(&self.bytes[at..], at as u64)
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Found<'a>;

    fn next(&mut self) -> Option<Found<'a>> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let start = self.at;
        if let Some(body) = self.body_at(start) {
            self.at += FRAME_HEAD_BYTES + body.len();
            return Some(Found::Body { offset: start as u64, body });
        }
        // Where the head is whole, only its body is damaged, and the next frame's place is known.
        let whole_head = self.framing.head_at(&self.bytes[start..], start as u64);
        let jump = whole_head.map_or(start + 1, |len| start + FRAME_HEAD_BYTES + len as usize);
        let next = (jump..self.bytes.len()).find(|&at| self.body_at(at).is_some());
        self.at = next.unwrap_or(self.bytes.len());
        let (offset, bytes) = (start as u64, (self.at - start) as u64);
        Some(if next.is_some() { Found::Damaged { offset, bytes } } else { Found::Tail { offset, bytes } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nilometer_env::sim::{SimFs, SimRandom};

    const MAGIC: [u8; 4] = *b"TEST";

    fn file_of(bodies: &[&[u8]]) -> (Framing, Vec<u8>, Vec<usize>) {
        let fs = SimFs::new(1);
        fs.create_dir_all(Path::new("/d")).unwrap();
        let (framing, file) = Framing::create(&fs, Path::new("/d/f"), MAGIC, &SimRandom::new(7)).unwrap();
        let mut offsets = Vec::new();
        for body in bodies {
            let (offset, mut out) = (file.len().unwrap(), Vec::new());
            offsets.push(offset as usize);
            framing.push(&mut out, offset, body);
            file.append(&out).unwrap();
        }
        (framing, fs.read(Path::new("/d/f")).unwrap(), offsets)
    }

    fn walk(bytes: &[u8]) -> Vec<String> {
        let framing = Framing::open(bytes, MAGIC, Path::new("f")).unwrap().unwrap();
        Frames::new(framing, bytes)
            .map(|found| match found {
                Found::Body { body, .. } => String::from_utf8_lossy(body).into_owned(),
                Found::Damaged { bytes, .. } => format!("damaged {bytes}"),
                Found::Tail { bytes, .. } => format!("tail {bytes}"),
            })
            .collect()
    }

    #[test]
    fn every_flipped_bit_costs_its_frame_only() {
        let (_, bytes, offsets) = file_of(&[b"one", b"two", b"three"]);
        assert_eq!(walk(&bytes), ["one", "two", "three"]);
        for bit in offsets[1] * 8..offsets[2] * 8 {
            let mut hurt = bytes.clone();
            hurt[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(walk(&hurt), ["one", "damaged 15", "three"], "bit {bit}");
        }
    }

    #[test]
    fn every_cut_leaves_a_tail() {
        let (_, bytes, offsets) = file_of(&[b"one", b"two"]);
        for end in offsets[1] + 1..bytes.len() {
            assert_eq!(walk(&bytes[..end]), ["one".to_owned(), format!("tail {}", end - offsets[1])]);
        }
        assert!(Framing::open(&bytes[..10], MAGIC, Path::new("f")).unwrap().is_none());
    }

    #[test]
    fn a_damaged_head_costs_nothing() {
        let (_, bytes, _) = file_of(&[b"one"]);
        for bit in 0..FILE_HEAD_BYTES * 8 {
            let mut hurt = bytes.clone();
            hurt[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(walk(&hurt), ["one"], "bit {bit}");
        }
    }

    #[test]
    fn a_frame_inside_a_body_is_not_one() {
        let (framing, _, offsets) = file_of(&[b"one"]);
        let mut inner = Vec::new();
        framing.push(&mut inner, offsets[0] as u64, b"forged");
        let (_, mut bytes, offsets) = file_of(&[&inner, b"two"]);
        bytes[offsets[0]] ^= 1;
        assert_eq!(walk(&bytes), [format!("damaged {}", offsets[1] - offsets[0]), "two".to_owned()]);
    }

    #[test]
    fn a_newer_file_is_refused_with_words() {
        let (_, mut bytes, _) = file_of(&[]);
        for head in bytes.chunks_exact_mut(HEAD_BYTES).take(2) {
            head[4] = 2;
            let crc = crc32c(&[&head[..16]]);
            head[16..].copy_from_slice(&crc.to_le_bytes());
        }
        let error = Framing::open(&bytes, MAGIC, Path::new("f")).unwrap_err();
        assert!(error.to_string().contains("version 2"), "{error}");
    }
}
