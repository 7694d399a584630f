//! Pages on a disk, in a budget of their own: what memory has no room for, and what was read before a restart.
//!
//! ```text
//! <dir>/0000000007.data    pages, one after the other as they were fetched
//!       0000000007.index   of each: checksum, length, file, number in it, block (32 bytes)
//! ```
//!
//! Files are only appended to. Where the budget is used up the oldest goes, and what is read of the oldest few is
//! written once more, so that what is in use stays. It is a cache: nothing is synced, a page whose checksum is wrong
//! counts as none, and the folder may be deleted while nobody uses it.

use crate::pages::{PAGE_BYTES, PageKey};
use bytes::Bytes;
use nilometer_env::{File, Fs};
use nilometer_model::Ulid;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

const RECORD_BYTES: usize = 32;
/// Of a budget; each has a file of pages.
const PARTS: u64 = 16;
const MIN_FILE_BYTES: u64 = 1 << 20;
/// Places of pages have 32 bits for where they are in a file.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// A page counts as so much at least: a budget also bounds how many there are, and so the memory for knowing them.
const MIN_PAGE_BYTES: u64 = 4 << 10;
/// The disk's last bytes are for what must be written.
const LEFT_FREE_BYTES: u64 = 1 << 30;

pub(crate) struct DiskPages {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    budget_bytes: u64,
    file_bytes: u64,
    /// Taken before `known` by who needs both.
    newest: Mutex<Option<Newest>>,
    known: RwLock<Known>,
    /// The last write failed: that was told.
    is_failing: AtomicBool,
    errors: AtomicU64,
    _lock: Box<dyn Send + Sync>,
}

/// What is appended to.
struct Newest {
    number: u32,
    data: Arc<dyn File>,
    index: Arc<dyn File>,
    /// Of the pages.
    len: u32,
}

#[derive(Default)]
struct Known {
    places: HashMap<PageKey, Place>,
    files: BTreeMap<u32, PageFile>,
}

struct PageFile {
    data: Arc<dyn File>,
    /// What it counts as in the budget.
    bytes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    file: u32,
    at: u32,
    len: u32,
    checksum: u32,
}

impl Known {
    fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.bytes).sum()
    }

    fn remove_oldest(&mut self) -> Option<u32> {
        let (number, _) = self.files.pop_first()?;
        self.places.retain(|_, place| place.file != number);
        Some(number)
    }
}

impl DiskPages {
    /// With what is there from before. Another process that has this folder is an error.
    pub(crate) fn open(fs: Arc<dyn Fs>, dir: &Path, budget_bytes: u64) -> io::Result<Self> {
        fs.create_scratch_dir_all(dir)?;
        let lock = fs.lock(&dir.join("lock"))?;
        let pages = DiskPages {
            fs,
            dir: dir.to_owned(),
            budget_bytes,
            file_bytes: (budget_bytes / PARTS).clamp(MIN_FILE_BYTES, MAX_FILE_BYTES),
            newest: Mutex::default(),
            known: RwLock::default(),
            is_failing: AtomicBool::new(false),
            errors: AtomicU64::new(0),
            _lock: lock,
        };
        pages.load()?;
        Ok(pages)
    }

    fn load(&self) -> io::Result<()> {
        let number = |name: String| name.strip_suffix(".index").or(name.strip_suffix(".data"))?.parse().ok();
        let mut numbers: Vec<u32> =
            self.fs.read_dir(&self.dir)?.into_iter().filter_map(|e| number(e.name)).collect();
        numbers.dedup();
        let mut known = self.known.write();
        for number in numbers {
            match self.load_file(number, &mut known.places) {
                Ok(file) => drop(known.files.insert(number, file)),
                Err(_) => self.remove(number),
            }
        }
        while known.bytes() > self.budget_bytes
            && let Some(oldest) = known.remove_oldest()
        {
            self.remove(oldest);
        }
        Ok(())
    }

