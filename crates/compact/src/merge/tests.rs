//! Blocks against a naive model: all samples in a map.

use super::*;
use crate::{FIVE_MINUTES_MS, downsample};
use nilometer_block::pack::Packer;
use nilometer_block::{BlockDir, Tombstones, verify};
use nilometer_chunk::{AggrChunk, Aggregate, Encoding, Samples, Stamp};
use nilometer_env::sim::{Faults, SimFs};
use nilometer_model::{FloatHistogram, Span, TimeRange, Value};
use proptest::prelude::*;
use std::collections::BTreeMap;

pub(crate) const DIR: &str = "/data";
pub(crate) const BLOCK_MS: i64 = 1_000_000;

pub(crate) type Series = BTreeMap<i64, Value>;
pub(crate) type Data = BTreeMap<Labels, Series>;
pub(crate) type Texts = BTreeMap<Labels, BTreeMap<i64, String>>;

pub(crate) fn disk() -> (SimFs, Arc<dyn Fs>) {
    let sim = SimFs::new(1);
    sim.create_dir_all(Path::new(DIR)).unwrap();
    (sim.clone(), Arc::new(sim))
}

pub(crate) fn ulid(number: u64) -> Ulid {
    Ulid::new(number, [3; 10])
}

fn series(n: u32) -> Labels {
    Labels::from_pairs([
        ("__name__", "m"),
        ("n", &n.to_string()),
        ("odd", if n % 2 == 1 { "yes" } else { "" }),
    ])
}

pub(crate) fn float(v: f64) -> Value {
    Value::Float(v)
}

fn histogram(n: f64) -> Value {
    Value::FloatHistogram(Arc::new(FloatHistogram {
        count: n,
        sum: n,
        positive_spans: vec![Span { offset: 0, length: 1 }],
        positive: vec![n],
        ..FloatHistogram::default()
    }))
}

pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Float(v) => format!("{:x}", v.to_bits()),
        Value::Int(h) => format!("int {} {}", h.count, h.sum),
        Value::FloatHistogram(h) => format!("float {} {}", h.count, h.sum),
    }
}

/// A block of a range of time, with chunks of at most so many samples.
pub(crate) fn write(
    fs: &Arc<dyn Fs>,
    number: u64,
    range: (i64, i64),
    data: &Data,
    per_chunk: usize,
) -> Block {
    let (min_time_ms, max_time_ms) = range;
    let thanos = ThanosMeta { labels: [("tenant_id".into(), "a".into())].into(), ..ThanosMeta::default() };
    let meta = BlockMeta {
        ulid: ulid(number),
        min_time_ms,
        max_time_ms,
        thanos: Some(thanos),
        ..Default::default()
    };
    let mut writer = BlockWriter::create(fs, Path::new(DIR), meta).unwrap();
    let symbols: BTreeSet<&str> = data.keys().flatten().flat_map(|(n, v)| [n, v]).collect();
    writer.symbols(symbols).unwrap();
    for (labels, samples) in data {
        let mut chunks = ReadChunks::default();
        for part in samples.iter().collect::<Vec<_>>().chunks(per_chunk) {
            let mut packer = Packer::new(false);
            for (t_ms, value) in part {
                packer.append(Stamp::at(**t_ms), value, &mut chunks).unwrap();
            }
            packer.finish(&mut chunks);
        }
        writer.series(labels, &chunks.iter().collect::<Vec<_>>()).unwrap();
    }
    BlockDir::new(fs.clone(), DIR).open(writer.finish().unwrap().ulid).unwrap()
}

fn compaction(dedup: Dedup) -> Compaction {
    Compaction { ulid: ulid(1000), labels: Labels::from_pairs([("tenant_id", "a")]), dedup }
}

fn merged(fs: &Arc<dyn Fs>, blocks: &[Block], dedup: Dedup) -> Result<Option<Block>> {
    let meta = compact(fs, Path::new(DIR), blocks, &compaction(dedup), &mut |_| Ok(()))?;
    meta.map(|meta| BlockDir::new(fs.clone(), DIR).open(meta.ulid)).transpose()
}

