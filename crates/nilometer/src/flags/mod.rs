//! Flags: read as they are written (`raw`), then checked (`resolved`).
//!
//! The syntax is kingpin's, as Thanos' users know it: `--flag=value` or `--flag value`, `--x` and `--no-x`,
//! lists by repetition. A flag that Thanos has and that means nothing here is accepted, and a warning says
//! so; an unknown one is a mistake, and the nearest name is shown.

mod compact;
mod compaction;
mod ignored;
mod raw;
mod resolved;
mod selection;
mod shared;
mod store;
mod values;

pub(crate) use compact::{Compact, CompactFlags, resolve as resolve_compact};
pub(crate) use raw::{LogFormat, LogLevel, ServeFlags};
pub(crate) use resolved::{Serve, resolve};
pub(crate) use selection::{SelectorFlags, TimeFlags};
pub(crate) use store::{Store, StoreFlags, resolve as resolve_store};
pub(crate) use values::{LabelPair, Millis};

use crate::bench::BenchFlags;
use crate::tools::ToolsFlags;
use anyhow::{Result, anyhow};
use clap::{ArgAction, ArgMatches, Args, Error, FromArgMatches, Subcommand};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::ffi::OsString;

pub(crate) enum Command {
    /// With the flags that were given and mean nothing.
    Serve(Box<ServeFlags>, Vec<&'static str>),
    Store(Box<StoreFlags>, Vec<&'static str>),
    Compact(Box<CompactFlags>, Vec<&'static str>),
    Bench(Box<BenchFlags>),
    Tools(Box<ToolsFlags>),
}

/// Reads the command line. Touches nothing else.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, Error> {
    let mut matches = command().try_get_matches_from(args)?;
    let Some((name, found)) = matches.remove_subcommand() else {
        let says = "say what to do: serve, store, compact, tools or bench";
        return Err(command().error(clap::error::ErrorKind::MissingSubcommand, says));
    };
    if name == "bench" {
        return Ok(Command::Bench(Box::new(BenchFlags::from_arg_matches(&found)?)));
    }
    if name == "store" {
        let flags = StoreFlags::from_arg_matches(&found)?;
        return Ok(Command::Store(Box::new(flags), ignored::given(ignored::STORE, &found)));
    }
    if name == "compact" {
        let flags = CompactFlags::from_arg_matches(&found)?;
        return Ok(Command::Compact(Box::new(flags), ignored::given(ignored::COMPACT, &found)));
    }
    if name == "tools" {
        return Ok(Command::Tools(Box::new(ToolsFlags::from_arg_matches(&found)?)));
    }
    let mut flags = ServeFlags::from_arg_matches(&found)?;
    flags.by_name = by_name(&found);
    Ok(Command::Serve(Box::new(flags), ignored::given(ignored::SERVE, &found)))
}

/// The values of all flags of `serve` as they are written, lists with commas between.
fn by_name(found: &ArgMatches) -> BTreeMap<String, String> {
    let flags = ServeFlags::augment_args(clap::Command::new("serve"));
    let value = |arg: &clap::Arg| {
        let long = arg.get_long()?;
        let id = arg.get_id().as_str();
        if matches!(arg.get_action(), ArgAction::SetTrue) {
            let (name, set) = match long.strip_prefix("no-") {
                Some(positive) => (positive, !found.get_flag(id)),
                None => (long, found.get_flag(id)),
            };
            return Some((name.to_owned(), set.to_string()));
        }
        let values = found.get_raw(id).into_iter().flatten();
        let values: Vec<_> = values.map(|v| v.to_string_lossy().into_owned()).collect();
        Some((long.to_owned(), values.join(",")))
    };
    flags.get_arguments().filter_map(value).collect()
}

fn command() -> clap::Command {
    let serve = clap::Command::new("serve")
        .about("Receives samples by remote write, keeps them, and answers queries: all in one process")
        .after_help(
            "Durations are like 15d, 2h, 1h30m or 90s, sizes like 1048576, 512MiB or 2GiB. Each switch --x has an \
             opposite --no-x.",
        );
    let serve = ignored::accept(ignored::SERVE, negatable(ServeFlags::augment_args(serve)));
    let store = clap::Command::new("store")
        .about("Serves the blocks of a bucket to queriers: Thanos' store gateway")
        .after_help("Durations are like 15d, 2h, 1h30m or 90s, sizes like 1048576, 512MiB or 2GiB.");
    let store = ignored::accept(ignored::STORE, negatable(StoreFlags::augment_args(store)));
    let compact = clap::Command::new("compact")
        .about("Compacts a bucket, thins its blocks out and deletes what is over: Thanos' compactor")
        .after_help("Durations are like 15d, 2h, 1h30m or 90s.");
    let compact = compact::keep_all_by_default(CompactFlags::augment_args(compact));
    let compact = ignored::accept(ignored::COMPACT, negatable(compact));
    let bench = clap::Command::new("bench")
        .about("Loads any remote-write receiver, verifies what it kept, and times its queries")
        .subcommand_required(true)
        .arg_required_else_help(true);
    let bench = BenchFlags::augment_subcommands(bench);
    let tools = clap::Command::new("tools")
        .about("Looks at, checks and changes blocks in object storage")
        .subcommand_required(true)
        .arg_required_else_help(true);
    let tools = all_negatable(ToolsFlags::augment_subcommands(tools));
    clap::Command::new("nilometer")
        .about("A metrics hub: remote write from many clusters in, exact PromQL out")
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(serve)
        .subcommand(store)
        .subcommand(compact)
        .subcommand(bench)
        .subcommand(tools)
}

/// Gives each switch its opposite: `--no-x` for `--x`. The last one counts.
fn negatable(command: clap::Command) -> clap::Command {
    let switches: Vec<(String, String)> = command
        .get_arguments()
        .filter(|arg| matches!(arg.get_action(), ArgAction::SetTrue))
        .filter_map(|arg| Some((arg.get_id().to_string(), arg.get_long()?.to_owned())))
        .collect();
    switches.into_iter().fold(command, |command, (id, long)| {
        let opposite = match long.strip_prefix("no-") {
            Some(positive) => positive.to_owned(),
            None => format!("no-{long}"),
        };
        let opposite_arg = clap::Arg::new(opposite.clone())
            .long(opposite.clone())
            .action(ArgAction::SetTrue)
            .hide(true)
            .overrides_with(id.clone());
        command.mut_arg(&id, |arg| arg.overrides_with(&opposite)).arg(opposite_arg)
    })
}

/// The same for all commands below.
fn all_negatable(command: clap::Command) -> clap::Command {
    let names: Vec<_> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    names.into_iter().fold(negatable(command), |command, name| command.mut_subcommand(name, all_negatable))
}

/// A text of YAML; an error says where it is wrong.
pub(crate) fn yaml<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_saphyr::from_str(text).map_err(|e: serde_saphyr::Error| {
        anyhow!(e.render_with_formatter(&serde_saphyr::UserMessageFormatter))
    })
}

#[cfg(test)]
mod tests;
