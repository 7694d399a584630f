//! The chunks of a series: those that came with it, and those that its holder reads when they are wanted, on the
//! thread of whoever wants them. So a stream of series is cheap to walk, and reading is spread over cores.

use bytes::Bytes;
use nilometer_chunk::Encoding;
use nilometer_model::TimeRange;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Encoded samples and the range that they lie in. They may reach past the range asked for.
#[derive(Clone, Debug)]
pub struct Chunk {
    pub range: TimeRange,
    pub encoding: Encoding,
    pub data: Bytes,
}

/// Chunks may overlap where data came out of order or from several sources: of two samples with one timestamp,
/// that of the chunk that begins earlier counts; of two that begin at one time, that which was added earlier.
#[derive(Clone, Debug, Default)]
pub struct Chunks(Vec<Part>);

#[derive(Clone, Debug)]
struct Part {
    what: What,
    /// Of the AGGR chunks among them.
    resolution_ms: i64,
}

#[derive(Clone, Debug)]
enum What {
    Here(Chunk),
    Unread(Unread),
}

#[derive(Clone)]
struct Unread {
    holder: Arc<dyn ChunkHolder>,
    series: u64,
    place: u64,
}

/// Who has chunks of which only the place is told. What `series` and `place` mean is its own affair.
pub trait ChunkHolder: Send + Sync + 'static {
    /// Adds chunks to `out`; of what cannot be read a warning.
    fn read(&self, series: u64, place: u64, out: &mut ReadChunks);
}

impl Chunks {
    /// Whether there are none; those that are still to be read count, and may turn out to be none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In how many parts they came: chunks, and places of such as are still to be read.
    pub fn parts(&self) -> usize {
        self.0.len()
    }

    /// Memory of those that came with the series.
    pub fn held_bytes(&self) -> usize {
        let held = |part: &Part| match &part.what {
            What::Here(chunk) => chunk.data.len(),
            What::Unread(_) => 0,
        };
        self.0.len() * size_of::<Part>() + self.0.iter().map(held).sum::<usize>()
    }

    pub fn push(&mut self, chunk: Chunk) {
        self.0.push(Part { what: What::Here(chunk), resolution_ms: 0 });
    }

    /// Adds chunks that `holder` reads later.
    pub fn push_unread(&mut self, holder: Arc<dyn ChunkHolder>, series: u64, place: u64) {
        self.0.push(Part { what: What::Unread(Unread { holder, series, place }), resolution_ms: 0 });
    }

    /// Tells how long the windows are whose aggregates these are: an AGGR chunk does not say it itself.
    #[must_use]
    pub fn of_resolution(mut self, resolution_ms: i64) -> Self {
        self.0.iter_mut().for_each(|part| part.resolution_ms = resolution_ms);
        self
    }

    /// Adds what `other` has behind what is here.
    pub fn extend(&mut self, other: Chunks) {
        self.0.extend(other.0);
    }

    /// All of them, sorted by where they begin; what was unread is read, and shares one allocation.
    pub fn read(self, warnings: &mut Vec<String>) -> Vec<Chunk> {
        let (mut all, mut scratch) = (Vec::with_capacity(self.0.len()), Vec::new());
        for part in self.0 {
            match part.what {
                What::Here(chunk) => all.push(chunk),
                What::Unread(unread) => {
                    let mut read = ReadChunks { scratch, ..ReadChunks::default() };
                    unread.holder.read(unread.series, unread.place, &mut read);
                    scratch = std::mem::take(&mut read.scratch);
                    warnings.append(&mut read.warnings);
                    all.extend(read.into_chunks());
                }
            }
        }
        if !all.is_sorted_by_key(|c| c.range.min_ms) {
            all.sort_by_key(|c| c.range.min_ms);
        }
        all
    }
}

impl From<Vec<Chunk>> for Chunks {
    fn from(chunks: Vec<Chunk>) -> Self {
        let part = |chunk| Part { what: What::Here(chunk), resolution_ms: 0 };
        Chunks(chunks.into_iter().map(part).collect())
    }
}

