//! Blocks that Prometheus wrote and Thanos compacted and downsampled (`testdata/thanos-0.41`), against the function
//! that their samples come from, and against what we make of the same blocks.

use crate::{Compaction, Dedup, FIVE_MINUTES_MS, ONE_HOUR_MS, compact, downsample, resolution_ms};
use nilometer_block::{Block, BlockDir, verify};
use nilometer_chunk::{AggrChunk, Aggregate, Encoding, Samples};
use nilometer_env::sim::SimFs;
use nilometer_env::{Fs, RealFs};
use nilometer_model::histogram::CUSTOM_BUCKETS_SCHEMA;
use nilometer_model::{
    BlockMeta, CounterReset, IntHistogram, Labels, STALE_NAN_BITS, Span, TimeRange, Ulid, Value,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const START_MS: i64 = 1_793_836_800_000;
/// Tenants, and when the blocks of their samples begin, in hours.
const TENANTS: [(&str, &[i64]); 2] = [("golden", &[0, 2, 72, 334]), ("custom", &[0, 2, 300])];

/// Series with their samples, as text: all that counts of a histogram, without the hint on resets.
type Rows = BTreeMap<Labels, Vec<(i64, String)>>;
/// A chunk of a series as it lies in its block.
type RawChunk = (TimeRange, Encoding, Vec<u8>);
/// Which one since 1970, and whether it is of histograms.
type Window = (i64, bool);

fn mix(a: u64, b: u64) -> u64 {
    let (a, b) = (a.wrapping_mul(0x9e37_79b9_7f4a_7c15), b.wrapping_mul(0xbf58_476d_1ce4_e5b9));
    let mut x = a.wrapping_add(b);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn exponential(n: u64, schema: i32, reset: CounterReset) -> IntHistogram {
    IntHistogram {
        reset,
        schema,
        zero_threshold: 0.001,
        zero_count: n,
        count: 8 * n,
        sum: n as f64 * 1.5,
        positive_spans: vec![Span { offset: -1, length: 2 }, Span { offset: 3, length: 1 }],
        positive: vec![n, 2 * n, n],
        negative_spans: vec![Span { offset: 0, length: 2 }],
        negative: vec![2 * n, n],
        custom_values: Vec::new(),
    }
}

fn custom(n: u64) -> IntHistogram {
    IntHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: 6 * n,
        sum: n as f64 * 2.5,
        positive_spans: vec![Span { offset: 0, length: 3 }],
        positive: vec![n, 2 * n, 3 * n],
        custom_values: vec![0.5, 2.0, 8.0],
        ..IntHistogram::default()
    }
}

/// The sample of minute `k` since the start, of a series by its place among those of the tenant.
fn sample(kind: &str, place: u64, k: u64) -> Option<Value> {
    let n = k % 150 + 1;
    let unknown = CounterReset::Unknown;
    Some(match kind {
        "counter" => Value::Float((k % 150 * 3) as f64),
        "decimal" => Value::Float((k % 150) as f64 * 0.1),
        "gauge" => Value::Float(((mix(place, k) % 2000) as f64 - 1000.0) / 8.0),
        "stale" => match k % 30 {
            5 => Value::Float(f64::from_bits(0x7ff8_0000_0000_0001)),
            20 => Value::Float(f64::from_bits(STALE_NAN_BITS)),
            21.. => return None,
            _ => Value::Float(k as f64),
        },
        "int" => Value::Int(Arc::new(exponential(n, 0, unknown))),
        "float_gauge" => {
            let gauge = exponential(mix(place, k) % 50 + 1, 0, CounterReset::Gauge);
            Value::FloatHistogram(Arc::new(gauge.to_float()))
        }
        "schemas" => Value::Int(Arc::new(exponential(n, 1 + i32::from(k / 40 % 2 == 1), unknown))),
        "mixed" if k / 50 % 2 == 1 => Value::Int(Arc::new(exponential(n, 0, unknown))),
        "mixed" => return sample("counter", place, k),
        "custom" => Value::Int(Arc::new(custom(n))),
        _ => unreachable!("{kind} is no series of these blocks"),
    })
}

/// All samples of a tenant in blocks that begin at these hours.
fn samples(tenant: &str, hours: &[i64]) -> BTreeMap<Labels, Vec<(i64, Value)>> {
    let odd = ["a\"b\\c\nd", "ünï☃", " ", ".*+?[](){}|^$", "x", "it's", "\t\x01\x7f", "a,b=c;d"];
    let kinds: &[&str] = match tenant {
        "custom" => &["custom", "counter"],
        _ => &["counter", "decimal", "gauge", "stale", "int", "float_gauge", "schemas", "mixed"],
    };
    let of = |(place, kind): (usize, &&str)| {
        let labels = [("__name__", format!("golden_{kind}")), ("odd", odd[place].to_owned())];
        let at = |minute: i64| {
            let t_ms = START_MS + minute * 60_000 + place as i64 * 7000;
            Some((t_ms, sample(kind, place as u64, minute as u64)?))
        };
        let samples = hours.iter().flat_map(|hour| hour * 60..hour * 60 + 120).filter_map(at).collect();
        (Labels::from_pairs(labels), samples)
    };
    kinds.iter().enumerate().map(of).collect()
}

fn text(value: &Value) -> String {
    let (kind, h) = match value {
        Value::Float(v) => return format!("{:016x}", v.to_bits()),
        Value::Int(h) => ("int", h.to_float()),
        Value::FloatHistogram(h) => ("float", (**h).clone()),
    };
    let filled = h.all_buckets().filter(|b| b.count != 0.0);
    format!(
        "{kind} {} {:x} {:x} {:?} {:?}",
        h.schema,
        h.sum.to_bits(),
        h.zero_threshold.to_bits(),
        filled.map(|b| (b.lower, b.upper, b.count)).collect::<Vec<_>>(),
        h.custom_values
    )
}

fn expected(tenant: &str, hours: &[i64]) -> Rows {
    let rows = |samples: Vec<(i64, Value)>| samples.iter().map(|(t_ms, v)| (*t_ms, text(v))).collect();
    samples(tenant, hours).into_iter().map(|(labels, samples)| (labels, rows(samples))).collect()
}

/// The blocks of a tenant of a level and resolution, oldest first.
fn golden(tenant: &str, level: u32, resolution: i64) -> Vec<Block> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/thanos-0.41");
    let dir = BlockDir::new(Arc::new(RealFs), path);
    let all = dir.list().unwrap().into_iter().map(|ulid| dir.open(ulid).unwrap());
    let wanted = |m: &BlockMeta| {
        let labels = &m.thanos.as_ref().unwrap().labels;
        labels["tenant_id"] == tenant && m.compaction.level == level && resolution_ms(m) == resolution
    };
    let mut blocks: Vec<_> = all.filter(|b| wanted(b.meta())).collect();
    blocks.sort_by_key(|b| b.meta().min_time_ms);
    assert!(!blocks.is_empty(), "there is no block of {tenant} of level {level} and {resolution} ms");
    blocks
}

