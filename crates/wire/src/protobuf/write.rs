//! Writes fields of a message, in the order and the minimal form that Prometheus' own senders use.

use super::{Wire, tag};

/// Appends fields to a message. As in proto3, the plain methods leave out zero and the empty string; those
/// that `put_` write whatever they are given.
#[derive(Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Appends to what is there.
    pub(crate) fn onto(bytes: Vec<u8>) -> Self {
        Writer { bytes }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn append(&mut self, other: &Writer) {
        self.bytes.extend_from_slice(&other.bytes);
    }

    pub(crate) fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    pub(crate) fn put_uint64(&mut self, field: u32, value: u64) {
        self.put_varint(tag(field, Wire::Varint).into());
        self.put_varint(value);
    }

    pub(crate) fn put_double(&mut self, field: u32, value: f64) {
        self.put_varint(tag(field, Wire::Fixed64).into());
        self.bytes.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    /// What is written next, `len` bytes of it, is the field's value.
    pub(crate) fn put_length(&mut self, field: u32, len: usize) {
        self.put_varint(tag(field, Wire::Bytes).into());
        self.put_varint(len as u64);
    }

    pub(crate) fn put_bytes(&mut self, field: u32, value: &[u8]) {
        self.put_length(field, value.len());
        self.bytes.extend_from_slice(value);
    }

    pub(crate) fn uint64(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.put_uint64(field, value);
        }
    }

    pub(crate) fn int64(&mut self, field: u32, value: i64) {
        self.uint64(field, value as u64);
    }

    /// Leaves out +0.0 only: −0.0 and every NaN are values.
    pub(crate) fn double(&mut self, field: u32, value: f64) {
        if value.to_bits() != 0 {
            self.put_double(field, value);
        }
    }

    pub(crate) fn text(&mut self, field: u32, value: &str) {
        if !value.is_empty() {
            self.put_bytes(field, value.as_bytes());
        }
    }

    /// A nested message, also where it is empty.
    pub(crate) fn nested(&mut self, field: u32, fill: impl FnOnce(&mut Writer)) {
        let mut inner = Writer::default();
        fill(&mut inner);
        self.put_bytes(field, &inner.bytes);
    }

    pub(crate) fn packed_varints(&mut self, field: u32, values: impl Iterator<Item = u64>) {
        let mut inner = Writer::default();
        values.for_each(|v| inner.put_varint(v));
        if !inner.bytes.is_empty() {
            self.put_bytes(field, &inner.bytes);
        }
    }

    pub(crate) fn packed_doubles(&mut self, field: u32, values: &[f64]) {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_bits().to_le_bytes()).collect();
        if !raw.is_empty() {
            self.put_bytes(field, &raw);
        }
    }
}

pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}
