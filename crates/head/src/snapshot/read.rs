//! Reading a snapshot at start.
//!
//! Two threads: the caller reads files and puts what is in them into tenants, another decodes them. All files
//! are read by the caller, in their order.

use super::names::{self, Names};
use super::{
    EXEMPLAR, FILES, MAGIC, METADATA, NAMES, NAMES_AGAIN, PREFIX, SERIES, TENANT, TMP, list, take_chunk,
    take_open, take_range,
};
use crate::chunks::{ChunkPos, FileLengths};
use crate::codec::Reader;
use crate::frame::{Found, Frames, Framing};
use crate::index::{Key, KeyHasher};
use crate::late::{Late, Sealed};
use crate::log::Lsn;
use crate::record::{take_cut, take_exemplar, take_metadata};
use crate::series::Series;
use crate::state::{Cut, State};
use nilometer_env::Fs;
use nilometer_model::{Error, Exemplar, Labels, Metadata, Result, Tenant};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// What is wrong in a snapshot, said in words; whatever else is in it was given.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    pub(crate) damaged: Vec<String>,
}

/// One thing that a snapshot has of a tenant.
pub(crate) enum Item {
    Tenant(TenantItem),
    Series(Batch),
    Exemplar(Labels, Exemplar),
    Metadata(String, Metadata),
    /// The files of closed chunks that there were.
    Files(FileLengths),
}

pub(crate) struct TenantItem {
    pub(crate) name: Tenant,
    /// Cuts up to here are in it, or were done with.
    pub(crate) lsn: Lsn,
    next_id: u64,
    /// How many series it had, about, and how many labels those.
    room: (u64, u64),
    newest_ms: i64,
    cut_through_ms: i64,
    dropped_through_ms: i64,
    last_cut: u64,
    ended: Vec<Cut>,
}

/// Series that were written together.
#[derive(Default)]
pub(crate) struct Batch {
    /// `None` where both copies are damaged.
    pub(crate) names: Option<Names>,
    /// One for each series that is named.
    pub(crate) keys: Vec<Key>,
    pub(crate) series: Vec<Stored>,
}

pub(crate) struct Stored {
    /// Everything of this series up to here is in it.
    pub(crate) lsn: Lsn,
    pub(crate) series: Series,
}

/// Gives all items of the newest snapshot, each with the number of its tenant, the tenants' own records first;
/// removes what an unfinished one left.
pub(crate) fn restore(
    fs: &dyn Fs,
    dir: &Path,
    hasher: &KeyHasher,
    give: impl FnMut(u64, Item) -> Result<()>,
) -> Result<Restored> {
    let tmp = dir.join(TMP);
    if fs.exists(&tmp) {
        fs.remove_dir_all(&tmp).map_err(|e| Error::io(format!("removing {}", tmp.display()), e))?;
    }
    let Some(newest) = list(fs, dir)?.pop() else { return Ok(Restored::default()) };
    let dir = dir.join(format!("{PREFIX}{newest}"));
    let mut entries = fs.read_dir(&dir).map_err(|e| Error::io(format!("listing {}", dir.display()), e))?;
    // The last part has what all others need.
    if !entries.is_empty() {
        entries.rotate_right(1);
    }
    let mut taking = Taking { give, damaged: Vec::new() };
    std::thread::scope(|scope| {
        let (jobs, work) = sync_channel::<Job>(1);
        scope.spawn(move || work.into_iter().for_each(|job| job.run(hasher)));
        let mut before: Option<(PathBuf, Receiver<Decoded>)> = None;
        for entry in entries {
            let path = dir.join(&entry.name);
            let bytes = fs.read(&path).map_err(|e| Error::io(format!("reading {}", path.display()), e))?;
            let Some(framing) = Framing::open(&bytes, MAGIC, &path)? else {
                taking.damaged.push(format!("{} has no head", path.display()));
                continue;
            };
            let (out, decoded) = sync_channel(WAITING);
            jobs.send(Job { framing, bytes, out }).expect("the decoder runs as long as there is work");
            if let Some((path, decoded)) = before.replace((path, decoded)) {
                taking.take(&path, &decoded)?;
            }
        }
        before.map_or(Ok(()), |(path, decoded)| taking.take(&path, &decoded))
    })?;
    Ok(Restored { damaged: taking.damaged })
}

/// Decoded items that wait for the caller.
const WAITING: usize = 32;

/// What stands at an offset of a part.
struct Decoded {
    offset: u64,
    found: Result<(u64, Item)>,
}

struct Taking<F> {
    give: F,
    damaged: Vec<String>,
}

impl<F: FnMut(u64, Item) -> Result<()>> Taking<F> {
    fn take(&mut self, path: &Path, decoded: &Receiver<Decoded>) -> Result<()> {
        for Decoded { offset, found } in decoded {
            match found.and_then(|(tenant, item)| (self.give)(tenant, item)) {
                // A disk that does not answer now is no reason to leave anything out.
                Err(e) if e.is_passing() => return Err(e),
                Err(e) => self.damaged.push(format!("{} at byte {offset}: {e}", path.display())),
                Ok(()) => {}
            }
        }
        Ok(())
    }
}

/// A part to decode.
struct Job {
    framing: Framing,
    bytes: Vec<u8>,
    out: SyncSender<Decoded>,
}

