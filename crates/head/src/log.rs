//! The write-ahead log of all tenants: group commit, segments, and what happens when a sync fails.
//!
//! A body that is [`Log::push`]ed gets a sequence number (`lsn`, counted from 1) and is durable when
//! [`Log::durable`] of that number returns. One caller at a time runs [`Log::flush`], which writes and syncs
//! all that waits; what arrives meanwhile waits for the next, so a busy disk makes larger groups, and no timer
//! is needed. After a failed write or sync the segment is never written again: what was not durable is refused,
//! kept, and written first into a new segment.
//!
//! Segments are frame files (`frame.rs`); each body begins with its `lsn` (`u64`, little endian).

mod segment;

pub(crate) use segment::{Replayed, SegmentName, replay};

use crate::frame::{FRAME_HEAD_BYTES, Framing};
use nilometer_env::{File, Fs, Random};
use nilometer_model::{Error, Result};
use parking_lot::{Condvar, Mutex};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;

pub(crate) const MAGIC: [u8; 4] = *b"NWAL";

/// A new segment is begun when one is longer.
const SEGMENT_BYTES: u64 = 32 << 20;

/// What may wait for the disk; beyond it writes are refused.
const MAX_WAITING_BYTES: usize = 64 << 20;

/// So much goes to the system at a time.
const APPEND_BYTES: usize = 1 << 20;

pub(crate) type Lsn = u64;

/// How far the log is on stable storage.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    durable: Lsn,
    /// Refused through here at least once, since the disk failed.
    failed: Lsn,
}

pub(crate) struct Log {
    fs: Arc<dyn Fs>,
    random: Arc<dyn Random>,
    dir: PathBuf,
    waiting: Mutex<Bodies>,
    arrived: Condvar,
    /// What a failed flush left for the next, in bytes.
    left_bytes: AtomicUsize,
    writer: Mutex<Writer>,
    progress: watch::Sender<Progress>,
}

/// Bodies in a row, `first` being the number of the first.
#[derive(Debug, Default)]
struct Bodies {
    next: Lsn,
    first: Lsn,
    ends: Vec<usize>,
    bytes: Vec<u8>,
}

struct Writer {
    open: Option<OpenSegment>,
    next_segment: u64,
    /// All segments that exist, with the highest number that a body in each may have.
    segments: Vec<(SegmentName, Lsn)>,
    /// Written or about to be, not yet known to be durable.
    undurable: Bodies,
    framed: Vec<u8>,
    /// A flush failed, and none has succeeded since.
    suspect: bool,
}

struct OpenSegment {
    framing: Framing,
    file: Arc<dyn File>,
    len: u64,
    /// The folder's entry for it is durable.
    named: bool,
}

impl Log {
    /// Goes on behind the old segments in a new one.
    pub(crate) fn new(fs: Arc<dyn Fs>, random: Arc<dyn Random>, dir: &Path, old: &Replayed) -> Self {
        let (last_lsn, segments) = (old.last_lsn, old.segments.clone());
        let progress = Progress { durable: last_lsn, failed: 0 };
        Log {
            fs,
            random,
            dir: dir.to_owned(),
            waiting: Mutex::new(Bodies { next: last_lsn + 1, first: last_lsn + 1, ..Bodies::default() }),
            arrived: Condvar::new(),
            left_bytes: AtomicUsize::new(0),
            writer: Mutex::new(Writer {
                open: None,
                next_segment: old.next_segment.max(1),
                segments,
                undurable: Bodies::default(),
                framed: Vec::new(),
                suspect: false,
            }),
            progress: watch::Sender::new(progress),
        }
    }

    /// Ends the segment that is open, so that a snapshot of all that is logged so far can take its place.
    pub(crate) fn end_segment(&self) {
        self.writer.lock().open = None;
    }

    /// Queues a body that `write` appends; it is not durable yet.
    pub(crate) fn push(&self, write: impl FnOnce(&mut Vec<u8>)) -> Lsn {
        let mut waiting = self.waiting.lock();
        let lsn = waiting.push(write);
        self.arrived.notify_one();
        lsn
    }

    /// The number of the newest body, durable or not.
    pub(crate) fn last(&self) -> Lsn {
        self.waiting.lock().next - 1
    }

    #[cfg(test)]
    pub(crate) fn durable_through(&self) -> Lsn {
        self.progress.borrow().durable
    }

    /// Refuses when too much waits for the disk already.
    pub(crate) fn admit(&self) -> Result<()> {
        let waiting = self.waiting.lock().bytes.len() + self.left_bytes.load(Ordering::Relaxed);
        if waiting > MAX_WAITING_BYTES {
            return Err(Error::unavailable(format!(
                "the disk does not keep up: {} MiB wait to be logged (limit {} MiB); retry later",
                waiting >> 20,
                MAX_WAITING_BYTES >> 20
            )));
        }
        Ok(())
    }

    /// Returns when everything up to `lsn` is on stable storage, or the disk failed since.
    pub(crate) async fn durable(&self, lsn: Lsn) -> Result<()> {
        let mut progress = self.progress.subscribe();
        let decided = progress.wait_for(|p| p.durable >= lsn || p.failed >= lsn).await;
        match decided {
            Ok(p) if p.durable >= lsn => Ok(()),
            _ => Err(Error::unavailable("the log could not be written to disk; retry")),
        }
    }

    /// Bytes in memory that are not on disk yet, or are room for such.
    pub(crate) fn heap_bytes(&self) -> usize {
        let writer = self.writer.lock();
        self.waiting.lock().bytes.capacity() + writer.undurable.bytes.capacity() + writer.framed.capacity()
    }

