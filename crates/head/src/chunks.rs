//! Closed chunks of a tenant: appended to files, read by position.
//!
//! Each file holds chunks of one range of time, so a cut drops whole files. A file is a frame file
//! (`frame.rs`) whose bodies are
//!
//! ```text
//! ┌───────────────┬──────────────┬────────────┬────────────┬─────────────┬──────┐
//! │ series id u64 │ previous u64 │ min_ms i64 │ max_ms i64 │ encoding u8 │ data │
//! └───────────────┴──────────────┴────────────┴────────────┴─────────────┴──────┘
//! ```
//!
//! `previous` is the position of the series' chunk before this one, so that memory holds one position a series.

mod file;
mod hot;
mod pages;
mod sync;
mod written;

pub(crate) use hot::HotChunks;
pub(crate) use pages::Pages;
pub(crate) use written::Written;

use crate::frame::{Found, Frames, Framing};
use crate::open::Packed;
use file::ChunkFile;
use nilometer_chunk::Encoding;
use nilometer_env::{Fs, Random};
use nilometer_model::{Error, Result, TimeRange};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: [u8; 4] = *b"NCHK";
const BODY_HEAD_BYTES: usize = 33;

/// A file is left for another when it is longer.
const FILE_BYTES: u64 = 1 << 30;

/// Where a closed chunk is: the number of its file, and its offset there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ChunkPos(u64);

impl ChunkPos {
    pub(crate) const NONE: ChunkPos = ChunkPos(0);

    fn new(file: u32, offset: u64) -> Self {
        ChunkPos(u64::from(file) << 32 | offset)
    }

    fn file(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn offset(self) -> u64 {
        self.0 & u64::from(u32::MAX)
    }

    pub(crate) fn to_bits(self) -> u64 {
        self.0
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        ChunkPos(bits)
    }

    pub(crate) fn is_none(self) -> bool {
        self == ChunkPos::NONE
    }
}

/// A chunk as it lies in what was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body<'a> {
    pub(crate) series: u64,
    pub(crate) previous: ChunkPos,
    pub(crate) range: TimeRange,
    pub(crate) encoding: Encoding,
    pub(crate) data: &'a [u8],
}

impl Body<'_> {
    fn closed(self) -> ClosedChunk {
        let Body { series, previous, range, encoding, data } = self;
        ClosedChunk { series, previous, packed: Packed { range, encoding, data: data.to_vec() } }
    }
}

/// A chunk read back.
#[derive(Debug)]
pub(crate) struct ClosedChunk {
    pub(crate) series: u64,
    pub(crate) previous: ChunkPos,
    pub(crate) packed: Packed,
}

/// Of each file by number: the start of its range, and its length in bytes.
pub(crate) type FileLengths = BTreeMap<u32, (i64, u64)>;

/// The files of one tenant. What was put is in files after [`ChunkFiles::write`], on stable storage after
/// [`ChunkFiles::synced`].
pub(crate) struct ChunkFiles {
    fs: Arc<dyn Fs>,
    random: Arc<dyn Random>,
    dir: PathBuf,
    files: BTreeMap<u32, ChunkFile>,
    /// Files that have no head that can be read, and those that should be there and are not: by number, with
    /// the starts of their ranges.
    damaged: BTreeMap<u32, i64>,
    /// The file that takes chunks of a range, by the range's start.
    taking: BTreeMap<i64, u32>,
    /// New names in the folder are not durable yet.
    unnamed: bool,
}

impl ChunkFiles {
    /// Opens what is there; new chunks go to new files.
    pub(crate) fn open(fs: Arc<dyn Fs>, random: Arc<dyn Random>, dir: &Path) -> Result<Self> {
        fs.create_dir_all(dir).map_err(|e| Error::io(format!("creating {}", dir.display()), e))?;
        let (mut files, mut damaged) = (BTreeMap::new(), BTreeMap::new());
        for entry in fs.read_dir(dir).map_err(|e| Error::io(format!("listing {}", dir.display()), e))? {
            if entry.name.ends_with(".copy") {
                let path = dir.join(&entry.name);
                fs.remove_file(&path).map_err(|e| Error::io(format!("removing {}", path.display()), e))?;
            }
            let Some((number, range_start_ms)) = file::parse_name(&entry.name) else { continue };
            let path = dir.join(&entry.name);
            match file::open(&*fs, &path, range_start_ms)? {
                Some(file) => {
                    files.insert(number, file);
                }
                None => {
                    damaged.insert(number, range_start_ms);
                }
            }
        }
        let (taking, dir) = (BTreeMap::new(), dir.to_owned());
        Ok(ChunkFiles { fs, random, dir, files, damaged, taking, unnamed: false })
    }