impl From<ReadChunks> for Chunks {
    fn from(read: ReadChunks) -> Self {
        Chunks(read.into_chunks().map(|chunk| Part { what: What::Here(chunk), resolution_ms: 0 }).collect())
    }
}

impl fmt::Debug for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unread")
            .field("series", &self.series)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// The chunks of one series after the other, in memory that is used again.
#[derive(Debug, Default)]
pub struct ReadChunks {
    bytes: Vec<u8>,
    places: Vec<Place>,
    /// What was damaged.
    pub warnings: Vec<String>,
    /// For a holder's own use while it reads: nobody looks at what is left here.
    pub scratch: Vec<u8>,
}

#[derive(Debug)]
struct Place {
    range: TimeRange,
    encoding: Encoding,
    bytes: Range<usize>,
    resolution_ms: i64,
}

/// A chunk in somebody's memory; `range` is that of its first and last sample.
#[derive(Clone, Copy, Debug)]
pub struct ChunkRef<'a> {
    pub range: TimeRange,
    pub encoding: Encoding,
    pub data: &'a [u8],
}

impl<'a> From<&'a Chunk> for ChunkRef<'a> {
    fn from(chunk: &'a Chunk) -> Self {
        ChunkRef { range: chunk.range, encoding: chunk.encoding, data: &chunk.data }
    }
}

impl ReadChunks {
    /// Forgets all chunks; the memory stays.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.places.clear();
    }

    /// These chunks take the place of those before.
    pub fn load(&mut self, chunks: &Chunks) {
        self.clear();
        for part in &chunks.0 {
            let before = self.places.len();
            match &part.what {
                What::Here(Chunk { range, encoding, data }) => self.push(*range, *encoding, data),
                What::Unread(unread) => unread.holder.read(unread.series, unread.place, self),
            }
            if part.resolution_ms > 0 {
                self.places[before..].iter_mut().for_each(|place| place.resolution_ms = part.resolution_ms);
            }
        }
        if !self.places.is_sorted_by_key(|place| place.range.min_ms) {
            self.places.sort_by_key(|place| place.range.min_ms);
        }
    }

    /// Adds a copy of a chunk.
    pub fn push(&mut self, range: TimeRange, encoding: Encoding, data: &[u8]) {
        self.push_with(range, encoding, |bytes| bytes.extend_from_slice(data));
    }

    /// Adds a chunk that `write` puts behind what is there.
    pub fn push_with(&mut self, range: TimeRange, encoding: Encoding, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.places.push(Place { range, encoding, bytes: start..self.bytes.len(), resolution_ms: 0 });
    }

    /// In one allocation that they share.
    fn into_chunks(self) -> impl Iterator<Item = Chunk> {
        let bytes = Bytes::from(self.bytes);
        self.places.into_iter().map(move |Place { range, encoding, bytes: place, .. }| Chunk {
            range,
            encoding,
            data: bytes.slice(place),
        })
    }

    /// By where they begin.
    pub fn iter(&self) -> impl Iterator<Item = ChunkRef<'_>> {
        (0..self.places.len()).map(|at| self.get(at))
    }

    /// The chunk at a place.
    pub fn get(&self, at: usize) -> ChunkRef<'_> {
        let Place { range, encoding, bytes, .. } = &self.places[at];
        ChunkRef { range: *range, encoding: *encoding, data: &self.bytes[bytes.clone()] }
    }

    /// How long the windows of the AGGR chunk at a place are; 0 where nobody told.
    pub fn resolution_ms(&self, at: usize) -> i64 {
        self.places[at].resolution_ms
    }

    /// Whether any of them is of downsampled samples.
    pub fn any_aggregates(&self) -> bool {
        self.places.iter().any(|place| place.encoding == Encoding::Aggr)
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// How many were added, to go [`back_to`](Self::back_to).
    pub fn mark(&self) -> usize {
        self.places.len()
    }

    /// Takes away what was added since there were `mark`.
    pub fn back_to(&mut self, mark: usize) {
        self.places.truncate(mark);
    }
}
