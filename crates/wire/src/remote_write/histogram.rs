//! Native histograms: found while a request is read, decoded when asked for.
//!
//! Both versions have the same message; 2.0 adds the start. Counts come as integers, each bucket as the
//! difference to the one before it, or as floats, each bucket as it is. A histogram that mixes the two
//! contradicts itself and is refused, as is one whose counts run out of 64 bits. Whether buckets, spans,
//! schema and count fit together is for those to check who know what for.

use super::limits::Limits;
use super::request::HistogramRow;
use super::text::Text;
use crate::protobuf::{self, Reader, Wire, tag, unzigzag};
use nilometer_model::{
    Count, CounterReset, Error, FloatHistogram, Histogram, IntHistogram, Result, Span, Value,
};
use std::sync::Arc;

const COUNT_INT: u32 = tag(1, Wire::Varint);
const COUNT_FLOAT: u32 = tag(2, Wire::Fixed64);
const SUM: u32 = tag(3, Wire::Fixed64);
const SCHEMA: u32 = tag(4, Wire::Varint);
const ZERO_THRESHOLD: u32 = tag(5, Wire::Fixed64);
const ZERO_INT: u32 = tag(6, Wire::Varint);
const ZERO_FLOAT: u32 = tag(7, Wire::Fixed64);
const RESET_HINT: u32 = tag(14, Wire::Varint);
const TIME: u32 = tag(15, Wire::Varint);
const START: u32 = tag(17, Wire::Varint);
/// Those with one element or many: spans, deltas and counts of both sides, custom values.
const NEGATIVE_SPAN: u32 = 8;
const NEGATIVE_DELTA: u32 = 9;
const NEGATIVE_COUNT: u32 = 10;
const POSITIVE_SPAN: u32 = 11;
const POSITIVE_DELTA: u32 = 12;
const POSITIVE_COUNT: u32 = 13;
const CUSTOM_VALUE: u32 = 16;

/// Notes where `message` is and its times, and sees that its fields follow each other.
pub(super) fn scan(mut message: Reader<'_>, limits: &Limits) -> protobuf::Result<HistogramRow> {
    let max_buckets = limits.max_buckets_per_histogram;
    let mut row = HistogramRow { t_ms: 0, start_ms: 0, max_buckets, message: Text::message(message) };
    while let Some(tag) = message.tag()? {
        match tag {
            TIME => row.t_ms = message.int64()?,
            START => row.start_ms = message.int64()?,
            _ => message.skip(tag)?,
        }
    }
    Ok(row)
}

/// A histogram sample of a series, not decoded yet.
#[derive(Clone, Copy)]
pub struct HistogramRef<'a> {
    pub t_ms: i64,
    /// Since when it counts; 0 where the sender does not say.
    pub start_ms: i64,
    max_buckets: u32,
    message: Reader<'a>,
}

impl<'a> HistogramRef<'a> {
    pub(super) fn new(row: &HistogramRow, body: &'a [u8]) -> Self {
        let Text { at, len } = row.message;
        let message = Reader::new(body, at as usize, at as usize + len as usize);
        HistogramRef { t_ms: row.t_ms, start_ms: row.start_ms, max_buckets: row.max_buckets, message }
    }

    /// The histogram, with absolute counts: `Value::Int` or `Value::FloatHistogram`.
    ///
    /// # Errors
    /// `Invalid` when it is malformed, mixes integer and float counts, or has a count below 0 or over 64
    /// bits; `Limit` when it has too many buckets. It concerns this one histogram only.
    pub fn decode(&self) -> Result<Value> {
        let mut parts = Parts { max: self.max_buckets as usize, ..Parts::default() };
        parts.read(self.message)?;
        parts.finish()
    }
}

/// A number that says by its type which kind of histogram it belongs to.
#[derive(Clone, Copy)]
enum Number {
    Int(u64),
    Float(f64),
}

/// The buckets of one side.
#[derive(Default)]
struct Side {
    spans: Vec<Span>,
    ints: Vec<u64>,
    floats: Vec<f64>,
}

