//! Makes blocks, compacts them and thins the result out; prints time and memory. By hand:
//! `cargo run --release -p nilometer-compact --example compaction -- generate /tmp/blocks 20000 4 30`, then with
//! `compact /tmp/blocks [verify]` or `downsample /tmp/blocks`.

use nilometer_block::{Block, BlockDir, BlockWriter, pack::Packer, verify};
use nilometer_chunk::Stamp;
use nilometer_compact::{
    Compaction, Dedup, FIVE_MINUTES_MS, ONE_HOUR_MS, compact, downsample, resolution_ms,
};
use nilometer_env::{Clock, Fs, RealFs, SystemClock};
use nilometer_model::{BlockMeta, Labels, ThanosMeta, Ulid, Value};
use nilometer_storage::ReadChunks;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

const BLOCK_MS: i64 = 2 * 60 * 60 * 1000;

fn labels(n: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", format!("metric_{:05}_total", n / 100)),
        ("cluster", "production".to_owned()),
        ("container", format!("container-{}", n % 37)),
        ("endpoint", "http-metrics".to_owned()),
        ("instance", format!("10.0.{}.7:9100", n % 211)),
        ("job", format!("job-{}", n % 53)),
        ("namespace", format!("namespace-{}", n % 91)),
        ("node", format!("node-{}", n % 211)),
        ("pod", format!("deployment-7f9c{:05}", n % 2011)),
        ("uid", format!("uid-{n:012}")),
    ])
}

/// `VmHWM` of this process, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or_default().to_owned();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// Of this process, which is what counts where others work beside it.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn generate(fs: &Arc<dyn Fs>, dir: &Path, series: usize, blocks: u64, interval_ms: i64) {
    let mut all: Vec<_> = (0..series).map(|n| (labels(n), n)).collect();
    all.sort();
    let symbols: BTreeSet<&str> = all.iter().flat_map(|(l, _)| l).flat_map(|(n, v)| [n, v]).collect();
    for block in 0..blocks {
        let start_ms = 1_700_006_400_000 + block as i64 * BLOCK_MS;
        let thanos =
            ThanosMeta { labels: [("a".to_owned(), "b".to_owned())].into(), ..ThanosMeta::default() };
        let meta = BlockMeta {
            ulid: Ulid::new(1 + block, [1; 10]),
            min_time_ms: start_ms,
            max_time_ms: start_ms + BLOCK_MS,
            thanos: Some(thanos),
            ..BlockMeta::default()
        };
        let mut writer = BlockWriter::create(fs, dir, meta).unwrap();
        writer.symbols(&symbols).unwrap();
        let (mut packer, mut chunks) = (Packer::new(false), ReadChunks::default());
        for (labels, n) in &all {
            chunks.clear();
            let mut random = (*n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ block;
            let mut v = (n * 1000) as f64;
            for at in 0..BLOCK_MS / interval_ms {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                v += (random % 40) as f64;
                let stamp = Stamp::at(start_ms + at * interval_ms + (*n as i64 % interval_ms));
                packer.append(stamp, &Value::Float(v), &mut chunks).unwrap();
            }
            packer.finish(&mut chunks);
            writer.series(labels, &chunks.iter().collect::<Vec<_>>()).unwrap();
        }
        let meta = writer.finish().unwrap();
        println!("{} {:?}", meta.ulid, meta.stats);
    }
}

fn report(what: &str, clock: &SystemClock, blocks: &[Block], meta: &BlockMeta) {
    let (seconds, cpu) = (clock.monotonic().as_secs_f64(), cpu_seconds());
    let bytes: u64 = blocks.iter().map(|b| b.len_bytes().unwrap()).sum();
    let samples: u64 = blocks.iter().map(|b| b.meta().stats.num_samples).sum();
    println!(
        "{what} {}: {seconds:.2} s, {:.0} MB/s, {:.1} M samples/s of {samples} samples in {bytes} bytes, process so \
         far: {cpu:.2} s of CPU, peak {} MiB",
        meta.ulid,
        bytes as f64 / seconds / 1e6,
        samples as f64 / seconds / 1e6,
        peak_mib(),
    );
}

fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let (command, dir) = (args[0].as_str(), Path::new(&args[1]));
    let number = |at: usize, default: u64| args.get(at).and_then(|n| n.parse().ok()).unwrap_or(default);
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    fs.create_dir_all(dir).unwrap();
    if command == "generate" {
        generate(&fs, dir, number(2, 20_000) as usize, number(3, 4), number(4, 30) as i64 * 1000);
        return;
    }
    let blocks = BlockDir::new(fs.clone(), dir);
    let open = |wanted: fn(&BlockMeta) -> bool| -> Vec<Block> {
        let all = blocks.list().unwrap().into_iter().map(|ulid| blocks.open(ulid).unwrap());
        all.filter(|b| wanted(b.meta())).collect()
    };
    let clock = SystemClock::default();
    if command == "compact" {
        let sources = open(|m| m.compaction.level == 1);
        let compaction =
            Compaction { ulid: Ulid::new(100, [2; 10]), labels: Labels::empty(), dedup: Dedup::OneToOne };
        let meta = compact(&fs, dir, &sources, &compaction, &mut |_| Ok(())).unwrap().unwrap();
        report("compacted to", &clock, &sources, &meta);
        if args.get(2).is_some_and(|a| a == "verify") {
            assert!(verify(&blocks.open(meta.ulid).unwrap()).is_clean());
        }
        return;
    }
    let source = open(|m| m.compaction.level > 1 && resolution_ms(m) == 0);
    let meta = downsample(&fs, dir, &source[0], Ulid::new(200, [3; 10]), FIVE_MINUTES_MS, &mut |_| Ok(()))
        .unwrap()
        .unwrap();
    report("5m", &clock, &source, &meta);
    let clock = SystemClock::default();
    let source = [blocks.open(meta.ulid).unwrap()];
    let meta = downsample(&fs, dir, &source[0], Ulid::new(300, [3; 10]), ONE_HOUR_MS, &mut |_| Ok(()))
        .unwrap()
        .unwrap();
    report("1h", &clock, &source, &meta);
}
