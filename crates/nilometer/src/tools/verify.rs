//! `tools bucket verify`: what is wrong with the blocks of a bucket, by name; with `--repair` some of it is mended.

use super::flags::bucket_at;
use super::repair::Repair;
use super::screen::Unit;
use super::table::{Cell, Form, Table};
use super::{Bench, Listed, Scratch};
use crate::flags::Millis;
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use nilometer_block::{Block, verify, verify_index};
use nilometer_bucket::{Inventory, Objects};
use nilometer_compact::groups;
use nilometer_model::{BlockMeta, Ulid};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Of one block so many problems are shown.
const MAX_SHOWN: usize = 10;

#[derive(Args, Debug)]
pub(super) struct Flags {
    /// Mend what can be mended without losing a sample; needs a backup bucket (see below)
    #[arg(short, long)]
    repair: bool,
    /// What to look for; may be repeated
    #[arg(short, long, value_enum, value_name = "ISSUE",
          default_values_t = [Issue::IndexKnownIssues, Issue::OverlappedBlocks, Issue::Chunks])]
    issues: Vec<Issue>,
    /// Only this block; may be repeated
    #[arg(long, value_name = "ULID")]
    id: Vec<Ulid>,
    /// Object storage that blocks are copied to before a repair takes them away
    #[arg(long = "objstore-backup.config", value_name = "YAML", conflicts_with = "backup_file")]
    backup: Option<String>,
    /// The same in a file
    #[arg(long = "objstore-backup.config-file", value_name = "FILE")]
    backup_file: Option<PathBuf>,
    /// 0s: a block that was replaced is deleted at once; else it is only marked, and a compactor deletes it
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    delete_delay: Millis,
    #[arg(long, value_enum, default_value_t = Form::Table)]
    output: Form,
}

pub(super) const REPAIRS: &str = "What --repair does: of blocks that a compaction made twice \
    (-i duplicated_compaction) one stays, which is verified first. A raw block whose index has chunks that overlap or \
    are twice there, or that lie outside of the block's time, is written anew with all of its other samples, verified \
    and uploaded. Either way the block that goes is first copied to the backup bucket, the copy is read back, and the \
    deletion is written to deletions.jsonl in --data-dir. Damaged bytes are not mended: they are named, and the block \
    stays as it is.";

/// Thanos' names, and one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Issue {
    /// The index: its order, its postings, and where chunks lie in time; it is downloaded
    IndexKnownIssues,
    /// Blocks of one origin whose times overlap
    OverlappedBlocks,
    /// Blocks that a compaction made twice
    DuplicatedCompaction,
    /// Every byte: checksums, samples, and sizes as in meta.json; the whole block is downloaded
    Chunks,
}

impl Issue {
    fn name(self) -> &'static str {
        match self {
            Issue::IndexKnownIssues => "index_known_issues",
            Issue::OverlappedBlocks => "overlapped_blocks",
            Issue::DuplicatedCompaction => "duplicated_compaction",
            Issue::Chunks => "chunks",
        }
    }
}

pub(super) async fn run(bench: &Bench, flags: &Flags) -> Result<()> {
    let backup = bucket_at(flags.backup.as_ref(), flags.backup_file.as_ref());
    ensure!(!flags.repair || backup.is_some(), "--repair needs --objstore-backup.config-file or its sibling");
    let inventory = bench.look(None).await?;
    let wanted: BTreeSet<Ulid> = flags.id.iter().copied().collect();
    for id in &wanted {
        let is_there = inventory.blocks.contains_key(id) || inventory.broken.contains_key(id);
        ensure!(is_there, "there is no block {id} in bucket {:?}", bench.bucket.name());
    }
    let mut found = Found::new();
    for (block, e) in inventory.broken.iter().filter(|(block, _)| wanted.is_empty() || wanted.contains(block))
    {
        found.add(*block, "meta.json", e.to_string());
    }
    // What is on its way out need not be in order.
    let live: Vec<&Listed> = inventory.blocks.values().filter(|listed| listed.marked_ms.is_none()).collect();
    let metas = || live.iter().map(|listed| &*listed.meta);
    if flags.issues.contains(&Issue::OverlappedBlocks) {
        found.overlaps(metas());
    }
    let twins = if flags.issues.contains(&Issue::DuplicatedCompaction) { twins(metas()) } else { Vec::new() };
    for (kept, twin) in &twins {
        let what = format!("has the sources, times and counts of {kept}: one of the two is enough");
        found.add(*twin, Issue::DuplicatedCompaction.name(), what);
    }
    found.keep(&wanted);
    let checked: Vec<&Listed> =
        live.iter().copied().filter(|l| wanted.is_empty() || wanted.contains(&l.meta.ulid)).collect();
    let suspects = found.read_all(bench, &checked, &flags.issues).await?;
    super::print(&found.table.render(flags.output));
    say_rest(bench, &inventory);
    if let (true, Some(at)) = (flags.repair, backup) {
        let repair = Repair::open(bench, &at, flags.delete_delay.0)?;
        let twins = twins.iter().filter(|(_, twin)| wanted.is_empty() || wanted.contains(twin));
        return repair.run(&inventory, &suspects, &twins.copied().collect::<Vec<_>>()).await;
    }
    let blocks = found.blocks.len();
    bench.screen.say(&format!("{} blocks verified", checked.len()));
    match blocks {
        0 => Ok(()),
        1 => bail!("something is wrong with a block, see above"),
        _ => bail!("something is wrong with {blocks} blocks, see above"),
    }
}

