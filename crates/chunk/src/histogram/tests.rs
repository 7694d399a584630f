use super::*;
use crate::{Samples, Stamp};
use nilometer_model::histogram::{CUSTOM_BUCKETS_SCHEMA, bucket_indexes};
use nilometer_model::{Count, Histogram, Span, Value};
use proptest::prelude::*;
use std::collections::BTreeMap;

type Side<C> = BTreeMap<i32, C>;

trait Small: ChunkCount {
    fn small(n: u32) -> Self;
    fn of(value: &Value) -> Histogram<Self>;
}

impl Small for u64 {
    fn small(n: u32) -> u64 {
        n.into()
    }
    fn of(value: &Value) -> Histogram<u64> {
        let Value::Int(histogram) = value else { panic!("{value:?}") };
        (**histogram).clone()
    }
}

impl Small for f64 {
    fn small(n: u32) -> f64 {
        f64::from(n) / 4.0
    }
    fn of(value: &Value) -> Histogram<f64> {
        let Value::FloatHistogram(histogram) = value else { panic!("{value:?}") };
        (**histogram).clone()
    }
}

/// Spans and counts of the buckets, with spans cut where `cuts` has a bit, zero-length ones among them.
fn layout<C: Count>(side: &Side<C>, cuts: u16) -> (Vec<Span>, Vec<C>) {
    let mut spans: Vec<Span> = vec![];
    let mut end = 0;
    for (n, &index) in side.keys().enumerate() {
        let cut = cuts >> (n % 16) & 1 == 1;
        match spans.last_mut() {
            Some(span) if index == end && !cut => span.length += 1,
            _ => {
                if cut && n > 0 {
                    spans.push(Span { offset: index - end, length: 0 });
                    end = index;
                }
                spans.push(Span { offset: index - end, length: 1 });
            }
        }
        end = index + 1;
    }
    (spans, side.values().copied().collect())
}

/// What was measured, whatever the spans and the empty buckets.
fn buckets<C: Count>(spans: &[Span], counts: &[C]) -> Vec<(i32, u64)> {
    let all = bucket_indexes(spans, counts.len()).zip(counts);
    all.filter(|(_, c)| **c != C::default()).map(|(i, c)| (i, c.bits())).collect()
}

fn same_data<C: Count>(a: &Histogram<C>, b: &Histogram<C>) -> bool {
    if a.is_stale() || b.is_stale() {
        return a.is_stale() && b.is_stale();
    }
    buckets(&a.positive_spans, &a.positive) == buckets(&b.positive_spans, &b.positive)
        && buckets(&a.negative_spans, &a.negative) == buckets(&b.negative_spans, &b.negative)
        && (a.schema, a.count.bits(), a.zero_count.bits()) == (b.schema, b.count.bits(), b.zero_count.bits())
        && (a.sum.to_bits(), a.zero_threshold.to_bits()) == (b.sum.to_bits(), b.zero_threshold.to_bits())
        && a.custom_values == b.custom_values
}

/// One step of a series' life; most let it grow, some change its nature.
#[derive(Clone, Debug)]
struct Step {
    kind: u8,
    more: Vec<(i32, u32)>,
    sum: f64,
    dt: i64,
    start_ms: i64,
    cuts: u16,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (
        0u8..40,
        prop::collection::vec((-9i32..9, 0u32..50), 0..6),
        any::<f64>(),
        prop_oneof![8 => Just(15_000i64), 2 => any::<i64>()],
        prop_oneof![6 => Just(0i64), 4 => Just(7), 1 => any::<i64>()],
        any::<u16>(),
    );
    prop::collection::vec(
        step.prop_map(|(kind, more, sum, dt, start_ms, cuts)| Step { kind, more, sum, dt, start_ms, cuts }),
        0..40,
    )
}

