//! The chunk that a series is appending to.
//!
//! Packed from its first sample, in the encoding that it keeps when it is closed, so that closing is handing
//! the bytes over, and a query or a snapshot copies them as they are.

use nilometer_chunk::{
    Appended, ChunkCount, Encoding, HistogramAppender, Samples, Stamp, Xor2State, XorState,
};
use nilometer_model::{CounterReset, Error, Histogram, Result, TimeRange, Value};

/// Prometheus' figures: a chunk is closed at so many samples, one of histograms also at so many bytes.
const MAX_SAMPLES: u16 = 120;
const MAX_HISTOGRAM_BYTES: usize = 1024;
const MIN_HISTOGRAMS: u16 = 10;

/// Our own: histograms may have 20,000 buckets, and a chunk of which that much is in memory is closed at once,
/// whatever it holds.
const MAX_OPEN_BYTES: usize = 64 << 10;

/// A chunk as it is kept, whoever keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) range: TimeRange,
    pub(crate) encoding: Encoding,
    pub(crate) data: Vec<u8>,
}

impl Packed {
    pub(crate) fn samples(&self) -> Result<Vec<(Stamp, Value)>> {
        let mut samples = Samples::new(&self.data, self.encoding)?;
        let mut all = Vec::new();
        while let Some(sample) = samples.next() {
            let (t_ms, value) = sample?;
            all.push((Stamp { t_ms, start_ms: samples.start_ms() }, value));
        }
        Ok(all)
    }

    pub(crate) fn value_at(&self, t_ms: i64) -> Result<Option<Value>> {
        value_at(&self.data, self.encoding, t_ms)
    }
}

/// The value that a chunk has at a time.
pub(crate) fn value_at(data: &[u8], encoding: Encoding, t_ms: i64) -> Result<Option<Value>> {
    for sample in Samples::new(data, encoding)? {
        let (t, value) = sample?;
        if t >= t_ms {
            return Ok((t == t_ms).then_some(value));
        }
    }
    Ok(None)
}

#[derive(Debug, Default)]
pub(crate) struct OpenChunk {
    min_ms: i64,
    data: Vec<u8>,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Empty,
    /// Empty too, since all that was in it was closed: what comes next has to be newer than this.
    Closed(i64),
    Float(XorState),
    /// Floats with start timestamps. Boxed, as all that are rare: every series pays for the largest.
    Started(Box<Xor2State>),
    Int(Box<HistogramAppender<u64>>),
    FloatHistogram(Box<HistogramAppender<f64>>),
}

