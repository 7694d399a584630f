//! Times capacity queries over downsampled chunks in memory: what decoding and computing take, without any reading.
//!
//! ```text
//! cargo run --release -p nilometer-promql --example capacity -- [SERIES] [DAYS] [PART OF A QUERY]
//! ```

use futures::executor::block_on;
use futures::stream;
use nilometer_chunk::{Encoding, encode_floats};
use nilometer_compact::Downsampler;
use nilometer_env::{Clock, SystemClock};
use nilometer_model::{Labels, Result, TimeRange};
use nilometer_promql::{Engine, EngineOptions, Range, Resolution, Source};
use nilometer_storage::{
    BoxFuture, Chunk, ChunkRef, Chunks, LabelQuery, Names, Queryable, ReadChunks, Select, Series,
    SeriesBatch, SeriesStream,
};
use std::sync::Arc;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const RUNS: u32 = 7;

struct Holder(Vec<Series>);

impl Queryable for Holder {
    fn select(&self, select: Select) -> SeriesStream {
        let range = TimeRange::new(select.range.min_ms - 2 * HOUR, select.range.max_ms + HOUR);
        let batches: Vec<_> = self
            .0
            .chunks(256)
            .map(|series| {
                let within = |series: &Series| Series {
                    labels: series.labels.clone(),
                    chunks: Chunks::from(
                        series
                            .chunks
                            .clone()
                            .read(&mut Vec::new())
                            .into_iter()
                            .filter(|c| c.range.overlaps(&range))
                            .collect::<Vec<_>>(),
                    )
                    .of_resolution(HOUR),
                };
                Ok(SeriesBatch { series: series.iter().map(within).collect(), warnings: Vec::new() })
            })
            .collect();
        Box::pin(stream::iter(batches))
    }

    fn label_names(&self, _: LabelQuery) -> BoxFuture<Result<Names>> {
        Box::pin(std::future::ready(Ok(Names::default())))
    }

    fn label_values(&self, _: &str, _: LabelQuery) -> BoxFuture<Result<Names>> {
        Box::pin(std::future::ready(Ok(Names::default())))
    }
}

fn downsampled(number: i64, days: i64) -> Vec<Chunk> {
    let mut seed = number as u64 + 1;
    let mut value = 100.0 + number as f64;
    let mut raw = Vec::new();
    for n in 0..days * DAY / MINUTE {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        value += f64::from((seed >> 40) as u32 % 1000) / 1000.0 - 0.49;
        raw.push((n * MINUTE + 17_000, value));
    }
    let mut held: Vec<_> = raw
        .chunks(120)
        .map(|c| (TimeRange::new(c[0].0, c[c.len() - 1].0), Encoding::Xor, encode_floats(c.iter().copied())))
        .collect();
    for (from_ms, to_ms) in [(0, 5 * MINUTE), (5 * MINUTE, HOUR)] {
        let refs: Vec<_> = held
            .iter()
            .map(|(range, encoding, data)| ChunkRef { range: *range, encoding: *encoding, data })
            .collect();
        let mut out = ReadChunks::default();
        Downsampler::new(from_ms, to_ms)
            .expect("resolutions ascend")
            .series(&refs, &mut out)
            .expect("good chunks");
        held = out.iter().map(|c| (c.range, c.encoding, c.data.to_vec())).collect();
    }
    held.into_iter().map(|(range, encoding, data)| Chunk { range, encoding, data: data.into() }).collect()
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: i64| args.get(at).map_or(default, |arg| arg.parse().expect("a number"));
    let (count, days, part) = (number(0, 1000), number(1, 366), args.get(2).map_or("", String::as_str));
    let clock = SystemClock::default();
    let chunks: Vec<Chunks> = (0..10).map(|n| downsampled(n, days).into()).collect();
    let series = |n: i64| Series {
        labels: Labels::from_pairs([("__name__", "x_total".to_owned()), ("n", n.to_string())]),
        chunks: chunks[n as usize % 10].clone(),
    };
    let holder = Holder((0..count).map(series).collect());
    let bytes: usize = holder.0[0].chunks.clone().read(&mut Vec::new()).iter().map(|c| c.data.len()).sum();
    println!("{count} series, {days} days of windows of an hour, {bytes} bytes each");
    let source = Source { resolution: Resolution::Auto, ..Source::new(Arc::new(holder)) };
    let engine = Engine::new(EngineOptions::default());
    let end_ms = days * DAY;
    for (query, back, step_ms) in [
        ("predict_linear(x_total[30d], 90 * 86400)", 0, 0),
        ("avg_over_time(x_total[24h])", 182 * DAY, HOUR),
        ("sum(avg_over_time(x_total[24h]))", 182 * DAY, HOUR),
        ("max_over_time(x_total[24h])", 182 * DAY, HOUR),
        ("sum(rate(x_total[6h]))", 182 * DAY, HOUR),
        ("sum(x_total)", days * DAY, HOUR),
        ("avg_over_time(x_total[24h]) / avg_over_time(x_total[24h] offset 180d)", 30 * DAY, HOUR),
        ("max(x_total)", days * DAY, DAY),
    ] {
        if !query.contains(part) {
            continue;
        }
        let mut best = None;
        for _ in 0..RUNS {
            let begun = clock.monotonic();
            let result = match step_ms {
                0 => block_on(engine.instant(&source, query, end_ms)),
                _ => {
                    block_on(engine.range(&source, query, Range { start_ms: end_ms - back, end_ms, step_ms }))
                }
            };
            let stats = result.expect("an answer").stats;
            let took = clock.monotonic() - begun;
            best =
                Some(best.map_or((took, stats.samples_read), |(b, s): (std::time::Duration, u64)| {
                    (b.min(took), s)
                }));
        }
        let (took, read) = best.expect("some runs");
        println!("{:>8.1} ms  {read:>10} samples  {query}", took.as_secs_f64() * 1000.0);
    }
}
