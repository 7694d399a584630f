//! The bodies of the log, behind their number:
//!
//! ```text
//! ┌─────────┬──────────────────┬───
//! │ kind u8 │ tenant <len, text>│ …  by kind
//! └─────────┴──────────────────┴───
//! 1 series     (id step <uv>, labels)…
//! 2 floats     (id step <v>, time step <v>, value 8 B)…
//! 3 samples    (id step <v>, time step <v>, start <v>, encoding u8, chunk of one <len, bytes>)…
//! 4 cut begun  id <uv>, start_ms <v>, end_ms <v>
//! 5 cut ended  id <uv>, start_ms <v>, end_ms <v>, 1 and the block's ULID 16 B, or 0 where there was nothing to write
//! 6 exemplars  (id <uv>, labels, t_ms <v>, value 8 B)…
//! 7 metadata   (family, type u8, help, unit)…
//! ```
//!
//! Steps are from the entry before, within the body; strings are a length and text. Only what was accepted is
//! logged, and reading it again stores what is not there yet, so a body may stand in the log twice.

use crate::codec::{Reader, put_bytes, put_labels, put_uvarint, put_varint};
use crate::open::{Packed, pack};
use crate::state::Cut;
use nilometer_chunk::{Encoding, Stamp};
use nilometer_model::{Error, Exemplar, Labels, Metadata, MetricType, Result, Tenant, TimeRange, Value};

const SERIES: u8 = 1;
const FLOATS: u8 = 2;
const SAMPLES: u8 = 3;
const CUT_BEGUN: u8 = 4;
const CUT_ENDED: u8 = 5;
const EXEMPLARS: u8 = 6;
const METADATA: u8 = 7;

/// One body being written; entries are added one by one.
#[derive(Default)]
pub(crate) struct Entries {
    pub(crate) bytes: Vec<u8>,
    last_id: u64,
    last_ms: i64,
}

impl Entries {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        (self.last_id, self.last_ms) = (0, 0);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn step(&mut self, id: u64, t_ms: i64) {
        put_varint(&mut self.bytes, id.wrapping_sub(self.last_id) as i64);
        put_varint(&mut self.bytes, t_ms.wrapping_sub(self.last_ms));
        (self.last_id, self.last_ms) = (id, t_ms);
    }

    #[inline]
    pub(crate) fn float(&mut self, id: u64, t_ms: i64, v: f64) {
        self.step(id, t_ms);
        self.bytes.extend_from_slice(&v.to_bits().to_le_bytes());
    }

    pub(crate) fn sample(&mut self, id: u64, at: Stamp, value: &Value) {
        self.step(id, at.t_ms);
        put_varint(&mut self.bytes, at.start_ms);
        // The start stands beside it, so that the chunk of one needs no room for it.
        for packed in pack([(Stamp::at(at.t_ms), value.clone())]) {
            self.bytes.push(packed.encoding.byte());
            put_bytes(&mut self.bytes, &packed.data);
        }
    }

    pub(crate) fn series(&mut self, id: u64, labels: &Labels) {
        put_uvarint(&mut self.bytes, id.wrapping_sub(self.last_id));
        put_labels(&mut self.bytes, labels);
        self.last_id = id;
    }

    pub(crate) fn exemplar(&mut self, id: u64, exemplar: &Exemplar) {
        put_uvarint(&mut self.bytes, id);
        put_exemplar(&mut self.bytes, exemplar);
    }

    pub(crate) fn metadata(&mut self, family: &str, metadata: &Metadata) {
        put_metadata(&mut self.bytes, family, metadata);
    }
}

pub(crate) fn put_exemplar(out: &mut Vec<u8>, exemplar: &Exemplar) {
    put_labels(out, &exemplar.labels);
    put_varint(out, exemplar.t_ms);
    out.extend_from_slice(&exemplar.v.to_bits().to_le_bytes());
}

pub(crate) fn take_exemplar(from: &mut Reader<'_>) -> Result<Exemplar> {
    Ok(Exemplar { labels: from.labels()?, t_ms: from.varint()?, v: f64::from_bits(from.u64()?) })
}

pub(crate) fn put_metadata(out: &mut Vec<u8>, family: &str, metadata: &Metadata) {
    put_bytes(out, family.as_bytes());
    out.push(type_byte(metadata.kind));
    put_bytes(out, metadata.help.as_bytes());
    put_bytes(out, metadata.unit.as_bytes());
}

pub(crate) fn take_metadata(from: &mut Reader<'_>) -> Result<(String, Metadata)> {
    let family = from.str()?.to_owned();
    let kind = from.u8()?;
    let kind = TYPES.into_iter().find(|t| type_byte(*t) == kind).unwrap_or_default();
    Ok((family, Metadata { kind, help: from.str()?.to_owned(), unit: from.str()?.to_owned() }))
}

const TYPES: [MetricType; 8] = [
    MetricType::Unknown,
    MetricType::Counter,
    MetricType::Gauge,
    MetricType::Histogram,
    MetricType::GaugeHistogram,
    MetricType::Summary,
    MetricType::Info,
    MetricType::StateSet,
];

fn type_byte(kind: MetricType) -> u8 {
    TYPES.iter().position(|t| *t == kind).unwrap_or(0) as u8
}

/// Which body entries become.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Of {
    Series,
    Floats,
    Samples,
    Exemplars,
    Metadata,
}