fn say_rest(bench: &Bench, inventory: &Inventory) {
    // Those that cannot be read are among the problems already.
    bench.say_rest(&Inventory { partial: inventory.partial.clone(), ..Inventory::default() });
}

/// What was found, a row for each problem.
struct Found {
    table: Table,
    blocks: BTreeSet<Ulid>,
    rows: Vec<(Ulid, &'static str, String)>,
}

impl Found {
    fn new() -> Self {
        Found { table: Table::new(&["BLOCK", "ISSUE", "PROBLEM"]), blocks: BTreeSet::new(), rows: Vec::new() }
    }

    fn add(&mut self, block: Ulid, issue: &'static str, problem: String) {
        self.rows.push((block, issue, problem));
    }

    /// Only rows of these blocks from here on, if there are any.
    fn keep(&mut self, wanted: &BTreeSet<Ulid>) {
        self.rows.retain(|(block, ..)| wanted.is_empty() || wanted.contains(block));
    }

    fn overlaps<'a>(&mut self, metas: impl Iterator<Item = &'a BlockMeta>) {
        for group in groups(metas, &[]) {
            let blocks = &group.blocks;
            for (at, block) in blocks.iter().enumerate() {
                let others = blocks.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, b)| b);
                let overlaps =
                    |b: &&&BlockMeta| b.min_time_ms < block.max_time_ms && block.min_time_ms < b.max_time_ms;
                let names: Vec<_> = others.filter(overlaps).map(|b| b.ulid.to_string()).collect();
                if !names.is_empty() {
                    self.add(
                        block.ulid,
                        Issue::OverlappedBlocks.name(),
                        format!("overlaps {}", names.join(", ")),
                    );
                }
            }
        }
    }

    /// Reads what is to be read of each block. Gives those in whose index something is wrong.
    async fn read_all(&mut self, bench: &Bench, blocks: &[&Listed], issues: &[Issue]) -> Result<Vec<Ulid>> {
        let chunks = issues.contains(&Issue::Chunks);
        if !chunks && !issues.contains(&Issue::IndexKnownIssues) {
            self.finish();
            return Ok(Vec::new());
        }
        let objects = |listed: &Listed| -> Objects {
            let wanted = |name: &str| chunks || !name.starts_with("chunks/");
            listed.objects.iter().filter(|(n, _)| wanted(n)).map(|(n, len)| (n.clone(), *len)).collect()
        };
        let total = blocks.iter().flat_map(|l| objects(l).into_values()).sum();
        let progress = bench.screen.begin("verify", total, Unit::Bytes);
        let mut suspects = Vec::new();
        for listed in blocks {
            let (block, objects) = (listed.meta.ulid, objects(listed));
            progress.about(block.to_string());
            let issue = if chunks { Issue::Chunks } else { Issue::IndexKnownIssues };
            if chunks {
                for problem in sizes(listed) {
                    self.add(block, issue.name(), problem);
                }
            }
            let problems = check(bench, listed, &objects, chunks).await;
            match problems {
                Ok(problems) if problems.is_empty() => {}
                Ok(problems) => {
                    suspects.push(block);
                    for problem in problems {
                        self.add(block, issue.name(), problem);
                    }
                }
                Err(e) => self.add(block, issue.name(), format!("{e:#}")),
            }
            progress.add(objects.values().sum());
        }
        self.finish();
        Ok(suspects)
    }

    fn finish(&mut self) {
        self.rows.sort_by_key(|(block, ..)| *block);
        for (block, issue, problem) in self.rows.drain(..) {
            self.blocks.insert(block);
            self.table.push(vec![Cell::Text(block.to_string()), issue.into(), problem.into()]);
        }
    }
}

/// Whether the objects are those of which `meta.json` tells.
fn sizes(listed: &Listed) -> Vec<String> {
    let files = listed.meta.thanos.iter().flat_map(|t| &t.files);
    let told = files.filter(|f| f.rel_path != BlockMeta::FILE && f.size_bytes > 0);
    told.filter_map(|file| match listed.objects.get(&file.rel_path) {
        None => Some(format!("{} is missing", file.rel_path)),
        Some(len) if *len != file.size_bytes => {
            Some(format!("{} has {len} bytes, meta.json says {}", file.rel_path, file.size_bytes))
        }
        Some(_) => None,
    })
    .collect()
}

