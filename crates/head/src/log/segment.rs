//! The files of the log: their names, and reading them again.

use super::{Lsn, MAGIC};
use crate::frame::{Found, Frames, Framing};
use nilometer_env::Fs;
use nilometer_model::{Error, Kind, Result};
use std::fmt;
use std::io;
use std::path::Path;

/// `00000001.wal`, counted up and never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentName(pub(crate) u64);

impl SegmentName {
    fn parse(name: &str) -> Option<Self> {
        name.strip_suffix(".wal")?.parse().ok().map(SegmentName)
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08}.wal", self.0)
    }
}

/// Beside the segments while a flush has failed and none has succeeded since. A process that ends then leaves
/// bytes that can be read, may never reach the disk, and cannot be made to by another sync: they are copied.
pub(super) const SUSPECT: &str = "suspect";

/// What a replay met.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    pub(crate) last_lsn: Lsn,
    /// Every segment, with the highest number of its whole bodies.
    pub(crate) segments: Vec<(SegmentName, Lsn)>,
    /// The number that no segment has had.
    pub(crate) next_segment: u64,
    pub(crate) bytes: u64,
    pub(crate) bodies: u64,
    /// Damage in the middle of a segment, each said in words.
    pub(crate) damaged: Vec<String>,
    /// Unfinished ends of segments.
    pub(crate) tails: Vec<String>,
}

/// Gives every whole body to `apply`, in order of segments. One segment is in memory at a time.
pub(crate) fn replay(
    fs: &dyn Fs,
    dir: &Path,
    mut apply: impl FnMut(Lsn, &[u8]) -> Result<()>,
) -> Result<Replayed> {
    let mut replayed = Replayed::default();
    let suspect = fs.exists(&dir.join(SUSPECT));
    let names = segments(fs, dir)?;
    let newest = names.last().copied();
    replayed.next_segment = newest.map_or(1, |name| name.0 + 1);
    for segment in names {
        let path = dir.join(segment.to_string());
        let bytes = read_durable(fs, &path, suspect)
            .map_err(|e| Error::io(format!("reading {}", path.display()), e))?;
        let framing = match Framing::open(&bytes, MAGIC, &path) {
            Ok(Some(framing)) => framing,
            Ok(None) => {
                replayed.tails.push(format!("{} was never begun ({} bytes)", path.display(), bytes.len()));
                replayed.segments.push((segment, 0));
                continue;
            }
            // The newest one may be a file that was torn before its first sync. Neither is ever removed.
            Err(e) if matches!(e.kind(), Kind::Corrupt { .. }) => {
                let torn = suspect || Some(segment) == newest;
                let found = if torn { &mut replayed.tails } else { &mut replayed.damaged };
                found.push(format!("{e}; it is put aside"));
                let aside = path.with_extension("wal.unreadable");
                fs.rename(&path, &aside).map_err(|e| Error::io(format!("renaming {}", path.display()), e))?;
                continue;
            }
            Err(e) => return Err(e),
        };
        replayed.segments.push((segment, 0));
        replayed.bytes += bytes.len() as u64;
        for found in Frames::new(framing, &bytes) {
            let place = |offset, bytes| format!("{} at byte {offset}, {bytes} bytes", path.display());
            match found {
                Found::Body { offset, body } => {
                    let Some((lsn, rest)) = body.split_first_chunk::<8>() else {
                        replayed.damaged.push(place(offset, body.len() as u64));
                        continue;
                    };
                    let lsn = Lsn::from_le_bytes(*lsn);
                    replayed.last_lsn = replayed.last_lsn.max(lsn);
                    if let Some((_, last)) = replayed.segments.last_mut() {
                        *last = lsn.max(*last);
                    }
                    replayed.bodies += 1;
                    if let Err(e) = apply(lsn, rest) {
                        // A disk that does not answer now is no reason to leave samples out.
                        if e.is_passing() {
                            return Err(e);
                        }
                        replayed.damaged.push(format!("{}: {e}", place(offset, body.len() as u64)));
                    }
                }
                Found::Damaged { offset, bytes } => replayed.damaged.push(place(offset, bytes)),
                Found::Tail { offset, bytes } => replayed.tails.push(place(offset, bytes)),
            }
        }
    }
    let synced =
        fs.sync_dir(dir).and_then(|()| if suspect { fs.remove_file(&dir.join(SUSPECT)) } else { Ok(()) });
    synced.map_err(|e| Error::io(format!("syncing {}", dir.display()), e))?;
    Ok(replayed)
}

/// The bytes of a file, which may have been written by a process that was killed before its sync: what is
/// built on them must not be lost any more.
fn read_durable(fs: &dyn Fs, path: &Path, suspect: bool) -> io::Result<Vec<u8>> {
    let bytes = fs.read(path)?;
    if suspect {
        fs.write_atomic(path, &bytes)?;
    } else {
        fs.open(path)?.sync()?;
    }
    Ok(bytes)
}

fn segments(fs: &dyn Fs, dir: &Path) -> Result<Vec<SegmentName>> {
    let entries = fs.read_dir(dir).map_err(|e| Error::io(format!("listing {}", dir.display()), e))?;
    let mut names: Vec<_> = entries.iter().filter_map(|e| SegmentName::parse(&e.name)).collect();
    names.sort_unstable();
    Ok(names)
}
