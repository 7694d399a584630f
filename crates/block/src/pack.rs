//! Samples into chunks, as blocks have them.

use crate::tombstones::Deleted;
use nilometer_chunk::{
    Appended, ChunkCount, Encoding, HistogramAppender, Samples, Stamp, Xor2State, XorState,
};
use nilometer_model::{Error, Histogram, Result, TimeRange, Value};
use nilometer_storage::{ChunkRef, ReadChunks};

/// What is left of a chunk without the samples that were deleted from it: mostly one chunk, none if nothing is.
///
/// An error for aggregates: the samples they were made of have to be deleted, and downsampled again.
pub fn without(deleted: Deleted<'_>, chunk: ChunkRef<'_>, out: &mut ReadChunks) -> Result<()> {
    let mut packer = Packer::new(Packer::has_starts(chunk.encoding));
    let mut samples = Samples::new(chunk.data, chunk.encoding)?;
    while let Some(sample) = samples.next() {
        let (t_ms, value) = sample?;
        if !deleted.has(t_ms) {
            packer.append(Stamp { t_ms, start_ms: samples.start_ms() }, &value, out)?;
        }
    }
    packer.finish(out);
    Ok(())
}

/// Packs samples that come in order of time, of whatever type, into chunks of at most
/// [`MAX_SAMPLES`](Self::MAX_SAMPLES).
pub struct Packer {
    with_starts: bool,
    state: State,
    bytes: Vec<u8>,
    /// Of the open chunk.
    range: Option<TimeRange>,
}

enum State {
    None,
    Xor(XorState),
    Xor2(Xor2State),
    Int(Box<HistogramAppender<u64>>),
    Float(Box<HistogramAppender<f64>>),
}

impl Packer {
    /// As many as Prometheus puts into one.
    pub const MAX_SAMPLES: u16 = 120;

    /// Older readers do not know chunks with start timestamps.
    pub fn new(with_starts: bool) -> Self {
        Packer { with_starts, state: State::None, bytes: Vec::new(), range: None }
    }

    pub fn has_starts(encoding: Encoding) -> bool {
        matches!(encoding, Encoding::Xor2 | Encoding::HistogramSt | Encoding::FloatHistogramSt)
    }

    /// Appends a sample behind all before it; chunks that are full go to `out`.
    pub fn append(&mut self, at: Stamp, value: &Value, out: &mut ReadChunks) -> Result<()> {
        if let Some(before) = self.range.filter(|r| r.max_ms >= at.t_ms) {
            return Err(Error::invalid(format!(
                "a sample at {} ms follows one at {}",
                at.t_ms, before.max_ms
            )));
        }
        match value {
            Value::Float(v) => self.append_float(at, *v, out),
            Value::Int(histogram) => {
                let mut appender = match std::mem::replace(&mut self.state, State::None) {
                    State::Int(appender) => appender,
                    other => self.instead(other, out),
                };
                self.append_histogram(&mut appender, at, histogram, out)?;
                self.state = State::Int(appender);
            }
            Value::FloatHistogram(histogram) => {
                let mut appender = match std::mem::replace(&mut self.state, State::None) {
                    State::Float(appender) => appender,
                    other => self.instead(other, out),
                };
                self.append_histogram(&mut appender, at, histogram, out)?;
                self.state = State::Float(appender);
            }
        }
        let range = self.range.get_or_insert(TimeRange::new(at.t_ms, at.t_ms));
        range.max_ms = at.t_ms;
        Ok(())
    }

    /// What is open becomes a chunk.
    pub fn finish(&mut self, out: &mut ReadChunks) {
        let encoding = match &self.state {
            State::None => return,
            State::Xor(_) => Encoding::Xor,
            State::Xor2(_) => Encoding::Xor2,
            State::Int(appender) => appender.encoding(),
            State::Float(appender) => appender.encoding(),
        };
        self.state = State::None;
        self.close(encoding, out);
    }

    fn close(&mut self, encoding: Encoding, out: &mut ReadChunks) {
        if let Some(range) = self.range.take() {
            out.push(range, encoding, &self.bytes);
        }
        self.bytes.clear();
    }

    #[inline]
    fn append_float(&mut self, at: Stamp, v: f64, out: &mut ReadChunks) {
        match &mut self.state {
            State::Xor(state) if state.count() < Self::MAX_SAMPLES => {
                return state.append(&mut self.bytes, at.t_ms, v);
            }
            State::Xor2(state) if state.count() < Self::MAX_SAMPLES => {
                return state.append(&mut self.bytes, at, v);
            }
            _ => self.finish(out),
        }
        self.state = if self.with_starts {
            let mut state = Xor2State::new();
            state.append(&mut self.bytes, at, v);
            State::Xor2(state)
        } else {
            let mut state = XorState::new();
            state.append(&mut self.bytes, at.t_ms, v);
            State::Xor(state)
        };
    }

    /// An appender for histograms after chunks of another kind.
    fn instead<C: ChunkCount>(&mut self, before: State, out: &mut ReadChunks) -> Box<HistogramAppender<C>> {
        self.state = before;
        self.finish(out);
        Box::new(HistogramAppender::new(self.with_starts))
    }

    fn append_histogram<C: ChunkCount>(
        &mut self,
        appender: &mut HistogramAppender<C>,
        at: Stamp,
        histogram: &Histogram<C>,
        out: &mut ReadChunks,
    ) -> Result<()> {
        histogram.validate()?;
        let next = if appender.count() >= Self::MAX_SAMPLES {
            Appended::NewChunk(appender.reset_after_cut(histogram))
        } else {
            appender.append(&mut self.bytes, at, histogram)
        };
        if let Appended::NewChunk(reset) = next {
            self.close(appender.encoding(), out);
            appender.start(&mut self.bytes, reset, at, histogram);
        }
        Ok(())
    }
}
