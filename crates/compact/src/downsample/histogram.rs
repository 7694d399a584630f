//! Native histograms of a window, put together.

use super::window::end_ms;
use nilometer_chunk::{AggrChunk, Aggregate, Appended, Encoding, HistogramAppender, Stamp, XorState};
use nilometer_model::histogram::arithmetic::{add, detect_reset, subtract};
use nilometer_model::{CounterReset, Error, FloatHistogram, Result, TimeRange};
use nilometer_storage::ReadChunks;

/// What decides which histograms can be put together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    schema: i32,
    is_gauge: bool,
    /// Of custom buckets.
    bounds: Vec<f64>,
}

impl Layout {
    pub(super) fn of(histogram: &FloatHistogram) -> Self {
        Layout {
            schema: histogram.schema,
            is_gauge: histogram.reset == CounterReset::Gauge,
            bounds: histogram.custom_values.clone(),
        }
    }

    /// Exponential buckets of any schema go together; custom ones only with those of the same bounds.
    pub(super) fn is_same_kind(&self, other: &Self) -> bool {
        let is_custom = |l: &Self| l.schema == nilometer_model::histogram::CUSTOM_BUCKETS_SCHEMA;
        (self.is_gauge, is_custom(self), &self.bounds) == (other.is_gauge, is_custom(other), &other.bounds)
    }
}

/// What all histograms of a chunk become.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// The coarsest of theirs.
    schema: i32,
    is_gauge: bool,
}

impl Kind {
    pub(super) fn of<'l>(layouts: impl Iterator<Item = &'l Layout>) -> Self {
        let coarsest = layouts.min_by_key(|l| l.schema);
        coarsest
            .map_or(Kind { schema: 0, is_gauge: false }, |l| Kind { schema: l.schema, is_gauge: l.is_gauge })
    }

    /// The histogram at the schema of all.
    fn reduced(self, histogram: &FloatHistogram) -> Result<FloatHistogram> {
        let mut reduced = histogram.clone();
        if reduced.schema > self.schema {
            reduced.reduce_to(self.schema)?;
        }
        Ok(reduced)
    }
}

/// A counter of histograms with its resets taken out.
pub(super) struct CounterSum {
    kind: Kind,
    total: Option<FloatHistogram>,
    last: Option<FloatHistogram>,
}

impl CounterSum {
    pub(super) fn new(kind: Kind) -> Self {
        CounterSum { kind, total: None, last: None }
    }

    pub(super) fn add(&mut self, histogram: &FloatHistogram) -> Result<()> {
        let reduced = self.kind.reduced(histogram)?;
        match (&mut self.total, &self.last) {
            // All changes of a gauge together are what it is now; adding them up would round.
            (Some(total), _) if self.kind.is_gauge => total.clone_from(&reduced),
            (Some(total), Some(last)) => {
                // A finer schema is a reset too, so what is asked about is the histogram as it was.
                let mut grown = reduced.clone();
                if !detect_reset(histogram, last) {
                    subtract(&mut grown, last).map_err(|_| mixed())?;
                }
                add(total, &grown).map_err(|_| mixed())?;
            }
            _ => self.total = Some(reduced.clone()),
        }
        self.last = Some(reduced);
        Ok(())
    }

    /// With the hint that lets a chunk take it.
    pub(super) fn total(&self) -> Option<FloatHistogram> {
        let mut total = self.total.clone()?;
        raise(&mut total);
        total.reset = if self.kind.is_gauge { CounterReset::Gauge } else { CounterReset::Unknown };
        Some(total)
    }
}

/// Where changes of a gauge were added up, as Thanos does, rounding leaves less than nothing in buckets at times.
fn raise(histogram: &mut FloatHistogram) {
    let FloatHistogram { zero_count, count, positive, negative, .. } = histogram;
    let counts = [zero_count, count].into_iter().chain(positive).chain(negative);
    counts.filter(|count| **count < 0.0).for_each(|count| *count = 0.0);
}

/// Adds a histogram to the sum of a window, which goes up and down as a gauge does.
pub(super) fn add_to(sum: &mut Option<FloatHistogram>, histogram: &FloatHistogram, kind: Kind) -> Result<()> {
    let reduced = kind.reduced(histogram)?;
    match sum {
        Some(sum) => add(sum, &reduced).map(drop).map_err(|_| mixed())?,
        None => *sum = Some(reduced),
    }
    if let Some(sum) = sum {
        sum.reset = CounterReset::Gauge;
    }
    Ok(())
}

fn mixed() -> Error {
    Error::invalid("exponential and custom buckets cannot be put together")
}