/// All of a block, with the encodings of its chunks; what Prometheus would complain about is a failure.
pub(crate) fn read(block: &Block) -> (Texts, Vec<(Encoding, usize)>) {
    let report = verify(block);
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!(report.stats, block.meta().stats);
    let scan = block.scan().unwrap();
    let (mut symbols, mut all) = (scan.symbols().unwrap(), Vec::new());
    while let Some(symbol) = symbols.next_symbol().unwrap() {
        all.push(symbol.to_owned());
    }
    let (mut data, mut chunks, mut series) = (BTreeMap::new(), Vec::new(), scan.series());
    while series.next_series().unwrap() {
        let pair = |(name, value): &(u32, u32)| (all[*name as usize].clone(), all[*value as usize].clone());
        let labels = Labels::from_pairs(series.labels().iter().map(pair));
        let mut samples = BTreeMap::new();
        let count = series.ranges().len();
        for at in 0..count {
            let chunk = series.chunk(at).unwrap();
            let rows: Vec<_> =
                Samples::new(chunk.data, chunk.encoding).unwrap().map(|s| s.unwrap()).collect();
            chunks.push((chunk.encoding, rows.len()));
            samples.extend(rows.iter().map(|(t_ms, value)| (*t_ms, text(value))));
        }
        data.insert(labels, samples);
    }
    (data, chunks)
}

fn texts(data: &Data) -> Texts {
    let of = |samples: &Series| samples.iter().map(|(t_ms, value)| (*t_ms, text(value))).collect();
    data.iter()
        .filter(|(_, s)| !s.is_empty())
        .map(|(labels, samples)| (labels.clone(), of(samples)))
        .collect()
}

/// Samples of a few series in a range; mostly floats.
fn some_data(from: i64, to: i64) -> impl Strategy<Value = Data> {
    let value = prop_oneof![6 => (0..9i32).prop_map(|v| float(f64::from(v))), 1 => (1..9i32).prop_map(|v| histogram(f64::from(v)))];
    let samples = prop::collection::btree_map(from..to, value, 0..60);
    prop::collection::btree_map((0..8u32).prop_map(series), samples, 0..6)
        .prop_map(|data| data.into_iter().filter(|(_, samples)| !samples.is_empty()).collect())
}

/// What the blocks hold together: of one time, the older block's.
fn union(all: &[Data]) -> Data {
    let mut union = Data::new();
    for data in all {
        for (labels, samples) in data {
            let into = union.entry(labels.clone()).or_default();
            for (t_ms, value) in samples {
                into.entry(*t_ms).or_insert_with(|| value.clone());
            }
        }
    }
    union
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn blocks_that_follow_each_other(
        all in (some_data(0, 300), some_data(300, 600), some_data(600, 900)),
        per_chunk in 1..130usize,
    ) {
        let (_, fs) = disk();
        let all = [all.0, all.1, all.2];
        let blocks: Vec<_> = (0..3)
            .map(|n| write(&fs, n + 1, (n as i64 * 300, n as i64 * 300 + 300), &all[n as usize], per_chunk))
            .collect();
        let expected = texts(&union(&all));
        match merged(&fs, &blocks, Dedup::OneToOne).unwrap() {
            None => prop_assert!(expected.is_empty()),
            Some(block) => {
                prop_assert_eq!(read(&block).0, expected);
                prop_assert_eq!(block.meta().range(), TimeRange::new(0, 899));
            }
        }
    }

    #[test]
    fn blocks_that_overlap_and_lost_samples(
        all in (some_data(0, 400), some_data(100, 300), some_data(200, 700)),
        per_chunk in 1..40usize,
        deleted in prop::collection::vec((0..3usize, 0..6u32, 0..700i64, 0..200i64), 0..8),
    ) {
        let (_, fs) = disk();
        let mut all = [all.0, all.1, all.2];
        let ranges = [(0, 400), (100, 300), (200, 700)];
        for (at, data) in all.iter().enumerate() {
            write(&fs, at as u64 + 1, ranges[at], data, per_chunk);
        }
        let mut stones = vec![Tombstones::default(); 3];
        for (at, nth, from, len) in deleted {
            let range = TimeRange::new(from, from + len);
            if let Some((reference, labels)) = references(&fs, at).get(nth as usize) {
                stones[at].add(*reference, range);
                all[at].get_mut(labels).unwrap().retain(|t, _| !range.contains(*t));
            }
        }
        let dir = BlockDir::new(fs.clone(), DIR);
        let blocks: Vec<_> = (0..3).map(|at| dir.open(ulid(at + 1)).unwrap()).collect();
        for (block, stones) in blocks.iter().zip(&stones) {
            stones.write(&*fs, block.path()).unwrap();
        }
        let expected = texts(&union(&all));
        match merged(&fs, &blocks, Dedup::OneToOne).unwrap() {
            None => prop_assert!(expected.is_empty()),
            Some(block) => {
                let (data, chunks) = read(&block);
                prop_assert_eq!(data, expected);
                prop_assert!(chunks.iter().all(|(_, samples)| *samples <= 120));
            }
        }
    }
}

