//! `tools bucket` over a bucket in a folder.

use crate::common::{Dir, now_ms};
use nilometer_block::{BlockWriter, ChunkRef};
use nilometer_chunk::{Encoding, encode_floats};
use nilometer_env::{Fs, RealFs};
use nilometer_model::{BlockMeta, Labels, TimeRange, Ulid};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

const HOUR_MS: i64 = 3_600_000;
const STEP_MS: i64 = 60_000;

/// A bucket, and a folder of blocks beside it.
struct Place {
    dir: Dir,
}

impl Place {
    fn new() -> Place {
        let dir = Dir::new();
        std::fs::create_dir_all(dir.path().join("bucket")).unwrap();
        std::fs::create_dir_all(dir.path().join("blocks")).unwrap();
        Place { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn config(&self, bucket: &str) -> String {
        format!("{{type: FILESYSTEM, config: {{directory: {}}}}}", self.path(bucket).display())
    }

    /// What came of a command; the bucket is given behind it.
    fn tool(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
        command.args(["tools", "bucket"]).args(args);
        command.arg(format!("--objstore.config={}", self.config("bucket")));
        command.arg(format!("--data-dir={}", self.path("data").display()));
        command.output().unwrap()
    }

    /// Its stdout; it has to succeed.
    fn ok(&self, args: &[&str]) -> String {
        let done = self.tool(args);
        let said = text(&done.stderr);
        assert!(done.status.success(), "{args:?}: {said}");
        text(&done.stdout)
    }

    /// Its stdout and stderr; it has to fail.
    fn fails(&self, args: &[&str]) -> (String, String) {
        let done = self.tool(args);
        assert_eq!(done.status.code(), Some(1), "{args:?}: {}", text(&done.stderr));
        (text(&done.stdout), text(&done.stderr))
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args)).unwrap()
    }

    /// A block of three pods in the folder, to be uploaded.
    fn write(&self, number: u64, (from, until): (i64, i64)) -> Ulid {
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        let ulid = Ulid::new(now_ms() as u64 - 1000 + number, [number as u8; 10]);
        let meta = BlockMeta { ulid, min_time_ms: from, max_time_ms: until, ..BlockMeta::default() };
        let mut writer = BlockWriter::create(&fs, &self.path("blocks"), meta).unwrap();
        writer.symbols(["__name__", "m", "p0", "p1", "p2", "pod"]).unwrap();
        for pod in ["p0", "p1", "p2"] {
            let times: Vec<i64> = (from..until).step_by(STEP_MS as usize).collect();
            let chunk = |times: &[i64]| {
                let data = encode_floats(times.iter().map(|t| (*t, *t as f64)));
                (TimeRange::new(times[0], *times.last().unwrap()), data)
            };
            let chunks: Vec<_> = times.chunks(120).map(chunk).collect();
            let chunk =
                |(range, data): &'_ (TimeRange, Vec<u8>)| -> (TimeRange, usize) { (*range, data.len()) };
            assert!(chunks.iter().map(chunk).all(|(_, len)| len > 0));
            let refs: Vec<_> = chunks
                .iter()
                .map(|(range, data)| ChunkRef { range: *range, encoding: Encoding::Xor, data })
                .collect();
            writer.series(&Labels::from_pairs([("__name__", "m"), ("pod", pod)]), &refs).unwrap();
        }
        writer.finish().unwrap();
        ulid
    }

    fn upload(&self) -> String {
        let path = format!("--path={}", self.path("blocks").display());
        let report = self.ok(&["upload-blocks", &path, "--label=cluster=\"a\"", "--output=json"]);
        // What happens to the bucket's files does not happen to these, and the other way round.
        std::fs::remove_dir_all(self.path("blocks")).unwrap();
        std::fs::create_dir_all(self.path("blocks")).unwrap();
        report
    }

    /// Blocks of two hours, one behind the other, in the bucket.
    fn filled(&self, blocks: u64) -> Vec<Ulid> {
        let start = now_ms() / (2 * HOUR_MS) * 2 * HOUR_MS - 100 * HOUR_MS;
        let at = |n: u64| start + 2 * HOUR_MS * n as i64;
        let ulids = (0..blocks).map(|n| self.write(n, (at(n), at(n + 1)))).collect();
        self.upload();
        ulids
    }

