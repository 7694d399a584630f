//! `tools bucket inspect`: what the blocks have, a row for each.

use super::table::{Cell, Form, Table};
use super::{Bench, Listed};
use crate::flags::{LabelPair, Millis};
use anyhow::Result;
use clap::{Args, builder::PossibleValuesParser};
use nilometer_compact::{DUE_MS, ONE_HOUR_MS};

/// Thanos' columns, and two of ours behind them.
const COLUMNS: [&str; 15] = [
    "ULID",
    "FROM",
    "UNTIL",
    "RANGE",
    "UNTIL-DOWN",
    "#SERIES",
    "#SAMPLES",
    "#CHUNKS",
    "COMP-LEVEL",
    "COMP-FAILED",
    "LABELS",
    "RESOLUTION",
    "SOURCE",
    "#BYTES",
    "MARKS",
];

#[derive(Args, Debug)]
pub(super) struct Flags {
    /// Only blocks with this external label; may be repeated, then all have to match
    #[arg(short = 'l', long, value_name = "NAME=\"VALUE\"")]
    selector: Vec<LabelPair>,
    /// Rows are in the order of this column; may be repeated
    #[arg(long, value_name = "COLUMN", default_values = ["FROM", "UNTIL"],
          value_parser = PossibleValuesParser::new(COLUMNS), hide_possible_values = true)]
    sort_by: Vec<String>,
    #[arg(long, value_enum, default_value_t = Form::Table)]
    output: Form,
    /// The bucket has to be looked through within this
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    timeout: Millis,
}

pub(super) async fn run(bench: &Bench, flags: &Flags) -> Result<()> {
    let inventory = bench.look(Some(flags.timeout.duration())).await?;
    let is_shown = |listed: &&Listed| {
        let labels = listed.meta.thanos.as_ref().map(|t| &t.labels);
        flags.selector.iter().all(|pair| labels.and_then(|l| l.get(&pair.name)) == Some(&pair.value))
    };
    let mut table = Table::new(&COLUMNS);
    for listed in inventory.blocks.values().filter(is_shown) {
        table.push(row(listed));
    }
    let columns: Vec<&str> = flags.sort_by.iter().map(String::as_str).collect();
    table.sort_by(&columns);
    super::print(&table.render(flags.output));
    bench.say_rest(&inventory);
    Ok(())
}

fn row(listed: &Listed) -> Vec<Cell> {
    let meta = &*listed.meta;
    let thanos = meta.thanos.clone().unwrap_or_default();
    let labels: Vec<_> = thanos.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let marks = [
        (listed.marked_ms.is_some(), "deletion"),
        (listed.no_compact, "no-compact"),
        (listed.no_downsample, "no-downsample"),
    ];
    let marks: Vec<_> = marks.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
    let range_ms = meta.max_time_ms - meta.min_time_ms;
    vec![
        meta.ulid.to_string().into(),
        Cell::Time(meta.min_time_ms),
        Cell::Time(meta.max_time_ms),
        Cell::Span(range_ms),
        if meta.resolution_ms() < ONE_HOUR_MS { Cell::Span(DUE_MS - range_ms) } else { Cell::Nothing },
        Cell::Count(meta.stats.num_series),
        Cell::Count(meta.stats.num_samples),
        Cell::Count(meta.stats.num_chunks),
        Cell::Count(meta.compaction.level.into()),
        Cell::Flag(meta.compaction.failed),
        labels.join(",").into(),
        Cell::Span(thanos.downsample.resolution_ms),
        thanos.source.into(),
        Cell::Count(listed.objects.values().sum()),
        marks.join(",").into(),
    ]
}
