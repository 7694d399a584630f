//! A crash at any moment leaves the whole block or none.

use super::fixture::*;
use crate::{BlockDir, verify};
use nilometer_env::sim::{Faults, SimFs};
use nilometer_env::{DirEntry, File, Fs};
use nilometer_model::TimeRange;
use nilometer_storage::Select;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// A process that dies after so many operations that change the disk.
struct Dying {
    disk: SimFs,
    left: Arc<AtomicI64>,
}

struct DyingFile(Arc<dyn File>, Arc<AtomicI64>);

fn step(left: &AtomicI64) -> io::Result<()> {
    match left.fetch_sub(1, Ordering::SeqCst) {
        n if n > 0 => Ok(()),
        _ => Err(io::Error::other("the process is dead")),
    }
}

impl Fs for Dying {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        step(&self.left)?;
        Ok(Arc::new(DyingFile(self.disk.create(path)?, self.left.clone())))
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.disk.open(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        step(&self.left)?;
        self.disk.create_dir_all(path)
    }
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk.read_dir(path)
    }
    fn exists(&self, path: &Path) -> bool {
        self.disk.exists(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        step(&self.left)?;
        self.disk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        step(&self.left)?;
        self.disk.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        step(&self.left)?;
        self.disk.remove_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        step(&self.left)?;
        self.disk.sync_dir(path)
    }
    fn available_bytes(&self, path: &Path) -> io::Result<u64> {
        self.disk.available_bytes(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.disk.lock(path)
    }
}

impl File for DyingFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        step(&self.1)?;
        self.0.append(bytes)
    }
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        step(&self.1)?;
        self.0.truncate(len)
    }
    fn sync(&self) -> io::Result<()> {
        step(&self.1)?;
        self.0.sync()
    }
}

/// What is left after the next start: the one whole block, or nothing at all.
fn survives(disk: &SimFs, data: &Data) -> bool {
    let blocks = BlockDir::new(Arc::new(disk.clone()), DIR);
    blocks.clean().unwrap();
    let list = blocks.list().unwrap();
    assert_eq!(disk.read_dir(Path::new(DIR)).unwrap().len(), list.len(), "nothing else is left");
    for ulid in &list {
        let block = blocks.open(*ulid).unwrap();
        assert!(verify(&block).is_clean());
        let (rows, warnings) = read(&block, Select::new([], TimeRange::ALL)).unwrap();
        assert_eq!(rows, expected(data, &[], TimeRange::ALL));
        assert!(warnings.is_empty());
    }
    !list.is_empty()
}

#[test]
fn writing_is_all_or_nothing() {
    let data = some_data();
    let (mut whole, mut none) = (0, 0);
    for steps in 0..60 {
        for seed in 0..3 {
            let (disk, _) = disk(seed * 1000 + steps as u64);
            let fs: Arc<dyn Fs> =
                Arc::new(Dying { disk: disk.clone(), left: Arc::new(AtomicI64::new(steps)) });
            let written = write_segments(&fs, DIR, meta(1), &data, 16 << 10).is_ok();
            disk.crash();
            let there = survives(&disk, &data);
            assert!(there || !written, "what was reported as written is there");
            *(if there { &mut whole } else { &mut none }) += 1;
        }
    }
    assert!(whole > 20 && none > 20, "both ends happen: {whole} whole, {none} none");
}

#[test]
fn deleting_is_all_or_nothing() {
    let data = some_data();
    let mut outcomes = [0, 0];
    for steps in 0..6 {
        let (disk, fs) = disk(steps as u64);
        let ulid = write(&fs, DIR, meta(1), &data).unwrap().ulid;
        let dying = Dying { disk: disk.clone(), left: Arc::new(AtomicI64::new(steps)) };
        let deleted = BlockDir::new(Arc::new(dying), DIR).delete(ulid).is_ok();
        disk.crash();
        let there = survives(&disk, &data);
        assert!(!there || !deleted, "what was reported as deleted is gone");
        outcomes[usize::from(there)] += 1;
    }
    assert!(outcomes.iter().all(|n| *n > 0), "{outcomes:?}");
}

#[test]
fn a_failing_disk_is_an_error_and_leaves_nothing() {
    let data = some_data();
    let (mut failed, mut done) = (0, 0);
    for seed in 0..60 {
        let (disk, fs) = disk(seed);
        let faults = match seed % 3 {
            0 => Faults { sync_fails_one_in: 8, ..Faults::default() },
            1 => Faults { append_fails_one_in: 8, ..Faults::default() },
            _ => Faults { capacity_bytes: 40_000 + 2_000 * seed, ..Faults::default() },
        };
        disk.set_faults(faults);
        let written = write_segments(&fs, DIR, meta(1), &data, 16 << 10).is_ok();
        disk.set_faults(Faults::default());
        let in_dir = disk.read_dir(Path::new(DIR)).unwrap().len();
        assert_eq!(in_dir, usize::from(written), "seed {seed}");
        disk.crash();
        assert_eq!(survives(&disk, &data), written, "seed {seed}");
        *(if written { &mut done } else { &mut failed }) += 1;
    }
    assert!(failed > 5 && done > 5, "both ends happen: {failed} failed, {done} done");
}