    fn load_file(&self, number: u32, places: &mut HashMap<PageKey, Place>) -> io::Result<PageFile> {
        let (data, index) = (self.fs.open(&self.data(number))?, self.fs.open(&self.index(number))?);
        let (data_len, max_len) = (data.len()?, MAX_FILE_BYTES / MIN_PAGE_BYTES * RECORD_BYTES as u64);
        let mut records = vec![0; index.len()?.min(max_len) as usize];
        index.read_exact_at(&mut records, 0)?;
        let (mut file, mut at) = (PageFile { data, bytes: 0 }, 0);
        for record in records.as_chunks::<RECORD_BYTES>().0 {
            let (key, checksum, len) = parse(record);
            let end = u64::from(at) + u64::from(len);
            // Behind what a crash cut short nothing can be found.
            if end > data_len.min(u32::MAX.into()) || u64::from(len) > PAGE_BYTES {
                break;
            }
            places.insert(key, Place { file: number, at, len, checksum });
            file.bytes += counted(len as usize);
            at = end as u32;
        }
        Ok(file)
    }

    pub(crate) fn has(&self, key: &PageKey) -> bool {
        self.known.read().places.contains_key(key)
    }

    pub(crate) fn get(&self, key: PageKey) -> Option<Bytes> {
        let (place, data, is_old) = {
            let known = self.known.read();
            let place = *known.places.get(&key)?;
            let is_full = || known.bytes() + 2 * self.file_bytes > self.budget_bytes;
            // As many as are older, but no more than matter.
            let quarter = known.files.len() / 4;
            let is_old = known.files.range(..place.file).take(quarter).count() < quarter && is_full();
            (place, known.files.get(&place.file)?.data.clone(), is_old)
        };
        let mut page = vec![0; place.len as usize];
        let is_read = data.read_exact_at(&mut page, place.at.into()).is_ok();
        if !is_read || checksum(&key, &page) != place.checksum {
            self.errors.fetch_add(1, Relaxed);
            let mut known = self.known.write();
            // Meanwhile it may have been fetched again.
            if known.places.get(&key) == Some(&place) {
                known.places.remove(&key);
            }
            return None;
        }
        let page = Bytes::from(page);
        if is_old {
            self.put(&[(key, page.clone())]);
        }
        Some(page)
    }

    /// What cannot be written is not kept.
    pub(crate) fn put(&self, pages: &[(PageKey, Bytes)]) {
        match self.append(pages) {
            Ok(()) => self.is_failing.store(false, Relaxed),
            Err(e) => {
                self.errors.fetch_add(1, Relaxed);
                if !self.is_failing.swap(true, Relaxed) {
                    tracing::warn!(dir = %self.dir.display(), error = %e, "pages of blocks cannot be kept on disk: they are fetched again when they are not in memory");
                }
            }
        }
    }

    fn append(&self, pages: &[(PageKey, Bytes)]) -> io::Result<()> {
        let mut newest = self.newest.lock();
        // After an error nobody knows where the next page would be: another file is begun.
        let mut to = match newest.take() {
            Some(to) if u64::from(to.len) < self.file_bytes => to,
            _ => match self.begin()? {
                Some(to) => to,
                None => return Ok(()),
            },
        };
        let (mut records, mut placed) = (Vec::with_capacity(pages.len() * RECORD_BYTES), Vec::new());
        for (key, page) in pages {
            let (len, checksum) = (page.len() as u32, checksum(key, page));
            to.data.append(page)?;
            records.extend(record(key, checksum, len));
            placed.push((*key, Place { file: to.number, at: to.len, len, checksum }));
            to.len += len;
        }
        to.index.append(&records)?;
        let mut known = self.known.write();
        if let Some(file) = known.files.get_mut(&to.number) {
            file.bytes += pages.iter().map(|(_, page)| counted(page.len())).sum::<u64>();
            known.places.extend(placed);
            *newest = Some(to);
        }
        Ok(())
    }