fn life<C: Small>(steps: &[Step]) -> Vec<(Stamp, Histogram<C>)> {
    let (mut positive, mut negative) = (Side::<C>::new(), Side::<C>::new());
    let (mut schema, mut zero_threshold, mut t_ms, mut reset) = (0, 0.001, 0i64, CounterReset::Unknown);
    let mut out = vec![];
    for step in steps {
        t_ms = t_ms.wrapping_add(step.dt);
        let at = Stamp { t_ms, start_ms: step.start_ms };
        match step.kind {
            0 => (positive, negative) = (Side::new(), Side::new()),
            1 => schema = 3 - schema,
            2 => zero_threshold = 0.126 - zero_threshold,
            3 => reset = CounterReset::Gauge,
            4 => reset = CounterReset::Unknown,
            5 => {
                out.push((at, Histogram { reset, ..Histogram::stale() }));
                continue;
            }
            6 => positive.retain(|index, _| index % 2 == 0),
            _ => {}
        }
        for &(index, more) in &step.more {
            let side = if index % 3 == 0 { &mut negative } else { &mut positive };
            let count = side.entry(index).or_default();
            *count = count.plus(C::small(more));
        }
        let (positive_spans, positive) = layout(&positive, step.cuts);
        let (negative_spans, negative) = layout(&negative, step.cuts >> 3);
        let count = positive.iter().chain(&negative).fold(C::default(), |a, &b| a.plus(b));
        let mut histogram = Histogram {
            reset: if step.kind == 7 { CounterReset::Reset } else { reset },
            schema,
            zero_threshold,
            zero_count: C::default(),
            count,
            sum: if step.sum.is_nan() { 0.5 } else { step.sum },
            positive_spans,
            negative_spans,
            positive,
            negative,
            custom_values: vec![],
        };
        if step.kind == 8 {
            histogram = custom(&histogram, step.cuts);
        }
        histogram.validate().unwrap();
        out.push((at, histogram));
    }
    out
}

fn custom<C: Small>(histogram: &Histogram<C>, bounds: u16) -> Histogram<C> {
    Histogram {
        reset: histogram.reset,
        schema: CUSTOM_BUCKETS_SCHEMA,
        sum: histogram.sum,
        count: C::small(4),
        positive_spans: vec![Span { offset: 0, length: 1 }],
        positive: vec![C::small(4)],
        custom_values: (0..bounds % 5).map(|i| f64::from(i) * 0.3 + f64::from(bounds)).collect(),
        ..Histogram::default()
    }
}

fn encode<C: Small>(samples: &[(Stamp, Histogram<C>)], with_starts: bool) -> Vec<Vec<u8>> {
    let mut appender = HistogramAppender::<C>::new(with_starts);
    let (mut chunks, mut open) = (vec![], vec![]);
    for (at, histogram) in samples {
        let before = open.clone();
        if let Appended::NewChunk(reset) = appender.append(&mut open, *at, histogram) {
            assert_eq!(open, before, "a chunk that takes no more is left alone");
            chunks.push(std::mem::take(&mut open));
            appender.start(&mut open, reset, *at, histogram);
        }
    }
    chunks.push(open);
    chunks
}

fn round_trip<C: Small>(steps: &[Step], with_starts: bool) -> Result<(), TestCaseError> {
    let encoding = if with_starts { C::ENCODING_ST } else { C::ENCODING };
    let samples = life::<C>(steps);
    let mut done = 0;
    for chunk in encode(&samples, with_starts) {
        if chunk.is_empty() {
            break;
        }
        let is_gauge = counter_reset(&chunk, encoding).unwrap() == CounterReset::Gauge;
        let mut last: Option<Histogram<C>> = None;
        let mut read = Samples::new(&chunk, encoding).unwrap();
        while let Some(sample) = read.next() {
            let (t_ms, value) = sample.unwrap();
            let decoded = C::of(&value);
            let (at, original) = &samples[done];
            done += 1;
            prop_assert!(same_data(&decoded, original), "{decoded:?} was {original:?}");
            let start_ms = if with_starts { at.start_ms } else { 0 };
            prop_assert_eq!((t_ms, read.start_ms()), (at.t_ms, start_ms));
            if let Some(last) = last.filter(|_| !is_gauge && !decoded.is_stale()) {
                prop_assert!(last.count <= decoded.count, "a reset within a chunk");
                prop_assert_eq!(decoded.reset, CounterReset::NotReset);
            }
            last = Some(decoded);
        }
        // Once more from the bytes alone.
        let resumed = HistogramAppender::<C>::resume(&chunk, encoding).unwrap();
        prop_assert_eq!(resumed.last_t_ms(), samples[done - 1].0.t_ms);
    }
    prop_assert_eq!(done, samples.len());
    Ok(())
}

/// Chunks with a few bytes changed or cut: read or refused, and continued if read.
fn damage<C: Small>(
    steps: &[Step],
    with_starts: bool,
    hits: &[(prop::sample::Index, u8)],
    cut: prop::sample::Index,
) {
    let encoding = if with_starts { C::ENCODING_ST } else { C::ENCODING };
    for mut chunk in encode(&life::<C>(steps), with_starts) {
        if chunk.is_empty() {
            continue;
        }
        for (at, byte) in hits {
            let at = at.index(chunk.len());
            chunk[at] ^= byte;
        }
        try_all(&chunk, encoding);
        chunk.truncate(cut.index(chunk.len()));
        try_all(&chunk, encoding);
    }
}

