//! What fuzz targets call: blocks of arbitrary bytes whose checksums are right, so that what lies behind the
//! checksums is reached too.

use crate::bytes::{CRC_BYTES, Cursor, crc32c};
use crate::index::Index;
use crate::index::series::ALIGN_BYTES;
use crate::index::toc::{HEADER, SYMBOLS, Toc};
use crate::{Block, Tombstones, segments, verify};
use futures::StreamExt;
use futures::executor::block_on;
use nilometer_env::Fs;
use nilometer_env::sim::SimFs;
use nilometer_model::{BlockMeta, Labels, MatchKind, Matcher, TimeRange};
use nilometer_storage::{LabelQuery, Queryable, Select};
use std::path::Path;
use std::sync::Arc;

/// The contents of a block's sections, without their lengths and checksums.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub(crate) symbols: Vec<u8>,
    /// From the first entry on, entries with their lengths and any checksums.
    pub(crate) series: Vec<u8>,
    /// Lists with their lengths and any checksums.
    pub(crate) postings: Vec<u8>,
    pub(crate) table: Vec<u8>,
    /// Chunks behind the segment's header, with their lengths and any checksums.
    pub(crate) chunks: Vec<u8>,
    pub(crate) tombstones: Vec<u8>,
}

/// A whole block: first the lengths of the sections, 16 bits each, then what is in them.
pub fn block(input: &[u8]) {
    let Some((lens, mut rest)) = input.split_first_chunk::<10>() else { return };
    let mut lens = lens.chunks_exact(2).map(|len| usize::from(u16::from_be_bytes([len[0], len[1]])));
    let mut part = || {
        let (part, left) = rest.split_at(lens.next().unwrap_or(rest.len()).min(rest.len()));
        rest = left;
        part.to_vec()
    };
    let parts = Parts {
        symbols: part(),
        series: part(),
        postings: part(),
        table: part(),
        chunks: part(),
        tombstones: part(),
    };
    parts.read();
}

/// A tombstones file, as it is and with the right frame.
pub fn tombstones(input: &[u8]) {
    for bytes in [input.to_vec(), sealed_tombstones(input)] {
        if let Ok(tombstones) = Tombstones::decode(&bytes, "fuzz") {
            assert_eq!(Tombstones::decode(&tombstones.encode(), "fuzz").ok(), Some(tombstones));
        }
    }
}

/// A `meta.json`: refused, or what is written again says the same.
pub fn meta(input: &[u8]) {
    if let Ok(meta) = BlockMeta::from_json(input) {
        assert_eq!(BlockMeta::from_json(&meta.to_json()).ok(), Some(meta));
    }
}

impl Parts {
    /// What [`block`] takes.
    #[cfg(test)]
    pub(crate) fn to_input(&self) -> Vec<u8> {
        let parts = [&self.symbols, &self.series, &self.postings, &self.table, &self.chunks];
        let mut out: Vec<u8> = parts.iter().flat_map(|part| (part.len() as u16).to_be_bytes()).collect();
        out.extend(parts.into_iter().flatten());
        out.extend(&self.tombstones);
        out
    }

    /// Reads everything in every way. How many series there are.
    pub(crate) fn read(&self) -> usize {
        let (fs, dir) = (Arc::new(SimFs::new(0)), Path::new("/b"));
        let mut chunks = segments::HEADER.to_vec();
        chunks.extend(sealed_chunks(self.chunks.clone()));
        let meta = BlockMeta { version: 1, max_time_ms: i64::MAX, ..BlockMeta::default() };
        let files = [
            (BlockMeta::FILE, meta.to_json()),
            (Index::FILE, self.index()),
            ("chunks/000001", chunks),
            (Tombstones::FILE, sealed_tombstones(&self.tombstones)),
        ];
        fs.create_dir_all(&dir.join(segments::DIR)).expect("a new disk");
        for (name, bytes) in files {
            fs.create(&dir.join(name)).and_then(|f| f.append(&bytes)).expect("a new disk");
        }
        let Ok(block) = Block::new(fs, dir) else { return 0 };
        verify(&block);
        let matcher = |kind, name, value| Matcher::new(kind, name, value).ok();
        let sets = [
            None,
            matcher(MatchKind::Equal, "job", "a"),
            matcher(MatchKind::NotEqual, "job", "a"),
            matcher(MatchKind::Regex, "__name__", "u.*|.+o"),
            matcher(MatchKind::NotRegex, "rare", ".+"),
        ];
        sets.into_iter().map(|m| select(&block, m.into_iter().collect())).max().unwrap_or(0)
    }

