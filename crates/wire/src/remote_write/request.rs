//! A request's arenas: what they hold, and how they are filled and kept.

use super::limits::Limits;
use super::metadata::MetadataRow;
use super::text::{Text, TextArena};
use super::{Defect, FloatSample, Message, v1, v2};
use crate::snappy::{self, Buffer};
use nilometer_model::{Error, Result};

/// A decoded request, to be filled again and again.
///
/// ```
/// # fn main() -> nilometer_model::Result<()> {
/// use nilometer_wire::remote_write::{Identity, Limits, Message, WriteRequest};
/// # let body = nilometer_wire::snappy::compress(b"")?;
/// let mut request = WriteRequest::default();
/// request.read(Message::V1, &body, &Limits::default())?;
/// for series in request.series() {
///     match series.identity() {
///         Identity::Key(key) => { /* look the key up; on a miss, intern series.labels() */ }
///         Identity::Loose(labels) => { /* sort and check the labels; never enter them as a key */ }
///         Identity::Refused(defect) => { /* count and report it */ }
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct WriteRequest {
    message: Option<Message>,
    body: Buffer,
    columns: Columns,
}

/// What one request leaves allocated for the next, per arena: enough for the usual 2,000 to 10,000 samples,
/// so that one huge request does not hold its memory for ever.
pub const RETAINED_BYTES: usize = 4 << 20;

impl WriteRequest {
    /// Decompresses and decodes `body`, replacing what was there before. After an error the request is empty.
    ///
    /// # Errors
    /// `Invalid` when it is not snappy or not the message (with the offset and what was expected there),
    /// `Limit` when a limit is reached.
    pub fn read(&mut self, message: Message, body: &[u8], limits: &Limits) -> Result<()> {
        self.clear();
        let max_bytes = limits.max_decompressed_bytes.min(u32::MAX as usize);
        snappy::decompress(body, max_bytes, &mut self.body)?;
        self.decode(message, limits)
    }

    /// The same for a body that is not compressed.
    ///
    /// # Errors
    /// As [`WriteRequest::read`].
    pub fn read_plain(&mut self, message: Message, plain: &[u8], limits: &Limits) -> Result<()> {
        self.clear();
        let max_bytes = limits.max_decompressed_bytes.min(u32::MAX as usize);
        if plain.len() > max_bytes {
            let text = format!("the body has {} bytes; send fewer samples per request", plain.len());
            return Err(Error::limit("max_decompressed_bytes", max_bytes as u64, text));
        }
        self.body.copy_from(plain);
        self.decode(message, limits)
    }

    fn decode(&mut self, message: Message, limits: &Limits) -> Result<()> {
        let body = self.body.as_slice();
        let done = match message {
            Message::V1 => v1::read(body, limits, &mut self.columns),
            Message::V2 => v2::read(body, limits, &mut self.columns),
        };
        match done {
            Ok(()) => self.message = Some(message),
            Err(_) => self.clear(),
        }
        done.map_err(Error::from)
    }

    /// Forgets the request and keeps at most [`RETAINED_BYTES`] of each arena.
    pub fn clear(&mut self) {
        self.message = None;
        self.body.clear(RETAINED_BYTES);
        self.columns.clear();
    }

    /// Bytes of memory that the arenas hold now, used or not.
    pub fn allocated_bytes(&self) -> usize {
        self.body.allocated_bytes() + self.columns.allocated_bytes()
    }

    /// `None` before the first request and after an error.
    pub fn message(&self) -> Option<Message> {
        self.message
    }

    /// Bytes of the decompressed body.
    pub fn decompressed_bytes(&self) -> usize {
        self.body.as_slice().len()
    }

    /// Float samples in all series, also in refused ones.
    pub fn sample_count(&self) -> usize {
        self.columns.samples.len()
    }

    pub fn histogram_count(&self) -> usize {
        self.columns.histograms.len()
    }

    pub fn exemplar_count(&self) -> usize {
        self.columns.exemplars.len()
    }

    pub(super) fn body(&self) -> &[u8] {
        self.body.as_slice()
    }

    pub(super) fn columns(&self) -> &Columns {
        &self.columns
    }
}

/// A run of rows in a column.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Run {
    start: u32,
    end: u32,
}