impl OpenChunk {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.state, State::Empty | State::Closed(_))
    }

    /// The times of its first and last sample; `None` where it is empty.
    pub(crate) fn range(&self) -> Option<TimeRange> {
        let last_ms = if self.is_empty() { None } else { self.last_ms() };
        Some(TimeRange::new(self.min_ms, last_ms?))
    }

    /// The time of the newest sample that came in order: what comes next is newer, or late.
    #[inline]
    pub(crate) fn last_ms(&self) -> Option<i64> {
        match &self.state {
            State::Empty => None,
            State::Closed(last_ms) => Some(*last_ms),
            State::Float(state) => Some(state.last().0),
            State::Started(state) => Some(state.last().0),
            State::Int(appender) => Some(appender.last_t_ms()),
            State::FloatHistogram(appender) => Some(appender.last_t_ms()),
        }
    }

    /// The newest sample in order, where it is in memory, and a plain float.
    pub(crate) fn last_float(&self) -> Option<(i64, f64)> {
        if let State::Float(state) = &self.state { Some(state.last()) } else { None }
    }

    /// Reads what an append will, without need for the result.
    #[inline]
    pub(crate) fn touch(&self) -> u8 {
        self.data.first().copied().unwrap_or_default() ^ self.data.last().copied().unwrap_or_default()
    }

    fn encoding(&self) -> Option<Encoding> {
        match &self.state {
            State::Empty | State::Closed(_) => None,
            State::Float(_) => Some(Encoding::Xor),
            State::Started(_) => Some(Encoding::Xor2),
            State::Int(appender) => Some(appender.encoding()),
            State::FloatHistogram(appender) => Some(appender.encoding()),
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let state = match &self.state {
            State::Empty | State::Closed(_) | State::Float(_) => 0,
            State::Started(_) => size_of::<Xor2State>(),
            State::Int(appender) => size_of_val(&**appender) + appender.heap_bytes(),
            State::FloatHistogram(appender) => size_of_val(&**appender) + appender.heap_bytes(),
        };
        self.data.capacity() + state
    }

    /// Whether it takes more memory than a chunk may.
    #[inline]
    pub(crate) fn is_too_large(&self) -> bool {
        matches!(self.state, State::Int(_) | State::FloatHistogram(_)) && self.heap_bytes() > MAX_OPEN_BYTES
    }

    pub(crate) fn value_at(&self, t_ms: i64) -> Result<Option<Value>> {
        match self.encoding() {
            Some(encoding) => value_at(&self.data, encoding, t_ms),
            None => Ok(None),
        }
    }

    /// A copy of what is in it.
    pub(crate) fn packed(&self) -> Option<Packed> {
        Some(Packed { range: self.range()?, encoding: self.encoding()?, data: self.data.clone() })
    }

    /// Empties it, and forgets that it ever was.
    pub(crate) fn take(&mut self) -> Option<Packed> {
        let parts = self.range().zip(self.encoding());
        self.state = State::Empty;
        let data = std::mem::take(&mut self.data);
        parts.map(|(range, encoding)| Packed { range, encoding, data })
    }

    /// Empties it; what comes next still has to be newer.
    pub(crate) fn close(&mut self) -> Option<Packed> {
        let last_ms = self.last_ms()?;
        let packed = self.take();
        *self = OpenChunk::closed(last_ms);
        packed
    }

    /// One that was closed with its last sample at this time.
    pub(crate) fn closed(last_ms: i64) -> OpenChunk {
        OpenChunk { state: State::Closed(last_ms), ..OpenChunk::default() }
    }

    /// When it was closed, where nothing came since.
    pub(crate) fn closed_ms(&self) -> Option<i64> {
        if let State::Closed(last_ms) = self.state { Some(last_ms) } else { None }
    }

    /// Where it holds plain floats: what [`Self::restored`] needs besides its bytes.
    pub(crate) fn saved(&self) -> Option<(TimeRange, [u8; XorState::SAVED_BYTES], &[u8])> {
        match &self.state {
            State::Float(state) => Some((self.range()?, state.saved(), &self.data)),
            _ => None,
        }
    }

    /// As it was when it was saved.
    pub(crate) fn restored(
        range: TimeRange,
        saved: &[u8; XorState::SAVED_BYTES],
        bytes: &[u8],
    ) -> Result<OpenChunk> {
        let state = State::Float(XorState::restored(saved, range.max_ms, bytes)?);
        let mut data = Vec::with_capacity(class_of(bytes.len() + MOST_BYTES));
        data.extend_from_slice(bytes);
        Ok(OpenChunk { min_ms: range.min_ms, data, state })
    }

    /// As it was when `packed` was made of it.
    pub(crate) fn resume(packed: Packed) -> Result<OpenChunk> {
        let state = match packed.encoding {
            Encoding::Xor => State::Float(XorState::resume(&packed.data)?),
            Encoding::Xor2 => State::Started(Box::new(Xor2State::resume(&packed.data)?)),
            Encoding::Histogram | Encoding::HistogramSt => {
                State::Int(Box::new(HistogramAppender::resume(&packed.data, packed.encoding)?))
            }
            Encoding::FloatHistogram | Encoding::FloatHistogramSt => {
                State::FloatHistogram(Box::new(HistogramAppender::resume(&packed.data, packed.encoding)?))
            }
            Encoding::Aggr => {
                return Err(Error::invalid("a chunk of aggregates is not continued: it is of a block"));
            }
        };
        Ok(OpenChunk { min_ms: packed.range.min_ms, data: packed.data, state })
    }

    /// Appends a float without start timestamp, the usual sample, if it fits here.
    #[inline]
    pub(crate) fn append_float(&mut self, t_ms: i64, v: f64) -> bool {
        let State::Float(state) = &mut self.state else { return false };
        if state.count() >= MAX_SAMPLES {
            return false;
        }
        grow(&mut self.data);
        state.append(&mut self.data, t_ms, v);
        true
    }

    /// Appends a sample newer than all in it. Where it does not fit, the chunk that was is given back, and a
    /// new one begins with the sample.
    pub(crate) fn append(&mut self, at: Stamp, value: &Value) -> Option<Packed> {
        match value {
            Value::Float(v) => self.append_any_float(at, *v),
            Value::Int(histogram) => self.append_histogram(at, &**histogram),
            Value::FloatHistogram(histogram) => self.append_histogram(at, &**histogram),
        }
    }

    fn append_any_float(&mut self, at: Stamp, v: f64) -> Option<Packed> {
        if at.start_ms == 0 && self.append_float(at.t_ms, v) {
            return None;
        }
        if let State::Started(state) = &mut self.state
            && state.count() < MAX_SAMPLES
        {
            state.append(&mut self.data, at, v);
            return None;
        }
        let closed = self.take();
        self.min_ms = at.t_ms;
        if at.start_ms == 0 {
            let mut state = XorState::new();
            self.data.reserve_exact(32);
            state.append(&mut self.data, at.t_ms, v);
            self.state = State::Float(state);
        } else {
            let mut state = Xor2State::new();
            state.append(&mut self.data, at, v);
            self.state = State::Started(Box::new(state));
        }
        closed
    }

    fn append_histogram<C: Kept>(&mut self, at: Stamp, histogram: &Histogram<C>) -> Option<Packed> {
        let mut reset = CounterReset::Unknown;
        let starts = at.start_ms != 0;
        if let Some(appender) = C::appender(&mut self.state) {
            let full = appender.count() >= MAX_SAMPLES
                || (self.data.len() >= MAX_HISTOGRAM_BYTES && appender.count() >= MIN_HISTOGRAMS);
            let holds_starts =
                matches!(appender.encoding(), Encoding::HistogramSt | Encoding::FloatHistogramSt);
            if full || (starts && !holds_starts) {
                reset = appender.reset_after_cut(histogram);
            } else {
                match appender.append(&mut self.data, at, histogram) {
                    Appended::Done | Appended::Recoded => return None,
                    Appended::NewChunk(of_new) => reset = of_new,
                }
            }
        } else if matches!(histogram.reset, CounterReset::Gauge | CounterReset::Reset) {
            reset = histogram.reset;
        }
        let closed = self.take();
        self.min_ms = at.t_ms;
        let mut appender = HistogramAppender::new(starts);
        appender.start(&mut self.data, reset, at, histogram);
        self.state = C::state(appender);
        closed
    }
}

