//! Flags of Thanos' roles that mean nothing to ours, so that a command line can be carried
//! over. Those that would promise something which is not there (a bucket, a hashring, replicas that become
//! one, credentials by `--http.config`) are not among them: they stay mistakes.

use clap::{Arg, ArgAction, ArgMatches, Command};

/// Names, and whether they take a value.
pub(super) type Flags = &'static [(&'static str, bool)];

pub(super) const SERVE: Flags = &[
    ("auto-gomemlimit.ratio", true),
    ("enable-auto-gomemlimit", false),
    ("grpc-grace-period", true),
    ("grpc-server-max-connection-age", true),
    ("query.promql-engine", true),
    ("receive.grpc-compression", true),
    ("receive.replication-protocol", true),
    ("shipper.allow-out-of-order-uploads", false),
    ("shipper.upload-concurrency", true),
    ("store.unhealthy-timeout", true),
    ("tsdb.allow-overlapping-blocks", false),
    ("tsdb.enable-native-histograms", false),
    ("tsdb.memory-snapshot-on-shutdown", false),
    ("tsdb.no-lockfile", false),
    ("tsdb.out-of-order.cap-max", true),
    ("tsdb.wal-compression", false),
    ("tsdb.write-queue-size", true),
];

pub(super) const STORE: Flags = &[
    ("auto-gomemlimit.ratio", true),
    ("block-discovery-strategy", true),
    ("block-meta-fetch-concurrency", true),
    ("block-sync-concurrency", true),
    ("bucket-web-label", true),
    ("cache-index-header", false),
    ("chunk-pool-size", true),
    ("consistency-delay", true),
    ("enable-auto-gomemlimit", false),
    ("grpc-grace-period", true),
    ("grpc-server-max-connection-age", true),
    ("index-header-lazy-download-strategy", true),
    ("store.enable-index-header-lazy-reader", false),
    ("store.enable-lazy-expanded-postings", false),
    ("store.index-header-lazy-download-strategy", true),
    ("web.disable", false),
    ("web.disable-cors", false),
    ("web.external-prefix", true),
    ("web.prefix-header", true),
];

pub(super) const COMPACT: Flags = &[
    ("acceptMalformedIndex", false),
    ("auto-gomemlimit.ratio", true),
    ("block-discovery-strategy", true),
    ("block-files-concurrency", true),
    ("block-meta-fetch-concurrency", true),
    ("block-viewer.global.sync-block-interval", true),
    ("block-viewer.global.sync-block-timeout", true),
    ("bucket-web-label", true),
    ("compact.blocks-fetch-concurrency", true),
    ("compact.cleanup-interval", true),
    ("compact.concurrency", true),
    ("compact.progress-interval", true),
    ("debug.accept-malformed-index", false),
    ("debug.halt-on-error", false),
    ("disable-admin-operations", false),
    ("downsample.concurrency", true),
    ("enable-auto-gomemlimit", false),
    ("web.disable", false),
    ("web.disable-cors", false),
    ("web.external-prefix", true),
    ("web.prefix-header", true),
    ("web.route-prefix", true),
];

pub(super) fn accept(flags: Flags, command: Command) -> Command {
    flags.iter().fold(command, |command, &(name, takes_value)| {
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
pub(super) fn given(flags: Flags, matches: &ArgMatches) -> Vec<&'static str> {
    let by_hand =
        |id: &str| matches.value_source(id).is_some_and(|s| s == clap::parser::ValueSource::CommandLine);
    let given = |&(name, takes_value): &(&'static str, bool)| {
        by_hand(name) || !takes_value && by_hand(&format!("no-{name}"))
    };
    flags.iter().filter(|flag| given(flag)).map(|(name, _)| *name).collect()
}