impl Job {
    fn run(self, hasher: &KeyHasher) {
        let mut decoder = Decoder::new(hasher);
        for found in Frames::new(self.framing, &self.bytes) {
            let (offset, decoded) = match found {
                Found::Body { offset, body } => (offset, decoder.body(body)),
                Found::Damaged { offset, bytes } | Found::Tail { offset, bytes } => {
                    (offset, vec![Err(Error::invalid(format!("{bytes} bytes are damaged")))])
                }
            };
            self.send(offset, decoded);
        }
        self.send(self.bytes.len() as u64, decoder.end_batch());
    }

    fn send(&self, offset: u64, decoded: impl IntoIterator<Item = Result<(u64, Item)>>) {
        for found in decoded {
            // Where nobody listens any more, the start has failed.
            let _ = self.out.send(Decoded { offset, found });
        }
    }
}

/// Makes items of the bodies of a part.
pub(crate) struct Decoder<'a> {
    hasher: &'a KeyHasher,
    /// Whose the batch is.
    tenant: u64,
    batch: Batch,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(hasher: &'a KeyHasher) -> Self {
        Decoder { hasher, tenant: 0, batch: Batch::default() }
    }

    /// What is whole with this body. Series wait until their batch ends.
    pub(crate) fn body(&mut self, body: &[u8]) -> Vec<Result<(u64, Item)>> {
        let mut decoded = Vec::new();
        if let Err(e) = self.try_body(body, &mut decoded) {
            decoded.push(Err(e));
        }
        decoded
    }

    fn try_body(&mut self, body: &[u8], out: &mut Vec<Result<(u64, Item)>>) -> Result<()> {
        let mut from = Reader(body);
        let (kind, tenant) = (from.u8()?, from.uvarint()?);
        if self.tenant != tenant || kind == NAMES {
            out.extend(self.end_batch());
            self.tenant = tenant;
        }
        let item = match kind {
            SERIES => {
                self.batch.series.push(take_series(&mut from)?);
                return Ok(());
            }
            NAMES => {
                self.batch.names = Some(names::take(&mut from)?);
                return Ok(());
            }
            NAMES_AGAIN => {
                let again = match self.batch.names {
                    Some(_) => Ok(()),
                    None => names::take(&mut from).map(|names| self.batch.names = Some(names)),
                };
                out.extend(self.end_batch());
                return again;
            }
            TENANT => Item::Tenant(take_tenant(&mut from)?),
            FILES => {
                let mut lengths = FileLengths::new();
                while !from.is_done() {
                    lengths.insert(u32::from_le_bytes(*from.array()?), (from.varint()?, from.u64()?));
                }
                Item::Files(lengths)
            }
            EXEMPLAR => Item::Exemplar(from.labels()?, take_exemplar(&mut from)?),
            METADATA => {
                let (family, metadata) = take_metadata(&mut from)?;
                Item::Metadata(family, metadata)
            }
            other => {
                return Err(Error::invalid(format!("a snapshot has a body of the unknown kind {other}")));
            }
        };
        out.push(Ok((tenant, item)));
        Ok(())
    }

    /// The batch, where there is one.
    pub(crate) fn end_batch(&mut self) -> Option<Result<(u64, Item)>> {
        let mut batch = std::mem::take(&mut self.batch);
        if batch.names.is_none() && batch.series.is_empty() {
            return None;
        }
        if let Some(names) = &batch.names {
            batch.keys = names.series().map(|(_, row)| self.hasher.key_of(names.texts_of(row))).collect();
        }
        Some(Ok((self.tenant, Item::Series(batch))))
    }
}

fn take_tenant(from: &mut Reader<'_>) -> Result<TenantItem> {
    let mut item = TenantItem {
        name: Tenant::new(from.str()?)?,
        lsn: from.uvarint()?,
        next_id: from.uvarint()?,
        room: (from.uvarint()?, from.uvarint()?),
        newest_ms: from.varint()?,
        cut_through_ms: from.varint()?,
        dropped_through_ms: from.varint()?,
        last_cut: from.uvarint()?,
        ended: Vec::new(),
    };
    for _ in 0..from.uvarint()? {
        item.ended.push(take_cut(from)?);
    }
    Ok(item)
}

fn take_series(from: &mut Reader<'_>) -> Result<Stored> {
    let lsn = from.uvarint()?;
    let mut series = Series::new(from.uvarint()?);
    series.chain = ChunkPos::from_bits(from.u64()?);
    series.open = take_open(from)?;
    let mut late = Late::default();
    for _ in 0..from.uvarint()? {
        let encoding = from.u8()?;
        let samples = take_chunk(encoding, from)?.map_or(Ok(Vec::new()), |packed| packed.samples())?;
        samples.into_iter().for_each(|(at, value)| late.insert(at, value));
    }
    for _ in 0..from.uvarint()? {
        let range = take_range(from)?;
        late.sealed.push(Sealed { range, pos: ChunkPos::from_bits(from.u64()?), cut: from.uvarint()? });
    }
    series.late = (!late.is_empty()).then(|| Box::new(late));
    Ok(Stored { lsn, series })
}

impl TenantItem {
    /// What it says of a tenant, put into an empty state. Returns the cuts that had ended, whose samples the
    /// snapshot may still have.
    pub(crate) fn put_into(self, state: &mut State) -> Vec<Cut> {
        state.reserve(self.room.0 as usize, self.room.1 as usize);
        state.next_id = self.next_id;
        state.newest_ms = self.newest_ms;
        state.cut_through_ms = self.cut_through_ms;
        state.dropped_through_ms = self.dropped_through_ms;
        state.cuts.last_id = self.last_cut;
        self.ended
    }
}
