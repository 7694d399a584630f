//! Writing a snapshot beside running ingestion.

use super::{
    EXEMPLAR, FILES, MAGIC, METADATA, NAMES, NAMES_AGAIN, PREFIX, SERIES, TENANT, TMP, list, names,
    put_chunk, put_open,
};
use crate::codec::{put_bytes, put_labels, put_uvarint, put_varint};
use crate::frame::Framing;
use crate::log::{Log, Lsn};
use crate::open::pack;
use crate::record::{put_cut, put_exemplar, put_metadata};
use crate::series::Series;
use crate::state::State;
use crate::tenant::TenantHead;
use nilometer_env::{File, Fs, Random};
use nilometer_model::{Error, Result, Tenant};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file is left for the next part when it is longer; when they are read again, two or three are in memory.
const PART_BYTES: u64 = 4 << 20;
/// Series that are packed under one holding of the lock.
const BATCH_SERIES: usize = 256;

/// Writes a snapshot of all tenants and removes the one before. Returns how long it is in bytes.
pub(crate) fn write(
    fs: &dyn Fs,
    random: &dyn Random,
    dir: &Path,
    log: &Log,
    tenants: &[Arc<TenantHead>],
) -> Result<u64> {
    let io = |e| Error::io(format!("writing a snapshot in {}", dir.display()), e);
    let tmp = dir.join(TMP);
    if fs.exists(&tmp) {
        fs.remove_dir_all(&tmp).map_err(io)?;
    }
    fs.create_dir_all(&tmp).map_err(io)?;
    let mut parts =
        Parts { fs, random, dir: tmp.clone(), open: None, count: 0, bytes: 0, ordinal: 0, body: Vec::new() };
    let mut records = Vec::new();
    for tenant in tenants {
        parts.ordinal += 1;
        records.push((parts.ordinal, write_tenant(&mut parts, log, tenant)?));
        // Positions in the snapshot point into these files.
        let (syncing, lengths) = {
            let files = &mut tenant.lock().state.files;
            (files.begin_sync()?, files.lengths())
        };
        let synced = syncing.run();
        tenant.lock().state.files.synced(synced)?;
        parts.frame(FILES, |body| {
            for (number, (start_ms, len)) in &lengths {
                body.extend_from_slice(&number.to_le_bytes());
                put_varint(body, *start_ms);
                body.extend_from_slice(&len.to_le_bytes());
            }
        })?;
    }
    // Once more, far from the first ones: all else in a snapshot belongs to one of them.
    parts.close().map_err(io)?;
    for (ordinal, record) in records {
        parts.ordinal = ordinal;
        parts.frame(TENANT, |body| body.extend_from_slice(&record))?;
    }
    // It must not hold what a crash could take from the log: numbers would be given twice.
    log.flush()?;
    parts.close().map_err(io)?;
    fs.sync_dir(&tmp).map_err(io)?;
    let before = list(fs, dir)?;
    let number = before.last().map_or(1, |n| n + 1);
    fs.rename(&tmp, &dir.join(format!("{PREFIX}{number}"))).map_err(io)?;
    fs.sync_dir(dir).map_err(io)?;
    for old in before {
        fs.remove_dir_all(&dir.join(format!("{PREFIX}{old}"))).map_err(io)?;
    }
    Ok(parts.bytes)
}

/// Gives the tenant's own record, to be written again.
fn write_tenant(parts: &mut Parts<'_>, log: &Log, tenant: &TenantHead) -> Result<Vec<u8>> {
    let (mut record, mut names) = (Vec::new(), Vec::new());
    let (mut next_id, end_id) = {
        let inner = tenant.lock();
        inner.check_sound(&tenant.name)?;
        put_tenant(&mut record, &tenant.name, log.last(), &inner.state);
        parts.frame(TENANT, |body| body.extend_from_slice(&record))?;
        for (family, metadata) in inner.state.extras.metadata() {
            parts.frame(METADATA, |body| put_metadata(body, family, metadata))?;
        }
        for (labels, exemplar) in inner.state.extras.exemplars.all() {
            parts.frame(EXEMPLAR, |body| {
                put_labels(body, labels);
                put_exemplar(body, exemplar);
            })?;
        }
        (0, inner.state.next_id)
    };
    while next_id < end_id {
        let inner = tenant.lock();
        let lsn = log.last();
        let from = inner.state.series.partition_point(|s| s.id < next_id);
        let series = inner.state.series[from..].iter().take(BATCH_SERIES).take_while(|s| s.id < end_id);
        let batch: Vec<(&Series, u32)> = series.zip(from as u32..).collect();
        let Some((last, _)) = batch.last() else { break };
        next_id = last.id + 1;
        names.clear();
        names::put(&mut names, &inner.state.index, batch.iter().map(|(series, slot)| (series.id, *slot)));
        // A batch is in one part.
        parts.close_if_long()?;
        parts.frame(NAMES, |body| body.extend_from_slice(&names))?;
        for (series, _) in &batch {
            parts.frame(SERIES, |body| put_series(body, lsn, series))?;
        }
        parts.frame(NAMES_AGAIN, |body| body.extend_from_slice(&names))?;
    }
    Ok(record)
}

