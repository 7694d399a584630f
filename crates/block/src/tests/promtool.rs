//! Prometheus' own tool on our blocks. Skipped where it is not installed: `cargo xtask tools` does.

use super::encodings::write_encodings;
use super::fixture::*;
use super::golden::dump;
use nilometer_chunk::Encoding;
use nilometer_env::{Fs, RealFs};
use nilometer_model::TimeRange;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

fn promtool() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tools = std::env::var_os("NILOMETER_TOOLS").map_or(root.join("target/tools"), PathBuf::from);
    let path = tools.join("bin/promtool");
    if !path.exists() {
        println!("skipped: {} is not there, `cargo xtask tools` installs it", path.display());
        return None;
    }
    Some(path)
}

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nilometer-block-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        // The tool wants a write-ahead log beside the blocks, if only an empty one.
        std::fs::create_dir_all(path.join("wal")).unwrap();
        Folder(path)
    }

    fn run(&self, tool: &Path, args: &[&str]) -> String {
        let out = Command::new(tool).args(args).current_dir(&self.0).output().unwrap();
        let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.success() && stderr.is_empty(), "{args:?}: {stdout}{stderr}");
        stdout.into_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[test]
fn prometheus_reads_our_blocks() {
    let Some(tool) = promtool() else { return };
    let folder = Folder::new("promtool");
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let data = some_data();
    let meta = write_segments(&fs, folder.0.to_str().unwrap(), meta(1), &data, 4096).unwrap();

    assert_eq!(folder.run(&tool, &["tsdb", "dump", "."]), dump(&expected(&data, &[], TimeRange::ALL)));
    let list = folder.run(&tool, &["tsdb", "list", "."]);
    let row: Vec<_> = list.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[..3], [&meta.ulid.to_string(), "0", "7200000"]);
    assert_eq!(row[4..7], ["18000", "600", "200"], "samples, chunks, series");
    let analysis = folder.run(&tool, &["tsdb", "analyze", ".", &meta.ulid.to_string()]);
    for line in ["Series: 200", "Label names: 4", "Postings (unique label pairs): 106"] {
        assert!(analysis.contains(line), "{line} is not in {analysis}");
    }
    let up = folder.run(&tool, &["tsdb", "dump", "--match", r#"{rare!="",job=~"a|b"}"#, "."]);
    let matchers = [
        nilometer_model::Matcher::new(nilometer_model::MatchKind::NotEqual, "rare", "").unwrap(),
        nilometer_model::Matcher::new(nilometer_model::MatchKind::Regex, "job", "a|b").unwrap(),
    ];
    assert_eq!(up, dump(&expected(&data, &matchers, TimeRange::ALL)));
}

#[test]
fn prometheus_accepts_histograms() {
    let Some(tool) = promtool() else { return };
    let folder = Folder::new("promtool-histograms");
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let encodings = [Encoding::Xor, Encoding::Histogram, Encoding::FloatHistogram];
    let meta = write_encodings(&fs, folder.0.to_str().unwrap(), &encodings);
    let list = folder.run(&tool, &["tsdb", "list", "."]);
    let row: Vec<_> = list.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[4..7], ["120", "3", "3"], "samples, chunks, series");
    let analysis = folder.run(&tool, &["tsdb", "analyze", ".", &meta.ulid.to_string()]);
    assert!(analysis.contains("Series: 3"), "{analysis}");
}
