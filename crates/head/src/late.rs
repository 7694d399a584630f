//! Samples of a series that came out of order.
//!
//! A few lie sorted in memory; when there are enough they are packed and put with the closed chunks. Rare, so
//! each series that has any pays for a box and no other does.

use crate::chunks::{ChunkFiles, ChunkPos, ClosedChunk};
use crate::open::{heap_bytes_of, pack};
use crate::ranges::Ranges;
use nilometer_chunk::Stamp;
use nilometer_model::{Result, TimeRange, Value};

/// So many samples are packed into a chunk.
const SEALED_AT: usize = 120;
/// Or as many as have histograms of so many bytes, in memory.
const SEALED_AT_BYTES: usize = 64 << 10;

#[derive(Debug, Default)]
pub(crate) struct Late {
    /// Sorted by time, no time twice.
    pub(crate) samples: Vec<(Stamp, Value)>,
    pub(crate) sealed: Vec<Sealed>,
    /// Of the samples' values, besides their places in the list.
    value_bytes: usize,
}

/// A chunk of late samples, all of one range. Several may overlap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed {
    pub(crate) range: TimeRange,
    pub(crate) pos: ChunkPos,
    /// The cut that took it, 0 for none yet.
    pub(crate) cut: u64,
}

impl Late {
    pub(crate) fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.sealed.is_empty()
    }

    /// Adds a sample whose time it does not have.
    pub(crate) fn insert(&mut self, at: Stamp, value: Value) {
        self.value_bytes += heap_bytes_of(&value);
        let place = self.samples.partition_point(|(s, _)| s.t_ms < at.t_ms);
        self.samples.insert(place, (at, value));
    }

    pub(crate) fn is_full(&self) -> bool {
        self.samples.len() >= SEALED_AT || self.value_bytes >= SEALED_AT_BYTES
    }

    /// Packs the samples of `only`, one chunk at least for each range.
    pub(crate) fn seal(&mut self, series: u64, only: TimeRange, ranges: Ranges, files: &mut ChunkFiles) {
        let (sealing, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.samples).into_iter().partition(|(at, _)| only.contains(at.t_ms));
        self.value_bytes = rest.iter().map(|(_, value)| heap_bytes_of(value)).sum();
        self.samples = rest;
        for part in sealing.chunk_by(|(a, _), (b, _)| ranges.start(a.t_ms) == ranges.start(b.t_ms)) {
            let start = ranges.start(part[0].0.t_ms);
            for packed in pack(part.iter().cloned()) {
                let pos = files.put(start, series, ChunkPos::NONE, &packed);
                self.sealed.push(Sealed { range: packed.range, pos, cut: 0 });
            }
        }
    }

    /// The value at a time among those in memory.
    pub(crate) fn waiting_at(&self, t_ms: i64) -> Option<Value> {
        let at = self.samples.binary_search_by_key(&t_ms, |(s, _)| s.t_ms).ok()?;
        Some(self.samples[at].1.clone())
    }

    /// The chunks that may have a value at a time.
    pub(crate) fn sealed_at<'f>(
        &self,
        t_ms: i64,
        files: &'f ChunkFiles,
    ) -> impl Iterator<Item = Result<ClosedChunk>> + use<'_, 'f> {
        self.sealed.iter().filter(move |s| s.range.contains(t_ms)).map(|s| files.get(s.pos))
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.samples.capacity() * size_of::<(Stamp, Value)>()
            + self.value_bytes
            + self.sealed.capacity() * size_of::<Sealed>()
    }
}
