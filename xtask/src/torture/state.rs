//! What ran, step by step, and how it ended: kept between runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::plan::{Job, Part};

#[derive(Default, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) steps: Vec<Step>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) part: Part,
    pub(super) target: String,
    pub(super) first: u64,
    pub(super) count: u64,
    /// Of the source.
    pub(super) revision: String,
    /// When it ended (UTC).
    pub(super) date: String,
    pub(super) seconds: u64,
    pub(super) failure: Option<Failure>,
    pub(super) counts: BTreeMap<String, u64>,
}

#[derive(Default, Serialize, Deserialize)]
pub(super) struct Failure {
    /// What to run to see it again.
    pub(super) repeat: String,
    pub(super) log: String,
}

impl Step {
    pub(super) fn new(
        job: &Job,
        revision: String,
        date: String,
        seconds: u64,
        failure: Option<Failure>,
        counts: BTreeMap<String, u64>,
    ) -> Step {
        let Job { part, target, first, count } = job.clone();
        Step { part, target, first, count, revision, date, seconds, failure, counts }
    }
}

impl State {
    /// Empty where there is no file yet.
    pub(super) fn load(path: &Path) -> Result<State> {
        if !path.exists() {
            return Ok(State::default());
        }
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text)
            .with_context(|| format!("{}: it was not written by this; --fresh begins anew", path.display()))
    }

    /// In one piece, so that a run can be broken off at any time.
    pub(super) fn save(&self, path: &Path) -> Result<()> {
        let new = path.with_extension("new");
        fs::write(&new, serde_json::to_string_pretty(self)?).with_context(|| new.display().to_string())?;
        fs::rename(&new, path).with_context(|| path.display().to_string())
    }
}
