//! Windows of time, and how many samples go into a chunk.

use nilometer_chunk::{AggrChunk, Aggregate, Encoding, encode_columns};
use nilometer_model::TimeRange;
use nilometer_storage::ReadChunks;

/// The last millisecond of the window that a time is in.
pub(super) fn end_ms(t_ms: i64, resolution_ms: i64) -> i64 {
    t_ms.saturating_sub(t_ms.rem_euclid(resolution_ms)).saturating_add(resolution_ms - 1)
}

/// How many chunks are made of samples: as many as are needed for about 140 in each, by the length of time and how
/// much of it is filled.
pub(super) fn target_chunks(range: TimeRange, from_ms: i64, to_ms: i64, samples: usize) -> usize {
    const CHUNK_SAMPLES: usize = 140;
    let length_ms = range.max_ms.saturating_sub(range.min_ms);
    // In the order of Thanos, whose rounding decides; of a single time it is the fullest.
    let fullness = (samples as f64 / (length_ms as f64 / from_ms as f64)).min(1.0);
    let windows = ((length_ms / to_ms) as f64 * fullness) as usize + 1;
    // The least number by which a division without its remainder gives at most so many.
    windows / (CHUNK_SAMPLES + 1) + 1
}

/// No chunk can tell of more windows: with the ends of a counter it has as many samples as it can count.
pub(super) const MAX_WINDOWS: usize = u16::MAX as usize - 2;

/// Windows of floats, an aggregate each, that become one chunk.
#[derive(Default)]
pub(super) struct FloatParts {
    columns: [Column; 5],
    range: Option<TimeRange>,
    /// The chunk of each column.
    bytes: [Vec<u8>; 5],
}

#[derive(Default)]
struct Column {
    t_ms: Vec<i64>,
    v: Vec<f64>,
}

impl FloatParts {
    #[inline]
    pub(super) fn push(&mut self, aggregate: Aggregate, t_ms: i64, v: f64) {
        let column = &mut self.columns[aggregate as usize];
        column.t_ms.push(t_ms);
        column.v.push(v);
    }

    /// There is a window that ends then. What tells only of the ends of a counter is none.
    #[inline]
    pub(super) fn widen(&mut self, t_ms: i64) {
        let range = self.range.get_or_insert(TimeRange::new(t_ms, t_ms));
        (range.min_ms, range.max_ms) = (range.min_ms.min(t_ms), range.max_ms.max(t_ms));
    }

    /// Puts them into one chunk, and begins anew.
    pub(super) fn finish(&mut self, out: &mut ReadChunks) {
        let range = self.range.take();
        for (Column { t_ms, v }, bytes) in self.columns.iter_mut().zip(&mut self.bytes) {
            encode_columns(t_ms, v, bytes);
            t_ms.clear();
            v.clear();
        }
        if let Some(range) = range {
            let parts = Aggregate::ALL.into_iter().zip(&self.bytes);
            let chunk = parts.fold(AggrChunk::default(), |chunk, (aggregate, bytes)| {
                chunk.with(aggregate, Encoding::Xor, bytes)
            });
            out.push(range, Encoding::Aggr, &chunk.encode());
        }
    }
}
