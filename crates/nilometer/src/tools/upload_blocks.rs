//! `tools bucket upload-blocks`: blocks that Prometheus, or a backfill, left in a folder go to the bucket.

use super::screen::Unit;
use super::table::{Cell, Form, Table};
use super::{Bench, table};
use crate::flags::LabelPair;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use nilometer_block::{BlockDir, Tombstones};
use nilometer_bucket::{ShipOptions, ShipperFile};
use nilometer_model::{BlockMeta, Ulid};
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(super) struct Flags {
    /// The folder that blocks lie in
    #[arg(long, value_name = "DIR", default_value = "./data")]
    path: PathBuf,
    /// External label of the blocks, by which they are told apart in the bucket; may be repeated
    #[arg(long = "label", value_name = "NAME=\"VALUE\"")]
    labels: Vec<LabelPair>,
    /// Also blocks that were compacted already
    #[arg(long = "shipper.upload-compacted")]
    upload_compacted: bool,
    #[arg(long = "shipper.upload-concurrency", value_name = "N", default_value_t = 5, hide = true)]
    _upload_concurrency: usize,
    #[arg(long, value_enum, default_value_t = Form::Table)]
    output: Form,
}

pub(super) async fn run(bench: &Bench, flags: &Flags) -> Result<()> {
    ensure!(
        !flags.labels.is_empty(),
        "say which external labels the blocks get, like --label='cluster=\"a\"': without any nobody could tell them apart"
    );
    let labels: BTreeMap<_, _> = flags.labels.iter().map(|l| (l.name.clone(), l.value.clone())).collect();
    let (metas, mut table) =
        (local(bench, flags)?, Table::new(&["BLOCK", "FROM", "UNTIL", "#BYTES", "WHAT"]));
    let mut shipped = ShipperFile::read(&*bench.fs, &flags.path).unwrap_or_else(|e| {
        bench.screen.say(&format!("it is not known which blocks were uploaded, the bucket is asked: {e}"));
        ShipperFile::default()
    });
    let mut there = match metas.iter().any(|meta| meta.compaction.level > 1) {
        true => of_labels(bench, &labels).await?,
        false => Vec::new(),
    };
    let progress = bench.screen.begin("upload", metas.len() as u64, Unit::Blocks);
    let mut failed = 0;
    for meta in &metas {
        progress.about(meta.ulid.to_string());
        let done = match shipped.uploaded.contains(&meta.ulid) {
            true => Ok(Did::Before),
            false => upload(bench, flags, meta, (&labels, &there)).await,
        };
        let mut bytes = Cell::Nothing;
        let what = match done {
            Ok(Did::Sent(sent)) => {
                bytes = Cell::Count(sent);
                "uploaded".to_owned()
            }
            Ok(Did::Before) => "was there".to_owned(),
            Err(e) => {
                failed += 1;
                format!("failed: {e:#}")
            }
        };
        if !what.starts_with("failed") && shipped.uploaded.insert(meta.ulid) {
            shipped.write(&*bench.fs, &flags.path)?;
            there.push((meta.ulid, meta.min_time_ms, meta.max_time_ms));
        }
        let times = [Cell::Time(meta.min_time_ms), Cell::Time(meta.max_time_ms)];
        let [from, until] = times;
        table.push(vec![meta.ulid.to_string().into(), from, until, bytes, what.into()]);
        progress.add(1);
    }
    drop(progress);
    super::print(&table.render(flags.output));
    if failed > 0 { bail!("{failed} blocks were not uploaded, see above") } else { Ok(()) }
}

/// What is to be uploaded, the oldest samples first.
fn local(bench: &Bench, flags: &Flags) -> Result<Vec<BlockMeta>> {
    let dir = BlockDir::new(bench.fs.clone(), &flags.path);
    let mut metas = Vec::new();
    for ulid in dir.list().context("--path")? {
        let block = dir.open(ulid)?;
        let meta = block.meta();
        let skipped = if meta.stats.num_samples == 0 {
            Some("it has no samples")
        } else if meta.compaction.level > 1 && !flags.upload_compacted {
            Some("it was compacted already (--shipper.upload-compacted)")
        } else {
            None
        };
        if let Some(why) = skipped {
            bench.screen.say(&format!("{ulid} is left out: {why}"));
            continue;
        }
        let stones = Tombstones::read(&*bench.fs, block.path())?;
        if !stones.is_empty() {
            bench.screen.say(&format!(
                "{ulid} has {} deletions that are not carried out yet, and buckets have no list of them: what was \
                 deleted will be there again. Let Prometheus clean its tombstones first",
                stones.len()
            ));
        }
        metas.push(meta.clone());
    }
    metas.sort_by_key(|meta| (meta.min_time_ms, meta.ulid));
    Ok(metas)
}

type Span = (Ulid, i64, i64);

/// The blocks in the bucket that have these external labels.
async fn of_labels(bench: &Bench, labels: &BTreeMap<String, String>) -> Result<Vec<Span>> {
    let inventory = bench.look(None).await?;
    inventory.check_whole()?;
    let metas = inventory.blocks.values().map(|listed| &listed.meta);
    let same = metas.filter(|m| m.thanos.as_ref().is_some_and(|t| t.labels == *labels));
    Ok(same.map(|m| (m.ulid, m.min_time_ms, m.max_time_ms)).collect())
}

enum Did {
    Before,
    /// So many bytes.
    Sent(u64),
}

async fn upload(
    bench: &Bench,
    flags: &Flags,
    meta: &BlockMeta,
    (labels, there): (&BTreeMap<String, String>, &[Span]),
) -> Result<Did> {
    if meta.compaction.level > 1 {
        let overlaps = |(ulid, from, until): &&Span| {
            *ulid != meta.ulid && *from < meta.max_time_ms && meta.min_time_ms < *until
        };
        if let Some((ulid, from, until)) = there.iter().find(overlaps) {
            let (from, until) = (table::rfc3339(*from), table::rfc3339(*until));
            bail!("it overlaps {ulid} ({from} to {until}) of the same external labels in the bucket");
        }
    }
    let mut meta = meta.clone();
    let thanos = meta.thanos.get_or_insert_default();
    thanos.labels = labels.clone();
    thanos.source = "bucket.upload".to_owned();
    let dir = flags.path.join(meta.ulid.to_string());
    let shipped = bench.bucket.ship(&dir, &meta, ShipOptions::default()).await?;
    let bytes = shipped.meta.thanos.iter().flat_map(|t| &t.files).map(|f| f.size_bytes).sum();
    Ok(if shipped.was_there { Did::Before } else { Did::Sent(bytes) })
}