pub(crate) fn put_entries(out: &mut Vec<u8>, tenant: &Tenant, of: Of, entries: &Entries) {
    let kind = match of {
        Of::Series => SERIES,
        Of::Floats => FLOATS,
        Of::Samples => SAMPLES,
        Of::Exemplars => EXEMPLARS,
        Of::Metadata => METADATA,
    };
    put_head(out, kind, tenant);
    out.extend_from_slice(&entries.bytes);
}

pub(crate) fn put_cut_begun(out: &mut Vec<u8>, tenant: &Tenant, cut: Cut) {
    put_head(out, CUT_BEGUN, tenant);
    put_cut(out, cut);
}

pub(crate) fn put_cut(out: &mut Vec<u8>, cut: Cut) {
    put_uvarint(out, cut.id);
    put_varint(out, cut.start_ms);
    put_varint(out, cut.end_ms);
}

pub(crate) fn take_cut(from: &mut Reader<'_>) -> Result<Cut> {
    Ok(Cut { id: from.uvarint()?, start_ms: from.varint()?, end_ms: from.varint()? })
}

pub(crate) fn put_cut_ended(out: &mut Vec<u8>, tenant: &Tenant, cut: Cut, block: Option<[u8; 16]>) {
    put_head(out, CUT_ENDED, tenant);
    put_cut(out, cut);
    out.push(u8::from(block.is_some()));
    out.extend_from_slice(&block.unwrap_or_default());
}

fn put_head(out: &mut Vec<u8>, kind: u8, tenant: &Tenant) {
    out.push(kind);
    put_bytes(out, tenant.as_str().as_bytes());
}

/// One thing that a body says.
#[derive(Debug)]
pub(crate) enum Entry<'a> {
    Series { id: u64, labels: EncodedLabels<'a> },
    Float { id: u64, t_ms: i64, v: f64 },
    Sample { id: u64, at: Stamp, value: Value },
    CutBegun(Cut),
    CutEnded { cut: Cut, block: Option<&'a [u8; 16]> },
    Exemplar { id: u64, exemplar: Exemplar },
    Metadata { family: String, metadata: Metadata },
}

/// Labels that are read only if they are asked for: new series stand in the log twice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EncodedLabels<'a>(&'a [u8]);

impl EncodedLabels<'_> {
    pub(crate) fn read(self) -> Result<Labels> {
        Reader(self.0).labels()
    }
}

/// A body being read, entry by entry. Behind an error there are none.
pub(crate) struct Body<'a> {
    kind: u8,
    from: Reader<'a>,
    /// Of the entry before.
    id: u64,
    t_ms: i64,
}

/// Whose body it is, and what it says.
pub(crate) fn open(body: &[u8]) -> Result<(Tenant, Body<'_>)> {
    let mut from = Reader(body);
    let kind = from.u8()?;
    let tenant = Tenant::new(from.str()?)?;
    Ok((tenant, Body { kind, from, id: 0, t_ms: 0 }))
}

impl<'a> Iterator for Body<'a> {
    type Item = Result<Entry<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.from.is_done() {
            return None;
        }
        let entry = self.entry();
        if entry.is_err() {
            self.from = Reader(&[]);
        }
        Some(entry)
    }
}

impl<'a> Body<'a> {
    #[inline]
    fn entry(&mut self) -> Result<Entry<'a>> {
        let from = &mut self.from;
        Ok(match self.kind {
            SERIES => {
                self.id = self.id.wrapping_add(from.uvarint()?);
                Entry::Series { id: self.id, labels: EncodedLabels(from.skip_labels()?) }
            }
            FLOATS => {
                self.step()?;
                Entry::Float { id: self.id, t_ms: self.t_ms, v: f64::from_bits(self.from.u64()?) }
            }
            SAMPLES => {
                self.step()?;
                let at = Stamp { t_ms: self.t_ms, start_ms: self.from.varint()? };
                Entry::Sample { id: self.id, at, value: take_value(&mut self.from)? }
            }
            CUT_BEGUN => Entry::CutBegun(take_cut(from)?),
            CUT_ENDED => {
                let (cut, some) = (take_cut(from)?, from.u8()?);
                let block = from.array()?;
                Entry::CutEnded { cut, block: (some == 1).then_some(block) }
            }
            EXEMPLARS => Entry::Exemplar { id: from.uvarint()?, exemplar: take_exemplar(from)? },
            METADATA => {
                let (family, metadata) = take_metadata(from)?;
                Entry::Metadata { family, metadata }
            }
            other => return Err(Error::invalid(format!("a log record is of the unknown kind {other}"))),
        })
    }

    #[inline]
    fn step(&mut self) -> Result<()> {
        self.id = self.id.wrapping_add(self.from.varint()? as u64);
        self.t_ms = self.t_ms.wrapping_add(self.from.varint()?);
        Ok(())
    }
}

fn take_value(from: &mut Reader<'_>) -> Result<Value> {
    let encoding = Encoding::from_byte(from.u8()?)?;
    let data = from.bytes()?.to_vec();
    let packed = Packed { range: TimeRange::ALL, encoding, data };
    match packed.samples()?.pop() {
        Some((_, value)) => Ok(value),
        None => Err(Error::invalid("a log record has a sample without value")),
    }
}
