//! What was found in a bucket, on disk for the next start: with a hundred thousand blocks a listing takes longer than
//! anybody wants to wait, and so does reading each `meta.json` again.
//!
//! One file of lines, one for each block that was new or had changed, and one for each that was gone; the last one
//! counts. It is a cache: nothing waits until it is on disk, a line that cannot be read is left out, and when most
//! lines are outdated it is written anew.

use crate::inventory::{Listed, Objects};
use nilometer_env::{File, Fs};
use nilometer_model::{BlockMeta, Ulid};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FILE: &str = "blocks.jsonl";
/// So much is read or written at once.
const PIECE_BYTES: usize = 1 << 20;
/// Outdated lines that never matter.
const SPARE_LINES: usize = 1000;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Block(Box<BlockLine>),
    Gone(Ulid),
}

#[derive(Serialize, Deserialize)]
struct BlockLine {
    meta: BlockMeta,
    objects: Objects,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    marked_ms: Option<i64>,
    #[serde(default)]
    no_compact: bool,
    #[serde(default)]
    no_downsample: bool,
}

impl From<&Listed> for BlockLine {
    fn from(listed: &Listed) -> Self {
        let Listed { meta, objects, marked_ms, no_compact, no_downsample } = listed.clone();
        let (meta, objects) = (Arc::unwrap_or_clone(meta), Arc::unwrap_or_clone(objects));
        BlockLine { meta, objects, marked_ms, no_compact, no_downsample }
    }
}

impl From<BlockLine> for Listed {
    fn from(line: BlockLine) -> Self {
        let BlockLine { meta, objects, marked_ms, no_compact, no_downsample } = line;
        Listed { meta: Arc::new(meta), objects: Arc::new(objects), marked_ms, no_compact, no_downsample }
    }
}

pub(crate) struct Remembered {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    out: Lines,
    /// In the file, or soon.
    lines: usize,
    /// It was told that this does not work.
    failed: bool,
}

impl Remembered {
    pub(crate) fn new(fs: Arc<dyn Fs>, dir: &Path) -> Self {
        let path = dir.join(FILE);
        Remembered { fs, path, out: Lines::default(), lines: 0, failed: false }
    }

    /// What was noted before.
    pub(crate) fn recall(&mut self) -> BTreeMap<Ulid, Listed> {
        let mut blocks = BTreeMap::new();
        if self.fs.exists(&self.path)
            && let Err(e) = self.read_lines(&mut blocks)
        {
            tracing::warn!(path = %self.path.display(), error = %e, "what is remembered of a bucket cannot be read; the bucket is asked");
        }
        blocks
    }

    fn read_lines(&mut self, blocks: &mut BTreeMap<Ulid, Listed>) -> io::Result<()> {
        let file = self.fs.open(&self.path)?;
        let (len, mut at, mut text) = (file.len()?, 0, Vec::new());
        while at < len {
            let piece = PIECE_BYTES.min((len - at) as usize);
            let before = text.len();
            text.resize(before + piece, 0);
            file.read_exact_at(&mut text[before..], at)?;
            at += piece as u64;
            let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            for line in text[..whole].split(|byte| *byte == b'\n') {
                self.lines += 1;
                match serde_json::from_slice(line) {
                    Ok(Line::Block(block)) => {
                        blocks.insert(block.meta.ulid, (*block).into());
                    }
                    Ok(Line::Gone(block)) => {
                        blocks.remove(&block);
                    }
                    Err(_) => {}
                }
            }
            text.drain(..whole);
        }
        if !text.is_empty() {
            // A process ended in the middle of this line.
            self.out.waiting.push(b'\n');
        }
        Ok(())
    }

    pub(crate) fn note(&mut self, listed: &Listed) {
        self.add(&Line::Block(Box::new(listed.into())));
    }

    pub(crate) fn note_gone(&mut self, block: Ulid) {
        self.add(&Line::Gone(block));
    }

    fn add(&mut self, line: &Line) {
        self.lines += 1;
        let added = self.out.add(line, &*self.fs, &self.path);
        self.tell(&added);
    }

    /// Writes what was noted; all of `blocks` anew where most of the file is outdated.
    pub(crate) fn settle(&mut self, blocks: &BTreeMap<Ulid, Listed>) {
        let settled = if self.lines <= blocks.len() * 2 + SPARE_LINES {
            self.out.flush(&*self.fs, &self.path)
        } else {
            self.write_anew(blocks)
        };
        self.tell(&settled);
    }

