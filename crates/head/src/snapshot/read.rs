//! Reading a snapshot at start.

use super::{
    EXEMPLAR, FILES, MAGIC, METADATA, NAMES, NAMES_AGAIN, Names, PREFIX, SERIES, TENANT, TMP, list, names,
    take_chunk, take_open,
};
use crate::chunks::{ChunkPos, FileLengths};
use crate::codec::Reader;
use crate::frame::{Found, Frames, Framing};
use crate::index::Slot;
use crate::late::Sealed;
use crate::log::Lsn;
use crate::open::{OpenChunk, Packed};
use crate::record::{take_cut, take_exemplar, take_metadata};
use crate::state::{Cut, State};
use nilometer_env::Fs;
use nilometer_model::{Error, Exemplar, Labels, Metadata, Result, Tenant, TimeRange};
use std::path::Path;

/// What is wrong in a snapshot, said in words; whatever else is in it was given.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    pub(crate) damaged: Vec<String>,
}

/// One body of a snapshot, which belongs to a tenant of it.
pub(crate) enum Item {
    Tenant(TenantItem),
    Series(Box<SeriesItem>),
    /// Of the batch of series that follows.
    Names(Names),
    /// Of the batch before.
    NamesAgain(Names),
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
    newest_ms: i64,
    cut_through_ms: i64,
    dropped_through_ms: i64,
    last_cut: u64,
    ended: Vec<Cut>,
}

pub(crate) struct SeriesItem {
    /// Everything of this series up to here is in it.
    pub(crate) lsn: Lsn,
    pub(crate) id: u64,
    chain: ChunkPos,
    open: OpenChunk,
    late: Vec<Packed>,
    sealed: Vec<Sealed>,
}

/// Gives all bodies of the newest snapshot, each with the number of its tenant, the tenants' own records first;
/// removes what an unfinished one left.
pub(crate) fn restore(
    fs: &dyn Fs,
    dir: &Path,
    mut give: impl FnMut(u64, Item) -> Result<()>,
) -> Result<Restored> {
    let mut restored = Restored::default();
    let tmp = dir.join(TMP);
    if fs.exists(&tmp) {
        fs.remove_dir_all(&tmp).map_err(|e| Error::io(format!("removing {}", tmp.display()), e))?;
    }
    let Some(newest) = list(fs, dir)?.pop() else { return Ok(restored) };
    let dir = dir.join(format!("{PREFIX}{newest}"));
    let mut entries = fs.read_dir(&dir).map_err(|e| Error::io(format!("listing {}", dir.display()), e))?;
    // The last part has what all others need.
    if !entries.is_empty() {
        entries.rotate_right(1);
    }
    for entry in entries {
        let path = dir.join(&entry.name);
        let bytes = fs.read(&path).map_err(|e| Error::io(format!("reading {}", path.display()), e))?;
        let Some(framing) = Framing::open(&bytes, MAGIC, &path)? else {
            restored.damaged.push(format!("{} has no head", path.display()));
            continue;
        };
        for found in Frames::new(framing, &bytes) {
            let (offset, broken) = match found {
                Found::Body { offset, body } => {
                    (offset, take_item(body).and_then(|(tenant, item)| give(tenant, item)).err())
                }
                Found::Damaged { offset, bytes } | Found::Tail { offset, bytes } => {
                    (offset, Some(Error::invalid(format!("{bytes} bytes are damaged"))))
                }
            };
            match broken {
                // A disk that does not answer now is no reason to leave anything out.
                Some(e) if e.is_passing() => return Err(e),
                Some(e) => restored.damaged.push(format!("{} at byte {offset}: {e}", path.display())),
                None => {}
            }
        }
    }
    Ok(restored)
}

pub(crate) fn take_item(body: &[u8]) -> Result<(u64, Item)> {
    let mut from = Reader(body);
    let (kind, tenant) = (from.u8()?, from.uvarint()?);
    let item = match kind {
        TENANT => Item::Tenant(take_tenant(&mut from)?),
        SERIES => Item::Series(Box::new(take_series(&mut from)?)),
        FILES => {
            let mut lengths = FileLengths::new();
            while !from.is_done() {
                lengths.insert(u32::from_le_bytes(*from.array()?), (from.varint()?, from.u64()?));
            }
            Item::Files(lengths)
        }
        NAMES => Item::Names(names::take(&mut from)?),
        NAMES_AGAIN => Item::NamesAgain(names::take(&mut from)?),
        EXEMPLAR => Item::Exemplar(from.labels()?, take_exemplar(&mut from)?),
        METADATA => {
            let (family, metadata) = take_metadata(&mut from)?;
            Item::Metadata(family, metadata)
        }
        other => return Err(Error::invalid(format!("a snapshot has a body of the unknown kind {other}"))),
    };
    Ok((tenant, item))
}

fn take_tenant(from: &mut Reader<'_>) -> Result<TenantItem> {
    let mut item = TenantItem {
        name: Tenant::new(from.str()?)?,
        lsn: from.uvarint()?,
        next_id: from.uvarint()?,
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

fn take_series(from: &mut Reader<'_>) -> Result<SeriesItem> {
    let mut item = SeriesItem {
        lsn: from.uvarint()?,
        id: from.uvarint()?,
        chain: ChunkPos::from_bits(from.u64()?),
        open: take_open(from)?,
        late: Vec::new(),
        sealed: Vec::new(),
    };
    for _ in 0..from.uvarint()? {
        item.late.extend(take_chunk(from)?);
    }
    for _ in 0..from.uvarint()? {
        let range = TimeRange::new(from.varint()?, from.varint()?);
        item.sealed.push(Sealed { range, pos: ChunkPos::from_bits(from.u64()?), cut: from.uvarint()? });
    }
    Ok(item)
}

impl TenantItem {
    /// What it says of a tenant, put into an empty state. Returns the cuts that had ended, whose samples the
    /// snapshot may still have.
    pub(crate) fn put_into(self, state: &mut State) -> Vec<Cut> {
        state.next_id = self.next_id;
        state.newest_ms = self.newest_ms;
        state.cut_through_ms = self.cut_through_ms;
        state.dropped_through_ms = self.dropped_through_ms;
        state.cuts.last_id = self.last_cut;
        self.ended
    }
}

impl SeriesItem {
    /// Puts what it says into the series at `slot`, which is empty. Fails before anything is changed.
    pub(crate) fn put_into(self, state: &mut State, slot: Slot) -> Result<()> {
        let mut samples = Vec::new();
        for packed in self.late {
            samples.extend(packed.samples()?);
        }
        let series = &mut state.series[slot as usize];
        (series.open, series.chain) = (self.open, self.chain);
        if !samples.is_empty() || !self.sealed.is_empty() {
            let late = series.late.get_or_insert_default();
            late.sealed = self.sealed;
            samples.into_iter().for_each(|(at, value)| late.insert(at, value));
        }
        Ok(())
    }
}
