//! `tools bucket rewrite`: blocks without some of their samples, or with other labels. The default is a dry run.

use super::screen::Unit;
use super::table::{Cell, Form, Table};
use super::{Bench, Listed, Scratch};
use crate::flags;
use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::{Args, ValueEnum};
use nilometer_block::Block;
use nilometer_bucket::ShipOptions;
use nilometer_compact::{Change, Changes, Deletion, Rewriting, plan_rewrite};
use nilometer_env::{File, Fs};
use nilometer_model::{BlockMeta, Error, MatchKind, Matcher, Relabel, TimeRange, Ulid};
use nilometer_promql::parse::parse_selector;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Args, Debug)]
pub(super) struct Flags {
    /// A block; may be repeated
    #[arg(long, value_name = "ULID", required = true)]
    id: Vec<Ulid>,
    /// Samples that are to go: YAML, a list of {matchers, intervals: [{mint, maxt}]} in milliseconds
    #[arg(long = "rewrite.to-delete-config", value_name = "YAML", conflicts_with = "delete_file")]
    delete: Option<String>,
    /// The same in a file
    #[arg(long = "rewrite.to-delete-config-file", value_name = "FILE")]
    delete_file: Option<PathBuf>,
    /// Rules by which series get other labels: YAML, a list of relabel rules
    #[arg(long = "rewrite.to-relabel-config", value_name = "YAML", conflicts_with = "relabel_file")]
    relabel: Option<String>,
    /// The same in a file
    #[arg(long = "rewrite.to-relabel-config-file", value_name = "FILE")]
    relabel_file: Option<PathBuf>,
    /// Do it; without this, what would change is printed
    #[arg(long)]
    no_dry_run: bool,
    /// Mark the old blocks for deletion when the new ones are there
    #[arg(long)]
    delete_blocks: bool,
    /// The blocks need no external labels: only Prometheus reads this bucket
    #[arg(long)]
    prom_blocks: bool,
    /// Write no change.log beside --tmp.dir's copy of the new block
    #[arg(long = "no-rewrite.add-change-log")]
    no_change_log: bool,
    /// Blocks are worked on in here
    #[arg(long = "tmp.dir", value_name = "DIR")]
    tmp_dir: Option<PathBuf>,
    /// SHA256: digests of files go into meta.json
    #[arg(long, value_enum, default_value_t = HashFunc::None, hide_default_value = true)]
    hash_func: HashFunc,
    #[arg(long, value_enum, default_value_t = Form::Table)]
    output: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum HashFunc {
    #[value(name = "")]
    None,
    #[value(name = "SHA256")]
    Sha256,
}

/// What is to be done, and as it goes into `meta.json`.
struct Request {
    changes: Changes,
    deletions: Value,
    relabels: Value,
}

pub(super) async fn run(bench: &Bench, flags: &Flags) -> Result<()> {
    let request = Arc::new(flags.request()?);
    let inventory = bench.look(None).await?;
    // A mistyped name is found before anything is changed.
    let listed = |id: &Ulid| match (inventory.blocks.get(id), inventory.broken.get(id)) {
        (Some(listed), _) => Ok(listed),
        (None, Some(e)) => Err(anyhow!("block {id} cannot be read: {e}")),
        (None, None) => Err(anyhow!("there is no block {id} in bucket {:?}", bench.bucket.name())),
    };
    let blocks: Vec<&Listed> = flags.id.iter().map(listed).collect::<Result<_>>()?;
    let log = if flags.no_dry_run && flags.delete_blocks { Some(bench.deletion_log()?) } else { None };
    let mut table = Table::new(&["BLOCK", "#DELETED-FROM", "#RELABELLED", "NEW", "WHAT"]);
    for listed in blocks {
        let id = listed.meta.ulid;
        let done = one(bench, flags, &request, listed).await.with_context(|| format!("block {id}"))?;
        let new = done.new.map_or(Cell::Nothing, |new| new.to_string().into());
        table.push(vec![
            id.to_string().into(),
            Cell::Count(done.deleted),
            Cell::Count(done.relabelled),
            new,
            done.what.into(),
        ]);
        if let (Some(log), true) = (&log, done.replaces) {
            let reason = match done.new {
                Some(new) => format!("block rewritten as {new}"),
                None => "block rewritten: nothing of it is left".to_owned(),
            };
            bench.mark_for_deletion(log, id, Some(&listed.meta), &reason).await?;
            bench.screen.say(&format!("{id} is marked for deletion"));
        }
    }
    super::print(&table.render(flags.output));
    if !flags.no_dry_run {
        bench.screen.say("nothing was changed: --no-dry-run does it");
    }
    Ok(())
}

struct Done {
    deleted: u64,
    relabelled: u64,
    new: Option<Ulid>,
    /// Whether the old block is no longer needed.
    replaces: bool,
    what: &'static str,
}

async fn one(bench: &Bench, flags: &Flags, request: &Arc<Request>, listed: &Listed) -> Result<Done> {
    let root = flags.tmp_dir.clone().unwrap_or_else(|| std::env::temp_dir().join("thanos-rewrite"));
    let scratch = Scratch::new(bench, &root)?;
    let (id, new) = (listed.meta.ulid, bench.new_ulid());
    let dir = scratch.path().join(id.to_string());
    bench.bucket.download_block(id, &listed.objects, &dir).await?;
    let block = Block::with_meta(bench.fs.clone(), dir, listed.meta.clone());
    let is_logged = flags.no_dry_run && !flags.no_change_log;
    let kept = root.join(new.to_string());
    let log = if is_logged { Some(ChangeFile::create(&bench.fs, &kept)?) } else { None };
    let job = Job {
        fs: bench.fs.clone(),
        block,
        made: scratch.path().join("made"),
        request: request.clone(),
        new: flags.no_dry_run.then_some(new),
        log,
    };
    job.fs.create_dir_all(&job.made)?;
    let made = job.made.join(new.to_string());
    let progress = bench.screen.begin("rewrite", listed.meta.stats.num_series, Unit::Series);
    progress.about(id.to_string());
    let worked = tokio::task::spawn_blocking(move || job.run(&|series| progress.set(series)));
    let (mut done, meta) = worked.await.context("rewriting")??;
    if let Some(meta) = meta {
        let hash_files = flags.hash_func == HashFunc::Sha256;
        let options = ShipOptions { hash_files, without_labels: flags.prom_blocks, ..ShipOptions::default() };
        bench.bucket.ship(&made, &meta, options).await?;
        done.new = Some(new);
    }
    if is_logged && done.replaces {
        bench.screen.say(&format!("what changed in {id} is in {}", kept.join(ChangeFile::NAME).display()));
    }
    Ok(done)
}

/// The part that blocks a thread.
struct Job {
    fs: Arc<dyn Fs>,
    block: Block,
    made: PathBuf,
    request: Arc<Request>,
    /// Of the new block; none in a dry run.
    new: Option<Ulid>,
    log: Option<ChangeFile>,
}

impl Job {
    fn run(mut self, progress: &dyn Fn(u64)) -> Result<(Done, Option<BlockMeta>)> {
        let (mut deleted, mut relabelled) = (0, 0);
        let (log, is_dry) = (&mut self.log, self.new.is_none());
        let planned: Rewriting<'_> = plan_rewrite(&self.block, &self.request.changes, &mut |change| {
            match change {
                Change::Deleted { .. } => deleted += 1,
                Change::Relabelled { .. } => relabelled += 1,
            }
            let line = line(change);
            match log {
                Some(log) => log.add(&line),
                None => {
                    if is_dry {
                        super::print(&line);
                    }
                    Ok(())
                }
            }
        })?;
        let mut done = Done { deleted, relabelled, new: None, replaces: false, what: "would be rewritten" };
        let Some(new) = self.new.filter(|_| planned.is_change) else {
            done.what = if planned.is_change { done.what } else { "nothing to change" };
            if let Some(log) = self.log {
                log.remove(&self.fs)?;
            }
            return Ok((done, None));
        };
        if let Some(log) = self.log {
            log.finish()?;
        }
        let meta = self.request.meta(self.block.meta(), new);
        let made = planned.write(&self.fs, &self.made, meta, &mut |at| {
            progress(at.series);
            Ok(())
        })?;
        done.replaces = true;
        done.what = if made.is_some() { "rewritten" } else { "nothing is left of it" };
        Ok((done, made))
    }
}