fn try_all(chunk: &[u8], encoding: Encoding) {
    let _ = counter_reset(chunk, encoding);
    if let Ok(samples) = Samples::new(chunk, encoding) {
        // A false count of samples with many false buckets is long, not wrong.
        samples.take(200).for_each(drop);
    }
    match encoding {
        Encoding::Histogram | Encoding::HistogramSt => go_on::<u64>(chunk, encoding),
        _ => go_on::<f64>(chunk, encoding),
    }
}

fn go_on<C: Small>(chunk: &[u8], encoding: Encoding) {
    if chunk.len() > 300 {
        return;
    }
    let Ok(mut appender) = HistogramAppender::<C>::resume(chunk, encoding) else { return };
    let mut bytes = chunk.to_vec();
    let histogram = Histogram { count: C::small(9), zero_count: C::small(9), ..Histogram::default() };
    let _ = appender.append(&mut bytes, Stamp::at(1), &histogram);
    if !bytes.is_empty() {
        Samples::new(&bytes, encoding).unwrap().for_each(|sample| drop(sample.unwrap()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn integers_round_trip(steps in steps(), with_starts: bool) {
        round_trip::<u64>(&steps, with_starts)?;
    }

    #[test]
    fn floats_round_trip(steps in steps(), with_starts: bool) {
        round_trip::<f64>(&steps, with_starts)?;
    }

    #[test]
    fn damaged_chunks_are_read_or_refused(
        steps in steps(),
        with_starts: bool,
        hits in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        damage::<u64>(&steps, with_starts, &hits, cut);
        damage::<f64>(&steps, with_starts, &hits, cut);
    }

    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..300), zeros in 0usize..8) {
        for byte in bytes.iter_mut().take(zeros) {
            *byte &= 3;
        }
        for encoding in [2, 3, 5, 6] {
            try_all(&bytes, Encoding::from_byte(encoding).unwrap());
        }
    }
}

fn zeros(count: u64) -> Histogram<u64> {
    Histogram { count, zero_count: count, sum: 1.0, ..Histogram::default() }
}

#[test]
fn a_full_chunk_asks_for_another() {
    for (with_starts, most) in [(false, 0xffff), (true, 0x3fff)] {
        let (mut appender, mut bytes) = (HistogramAppender::<u64>::new(with_starts), vec![]);
        for i in 0..most {
            assert_eq!(appender.append(&mut bytes, Stamp::at(i), &zeros(i as u64)), Appended::Done);
        }
        let more = appender.append(&mut bytes, Stamp::at(most), &zeros(most as u64));
        assert_eq!(more, Appended::NewChunk(CounterReset::NotReset));
        let samples = Samples::new(&bytes, appender.encoding()).unwrap();
        assert_eq!(samples.filter(|s| s.is_ok()).count(), most as usize);
    }
}

#[test]
fn a_schema_that_is_too_fine_is_reduced() {
    let fine = Histogram {
        schema: 9,
        count: 6,
        sum: 1.0,
        positive_spans: vec![Span { offset: 1, length: 3 }],
        positive: vec![1, 2, 3],
        ..Histogram::default()
    };
    let (mut appender, mut bytes) = (HistogramAppender::<u64>::new(false), vec![]);
    appender.start(&mut bytes, CounterReset::Unknown, Stamp::at(1), &fine);
    let (_, value) = Samples::new(&bytes, Encoding::Histogram).unwrap().next().unwrap().unwrap();
    let read = u64::of(&value);
    assert_eq!((read.schema, read.positive), (8, vec![3, 3]));
    assert!(HistogramAppender::<u64>::resume(&bytes, Encoding::Histogram).is_err());
    bytes.clear();
    appender.start(&mut bytes, CounterReset::Unknown, Stamp::at(1), &Histogram { schema: 53, ..fine });
    let error = Samples::new(&bytes, Encoding::Histogram).unwrap().next().unwrap().unwrap_err();
    assert!(error.to_string().contains("unknown schema 53"), "{error}");
}

#[test]
fn negative_counts_are_corrupt() {
    let bad = Histogram {
        positive_spans: vec![Span { offset: 0, length: 1 }],
        positive: vec![u64::MAX],
        ..zeros(0)
    };
    let mut bytes = vec![];
    HistogramAppender::<u64>::new(false).start(&mut bytes, CounterReset::Unknown, Stamp::at(1), &bad);
    let error = Samples::new(&bytes, Encoding::Histogram).unwrap().next().unwrap().unwrap_err();
    assert!(error.to_string().contains("negative"), "{error}");
}