/// The series of a block, by their references.
fn references(fs: &Arc<dyn Fs>, at: usize) -> Vec<(u32, Labels)> {
    let block = BlockDir::new(fs.clone(), DIR).open(ulid(at as u64 + 1)).unwrap();
    // The first entry is at the first multiple of 16 behind the symbols; each tells its own.
    let data = read(&block).0;
    let scan = block.scan().unwrap();
    let mut series = scan.series();
    let mut all = Vec::new();
    for labels in data.into_keys() {
        assert!(series.next_series().unwrap());
        all.push((series.reference(), labels));
    }
    all
}

/// One series with one sample a step.
fn steady(range: std::ops::Range<i64>, step: usize, v: f64) -> Data {
    [(series(0), range.step_by(step).map(|t| (t, float(v))).collect())].into()
}

#[test]
fn chunks_pass_as_they_are_but_for_small_ones() {
    let (_, fs) = disk();
    let shapes = |per_chunk: usize, samples: i64| {
        let blocks = [
            write(&fs, 1, (0, 1000), &steady(0..samples, 1, 1.0), per_chunk),
            write(&fs, 2, (1000, 2000), &steady(1000..1000 + samples, 1, 2.0), per_chunk),
        ];
        let block = merged(&fs, &blocks, Dedup::OneToOne).unwrap().unwrap();
        let shapes: Vec<_> = read(&block).1.into_iter().map(|(_, samples)| samples).collect();
        for number in [1, 2, 1000] {
            BlockDir::new(fs.clone(), DIR).delete(ulid(number)).unwrap();
        }
        shapes
    };
    assert_eq!(shapes(100, 200), [100, 100, 100, 100]);
    assert_eq!(shapes(60, 60), [60, 60], "large enough");
    assert_eq!(shapes(30, 90), [120, 60], "four in one, then two");
    assert_eq!(shapes(1, 5), [10]);
}

#[test]
fn what_a_block_tells_of_its_making() {
    let (_, fs) = disk();
    let blocks = [
        write(&fs, 2, (1000, 2000), &steady(1000..1900, 10, 1.0), 120),
        write(&fs, 1, (0, 1000), &steady(0..900, 10, 1.0), 120),
    ];
    let block = merged(&fs, &blocks, Dedup::OneToOne).unwrap().unwrap();
    let meta = block.meta();
    assert_eq!((meta.min_time_ms, meta.max_time_ms, meta.compaction.level), (0, 2000, 2));
    assert_eq!(meta.compaction.sources, [ulid(1), ulid(2)]);
    assert_eq!(meta.compaction.parents.iter().map(|p| p.ulid).collect::<Vec<_>>(), [ulid(2), ulid(1)]);
    let thanos = meta.thanos.as_ref().unwrap();
    assert_eq!((thanos.source.as_str(), thanos.labels["tenant_id"].as_str()), ("compactor", "a"));
    assert_eq!((meta.stats.num_samples, meta.stats.num_series), (180, 1));

    // The same samples once more, of another resolution, are no company.
    let five =
        downsample(&fs, Path::new(DIR), &block, ulid(7), FIVE_MINUTES_MS, &mut |_| Ok(())).unwrap().unwrap();
    assert_eq!(five.compaction, meta.compaction);
    let five = BlockDir::new(fs.clone(), DIR).open(five.ulid).unwrap();
    assert_eq!(five.meta().thanos.as_ref().unwrap().downsample.resolution_ms, FIVE_MINUTES_MS);
    assert!(verify(&five).is_clean(), "{:?}", verify(&five).problems);
    assert!(merged(&fs, &[five, block], Dedup::OneToOne).is_err());
}

