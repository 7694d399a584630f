//! Writing histogram chunks, with Prometheus' rules of when another chunk must start.

use super::count::{ChunkCount, Verdict};
use super::decode::HistogramDecoder;
use super::layout::buckets;
use super::merge::{Merge, not_less};
use super::state::State;
use super::{HEADER_BYTES, Header, has_starts};
use crate::bits::BitWriter;
use crate::read::end_to_write_on;
use crate::start::StartTimes;
use crate::{Encoding, Stamp};
use nilometer_model::histogram::{CUSTOM_BUCKETS_SCHEMA, EXPONENTIAL_SCHEMAS};
use nilometer_model::{CounterReset, Error, Histogram, Result, Span};

/// What became of a histogram that was to be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the histogram may need a new chunk"]
pub enum Appended {
    /// It is the chunk's last sample.
    Done,
    /// It is, and all samples before it were written anew, with empty buckets more.
    Recoded,
    /// It cannot follow in this chunk, which is as it was: give the bytes away and
    /// [`start`](HistogramAppender::start) another, with this header.
    NewChunk(CounterReset),
}

/// What appending to a chunk of histograms needs to know besides the chunk's bytes.
///
/// The bytes are the caller's, always the same vector, and complete after each call. Histograms have to be
/// [validated](Histogram::validate) before.
#[derive(Clone, Debug)]
pub struct HistogramAppender<C: ChunkCount> {
    with_starts: bool,
    header: Header,
    state: State<C>,
    starts: StartTimes,
    /// Bits in use of the last byte, 0 where it is full.
    used: u8,
}

impl<C: ChunkCount> HistogramAppender<C> {
    /// An empty chunk; its vector must be empty too. Prometheus before 3.14 cannot read chunks
    /// `with_starts`.
    pub fn new(with_starts: bool) -> Self {
        HistogramAppender {
            with_starts,
            header: Header { count: 0, reset: CounterReset::Unknown, starts: 0 },
            state: State::default(),
            starts: StartTimes::default(),
            used: 0,
        }
    }

    /// The state after the samples in `bytes`, a whole chunk without anything behind it.
    pub fn resume(bytes: &[u8], encoding: Encoding) -> Result<Self> {
        if encoding != C::ENCODING && encoding != C::ENCODING_ST {
            return Err(Error::invalid(format!("a chunk of encoding {encoding} takes no such histograms")));
        }
        let with_starts = has_starts(encoding);
        if bytes.is_empty() {
            return Ok(HistogramAppender::new(with_starts));
        }
        let mut decoder = HistogramDecoder::<C>::new(bytes, encoding)?;
        while decoder.next()?.is_some() {}
        let used = end_to_write_on(bytes, &decoder.from)?;
        decoder.starts.check_header(decoder.header.count)?;
        let schema = decoder.state.layout.schema;
        if schema != CUSTOM_BUCKETS_SCHEMA && !EXPONENTIAL_SCHEMAS.contains(&schema) {
            return Err(Error::invalid(format!("a chunk of schema {schema} can be read, but not continued")));
        }
        Ok(HistogramAppender {
            with_starts,
            header: decoder.header,
            state: decoder.state,
            starts: decoder.starts,
            used,
        })
    }

    pub fn encoding(&self) -> Encoding {
        if self.with_starts { C::ENCODING_ST } else { C::ENCODING }
    }

    /// Samples so far.
    pub fn count(&self) -> u16 {
        self.header.count
    }

    /// The time of the last sample; 0 where there is none.
    pub fn last_t_ms(&self) -> i64 {
        self.state.t_ms
    }

    /// Memory besides the chunk's bytes: what is known of each bucket.
    pub fn heap_bytes(&self) -> usize {
        self.state.heap_bytes()
    }

    /// Begins a chunk in the empty `bytes`, whatever chunk was before. `reset` goes into the header as it is:
    /// from [`Appended::NewChunk`], or from [`HistogramAppender::reset_after_cut`].
    ///
    /// # Panics
    /// If `bytes` are not empty, or the histogram was not validated.
    pub fn start(&mut self, bytes: &mut Vec<u8>, reset: CounterReset, at: Stamp, histogram: &Histogram<C>) {
        assert!(bytes.is_empty(), "a histogram chunk is started behind other bytes");
        assert_layout(histogram);
        *self = HistogramAppender::new(self.with_starts);
        self.header.reset = reset;
        bytes.extend_from_slice(&[0; HEADER_BYTES]);
        let mut out = BitWriter { bytes, used: 0 };
        self.state = State::write_first(&mut out, at.t_ms, histogram);
        self.finish(out, at.t_ms, at);
    }

