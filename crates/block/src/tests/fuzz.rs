//! A short, seeded run of what the fuzz targets do at length.

use super::fixture::*;
use crate::bytes::CRC_BYTES;
use crate::fuzz::{self, Parts};
use crate::index::series::ALIGN_BYTES;
use crate::index::toc::Toc;
use crate::segments;
use crate::source::Source;
use nilometer_env::sim::SimRandom;
use nilometer_env::{Fs, Random};
use std::path::Path;

/// The sections of a real block.
fn parts() -> Parts {
    let data: Data = some_data().into_iter().step_by(9).collect();
    let (sim, block) = block(&data);
    let index = sim.read(&block.path().join("index")).unwrap();
    let toc = Toc::read(&Source::open(&sim, &block.path().join("index")).unwrap()).unwrap();
    let slice = |from: u64, to: u64| index[from as usize..to as usize].to_vec();
    let section = |from: u64, end: u64| slice(from + 4, end - CRC_BYTES as u64);
    let chunks = sim.read(&block.path().join(Path::new("chunks/000001"))).unwrap();
    Parts {
        symbols: section(toc.symbols, toc.series),
        series: slice(toc.series.next_multiple_of(ALIGN_BYTES), toc.label_indices),
        postings: slice(toc.postings, toc.postings_table),
        table: section(toc.postings_table, (index.len() - Toc::LEN) as u64),
        chunks: chunks[segments::HEADER.len()..].to_vec(),
        tombstones: Vec::new(),
    }
}

#[test]
fn damaged_blocks_with_right_checksums_do_not_panic() {
    let whole = parts();
    assert_eq!(whole.read(), 23, "the sections are put together as they were");
    let random = SimRandom::new(11);
    let mut read = 0;
    for _ in 0..600 {
        let mut parts = whole.clone();
        for _ in 0..=random.below(3) {
            let part = match random.below(8) {
                0 => &mut parts.symbols,
                1..4 => &mut parts.series,
                4 => &mut parts.postings,
                5 => &mut parts.table,
                6 => &mut parts.chunks,
                _ => &mut parts.tombstones,
            };
            mutate(&random, part);
        }
        read += usize::from(parts.read() > 0);
    }
    assert!(read > 300, "most can still be read: {read}");
}

/// Fuzzing starts from a real block.
#[test]
fn the_seed_of_the_fuzz_target_is_a_block() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/block/small");
    let input = parts().to_input();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &input).unwrap();
    }
    assert!(std::fs::read(&path).unwrap() == input, "run with UPDATE_EXPECT=1 to write {}", path.display());
    fuzz::block(&input);
}

fn mutate(random: &SimRandom, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        bytes.resize(1 + random.below(40) as usize, 0);
        random.fill(bytes);
        return;
    }
    let at = random.below(bytes.len() as u64) as usize;
    match random.below(5) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.below(256) as u8,
        2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5) as usize],
        3 => bytes.truncate(at),
        _ => {
            let end = (at + 10).min(bytes.len());
            random.fill(&mut bytes[at..end]);
        }
    }
}

#[test]
fn random_bytes_do_not_panic() {
    let random = SimRandom::new(12);
    for round in 0..3000usize {
        let mut bytes = vec![0; round % 300];
        random.fill(&mut bytes);
        fuzz::block(&bytes);
        fuzz::tombstones(&bytes);
        fuzz::meta(&bytes);
    }
}