/// Aggregates pass as they are, and are never put together.
#[test]
fn downsampled_blocks() {
    let (_, fs) = disk();
    let five = |number: u64, range: (i64, i64)| {
        let raw = write(&fs, number, range, &steady(range.0..range.1, 10_000, 1.0), 120);
        let meta = downsample(&fs, Path::new(DIR), &raw, ulid(number + 10), FIVE_MINUTES_MS, &mut |_| Ok(()));
        BlockDir::new(fs.clone(), DIR).open(meta.unwrap().unwrap().ulid).unwrap()
    };
    let (first, second) = (five(1, (0, 7_200_000)), five(2, (7_200_000, 14_400_000)));
    let third = five(3, (3_600_000, 10_800_000));
    let block = merged(&fs, &[first.clone(), second], Dedup::OneToOne).unwrap().unwrap();
    assert!(verify(&block).is_clean(), "{:?}", verify(&block).problems);
    // Windows are what is counted.
    assert_eq!((block.meta().stats.num_samples, block.meta().stats.num_chunks), (48, 2));
    assert_eq!(crate::resolution_ms(block.meta()), FIVE_MINUTES_MS);
    let stats = block.meta().thanos.as_ref().unwrap().index_stats.unwrap();
    assert!(stats.chunk_max_bytes > 100 && stats.series_max_bytes > 20, "{stats:?}");
    BlockDir::new(fs.clone(), DIR).delete(ulid(1000)).unwrap();
    let error = merged(&fs, &[first, third], Dedup::OneToOne).err().unwrap();
    assert_eq!(error.kind(), &nilometer_model::Kind::Conflict);
}

#[test]
fn deleted_samples_are_in_no_window() {
    let (_, fs) = disk();
    let block = write(&fs, 1, (0, BLOCK_MS), &steady(0..600_000, 10_000, 1.0), 25);
    let mut stones = Tombstones::default();
    stones.add(references(&fs, 0)[0].0, TimeRange::new(100_000, 199_999));
    stones.write(&*fs, block.path()).unwrap();
    let dir = BlockDir::new(fs.clone(), DIR);
    let block = dir.open(ulid(1)).unwrap();
    let meta = downsample(&fs, Path::new(DIR), &block, ulid(5), FIVE_MINUTES_MS, &mut |_| Ok(())).unwrap();
    let block = dir.open(meta.unwrap().ulid).unwrap();
    let scan = block.scan().unwrap();
    let mut series = scan.series();
    assert!(series.next_series().unwrap());
    let chunk = AggrChunk::read(series.chunk(0).unwrap().data).unwrap();
    let (encoding, counts) = chunk.get(Aggregate::Count).unwrap();
    let counts: Vec<_> = Samples::new(counts, encoding).unwrap().map(|s| text(&s.unwrap().1)).collect();
    assert_eq!(counts, [text(&float(20.0)), text(&float(30.0))]);
}

