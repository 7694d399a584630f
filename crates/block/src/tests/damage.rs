//! Flipped bits, cut and foreign bytes: an error or a warning, never a panic, never another answer.

use super::fixture::*;
use crate::index::series::SeriesEntry;
use crate::index::toc::Toc;
use crate::{Block, BlockDir, verify};
use nilometer_env::sim::SimFs;
use nilometer_env::{Fs, Random};
use nilometer_model::{Kind, MatchKind, Matcher, TimeRange};
use nilometer_storage::{LabelQuery, Queryable, Select};
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn queries() -> Vec<Vec<Matcher>> {
    let m = |kind, name, value| Matcher::new(kind, name, value).unwrap();
    vec![
        vec![],
        vec![Matcher::equal("__name__", "up")],
        vec![Matcher::equal("__name__", "up"), m(MatchKind::Regex, "instance", "host-0.*")],
        vec![m(MatchKind::NotEqual, "job", "a"), m(MatchKind::NotEqual, "rare", "")],
    ]
}

/// Everything that was read is true; what is missing is announced.
fn check(data: &Data, block: &Block, what: &str) -> bool {
    let mut whole = true;
    for matchers in queries() {
        let truth = expected(data, &matchers, TimeRange::ALL);
        match read(block, Select::new(matchers.clone(), TimeRange::ALL)) {
            Err(_) => whole = false,
            Ok((rows, warnings)) => {
                for (labels, samples) in &rows {
                    let (_, all) = truth.iter().find(|t| t.0 == *labels).expect(what);
                    assert!(samples.iter().all(|s| all.contains(s)), "{what}: {labels}");
                }
                assert!(rows == truth || !warnings.is_empty(), "{what}: {matchers:?} is incomplete silently");
                whole &= rows == truth;
            }
        }
        let query = LabelQuery { matcher_sets: vec![matchers], range: TimeRange::ALL, limit: 0 };
        for names in [block.label_names(query.clone()), block.label_values("job", query)] {
            if let Ok(names) = futures::executor::block_on(names) {
                let known = ["__name__", "instance", "job", "rare", "a", "b", "c"];
                assert!(names.names.iter().all(|n| known.contains(&n.as_str())), "{what}: {:?}", names.names);
            }
        }
    }
    whole
}

fn with_file(path: &Path, bytes: &[u8], template: &[(PathBuf, Vec<u8>)]) -> Arc<dyn Fs> {
    let (sim, fs) = disk(1);
    for (name, content) in template {
        sim.create_dir_all(name.parent().unwrap()).unwrap();
        let file = sim.create(name).unwrap();
        file.append(if name == path { bytes } else { content }).unwrap();
    }
    fs
}

fn files_of(sim: &SimFs) -> Vec<(PathBuf, Vec<u8>)> {
    sim.files().into_iter().map(|(path, _)| (path.clone(), sim.read(&path).unwrap())).collect()
}

fn small_data() -> Data {
    some_data().into_iter().step_by(7).collect()
}

#[test]
fn each_flipped_bit_is_harmless_or_told() {
    let data = small_data();
    let (sim, written) = block(&data);
    let (files, random) = (files_of(&sim), nilometer_env::sim::SimRandom::new(7));
    let (mut told, mut healed, mut flips) = (0, 0, 0);
    for (path, bytes) in files.iter().filter(|(path, _)| !path.ends_with("meta.json")) {
        // Small files wholly, large ones at random places.
        let places: Vec<usize> = match bytes.len() {
            0..64 => (0..8 * bytes.len()).collect(),
            len => (0..500).map(|_| (random.u64() % (8 * len as u64)) as usize).collect(),
        };
        for bit in places {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let what = format!("{} bit {bit}", path.display());
            flips += 1;
            match Block::new(with_file(path, &flipped, &files), written.path()) {
                Err(_) => told += 1,
                Ok(block) => {
                    let whole = check(&data, &block, &what);
                    let clean = verify(&block).is_clean();
                    assert!(whole || !clean, "{what}: verification sees what reading sees");
                    *(if whole { &mut healed } else { &mut told }) += 1;
                }
            }
        }
    }
    // Padding, and postings that are replaced by looking at labels.
    assert!(told > flips / 3 && healed > 0, "{told} told and {healed} harmless of {flips}");
}

#[test]
fn damage_behind_the_series_costs_only_time() {
    let data = small_data();
    let (sim, written) = block(&data);
    let files = files_of(&sim);
    let (path, bytes) = files.iter().find(|(path, _)| path.ends_with("index")).unwrap();
    let behind_series = written.open().unwrap().index.series.end as usize;
    for at in (behind_series..bytes.len()).step_by(3).chain(bytes.len() - Toc::LEN..bytes.len()) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        let block = Block::new(with_file(path, &flipped, &files), written.path()).unwrap();
        assert!(check(&data, &block, &format!("index byte {at}")), "byte {at}");
        assert!(!verify(&block).is_clean() || flipped[at] == 0x10, "byte {at}: {:02x}", flipped[at]);
        for (name, count) in [("job", 3), ("instance", 29), ("none", 0)] {
            let values = block.label_values(name, LabelQuery::all(TimeRange::ALL));
            assert_eq!(futures::executor::block_on(values).unwrap().names.len(), count, "byte {at}");
        }
    }
}