/// The most that one float takes: 4 + 64 bits of time, 13 + 64 bits of value.
const MOST_BYTES: usize = 19;

/// Chunks are many: grow to what the allocator hands out for so much anyway, not by doubling.
#[inline]
fn grow(data: &mut Vec<u8>) {
    if data.capacity() - data.len() < MOST_BYTES {
        data.reserve_exact(class_of(data.len() + MOST_BYTES) - data.len());
    }
}

/// The size that the allocator hands out for so many bytes: steps of 16, then four from each power of two to the
/// next.
#[inline]
fn class_of(bytes: usize) -> usize {
    let step = if bytes <= 128 { 16 } else { bytes.next_power_of_two() / 8 };
    bytes.next_multiple_of(step)
}

/// The two kinds of histograms, and where each is kept.
trait Kept: ChunkCount {
    fn appender(state: &mut State) -> Option<&mut HistogramAppender<Self>>;
    fn state(appender: HistogramAppender<Self>) -> State;
}

impl Kept for u64 {
    fn appender(state: &mut State) -> Option<&mut HistogramAppender<u64>> {
        if let State::Int(appender) = state { Some(appender) } else { None }
    }

    fn state(appender: HistogramAppender<u64>) -> State {
        State::Int(Box::new(appender))
    }
}