/// All chunks of a block, which has nothing that we would complain about.
fn chunks(block: &Block) -> BTreeMap<Labels, Vec<RawChunk>> {
    let report = verify(block);
    assert!(report.is_clean(), "{}: {:?}", block.meta().ulid, report.problems);
    let scan = block.scan().unwrap();
    let (mut symbols, mut all) = (scan.symbols().unwrap(), Vec::new());
    while let Some(symbol) = symbols.next_symbol().unwrap() {
        all.push(symbol.to_owned());
    }
    let (mut found, mut series) = (BTreeMap::new(), scan.series());
    while series.next_series().unwrap() {
        let pair = |(name, value): &(u32, u32)| (all[*name as usize].clone(), all[*value as usize].clone());
        let labels = Labels::from_pairs(series.labels().iter().map(pair));
        let mut of_series = Vec::new();
        let count = series.ranges().len();
        for at in 0..count {
            let chunk = series.chunk(at).unwrap();
            of_series.push((chunk.range, chunk.encoding, chunk.data.to_vec()));
        }
        found.insert(labels, of_series);
    }
    found
}

fn decoded(data: &[u8], encoding: Encoding) -> Vec<(i64, Value)> {
    Samples::new(data, encoding).unwrap().map(|s| s.unwrap()).collect()
}

fn rows(block: &Block) -> Rows {
    let of = |chunks: Vec<RawChunk>| {
        let all = chunks.iter().flat_map(|(_, encoding, data)| decoded(data, *encoding));
        all.map(|(t_ms, value)| (t_ms, text(&value))).collect()
    };
    chunks(block).into_iter().map(|(labels, chunks)| (labels, of(chunks))).collect()
}

