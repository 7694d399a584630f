//! Data of a load that outlive the run: each server's folder, and beside it the journal of what was sent.
//!
//! ```text
//! DIR/nilometer/data/…
//! DIR/nilometer.journal      its first line is the plan, which says when the load ended
//! ```
//!
//! A server never runs over what is kept, but over a copy: it writes as soon as it starts.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::server::DATA;
use crate::shell;

/// What was sent.
#[derive(Deserialize)]
pub(super) struct Plan {
    series: u64,
    interval_ms: i64,
    first_ms: i64,
    scrapes: u32,
}

impl Plan {
    pub(super) fn of_journal(path: &Path) -> Result<Plan> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Plan::parse(&text).with_context(|| format!("{} is no journal", path.display()))
    }

    fn parse(text: &str) -> Result<Plan> {
        serde_json::from_str(text.lines().next().unwrap_or_default()).context("it begins with no plan")
    }

    pub(super) fn end_seconds(&self) -> i64 {
        (self.first_ms + i64::from(self.scrapes) * self.interval_ms) / 1_000
    }

    pub(super) fn samples(&self) -> u64 {
        self.series * u64::from(self.scrapes)
    }

    pub(super) fn series(&self) -> u64 {
        self.series
    }
}

/// From a server's folder and journal to another.
pub(super) fn copy(from: (&Path, &Path), to: (&Path, &Path)) -> Result<()> {
    super::remove(to.0)?;
    fs::create_dir_all(to.0).with_context(|| format!("cannot make {}", to.0.display()))?;
    shell::run(shell::command("cp").arg("-a").arg(from.0.join(DATA)).arg(to.0))?;
    fs::copy(from.1, to.1).with_context(|| format!("cannot copy {}", from.1.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_of_a_journal() {
        let text = "{\"version\":1,\"seed\":1,\"series\":200,\"interval_ms\":15000,\"first_ms\":1795392000000,\
                    \"scrapes\":480,\"per_request\":2000,\"protocol\":\"V1\"}\n4 1\n";
        let plan = Plan::parse(text).unwrap();
        assert_eq!((plan.end_seconds(), plan.samples(), plan.series()), (1_795_399_200, 96_000, 200));
        assert!(Plan::parse("").is_err() && Plan::parse("4 1\n").is_err());
    }
}