fn put_tenant(body: &mut Vec<u8>, name: &Tenant, lsn: Lsn, state: &State) {
    put_bytes(body, name.as_str().as_bytes());
    put_uvarint(body, lsn);
    put_uvarint(body, state.next_id);
    put_uvarint(body, state.series.len() as u64);
    put_uvarint(body, state.index.labels_count() as u64);
    put_varint(body, state.newest_ms);
    put_varint(body, state.cut_through_ms);
    put_varint(body, state.dropped_through_ms);
    put_uvarint(body, state.cuts.last_id);
    put_uvarint(body, state.cuts.ended.len() as u64);
    for ended in &state.cuts.ended {
        put_cut(body, *ended);
    }
}

fn put_series(body: &mut Vec<u8>, lsn: Lsn, series: &Series) {
    put_uvarint(body, lsn);
    put_uvarint(body, series.id);
    body.extend_from_slice(&series.chain.to_bits().to_le_bytes());
    put_open(body, &series.open);
    let late = series.late.as_deref();
    let packed = pack(late.into_iter().flat_map(|l| l.samples.iter().cloned()));
    put_uvarint(body, packed.len() as u64);
    for chunk in &packed {
        put_chunk(body, Some(chunk));
    }
    let sealed = late.map_or(&[][..], |l| &l.sealed);
    put_uvarint(body, sealed.len() as u64);
    for sealed in sealed {
        put_varint(body, sealed.range.min_ms);
        put_varint(body, sealed.range.max_ms);
        body.extend_from_slice(&sealed.pos.to_bits().to_le_bytes());
        put_uvarint(body, sealed.cut);
    }
}

/// The files of a snapshot, one being written.
struct Parts<'a> {
    fs: &'a dyn Fs,
    random: &'a dyn Random,
    dir: PathBuf,
    open: Option<Part>,
    count: u32,
    bytes: u64,
    /// Of the tenant that is being written.
    ordinal: u64,
    body: Vec<u8>,
}

struct Part {
    framing: Framing,
    file: Arc<dyn File>,
    len: u64,
    waiting: Vec<u8>,
}

impl Parts<'_> {
    fn frame(&mut self, kind: u8, write: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        self.body.clear();
        self.body.push(kind);
        put_uvarint(&mut self.body, self.ordinal);
        write(&mut self.body);
        self.put().map_err(|e| Error::io(format!("writing {}", self.dir.display()), e))
    }

    fn put(&mut self) -> std::io::Result<()> {
        if self.open.is_none() {
            self.count += 1;
            let path = self.dir.join(format!("{:06}.snap", self.count));
            let (framing, file) = Framing::create(self.fs, &path, MAGIC, self.random)?;
            let len = file.len()?;
            self.open = Some(Part { framing, file, len, waiting: Vec::new() });
        }
        let Some(part) = &mut self.open else { return Ok(()) };
        let before = part.waiting.len();
        part.framing.push(&mut part.waiting, part.len, &self.body);
        part.len += (part.waiting.len() - before) as u64;
        if part.waiting.len() > 256 << 10 {
            part.file.append(&part.waiting)?;
            part.waiting.clear();
        }
        Ok(())
    }

    fn close_if_long(&mut self) -> Result<()> {
        if self.open.as_ref().is_none_or(|p| p.len <= PART_BYTES) {
            return Ok(());
        }
        self.close().map_err(|e| Error::io(format!("writing {}", self.dir.display()), e))
    }

    fn close(&mut self) -> std::io::Result<()> {
        let Some(part) = self.open.take() else { return Ok(()) };
        part.file.append(&part.waiting)?;
        part.file.sync()?;
        self.bytes += part.len;
        Ok(())
    }
}