    /// Makes room and another file; nothing where the disk has no room for one.
    fn begin(&self) -> io::Result<Option<Newest>> {
        let mut gone = Vec::new();
        let is_short = self.fs.available_bytes(&self.dir)? < LEFT_FREE_BYTES + self.file_bytes;
        let mut known = self.known.write();
        let number = known.files.keys().next_back().map_or(Some(0), |last| last.checked_add(1));
        let number = number.ok_or_else(|| io::Error::other("no number is left for a file"))?;
        while known.bytes() + self.file_bytes > self.budget_bytes || is_short && gone.is_empty() {
            match known.remove_oldest() {
                Some(oldest) => gone.push(oldest),
                None => break,
            }
        }
        drop(known);
        gone.iter().for_each(|oldest| self.remove(*oldest));
        if is_short && gone.is_empty() {
            return Ok(None);
        }
        let (data, index) = (self.fs.create(&self.data(number))?, self.fs.create(&self.index(number))?);
        self.known.write().files.insert(number, PageFile { data: data.clone(), bytes: 0 });
        Ok(Some(Newest { number, data, index, len: 0 }))
    }

    /// The pages of a block are not to be found any more.
    pub(crate) fn forget(&self, block: Ulid) {
        self.known.write().places.retain(|key, _| key.block != block);
    }

    /// What is used of the budget.
    pub(crate) fn bytes(&self) -> u64 {
        self.known.read().bytes()
    }

    /// Writes that failed, and pages that were not as they were written.
    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }

    fn remove(&self, number: u32) {
        for path in [self.index(number), self.data(number)] {
            if let Err(e) = self.fs.remove_file(&path)
                && e.kind() != io::ErrorKind::NotFound
            {
                self.errors.fetch_add(1, Relaxed);
                tracing::warn!(file = %path.display(), error = %e, "a file of cached pages could not be removed: it may be deleted by hand");
            }
        }
    }

    fn data(&self, number: u32) -> PathBuf {
        self.dir.join(format!("{number:010}.data"))
    }

    fn index(&self, number: u32) -> PathBuf {
        self.dir.join(format!("{number:010}.index"))
    }
}

fn counted(page_bytes: usize) -> u64 {
    MIN_PAGE_BYTES.max(page_bytes as u64)
}

fn record(key: &PageKey, checksum: u32, len: u32) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    for (field, number) in record.as_chunks_mut::<4>().0.iter_mut().zip([checksum, len, key.file, key.page]) {
        *field = number.to_le_bytes();
    }
    record[16..].copy_from_slice(&key.block.to_bytes());
    record
}

fn parse(record: &[u8; RECORD_BYTES]) -> (PageKey, u32, u32) {
    let (fields, block) = (record.as_chunks::<4>().0, record.last_chunk::<16>().copied().unwrap_or_default());
    let number = |nth: usize| u32::from_le_bytes(fields[nth]);
    (PageKey { block: Ulid::from_bytes(block), file: number(2), page: number(3) }, number(0), number(1))
}

