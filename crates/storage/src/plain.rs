//! Series as anybody reads them: each time once, in order.
//!
//! What a [`Series`] holds may overlap, and may be encoded as only we and newer readers know. What leaves the
//! house sample by sample, or as chunks for a reader that we do not know, passes here.

use crate::{Chunk, Series};
use nilometer_chunk::{Appended, ChunkCount, Encoding, HistogramAppender, Samples, Stamp, encode_floats};
use nilometer_model::{Histogram, Result, TimeRange, Value};

/// As many samples as Prometheus puts into one chunk.
const CHUNK_SAMPLES: usize = 120;

impl Series {
    /// The samples within `range`, by time; of several with one time that of the earliest chunk. What of the
    /// series is damaged is missing, and told in `warnings`.
    pub fn samples(self, range: TimeRange, warnings: &mut Vec<String>) -> Result<Vec<(i64, Value)>> {
        let chunks = self.chunks.read(warnings);
        let chunks: Vec<&Chunk> = chunks.iter().filter(|c| c.range.overlaps(&range)).collect();
        decoded(&chunks, range)
    }

    /// Chunks that do not overlap, in the encodings that every Prometheus reads. Start timestamps are not in
    /// those. AGGR chunks, which only who asked for them gets, pass as they are.
    pub fn into_plain_chunks(self, warnings: &mut Vec<String>) -> Result<Vec<Chunk>> {
        let chunks = self.chunks.read(warnings);
        let mut out = Vec::with_capacity(chunks.len());
        let mut rest = chunks.into_iter().peekable();
        while let Some(chunk) = rest.next() {
            if chunk.encoding == Encoding::Aggr {
                out.push(chunk);
                continue;
            }
            let mut run = vec![chunk];
            let mut max_ms = run[0].range.max_ms;
            while let Some(next) =
                rest.next_if(|next| next.encoding != Encoding::Aggr && next.range.min_ms <= max_ms)
            {
                max_ms = max_ms.max(next.range.max_ms);
                run.push(next);
            }
            match run.as_slice() {
                [only] if is_plain(only.encoding) => out.append(&mut run),
                _ => encode(&decoded(&run.iter().collect::<Vec<_>>(), TimeRange::ALL)?, &mut out)?,
            }
        }
        Ok(out)
    }
}

fn is_plain(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::Xor | Encoding::Histogram | Encoding::FloatHistogram)
}

fn decoded(chunks: &[&Chunk], range: TimeRange) -> Result<Vec<(i64, Value)>> {
    let mut all = Vec::new();
    for chunk in chunks {
        for sample in Samples::new(&chunk.data, chunk.encoding)? {
            let (t_ms, value) = sample?;
            if range.contains(t_ms) {
                all.push((t_ms, value));
            }
        }
    }
    if !all.is_sorted_by(|a, b| a.0 < b.0) {
        // Stable: the earlier chunk's comes first.
        all.sort_by_key(|(t_ms, _)| *t_ms);
        all.dedup_by_key(|(t_ms, _)| *t_ms);
    }
    Ok(all)
}

/// Appends chunks with these samples.
fn encode(samples: &[(i64, Value)], out: &mut Vec<Chunk>) -> Result<()> {
    let kind = |value: &Value| match value {
        Value::Float(_) => Encoding::Xor,
        Value::Int(_) => Encoding::Histogram,
        Value::FloatHistogram(_) => Encoding::FloatHistogram,
    };
    for run in samples.chunk_by(|a, b| kind(&a.1) == kind(&b.1)) {
        for part in run.chunks(CHUNK_SAMPLES) {
            match kind(&part[0].1) {
                Encoding::Xor => {
                    let floats = part.iter().filter_map(|(t_ms, value)| match value {
                        Value::Float(v) => Some((*t_ms, *v)),
                        _ => None,
                    });
                    out.push(chunk(part, Encoding::Xor, encode_floats(floats)));
                }
                Encoding::Histogram => encode_histograms(part, out, |value| match value {
                    Value::Int(h) => Some(h),
                    _ => None,
                })?,
                _ => encode_histograms(part, out, |value| match value {
                    Value::FloatHistogram(h) => Some(h),
                    _ => None,
                })?,
            }
        }
    }
    Ok(())
}