/// What is wrong with a block, read from the bucket.
async fn check(bench: &Bench, listed: &Listed, objects: &Objects, chunks: bool) -> Result<Vec<String>> {
    let scratch = Scratch::new(bench, &std::env::temp_dir())?;
    let dir = scratch.path().join(listed.meta.ulid.to_string());
    bench.bucket.download_block(listed.meta.ulid, objects, &dir).await.context("it could not be fetched")?;
    let block = Block::with_meta(bench.fs.clone(), dir.clone(), listed.meta.clone());
    problems(block, chunks, &dir).await
}

/// The problems of a block in a folder, without the folder's name.
pub(super) async fn problems(block: Block, chunks: bool, dir: &std::path::Path) -> Result<Vec<String>> {
    let report =
        tokio::task::spawn_blocking(move || if chunks { verify(&block) } else { verify_index(&block) });
    let report = report.await.context("verifying")?;
    let folder = format!("{}/", dir.display());
    let mut problems: Vec<_> =
        report.problems.iter().take(MAX_SHOWN).map(|p| p.replace(&folder, "")).collect();
    if report.problem_count > problems.len() as u64 {
        problems.push(format!("and {} more", report.problem_count - problems.len() as u64));
    }
    Ok(problems)
}

/// Blocks of which each has a twin that came first.
fn twins<'a>(metas: impl Iterator<Item = &'a BlockMeta>) -> Vec<(Ulid, Ulid)> {
    let mut twins = Vec::new();
    for mut group in groups(metas, &[]) {
        group.blocks.sort_by_key(|meta| meta.ulid);
        let mut kept: Vec<&BlockMeta> = Vec::new();
        for block in group.blocks {
            let same = |other: &&&BlockMeta| {
                let key = |m: &BlockMeta| (m.min_time_ms, m.max_time_ms, m.compaction.level, m.stats);
                key(other) == key(block) && other.compaction.sources == block.compaction.sources
            };
            match kept.iter().find(same) {
                Some(other) => twins.push((other.ulid, block.ulid)),
                None => kept.push(block),
            }
        }
    }
    twins
}

#[cfg(test)]
mod tests {
    use super::*;
    use nilometer_model::{BlockStats, ThanosMeta};
    use std::sync::Arc;

    fn meta(number: u64, range: (i64, i64), samples: u64) -> BlockMeta {
        let labels = [("tenant_id".to_owned(), "a".to_owned())].into();
        let mut meta = BlockMeta {
            ulid: Ulid::new(number, [0; 10]),
            min_time_ms: range.0,
            max_time_ms: range.1,
            stats: BlockStats { num_samples: samples, ..BlockStats::default() },
            thanos: Some(ThanosMeta { labels, ..ThanosMeta::default() }),
            ..BlockMeta::default()
        };
        meta.compaction.sources = vec![Ulid::new(7, [0; 10])];
        meta
    }

    #[test]
    fn twins_and_overlaps() {
        let metas = [meta(3, (0, 10), 5), meta(2, (0, 10), 5), meta(4, (0, 10), 6), meta(5, (10, 20), 5)];
        let ulid = |n| Ulid::new(n, [0; 10]);
        assert_eq!(twins(metas.iter()), [(ulid(2), ulid(3))]);
        let mut found = Found::new();
        found.overlaps(metas.iter());
        let mut blocks: Vec<_> = found.rows.iter().map(|(block, ..)| block.ms()).collect();
        blocks.sort_unstable();
        assert_eq!(blocks, [2, 3, 4], "the end of a block is not in it");
        found.keep(&[ulid(3)].into());
        assert_eq!(found.rows.len(), 1);
        assert!(
            found.rows[0].2.contains(&ulid(2).to_string()) && found.rows[0].2.contains(&ulid(4).to_string())
        );
    }

    #[test]
    fn files_are_those_of_meta_json() {
        let mut meta = meta(1, (0, 10), 5);
        let file = |name: &str, size_bytes| nilometer_model::BlockFile {
            rel_path: name.to_owned(),
            size_bytes,
            ..nilometer_model::BlockFile::default()
        };
        meta.thanos.as_mut().unwrap().files =
            vec![file("chunks/000001", 5), file("chunks/000002", 6), file("index", 7), file("meta.json", 0)];
        let objects = [("chunks/000001", 5), ("index", 8), ("meta.json", 9)];
        let listed = Listed {
            meta: Arc::new(meta),
            objects: Arc::new(objects.map(|(n, len)| (n.to_owned(), len)).into()),
            marked_ms: None,
            no_compact: false,
            no_downsample: false,
        };
        assert_eq!(sizes(&listed), ["chunks/000002 is missing", "index has 8 bytes, meta.json says 7"]);
    }
}
