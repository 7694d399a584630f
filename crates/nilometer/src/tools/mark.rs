//! `tools bucket mark`: says of blocks that they are to go, or not to be compacted or downsampled; or takes that back.

use super::Bench;
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use nilometer_bucket::marks::{DeletionMark, Mark, NoCompactMark, NoDownsampleMark, reason};
use nilometer_compact::DeletionLog;
use nilometer_model::Ulid;

#[derive(Args, Debug)]
pub(super) struct Flags {
    /// A block; may be repeated
    #[arg(long, value_name = "ULID", required = true)]
    id: Vec<Ulid>,
    #[arg(long, value_enum)]
    marker: Marker,
    /// Why, for people; must be given with a new mark
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    details: String,
    /// Take the mark away
    #[arg(long)]
    remove: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Marker {
    #[value(name = "deletion-mark.json")]
    Deletion,
    #[value(name = "no-compact-mark.json")]
    NoCompact,
    #[value(name = "no-downsample-mark.json")]
    NoDownsample,
}

pub(super) async fn run(bench: &Bench, flags: &Flags) -> Result<()> {
    ensure!(flags.remove || !flags.details.is_empty(), "say why with --details");
    // A mistyped name is found before anything is changed.
    for id in &flags.id {
        if !bench.has_folder(*id).await? {
            bail!("there is no block {id} in bucket {:?}: nothing was changed", bench.bucket.name());
        }
    }
    let is_deletion = !flags.remove && matches!(flags.marker, Marker::Deletion);
    let log = if is_deletion { Some(bench.deletion_log()?) } else { None };
    for id in &flags.id {
        let did = match flags.remove {
            true => unmark(bench, *id, flags.marker).await,
            false => mark(bench, *id, flags, log.as_ref()).await,
        };
        bench.screen.say(&format!("{id}: {}", did.with_context(|| format!("block {id}"))?));
    }
    Ok(())
}

async fn mark(bench: &Bench, id: Ulid, flags: &Flags, log: Option<&DeletionLog>) -> Result<&'static str> {
    let (bucket, details, now_ms) = (&bench.bucket, &*flags.details, bench.now_ms());
    let is_new = match (flags.marker, log) {
        (Marker::Deletion, Some(log)) => {
            // What cannot be read is logged by its name alone.
            let meta = bucket.read_meta(id).await.ok();
            bench.mark_for_deletion(log, id, meta.as_ref(), details).await?
        }
        (Marker::Deletion, None) => bail!("nothing is marked for deletion without a log of it"),
        (Marker::NoCompact, _) => {
            bucket.mark(&NoCompactMark::new(id, reason::MANUAL, details, now_ms)).await?
        }
        (Marker::NoDownsample, _) => {
            bucket.mark(&NoDownsampleMark::new(id, reason::MANUAL, details, now_ms)).await?
        }
    };
    Ok(if is_new { "marked" } else { "was marked before, and stays as it was" })
}

async fn unmark(bench: &Bench, id: Ulid, marker: Marker) -> Result<&'static str> {
    async fn of<M: Mark>(bench: &Bench, id: Ulid) -> Result<&'static str> {
        if !bench.bucket.exists(&nilometer_bucket::marks::mark_key::<M>(id)).await? {
            return Ok("had no such mark");
        }
        bench.bucket.unmark::<M>(id).await?;
        Ok("the mark is gone")
    }
    match marker {
        Marker::Deletion => of::<DeletionMark>(bench, id).await,
        Marker::NoCompact => of::<NoCompactMark>(bench, id).await,
        Marker::NoDownsample => of::<NoDownsampleMark>(bench, id).await,
    }
}
