//! A holder of a few series in memory, for tests of what computes.

use crate::queryable::{BoxFuture, LabelQuery, Names, Queryable, Select, SeriesStream};
use crate::{Chunk, Series, SeriesBatch};
use futures::{future, stream};
use nilometer_chunk::{Appended, ChunkCount, Encoding, HistogramAppender, Stamp, Xor2State, encode_floats};
use nilometer_model::{FloatHistogram, Histogram, Labels, Matcher, Result, TimeRange, Value, is_stale_nan};
use std::collections::BTreeMap;

/// Series by labels.
#[derive(Clone, Debug, Default)]
pub struct MemoryQueryable {
    series: BTreeMap<Labels, Vec<Chunk>>,
}

impl MemoryQueryable {
    const SAMPLES_PER_CHUNK: usize = 120;

    /// Adds samples `(t_ms, value)` that are newer than those the series has.
    pub fn push_floats(&mut self, labels: Labels, samples: &[(i64, f64)]) {
        let chunks = self.series.entry(labels).or_default();
        for part in samples.chunks(Self::SAMPLES_PER_CHUNK) {
            let range = TimeRange::new(part[0].0, part[part.len() - 1].0);
            let data = encode_floats(part.iter().copied()).into();
            chunks.push(Chunk { range, encoding: Encoding::Xor, data });
        }
    }

    /// Adds samples of any type, in order and newer than those the series has. Start timestamps are kept. A
    /// stale marker behind a histogram becomes a stale histogram, as in the head.
    pub fn push(&mut self, labels: Labels, samples: &[(Stamp, Value)]) {
        let chunks = self.series.entry(labels).or_default();
        let mut rest = samples;
        let mut after_histogram = chunks.last().is_some_and(|c| !c.encoding.is_float());
        while let Some((_, first)) = rest.first() {
            let kind = Kind::of(first, after_histogram);
            let len = rest.iter().take_while(|(_, v)| Kind::of(v, kind != Kind::Float) == kind).count();
            let (run, left) = rest.split_at(len);
            match kind {
                Kind::Float => chunks.extend(run.chunks(Self::SAMPLES_PER_CHUNK).map(float_chunk)),
                Kind::Int => chunks.extend(histogram_chunks(run, int_histogram)),
                Kind::FloatHistogram => chunks.extend(histogram_chunks(run, float_histogram)),
            }
            after_histogram = kind != Kind::Float;
            rest = left;
        }
    }

    fn matching(&self, sets: &[Vec<Matcher>], range: TimeRange) -> Vec<&Labels> {
        let any = |labels: &Labels| {
            sets.is_empty() || sets.iter().any(|set| set.iter().all(|m| m.matches_labels(labels)))
        };
        self.series
            .iter()
            .filter(|(labels, chunks)| any(labels) && chunks.iter().any(|c| c.range.overlaps(&range)))
            .map(|(labels, _)| labels)
            .collect()
    }
}

/// Which sort of chunk a value goes into.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Float,
    Int,
    FloatHistogram,
}

impl Kind {
    fn of(value: &Value, after_histogram: bool) -> Kind {
        match value {
            Value::Float(v) if after_histogram && is_stale_nan(*v) => Kind::FloatHistogram,
            Value::Float(_) => Kind::Float,
            Value::Int(_) => Kind::Int,
            Value::FloatHistogram(_) => Kind::FloatHistogram,
        }
    }
}

fn float_chunk(samples: &[(Stamp, Value)]) -> Chunk {
    let (mut bytes, mut state) = (Vec::new(), Xor2State::new());
    for (at, value) in samples {
        let Value::Float(v) = value else { unreachable!("a run of floats") };
        state.append(&mut bytes, *at, *v);
    }
    let range = TimeRange::new(samples[0].0.t_ms, samples[samples.len() - 1].0.t_ms);
    Chunk { range, encoding: Encoding::Xor2, data: bytes.into() }
}

fn int_histogram(value: &Value) -> Histogram<u64> {
    match value {
        Value::Int(h) => (**h).clone(),
        _ => Histogram::stale(),
    }
}

fn float_histogram(value: &Value) -> FloatHistogram {
    match value {
        Value::FloatHistogram(h) => (**h).clone(),
        _ => Histogram::stale(),
    }
}

fn histogram_chunks<C: ChunkCount>(samples: &[(Stamp, Value)], of: fn(&Value) -> Histogram<C>) -> Vec<Chunk> {
    let mut appender = HistogramAppender::<C>::new(true);
    let encoding = appender.encoding();
    let (mut chunks, mut bytes): (Vec<Chunk>, Vec<u8>) = (Vec::new(), Vec::new());
    for (at, value) in samples {
        let histogram = of(value);
        let appended = appender.append(&mut bytes, *at, &histogram);
        if let Appended::NewChunk(reset) = appended {
            if let Some(chunk) = chunks.last_mut() {
                chunk.data = std::mem::take(&mut bytes).into();
            }
            appender.start(&mut bytes, reset, *at, &histogram);
        }
        match chunks.last_mut() {
            Some(chunk) if !matches!(appended, Appended::NewChunk(_)) => chunk.range.max_ms = at.t_ms,
            _ => chunks.push(Chunk {
                range: TimeRange::new(at.t_ms, at.t_ms),
                encoding,
                data: Default::default(),
            }),
        }
    }
    if let Some(chunk) = chunks.last_mut() {
        chunk.data = bytes.into();
    }
    chunks
}

impl Queryable for MemoryQueryable {
    fn select(&self, select: Select) -> SeriesStream {
        let mut found = Vec::new();
        for labels in self.matching(&[select.matchers.to_vec()], select.range) {
            let chunks: Vec<Chunk> =
                self.series[labels].iter().filter(|c| c.range.overlaps(&select.range)).cloned().collect();
            found.push(Series { labels: labels.clone(), chunks: chunks.into() });
        }
        let batches: Vec<_> = found
            .chunks(SeriesBatch::MAX_SERIES)
            .map(|series| Ok(SeriesBatch { series: series.to_vec(), warnings: Vec::new() }))
            .collect();
        Box::pin(stream::iter(batches))
    }

    fn label_names(&self, query: LabelQuery) -> BoxFuture<Result<Names>> {
        let matching = self.matching(&query.matcher_sets, query.range);
        names(matching.iter().flat_map(|l| l.iter().map(|(name, _)| name.to_owned())), query.limit)
    }

    fn label_values(&self, name: &str, query: LabelQuery) -> BoxFuture<Result<Names>> {
        let matching = self.matching(&query.matcher_sets, query.range);
        names(matching.iter().filter(|l| l.has(name)).map(|l| l.get(name).to_owned()), query.limit)
    }
}

fn names(all: impl Iterator<Item = String>, limit: usize) -> BoxFuture<Result<Names>> {
    let mut names: Vec<String> = all.collect();
    names.sort_unstable();
    names.dedup();
    if limit > 0 {
        names.truncate(limit);
    }
    Box::pin(future::ready(Ok(Names { names, warnings: Vec::new() })))
}