/// As in Thanos' change log.
fn line(change: Change<'_>) -> String {
    match change {
        Change::Deleted { labels, ranges } => {
            let mut line = format!("Deleted {labels} [");
            for (at, range) in ranges.iter().enumerate() {
                let gap = if at == 0 { "" } else { " " };
                let _ = write!(line, "{gap}{{{} {}}}", range.min_ms, range.max_ms);
            }
            line + "]\n"
        }
        Change::Relabelled { from, to } => format!("Relabelled {from} {to}\n"),
    }
}

/// `change.log`: on disk before the new block is in the bucket.
struct ChangeFile {
    dir: PathBuf,
    file: Arc<dyn File>,
    held: Vec<u8>,
}

impl ChangeFile {
    const NAME: &'static str = "change.log";
    const WRITE_BYTES: usize = 1 << 20;

    fn create(fs: &Arc<dyn Fs>, dir: &Path) -> Result<Self> {
        fs.create_dir_all(dir)?;
        Ok(ChangeFile { dir: dir.to_owned(), file: fs.create(&dir.join(Self::NAME))?, held: Vec::new() })
    }

    fn add(&mut self, line: &str) -> nilometer_model::Result<()> {
        self.held.extend_from_slice(line.as_bytes());
        if self.held.len() < Self::WRITE_BYTES {
            return Ok(());
        }
        let written = self.file.append(&self.held);
        self.held.clear();
        written.map_err(|e| Error::io(format_args!("writing {} in {}", Self::NAME, self.dir.display()), e))
    }

