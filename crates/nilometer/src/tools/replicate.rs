//! `tools bucket replicate`: blocks of one bucket are copied to another, as they are.

use super::flags::{IgnoredHttp, bucket_at};
use super::screen::Unit;
use super::table::{self, Cell, Form, Table};
use super::{Bench, Listed, Scratch, look_at};
use crate::flags::{Millis, TimeFlags};
use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use nilometer_bucket::{Bucket, ShipOptions};
use nilometer_model::{BlockMeta, Matcher, Ulid};
use nilometer_promql::parse::parse_selector;
use std::path::PathBuf;
use std::time::Duration;

/// Between two rounds, as in Thanos.
const EVERY: Duration = Duration::from_secs(60);

#[derive(Args, Debug)]
pub(super) struct Flags {
    /// Object storage that blocks are copied to, as Thanos' YAML
    #[arg(long = "objstore-to.config", value_name = "YAML", conflicts_with = "to_file")]
    to: Option<String>,
    /// The same in a file
    #[arg(long = "objstore-to.config-file", value_name = "FILE")]
    to_file: Option<PathBuf>,
    /// Only blocks of this resolution; may be repeated
    #[arg(long, value_name = "RESOLUTION", default_values = ["0s", "5m", "1h"])]
    resolution: Vec<Millis>,
    /// Only blocks of at least this compaction level
    #[arg(long, value_name = "LEVEL", default_value_t = 1)]
    compaction_min: u32,
    /// And of at most this one
    #[arg(long, value_name = "LEVEL", default_value_t = 4)]
    compaction_max: u32,
    /// Only blocks of this compaction level, whatever the two above say; may be repeated
    #[arg(long, value_name = "LEVEL")]
    compaction: Vec<u32>,
    /// Only blocks whose external labels match, like cluster="a",replica!="b"
    #[arg(long, value_name = "MATCHERS", default_value = "", hide_default_value = true)]
    matcher: String,
    /// Only this block, whatever the others say, and once; may be repeated
    #[arg(long, value_name = "ULID")]
    id: Vec<Ulid>,
    /// Not those that are marked for deletion
    #[arg(long)]
    ignore_marked_for_deletion: bool,
    /// One round instead of one each minute
    #[arg(long)]
    single_run: bool,
    #[command(flatten)]
    times: TimeFlags,
    #[arg(long, value_enum, default_value_t = Form::Table)]
    output: Form,
    #[command(flatten)]
    http: IgnoredHttp,
}