/// What an AGGR chunk tells of an aggregate.
fn aggregate(chunk: &[u8], aggregate: Aggregate) -> Vec<(i64, Value)> {
    let chunk = AggrChunk::read(chunk).unwrap();
    chunk.get(aggregate).map(|(encoding, data)| decoded(data, encoding)).unwrap_or_default()
}

#[test]
fn what_prometheus_and_thanos_wrote_is_read() {
    for (tenant, hours) in TENANTS {
        let blocks = golden(tenant, 1, 0);
        assert_eq!(blocks.len(), hours.len());
        for (block, hour) in blocks.iter().zip(hours) {
            assert_eq!(rows(block), expected(tenant, &[*hour]), "hour {hour} of {tenant}");
        }
        assert_eq!(rows(&golden(tenant, 3, 0)[0]), expected(tenant, hours), "{tenant}");
    }
}

fn disk() -> Arc<dyn Fs> {
    let sim = SimFs::new(1);
    sim.create_dir_all(Path::new("/data")).unwrap();
    Arc::new(sim)
}

fn opened(fs: &Arc<dyn Fs>, meta: &BlockMeta) -> Block {
    BlockDir::new(fs.clone(), "/data").open(meta.ulid).unwrap()
}

fn compacted(fs: &Arc<dyn Fs>, number: u64, blocks: &[Block]) -> Block {
    let tenant = &blocks[0].meta().thanos.as_ref().unwrap().labels["tenant_id"];
    let labels = Labels::from_pairs([("tenant_id", tenant)]);
    let compaction = Compaction { ulid: Ulid::new(number, [1; 10]), labels, dedup: Dedup::OneToOne };
    opened(fs, &compact(fs, Path::new("/data"), blocks, &compaction, &mut |_| Ok(())).unwrap().unwrap())
}

/// What must be as Thanos has it. How blocks in between are called, and what files come of the rest, is each one's own.
fn told(meta: &BlockMeta) -> String {
    let mut told = BlockMeta { ulid: Ulid::new(0, [0; 10]), ..meta.clone() };
    told.compaction.parents.clear();
    told.stats.num_chunks = 0;
    let thanos = told.thanos.get_or_insert_default();
    (thanos.files, thanos.segment_files, thanos.version) = (Vec::new(), Vec::new(), 1);
    (thanos.index_stats, thanos.upload_time) = (None, None);
    String::from_utf8(told.to_json()).unwrap()
}

#[test]
fn ours_compacts_as_thanos() {
    let fs = disk();
    for (number, (tenant, _)) in (1..).zip(TENANTS) {
        let mut sources = golden(tenant, 1, 0);
        let first = compacted(&fs, 10 * number, &sources[..2]);
        sources.splice(..2, [first]);
        let (ours, theirs) = (compacted(&fs, 10 * number + 1, &sources), &golden(tenant, 3, 0)[0]);
        assert_eq!(rows(&ours), rows(theirs), "{tenant}");
        assert_eq!(told(ours.meta()), told(theirs.meta()), "{tenant}");
    }
}

/// Floats have the same bytes. Of histograms the samples count: hints and empty buckets may differ.
fn check_same(ours: &Block, theirs: &Block) {
    let (our_chunks, their_chunks) = (chunks(ours), chunks(theirs));
    assert_eq!(our_chunks.keys().collect::<Vec<_>>(), their_chunks.keys().collect::<Vec<_>>());
    for (labels, theirs) in their_chunks {
        let ours = &our_chunks[&labels];
        let ranges = |chunks: &[RawChunk]| chunks.iter().map(|c| c.0).collect::<Vec<_>>();
        assert_eq!(ranges(ours), ranges(&theirs), "{labels}");
        for ((range, _, ours), (_, _, theirs)) in ours.iter().zip(&theirs) {
            for of in Aggregate::ALL {
                let texts = |chunk| -> Vec<_> {
                    aggregate(chunk, of).into_iter().map(|(t_ms, v)| (t_ms, text(&v))).collect()
                };
                assert_eq!(texts(ours), texts(theirs), "{of:?} of {range:?} of {labels}");
            }
            let is_histogram = AggrChunk::read(theirs).unwrap().is_histogram();
            assert!(is_histogram || ours == theirs, "{range:?} of {labels}");
        }
    }
}

