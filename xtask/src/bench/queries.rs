//! Queries to one server after the other, and what came of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::answers::Answer;
use super::options::Queries;
use super::server::{self, Running, Server};
use super::{Bench, Latency, PORT};
use crate::shell;

/// What one server made of the queries.
pub(super) struct Asked {
    pub(super) name: &'static str,
    /// Its values are ours to the last digits, or of its own semantics.
    pub(super) is_exact: bool,
    pub(super) queries: Vec<Times>,
    /// Query by query, where it was measured.
    pub(super) extra_bytes: Vec<Option<u64>>,
    /// CPUs that other processes used meanwhile.
    pub(super) others_cpus: Option<f64>,
    answers: PathBuf,
}

/// A query of `bench query --json`.
#[derive(Deserialize)]
pub(super) struct Times {
    pub(super) query: String,
    pub(super) refused: Option<String>,
    pub(super) latency: Latency,
    pub(super) series: u64,
    pub(super) values: u64,
    /// By how much memory exceeded what it was before, at most.
    extra_bytes: Option<u64>,
}

#[derive(Deserialize)]
struct Report {
    queries: Vec<Times>,
    others_cpus: Option<f64>,
}

impl Bench {
    pub(super) fn ask(&self, server: &Server, running: &Running, end_seconds: i64) -> Result<Option<Asked>> {
        if self.options.queries == Queries::None {
            return Ok(None);
        }
        println!("bench: {}: queries", server.name);
        let answers = self.folder.join(format!("{}.answers", server.name));
        super::remove(&answers)?;
        fs::create_dir_all(&answers).with_context(|| format!("cannot make {}", answers.display()))?;
        let mut command = self.query_command(running, end_seconds);
        command.arg(format!("--answers={}", answers.display()));
        if let Queries::File(file) = &self.options.queries {
            command.arg(format!("--file={}", file.display()));
        }
        let Report { queries, others_cpus } = serde_json::from_str(&shell::output(&mut command)?)?;
        let (name, is_exact) = (server.name, server.is_exact);
        Ok(Some(Asked { name, is_exact, queries, extra_bytes: Vec::new(), others_cpus, answers }))
    }

    /// What memory each query takes of the hub when it has just started: what its allocator keeps of one query would
    /// hide what the next one takes.
    pub(super) fn weigh(
        &self,
        server: &Server,
        dir: &Path,
        asked: &mut Asked,
        end_seconds: i64,
    ) -> Result<()> {
        if !self.options.memory || server.name != server::HUB {
            return Ok(());
        }
        println!("bench: {}: the memory of each query", server.name);
        let file = dir.join("query");
        for times in &asked.queries {
            fs::write(&file, &times.query).with_context(|| format!("cannot write {}", file.display()))?;
            let running = Running::start_again(server, dir, PORT)?;
            let mut command = self.query_command(&running, end_seconds);
            command.arg(format!("--file={}", file.display()));
            let Report { queries, .. } = serde_json::from_str(&shell::output(&mut command)?)?;
            asked.extra_bytes.push(queries.first().and_then(|times| times.extra_bytes));
            running.kill()?;
        }
        Ok(())
    }

    fn query_command(&self, running: &Running, end_seconds: i64) -> Command {
        let mut command = shell::command(&self.client);
        command.args(["bench", "query", "--json"]).arg(format!("--url={}", running.url()));
        command.arg(format!("--time={end_seconds}")).arg(format!("--server-pid={}", running.pid()));
        command
    }
}

impl Asked {
    fn answer(&self, number: usize) -> Result<Answer> {
        Answer::read(&self.answers.join(format!("{}.json", number + 1)))
    }

    /// In what the other's answer to a query is not this one's; `None`: in nothing that counts.
    pub(super) fn difference(&self, other: &Asked, number: usize) -> Result<Option<String>> {
        let (ours, theirs) = (self.answer(number)?, other.answer(number)?);
        if other.is_exact {
            return Ok(ours.difference(&theirs));
        }
        Ok((ours.len() != theirs.len()).then(|| format!("{} series, not {}", theirs.len(), ours.len())))
    }
}