#[test]
fn two_replicas() {
    let both = |dedup, first: &Data, second: &Data| -> Vec<(i64, String)> {
        let (_, fs) = disk();
        let blocks = [write(&fs, 1, (0, BLOCK_MS), first, 120), write(&fs, 2, (0, BLOCK_MS), second, 120)];
        let (data, _) = read(&merged(&fs, &blocks, dedup).unwrap().unwrap());
        data.into_values().next().unwrap().into_iter().collect()
    };
    let times = |rows: &[(i64, String)]| rows.iter().map(|(t, _)| *t).collect::<Vec<_>>();
    let (a, b) = (steady(0..600_000, 10_000, 1.0), steady(3_000..600_000, 10_000, 2.0));
    let all = both(Dedup::OneToOne, &a, &b);
    assert_eq!(all.len(), 120);
    let one = both(Dedup::Penalty, &a, &b);
    assert_eq!(times(&one), (0..600_000).step_by(10_000).collect::<Vec<_>>(), "the first one goes on");

    // It stops for two minutes, and the other steps in.
    let mut gap = a.clone();
    gap.values_mut().next().unwrap().retain(|t, _| !(200_000..320_000).contains(t));
    let rows = both(Dedup::Penalty, &gap, &b);
    let between: Vec<_> = times(&rows).into_iter().filter(|t| (190_000..330_000).contains(t)).collect();
    assert_eq!(between, [190_000].into_iter().chain((213_000..330_000).step_by(10_000)).collect::<Vec<_>>());

    // The very same chunks are not decoded: what comes out is what went in.
    let (_, fs) = disk();
    let blocks = [write(&fs, 1, (0, BLOCK_MS), &a, 60), write(&fs, 2, (0, BLOCK_MS), &a, 60)];
    for dedup in [Dedup::OneToOne, Dedup::Penalty] {
        let block = merged(&fs, &blocks, dedup).unwrap().unwrap();
        assert_eq!(read(&block), (texts(&a), vec![(Encoding::Xor, 60)]));
        BlockDir::new(fs.clone(), DIR).delete(block.meta().ulid).unwrap();
    }
}

/// From Thanos' table for its deduplicating iterator: of two replicas, the samples that are taken.
#[test]
fn penalties_are_those_of_thanos() {
    let cases: [(&[i64], &[i64], &[i64]); 5] = [
        (
            &[10_000, 20_000, 30_000, 40_000],
            &[10_000, 20_000, 30_000, 40_000],
            &[10_000, 20_000, 30_000, 40_000],
        ),
        (
            &[10_100, 20_100, 30_100, 40_100],
            &[10_000, 20_000, 30_000, 40_000],
            &[10_000, 20_000, 30_000, 40_000],
        ),
        (&[10_000, 20_000, 40_000], &[10_000, 20_000, 30_000, 40_000], &[10_000, 20_000, 40_000]),
        (&[10_000, 20_000, 40_000], &[15_000, 25_000, 35_000, 45_000], &[10_000, 20_000, 40_000]),
        (
            &[10_000, 20_000, 30_000, 60_000, 70_000],
            &[10_100, 20_100, 30_100, 40_100, 50_100, 60_100],
            &[10_000, 20_000, 30_000, 50_100, 60_100],
        ),
    ];
    for (a, b, expected) in cases {
        let (_, fs) = disk();
        let data = |times: &[i64], v| -> Data {
            [(series(0), times.iter().map(|t| (*t, float(v))).collect())].into()
        };
        let blocks = [
            write(&fs, 1, (0, BLOCK_MS), &data(a, 1.0), 120),
            write(&fs, 2, (0, BLOCK_MS), &data(b, 2.0), 120),
        ];
        let (read, _) = read(&merged(&fs, &blocks, Dedup::Penalty).unwrap().unwrap());
        let times: Vec<_> = read.into_values().next().unwrap().into_keys().collect();
        assert_eq!(times, expected, "{a:?} {b:?}");
    }
}

/// What is taken of two replicas, whatever chunks they are in.
fn penalised(a: &[i64], b: &[i64]) -> Vec<i64> {
    let (mut taken, mut penalties) = (Vec::<i64>::new(), [0, 0]);
    let mut left = [a, b];
    loop {
        if let Some(last) = taken.last() {
            for (times, penalty) in left.iter_mut().zip(penalties) {
                *times = &times[times.iter().take_while(|t| **t <= last + penalty).count()..];
            }
        }
        let first = left.map(|times| times.first().copied());
        let at = match first {
            [None, None] => return taken,
            [Some(a), Some(b)] => usize::from(a > b),
            [a, _] => usize::from(a.is_none()),
        };
        let Some(t_ms) = first[at] else { return taken };
        penalties[at] = 0;
        if first[1 - at].is_some() {
            penalties[1 - at] = taken.last().map_or(5000, |last| 2 * (t_ms - last));
        }
        taken.push(t_ms);
    }
}