    /// The header of the chunk that follows this one with `histogram`, where this one ends for its size.
    pub fn reset_after_cut(&self, histogram: &Histogram<C>) -> CounterReset {
        match histogram.reset {
            CounterReset::Gauge | CounterReset::Reset => histogram.reset,
            _ if self.count() == 0 => CounterReset::Unknown,
            _ => C::header(self.verdict(histogram).0, true),
        }
    }

    /// Appends a histogram to `bytes`, the vector of all calls before, if it can follow there.
    ///
    /// # Panics
    /// If the histogram was not validated.
    pub fn append(&mut self, bytes: &mut Vec<u8>, at: Stamp, histogram: &Histogram<C>) -> Appended {
        if self.count() == 0 {
            bytes.clear();
            self.start(bytes, self.reset_after_cut(histogram), at, histogram);
            return Appended::Done;
        }
        if self.count() == Header::max_count(self.with_starts) {
            return Appended::NewChunk(self.reset_after_cut(histogram));
        }
        assert_layout(histogram);
        let is_gauge = histogram.reset == CounterReset::Gauge;
        let (verdict, sides) = if is_gauge { self.gauge_verdict(histogram) } else { self.verdict(histogram) };
        match (verdict, sides) {
            (Verdict::Fits, None) => {
                self.write(bytes, at, histogram, &histogram.positive, &histogram.negative);
                Appended::Done
            }
            (Verdict::Fits, Some(sides)) => self.append_merged(bytes, at, histogram, &sides),
            (_, _) if is_gauge => Appended::NewChunk(CounterReset::Gauge),
            (verdict, _) => Appended::NewChunk(C::header(verdict, false)),
        }
    }

    fn append_merged(
        &mut self,
        bytes: &mut Vec<u8>,
        at: Stamp,
        histogram: &Histogram<C>,
        sides: &Sides,
    ) -> Appended {
        let old_grows = sides.positive.old_grows() || sides.negative.old_grows();
        if old_grows {
            self.recode(bytes, histogram, sides);
        }
        let positive = sides.positive.spread_new(&histogram.positive);
        let negative = sides.negative.spread_new(&histogram.negative);
        self.write(bytes, at, histogram, &positive, &negative);
        if old_grows { Appended::Recoded } else { Appended::Done }
    }

    /// Writes the whole chunk again with the buckets of both layouts.
    fn recode(&mut self, bytes: &mut Vec<u8>, histogram: &Histogram<C>, sides: &Sides) {
        let spans = sides.spans(histogram);
        let old = std::mem::take(bytes);
        bytes.reserve(old.len() + old.len() / 4);
        let mut decoder = HistogramDecoder::<C>::new(&old, self.encoding()).expect("a chunk of our own");
        let reset = self.header.reset;
        while let Some((at, mut sample)) = decoder.next().expect("a chunk of our own") {
            let positive = sides.positive.spread_old(&sample.positive);
            let negative = sides.negative.spread_old(&sample.negative);
            if bytes.is_empty() {
                (sample.positive_spans, sample.negative_spans) = spans.clone();
                (sample.positive, sample.negative) = (positive, negative);
                self.start(bytes, reset, at, &sample);
            } else {
                self.write(bytes, at, &sample, &positive, &negative);
            }
        }
    }

    fn write(
        &mut self,
        bytes: &mut Vec<u8>,
        at: Stamp,
        histogram: &Histogram<C>,
        positive: &[C],
        negative: &[C],
    ) {
        let before_ms = self.state.t_ms;
        let mut out = BitWriter { bytes, used: self.used };
        self.state.write_next(&mut out, at.t_ms, histogram, positive, negative);
        self.finish(out, before_ms, at);
    }

    fn finish(&mut self, mut out: BitWriter<'_>, before_ms: i64, at: Stamp) {
        if self.with_starts {
            self.starts.write(&mut out, self.header.count, (before_ms, at.t_ms), at.start_ms);
        }
        self.used = out.used;
        self.header.count += 1;
        self.header.starts = self.starts.header();
        self.header.write(out.bytes, self.with_starts);
    }