    fn write_anew(&mut self, blocks: &BTreeMap<Ulid, Listed>) -> io::Result<()> {
        let path = self.path.with_extension("new");
        if self.fs.exists(&path) {
            self.fs.remove_file(&path)?;
        }
        let mut out = Lines::default();
        for listed in blocks.values() {
            out.add(&Line::Block(Box::new(listed.into())), &*self.fs, &path)?;
        }
        out.flush(&*self.fs, &path)?;
        self.fs.rename(&path, &self.path)?;
        (self.out, self.lines) = (Lines::default(), blocks.len());
        Ok(())
    }

    fn tell(&mut self, done: &io::Result<()>) {
        if let Err(e) = done
            && !self.failed
        {
            tracing::warn!(path = %self.path.display(), error = %e, "what a bucket has cannot be remembered: the next start takes longer");
        }
        self.failed = done.is_err();
    }
}

/// Lines on their way to a file.
#[derive(Default)]
struct Lines {
    file: Option<Arc<dyn File>>,
    waiting: Vec<u8>,
}

impl Lines {
    fn add(&mut self, line: &Line, fs: &dyn Fs, path: &Path) -> io::Result<()> {
        serde_json::to_writer(&mut self.waiting, line)?;
        self.waiting.push(b'\n');
        if self.waiting.len() < PIECE_BYTES { Ok(()) } else { self.flush(fs, path) }
    }

    /// What cannot be written now is not written later.
    fn flush(&mut self, fs: &dyn Fs, path: &Path) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return Ok(());
        }
        if self.file.is_none() {
            path.parent().map_or(Ok(()), |dir| fs.create_dir_all(dir))?;
            self.file = Some(if fs.exists(path) { fs.open(path)? } else { fs.create(path)? });
        }
        self.file.as_ref().map_or(Ok(()), |file| file.append(&waiting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nilometer_env::sim::SimFs;

    fn listed(number: u64, no_compact: bool) -> Listed {
        let meta = BlockMeta {
            ulid: Ulid::new(number, [0; 10]),
            version: BlockMeta::VERSION,
            ..BlockMeta::default()
        };
        let objects = Objects::from([("index".to_owned(), number)]);
        Listed {
            meta: Arc::new(meta),
            objects: Arc::new(objects),
            marked_ms: None,
            no_compact,
            no_downsample: false,
        }
    }

    fn shown(blocks: &BTreeMap<Ulid, Listed>) -> Vec<(u64, u64, bool)> {
        blocks.iter().map(|(ulid, l)| (ulid.ms(), l.objects["index"], l.no_compact)).collect()
    }

    #[test]
    fn the_last_line_counts_and_outdated_ones_go() {
        let fs: Arc<dyn Fs> = Arc::new(SimFs::new(1));
        let open = || Remembered::new(fs.clone(), Path::new("/meta"));
        let mut one = open();
        assert!(one.recall().is_empty());
        let mut blocks: BTreeMap<Ulid, Listed> =
            (1..=3).map(|n| (Ulid::new(n, [0; 10]), listed(n, false))).collect();
        blocks.values().for_each(|listed| one.note(listed));
        one.note(&listed(2, true));
        one.note_gone(Ulid::new(3, [0; 10]));
        blocks.remove(&Ulid::new(3, [0; 10]));
        one.settle(&blocks);
        let mut two = open();
        assert_eq!(shown(&two.recall()), [(1, 1, false), (2, 2, true)]);
        // A process ends in the middle of a line.
        let path = Path::new("/meta").join(FILE);
        fs.open(&path).unwrap().append(b"{\"block\":{\"me").unwrap();
        let mut three = open();
        assert_eq!(shown(&three.recall()), [(1, 1, false), (2, 2, true)]);
        three.note(&listed(4, false));
        for _ in 0..SPARE_LINES {
            three.note(&listed(1, true));
        }
        blocks.insert(Ulid::new(4, [0; 10]), listed(4, false));
        blocks.insert(Ulid::new(1, [0; 10]), listed(1, true));
        three.settle(&blocks);
        let expected = [(1, 1, true), (2, 2, false), (4, 4, false)];
        assert_eq!(shown(&open().recall()), expected, "as it was told at the end");
        let len = fs.read(&path).unwrap().len();
        three.note(&listed(5, false));
        three.settle(&blocks);
        assert!(fs.read(&path).unwrap().len() > len && len < 2_000, "{len}");
        assert_eq!(open().recall().len(), 4);
    }
}
