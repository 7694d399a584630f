//! A disk in memory that keeps, over a crash, only what was synced, and some of what was not.
//!
//! Two worlds are kept side by side: what the running process sees, and what would be found after a power
//! cut. [`SimFs::crash`] makes the second one the first: of each file's unsynced bytes a random prefix
//! survives (its last bytes perhaps garbage), of each folder's unsynced names a random part.

use super::SimRandom;
use crate::{DirEntry, File, Fs};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What goes wrong, each with its odds: once in so many calls, never where 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub sync_fails_one_in: u64,
    pub append_fails_one_in: u64,
    pub read_fails_one_in: u64,
    /// All bytes that the disk can hold; 0 is no limit.
    pub capacity_bytes: u64,
    /// After so many more changes, syncs included, nothing reaches the disk until [`SimFs::crash`]: the process is dead.
    pub die_after_changes: Option<u64>,
}

/// The simulated disk. Clones share it.
#[derive(Clone)]
pub struct SimFs {
    disk: Arc<Mutex<Disk>>,
    random: Arc<SimRandom>,
}

struct Disk {
    /// What the process sees.
    live: BTreeMap<PathBuf, Arc<Mutex<Content>>>,
    /// What a crash leaves: names whose folder was synced.
    durable: BTreeMap<PathBuf, Arc<Mutex<Content>>>,
    dirs: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    faults: Faults,
    /// Counts crashes: files opened before one are dead handles after it.
    epoch: u64,
}

#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    /// Where the next append goes; what a failed one left behind it is overwritten.
    end: usize,
    /// What the last successful sync made durable.
    synced: Vec<u8>,
    /// A sync failed: as on Linux, later ones succeed and make nothing of the lost pages durable.
    poisoned: bool,
}

impl SimFs {
    pub fn new(seed: u64) -> Self {
        let disk = Disk {
            live: BTreeMap::new(),
            durable: BTreeMap::new(),
            dirs: BTreeSet::new(),
            locks: BTreeSet::new(),
            faults: Faults::default(),
            epoch: 0,
        };
        SimFs { disk: Arc::new(Mutex::new(disk)), random: Arc::new(SimRandom::new(seed ^ 0xd15c)) }
    }

    pub fn set_faults(&self, faults: Faults) {
        self.disk.lock().faults = faults;
    }

    /// Whether the process has died by [`Faults::die_after_changes`].
    pub fn is_dead(&self) -> bool {
        self.disk.lock().faults.die_after_changes == Some(0)
    }

    /// The power goes off and on.
    pub fn crash(&self) {
        let mut disk = self.disk.lock();
        disk.epoch += 1;
        disk.faults.die_after_changes = None;
        disk.locks.clear();
        let survivors: BTreeSet<PathBuf> = disk.live.keys().chain(disk.durable.keys()).cloned().collect();
        let mut after = BTreeMap::new();
        for path in survivors {
            let (live, durable) = (disk.live.get(&path), disk.durable.get(&path));
            // An unsynced change of a name may or may not have reached the disk.
            let kept = match (live, durable) {
                (Some(l), Some(d)) if Arc::ptr_eq(l, d) => Some(l),
                (l, d) => {
                    if self.random.one_in(2) {
                        l
                    } else {
                        d
                    }
                }
            };
            if let Some(content) = kept {
                after.insert(path, Arc::new(Mutex::new(self.after_power_cut(&content.lock()))));
            }
        }
        disk.live.clone_from(&after);
        disk.durable = after;
    }

    /// Of what was written behind the synced part some prefix survives, its end perhaps torn.
    fn after_power_cut(&self, content: &Content) -> Content {
        let mut bytes = content.synced.clone();
        if content.bytes.len() > bytes.len() && content.bytes.starts_with(&bytes) {
            let extra = (content.bytes.len() - bytes.len()) as u64;
            let keep = self.random.below(extra + 1) as usize;
            let from = bytes.len();
            bytes.extend_from_slice(&content.bytes[from..from + keep]);
            if keep > 0 && self.random.one_in(4) {
                let torn = self.random.below(keep as u64 + 1) as usize;
                for byte in &mut bytes[from + torn..] {
                    *byte = if self.random.one_in(2) { 0 } else { self.random.below(256) as u8 };
                }
            }
        }
        Content { synced: bytes.clone(), end: bytes.len(), bytes, poisoned: false }
    }

