//! What was removed from a bucket, and why: `deletions.jsonl`, a line of JSON each, on disk before it happens.

use crate::lifecycle::{Action, Decision};
use nilometer_env::{File, Fs};
use nilometer_model::{BlockMeta, Error, Result, Ulid};
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FILE: &str = DeletionLog::FILE;

impl<'a> What<'a> {
    fn of(meta: &'a BlockMeta) -> Self {
        What {
            min_time_ms: meta.min_time_ms,
            max_time_ms: meta.max_time_ms,
            resolution_ms: meta.resolution_ms(),
            samples: meta.stats.num_samples,
            labels: meta.thanos.as_ref().map(|t| &t.labels),
            sources: &meta.compaction.sources,
        }
    }
}

/// Lines are only ever added.
pub struct DeletionLog {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    /// None after a write that failed: a file whose sync failed once may lose what is written to it later, too.
    file: Mutex<Option<Arc<dyn File>>>,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    block: Ulid,
    action: &'static str,
    reason: &'a str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    of: Option<What<'a>>,
}

/// What the block had.
#[derive(Serialize)]
struct What<'a> {
    min_time_ms: i64,
    max_time_ms: i64,
    resolution_ms: i64,
    samples: u64,
    labels: Option<&'a BTreeMap<String, String>>,
    sources: &'a [Ulid],
}

impl DeletionLog {
    pub const FILE: &'static str = "deletions.jsonl";

    pub fn open(fs: &Arc<dyn Fs>, dir: &Path) -> Result<Self> {
        let log = DeletionLog { fs: fs.clone(), dir: dir.to_owned(), file: Mutex::new(None) };
        let opened = fs.create_dir_all(dir).and_then(|()| log.open_file());
        let file = opened.map_err(|e| Error::io(format!("opening {}", log.path().display()), e))?;
        *log.file.lock() = Some(file);
        Ok(log)
    }

    fn path(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    fn open_file(&self) -> io::Result<Arc<dyn File>> {
        let path = self.path();
        let file = if self.fs.exists(&path) { self.fs.open(&path) } else { self.fs.create(&path) }?;
        // A line that a crash cut short is not to swallow the next one.
        let len = file.len()?;
        let mut last = [b'\n'];
        if len > 0 {
            file.read_exact_at(&mut last, len - 1)?;
        }
        if last != *b"\n" {
            file.append(b"\n")?;
        }
        self.fs.sync_dir(&self.dir)?;
        Ok(file)
    }

    /// The same lines in another file.
    fn renew(&self) -> io::Result<Arc<dyn File>> {
        let path = self.path();
        self.fs.write_atomic(&path, &self.fs.read(&path)?)?;
        self.open_file()
    }

    /// Returns when the line is on disk.
    pub fn write(&self, decision: &Decision, meta: Option<&BlockMeta>, now_ms: i64) -> Result<()> {
        let time =
            jiff::Timestamp::from_millisecond(now_ms).map_or_else(|_| now_ms.to_string(), |t| t.to_string());
        let action = match decision.action {
            Action::MarkForDeletion => "mark",
            Action::Delete => "delete",
            Action::Hold => return Ok(()),
        };
        let line =
            Line { time, block: decision.ulid, action, reason: &decision.reason, of: meta.map(What::of) };
        let mut text = serde_json::to_vec(&line).map_err(|e| Error::invalid(format!("{FILE}: {e}")))?;
        text.push(b'\n');
        let mut open = self.file.lock();
        let written = open.take().map_or_else(|| self.renew(), Ok).and_then(|file| {
            file.append(&text)?;
            file.sync()?;
            Ok(file)
        });
        let file = written.map_err(|e| {
            let path = self.path();
            Error::io(format_args!("writing {}, without which nothing is deleted", path.display()), e)
        })?;
        *open = Some(file);
        Ok(())
    }
}