/// Of a page and of what it is one: another page in its place is wrong, too.
fn checksum(key: &PageKey, page: &[u8]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(&record(key, 0, page.len() as u32));
    digest.update(page);
    digest.finalize() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use nilometer_env::sim::{Faults, SimFs};
    use proptest::prelude::*;

    const BUDGET: u64 = 16 * MIN_FILE_BYTES;

    fn open(fs: &SimFs) -> DiskPages {
        DiskPages::open(Arc::new(fs.clone()), Path::new("/cache"), BUDGET).unwrap()
    }

    fn key(n: u64) -> PageKey {
        PageKey { block: Ulid::new(n % 7, [7; 10]), file: n as u32 % 3, page: n as u32 }
    }

    /// Each key has its own content, and each version of it.
    fn page(n: u64, version: u64) -> Bytes {
        let len = if n.is_multiple_of(5) { 100 } else { PAGE_BYTES };
        (0..len).map(|i| (i ^ n.wrapping_mul(31) ^ version.wrapping_mul(77)) as u8).collect::<Vec<_>>().into()
    }

    #[test]
    fn what_is_put_is_there_after_a_restart_too() {
        let fs = SimFs::new(1);
        let pages = open(&fs);
        pages.put(&(0..50).map(|n| (key(n), page(n, 0))).collect::<Vec<_>>());
        pages.put(&[(key(3), page(3, 1))]);
        let is_there = |pages: &DiskPages| {
            assert_eq!(pages.get(key(3)), Some(page(3, 1)));
            assert!((0..50).filter(|n| *n != 3).all(|n| pages.get(key(n)) == Some(page(n, 0))));
            assert!(pages.has(&key(49)) && !pages.has(&key(50)) && pages.get(key(50)).is_none());
            assert_eq!(pages.errors(), 0);
        };
        is_there(&pages);
        drop(pages);
        let pages = open(&fs);
        is_there(&pages);
        pages.forget(key(3).block);
        assert!((0..50).all(|n| pages.has(&key(n)) == (n % 7 != 3)));
        assert_eq!(pages.errors(), 0);
    }

    #[test]
    fn two_processes_do_not_share_it() {
        let fs = SimFs::new(1);
        let _pages = open(&fs);
        assert!(DiskPages::open(Arc::new(fs.clone()), Path::new("/cache"), BUDGET).is_err());
    }

    #[test]
    fn the_oldest_makes_room_and_what_is_read_stays() {
        let fs = SimFs::new(1);
        let pages = open(&fs);
        let on_disk = || fs.files().iter().map(|(_, bytes)| bytes).sum::<u64>();
        for n in 1..4_000 {
            pages.put(&[(key(n), page(n, 0))]);
            assert_eq!(pages.get(key(1)), Some(page(1, 0)), "after {n}");
            assert!(pages.bytes() <= BUDGET + PAGE_BYTES && on_disk() <= BUDGET + MIN_FILE_BYTES);
        }
        assert!(!pages.has(&key(2)) && pages.has(&key(3_999)));
        assert!(pages.bytes() > BUDGET / 2);
        drop(pages);
        // Less is wanted now.
        let pages = DiskPages::open(Arc::new(fs.clone()), Path::new("/cache"), BUDGET / 2).unwrap();
        assert!(pages.bytes() <= BUDGET / 2 && on_disk() <= BUDGET / 2 + MIN_FILE_BYTES);
        assert_eq!(pages.get(key(1)), Some(page(1, 0)));
        assert_eq!(pages.errors(), 0);
    }

    #[test]
    fn a_disk_that_is_nearly_full_is_left_alone() {
        let fs = SimFs::new(1);
        fs.set_faults(Faults { capacity_bytes: LEFT_FREE_BYTES, ..Faults::default() });
        let pages = open(&fs);
        pages.put(&[(key(1), page(1, 0))]);
        assert!(!pages.has(&key(1)) && pages.errors() == 0 && pages.bytes() == 0);
        fs.set_faults(Faults::default());
        pages.put(&[(key(1), page(1, 0))]);
        assert_eq!(pages.get(key(1)), Some(page(1, 0)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Whatever the disk does: a page is one that was put under its key, or none.
        #[test]
        fn a_bad_disk_costs_pages_only(
            steps in prop::collection::vec((0..12u8, 0..200u64, 1..90u64), 1..60),
            seed in any::<u64>(),
        ) {
            let fs = SimFs::new(seed);
            let mut pages = open(&fs);
            let mut put: HashMap<PageKey, Vec<Bytes>> = HashMap::new();
            for (version, (step, from, count)) in steps.into_iter().enumerate() {
                match step {
                    0 => {
                        drop(pages);
                        fs.crash();
                        pages = open(&fs);
                    }
                    1 => drop(fs.flip_bit(|path| path.starts_with("/cache"))),
                    2 => fs.set_faults(Faults { append_fails_one_in: 9, read_fails_one_in: 9, ..Faults::default() }),
                    3 => fs.set_faults(Faults { capacity_bytes: LEFT_FREE_BYTES + (3 << 20), ..Faults::default() }),
                    4 => fs.set_faults(Faults::default()),
                    _ => {
                        let new: Vec<_> = (from..from + count).map(|n| (key(n), page(n, version as u64))).collect();
                        new.iter().for_each(|(key, page)| put.entry(*key).or_default().push(page.clone()));
                        pages.put(&new);
                    }
                }
                for (key, versions) in &put {
                    if let Some(found) = pages.get(*key) {
                        prop_assert!(versions.contains(&found), "{key:?}");
                    }
                }
            }
        }
    }
}