/// The windows of one chunk of aggregates while its samples come.
pub(super) struct Windows {
    kind: Kind,
    resolution_ms: i64,
    counter: CounterSum,
    sum: Option<FloatHistogram>,
    count: u64,
    /// Of the open window, and of its last sample.
    end_ms: i64,
    last_ms: i64,
    parts: HistogramParts,
}

impl Windows {
    pub(super) fn new(kind: Kind, resolution_ms: i64) -> Self {
        Windows {
            kind,
            resolution_ms,
            counter: CounterSum::new(kind),
            sum: None,
            count: 0,
            end_ms: 0,
            last_ms: 0,
            parts: HistogramParts::default(),
        }
    }

    /// Samples whose sum is not a number are none.
    pub(super) fn add(&mut self, t_ms: i64, histogram: &FloatHistogram, out: &mut ReadChunks) -> Result<()> {
        if histogram.sum.is_nan() {
            return Ok(());
        }
        if self.count > 0 && t_ms > self.end_ms {
            self.close(self.end_ms, out)?;
        }
        if self.count == 0 {
            self.end_ms = end_ms(t_ms, self.resolution_ms);
        }
        self.counter.add(histogram)?;
        add_to(&mut self.sum, histogram, self.kind)?;
        self.count += 1;
        self.last_ms = t_ms;
        Ok(())
    }

    fn close(&mut self, at_ms: i64, out: &mut ReadChunks) -> Result<()> {
        if let Some((counter, sum)) = self.counter.total().zip(self.sum.take()) {
            self.parts.push(at_ms, &counter, &sum, self.count as f64, out)?;
        }
        self.count = 0;
        Ok(())
    }

    /// The last window ends with the last sample.
    pub(super) fn finish(&mut self, out: &mut ReadChunks) -> Result<()> {
        if self.count > 0 {
            self.close(self.last_ms.min(self.end_ms), out)?;
        }
        self.parts.finish(out);
        Ok(())
    }
}

/// Chunks of counter, sum and count that become one.
pub(super) struct HistogramParts {
    counter: (HistogramAppender<f64>, Vec<u8>),
    sum: (HistogramAppender<f64>, Vec<u8>),
    count: (XorState, Vec<u8>),
    range: Option<TimeRange>,
    /// What the two have that cannot change within a chunk.
    fixed: [Fixed; 2],
}

#[derive(Clone, Default, PartialEq)]
struct Fixed {
    schema: i32,
    zero_threshold: u64,
    bounds: Vec<f64>,
}

impl Fixed {
    fn of(histogram: &FloatHistogram) -> Self {
        Fixed {
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold.to_bits(),
            bounds: histogram.custom_values.clone(),
        }
    }
}

impl Default for HistogramParts {
    fn default() -> Self {
        let appender = || (HistogramAppender::new(false), Vec::new());
        HistogramParts {
            counter: appender(),
            sum: appender(),
            count: (XorState::new(), Vec::new()),
            range: None,
            fixed: Default::default(),
        }
    }
}

impl HistogramParts {
    /// A window; where it does not fit behind those before, they become a chunk of their own.
    pub(super) fn push(
        &mut self,
        t_ms: i64,
        counter: &FloatHistogram,
        sum: &FloatHistogram,
        count: f64,
        out: &mut ReadChunks,
    ) -> Result<()> {
        counter.validate()?;
        sum.validate()?;
        let fixed = [Fixed::of(counter), Fixed::of(sum)];
        if self.range.is_some() && self.fixed != fixed {
            self.finish(out);
        }
        self.fixed = fixed;
        let at = Stamp::at(t_ms);
        // Only rounding makes a counter smaller here.
        if let Appended::NewChunk(reset) = self.counter.0.append(&mut self.counter.1, at, counter) {
            self.finish(out);
            self.counter.0.start(&mut self.counter.1, reset, at, counter);
        }
        if let Appended::NewChunk(_) = self.sum.0.append(&mut self.sum.1, at, sum) {
            return Err(Error::invalid("the sum of a window does not fit into the chunk of its counter"));
        }
        self.count.0.append(&mut self.count.1, t_ms, count);
        let range = self.range.get_or_insert(TimeRange::new(t_ms, t_ms));
        range.max_ms = t_ms;
        Ok(())
    }

    pub(super) fn finish(&mut self, out: &mut ReadChunks) {
        if let Some(range) = self.range.take() {
            let chunk = AggrChunk::default()
                .with(Aggregate::Count, Encoding::Xor, &self.count.1)
                .with(Aggregate::Sum, Encoding::FloatHistogram, &self.sum.1)
                .with(Aggregate::Counter, Encoding::FloatHistogram, &self.counter.1);
            out.push(range, Encoding::Aggr, &chunk.encode());
        }
        *self = HistogramParts::default();
    }
}
