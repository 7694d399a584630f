//! `tools bucket ls`: a line for each block.

use super::table::{go_duration, rfc3339};
use super::{Bench, Listed};
use crate::flags::{Millis, SelectorFlags, TimeFlags};
use anyhow::{Result, bail};
use clap::Args;
use nilometer_model::BlockMeta;
use std::fmt::Write;

#[derive(Args, Debug)]
pub(super) struct Flags {
    /// Names only; or `wide`, or `json` (each block's meta.json)
    #[arg(short, long, value_name = "FORM", default_value = "")]
    output: String,
    /// Leave out blocks that are marked for deletion
    #[arg(long)]
    exclude_delete: bool,
    #[command(flatten)]
    times: TimeFlags,
    #[command(flatten)]
    selector: SelectorFlags,
    /// The bucket has to be looked through within this
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    timeout: Millis,
}

pub(super) async fn run(bench: &Bench, flags: &Flags) -> Result<()> {
    let line = match flags.output.as_str() {
        "" => |meta: &BlockMeta| format!("{}\n", meta.ulid),
        "wide" => wide,
        "json" => |meta: &BlockMeta| String::from_utf8_lossy(&meta.to_json()).into_owned() + "\n",
        other if other.contains("{{") => {
            bail!("--output={other}: there are no Go templates here; take json, and a program such as jq")
        }
        other => bail!("--output={other}: wide and json can be had, or nothing for names only"),
    };
    let selector = flags.selector.read()?;
    let inventory = bench.look(Some(flags.timeout.duration())).await?;
    let now_ms = bench.now_ms();
    let is_shown = |listed: &&Listed| {
        let is_excluded = flags.exclude_delete && listed.marked_ms.is_some();
        !is_excluded && flags.times.selects(&listed.meta, now_ms) && selector.selects(&listed.meta)
    };
    let mut out = String::new();
    for listed in inventory.blocks.values().filter(is_shown) {
        let _ = out.write_str(&line(&listed.meta));
    }
    super::print(&out);
    bench.say_rest(&inventory);
    Ok(())
}

/// As in Thanos.
fn wide(meta: &BlockMeta) -> String {
    let thanos = meta.thanos.clone().unwrap_or_default();
    format!(
        "{} -- {} - {} Diff: {}, Compaction: {}, Downsample: {}, Source: {}\n",
        meta.ulid,
        rfc3339(meta.min_time_ms),
        rfc3339(meta.max_time_ms),
        go_duration(meta.max_time_ms.div_euclid(1000) * 1000 - meta.min_time_ms.div_euclid(1000) * 1000),
        meta.compaction.level,
        thanos.downsample.resolution_ms,
        thanos.source,
    )
}