    fn index(&self) -> Vec<u8> {
        let mut out = HEADER.to_vec();
        let mut toc = Toc { symbols: SYMBOLS, ..Toc::default() };
        put_section(&mut out, &self.symbols);
        toc.series = out.len() as u64;
        let aligned = out.len().next_multiple_of(ALIGN_BYTES as usize);
        out.resize(aligned, 0);
        out.extend_from_slice(&self.series);
        seal_series(&mut out, aligned);
        toc.label_indices = out.len() as u64;
        out.resize(out.len().next_multiple_of(4), 0);
        toc.postings = out.len() as u64;
        out.extend(sealed_postings(self.postings.clone()));
        toc.postings_table = out.len() as u64;
        toc.label_table = toc.postings_table;
        put_section(&mut out, &self.table);
        out.extend(toc.encode());
        out
    }
}

/// Whatever is found must be in order.
fn select(block: &Block, matchers: Vec<Matcher>) -> usize {
    let mut all = Vec::<Labels>::new();
    for range in [TimeRange::ALL, TimeRange::new(0, 700_000)] {
        let mut stream = block.select(Select::new(matchers.clone(), range));
        let mut found = Vec::new();
        while let Some(Ok(batch)) = block_on(stream.next()) {
            found.extend(batch.series.into_iter().map(|s| s.labels));
        }
        assert!(found.is_sorted_by(|a, b| a < b));
        all = if all.is_empty() { found } else { all };
    }
    let query = LabelQuery { matcher_sets: vec![matchers], range: TimeRange::ALL, limit: 0 };
    for query in [query, LabelQuery::all(TimeRange::ALL)] {
        drop(block_on(block.label_names(query.clone())));
        drop(block_on(block.label_values("job", query)));
    }
    all.len()
}

fn put_section(out: &mut Vec<u8>, content: &[u8]) {
    out.extend((content.len() as u32).to_be_bytes());
    out.extend_from_slice(content);
    out.extend(crc32c(content).to_be_bytes());
}

fn sealed_tombstones(stones: &[u8]) -> Vec<u8> {
    let mut out = Tombstones::default().encode();
    out.truncate(out.len() - CRC_BYTES);
    out.extend_from_slice(stones);
    out.extend(crc32c(stones).to_be_bytes());
    out
}

/// Writes the right checksum behind `bytes[from..to]`, if there is room; says where that ends.
fn seal(bytes: &mut [u8], from: usize, to: usize) -> Option<usize> {
    let crc = crc32c(bytes.get(from..to)?);
    bytes.get_mut(to..to + CRC_BYTES)?.copy_from_slice(&crc.to_be_bytes());
    Some(to + CRC_BYTES)
}

fn seal_series(bytes: &mut [u8], mut at: usize) {
    while at < bytes.len() {
        let mut cursor = Cursor::new(&bytes[at..]);
        let len = cursor.uvarint().and_then(|len| usize::try_from(len).ok()).filter(|len| *len > 0);
        let from = at + cursor.position();
        let end = len.and_then(|len| seal(bytes, from, from.checked_add(len)?));
        at = end.unwrap_or(at + 1).next_multiple_of(ALIGN_BYTES as usize);
    }
}

fn sealed_postings(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    while let Some(len) = Cursor::new(&bytes[at..]).be32() {
        match seal(&mut bytes, at + 4, at + 4 + len as usize) {
            Some(end) => at = end,
            None => break,
        }
    }
    bytes
}

fn sealed_chunks(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    loop {
        let mut cursor = Cursor::new(&bytes[at..]);
        let len = cursor.uvarint().and_then(|len| usize::try_from(len).ok());
        let from = at + cursor.position();
        match len.and_then(|len| seal(&mut bytes, from, from.checked_add(len)?.checked_add(1)?)) {
            Some(end) => at = end,
            None => return bytes,
        }
    }
}
