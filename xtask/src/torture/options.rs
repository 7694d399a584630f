//! What is asked for.

use std::ops::Range;

use anyhow::{Context, Result, bail};

use super::USAGE;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) seeds: Range<u64>,
    pub(super) flips: Range<u64>,
    pub(super) compactors: Range<u64>,
    pub(super) kills: u64,
    pub(super) fuzz_seconds: u64,
    pub(super) minutes: Option<u64>,
    pub(super) fresh: bool,
}

/// The full counts.
pub(super) const ALL: Options = Options {
    seeds: 0..20_000,
    flips: 0..2_000,
    compactors: 0..1_000,
    kills: 200,
    fuzz_seconds: 3_600,
    minutes: None,
    fresh: false,
};
const NOTHING: Options = Options {
    seeds: 0..0,
    flips: 0..0,
    compactors: 0..0,
    kills: 0,
    fuzz_seconds: 0,
    minutes: None,
    fresh: false,
};

impl Options {
    /// `--name=value` or `--name value`.
    pub(super) fn parse(args: &[&str]) -> Result<Options> {
        let (mut options, mut some_part, mut minutes, mut fresh) = (NOTHING, false, None, false);
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if *arg == "--fresh" {
                fresh = true;
                continue;
            }
            let (name, value) = match arg.split_once('=') {
                Some(pair) => pair,
                None => (*arg, args.next().copied().unwrap_or_default()),
            };
            let number =
                || value.parse::<u64>().with_context(|| format!("{name}={value}: that is no number"));
            match name {
                "--seeds" => options.seeds = range(name, value)?,
                "--flips" => options.flips = range(name, value)?,
                "--compactors" => options.compactors = range(name, value)?,
                "--kills" => options.kills = number()?,
                "--fuzz-seconds" => options.fuzz_seconds = number()?,
                "--minutes" => {
                    minutes = Some(number()?);
                    continue;
                }
                _ => bail!("no such option: {arg}\n\n{USAGE}"),
            }
            some_part = true;
        }
        let options = if some_part { options } else { ALL };
        Ok(Options { minutes, fresh, ..options })
    }
}

fn range(name: &str, value: &str) -> Result<Range<u64>> {
    let ends = value.split_once("..").and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
    let ends: Range<u64> = ends.with_context(|| format!("{name}={value}: it is like {name}=8000..20000"))?;
    if ends.is_empty() { bail!("{name}={value}: there is nothing in it") } else { Ok(ends) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_or_what_is_named() {
        assert_eq!(Options::parse(&[]).unwrap(), ALL);
        assert_eq!(Options::parse(&["--minutes=5"]).unwrap(), Options { minutes: Some(5), ..ALL });
        let some = Options::parse(&["--seeds", "5..7", "--kills=3", "--fresh"]).unwrap();
        assert_eq!(some, Options { seeds: 5..7, kills: 3, fresh: true, ..NOTHING });
        for wrong in [&["--seeds"][..], &["--seeds=7..7"], &["--kills=x"], &["5"], &["--seeds=7"]] {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