pub(super) async fn run(bench: &Bench, flags: &Flags) -> Result<()> {
    flags.http.say(&bench.screen);
    ensure!(
        flags.compaction_min <= flags.compaction_max,
        "--compaction-min={} is more than --compaction-max={}: no block would be copied",
        flags.compaction_min,
        flags.compaction_max
    );
    let to = bucket_at(flags.to.as_ref(), flags.to_file.as_ref());
    let to = to.ok_or_else(|| {
        anyhow!("say where to: --objstore-to.config-file=FILE or --objstore-to.config=YAML")
    })?;
    let to = bench.other_bucket(&to).context("--objstore-to.config")?;
    let matchers = matchers(&flags.matcher)?;
    let is_once = flags.single_run || !flags.id.is_empty();
    loop {
        let done = round(bench, &to, flags, &matchers).await;
        match done {
            Err(e) if !is_once => {
                bench.screen.say(&format!("this round failed, the next one is in a minute: {e:#}"))
            }
            done if is_once => return done,
            _ => {}
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn matchers(text: &str) -> Result<Vec<Matcher>> {
    let inner = text.trim().trim_start_matches('{').trim_end_matches('}');
    if inner.trim().is_empty() {
        return Ok(Vec::new());
    }
    parse_selector(&format!("{{{inner}}}")).map_err(|e| anyhow!("--matcher={text}: {}", e.message))
}

async fn round(bench: &Bench, to: &Bucket, flags: &Flags, matchers: &[Matcher]) -> Result<()> {
    let (from, there) = (bench.look(None).await?, look_at(bench, to).await.context("--objstore-to.config")?);
    if let Some(id) = flags.id.iter().find(|id| !from.blocks.contains_key(id)) {
        bail!("there is no block {id} in bucket {:?}: nothing was copied", bench.bucket.name());
    }
    let mut chosen: Vec<&Listed> =
        from.blocks.values().filter(|listed| flags.selects(listed, matchers, bench.now_ms())).collect();
    // Who compacts there sees no gap in what is older.
    chosen.sort_by_key(|listed| (listed.meta.min_time_ms, listed.meta.ulid));
    let total = chosen.iter().flat_map(|l| l.objects.values()).sum();
    let progress = bench.screen.begin("replicate", total, Unit::Bytes);
    let mut table = Table::new(&["BLOCK", "FROM", "UNTIL", "#BYTES", "WHAT"]);
    let mut failed = 0;
    for listed in &chosen {
        let meta = &listed.meta;
        progress.about(meta.ulid.to_string());
        let bytes = listed.objects.values().sum();
        let what = match there.blocks.get(&meta.ulid) {
            Some(other) if *other.meta == **meta => "was there".to_owned(),
            _ => match copy(bench, to, listed).await {
                Ok(()) => "copied".to_owned(),
                Err(e) => {
                    failed += 1;
                    format!("failed: {e:#}")
                }
            },
        };
        let times = (Cell::Time(meta.min_time_ms), Cell::Time(meta.max_time_ms));
        table.push(vec![meta.ulid.to_string().into(), times.0, times.1, Cell::Count(bytes), what.into()]);
        progress.add(bytes);
    }
    drop(progress);
    super::print(&table.render(flags.output));
    bench.say_rest(&from);
    let left_out = from.blocks.len() - chosen.len();
    bench.screen.say(&format!(
        "{} blocks of {} looked at, {left_out} left out",
        chosen.len(),
        table::bytes(total)
    ));
    if failed > 0 { bail!("{failed} blocks were not copied, see above") } else { Ok(()) }
}

impl Flags {
    fn selects(&self, listed: &Listed, matchers: &[Matcher], now_ms: i64) -> bool {
        let meta: &BlockMeta = &listed.meta;
        let Some(thanos) = meta.thanos.as_ref().filter(|t| !t.labels.is_empty()) else { return false };
        if self.ignore_marked_for_deletion && listed.marked_ms.is_some() {
            return false;
        }
        if !self.id.is_empty() {
            return self.id.contains(&meta.ulid);
        }
        let level = meta.compaction.level;
        let of_level = match self.compaction.is_empty() {
            true => (self.compaction_min..=self.compaction_max).contains(&level),
            false => self.compaction.contains(&level),
        };
        let value = |name: &str| thanos.labels.get(name).map_or("", String::as_str);
        of_level
            && self.resolution.iter().any(|r| r.0 == thanos.downsample.resolution_ms)
            && matchers.iter().all(|m| m.matches(value(&m.name)))
            && self.times.selects(meta, now_ms)
    }
}

/// By way of this machine: between two stores there is no other.
async fn copy(bench: &Bench, to: &Bucket, listed: &Listed) -> Result<()> {
    let scratch = Scratch::new(bench, &std::env::temp_dir())?;
    let dir = scratch.path().join(listed.meta.ulid.to_string());
    bench.bucket.download_block(listed.meta.ulid, &listed.objects, &dir).await?;
    let shipped =
        to.ship(&dir, &listed.meta, ShipOptions { as_it_is: true, ..ShipOptions::default() }).await?;
    if shipped.was_there && shipped.meta != *listed.meta {
        bail!("bucket {:?} has a block of this name with another meta.json", to.name());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_with_braces_or_without() {
        let shown = |text: &str| {
            let matchers = matchers(text).map_err(|e| e.to_string());
            matchers.map(|all| {
                all.iter().map(|m| format!("{}{}{}", m.name, m.kind.as_str(), m.value)).collect::<Vec<_>>()
            })
        };
        assert_eq!(shown(""), Ok(vec![]));
        assert_eq!(shown(r#"a="b", c!~"d|e""#), Ok(vec!["a=b".to_owned(), "c!~d|e".to_owned()]));
        assert_eq!(shown(r#"{a=~"b.*"}"#), Ok(vec!["a=~b.*".to_owned()]));
        assert!(shown("a=").unwrap_err().starts_with("--matcher=a=:"));
    }
}
