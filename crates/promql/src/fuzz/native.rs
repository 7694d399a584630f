//! Native histograms to be asked of: counters and gauges, exponential and custom buckets, with resets, changes of
//! layout, floats between them, and sums that are not finite.

use super::data::Data;
use super::random::Random;
use nilometer_model::histogram::CUSTOM_BUCKETS_SCHEMA;
use nilometer_model::{CounterReset, FloatHistogram, IntHistogram, STALE_NAN_BITS, Span, Value};
use std::sync::Arc;

pub(super) struct Natives<'a>(pub(super) &'a mut Data);

impl Natives<'_> {
    pub(super) fn add(&mut self) {
        for (job, instance) in [("api", "a:80"), ("api", "b:80"), ("db", "c:90")] {
            let of = [("job", job), ("instance", instance)];
            let mut counter = Observed::new(if job == "api" { 2 } else { 0 }, instance == "b:80");
            self.0.add("rpc_seconds", &of, &mut |random, i| {
                if random.once_in(50) {
                    counter.forget();
                }
                if i == 70 && job == "db" {
                    counter = Observed::new(1, true);
                }
                counter.observe(random);
                Some(Value::Int(Arc::new(counter.int())))
            });
            self.0.add("rpc_gauge", &of, &mut |random, _| {
                let mut seen = Observed::new(if random.once_in(4) { 1 } else { 2 }, true);
                seen.observe(random);
                let mut h = seen.int().to_float();
                h.reset = CounterReset::Gauge;
                scale(&mut h, 0.75);
                Some(Value::FloatHistogram(Arc::new(h)))
            });
            let mut counts = [0.0; 5];
            self.0.add("nhcb_seconds", &of, &mut |random, i| {
                let bounds: &[f64] = if job == "db" && (50..80).contains(&i) {
                    &[0.5, 2.0, 4.0, 8.0]
                } else {
                    &[0.1, 0.5, 2.0, 4.0]
                };
                if random.once_in(45) {
                    counts = [0.0; 5];
                }
                counts.iter_mut().for_each(|c| *c += random.below(4) as f64);
                Some(Value::FloatHistogram(Arc::new(custom(bounds, &counts))))
            });
        }
        self.odd();
    }

    fn odd(&mut self) {
        let mut counter = Observed::new(1, false);
        self.0.add("mixed", &[("job", "api")], &mut |random, i| {
            counter.observe(random);
            match i % 30 {
                12..=14 => Some(Value::Float(counter.int().count as f64)),
                15 => Some(Value::Float(f64::from_bits(STALE_NAN_BITS))),
                16..=19 => None,
                _ => Some(Value::Int(Arc::new(counter.int()))),
            }
        });
        let mut counter = Observed::new(3, true);
        self.0.add("mixed", &[("job", "db")], &mut |random, i| {
            counter.observe(random);
            let mut h = counter.int().to_float();
            if i % 40 > 34 {
                h = custom(&[1.0, 2.0], &[h.count, 1.0, 0.0]);
            }
            Some(Value::FloatHistogram(Arc::new(h)))
        });
        for (job, sum) in [("api", f64::NAN), ("db", f64::INFINITY)] {
            let mut counter = Observed::new(0, false);
            self.0.add("rpc_odd", &[("job", job)], &mut |random, i| {
                counter.observe(random);
                let mut h = counter.int();
                if i % 50 >= 45 {
                    h.sum = sum;
                }
                Some(Value::Int(Arc::new(h)))
            });
        }
        self.0.add("rpc_empty", &[], &mut |_, _| Some(Value::Int(Arc::default())));
    }
}

/// Buckets −4 to 5 of each side, and zero.
pub(super) struct Observed {
    schema: i32,
    with_negative: bool,
    positive: [u64; 10],
    negative: [u64; 10],
    zero: u64,
    sum: f64,
}

const LOWEST: i32 = -4;

impl Observed {
    pub(super) fn new(schema: i32, with_negative: bool) -> Self {
        Observed { schema, with_negative, positive: [0; 10], negative: [0; 10], zero: 0, sum: 0.0 }
    }

    fn forget(&mut self) {
        *self = Observed::new(self.schema, self.with_negative);
    }

    pub(super) fn observe(&mut self, random: &mut Random) {
        for _ in 0..random.below(12) {
            // The middle is more likely, so that there are empty buckets at the ends for a while.
            let at = (random.below(5) + random.below(6)).min(9);
            match random.below(8) {
                0 => self.zero += 1,
                1 | 2 if self.with_negative => {
                    self.negative[at] += 1;
                    self.sum -= random.unit();
                }
                _ => {
                    self.positive[at] += 1;
                    self.sum += random.unit() * 2.0;
                }
            }
        }
    }

    pub(super) fn int(&self) -> IntHistogram {
        let (positive_spans, positive) = filled(&self.positive);
        let (negative_spans, negative) = filled(&self.negative);
        IntHistogram {
            schema: self.schema,
            zero_threshold: 0.001,
            zero_count: self.zero,
            count: self.zero + positive.iter().sum::<u64>() + negative.iter().sum::<u64>(),
            sum: self.sum,
            positive_spans,
            positive,
            negative_spans,
            negative,
            ..IntHistogram::default()
        }
    }
}

/// Spans over what is not empty.
fn filled(counts: &[u64]) -> (Vec<Span>, Vec<u64>) {
    let (mut spans, mut buckets): (Vec<Span>, Vec<u64>) = (Vec::new(), Vec::new());
    let mut gap = LOWEST;
    for &count in counts {
        if count == 0 {
            gap += 1;
            continue;
        }
        match spans.last_mut() {
            Some(last) if gap == 0 => last.length += 1,
            _ => spans.push(Span { offset: gap, length: 1 }),
        }
        gap = 0;
        buckets.push(count);
    }
    (spans, buckets)
}

fn custom(bounds: &[f64], counts: &[f64]) -> FloatHistogram {
    let positive = counts[..=bounds.len()].to_vec();
    FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: positive.iter().sum(),
        sum: positive.iter().zip(1..).map(|(c, at)| c * f64::from(at) * 0.7).sum(),
        positive_spans: vec![Span { offset: 0, length: positive.len() as u32 }],
        positive,
        custom_values: bounds.to_vec(),
        ..FloatHistogram::default()
    }
}

fn scale(h: &mut FloatHistogram, by: f64) {
    for v in [&mut h.count, &mut h.sum, &mut h.zero_count] {
        *v *= by;
    }
    h.positive.iter_mut().chain(&mut h.negative).for_each(|v| *v *= by);
}