    /// Takes a chunk of the range that starts at `range_start_ms`.
    pub(crate) fn put(
        &mut self,
        range_start_ms: i64,
        series: u64,
        previous: ChunkPos,
        chunk: &Packed,
    ) -> ChunkPos {
        let number = self.file_for(range_start_ms);
        let file = self.files.get_mut(&number).expect("the file that takes chunks is there");
        let mut body = Vec::with_capacity(BODY_HEAD_BYTES + chunk.data.len());
        body.extend_from_slice(&series.to_le_bytes());
        body.extend_from_slice(&previous.0.to_le_bytes());
        body.extend_from_slice(&chunk.range.min_ms.to_le_bytes());
        body.extend_from_slice(&chunk.range.max_ms.to_le_bytes());
        body.push(chunk.encoding.byte());
        body.extend_from_slice(&chunk.data);
        let pos = ChunkPos::new(number, file.len);
        let before = file.waiting.len();
        file.framing.push(&mut file.waiting, file.len, &body);
        file.len += (file.waiting.len() - before) as u64;
        pos
    }

    fn file_for(&mut self, range_start_ms: i64) -> u32 {
        if let Some(&number) = self.taking.get(&range_start_ms)
            && self.files.get(&number).is_some_and(|f| f.len < FILE_BYTES)
        {
            return number;
        }
        let number = self.new_number();
        let framing = Framing::new(&*self.random);
        let waiting = framing.file_head(MAGIC);
        let len = waiting.len() as u64;
        let file =
            ChunkFile { range_start_ms, framing, file: None, len, waiting, synced_len: 0, lost_sync: false };
        self.files.insert(number, file);
        self.taking.insert(range_start_ms, number);
        number
    }

    /// Numbers are drawn, not counted: older chunks may name files that are gone, and those must not come
    /// again with other contents.
    fn new_number(&self) -> u32 {
        loop {
            let number = self.random.u64() as u32;
            if number != 0 && !self.files.contains_key(&number) && !self.damaged.contains_key(&number) {
                return number;
            }
        }
    }