    /// Whether a counter histogram can follow, in Prometheus' order of questions, and how the layouts merge
    /// where they differ.
    fn verdict(&self, histogram: &Histogram<C>) -> (Verdict, Option<Sides>) {
        let verdict = if self.header.reset == CounterReset::Gauge {
            Verdict::OtherKind
        } else if histogram.reset == CounterReset::Reset {
            Verdict::Reset
        } else if histogram.is_stale() {
            Verdict::Fits
        } else if self.state.is_stale() {
            Verdict::Unclear
        } else if histogram.count < self.state.count() {
            Verdict::Reset
        } else if self.differs(histogram) {
            Verdict::Unclear
        } else if self.has_other_bounds(histogram) || histogram.zero_count < self.state.zero_count() {
            Verdict::Reset
        } else {
            return self.compare_buckets(histogram);
        };
        (verdict, None)
    }

    fn compare_buckets(&self, histogram: &Histogram<C>) -> (Verdict, Option<Sides>) {
        let state = &self.state;
        let (counts_on, sides) = if self.has_spans_of(histogram) {
            let all =
                |old: &mut dyn Iterator<Item = C>, new: &[C]| old.zip(new).all(|(a, &b)| not_less(a, b));
            let counts_on = all(&mut state.positive(), &histogram.positive)
                && all(&mut state.negative(), &histogram.negative);
            (counts_on, None)
        } else {
            let sides = self.sides(histogram);
            let (positive, negative) =
                (state.positive().collect::<Vec<_>>(), state.negative().collect::<Vec<_>>());
            let counts_on = sides.positive.counts_on(&positive, &histogram.positive)
                && sides.negative.counts_on(&negative, &histogram.negative);
            (counts_on, Some(sides))
        };
        if counts_on { (Verdict::Fits, sides) } else { (Verdict::Reset, None) }
    }

    /// The same for a gauge, whose counts may do what they like.
    fn gauge_verdict(&self, histogram: &Histogram<C>) -> (Verdict, Option<Sides>) {
        if self.header.reset != CounterReset::Gauge {
            (Verdict::OtherKind, None)
        } else if histogram.is_stale() {
            (Verdict::Fits, None)
        } else if self.state.is_stale() || self.differs(histogram) || self.has_other_bounds(histogram) {
            (Verdict::Unclear, None)
        } else {
            (Verdict::Fits, (!self.has_spans_of(histogram)).then(|| self.sides(histogram)))
        }
    }

    fn differs(&self, histogram: &Histogram<C>) -> bool {
        let layout = &self.state.layout;
        histogram.schema != layout.schema || histogram.zero_threshold != layout.zero_threshold
    }

    fn has_other_bounds(&self, histogram: &Histogram<C>) -> bool {
        histogram.has_custom_buckets() && histogram.custom_values != self.state.layout.custom_values
    }

    fn has_spans_of(&self, histogram: &Histogram<C>) -> bool {
        let layout = &self.state.layout;
        layout.positive == histogram.positive_spans && layout.negative == histogram.negative_spans
    }

    fn sides(&self, histogram: &Histogram<C>) -> Sides {
        let layout = &self.state.layout;
        Sides {
            positive: Merge::of(&layout.positive, &histogram.positive_spans),
            negative: Merge::of(&layout.negative, &histogram.negative_spans),
        }
    }
}

/// How the buckets of a chunk and those of a histogram merge.
struct Sides {
    positive: Merge,
    negative: Merge,
}

impl Sides {
    /// The spans of the chunk that is written anew, cut as Prometheus cuts them: the histogram's own where
    /// they name all buckets.
    fn spans<C: ChunkCount>(&self, histogram: &Histogram<C>) -> (Vec<Span>, Vec<Span>) {
        let (grows_above, grows_below) = (self.positive.new_grows(), self.negative.new_grows());
        // For gauges both sides are cut anew as soon as one has to be.
        let both = histogram.reset == CounterReset::Gauge && (grows_above || grows_below);
        let pick = |merge: &Merge, own: &Vec<Span>, grows| {
            if both || grows { merge.spans.clone() } else { own.clone() }
        };
        (
            pick(&self.positive, &histogram.positive_spans, grows_above),
            pick(&self.negative, &histogram.negative_spans, grows_below),
        )
    }
}

/// What would make bytes that nobody can read.
fn assert_layout<C: ChunkCount>(histogram: &Histogram<C>) {
    assert!(
        buckets(&histogram.positive_spans) == histogram.positive.len()
            && buckets(&histogram.negative_spans) == histogram.negative.len(),
        "a histogram was not validated: its spans name other buckets than it has"
    );
}