impl Run {
    /// Rows are counted in 32 bits, as their limits are.
    #[inline]
    pub(super) fn new(start: usize, end: usize) -> Self {
        Run { start: start as u32, end: end as u32 }
    }

    #[inline]
    pub(super) fn of<T>(self, column: &[T]) -> &[T] {
        &column[self.start as usize..self.end as usize]
    }
}

/// Where the labels of a series are, and what they are good for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spelled {
    /// Canonical, in the body.
    KeyInBody(Text),
    /// Canonical, written out.
    Key(Text),
    /// Not canonical, written out.
    Loose(Text),
    /// Row of the defects.
    Refused(u32),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct SeriesRow {
    pub(super) labels: Spelled,
    pub(super) samples: Run,
    pub(super) histograms: Run,
    pub(super) exemplars: Run,
    /// At most one row.
    pub(super) metadata: Run,
}

/// A histogram stays in its bytes until it is asked for: see [`super::HistogramRef`].
#[derive(Clone, Copy, Debug)]
pub(super) struct HistogramRow {
    pub(super) t_ms: i64,
    pub(super) start_ms: i64,
    /// The limit of its request.
    pub(super) max_buckets: u32,
    pub(super) message: Text,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ExemplarRow {
    /// Written out.
    pub(super) labels: Result<Text, Defect>,
    pub(super) t_ms: i64,
    pub(super) v: f64,
}

/// The arenas. Every column is bounded by a limit of its name, or by another column.
#[derive(Debug, Default)]
pub(super) struct Columns {
    pub(super) series: Vec<SeriesRow>,
    pub(super) samples: Vec<FloatSample>,
    pub(super) histograms: Vec<HistogramRow>,
    pub(super) exemplars: Vec<ExemplarRow>,
    pub(super) metadata: Vec<MetadataRow>,
    /// Of series, at most one each.
    pub(super) defects: Vec<Defect>,
    pub(super) text: TextArena,
    /// Only while a 2.0 request is read.
    pub(super) symbols: Vec<Text>,
    /// Only while one set of 2.0 labels is read; at most one per byte of the body.
    pub(super) refs: Vec<u32>,
    /// Only while a 2.0 request is read, see `v2::Speller`; at most one per byte of the body.
    pub(super) ascending: Vec<u32>,
}

impl Columns {
    /// Lengths before a series is read, to find its rows by afterwards.
    #[inline]
    pub(super) fn mark(&self) -> [usize; 4] {
        [self.samples.len(), self.histograms.len(), self.exemplars.len(), self.metadata.len()]
    }

    /// Enters the series whose rows came after `mark`.
    #[inline]
    pub(super) fn push_series(&mut self, labels: Spelled, mark: [usize; 4]) {
        let [samples, histograms, exemplars, metadata] = mark;
        self.series.push(SeriesRow {
            labels,
            samples: Run::new(samples, self.samples.len()),
            histograms: Run::new(histograms, self.histograms.len()),
            exemplars: Run::new(exemplars, self.exemplars.len()),
            metadata: Run::new(metadata, self.metadata.len()),
        });
    }

    #[cold]
    pub(super) fn refuse(&mut self, defect: Defect) -> Spelled {
        self.defects.push(defect);
        Spelled::Refused(self.defects.len() as u32 - 1)
    }

    fn clear(&mut self) {
        // Named one by one here, so that a new column is not forgotten.
        let Columns {
            series,
            samples,
            histograms,
            exemplars,
            metadata,
            defects,
            text,
            symbols,
            refs,
            ascending,
        } = self;
        recycle(series);
        recycle(samples);
        recycle(histograms);
        recycle(exemplars);
        recycle(metadata);
        recycle(defects);
        text.clear(RETAINED_BYTES);
        recycle(symbols);
        recycle(refs);
        recycle(ascending);
    }

    fn allocated_bytes(&self) -> usize {
        held(&self.series)
            + held(&self.samples)
            + held(&self.histograms)
            + held(&self.exemplars)
            + held(&self.metadata)
            + held(&self.defects)
            + self.text.allocated_bytes()
            + held(&self.symbols)
            + held(&self.refs)
            + held(&self.ascending)
    }
}

fn held<T>(column: &Vec<T>) -> usize {
    column.capacity() * size_of::<T>()
}

fn recycle<T>(column: &mut Vec<T>) {
    column.clear();
    if held(column) > RETAINED_BYTES {
        *column = Vec::new();
    }
}