impl Kept for f64 {
    fn appender(state: &mut State) -> Option<&mut HistogramAppender<f64>> {
        if let State::FloatHistogram(appender) = state { Some(appender) } else { None }
    }

    fn state(appender: HistogramAppender<f64>) -> State {
        State::FloatHistogram(Box::new(appender))
    }
}

/// Packs samples that are sorted by time into as few chunks as the rules allow.
pub(crate) fn pack(samples: impl IntoIterator<Item = (Stamp, Value)>) -> Vec<Packed> {
    let (mut open, mut packed) = (OpenChunk::default(), Vec::new());
    for (at, value) in samples {
        packed.extend(open.append(at, &value));
        if open.is_too_large() {
            packed.extend(open.take());
        }
    }
    packed.extend(open.take());
    packed
}

/// Memory that a value takes besides itself.
pub(crate) fn heap_bytes_of(value: &Value) -> usize {
    fn of<C>(histogram: &Histogram<C>) -> usize {
        let Histogram { positive, negative, positive_spans, negative_spans, custom_values, .. } = histogram;
        let counts = positive.len() + negative.len() + custom_values.len();
        size_of_val(histogram) + 8 * (counts + positive_spans.len() + negative_spans.len())
    }
    match value {
        Value::Float(_) => 0,
        Value::Int(histogram) => of(histogram),
        Value::FloatHistogram(histogram) => of(histogram),
    }
}

/// Whether two values are the same: floats to the bit, histograms in what they say, since a chunk may give one
/// of them the empty buckets of its neighbours.
pub(crate) fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
        (Value::Int(a), Value::Int(b)) => a.same_meaning(b),
        (Value::FloatHistogram(a), Value::FloatHistogram(b)) => a.same_meaning(b),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nilometer_model::{IntHistogram, Span};
    use std::sync::Arc;

    fn histogram(n: u64) -> Value {
        Value::Int(Arc::new(IntHistogram {
            count: n,
            sum: n as f64,
            positive_spans: vec![Span { offset: 0, length: 1 }],
            positive: vec![n],
            ..IntHistogram::default()
        }))
    }

    #[test]
    fn closes_when_full_and_when_the_kind_changes() {
        let samples: Vec<(Stamp, Value)> = (0..500)
            .map(|n| {
                let value = if n < 300 { Value::Float(n as f64) } else { histogram(n as u64) };
                (Stamp { t_ms: n * 1000, start_ms: if n >= 450 { 7 } else { 0 } }, value)
            })
            .collect();
        let packed = pack(samples.iter().cloned());
        let shape: Vec<_> =
            packed.iter().map(|p| (p.encoding.as_str(), p.samples().unwrap().len())).collect();
        assert_eq!(shape.iter().map(|s| s.1).sum::<usize>(), 500, "{shape:?}");
        assert_eq!(shape[..3], [("XOR", 120), ("XOR", 120), ("XOR", 60)]);
        for (got, want) in packed.iter().flat_map(|p| p.samples().unwrap()).zip(&samples) {
            assert_eq!(got.0, want.0);
            assert!(is_same(&got.1, &want.1), "{got:?} {want:?}");
        }
    }

    #[test]
    fn goes_on_where_it_was() {
        let mut open = OpenChunk::default();
        let mut whole = OpenChunk::default();
        for n in 0..100 {
            let at = Stamp { t_ms: n * 15_000, start_ms: 0 };
            let value = Value::Float((n * n) as f64);
            assert_eq!(open.append(at, &value), None);
            whole.append(at, &value);
            open = OpenChunk::resume(open.packed().unwrap()).unwrap();
        }
        assert_eq!(open.packed(), whole.packed());
    }
}
