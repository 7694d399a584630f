//! Blocks for tests, and a model of what they hold.

use crate::{Block, BlockDir, BlockWriter, ChunkRef};
use futures::StreamExt;
use futures::executor::block_on;
use nilometer_chunk::{Encoding, decode_floats, encode_floats};
use nilometer_env::Fs;
use nilometer_env::sim::SimFs;
use nilometer_model::{BlockMeta, Labels, Matcher, Result, TimeRange, Ulid};
use nilometer_storage::{Queryable, Select, SeriesBatch};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

pub(super) const DIR: &str = "/data";
pub(super) const MAX_MS: i64 = 7_200_000;

/// Series with their chunks of `(t_ms, value)`.
pub(super) type Data = BTreeMap<Labels, Vec<Vec<(i64, f64)>>>;
/// Series with their samples, values by their bits.
pub(super) type Rows = Vec<(Labels, Vec<(i64, u64)>)>;

pub(super) fn meta(number: u64) -> BlockMeta {
    BlockMeta { ulid: Ulid::new(number, [7; 10]), max_time_ms: MAX_MS, ..BlockMeta::default() }
}

pub(super) fn disk(seed: u64) -> (SimFs, Arc<dyn Fs>) {
    let sim = SimFs::new(seed);
    sim.create_dir_all(Path::new(DIR)).unwrap();
    (sim.clone(), Arc::new(sim))
}

pub(super) fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

pub(super) fn symbols<'a>(all: impl IntoIterator<Item = &'a Labels>) -> BTreeSet<&'a str> {
    all.into_iter().flatten().flat_map(|(name, value)| [name, value]).collect()
}

pub(super) fn write(fs: &Arc<dyn Fs>, dir: &str, meta: BlockMeta, data: &Data) -> Result<BlockMeta> {
    write_segments(fs, dir, meta, data, BlockWriter::MAX_SEGMENT_BYTES)
}

pub(super) fn write_segments(
    fs: &Arc<dyn Fs>,
    dir: &str,
    meta: BlockMeta,
    data: &Data,
    segment_bytes: u64,
) -> Result<BlockMeta> {
    let mut writer = BlockWriter::with_segment_bytes(fs, Path::new(dir), meta, segment_bytes)?;
    writer.symbols(symbols(data.keys()))?;
    for (labels, chunks) in data {
        let encoded: Vec<_> = chunks.iter().map(|c| encode_floats(c.iter().copied())).collect();
        let chunks: Vec<_> =
            chunks.iter().zip(&encoded).map(|(samples, data)| chunk(samples, data)).collect();
        writer.series(labels, &chunks)?;
    }
    writer.finish()
}

pub(super) fn chunk<'a>(samples: &[(i64, f64)], data: &'a [u8]) -> ChunkRef<'a> {
    let range = TimeRange::new(samples[0].0, samples[samples.len() - 1].0);
    ChunkRef { range, encoding: Encoding::Xor, data }
}

/// Written, and opened.
pub(super) fn block(data: &Data) -> (SimFs, Block) {
    let (sim, fs) = disk(1);
    let meta = write(&fs, DIR, meta(1), data).unwrap();
    (sim, BlockDir::new(fs, DIR).open(meta.ulid).unwrap())
}

pub(super) fn batches(block: &Block, select: Select) -> Vec<Result<SeriesBatch>> {
    block_on(block.select(select).collect())
}

/// What a block answers, with its warnings.
pub(super) fn read(block: &Block, select: Select) -> Result<(Rows, Vec<String>)> {
    let (mut rows, mut warnings) = (Rows::new(), Vec::new());
    for batch in batches(block, select) {
        let batch = batch?;
        warnings.extend(batch.warnings);
        for series in batch.series {
            let (mut times, mut values) = (Vec::new(), Vec::new());
            for chunk in series.chunks.read(&mut warnings) {
                let before = times.len();
                decode_floats(&chunk.data, chunk.encoding, &mut times, &mut values)?;
                assert_eq!((times[before], *times.last().unwrap()), (chunk.range.min_ms, chunk.range.max_ms));
            }
            rows.push((series.labels, times.into_iter().zip(values.into_iter().map(f64::to_bits)).collect()));
        }
    }
    Ok((rows, warnings))
}

/// What it should answer: whole chunks that overlap the range.
pub(super) fn expected(data: &Data, matchers: &[Matcher], range: TimeRange) -> Rows {
    let overlaps = |c: &[(i64, f64)]| TimeRange::new(c[0].0, c[c.len() - 1].0).overlaps(&range);
    let mut rows = Rows::new();
    for (labels, chunks) in data {
        let samples: Vec<_> =
            chunks.iter().filter(|c| overlaps(c)).flatten().map(|(t_ms, v)| (*t_ms, v.to_bits())).collect();
        if !samples.is_empty() && matchers.iter().all(|m| m.matches_labels(labels)) {
            rows.push((labels.clone(), samples));
        }
    }
    rows
}

/// Two hundred series of three jobs, some labels rare.
pub(super) fn some_data() -> Data {
    let mut data = Data::new();
    for n in 0..200i64 {
        let mut builder = labels(&[("__name__", ["up", "go_info"][n as usize % 2])]).to_builder();
        builder.set("instance", &format!("host-{:03}", n / 2)).set("job", ["a", "b", "c"][n as usize % 3]);
        if n % 17 == 0 {
            builder.set("rare", "yes, ünïcode");
        }
        let chunk = |from: i64| (0..30).map(|i| ((from + i) * 15_000 + n, (n * i) as f64)).collect();
        data.insert(builder.build(), vec![chunk(0), chunk(40), chunk(100)]);
    }
    data
}
