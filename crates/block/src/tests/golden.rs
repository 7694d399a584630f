//! A block that Prometheus 2.42 wrote (`promtool tsdb create-blocks-from openmetrics`), with what its own
//! `promtool tsdb dump` says of it.

use super::fixture::*;
use crate::index::Index;
use crate::index::toc::Toc;
use crate::source::Source;
use crate::{Block, BlockDir, BlockWriter, ChunkRef, verify};
use nilometer_env::{Fs, RealFs};
use nilometer_model::{Matcher, TimeRange};
use nilometer_storage::Select;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn golden() -> (PathBuf, Block) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/prometheus-2.42");
    let blocks = BlockDir::new(Arc::new(RealFs), &dir);
    let block = blocks.open(blocks.list().unwrap()[0]).unwrap();
    (dir, block)
}

/// As `promtool tsdb dump` prints samples.
pub(super) fn dump(rows: &Rows) -> String {
    let float = |bits: u64| match f64::from_bits(bits) {
        v if v == f64::INFINITY => "+Inf".to_owned(),
        v if v == f64::NEG_INFINITY => "-Inf".to_owned(),
        v => v.to_string(),
    };
    let line = |l: &_, (t_ms, v): &(i64, u64)| format!("{l} {} {t_ms}\n", float(*v));
    rows.iter().flat_map(|(labels, samples)| samples.iter().map(move |s| line(labels, s))).collect()
}

#[test]
fn what_prometheus_wrote_is_read() {
    let (dir, block) = golden();
    let (rows, warnings) = read(&block, Select::new([], TimeRange::ALL)).unwrap();
    assert!(warnings.is_empty());
    assert_eq!(dump(&rows), std::fs::read_to_string(dir.join("dump.txt")).unwrap());
    let report = verify(&block);
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!((report.stats.num_samples, report.stats.num_chunks), (414, 45));

    let one = [Matcher::equal("__name__", "up"), Matcher::equal("instance", "host-b:9100")];
    let (rows, _) = read(&block, Select::new(one, TimeRange::ALL)).unwrap();
    assert_eq!((rows.len(), rows[0].1.len()), (1, 140));
}

/// Written anew by us, chunks, symbols, series and postings have the same bytes.
#[test]
fn what_prometheus_wrote_is_written() {
    let (_, theirs) = golden();
    let (sim, fs) = disk(1);
    let mut writer = BlockWriter::create(&fs, Path::new(DIR), theirs.meta().clone()).unwrap();
    let series: Vec<_> = batches(&theirs, Select::new([], TimeRange::ALL))
        .into_iter()
        .flat_map(|b| b.unwrap().series)
        .collect();
    let mut symbols = symbols(series.iter().map(|s| &s.labels));
    // A head of that version has the empty one too.
    symbols.insert("");
    writer.symbols(symbols).unwrap();
    for s in series {
        let chunks = s.chunks.read(&mut Vec::new());
        let chunks: Vec<ChunkRef<'_>> = chunks.iter().map(ChunkRef::from).collect();
        writer.series(&s.labels, &chunks).unwrap();
    }
    let meta = writer.finish().unwrap();
    assert_eq!(meta.stats.num_samples, theirs.meta().stats.num_samples);
    assert_eq!((meta.min_time_ms, &meta.compaction), (theirs.meta().min_time_ms, &theirs.meta().compaction));

    let ours = Path::new(DIR).join(meta.ulid.to_string());
    for file in ["chunks/000001", "tombstones"] {
        assert_eq!(
            sim.read(&ours.join(file)).unwrap(),
            RealFs.read(&theirs.path().join(file)).unwrap(),
            "{file}"
        );
    }
    let our_bytes = sim.read(&ours.join(Index::FILE)).unwrap();
    let their_bytes = RealFs.read(&theirs.path().join(Index::FILE)).unwrap();
    let toc =
        |fs: &dyn Fs, dir: &Path| Toc::read(&Source::open(fs, &dir.join(Index::FILE)).unwrap()).unwrap();
    let (us, them) = (toc(&sim, &ours), toc(&RealFs, theirs.path()));
    assert_eq!((us.symbols, us.series, us.label_indices), (them.symbols, them.series, them.label_indices));
    assert_eq!(our_bytes[..us.label_indices as usize], their_bytes[..us.label_indices as usize]);
    // Theirs has label indices in front of the postings and their table behind, which Prometheus 3 leaves out.
    let postings = |bytes: &[u8], from: u64, to: u64| bytes[from as usize..to as usize].to_vec();
    assert_eq!(
        postings(&our_bytes, us.postings, us.postings_table),
        postings(&their_bytes, them.postings, them.label_table)
    );
}
