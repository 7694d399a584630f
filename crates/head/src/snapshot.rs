//! Snapshots: all series and their open chunks in a few files, so that a restart reads them and a short tail
//! of the log.
//!
//! Written a batch of series at a time between requests. Each batch says up to which number of the log it is
//! true for its series; reading the log again leaves out what a series has already. The folder is named and
//! its predecessor removed only when everything in it, and the closed chunks that it points to, are durable.
//!
//! Frame files (`frame.rs`) in `snapshot-<n>/<part>.snap`. Each body begins with its kind and the number
//! that its tenant has in this snapshot (`<uv>`); the bodies of a tenant stand together, but for its own
//! record, which stands again in the last part, where it is looked for first. A batch of series is in one part.
//!
//! ```text
//! 1 tenant    name, lsn <uv>, next id <uv>, series <uv>, labels <uv>, newest <v>, cut through <v>, dropped through <v>, last cut <uv>,
//!             ended cuts (count <uv>, (id <uv>, start <v>, end <v>)…)
//! 2 series    lsn <uv>, id <uv>, chain u64, open, late samples (count <uv>, chunk…),
//!             sealed (count <uv>, (min <v>, max <v>, position u64, cut <uv>)…)
//! 3 exemplar  series labels, exemplar
//! 4 metadata  family, type u8, help, unit
//! 5 names     of the batch of series that follows (`names.rs`)
//! 7 names     the same, of the batch before: damage to one of the two costs nothing
//! 6 files     (number u32, start of its range <v>, length u64)… of closed chunks, behind all else
//! open        chunk; or 255 and the time of the last sample <v> where all of it is in closed chunks; or 254,
//!             min <v>, max <v>, state (19 bytes), data <len, bytes>: plain floats, gone on with at once
//! chunk       0, or encoding u8, min <v>, max <v>, data <len, bytes>
//! ```

mod names;
mod read;
mod write;

pub(crate) use read::{Batch, Decoder, Item, Stored, TenantItem, restore};
pub(crate) use write::write;

use crate::codec::{Reader, put_bytes, put_varint};
use crate::open::{OpenChunk, Packed};
use nilometer_chunk::Encoding;
use nilometer_env::Fs;
use nilometer_model::{Error, Result, TimeRange};
use std::path::Path;

const MAGIC: [u8; 4] = *b"NSNP";
const TENANT: u8 = 1;
const SERIES: u8 = 2;
const EXEMPLAR: u8 = 3;
const METADATA: u8 = 4;
const NAMES: u8 = 5;
const FILES: u8 = 6;
const NAMES_AGAIN: u8 = 7;

const PREFIX: &str = "snapshot-";
const TMP: &str = "snapshot.tmp";

/// The finished snapshots in a folder, oldest first.
fn list(fs: &dyn Fs, dir: &Path) -> Result<Vec<u64>> {
    let entries = fs.read_dir(dir).map_err(|e| Error::io(format!("listing {}", dir.display()), e))?;
    let number =
        |name: &str| name.strip_prefix(PREFIX)?.parse().ok().filter(|n| format!("{PREFIX}{n}") == name);
    let mut numbers: Vec<u64> = entries.iter().filter_map(|e| number(&e.name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Stands for an open chunk that was closed for its size.
const CLOSED: u8 = 255;
/// Stands for an open chunk of plain floats.
const FLOATS: u8 = 254;

fn put_open(out: &mut Vec<u8>, open: &OpenChunk) {
    if let Some((range, state, data)) = open.saved() {
        out.push(FLOATS);
        put_range(out, range);
        out.extend_from_slice(&state);
        put_bytes(out, data);
    } else if let Some(last_ms) = open.closed_ms() {
        out.push(CLOSED);
        put_varint(out, last_ms);
    } else {
        put_chunk(out, open.packed().as_ref());
    }
}

fn take_open(from: &mut Reader<'_>) -> Result<OpenChunk> {
    match from.u8()? {
        CLOSED => Ok(OpenChunk::closed(from.varint()?)),
        FLOATS => OpenChunk::restored(take_range(from)?, from.array()?, from.bytes()?),
        encoding => take_chunk(encoding, from)?.map_or(Ok(OpenChunk::default()), OpenChunk::resume),
    }
}

fn put_chunk(out: &mut Vec<u8>, chunk: Option<&Packed>) {
    let Some(chunk) = chunk else { return out.push(0) };
    out.push(chunk.encoding.byte());
    put_range(out, chunk.range);
    put_bytes(out, &chunk.data);
}

/// What stands behind the byte of an encoding.
fn take_chunk(encoding: u8, from: &mut Reader<'_>) -> Result<Option<Packed>> {
    if encoding == 0 {
        return Ok(None);
    }
    let encoding = Encoding::from_byte(encoding)?;
    Ok(Some(Packed { range: take_range(from)?, encoding, data: from.bytes()?.to_vec() }))
}

fn put_range(out: &mut Vec<u8>, range: TimeRange) {
    put_varint(out, range.min_ms);
    put_varint(out, range.max_ms);
}

fn take_range(from: &mut Reader<'_>) -> Result<TimeRange> {
    Ok(TimeRange::new(from.varint()?, from.varint()?))
}
