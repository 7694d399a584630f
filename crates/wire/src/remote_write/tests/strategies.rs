//! Requests of every kind, small enough to be many.

use crate::remote_write::FloatSample;
use crate::remote_write::encode::{SentHistogram, SentSeries};
use nilometer_model::{
    Count, CounterReset, Exemplar, Histogram, Labels, Metadata, MetricType, STALE_NAN_BITS, Span, Value,
};
use proptest::prelude::*;
use std::sync::Arc;

pub(super) fn series() -> impl Strategy<Value = SentSeries> {
    (
        labels(),
        prop::collection::vec(sample(), 0..4),
        prop::collection::vec(histogram(), 0..2),
        prop::collection::vec(exemplar(), 0..3),
        prop::option::of(metadata()),
    )
        .prop_map(|(labels, samples, histograms, exemplars, metadata)| SentSeries {
            labels,
            samples,
            histograms,
            exemplars,
            metadata,
        })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[a-d]{0,3}",
        4 => "(__name__|instance|instance_id|instances|job)",
        2 => "[a-b]{7,9}",
        1 => "[é→a]{1,3}",
        1 => "[a-b]{110,140}",
    ]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![40 => "[ -~]{0,20}", 2 => Just(String::new()), 1 => "[x→]{110,140}", 1 => (16_380usize..16_390).prop_map(|n| "x".repeat(n))]
}

/// Mostly in order and without empty values, so that keys come up often.
fn labels() -> impl Strategy<Value = Vec<(String, String)>> {
    let pairs = || prop::collection::vec((name(), value()), 0..12);
    prop_oneof![
        1 => pairs(),
        3 => pairs().prop_map(|pairs| {
            let sorted = Labels::from_pairs(pairs);
            sorted.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
        }),
    ]
}

pub(super) fn time() -> impl Strategy<Value = i64> {
    prop_oneof![6 => 1_600_000_000_000i64..1_900_000_000_000, 1 => any::<i64>(), 1 => 0i64..100, 1 => Just(1 << 42)]
}

pub(super) fn float() -> impl Strategy<Value = f64> + Clone {
    prop_oneof![
        4 => (-1000i32..1000).prop_map(f64::from),
        2 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(f64::from_bits(STALE_NAN_BITS)),
        1 => Just(-0.0),
    ]
}

fn sample() -> impl Strategy<Value = FloatSample> {
    (time(), float(), prop_oneof![3 => Just(0), 1 => time()]).prop_map(|(t_ms, v, start_ms)| FloatSample {
        t_ms,
        v,
        start_ms,
    })
}

fn exemplar() -> impl Strategy<Value = Exemplar> {
    (prop::collection::vec((name(), "[0-9a-f]{0,32}"), 0..3), time(), float())
        .prop_map(|(pairs, t_ms, v)| Exemplar { labels: Labels::from_pairs(pairs), t_ms, v })
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let kind = prop::sample::select(vec![
        MetricType::Unknown,
        MetricType::Counter,
        MetricType::Gauge,
        MetricType::Histogram,
        MetricType::GaugeHistogram,
        MetricType::Summary,
        MetricType::Info,
        MetricType::StateSet,
    ]);
    (kind, "[ -~]{0,30}", "[a-z]{0,8}").prop_map(|(kind, help, unit)| Metadata { kind, help, unit })
}

pub(super) fn families() -> impl Strategy<Value = Vec<(String, Metadata)>> {
    prop::collection::vec((name(), metadata()), 0..3)
}

fn histogram() -> impl Strategy<Value = SentHistogram> {
    let value = prop_oneof![
        parts(0u64..1 << 62).prop_map(|h| Value::Int(Arc::new(h))),
        parts(float()).prop_map(|h| Value::FloatHistogram(Arc::new(h))),
    ];
    (value, time(), prop_oneof![Just(0), time()]).prop_map(|(value, t_ms, start_ms)| SentHistogram {
        t_ms,
        start_ms,
        value,
    })
}

/// Spans that need not fit the buckets: that is for others to check.
fn parts<C: Count>(count: impl Strategy<Value = C> + Clone) -> impl Strategy<Value = Histogram<C>> {
    let spans = || {
        let span = (any::<i32>(), any::<u32>()).prop_map(|(offset, length)| Span { offset, length });
        prop::collection::vec(span, 0..3)
    };
    let reset = prop::sample::select(vec![
        CounterReset::Unknown,
        CounterReset::Reset,
        CounterReset::NotReset,
        CounterReset::Gauge,
    ]);
    let buckets = prop::collection::vec(count.clone(), 0..6);
    (
        (reset, any::<i32>(), float(), float(), prop::collection::vec(float(), 0..3)),
        (count.clone(), count, spans(), spans(), buckets.clone(), buckets),
    )
        .prop_map(|((reset, schema, zero_threshold, sum, custom_values), rest)| {
            let (zero_count, count, negative_spans, positive_spans, negative, positive) = rest;
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
        })
}