/// Times of a replica that scrapes every ten seconds, with gaps.
fn scrapes() -> impl Strategy<Value = Vec<i64>> {
    (0..10_000i64, prop::collection::vec(0..100i64, 100..400)).prop_map(|(first, chances)| {
        let mut up = true;
        let times = chances.iter().enumerate().filter_map(|(n, chance)| {
            up = if up { *chance > 3 } else { *chance > 85 };
            up.then_some(first + n as i64 * 10_000)
        });
        times.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn replicas_are_followed_through_their_chunks(
        a in scrapes(),
        b in scrapes(),
        per_chunk in (1..60usize, 1..60usize),
    ) {
        let (_, fs) = disk();
        let data = |times: &[i64], v| -> Data {
            let samples: Series = times.iter().map(|t| (*t, float(v))).collect();
            [(series(0), samples)].into_iter().filter(|(_, samples)| !samples.is_empty()).collect()
        };
        let blocks = [
            write(&fs, 1, (0, 4_100_000), &data(&a, 1.0), per_chunk.0),
            write(&fs, 2, (0, 4_100_000), &data(&b, 2.0), per_chunk.1),
        ];
        let block = merged(&fs, &blocks, Dedup::Penalty).unwrap();
        let times = |(_, samples): (Labels, BTreeMap<i64, String>)| samples.into_keys().collect();
        let found: Vec<i64> =
            block.and_then(|block| read(&block).0.into_iter().next()).map_or(Vec::new(), times);
        prop_assert_eq!(found, penalised(&a, &b));
    }
}

#[test]
fn damage_and_cancellation_leave_nothing() {
    let (sim, fs) = disk();
    let blocks = [
        write(&fs, 1, (0, 1000), &steady(0..900, 1, 1.0), 120),
        write(&fs, 2, (1000, 2000), &steady(1000..1900, 1, 1.0), 120),
    ];
    let left = || {
        let names = fs.read_dir(Path::new(DIR)).unwrap().into_iter().map(|e| e.name);
        names.filter(|n| n.starts_with(&ulid(1000).to_string())).count()
    };
    let stop = &mut |_| Err(Error::canceled("enough"));
    assert!(compact(&fs, Path::new(DIR), &blocks, &compaction(Dedup::OneToOne), stop).is_err());
    assert_eq!(left(), 0);

    sim.set_faults(Faults { capacity_bytes: 3000, ..Faults::default() });
    assert!(merged(&fs, &blocks, Dedup::OneToOne).is_err());
    sim.set_faults(Faults::default());
    assert_eq!(left(), 0);

    // One bit of a chunk.
    let path = Path::new(DIR).join(ulid(2).to_string()).join("chunks/000001");
    let mut bytes = fs.read(&path).unwrap();
    bytes[40] ^= 1;
    fs.write_atomic(&path, &bytes).unwrap();
    let dir = BlockDir::new(fs.clone(), DIR);
    let blocks = [dir.open(ulid(1)).unwrap(), dir.open(ulid(2)).unwrap()];
    let error = merged(&fs, &blocks, Dedup::OneToOne).err().unwrap();
    assert!(matches!(error.kind(), nilometer_model::Kind::Corrupt { .. }), "{error}");
    assert_eq!(left(), 0);
}

#[test]
fn nothing_left_is_no_block() {
    let (_, fs) = disk();
    let block = write(&fs, 1, (0, 1000), &steady(0..900, 1, 1.0), 120);
    let mut stones = Tombstones::default();
    stones.add(references(&fs, 0)[0].0, TimeRange::ALL);
    stones.write(&*fs, block.path()).unwrap();
    let block = BlockDir::new(fs.clone(), DIR).open(ulid(1)).unwrap();
    assert!(merged(&fs, std::slice::from_ref(&block), Dedup::OneToOne).unwrap().is_none());
    assert!(
        downsample(&fs, Path::new(DIR), &block, ulid(5), FIVE_MINUTES_MS, &mut |_| Ok(())).unwrap().is_none()
    );
    assert!(merged(&fs, &[], Dedup::OneToOne).is_err());
}