#[test]
fn a_bad_series_takes_only_itself() {
    let data = small_data();
    let (sim, written) = block(&data);
    let files = files_of(&sim);
    let (path, bytes) = files.iter().find(|(path, _)| path.ends_with("index")).unwrap();
    let refs = written.open().unwrap().index.all_series_by_walk(&mut Vec::new()).unwrap();
    let mut flipped = bytes.clone();
    // The length of the fourth, and the table of contents, so that the others are found by walking.
    flipped[refs[3] as usize * 16] ^= 0x7f;
    flipped[bytes.len() - 1] ^= 1;
    let block = Block::new(with_file(path, &flipped, &files), written.path()).unwrap();
    assert_eq!(block.check().unwrap().len(), 1);
    let (rows, warnings) = read(&block, Select::new([], TimeRange::ALL)).unwrap();
    let mut truth = expected(&data, &[], TimeRange::ALL);
    truth.remove(3);
    assert_eq!(rows, truth);
    assert!(!warnings.is_empty() && block.damage_met() > 0);
}

#[test]
fn an_unreadable_block_answers_with_a_warning() {
    let data = small_data();
    let (sim, written) = block(&data);
    let files = files_of(&sim);
    let (path, bytes) = files.iter().find(|(path, _)| path.ends_with("index")).unwrap();
    let mut flipped = bytes.clone();
    flipped[40] ^= 2; // a symbol
    let block = Block::new(with_file(path, &flipped, &files), written.path()).unwrap();
    let (rows, warnings) = read(&block, Select::new([], TimeRange::ALL)).unwrap();
    assert!(rows.is_empty() && warnings.len() == 1, "{warnings:?}");
    assert!(warnings[0].contains("cannot be read"), "{warnings:?}");
    let names = futures::executor::block_on(block.label_names(LabelQuery::all(TimeRange::ALL))).unwrap();
    assert_eq!((names.names.len(), names.warnings), (0, warnings));
}

#[test]
fn other_versions_are_refused_clearly() {
    let (sim, written) = block(&small_data());
    let files = files_of(&sim);
    let (path, bytes) = files.iter().find(|(path, _)| path.ends_with("index")).unwrap();
    for version in [1, 3] {
        let mut other = bytes.clone();
        other[4] = version;
        let block = Block::new(with_file(path, &other, &files), written.path()).unwrap();
        let e = block.check().unwrap_err();
        assert!(
            *e.kind() == Kind::Invalid && e.to_string().contains(&format!("index version {version}")),
            "{e}"
        );
    }
}

#[test]
fn cut_and_foreign_files_are_told() {
    let data = small_data();
    let (sim, written) = block(&data);
    let files = files_of(&sim);
    for (path, bytes) in &files {
        for len in (0..bytes.len()).step_by((bytes.len() / 60).max(1)) {
            let what = format!("{} cut to {len}", path.display());
            if let Ok(block) = Block::new(with_file(path, &bytes[..len], &files), written.path()) {
                let whole = check(&data, &block, &what);
                assert!(!whole || block.check().unwrap().len() == 1, "{what} is noticed");
            }
        }
        for foreign in [&b"x"[..], &[0; 4096], &[0xff; 4096], b"{}"] {
            if let Ok(block) = Block::new(with_file(path, foreign, &files), written.path()) {
                check(&data, &block, &format!("{} replaced", path.display()));
            }
        }
    }
}

#[test]
fn flips_in_meta_json_do_not_panic() {
    let data = small_data();
    let (sim, written) = block(&data);
    let files = files_of(&sim);
    let (path, bytes) = files.iter().find(|(path, _)| path.ends_with("meta.json")).unwrap();
    for bit in 0..8 * bytes.len() {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(block) = Block::new(with_file(path, &flipped, &files), written.path()) {
            // The file has no checksum: a flipped time hides samples, it never invents any.
            if let Ok((rows, _)) = read(&block, Select::new([], TimeRange::ALL)) {
                assert!(rows.is_empty() || rows == expected(&data, &[], TimeRange::ALL));
            }
        }
    }
}

#[test]
fn a_bad_chunk_takes_only_itself() {
    let data = small_data();
    let (sim, written) = block(&data);
    let files = files_of(&sim);
    let (path, bytes) = files.iter().find(|(path, _)| path.ends_with("000001")).unwrap();
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    let block = Block::new(with_file(path, &flipped, &files), written.path()).unwrap();
    let (rows, warnings) = read(&block, Select::new([], TimeRange::ALL)).unwrap();
    let samples = |rows: &Rows| rows.iter().map(|r| r.1.len()).sum::<usize>();
    let all = expected(&data, &[], TimeRange::ALL);
    assert_eq!((rows.len(), samples(&all) - samples(&rows)), (all.len(), 30), "one chunk is gone");
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("000001 at byte"), "{}", warnings[0]);
}

#[test]
fn a_missing_segment_is_told() {
    let data = small_data();
    let (_, fs) = disk(1);
    let meta = write_segments(&fs, DIR, meta(1), &data, 1024).unwrap();
    let blocks = BlockDir::new(fs.clone(), DIR);
    let chunks = Path::new(DIR).join(meta.ulid.to_string()).join("chunks");
    assert!(fs.read_dir(&chunks).unwrap().len() > 2);
    fs.remove_file(&chunks.join("000002")).unwrap();
    let block = blocks.open(meta.ulid).unwrap();
    assert!(!check(&data, &block, "a segment is missing"));
    let (rows, warnings) = read(&block, Select::new([], TimeRange::ALL)).unwrap();
    assert!(!rows.is_empty() && warnings.last().unwrap().contains("more damaged"), "{warnings:?}");
}

#[test]
fn random_series_entries_do_not_panic() {
    let random = nilometer_env::sim::SimRandom::new(3);
    let mut entry = SeriesEntry::default();
    let mut decoded = 0;
    for round in 0..200_000usize {
        let mut bytes = vec![0; round % 48];
        random.fill(&mut bytes);
        // Small numbers reach further.
        if round % 2 == 0 {
            bytes.iter_mut().for_each(|b| *b &= 0x83);
        }
        decoded += usize::from(entry.decode(&bytes).is_ok());
    }
    assert!(decoded > 100, "some are valid: {decoded}");
}