#[derive(Default)]
struct Parts {
    max: usize,
    count: Option<Number>,
    zero_count: Option<Number>,
    mixed: bool,
    /// All but the counts.
    rest: Histogram<u64>,
    negative: Side,
    positive: Side,
}

impl Parts {
    fn read(&mut self, mut message: Reader<'_>) -> Result<()> {
        while let Some(tag) = message.tag()? {
            match tag {
                COUNT_INT => set(&mut self.count, Number::Int(message.varint()?), &mut self.mixed),
                COUNT_FLOAT => set(&mut self.count, Number::Float(message.double()?), &mut self.mixed),
                ZERO_INT => set(&mut self.zero_count, Number::Int(message.varint()?), &mut self.mixed),
                ZERO_FLOAT => set(&mut self.zero_count, Number::Float(message.double()?), &mut self.mixed),
                SUM => self.rest.sum = message.double()?,
                SCHEMA => self.rest.schema = sint32(&mut message)?,
                ZERO_THRESHOLD => self.rest.zero_threshold = message.double()?,
                RESET_HINT => self.rest.reset = reset_hint(message.varint()?),
                TIME | START => drop(message.varint()?),
                _ => self.read_repeated(tag, &mut message)?,
            }
        }
        Ok(())
    }

    fn read_repeated(&mut self, tag: u32, message: &mut Reader<'_>) -> Result<()> {
        let Parts { max, rest, negative, positive, .. } = self;
        match tag >> 3 {
            NEGATIVE_SPAN => spans(&mut negative.spans, tag, message, *max),
            NEGATIVE_DELTA => deltas(&mut negative.ints, tag, message, *max),
            NEGATIVE_COUNT => doubles(&mut negative.floats, tag, message, *max),
            POSITIVE_SPAN => spans(&mut positive.spans, tag, message, *max),
            POSITIVE_DELTA => deltas(&mut positive.ints, tag, message, *max),
            POSITIVE_COUNT => doubles(&mut positive.floats, tag, message, *max),
            CUSTOM_VALUE => doubles(&mut rest.custom_values, tag, message, *max),
            _ => Ok(message.unknown(tag, &[1, 2, 3, 4, 5, 6, 7, 14, 15, 17])?),
        }
    }

    fn finish(self) -> Result<Value> {
        let Parts { max, count, zero_count, mixed, rest, negative, positive } = self;
        let is = |want: fn(Number) -> bool| count.is_some_and(want) || zero_count.is_some_and(want);
        let ints =
            is(|n| matches!(n, Number::Int(_))) || !negative.ints.is_empty() || !positive.ints.is_empty();
        let floats = is(|n| matches!(n, Number::Float(_)))
            || !negative.floats.is_empty()
            || !positive.floats.is_empty();
        if mixed || ints && floats {
            return Err(Error::invalid("the histogram mixes integer and float counts; send one kind"));
        }
        if floats && count.is_none() {
            return Err(Error::invalid(
                "the histogram has float buckets but no float count; send count_float",
            ));
        }
        let buckets =
            negative.ints.len() + positive.ints.len() + negative.floats.len() + positive.floats.len();
        if buckets > max {
            return Err(too_many(max));
        }
        let number = |n: Option<Number>| n.unwrap_or(Number::Int(0));
        Ok(match (number(count), number(zero_count)) {
            (Number::Int(count), Number::Int(zero_count)) => {
                let sides = [(negative.spans, negative.ints), (positive.spans, positive.ints)];
                let histogram: IntHistogram = assemble(rest, count, zero_count, sides);
                Value::Int(Arc::new(histogram))
            }
            (count, zero_count) => {
                let sides = [(negative.spans, negative.floats), (positive.spans, positive.floats)];
                let histogram: FloatHistogram = assemble(rest, float(count), float(zero_count), sides);
                Value::FloatHistogram(Arc::new(histogram))
            }
        })
    }
}

/// Sets one of a pair of fields of which a message may have one; the same one twice is protobuf's way.
fn set(slot: &mut Option<Number>, number: Number, mixed: &mut bool) {
    *mixed |= slot.is_some_and(|old| std::mem::discriminant(&old) != std::mem::discriminant(&number));
    *slot = Some(number);
}