    /// Waits until something is to be flushed, at most `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) {
        let mut waiting = self.waiting.lock();
        if waiting.ends.is_empty() {
            self.arrived.wait_for(&mut waiting, timeout);
        }
    }

    /// Wakes the one who [`wait`](Self::wait)s.
    pub(crate) fn wake(&self) {
        self.arrived.notify_all();
    }

    /// Makes everything pushed before the call durable.
    pub(crate) fn flush(&self) -> Result<()> {
        let mut writer = self.writer.lock();
        self.take_waiting(&mut writer);
        if writer.undurable.ends.is_empty() {
            return Ok(());
        }
        let last = writer.undurable.last();
        match self.write(&mut writer) {
            Ok(()) => {
                writer.undurable.clear();
                self.left_bytes.store(0, Ordering::Relaxed);
                if std::mem::take(&mut writer.suspect) {
                    // Left where it is, it costs the next start a copy of the log.
                    let _ = self.fs.remove_file(&self.dir.join(segment::SUSPECT));
                }
                self.progress.send_modify(|p| p.durable = last);
                Ok(())
            }
            Err(e) => {
                // What the failed segment holds of these may be lost: they go first into the next one.
                self.left_bytes.store(writer.undurable.bytes.len(), Ordering::Relaxed);
                self.give_up_segment(&mut writer);
                let marker = self.dir.join(segment::SUSPECT);
                writer.suspect = true;
                if !self.fs.exists(&marker) {
                    let _ = self.fs.create(&marker);
                }
                self.progress.send_modify(|p| p.failed = last);
                Err(Error::io(format!("writing the log in {}", self.dir.display()), e))
            }
        }
    }

    /// Moves what waits behind what an earlier, failed flush left.
    fn take_waiting(&self, writer: &mut Writer) {
        let mut waiting = self.waiting.lock();
        if writer.undurable.ends.is_empty() {
            std::mem::swap(&mut writer.undurable, &mut *waiting);
            // The emptied buffer is used again, but one burst must not hold its memory for ever.
            waiting.bytes.shrink_to(1 << 20);
        } else {
            let base = writer.undurable.bytes.len();
            writer.undurable.ends.extend(waiting.ends.iter().map(|end| base + end));
            writer.undurable.bytes.extend_from_slice(&waiting.bytes);
            writer.undurable.next = waiting.next;
        }
        let next = writer.undurable.next;
        waiting.clear();
        (waiting.next, waiting.first) = (next, next);
    }

    fn write(&self, writer: &mut Writer) -> io::Result<()> {
        if writer.open.as_ref().is_none_or(|s| s.len > SEGMENT_BYTES) {
            writer.open = None;
            writer.open = Some(self.new_segment(writer)?);
        }
        let Writer { open: Some(segment), segments, undurable, framed, .. } = writer else { return Ok(()) };
        if let Some((_, last)) = segments.last_mut() {
            *last = undurable.last();
        }
        framed.clear();
        framed.shrink_to(2 * APPEND_BYTES);
        for (_, body) in undurable.iter() {
            segment.framing.push(framed, segment.len, body);
            segment.len += (FRAME_HEAD_BYTES + body.len()) as u64;
            if framed.len() >= APPEND_BYTES {
                segment.file.append(framed)?;
                framed.clear();
            }
        }
        segment.file.append(framed)?;
        segment.file.sync()?;
        if !segment.named {
            self.fs.sync_dir(&self.dir)?;
            segment.named = true;
        }
        Ok(())
    }

    /// A segment that failed is never written again; one that holds nothing durable need not stay either.
    fn give_up_segment(&self, writer: &mut Writer) {
        if writer.open.take().is_some_and(|s| !s.named)
            && let Some((name, _)) = writer.segments.last()
            && self.fs.remove_file(&self.dir.join(name.to_string())).is_ok()
        {
            writer.segments.pop();
        }
    }

    fn new_segment(&self, writer: &mut Writer) -> io::Result<OpenSegment> {
        let name = SegmentName(writer.next_segment);
        // A number is used once, also when its file could not be made.
        writer.next_segment += 1;
        let path = self.dir.join(name.to_string());
        let (framing, file) = Framing::create(&*self.fs, &path, MAGIC, &*self.random).inspect_err(|_| {
            // Half made; what is left of it holds nothing.
            let _ = self.fs.remove_file(&path);
        })?;
        writer.segments.push((name, 0));
        Ok(OpenSegment { framing, len: file.len()?, file, named: false })
    }

    /// Removes the segments that hold only bodies up to `lsn`: the caller knows them to be kept elsewhere.
    pub(crate) fn drop_through(&self, lsn: Lsn) -> Result<()> {
        let mut writer = self.writer.lock();
        // One that is open stays, and is the newest.
        while let [(oldest, last), ref newer @ ..] = writer.segments[..]
            && last <= lsn
            && (!newer.is_empty() || writer.open.is_none())
        {
            let path = self.dir.join(oldest.to_string());
            self.fs.remove_file(&path).map_err(|e| Error::io(format!("removing {}", path.display()), e))?;
            writer.segments.remove(0);
        }
        Ok(())
    }
}

impl Bodies {
    fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Lsn {
        let lsn = self.next;
        self.next += 1;
        self.bytes.extend_from_slice(&lsn.to_le_bytes());
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
        lsn
    }

    fn last(&self) -> Lsn {
        self.next - 1
    }

    fn iter(&self) -> impl Iterator<Item = (Lsn, &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        (self.first..).zip(starts.zip(&self.ends).map(|(from, &to)| &self.bytes[from..to]))
    }

    fn clear(&mut self) {
        self.ends.clear();
        self.bytes.clear();
    }
}

#[cfg(test)]
mod tests;