    fn finish(self) -> Result<()> {
        self.file.append(&self.held)?;
        Ok(self.file.sync()?)
    }

    fn remove(self, fs: &Arc<dyn Fs>) -> Result<()> {
        Ok(fs.remove_dir_all(&self.dir)?)
    }
}

/// One of a list, in Thanos' form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDeletion {
    matchers: String,
    #[serde(default)]
    intervals: Vec<RawInterval>,
    #[serde(default)]
    request_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInterval {
    mint: i64,
    maxt: i64,
}

impl Flags {
    fn request(&self) -> Result<Request> {
        let delete = text_of("rewrite.to-delete-config", self.delete.as_ref(), self.delete_file.as_ref())?;
        let relabel =
            text_of("rewrite.to-relabel-config", self.relabel.as_ref(), self.relabel_file.as_ref())?;
        let relabel: Relabel = match relabel {
            Some(yaml) => flags::yaml(&yaml).context("--rewrite.to-relabel-config")?,
            None => Relabel::default(),
        };
        let raw: Vec<RawDeletion> = match delete {
            Some(yaml) => flags::yaml(&yaml).context("--rewrite.to-delete-config")?,
            None => Vec::new(),
        };
        ensure!(
            !relabel.is_empty() || !raw.is_empty(),
            "say what to change: --rewrite.to-delete-config-file=FILE or --rewrite.to-relabel-config-file=FILE"
        );
        let (mut deletions, mut shown) = (Vec::new(), Vec::new());
        for raw in raw {
            let (deletion, json) = raw.read().context("--rewrite.to-delete-config")?;
            deletions.push(deletion);
            shown.push(json);
        }
        let relabels = serde_json::to_value(&relabel)?;
        Ok(Request {
            changes: Changes { relabel, deletions, drop_outside: false },
            deletions: shown.into(),
            relabels,
        })
    }
}

fn text_of(flag: &str, text: Option<&String>, file: Option<&PathBuf>) -> Result<Option<String>> {
    match (text, file) {
        (Some(text), _) => Ok(Some(text.clone())),
        (None, Some(path)) => {
            let shown = || format!("--{flag}-file={}", path.display());
            std::fs::read_to_string(path).with_context(shown).map(Some)
        }
        (None, None) => Ok(None),
    }
}

