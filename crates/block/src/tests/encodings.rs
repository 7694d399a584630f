//! Chunks of every encoding go through a block as they are, and without what was deleted.

use super::fixture::*;
use crate::{Block, BlockDir, BlockWriter, ChunkRef, Tombstones, verify};
use nilometer_chunk::{
    AggrChunk, Aggregate, ChunkCount, Encoding, HistogramAppender, Samples, Stamp, Xor2State, encode_floats,
};
use nilometer_env::Fs;
use nilometer_model::{BlockMeta, Histogram, Labels, Span, TimeRange, Value};
use nilometer_storage::Select;
use std::path::Path;
use std::sync::Arc;

const ALL: [Encoding; 6] = [
    Encoding::Xor,
    Encoding::Histogram,
    Encoding::FloatHistogram,
    Encoding::Xor2,
    Encoding::HistogramSt,
    Encoding::FloatHistogramSt,
];
const SAMPLES: i64 = 40;

fn t_ms(n: i64) -> i64 {
    1000 + n * 15_000
}

fn histogram<C: ChunkCount + From<u32>>(n: i64) -> Histogram<C> {
    let count = C::from(n as u32 + 1);
    Histogram {
        schema: 1,
        zero_threshold: 0.001,
        count: C::from(2 * (n as u32 + 1)),
        sum: n as f64 * 1.5,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive: vec![count, count],
        ..Histogram::default()
    }
}

/// The counts are those of counters: each has to be appendable.
fn histograms<C: ChunkCount + From<u32>>(with_starts: bool) -> Vec<u8> {
    let (mut bytes, mut appender) = (Vec::new(), HistogramAppender::<C>::new(with_starts));
    for n in 0..SAMPLES {
        let stamp = Stamp { t_ms: t_ms(n), start_ms: 500 };
        assert_eq!(appender.append(&mut bytes, stamp, &histogram(n)), nilometer_chunk::Appended::Done);
    }
    bytes
}

fn encoded(encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Xor => encode_floats((0..SAMPLES).map(|n| (t_ms(n), n as f64))),
        Encoding::Xor2 => {
            let (mut bytes, mut state) = (Vec::new(), Xor2State::new());
            for n in 0..SAMPLES {
                state.append(&mut bytes, Stamp { t_ms: t_ms(n), start_ms: 500 }, n as f64);
            }
            bytes
        }
        Encoding::Histogram | Encoding::HistogramSt => histograms::<u64>(encoding == Encoding::HistogramSt),
        Encoding::FloatHistogram | Encoding::FloatHistogramSt => {
            histograms::<f64>(encoding == Encoding::FloatHistogramSt)
        }
        Encoding::Aggr => aggregates(SAMPLES),
    }
}

/// With a count of so many windows; the others have all of them.
fn aggregates(counted: i64) -> Vec<u8> {
    let windows = |n: i64| encode_floats((0..n).map(|n| (t_ms(n), n as f64)));
    let mut counter = vec![(t_ms(0) - 100, 0.0)];
    counter.extend((0..SAMPLES).map(|n| (t_ms(n), n as f64)));
    counter.push((t_ms(SAMPLES - 1), 0.0));
    let (count, all, counter) = (windows(counted), windows(SAMPLES), encode_floats(counter));
    [Aggregate::Sum, Aggregate::Min, Aggregate::Max]
        .into_iter()
        .fold(AggrChunk::default().with(Aggregate::Count, Encoding::Xor, &count), |chunk, aggregate| {
            chunk.with(aggregate, Encoding::Xor, &all)
        })
        .with(Aggregate::Counter, Encoding::Xor, &counter)
        .encode()
}

/// One series of each encoding, of one chunk.
pub(super) fn write_encodings(fs: &Arc<dyn Fs>, dir: &str, encodings: &[Encoding]) -> BlockMeta {
    let mut series: Vec<(Labels, Encoding, Vec<u8>)> = encodings
        .iter()
        .map(|e| (labels(&[("__name__", "m"), ("encoding", e.as_str())]), *e, encoded(*e)))
        .collect();
    series.sort_by(|a, b| a.0.cmp(&b.0));
    let mut writer = BlockWriter::create(fs, Path::new(dir), meta(1)).unwrap();
    writer.symbols(symbols(series.iter().map(|s| &s.0))).unwrap();
    for (labels, encoding, data) in &series {
        let range = TimeRange::new(t_ms(0), t_ms(SAMPLES - 1));
        writer.series(labels, &[ChunkRef { range, encoding: *encoding, data }]).unwrap();
    }
    writer.finish().unwrap()
}

/// Time, value as text, and start.
type Row = (i64, String, i64);

/// All samples, by encoding.
fn samples(block: &Block) -> Vec<(Encoding, Vec<Row>)> {
    let series = batches(block, Select::new([], TimeRange::ALL)).into_iter().flat_map(|b| b.unwrap().series);
    let text = |value: Value| match value {
        Value::Float(v) => v.to_string(),
        Value::Int(h) => format!("{} {} {:?}", h.count, h.sum, h.positive),
        Value::FloatHistogram(h) => format!("{} {} {:?}", h.count, h.sum, h.positive),
    };
    series
        .map(|s| {
            let mut rows = Vec::new();
            let chunks = s.chunks.read(&mut Vec::new());
            for chunk in &chunks {
                let mut samples = Samples::new(&chunk.data, chunk.encoding).unwrap();
                while let Some(sample) = samples.next() {
                    let (t_ms, value) = sample.unwrap();
                    assert!(chunk.range.contains(t_ms));
                    rows.push((t_ms, text(value), samples.start_ms()));
                }
            }
            (chunks[0].encoding, rows)
        })
        .collect()
}