#[test]
fn ours_downsamples_as_thanos() {
    let fs = disk();
    let to = |block: &Block, number: u64, to_ms: i64| {
        let ulid = Ulid::new(number, [2; 10]);
        let meta = downsample(&fs, Path::new("/data"), block, ulid, to_ms, &mut |_| Ok(()));
        opened(&fs, &meta.unwrap().unwrap())
    };
    for (number, (tenant, _)) in (1..).zip(TENANTS) {
        let of = |resolution| golden(tenant, 3, resolution).remove(0);
        let (raw, five, hour) = (of(0), of(FIVE_MINUTES_MS), of(ONE_HOUR_MS));
        let our_five = to(&raw, 10 * number, FIVE_MINUTES_MS);
        check_same(&our_five, &five);
        check_same(&to(&five, 10 * number + 1, ONE_HOUR_MS), &hour);
        check_same(&to(&our_five, 10 * number + 2, ONE_HOUR_MS), &hour);
    }
}

/// Count, sum, least and greatest of the floats of each window; of histograms the count of samples, the sum of
/// their counts, and that of their sums.
fn model(samples: &[(i64, Value)], resolution: i64) -> BTreeMap<Window, [f64; 4]> {
    let mut windows = BTreeMap::new();
    for (t_ms, value) in samples {
        let (is_histogram, first, second, third) = match value {
            Value::Float(v) if v.is_nan() => continue,
            Value::Float(v) => (false, *v, *v, *v),
            Value::Int(h) => (true, h.count as f64, h.sum, 0.0),
            Value::FloatHistogram(h) => (true, h.count, h.sum, 0.0),
        };
        let window: &mut [f64; 4] = windows
            .entry((t_ms / resolution, is_histogram))
            .or_insert(if is_histogram { [0.0; 4] } else { [0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY] });
        window[0] += 1.0;
        window[1] += first;
        (window[2], window[3]) = match is_histogram {
            true => (window[2] + second, window[3]),
            false => (window[2].min(second), window[3].max(third)),
        };
    }
    windows
}

/// The same from aggregates. Two chunks may tell of one window.
fn aggregated(chunks: &[RawChunk], resolution: i64) -> BTreeMap<Window, [f64; 4]> {
    let mut windows = BTreeMap::new();
    for (_, _, data) in chunks {
        let is_histogram = AggrChunk::read(data).unwrap().is_histogram();
        let floats = |of| -> Vec<f64> {
            let float = |(_, value)| if let Value::Float(v) = value { v } else { unreachable!("floats") };
            aggregate(data, of).into_iter().map(float).collect()
        };
        let (mins, maxs) = (floats(Aggregate::Min), floats(Aggregate::Max));
        let counts = aggregate(data, Aggregate::Count).into_iter().zip(aggregate(data, Aggregate::Sum));
        for (n, ((t_ms, count), (at, sum))) in counts.enumerate() {
            let Value::Float(count) = count else { unreachable!("counts are floats") };
            assert_eq!(t_ms, at);
            let window: &mut [f64; 4] =
                windows.entry((t_ms / resolution, is_histogram)).or_insert(if is_histogram {
                    [0.0; 4]
                } else {
                    [0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY]
                });
            window[0] += count;
            match sum {
                Value::Float(sum) => {
                    window[1] += sum;
                    (window[2], window[3]) = (window[2].min(mins[n]), window[3].max(maxs[n]));
                }
                Value::FloatHistogram(h) => {
                    (window[1], window[2]) = (window[1] + h.count, window[2] + h.sum);
                }
                Value::Int(_) => unreachable!("sums are floats"),
            }
        }
    }
    windows
}

#[test]
fn aggregates_tell_of_the_samples() {
    for resolution in [FIVE_MINUTES_MS, ONE_HOUR_MS] {
        for (tenant, hours) in TENANTS {
            let found = chunks(&golden(tenant, 3, resolution)[0]);
            for (labels, samples) in samples(tenant, hours) {
                check_windows(&labels, model(&samples, resolution), &aggregated(&found[&labels], resolution));
            }
        }
    }
}

fn check_windows(labels: &Labels, plain: BTreeMap<Window, [f64; 4]>, told: &BTreeMap<Window, [f64; 4]>) {
    assert_eq!(plain.keys().collect::<Vec<_>>(), told.keys().collect::<Vec<_>>(), "{labels}");
    for (window, plain) in plain {
        let told = told[&window];
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= a.abs() * 1e-12;
        let is_near = plain.iter().zip(&told).all(near);
        assert!(is_near, "{labels} at {window:?}: {plain:?}, and aggregates say {told:?}");
    }
}
