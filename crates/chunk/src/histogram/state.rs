//! What is known between two samples of a histogram chunk, the same for writing and reading.

use super::count::{ChunkCount, Field, Xored};
use super::layout::{Layout, buckets};
use crate::bits::{BitReader, BitWriter};
use crate::varbit;
use nilometer_model::{Histogram, STALE_NAN_BITS, Span};

#[derive(Clone, Debug, Default)]
pub(super) struct State<C: ChunkCount> {
    pub(super) layout: Layout,
    pub(super) t_ms: i64,
    t_delta: i64,
    count: C::Field,
    zero_count: C::Field,
    sum: Xored,
    positive: Vec<C::Field>,
    negative: Vec<C::Field>,
}

impl<C: ChunkCount> State<C> {
    pub(super) fn is_stale(&self) -> bool {
        self.sum.stored() == STALE_NAN_BITS
    }

    pub(super) fn count(&self) -> C {
        C::restored(self.count.stored(), C::default())
    }

    pub(super) fn zero_count(&self) -> C {
        C::restored(self.zero_count.stored(), C::default())
    }

    pub(super) fn sum(&self) -> f64 {
        f64::from_bits(self.sum.stored())
    }

    pub(super) fn positive(&self) -> impl ExactSizeIterator<Item = C> {
        absolute(&self.positive)
    }

    pub(super) fn negative(&self) -> impl ExactSizeIterator<Item = C> {
        absolute(&self.negative)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let Layout { positive, negative, custom_values, .. } = &self.layout;
        (self.positive.capacity() + self.negative.capacity()) * size_of::<C::Field>()
            + (positive.capacity() + negative.capacity()) * size_of::<Span>()
            + custom_values.capacity() * size_of::<f64>()
    }

    /// The first sample, with the layout in front of it. Of a stale marker only the sum is written.
    pub(super) fn write_first(out: &mut BitWriter<'_>, t_ms: i64, histogram: &Histogram<C>) -> Self {
        let stale;
        let histogram = if histogram.is_stale() {
            stale = Histogram { sum: histogram.sum, ..Histogram::default() };
            &stale
        } else {
            histogram
        };
        let layout = Layout::of(histogram);
        layout.write(out);
        varbit::put_int(out, t_ms);
        let none = C::default();
        State {
            t_ms,
            t_delta: 0,
            count: Field::put_first(out, histogram.count.stored(none), false),
            zero_count: Field::put_first(out, histogram.zero_count.stored(none), false),
            sum: Field::put_first(out, histogram.sum.to_bits(), false),
            positive: stored(&histogram.positive).map(|s| Field::put_first(out, s, true)).collect(),
            negative: stored(&histogram.negative).map(|s| Field::put_first(out, s, true)).collect(),
            layout,
        }
    }

    /// Another sample, whose buckets are those of the layout; `positive` and `negative` stand for its own.
    pub(super) fn write_next(
        &mut self,
        out: &mut BitWriter<'_>,
        t_ms: i64,
        histogram: &Histogram<C>,
        positive: &[C],
        negative: &[C],
    ) {
        self.write_time(out, t_ms);
        if histogram.is_stale() {
            self.count.put_stale(out);
            self.zero_count.put_stale(out);
            self.sum.put_next(out, histogram.sum.to_bits());
            return;
        }
        assert!(
            positive.len() == self.positive.len() && negative.len() == self.negative.len(),
            "a histogram's buckets are not those of its chunk"
        );
        self.count.put_next(out, histogram.count.stored(C::default()));
        self.zero_count.put_next(out, histogram.zero_count.stored(C::default()));
        self.sum.put_next(out, histogram.sum.to_bits());
        for (field, stored) in self.positive.iter_mut().zip(stored(positive)) {
            field.put_next(out, stored);
        }
        for (field, stored) in self.negative.iter_mut().zip(stored(negative)) {
            field.put_next(out, stored);
        }
    }

    fn write_time(&mut self, out: &mut BitWriter<'_>, t_ms: i64) {
        let t_delta = t_ms.wrapping_sub(self.t_ms);
        varbit::put_int(out, t_delta.wrapping_sub(self.t_delta));
        (self.t_ms, self.t_delta) = (t_ms, t_delta);
    }

    /// `None`: the layout is none.
    pub(super) fn read_first(from: &mut BitReader<'_>) -> Option<Self> {
        let layout = Layout::read(from, C::Field::FIRST_BITS)?;
        Some(State {
            t_ms: varbit::take_int(from),
            t_delta: 0,
            count: Field::take_first(from, false),
            zero_count: Field::take_first(from, false),
            sum: Field::take_first(from, false),
            positive: (0..buckets(&layout.positive)).map(|_| Field::take_first(from, true)).collect(),
            negative: (0..buckets(&layout.negative)).map(|_| Field::take_first(from, true)).collect(),
            layout,
        })
    }

    /// `None`: something in it is none.
    pub(super) fn read_next(&mut self, from: &mut BitReader<'_>) -> Option<()> {
        self.t_delta = self.t_delta.wrapping_add(varbit::take_int(from));
        self.t_ms = self.t_ms.wrapping_add(self.t_delta);
        self.count.take_next(from)?;
        self.zero_count.take_next(from)?;
        self.sum.take_next(from)?;
        if !self.is_stale() {
            self.positive.iter_mut().chain(&mut self.negative).try_for_each(|field| field.take_next(from))?;
        }
        Some(())
    }
}

/// The counts as their fields store them.
fn stored<C: ChunkCount>(counts: &[C]) -> impl Iterator<Item = u64> {
    let mut below = C::default();
    counts.iter().map(move |&count| count.stored(std::mem::replace(&mut below, count)))
}

/// The counts that the fields store.
fn absolute<C: ChunkCount>(fields: &[C::Field]) -> impl ExactSizeIterator<Item = C> {
    let mut below = C::default();
    fields.iter().map(move |field| {
        below = C::restored(field.stored(), below);
        below
    })
}
