//! Chunks of which bits were flipped: what can still be read may be nonsense, but nothing panics.

use futures::executor::block_on;
use futures::{future, stream};
use nilometer_chunk::{Encoding, HistogramAppender, Stamp, Xor2State, encode_floats};
use nilometer_model::{FloatHistogram, Labels, Result, Span, TimeRange};
use nilometer_promql::parse::ParseOptions;
use nilometer_promql::{Engine, EngineOptions, Range, Source};
use nilometer_storage::{
    BoxFuture, Chunk, LabelQuery, Names, Queryable, Select, Series, SeriesBatch, SeriesStream,
};
use std::sync::Arc;

/// Answers everything with the same series.
struct Holder(Vec<Series>);

impl Queryable for Holder {
    fn select(&self, _select: Select) -> SeriesStream {
        let batch = SeriesBatch { series: self.0.clone(), warnings: Vec::new() };
        Box::pin(stream::iter([Ok(batch)]))
    }

    fn label_names(&self, _query: LabelQuery) -> BoxFuture<Result<Names>> {
        Box::pin(future::ready(Ok(Names::default())))
    }

    fn label_values(&self, _name: &str, _query: LabelQuery) -> BoxFuture<Result<Names>> {
        Box::pin(future::ready(Ok(Names::default())))
    }
}

const QUERIES: [&str; 14] = [
    "m",
    "rate(m[5m])",
    "irate(m[5m])",
    "sum_over_time(m[5m])",
    "max_over_time(m[5m])",
    "deriv(m[5m])",
    "changes(m[5m]) + resets(m[5m])",
    "rate(m[5m] smoothed)",
    "increase(m[5m] anchored)",
    "m smoothed",
    "histogram_quantile(0.9, sum(rate(m[5m])))",
    "histogram_count(avg(m) - m)",
    "histogram_fraction(0, 1, m </ 2)",
    "timestamp(m) - start_timestamp(m)",
];

fn good_chunks() -> Vec<(Encoding, Vec<u8>)> {
    let times = || (0..30i64).map(|i| (i * 15_000, (i * 3 % 17) as f64));
    let (mut xor2, mut state) = (Vec::new(), Xor2State::new());
    for (t_ms, v) in times() {
        state.append(&mut xor2, Stamp { t_ms, start_ms: t_ms - 1000 }, v);
    }
    let (mut histograms, mut appender) = (Vec::new(), HistogramAppender::<f64>::new(false));
    for (t_ms, _) in times() {
        let count = (t_ms / 15_000) as f64;
        let h = FloatHistogram {
            schema: 1,
            zero_threshold: 0.001,
            count: count * 2.0,
            sum: count,
            positive_spans: vec![Span { offset: 1, length: 1 }, Span { offset: 2, length: 1 }],
            positive: vec![count, count],
            ..FloatHistogram::default()
        };
        let _ = appender.append(&mut histograms, Stamp::at(t_ms), &h);
    }
    vec![
        (Encoding::Xor, encode_floats(times())),
        (Encoding::Xor2, xor2),
        (Encoding::FloatHistogram, histograms),
    ]
}

#[test]
fn damaged_chunks() {
    let engine = Engine::new(EngineOptions {
        parse: ParseOptions::ALL,
        start_timestamps: true,
        ..EngineOptions::default()
    });
    let mut random = 0x2545_f491_4f6c_dd1du64;
    let mut below = |n: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 20) as usize % n
    };
    let mut answered = 0;
    for round in 0..1500 {
        let good = good_chunks();
        let mut chunks = Vec::new();
        for _ in 0..2 {
            let (encoding, mut data) = good[below(good.len())].clone();
            for _ in 0..1 + below(3) {
                let at = below(data.len());
                data[at] ^= 1 << below(8);
            }
            chunks.push(Chunk { range: TimeRange::new(0, 450_000), encoding, data: data.into() });
        }
        let labels = Labels::from_pairs([("__name__", "m")]);
        let source = Source::new(Arc::new(Holder(vec![Series { labels, chunks: chunks.into() }])));
        let query = QUERIES[round % QUERIES.len()];
        let range = Range { start_ms: 0, end_ms: 600_000, step_ms: 30_000 };
        answered += usize::from(block_on(engine.range(&source, query, range)).is_ok());
    }
    assert!(answered > 100, "only {answered} could be read at all");
}
