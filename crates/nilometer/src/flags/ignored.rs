//! Flags of Thanos' receiver and querier that mean nothing to `serve`, so that a command line can be carried
//! over. Those that would promise something which is not there (a bucket, a hashring, replicas that become
//! one, credentials by `--http.config`) are not among them: they stay mistakes.

use clap::{Arg, ArgAction, ArgMatches, Command};

/// Names, and whether they take a value.
const IGNORED: [(&str, bool); 16] = [
    ("auto-gomemlimit.ratio", true),
    ("enable-auto-gomemlimit", false),
    ("grpc-grace-period", true),
    ("grpc-server-max-connection-age", true),
    ("query.promql-engine", true),
    ("receive.grpc-compression", true),
    ("receive.replication-protocol", true),
    ("shipper.allow-out-of-order-uploads", false),
    ("shipper.upload-concurrency", true),
    ("tsdb.allow-overlapping-blocks", false),
    ("tsdb.enable-native-histograms", false),
    ("tsdb.memory-snapshot-on-shutdown", false),
    ("tsdb.no-lockfile", false),
    ("tsdb.out-of-order.cap-max", true),
    ("tsdb.wal-compression", false),
    ("tsdb.write-queue-size", true),
];

pub(super) fn accept(command: Command) -> Command {
    IGNORED.into_iter().fold(command, |command, (name, takes_value)| {
        let arg = Arg::new(name).long(name).hide(true);
        if takes_value {
            return command.arg(arg.action(ArgAction::Append));
        }
        let opposite = format!("no-{name}");
        let opposite = Arg::new(opposite.clone()).long(opposite).hide(true).action(ArgAction::Count);
        command.arg(arg.action(ArgAction::Count)).arg(opposite)
    })
}

/// Those that were given.
pub(super) fn given(matches: &ArgMatches) -> Vec<&'static str> {
    let by_hand =
        |id: &str| matches.value_source(id).is_some_and(|s| s == clap::parser::ValueSource::CommandLine);
    let given = |&(name, takes_value): &(&'static str, bool)| {
        by_hand(name) || !takes_value && by_hand(&format!("no-{name}"))
    };
    IGNORED.iter().filter(|flag| given(flag)).map(|(name, _)| *name).collect()
}