/// Several chunks where histograms cannot follow each other in one.
fn encode_histograms<C: ChunkCount>(
    samples: &[(i64, Value)],
    out: &mut Vec<Chunk>,
    of: impl Fn(&Value) -> Option<&std::sync::Arc<Histogram<C>>>,
) -> Result<()> {
    let mut appender = HistogramAppender::<C>::new(false);
    let (mut bytes, mut from) = (Vec::new(), 0);
    for (at, (t_ms, value)) in samples.iter().enumerate() {
        let Some(histogram) = of(value) else { continue };
        histogram.validate()?;
        let stamp = Stamp::at(*t_ms);
        if let Appended::NewChunk(reset) = appender.append(&mut bytes, stamp, histogram) {
            if at > from {
                let done = std::mem::take(&mut bytes);
                out.push(chunk(&samples[from..at], appender.encoding(), done));
            }
            appender.start(&mut bytes, reset, stamp, histogram);
            from = at;
        }
    }
    out.push(chunk(&samples[from..], appender.encoding(), bytes));
    Ok(())
}

fn chunk(samples: &[(i64, Value)], encoding: Encoding, data: Vec<u8>) -> Chunk {
    let range = TimeRange::new(samples[0].0, samples[samples.len() - 1].0);
    Chunk { range, encoding, data: data.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nilometer_model::{IntHistogram, Labels, Span};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn floats(samples: &[(i64, f64)]) -> Chunk {
        let range = TimeRange::new(samples[0].0, samples[samples.len() - 1].0);
        Chunk { range, encoding: Encoding::Xor, data: encode_floats(samples.iter().copied()).into() }
    }

    fn series(chunks: Vec<Chunk>) -> Series {
        Series { labels: Labels::from_pairs([("a", "b")]), chunks: chunks.into() }
    }

    fn samples(series: &Series, range: TimeRange) -> Vec<(i64, Value)> {
        series.clone().samples(range, &mut Vec::new()).unwrap()
    }

    fn shown(samples: &[(i64, Value)]) -> String {
        let one = |(t_ms, value): &(i64, Value)| match value {
            Value::Float(v) => format!("{t_ms}:{v} "),
            Value::Int(h) => format!("{t_ms}:int{} ", h.count),
            Value::FloatHistogram(h) => format!("{t_ms}:float{} ", h.count),
        };
        samples.iter().map(one).collect()
    }

    #[test]
    fn the_earlier_chunk_counts() {
        let overlapping =
            series(vec![floats(&[(1, 1.0), (5, 1.0)]), floats(&[(2, 2.0), (5, 2.0), (7, 2.0)])]);
        assert_eq!(shown(&samples(&overlapping, TimeRange::ALL)), "1:1 2:2 5:1 7:2 ");
        assert_eq!(shown(&samples(&overlapping, TimeRange::new(2, 5))), "2:2 5:1 ");
    }

    #[test]
    fn plain_chunks_pass_as_they_are() {
        let chunks = vec![floats(&[(1, 1.0), (5, 1.0)]), floats(&[(6, 2.0)])];
        let passed = series(chunks.clone()).into_plain_chunks(&mut Vec::new()).unwrap();
        assert!(passed.iter().zip(&chunks).all(|(p, c)| p.data.as_ptr() == c.data.as_ptr()));
        assert_eq!(passed.len(), 2);
    }

    #[test]
    fn histograms_of_one_layout_share_a_chunk() {
        let histogram = |count: u64, length: u32| {
            let spans = vec![Span { offset: 0, length }];
            let positive = vec![count; length as usize];
            let count = count * u64::from(length);
            Value::Int(Arc::new(IntHistogram {
                count,
                positive_spans: spans,
                positive,
                ..Default::default()
            }))
        };
        let mut given: Vec<_> = (0..5).map(|i| (i, histogram(i as u64 + 1, 2))).collect();
        given.push((5, Value::Float(3.0)));
        // A counter that went back.
        given.extend([(6, histogram(9, 2)), (7, histogram(1, 2))]);
        let mut chunks = Vec::new();
        encode(&given, &mut chunks).unwrap();
        assert_eq!(chunks.iter().map(|c| c.range.min_ms).collect::<Vec<_>>(), [0, 5, 6, 7]);
        assert_eq!(shown(&samples(&series(chunks), TimeRange::ALL)), shown(&given));
    }

    proptest! {
        #[test]
        fn what_overlaps_is_told_once(parts in prop::collection::vec(
            prop::collection::btree_map(0i64..400, -5i8..5, 1..200), 1..5)) {
            let chunks = parts.iter().map(|part| {
                floats(&part.iter().map(|(t_ms, v)| (*t_ms, f64::from(*v))).collect::<Vec<_>>())
            });
            let series = series(chunks.collect());
            let want = samples(&series, TimeRange::ALL);
            let plain = series.clone().into_plain_chunks(&mut Vec::new()).unwrap();
            prop_assert!(plain.is_sorted_by(|a, b| a.range.max_ms < b.range.min_ms));
            let got = samples(&Series { chunks: plain.into(), ..series }, TimeRange::ALL);
            prop_assert_eq!(shown(&got), shown(&want));
        }
    }
}
