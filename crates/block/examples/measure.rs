//! Writes a block of many series, reads it back, and prints time and memory. By hand:
//! `cargo run --release -p nilometer-block --example measure -- 1000000 /tmp/blocks`

use futures::StreamExt;
use futures::executor::block_on;
use nilometer_block::{Block, BlockWriter, ChunkRef, verify};
use nilometer_chunk::{Encoding, encode_floats};
use nilometer_env::{Clock, Fs, RealFs, SystemClock};
use nilometer_model::{BlockMeta, MatchKind, Matcher, TimeRange, Ulid};
use nilometer_storage::{LabelQuery, Queryable, Select};
use std::sync::Arc;

const NAMES: [&str; 10] =
    ["__name__", "a_instance", "cluster", "container", "endpoint", "job", "namespace", "node", "pod", "uid"];

/// Ten labels; one value is of this series alone.
fn values(n: usize) -> [String; 10] {
    [
        format!("metric_{:05}_total", n / 1000),
        format!("10.0.{:03}.7:9100", n % 1000),
        "production".to_owned(),
        format!("container-{}", n % 37),
        "http-metrics".to_owned(),
        format!("job-{}", n % 53),
        format!("namespace-{}", n % 91),
        format!("node-{}", n % 211),
        format!("deployment-7f9c{:05}", n % 20_011),
        format!("uid-{n:012}"),
    ]
}

/// `VmRSS` and `VmHWM` of this process, in MiB.
fn memory_mib() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
    };
    (field("VmRSS"), field("VmHWM"))
}

struct Laps(SystemClock, std::time::Duration);

impl Laps {
    fn lap(&mut self, what: &str) {
        let (now, (rss, peak)) = (self.0.monotonic(), memory_mib());
        println!("{what:<44} {:>9.1?}   rss {rss} MiB, peak {peak} MiB", now - self.1);
        // Begins the peak anew.
        drop(std::fs::write("/proc/self/clear_refs", "5"));
        self.1 = self.0.monotonic();
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let count: usize = args.next().and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let dir = std::path::PathBuf::from(args.next().unwrap_or_else(|| "/tmp/nilometer-measure".to_owned()));
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    fs.create_dir_all(&dir).unwrap();
    let mut laps = Laps(SystemClock::default(), std::time::Duration::ZERO);

    let mut symbols: Vec<String> = (0..count).flat_map(values).chain(NAMES.map(str::to_owned)).collect();
    symbols.sort_unstable();
    symbols.dedup();
    symbols.shrink_to_fit();
    let text: usize = symbols.iter().map(String::len).sum();
    let number = |s: &str| symbols.binary_search_by(|x| x.as_str().cmp(s)).unwrap() as u32;
    laps.lap(&format!("{} symbols of {text} bytes", symbols.len()));

    let meta = BlockMeta { ulid: Ulid::new(1, [1; 10]), max_time_ms: 7_200_000, ..BlockMeta::default() };
    drop(fs.remove_dir_all(&dir.join(meta.ulid.to_string())));
    let mut writer = BlockWriter::create(&fs, &dir, meta.clone()).unwrap();
    writer.symbols(symbols.iter().map(String::as_str)).unwrap();
    laps.lap("writing symbols");
    let data = encode_floats((0..120).map(|i| (i * 15_000, (i * i % 17) as f64)));
    let range = TimeRange::new(0, 119 * 15_000);
    let chunk = ChunkRef { range, encoding: Encoding::Xor, data: &data };
    for n in 0..count {
        let values = values(n);
        let mut ids = [(0, 0); 10];
        for (id, (name, value)) in ids.iter_mut().zip(NAMES.iter().zip(&values)) {
            *id = (number(name), number(value));
        }
        writer.series_by_symbols(&ids, &[chunk]).unwrap();
    }
    laps.lap("writing series (with the generator)");
    let meta = writer.finish().unwrap();
    laps.lap("postings, tables, fsync, rename");
    let path = dir.join(meta.ulid.to_string());
    let index = std::fs::metadata(path.join("index")).map_or(0, |m| m.len());
    println!("index {index} bytes");
    drop(symbols);

    let block = Block::new(fs.clone(), &path).unwrap();
    assert!(block.check().unwrap().is_empty());
    laps.lap("opening");
    read(&block, &mut laps);
    assert!(verify(&block).is_clean());
    laps.lap("verifying");
}

fn read(block: &Block, laps: &mut Laps) {
    let m = |kind, name, value| Matcher::new(kind, name, value).unwrap();
    let queries = [
        ("one metric", vec![Matcher::equal("__name__", "metric_00007_total")]),
        (
            "one metric, regex",
            vec![
                Matcher::equal("__name__", "metric_00007_total"),
                m(MatchKind::Regex, "pod", "deployment.*7"),
            ],
        ),
        ("regex over all pods", vec![m(MatchKind::Regex, "pod", "deployment-7f9c0000.*")]),
        (
            "a node but not a job",
            vec![Matcher::equal("node", "node-7"), m(MatchKind::NotEqual, "job", "job-1")],
        ),
        ("everything", vec![]),
    ];
    for (what, matchers) in queries {
        let (mut series, mut bytes) = (0, 0);
        let mut stream = block.select(Select::new(matchers, TimeRange::ALL));
        while let Some(batch) = block_on(stream.next()) {
            for s in batch.unwrap().series {
                series += 1;
                bytes += s.chunks.read(&mut Vec::new()).iter().map(|c| c.data.len()).sum::<usize>();
            }
        }
        laps.lap(&format!("{what}: {series} series, {bytes} bytes"));
    }
    let values = block_on(block.label_values("pod", LabelQuery::all(TimeRange::ALL))).unwrap();
    laps.lap(&format!("{} values", values.names.len()));
}