    /// Flips one bit of one durable byte among the files that `pick` takes; says where.
    pub fn flip_bit(&self, pick: impl Fn(&Path) -> bool) -> Option<(PathBuf, u64)> {
        let disk = self.disk.lock();
        let files: Vec<_> =
            disk.durable.iter().filter(|(p, c)| pick(p) && !c.lock().synced.is_empty()).collect();
        if files.is_empty() {
            return None;
        }
        let (path, content) = files[self.random.below(files.len() as u64) as usize];
        let mut content = content.lock();
        let at = self.random.below(content.synced.len() as u64) as usize;
        let mask = 1 << self.random.below(8);
        content.synced[at] ^= mask;
        if let Some(byte) = content.bytes.get_mut(at) {
            *byte ^= mask;
        }
        Some((path.clone(), at as u64))
    }

    /// All files that the process sees, with their lengths in bytes.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        self.disk.lock().live.iter().map(|(p, c)| (p.clone(), c.lock().bytes.len() as u64)).collect()
    }

    fn handle(&self, disk: &Disk, content: &Arc<Mutex<Content>>) -> Arc<dyn File> {
        Arc::new(SimFile { fs: self.clone(), content: content.clone(), epoch: disk.epoch })
    }

    fn fails(&self, one_in: u64) -> bool {
        one_in > 0 && self.random.one_in(one_in)
    }
}

impl Disk {
    fn used_bytes(&self) -> u64 {
        self.live.values().map(|c| c.lock().bytes.len() as u64).sum()
    }

    /// Of names or bytes.
    fn change(&mut self) -> io::Result<()> {
        match &mut self.faults.die_after_changes {
            Some(0) => Err(io::Error::other("the process is dead")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn need_dir(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() && !self.dirs.contains(dir) => Err(not_found(dir)),
            _ => Ok(()),
        }
    }
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{} is not there", path.display()))
}

impl Fs for SimFs {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut disk = self.disk.lock();
        disk.change()?;
        disk.need_dir(path)?;
        if disk.live.contains_key(path) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is there", path.display())));
        }
        let content = Arc::new(Mutex::new(Content::default()));
        disk.live.insert(path.to_owned(), content.clone());
        Ok(self.handle(&disk, &content))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let disk = self.disk.lock();
        let content = disk.live.get(path).ok_or_else(|| not_found(path))?;
        let mut opened = content.lock();
        opened.end = opened.bytes.len();
        drop(opened);
        Ok(self.handle(&disk, content))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        // Folders are durable at once: what a lost folder does is what a lost name in it does.
        let mut disk = self.disk.lock();
        disk.change()?;
        disk.dirs.extend(path.ancestors().filter(|a| !a.as_os_str().is_empty()).map(PathBuf::from));
        Ok(())
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let disk = self.disk.lock();
        if !disk.dirs.contains(path) {
            return Err(not_found(path));
        }
        let name = |p: &Path| p.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let here = |p: &&PathBuf| p.parent() == Some(path);
        let files = disk.live.keys().filter(here).map(|p| DirEntry { name: name(p), is_dir: false });
        let dirs = disk.dirs.iter().filter(here).map(|p| DirEntry { name: name(p), is_dir: true });
        let mut entries: Vec<_> = files.chain(dirs).collect();
        entries.sort();
        Ok(entries)
    }