impl RawDeletion {
    fn read(&self) -> Result<(Deletion, Value)> {
        let matchers = parse_selector(&self.matchers)
            .map_err(|e| anyhow!("matchers {}: {}", self.matchers, e.message))?;
        if let Some(wrong) = self.intervals.iter().find(|i| i.mint > i.maxt) {
            bail!("the interval from {} ends before, at {}", wrong.mint, wrong.maxt);
        }
        let intervals = self.intervals.iter().map(|i| TimeRange::new(i.mint, i.maxt)).collect();
        // As Go writes the structs of Prometheus, which have no names of their own for JSON.
        let kind = |m: &Matcher| match m.kind {
            MatchKind::Equal => 0,
            MatchKind::NotEqual => 1,
            MatchKind::Regex => 2,
            MatchKind::NotRegex => 3,
        };
        let matcher = |m: &Matcher| json!({"Type": kind(m), "Name": &*m.name, "Value": &*m.value});
        let mut shown = json!({"matchers": matchers.iter().map(matcher).collect::<Vec<_>>()});
        if !self.intervals.is_empty() {
            let interval = |i: &RawInterval| json!({"Mint": i.mint, "Maxt": i.maxt});
            shown["intervals"] = self.intervals.iter().map(interval).collect();
        }
        if !self.request_id.is_empty() {
            shown["request_id"] = self.request_id.clone().into();
        }
        Ok((Deletion { matchers, intervals }, shown))
    }
}

impl Request {
    /// The new block is its own source, so that nobody takes it for a copy of the old one.
    fn meta(&self, old: &BlockMeta, new: Ulid) -> BlockMeta {
        let mut meta = BlockMeta { ulid: new, ..old.clone() };
        let thanos = meta.thanos.get_or_insert_default();
        thanos.source = "bucket.rewrite".to_owned();
        let mut rewrite = json!({"sources": meta.compaction.sources});
        for (name, applied) in [("deletions_applied", &self.deletions), ("relabels_applied", &self.relabels)]
        {
            if applied.as_array().is_some_and(|all| !all.is_empty()) {
                rewrite[name] = applied.clone();
            }
        }
        match &mut thanos.rewrites {
            Some(Value::Array(all)) => all.push(rewrite),
            other => *other = Some(json!([rewrite])),
        }
        meta.compaction.sources = vec![new];
        meta
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deletions(yaml: &str) -> Result<Vec<(Deletion, Value)>> {
        flags::yaml::<Vec<RawDeletion>>(yaml)?.iter().map(RawDeletion::read).collect()
    }

    #[test]
    fn deletions_as_thanos_writes_them() {
        let yaml = "- matchers: '{__name__=\"up\", job!~\"a|b\"}'\n  intervals:\n  - mint: 0\n    maxt: 5\n  request_id: r1\n- matchers: up\n";
        let read = deletions(yaml).unwrap();
        assert_eq!(
            read[0].1,
            json!({
                "matchers": [
                    {"Type": 0, "Name": "__name__", "Value": "up"},
                    {"Type": 3, "Name": "job", "Value": "a|b"},
                ],
                "intervals": [{"Mint": 0, "Maxt": 5}],
                "request_id": "r1",
            })
        );
        assert!(read[1].0.intervals.is_empty() && read[1].0.matchers.len() == 1);
        for (bad, says) in [
            ("- matchers: '{'", "matchers {"),
            ("- matchers: up\n  intervals: [{mint: 5, maxt: 4}]", "ends before"),
            ("- matcher: up", "matcher"),
        ] {
            let refusal = format!("{:#}", deletions(bad).unwrap_err());
            assert!(refusal.contains(says), "{bad}: {refusal}");
        }
    }

    #[test]
    fn a_rewrite_is_told_behind_those_before() {
        let mut old = BlockMeta { ulid: Ulid::new(1, [0; 10]), ..BlockMeta::default() };
        old.compaction.sources = vec![old.ulid];
        let request = Request {
            changes: Changes::default(),
            deletions: json!([{"matchers": []}]),
            relabels: json!([]),
        };
        let once = request.meta(&old, Ulid::new(2, [0; 10]));
        let twice = request.meta(&once, Ulid::new(3, [0; 10]));
        let rewrites = twice.thanos.unwrap().rewrites.unwrap();
        let source = |n| Ulid::new(n, [0; 10]).to_string();
        assert_eq!(
            rewrites,
            json!([
                {"sources": [source(1)], "deletions_applied": [{"matchers": []}]},
                {"sources": [source(2)], "deletions_applied": [{"matchers": []}]},
            ])
        );
        assert_eq!(twice.compaction.sources, [Ulid::new(3, [0; 10])]);
    }
}
