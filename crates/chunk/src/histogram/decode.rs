//! Reading histogram chunks.

use super::count::ChunkCount;
use super::state::State;
use super::{HEADER_BYTES, Header, has_starts};
use crate::bits::BitReader;
use crate::read::corrupt;
use crate::start::StartTimes;
use crate::{Encoding, Stamp};
use nilometer_model::histogram::{CUSTOM_BUCKETS_SCHEMA, EXPONENTIAL_SCHEMAS, RESERVED_SCHEMAS};
use nilometer_model::{CounterReset, Histogram, Result};

/// Walks the samples of a histogram chunk.
#[derive(Clone)]
pub(crate) struct HistogramDecoder<'a, C: ChunkCount> {
    pub(super) from: BitReader<'a>,
    pub(super) header: Header,
    pub(super) state: State<C>,
    pub(super) starts: StartTimes,
    read: u16,
}

impl<'a, C: ChunkCount> HistogramDecoder<'a, C> {
    /// The encoding has to be one of `C`'s two.
    pub(crate) fn new(chunk: &'a [u8], encoding: Encoding) -> Result<Self> {
        debug_assert!(encoding == C::ENCODING || encoding == C::ENCODING_ST);
        let header = Header::read(chunk, has_starts(encoding))?;
        Ok(HistogramDecoder {
            from: BitReader::new(chunk, HEADER_BYTES),
            header,
            state: State::default(),
            starts: StartTimes::new(header.starts),
            read: 0,
        })
    }

    /// The next sample, checked as far as a chunk can be: its time and the signs of integers.
    pub(crate) fn next(&mut self) -> Result<Option<(Stamp, Histogram<C>)>> {
        if self.read == self.header.count {
            return Ok(None);
        }
        let before_ms = self.state.t_ms;
        let read = self.read_sample(before_ms);
        if self.from.overrun() {
            return Err(self.corrupt("ends before its last sample"));
        }
        if read.is_none() {
            return Err(self.corrupt("holds bits that nobody writes"));
        }
        self.read += 1;
        let stamp = Stamp { t_ms: self.state.t_ms, start_ms: self.starts.start_ms };
        Ok(Some((stamp, self.histogram()?)))
    }

    fn read_sample(&mut self, before_ms: i64) -> Option<()> {
        if self.read == 0 {
            self.state = State::read_first(&mut self.from)?;
        } else {
            self.state.read_next(&mut self.from)?;
        }
        self.starts.read(&mut self.from, self.read, (before_ms, self.state.t_ms))
    }

    /// What the state stands for.
    fn histogram(&self) -> Result<Histogram<C>> {
        let state = &self.state;
        let layout = &state.layout;
        let schema = layout.schema;
        if schema != CUSTOM_BUCKETS_SCHEMA && !RESERVED_SCHEMAS.contains(&schema) {
            return Err(self.corrupt(&format!("has the unknown schema {schema}")));
        }
        if state.is_stale() {
            return Ok(Histogram::stale());
        }
        let mut histogram = Histogram {
            reset: match self.header.reset {
                CounterReset::Gauge => CounterReset::Gauge,
                // A reset starts another chunk. What was before this one may be gone, or be another by now.
                _ if self.read > 1 => CounterReset::NotReset,
                _ => CounterReset::Unknown,
            },
            schema,
            zero_threshold: layout.zero_threshold,
            zero_count: state.zero_count(),
            count: state.count(),
            sum: state.sum(),
            positive_spans: layout.positive.clone(),
            negative_spans: layout.negative.clone(),
            positive: state.positive().collect(),
            negative: state.negative().collect(),
            custom_values: layout.custom_values.clone(),
        };
        if !histogram.positive.iter().chain(&histogram.negative).all(|count| count.is_storable()) {
            return Err(self.corrupt("has a bucket whose count is negative"));
        }
        if EXPONENTIAL_SCHEMAS.end() < &schema {
            let end = *EXPONENTIAL_SCHEMAS.end();
            histogram.reduce_to(end).map_err(|e| self.corrupt(e.message()))?;
        }
        Ok(histogram)
    }

    #[cold]
    fn corrupt(&self, what: &str) -> nilometer_model::Error {
        corrupt(self.from.position() / 8, format!("a histogram chunk {what}"))
    }
}