#[test]
fn all_encodings_go_through() {
    let (_, fs) = disk(1);
    let meta = write_encodings(&fs, DIR, &ALL);
    assert_eq!((meta.stats.num_samples, meta.stats.num_float_samples), (240, 80));
    assert_eq!((meta.stats.num_histogram_samples, meta.stats.num_chunks), (160, 6));
    let dir = BlockDir::new(fs.clone(), DIR);
    let block = dir.open(meta.ulid).unwrap();
    let report = verify(&block);
    assert!(report.is_clean() && report.stats == meta.stats, "{:?}", report.problems);
    let whole = samples(&block);
    assert_eq!(whole.len(), ALL.len());
    for (encoding, rows) in &whole {
        let data = encoded(*encoding);
        assert_eq!(rows.len(), Samples::new(&data, *encoding).unwrap().count());
    }

    // Two parts are deleted of each.
    let mut tombstones = Tombstones::default();
    let deleted = [TimeRange::new(0, t_ms(3)), TimeRange::new(t_ms(10), t_ms(20) - 1)];
    for reference in block.open().unwrap().index.all_series_by_walk(&mut Vec::new()).unwrap() {
        deleted.iter().for_each(|range| tombstones.add(reference, *range));
    }
    tombstones.write(&*fs, block.path()).unwrap();
    for ((encoding, before), (_, after)) in whole.iter().zip(samples(&dir.open(meta.ulid).unwrap())) {
        let left: Vec<_> =
            before.iter().filter(|s| !deleted.iter().any(|d| d.contains(s.0))).cloned().collect();
        assert_eq!((after.len(), after), (26, left), "{encoding}");
    }
}

#[test]
fn aggregates_go_through() {
    let (_, fs) = disk(1);
    let meta = write_encodings(&fs, DIR, &[Encoding::Aggr]);
    // As Thanos counts them: windows, of no kind.
    assert_eq!((meta.stats.num_samples, meta.stats.num_float_samples), (40, 0));
    assert_eq!((meta.stats.num_histogram_samples, meta.stats.num_chunks), (0, 1));
    let dir = BlockDir::new(fs.clone(), DIR);
    let block = dir.open(meta.ulid).unwrap();
    let report = verify(&block);
    assert!(report.is_clean() && report.stats == meta.stats, "{:?}", report.problems);
    let chunks_of = |block: &Block, select: Select| -> Vec<_> {
        let batches = batches(block, select).into_iter();
        batches.flat_map(|b| b.unwrap().series).flat_map(|s| s.chunks.read(&mut Vec::new())).collect()
    };
    let chunks = |block: &Block| chunks_of(block, Select::new([], TimeRange::ALL));
    let read = chunks(&block);
    assert_eq!(
        (read.len(), read[0].encoding, &read[0].data[..]),
        (1, Encoding::Aggr, &aggregates(SAMPLES)[..])
    );
    let mut select = Select::new([], TimeRange::ALL);
    select.hints.aggregates = Some(&[Aggregate::Max, Aggregate::Count]);
    let (all, some) = (aggregates(SAMPLES), chunks_of(&block, select));
    let (all, some) = (AggrChunk::read(&all).unwrap(), AggrChunk::read(&some[0].data).unwrap());
    for aggregate in Aggregate::ALL {
        let is_wanted = matches!(aggregate, Aggregate::Max | Aggregate::Count);
        assert_eq!(some.get(aggregate), all.get(aggregate).filter(|_| is_wanted), "{aggregate:?}");
    }

    // No part of it can be deleted, so all of it is left out.
    let mut tombstones = Tombstones::default();
    for reference in block.open().unwrap().index.all_series_by_walk(&mut Vec::new()).unwrap() {
        tombstones.add(reference, TimeRange::new(0, t_ms(3)));
    }
    tombstones.write(&*fs, block.path()).unwrap();
    let block = dir.open(meta.ulid).unwrap();
    assert!(chunks(&block).is_empty() && block.damage_met() == 1);
}

#[test]
fn aggregates_that_differ_are_a_problem() {
    let (_, fs) = disk(1);
    let series = labels(&[("__name__", "m")]);
    let mut writer = BlockWriter::create(&fs, Path::new(DIR), meta(1)).unwrap();
    writer.symbols(symbols([&series])).unwrap();
    let range = TimeRange::new(t_ms(0), t_ms(SAMPLES - 2));
    let data = aggregates(SAMPLES - 1);
    writer.series(&series, &[ChunkRef { range, encoding: Encoding::Aggr, data: &data }]).unwrap();
    let meta = writer.finish().unwrap();
    let report = verify(&BlockDir::new(fs, DIR).open(meta.ulid).unwrap());
    assert!(report.problems.iter().any(|p| p.contains("out of order")), "{:?}", report.problems);
}
