//! What `cargo xtask bench` is told.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

pub(super) const USAGE: &str = "\
cargo xtask bench [options]

  --series=N        series, a hundred to a target (100000)
  --scrapes=N       scrapes, 15 s apart (480: two hours)
  --kill-at=N       acknowledged samples at which the second run is killed (8000000, at most half of the load); 0: none
  --only=NAME       just this server: nilometer, prometheus or victoria-metrics; may be repeated
  --peer=NAME=URL,PID
                    a server that runs already takes the load too, at this URL; it is not killed; may be repeated
  --binary=FILE     another hub than the one that is built (target/release/nilometer)
  --client=FILE     another program that loads, verifies and asks than the hub's own
  --no-verify       do not read everything back after the load
  --no-queries      do not time queries after the load
  --no-memory       do not measure what memory each query takes
  --queries=FILE    other queries than those of `nilometer bench query`, one a line
  --keep=DIR        copy each server's data to this folder after the load
  --use=DIR         no load: time queries over the data that --keep has left there
  --what=WORDS      name of the table: bench/results/<date>-<words>.md (load, or queries)
";

const KILL_AT: u64 = 8_000_000;

pub(super) struct Options {
    pub(super) series: u64,
    pub(super) scrapes: u64,
    pub(super) kill_at: u64,
    pub(super) only: Vec<String>,
    pub(super) peers: Vec<Peer>,
    pub(super) binary: Option<PathBuf>,
    pub(super) client: Option<PathBuf>,
    pub(super) verify: bool,
    pub(super) queries: Queries,
    /// Measured query by query, each in a hub that was started for it.
    pub(super) memory: bool,
    pub(super) keep: Option<PathBuf>,
    pub(super) kept: Option<PathBuf>,
    pub(super) what: String,
}

/// Which queries are timed.
#[derive(Debug, PartialEq)]
pub(super) enum Queries {
    None,
    /// Those that the client has.
    BuiltIn,
    File(PathBuf),
}

/// A server that somebody else started.
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) pid: u32,
}

pub(super) fn parse(args: &[&str]) -> Result<Options> {
    let mut options = Options {
        series: 100_000,
        scrapes: 480,
        kill_at: KILL_AT,
        only: Vec::new(),
        peers: Vec::new(),
        binary: None,
        client: None,
        verify: true,
        queries: Queries::BuiltIn,
        memory: true,
        keep: None,
        kept: None,
        what: String::new(),
    };
    for arg in args {
        let (name, value) = arg.split_once('=').unwrap_or((arg, ""));
        let number = || value.parse::<u64>().with_context(|| format!("{arg}: that is no number"));
        match name {
            "--series" => options.series = number()?,
            "--scrapes" => options.scrapes = number()?,
            "--kill-at" => options.kill_at = number()?,
            "--only" => options.only.push(value.to_owned()),
            "--peer" => options.peers.push(parse_peer(value)?),
            "--binary" => options.binary = Some(path(arg, value)?),
            "--client" => options.client = Some(path(arg, value)?),
            "--no-verify" => options.verify = false,
            "--no-queries" => options.queries = Queries::None,
            "--no-memory" => options.memory = false,
            "--queries" => options.queries = Queries::File(path(arg, value)?),
            "--keep" => options.keep = Some(path(arg, value)?),
            "--use" => options.kept = Some(path(arg, value)?),
            "--what" => {
                let named = value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
                ensure!(named && !value.is_empty(), "--what: letters, digits and - are for a file's name");
                options.what = value.to_owned();
            }
            _ => bail!("no such option: {arg}\n\n{USAGE}"),
        }
    }
    if options.what.is_empty() {
        options.what = if options.kept.is_some() { "queries" } else { "load" }.to_owned();
    }
    let asks = options.queries != Queries::None;
    ensure!(options.kept.is_none() || asks, "--use: without queries there is nothing to do");
    ensure!(
        options.kept.is_none() || options.keep.is_none(),
        "--use: what is kept already is not kept again"
    );
    options.kill_at = options.kill_at.min(options.series * options.scrapes / 2);
    Ok(options)
}

/// From the folder where the command was started, not from the one where programs are started.
fn path(arg: &str, value: &str) -> Result<PathBuf> {
    ensure!(!value.is_empty(), "{arg}: a path is missing");
    std::path::absolute(value).with_context(|| format!("{arg}: that is no path"))
}

fn parse_peer(text: &str) -> Result<Peer> {
    let parts = text.split_once('=').and_then(|(name, rest)| {
        let (url, pid) = rest.rsplit_once(',')?;
        Some(Peer { name: name.to_owned(), url: url.to_owned(), pid: pid.parse().ok()? })
    });
    parts.with_context(|| format!("--peer={text}: it is like --peer=NAME=http://host:port/path,PID"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let found =
            parse(&["--series=200", "--scrapes=3", "--peer=a=http://h:1/x,77", "--no-verify"]).unwrap();
        assert_eq!((found.series, found.scrapes, found.kill_at, found.verify), (200, 3, 300, false));
        assert_eq!((found.what.as_str(), &found.queries), ("load", &Queries::BuiltIn));
        let peer = &found.peers[0];
        assert_eq!((peer.name.as_str(), peer.url.as_str(), peer.pid), ("a", "http://h:1/x", 77));
        for bad in ["--peer=a", "--peer=a=b", "--series=x", "--nothing", "--what=a/b", "--what=", "--use="] {
            assert!(parse(&[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn kept_data_are_for_queries() {
        let found = parse(&["--use=/kept", "--queries=/q"]).unwrap();
        assert_eq!(found.kept.as_deref(), Some("/kept".as_ref()));
        assert_eq!((found.what.as_str(), found.queries), ("queries", Queries::File("/q".into())));
        assert!(parse(&["--use=/kept", "--no-queries"]).is_err());
        assert!(parse(&["--use=/kept", "--keep=/kept"]).is_err());
    }
}