/// Only an absent count comes here as an integer, a zero.
fn float(number: Number) -> f64 {
    match number {
        Number::Float(v) => v,
        Number::Int(n) => n.to_f64(),
    }
}

fn assemble<C: Count>(
    rest: Histogram<u64>,
    count: C,
    zero_count: C,
    [(negative_spans, negative), (positive_spans, positive)]: [(Vec<Span>, Vec<C>); 2],
) -> Histogram<C> {
    let Histogram { reset, schema, zero_threshold, sum, custom_values, .. } = rest;
    Histogram {
        reset,
        schema,
        zero_threshold,
        zero_count,
        count,
        sum,
        positive_spans,
        negative_spans,
        positive,
        negative,
        custom_values,
    }
}

fn spans(out: &mut Vec<Span>, tag: u32, message: &mut Reader<'_>, max: usize) -> Result<()> {
    const OFFSET: u32 = protobuf::tag(1, Wire::Varint);
    const LENGTH: u32 = protobuf::tag(2, Wire::Varint);
    if tag & 7 != Wire::Bytes as u32 {
        return Err(message.malformed("a message of wire type 2 as a span").into());
    }
    let mut span = Span { offset: 0, length: 0 };
    let mut inner = message.nested()?;
    while let Some(tag) = inner.tag()? {
        match tag {
            OFFSET => span.offset = sint32(&mut inner)?,
            LENGTH => span.length = inner.varint32()?,
            _ => inner.unknown(tag, &[1, 2])?,
        }
    }
    push(out, span, max)
}

/// Each is the difference to the bucket before, over the borders of packed pieces.
fn deltas(out: &mut Vec<u64>, tag: u32, message: &mut Reader<'_>, max: usize) -> Result<()> {
    repeated(tag, Wire::Varint, message, |reader| {
        let delta = unzigzag(reader.varint()?);
        let next = out.last().copied().unwrap_or(0).checked_add_signed(delta);
        let next = next.ok_or_else(|| {
            Error::invalid("a bucket of the histogram is below 0 or over 64 bits: its deltas do not add up")
        })?;
        push(out, next, max)
    })
}

fn doubles(out: &mut Vec<f64>, tag: u32, message: &mut Reader<'_>, max: usize) -> Result<()> {
    repeated(tag, Wire::Fixed64, message, |reader| push(out, reader.double()?, max))
}

/// Calls `one` for each element of a repeated scalar, which comes packed or one by one.
fn repeated<'a>(
    tag: u32,
    wire: Wire,
    message: &mut Reader<'a>,
    mut one: impl FnMut(&mut Reader<'a>) -> Result<()>,
) -> Result<()> {
    if tag & 7 == wire as u32 {
        return one(message);
    }
    if tag & 7 != Wire::Bytes as u32 {
        return Err(message.malformed("numbers, packed or one by one").into());
    }
    let mut packed = message.nested()?;
    while !packed.is_done() {
        one(&mut packed)?;
    }
    Ok(())
}

fn push<T>(out: &mut Vec<T>, value: T, max: usize) -> Result<()> {
    if out.len() >= max {
        return Err(too_many(max));
    }
    out.push(value);
    Ok(())
}

#[cold]
fn too_many(max: usize) -> Error {
    let text = "the histogram has too many buckets, spans or bounds; lower its resolution";
    Error::limit("max_buckets_per_histogram", max as u64, text)
}

fn sint32(message: &mut Reader<'_>) -> protobuf::Result<i32> {
    // The zigzag of 32 bits fits 32 bits, so the value does.
    Ok(unzigzag(message.varint32()?.into()) as i32)
}

/// One that is not known yet is `Unknown`.
fn reset_hint(number: u64) -> CounterReset {
    match number {
        1 => CounterReset::Reset,
        2 => CounterReset::NotReset,
        3 => CounterReset::Gauge,
        _ => CounterReset::Unknown,
    }
}