    fn exists(&self, path: &Path) -> bool {
        let disk = self.disk.lock();
        disk.live.contains_key(path) || disk.dirs.contains(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.change()?;
        disk.need_dir(to)?;
        if let Some(content) = disk.live.remove(from) {
            disk.live.insert(to.to_owned(), content);
            return Ok(());
        }
        if !disk.dirs.contains(from) {
            return Err(not_found(from));
        }
        if disk.dirs.contains(to) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is there", to.display())));
        }
        // A folder's rename is one change of one name: here it is durable at once, with all that is synced.
        let moved = |p: &Path| {
            p.strip_prefix(from)
                .ok()
                .map(|rest| if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) })
        };
        disk.dirs = disk.dirs.iter().map(|d| moved(d).unwrap_or_else(|| d.clone())).collect();
        for map in [true, false] {
            let names = if map { &mut disk.live } else { &mut disk.durable };
            *names = std::mem::take(names).into_iter().map(|(p, c)| (moved(&p).unwrap_or(p), c)).collect();
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.change()?;
        disk.live.remove(path).map(drop).ok_or_else(|| not_found(path))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.change()?;
        if !disk.dirs.contains(path) {
            return Err(not_found(path));
        }
        disk.live.retain(|p, _| !p.starts_with(path));
        disk.durable.retain(|p, _| !p.starts_with(path));
        disk.dirs.retain(|p| !p.starts_with(path));
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.change()?;
        if !disk.dirs.contains(path) {
            return Err(not_found(path));
        }
        let inside = |p: &PathBuf| p.parent() == Some(path);
        if disk.live.keys().any(inside) || disk.dirs.iter().any(inside) {
            return Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, "the folder is not empty"));
        }
        disk.durable.retain(|p, _| p.parent() != Some(path));
        disk.dirs.remove(path);
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.change()?;
        disk.need_dir(to)?;
        let content = disk.live.get(from).ok_or_else(|| not_found(from))?.clone();
        if disk.live.contains_key(to) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is there", to.display())));
        }
        disk.live.insert(to.to_owned(), content);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.change()?;
        if self.fails(disk.faults.sync_fails_one_in) {
            return Err(io::Error::other("simulated failure of a folder's sync"));
        }
        if !disk.dirs.contains(path) {
            return Err(not_found(path));
        }
        let here = |p: &Path| p.parent() == Some(path);
        let names: Vec<_> =
            disk.live.iter().filter(|(p, _)| here(p)).map(|(p, c)| (p.clone(), c.clone())).collect();
        disk.durable.retain(|p, _| !here(p));
        disk.durable.extend(names);
        Ok(())
    }

    fn available_bytes(&self, _path: &Path) -> io::Result<u64> {
        let disk = self.disk.lock();
        Ok(match disk.faults.capacity_bytes {
            0 => u64::MAX,
            capacity => capacity.saturating_sub(disk.used_bytes()),
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        if !self.disk.lock().locks.insert(path.to_owned()) {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "another process has the lock"));
        }
        Ok(Box::new(SimLock(self.clone(), path.to_owned())))
    }
}

struct SimLock(SimFs, PathBuf);

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.disk.lock().locks.remove(&self.1);
    }
}

struct SimFile {
    fs: SimFs,
    content: Arc<Mutex<Content>>,
    epoch: u64,
}

impl SimFile {
    /// A process that was killed does nothing more to the disk.
    fn alive(&self) -> io::Result<()> {
        if self.fs.disk.lock().epoch == self.epoch {
            Ok(())
        } else {
            Err(io::Error::other("the process was killed"))
        }
    }
}