    fn meta(&self, bucket: &str, block: Ulid) -> BlockMeta {
        BlockMeta::from_json(&std::fs::read(self.path(bucket).join(format!("{block}/meta.json"))).unwrap())
            .unwrap()
    }

    fn change(&self, object: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.path("bucket").join(object);
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }

    fn deletions(&self) -> Vec<Value> {
        let log = std::fs::read_to_string(self.path("data/tools/deletions.jsonl")).unwrap_or_default();
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.parse::<Ulid>().is_ok())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_there_is_shown_and_marked() {
    let place = Place::new();
    assert_eq!(place.ok(&["ls"]), "", "an empty bucket is no mistake");
    let blocks = place.filled(3);
    let shown: Vec<_> = blocks.iter().map(ToString::to_string).collect();
    assert_eq!(place.ok(&["ls"]).lines().collect::<Vec<_>>(), shown);
    assert!(
        place
            .ok(&["ls", "-o", "wide"])
            .contains("Diff: 2h0m0s, Compaction: 1, Downsample: 0, Source: bucket.upload")
    );
    let second = place.meta("bucket", blocks[1]);
    let within = format!("--min-time=-{}s", (now_ms() - second.min_time_ms) / 1000 - 3600);
    assert_eq!(
        place
            .ok(&[
                "ls",
                &within,
                "--selector.relabel-config",
                "[{action: keep, source_labels: [cluster], regex: a}]"
            ])
            .lines()
            .count(),
        2
    );
    assert_eq!(
        place.ok(&[
            "ls",
            "--selector.relabel-config",
            "[{action: drop, source_labels: [cluster], regex: a}]"
        ]),
        ""
    );
    let (_, said) = place.fails(&["ls", "--output={{.ULID}}"]);
    assert!(said.contains("take json"), "{said}");

    let id = format!("--id={}", blocks[1]);
    let (_, said) = place.fails(&["mark", &id, "--marker=deletion-mark.json"]);
    assert!(said.contains("--details"), "{said}");
    let wrong =
        ["mark", &id, "--id=01ARZ3NDEKTSV4RRFFQ69G5FAV", "--marker=no-compact-mark.json", "--details=x"];
    let (_, said) = place.fails(&wrong);
    assert!(said.contains("01ARZ3NDEKTSV4RRFFQ69G5FAV") && said.contains("nothing was changed"), "{said}");
    place.ok(&["mark", &id, "--marker=no-compact-mark.json", "--details=looked at"]);
    place.ok(&["mark", &id, "--marker=deletion-mark.json", "--details=not needed"]);
    assert_eq!(place.deletions().len(), 1);
    assert_eq!(place.deletions()[0]["reason"], "not needed");
    assert_eq!(place.deletions()[0]["samples"], 360);

    let inspected = place.json(&["inspect", "--output=json", "--selector=cluster=\"a\""]);
    assert_eq!(inspected.as_array().unwrap().len(), 3);
    assert_eq!(inspected[1]["ulid"], shown[1].as_str());
    assert_eq!(inspected[1]["marks"], "deletion,no-compact");
    assert_eq!((&inspected[0]["series"], &inspected[0]["until_down"]), (&3.into(), &"38h0m0s".into()));
    assert_eq!(place.json(&["inspect", "--output=json", "-l", "cluster=\"b\""]).as_array().unwrap().len(), 0);
    let csv = place.ok(&["inspect", "--output=csv", "--sort-by=ULID"]);
    assert!(csv.starts_with("ULID,FROM,UNTIL,RANGE,UNTIL-DOWN,#SERIES,#SAMPLES,#CHUNKS,COMP-LEVEL,COMP-FAILED,LABELS,RESOLUTION,SOURCE,"));
    assert!(
        csv.lines().nth(1).unwrap().contains(",2h0m0s,38h0m0s,3,360,3,1,false,cluster=a,0s,bucket.upload,"),
        "{csv}"
    );

    assert_eq!(place.ok(&["ls", "--exclude-delete"]).lines().count(), 2);
    place.ok(&["mark", &id, "--marker=deletion-mark.json", "--remove"]);
    assert_eq!(place.ok(&["ls", "--exclude-delete"]).lines().count(), 3);
}

#[test]
fn damage_is_named() {
    let place = Place::new();
    assert_eq!(place.ok(&["verify", "--output=csv"]), "BLOCK,ISSUE,PROBLEM\n");
    let blocks = place.filled(5);
    assert_eq!(place.ok(&["verify", "--output=csv"]), "BLOCK,ISSUE,PROBLEM\n");
    let of = |n: usize, name: &str| format!("{}/{name}", blocks[n]);
    place.change(&of(0, "chunks/000001"), |bytes| bytes[40] ^= 1);
    place.change(&of(1, "index"), |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    place.change(&of(2, "meta.json"), |bytes| bytes.truncate(20));
    place.change(&of(3, "chunks/000001"), |bytes| bytes.truncate(bytes.len() - 7));
    let (found, said) = place.fails(&["verify", "--output=json"]);
    let found: Value = serde_json::from_str(&found).unwrap();
    let problems = |n: usize| -> Vec<String> {
        let of = |row: &&Value| row["block"] == blocks[n].to_string().as_str();
        let rows = found.as_array().unwrap().iter().filter(of);
        rows.map(|row| format!("{}: {}", row["issue"].as_str().unwrap(), row["problem"].as_str().unwrap()))
            .collect()
    };
    assert!(
        problems(0).iter().any(|p| p.starts_with("chunks: ") && p.contains("chunks/000001")),
        "{found:#}"
    );
    assert!(problems(1).iter().any(|p| p.contains("index at byte")), "{found:#}");
    assert!(problems(2)[0].starts_with("meta.json: "), "{found:#}");
    assert!(problems(3)[0].contains("meta.json says"), "{found:#}");
    assert_eq!(problems(4), Vec::<String>::new());
    assert!(said.contains("something is wrong with 4 blocks"), "{said}");

    // The index alone is fine where only chunks are damaged.
    let id = format!("--id={}", blocks[0]);
    place.ok(&["verify", "-i", "index_known_issues", &id]);
    place.fails(&["verify", "-i", "index_known_issues", &format!("--id={}", blocks[1])]);
    let (_, said) = place.fails(&["verify", "--id=01ARZ3NDEKTSV4RRFFQ69G5FAV"]);
    assert!(said.contains("there is no block 01ARZ3NDEKTSV4RRFFQ69G5FAV"), "{said}");
}

#[test]
fn a_bucket_that_cannot_be_reached() {
    let place = Place::new();
    let yaml = "{type: S3, config: {bucket: b, endpoint: '127.0.0.1:1', insecure: true, access_key: a, secret_key: s, max_retries: 1}}";
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nilometer"));
        let done = command.args(["tools", "bucket"]).args(args).output().unwrap();
        assert!(!done.status.success());
        text(&done.stderr)
    };
    // The flag stands before the command, as kingpin allows too.
    let said = run(&[&format!("--objstore.config={yaml}"), "ls"]);
    assert!(said.contains("127.0.0.1:1"), "{said}");
    let said = run(&["ls"]);
    assert!(said.contains("--objstore.config-file"), "{said}");
    let missing = place.path("none.yaml");
    let said = run(&["inspect", &format!("--objstore.config-file={}", missing.display())]);
    assert!(said.contains("none.yaml"), "{said}");
}

#[test]
fn samples_are_taken_out() {
    let place = Place::new();
    let blocks = place.filled(2);
    let id = format!("--id={}", blocks[0]);
    let from = place.meta("bucket", blocks[0]).min_time_ms;
    let delete = format!(
        "--rewrite.to-delete-config=[{{matchers: '{{pod=\"p1\"}}'}}, {{matchers: 'm{{pod=~\"p[02]\"}}', intervals: [{{mint: {from}, maxt: {}}}]}}]",
        from + 9 * STEP_MS
    );
    let tmp = format!("--tmp.dir={}", place.path("tmp").display());
    let (_, said) = place.fails(&["rewrite", &id, &tmp]);
    assert!(said.contains("say what to change"), "{said}");
    let dry = place.ok(&["rewrite", &id, &delete, &tmp, "--delete-blocks"]);
    assert!(dry.contains("Deleted {__name__=\"m\", pod=\"p1\"} [{"), "{dry}");
    assert!(dry.contains("would be rewritten"), "{dry}");
    assert_eq!(names(&place.path("bucket")).len(), 2, "nothing was changed");
    assert!(place.deletions().is_empty());

    let relabel = "--rewrite.to-relabel-config=[{target_label: team, replacement: x}]";
    let done = place.ok(&[
        "rewrite",
        &id,
        &delete,
        relabel,
        &tmp,
        "--no-dry-run",
        "--delete-blocks",
        "--output=json",
    ]);
    let done: Value = serde_json::from_str(&done).unwrap();
    assert_eq!((&done[0]["deleted_from"], &done[0]["relabelled"]), (&3.into(), &2.into()), "{done}");
    let new: Ulid = done[0]["new"].as_str().unwrap().parse().unwrap();
    let meta = place.meta("bucket", new);
    assert_eq!((meta.stats.num_series, meta.stats.num_samples), (2, 220));
    assert_eq!(meta.compaction.sources, [new]);
    let thanos = meta.thanos.unwrap();
    assert_eq!(thanos.source, "bucket.rewrite");
    let rewrites = thanos.rewrites.unwrap();
    assert_eq!(rewrites[0]["sources"][0], blocks[0].to_string().as_str());
    assert_eq!(rewrites[0]["deletions_applied"][0]["matchers"][0]["Name"], "pod");
    assert_eq!(rewrites[0]["relabels_applied"][0]["target_label"], "team");
    let log = std::fs::read_to_string(place.path("tmp").join(format!("{new}/change.log"))).unwrap();
    assert!(
        log.contains("Relabelled {__name__=\"m\", pod=\"p0\"} {__name__=\"m\", pod=\"p0\", team=\"x\"}"),
        "{log}"
    );
    assert_eq!(place.deletions().len(), 1);
    assert!(place.path("bucket").join(format!("{}/deletion-mark.json", blocks[0])).exists());
    assert_eq!(place.ok(&["verify", "--output=csv"]), "BLOCK,ISSUE,PROBLEM\n");
    assert_eq!(names(&place.path("tmp")), [new.to_string()], "only the log is left there");
}

#[test]
fn blocks_are_copied_as_they_are() {
    let place = Place::new();
    let blocks = place.filled(3);
    std::fs::create_dir_all(place.path("other")).unwrap();
    let to = format!("--objstore-to.config={}", place.config("other"));
    let (_, said) = place.fails(&["replicate", "--single-run"]);
    assert!(said.contains("--objstore-to.config-file"), "{said}");
    place.ok(&["replicate", "--single-run", &to, "--matcher=cluster!=\"a\""]);
    assert!(names(&place.path("other")).is_empty());
    place.ok(&["replicate", &to, &format!("--id={}", blocks[2])]);
    assert_eq!(names(&place.path("other")), [blocks[2].to_string()]);
    let report = place.json(&["replicate", "--single-run", &to, "--output=json"]);
    let what: Vec<_> = report.as_array().unwrap().iter().map(|row| row["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["copied", "copied", "was there"]);
    for block in &blocks {
        for object in ["meta.json", "index", "chunks/000001"] {
            let read =
                |bucket: &str| std::fs::read(place.path(bucket).join(format!("{block}/{object}"))).unwrap();
            assert_eq!(read("bucket"), read("other"), "{block}/{object}");
        }
    }
    // One that is there under this name with another meta.json is told, and not touched.
    place.change(&format!("{}/meta.json", blocks[0]), |bytes| {
        let text = text(bytes).replace("bucket.upload", "somebody else");
        *bytes = text.into_bytes();
    });
    let (report, _) = place.fails(&["replicate", "--single-run", &to]);
    assert!(report.contains("with another meta.json"), "{report}");
}

#[test]
fn blocks_thin_out_and_go() {
    let place = Place::new();
    let start = (now_ms() / (48 * HOUR_MS) - 3) * 48 * HOUR_MS;
    let old = place.write(1, (start, start + 48 * HOUR_MS));
    let young = place.write(2, (now_ms() / HOUR_MS * HOUR_MS - 4 * HOUR_MS, now_ms() / HOUR_MS * HOUR_MS));
    place.upload();
    let retention = ["retention", "--retention.resolution-raw=2d", "--consistency-delay=0s"];
    place.ok(&retention);
    assert!(place.deletions().is_empty(), "raw samples wait for what is made of them");
    place.ok(&["downsample", "--single-run"]);
    let blocks = names(&place.path("bucket"));
    let thin: Vec<Ulid> =
        blocks.iter().map(|b| b.parse().unwrap()).filter(|b| *b != old && *b != young).collect();
    let mut resolutions: Vec<i64> = thin.iter().map(|b| place.meta("bucket", *b).resolution_ms()).collect();
    resolutions.sort();
    assert_eq!(resolutions, [300_000, 3_600_000], "{blocks:?}");
    assert_eq!(place.ok(&["verify", "--output=csv"]), "BLOCK,ISSUE,PROBLEM\n");
    place.ok(&retention);
    assert_eq!(place.deletions().len(), 1);
    assert_eq!(place.deletions()[0]["block"], old.to_string().as_str());
    place.ok(&["cleanup"]);
    assert_eq!(names(&place.path("bucket")).len(), 4, "a mark stands for two days");
    // A mark of this second is not older than nothing.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    place.ok(&["cleanup", "--delete-delay=0s"]);
    let mut left: Vec<String> = thin.iter().chain([&young]).map(Ulid::to_string).collect();
    left.sort();
    assert_eq!(names(&place.path("bucket")), left);
    assert_eq!(place.deletions()[1]["action"], "delete");
}

#[test]
fn what_is_twice_there_or_out_of_place_is_mended() {
    let place = Place::new();
    let blocks = place.filled(2);
    std::fs::create_dir_all(place.path("backup")).unwrap();
    // A second compactor made the first block again.
    let twin = Ulid::new(now_ms() as u64, [9; 10]);
    let (from, to) =
        (place.path("bucket").join(blocks[0].to_string()), place.path("bucket").join(twin.to_string()));
    std::fs::create_dir_all(to.join("chunks")).unwrap();
    for name in ["index", "chunks/000001", "meta.json"] {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
    place.change(&format!("{twin}/meta.json"), |bytes| {
        let mut meta = BlockMeta::from_json(bytes).unwrap();
        meta.ulid = twin;
        *bytes = meta.to_json();
    });
    // The last chunk of each series lies outside of the second one.
    place.change(&format!("{}/meta.json", blocks[1]), |bytes| {
        let mut meta = BlockMeta::from_json(bytes).unwrap();
        (meta.min_time_ms, meta.max_time_ms) = (meta.min_time_ms - 4 * HOUR_MS, meta.min_time_ms);
        *bytes = meta.to_json();
    });
    let issues = ["verify", "-i", "duplicated_compaction", "-i", "index_known_issues"];
    let (found, _) = place.fails(&[&issues[..], &["--output=csv"]].concat());
    assert!(
        found.contains(&format!(
            "{twin},duplicated_compaction,has the sources, times and counts of {}",
            blocks[0]
        )) || found.contains(&format!("{twin},duplicated_compaction,\"has the sources")),
        "{found}"
    );
    let (_, said) = place.fails(&[&issues[..], &["--repair"]].concat());
    assert!(said.contains("--objstore-backup.config-file"), "{said}");
    let backup = format!("--objstore-backup.config={}", place.config("backup"));
    let (_, said) = place.fails(&[&issues[..], &["--repair", &backup]].concat());
    assert!(said.contains(&format!("{twin}: gone")), "{said}");
    assert!(said.contains("nothing of it would be left"), "a block with all of its chunks outside: {said}");
    assert_eq!(names(&place.path("backup")), [twin.to_string()]);
    assert_eq!(names(&place.path("bucket")).len(), 2);
    assert_eq!(place.deletions().len(), 1);
    assert_eq!(place.deletions()[0]["block"], twin.to_string().as_str());
}