    /// Bytes that are in memory only, since they could not be written yet.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.files.values().map(|f| f.waiting.len()).sum()
    }

    /// Whether the chunk at `pos` is in a file that should be whole and is not.
    pub(crate) fn is_damaged(&self, pos: ChunkPos) -> bool {
        self.damaged.contains_key(&pos.file())
    }

    /// The starts of the ranges that have files.
    pub(crate) fn range_starts(&self) -> impl Iterator<Item = i64> {
        self.files.values().map(|f| f.range_start_ms)
    }

    /// Where the range of the chunk at `pos` starts; `None` where its file is gone.
    pub(crate) fn range_start_ms(&self, pos: ChunkPos) -> Option<i64> {
        self.files.get(&pos.file()).map(|f| f.range_start_ms)
    }

    /// Hands what waits to the system. What could not be written goes on waiting, readable all the same.
    pub(crate) fn write(&mut self) -> Result<()> {
        let mut failed = Ok(());
        for (number, file) in self.files.iter_mut().filter(|(_, f)| !f.waiting.is_empty()) {
            let path = || self.dir.join(file::name(*number, file.range_start_ms));
            let written = match &file.file {
                Some(open) => open.append(&file.waiting),
                None => self.fs.create(&path()).and_then(|new| {
                    self.unnamed = true;
                    new.append(&file.waiting)?;
                    file.file = Some(new);
                    Ok(())
                }),
            };
            match written {
                Ok(()) => {
                    file.waiting.clear();
                    file.waiting.shrink_to(64 << 10);
                }
                Err(e) => {
                    if file.file.is_none() {
                        // A half-made file must not be in the way of the next try.
                        let _ = self.fs.remove_file(&path());
                    }
                    failed = Err(Error::io(format!("writing closed chunks in {}", self.dir.display()), e));
                }
            }
        }
        failed
    }

    pub(crate) fn get(&self, pos: ChunkPos) -> Result<ClosedChunk> {
        let file = self.file(pos)?;
        let bytes = file.read(pos.offset()).map_err(cannot_read)?;
        self.parse(file, pos, &bytes)
    }

    fn file(&self, pos: ChunkPos) -> Result<&ChunkFile> {
        let gone = || match self.damaged.get(&pos.file()) {
            Some(&start_ms) => {
                let path = self.dir.join(file::name(pos.file(), start_ms));
                Error::corrupt(
                    path.display().to_string(),
                    pos.offset(),
                    "a file of closed chunks is damaged or gone",
                )
            }
            None => Error::not_found(format!("the file of a closed chunk in {} is gone", self.dir.display())),
        };
        self.files.get(&pos.file()).ok_or_else(gone)
    }

    fn parse(&self, file: &ChunkFile, pos: ChunkPos, bytes: &[u8]) -> Result<ClosedChunk> {
        let corrupt = |what: &str| {
            let path = self.dir.join(file::name(pos.file(), file.range_start_ms));
            Error::corrupt(path.display().to_string(), pos.offset(), what)
        };
        let body =
            file.framing.body_at(bytes, pos.offset()).ok_or_else(|| corrupt("a closed chunk is damaged"))?;
        parse_body(body).map(Body::closed).ok_or_else(|| corrupt("a closed chunk is none"))
    }

    pub(crate) fn lengths(&self) -> FileLengths {
        self.files.iter().map(|(number, file)| (*number, (file.range_start_ms, file.len))).collect()
    }

    /// Files that cannot be read at all.
    pub(crate) fn damaged(&self) -> impl Iterator<Item = PathBuf> {
        self.damaged.iter().map(|(number, start_ms)| self.dir.join(file::name(*number, *start_ms)))
    }

    /// Forgets what is in no file of `lengths`, or behind its length there: chunks of a process that died
    /// before the log had their samples, or whose samples the log gives again. What should be there and is not
    /// counts as damaged, unless a cut that is in the log took it. Only `remove` deletes anything.
    pub(crate) fn keep_only(&mut self, lengths: &FileLengths, remove: bool) -> Result<()> {
        let unneeded: Vec<_> =
            self.damaged.extract_if(.., |number, _| remove && !lengths.contains_key(number)).collect();
        for (number, start_ms) in unneeded {
            // A process that died while it made the file.
            let path = self.dir.join(file::name(number, start_ms));
            self.fs.remove_file(&path).map_err(|e| Error::io(format!("removing {}", path.display()), e))?;
        }
        for (number, file) in &mut self.files {
            match lengths.get(number) {
                Some((_, len)) => file.len = file.len.min(*len),
                None if !remove => {}
                None => {
                    let path = self.dir.join(file::name(*number, file.range_start_ms));
                    self.fs
                        .remove_file(&path)
                        .map_err(|e| Error::io(format!("removing {}", path.display()), e))?;
                }
            }
        }
        self.files.retain(|number, _| !remove || lengths.contains_key(number));
        for (number, (start_ms, _)) in lengths.iter().filter(|(number, _)| !self.files.contains_key(number)) {
            self.damaged.insert(*number, *start_ms);
        }
        Ok(())
    }

    /// The chunks of some series, found by reading all files: for when what pointed to them is damaged.
    pub(crate) fn of_series(&self, wanted: impl Fn(u64) -> bool) -> Result<Vec<(u64, TimeRange, ChunkPos)>> {
        let mut found = Vec::new();
        for (number, file) in &self.files {
            let bytes = file
                .all()
                .map_err(|e| Error::io(format!("reading closed chunks in {}", self.dir.display()), e))?;
            for frame in Frames::new(file.framing, &bytes) {
                let Found::Body { offset, body } = frame else { continue };
                if let Some(body) = parse_body(body).filter(|b| wanted(b.series)) {
                    found.push((body.series, body.range, ChunkPos::new(*number, offset)));
                }
            }
        }
        Ok(found)
    }

    /// Removes the files of ranges that start before `end_ms`, where `keep` does not hold them back.
    pub(crate) fn drop_ranges(&mut self, end_ms: i64, keep: impl Fn(i64) -> bool) -> Result<()> {
        let gone = |start: i64| start < end_ms && !keep(start);
        self.damaged.retain(|_, start| !gone(*start));
        let numbers: Vec<u32> =
            self.files.iter().filter(|(_, f)| gone(f.range_start_ms)).map(|(number, _)| *number).collect();
        for number in numbers {
            if let Some(file) = self.files.remove(&number) {
                self.taking.remove(&file.range_start_ms);
                if file.file.is_some() {
                    let path = self.dir.join(file::name(number, file.range_start_ms));
                    self.fs
                        .remove_file(&path)
                        .map_err(|e| Error::io(format!("removing {}", path.display()), e))?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.files.values().map(|f| f.waiting.capacity() + size_of::<ChunkFile>()).sum()
    }
}

fn cannot_read(e: std::io::Error) -> Error {
    Error::io("reading a closed chunk", e)
}

fn parse_body(body: &[u8]) -> Option<Body<'_>> {
    let (head, data) = body.split_at_checked(BODY_HEAD_BYTES)?;
    let number = |from: usize| Some(u64::from_le_bytes(*head[from..].first_chunk()?));
    let range = TimeRange::new(number(16)? as i64, number(24)? as i64);
    let encoding = Encoding::from_byte(head[32]).ok()?;
    Some(Body { series: number(0)?, previous: ChunkPos(number(8)?), range, encoding, data })
}

#[cfg(test)]
mod tests;