impl File for SimFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.alive()?;
        let mut disk = self.fs.disk.lock();
        let dies = disk.change().is_err();
        let room = match disk.faults.capacity_bytes {
            0 => u64::MAX,
            capacity => capacity.saturating_sub(disk.used_bytes()),
        };
        let fails = self.fs.fails(disk.faults.append_fails_one_in);
        drop(disk);
        let mut content = self.content.lock();
        let end = content.end;
        content.bytes.truncate(end);
        if dies || fails || room < bytes.len() as u64 {
            // A failed write may have written a part.
            let part = self.fs.random.below((bytes.len() as u64).min(room) + 1) as usize;
            content.bytes.extend_from_slice(&bytes[..part]);
            return Err(io::Error::new(io::ErrorKind::StorageFull, "simulated failure of a write"));
        }
        content.bytes.extend_from_slice(bytes);
        content.end = content.bytes.len();
        Ok(())
    }

    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        if self.fs.fails(self.fs.disk.lock().faults.read_fails_one_in) {
            return Err(io::Error::other("simulated failure of a read"));
        }
        let content = self.content.lock();
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        match from.checked_add(out.len()).and_then(|to| content.bytes.get(from..to)) {
            Some(bytes) => {
                out.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter")),
        }
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.content.lock().end as u64)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.alive()?;
        self.fs.disk.lock().change()?;
        let mut content = self.content.lock();
        content.bytes.truncate(len as usize);
        content.end = content.bytes.len();
        // A cut that was not synced may come back, which recovery has to bear anyway: keep the shorter.
        let keep = content.synced.len().min(len as usize);
        content.synced.truncate(keep);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.alive()?;
        self.fs.disk.lock().change()?;
        let fails = self.fs.fails(self.fs.disk.lock().faults.sync_fails_one_in);
        let mut content = self.content.lock();
        if fails {
            content.poisoned = true;
            return Err(io::Error::other("simulated failure of fsync"));
        }
        if !content.poisoned {
            content.synced = content.bytes.clone();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_file(seed: u64) -> (SimFs, Arc<dyn File>) {
        let fs = SimFs::new(seed);
        fs.create_dir_all(Path::new("/d")).unwrap();
        let file = fs.create(Path::new("/d/f")).unwrap();
        (fs, file)
    }

    #[test]
    fn synced_bytes_survive_and_others_are_a_torn_prefix() {
        let (mut lost, mut kept) = (0, 0);
        for seed in 0..200 {
            let (fs, file) = one_file(seed);
            file.append(b"durable").unwrap();
            file.sync().unwrap();
            fs.sync_dir(Path::new("/d")).unwrap();
            file.append(b" and not").unwrap();
            fs.crash();
            let after = fs.read(Path::new("/d/f")).unwrap();
            assert!(after.starts_with(b"durable") && after.len() <= 15);
            if after.len() == 7 {
                lost += 1
            } else {
                kept += 1
            }
            assert!(file.append(b"x").is_err(), "a dead process cannot write");
        }
        assert!(lost > 0 && kept > 0, "both ends happen: {lost} lost, {kept} kept");
    }

    #[test]
    fn unsynced_names_may_vanish_and_come_back() {
        let mut outcomes = BTreeSet::new();
        for seed in 0..100 {
            let (fs, file) = one_file(seed);
            file.sync().unwrap();
            fs.crash();
            outcomes.insert(fs.exists(Path::new("/d/f")));
        }
        assert_eq!(outcomes.len(), 2);
    }

    #[test]
    fn a_linked_name_is_the_same_file_and_lost_with_its_folder() {
        let (fs, file) = one_file(1);
        let linked = Path::new("/d/sub/g");
        fs.create_dir_all(Path::new("/d/sub")).unwrap();
        file.append(b"same").unwrap();
        fs.hard_link(Path::new("/d/f"), linked).unwrap();
        assert_eq!(fs.read(linked).unwrap(), b"same");
        let taken = fs.hard_link(Path::new("/d/f"), linked).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        assert!(fs.remove_dir(Path::new("/d/sub")).is_err(), "something is in it");
        fs.remove_file(linked).unwrap();
        fs.remove_dir(Path::new("/d/sub")).unwrap();
        assert!(fs.exists(Path::new("/d/f")));
    }

    #[test]
    fn who_is_dead_changes_nothing_more() {
        let (fs, file) = one_file(1);
        fs.set_faults(Faults { die_after_changes: Some(2), ..Faults::default() });
        file.append(b"one").unwrap();
        assert!(!fs.is_dead());
        file.sync().unwrap();
        assert!(fs.is_dead() && fs.sync_dir(Path::new("/d")).is_err());
        assert!(fs.rename(Path::new("/d/f"), Path::new("/d/g")).is_err());
        assert!(file.sync().is_err() && fs.create(Path::new("/d/h")).is_err());
        fs.crash();
        fs.create(Path::new("/d/h")).unwrap();
    }

    #[test]
    fn a_full_disk_refuses() {
        let (fs, file) = one_file(1);
        fs.set_faults(Faults { capacity_bytes: 10, ..Faults::default() });
        file.append(&[0; 8]).unwrap();
        assert!(file.append(&[0; 8]).is_err());
        assert!(fs.available_bytes(Path::new("/d")).unwrap() <= 2);
    }
}
