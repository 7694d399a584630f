//! The tenants file: who may send and read, with which credentials, which labels and how much.
//!
//! `raw` is what YAML gives, `check` makes of it a [`TenantsConfig`] in which nothing is doubtful any more.
//! All mistakes of a file are reported at once, each with its line, none with a secret in its text. The
//! format is described for operators in `docs/tenants.md`.

mod check;
mod raw;

use crate::identity::Identity;
use crate::limits::{HubLimits, TenantLimits};
use crate::policy::LabelRule;
use crate::retention::TenantRetention;
use crate::secret::{PasswordHash, TokenDigest};
use nilometer_model::{Error, Result, Tenant};
use serde_saphyr::{DuplicateKeyPolicy, Options};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A tenants file may not be larger: 1,000 tenants with every setting spelled out take about 1 MiB.
pub const MAX_FILE_BYTES: u64 = 4 << 20;
/// Of a file's mistakes, so many are reported.
const MAX_PROBLEMS: usize = 20;

/// A tenants file that was found to be in order.
pub struct TenantsConfig {
    pub hub: HubLimits,
    /// The limits of a tenant that names none; also of the hub's own.
    pub defaults: TenantLimits,
    pub tenants: Vec<TenantSettings>,
    pub(crate) credentials: Credentials,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantSettings {
    pub tenant: Tenant,
    pub limits: TenantLimits,
    pub labels: Vec<LabelRule>,
    pub retention: TenantRetention,
}

/// Who has which secret.
#[derive(Default)]
pub(crate) struct Credentials {
    /// In the order of the file.
    pub(crate) basic: Vec<BasicCredential>,
    /// User name to index in `basic`.
    pub(crate) by_user: HashMap<String, usize>,
    /// Found by the digest of what was sent. That a lookup takes longer for some digests than for others
    /// tells an attacker nothing: to steer a digest towards a stored one is to invert SHA-256.
    pub(crate) bearer: HashMap<TokenDigest, Arc<Identity>>,
}

pub(crate) struct BasicCredential {
    pub(crate) hash: PasswordHash,
    pub(crate) identity: Arc<Identity>,
}

impl TenantsConfig {
    /// `file` is only what messages call it; `hub` is what counts where the file says nothing of the hub.
    pub fn parse(file: &str, bytes: &[u8], hub: &HubLimits) -> Result<Self> {
        let mut problems = Problems { file, list: Vec::new() };
        match read(bytes, &mut problems).map(|raw| check::check(raw, hub, &mut problems)) {
            Some(config) if problems.list.is_empty() => Ok(config),
            _ => Err(Error::invalid(problems.to_string())),
        }
    }
}

impl fmt::Debug for TenantsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantsConfig")
            .field("hub", &self.hub)
            .field("defaults", &self.defaults)
            .field("tenants", &self.tenants)
            .field("users", &self.credentials.basic.len())
            .field("tokens", &self.credentials.bearer.len())
            .finish()
    }
}

fn read(bytes: &[u8], problems: &mut Problems<'_>) -> Option<raw::File> {
    if bytes.len() as u64 > MAX_FILE_BYTES {
        problems.add(1, format!("the file is larger than {} MiB", MAX_FILE_BYTES >> 20));
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => {
            let line = 1 + bytes[..e.valid_up_to()].iter().filter(|&&b| b == b'\n').count();
            problems.add(line as u64, "the file is not UTF-8");
            return None;
        }
    };
    match serde_saphyr::from_str_with_options(text, yaml_options()) {
        Ok(raw) => Some(raw),
        Err(e) => {
            problems.add(e.location().map_or(1, |l| l.line()), yaml_message(&e));
            None
        }
    }
}

/// Bounds on what a file of [`MAX_FILE_BYTES`] may expand to. No snippets in errors: they would show hashes.
fn yaml_options() -> Options {
    serde_saphyr::options! {
        with_snippet: false,
        duplicate_keys: DuplicateKeyPolicy::Error,
        budget: serde_saphyr::budget! {
            max_depth: 16,
            max_nodes: 500_000,
            max_events: 1_000_000,
            max_documents: 1,
            max_anchors: 1_000,
            max_aliases: 10_000,
            max_total_scalar_bytes: 2 * MAX_FILE_BYTES as usize,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 200_000,
            max_replay_stack_depth: 8,
        },
    }
}

/// The parser's words: without the position, which every message has in front, without its terms for what a
/// YAML file is made of, and without a hash that got where a key or scope should be.
fn yaml_message(e: &serde_saphyr::Error) -> String {
    let text = e.render_with_formatter(&serde_saphyr::UserMessageFormatter);
    let text = text.split(" at line ").next().unwrap_or_default();
    let text = match text {
        "expected mapping start" => "expected `key: value` pairs here",
        "expected sequence start" => "expected a list here",
        "expected string scalar" => "expected a text here",
        other => other,
    };
    let cut = |quoted: &str| match quoted.char_indices().nth(MAX_QUOTED_CHARS) {
        Some(_) => quoted.chars().take(8).chain(['…']).collect(),
        None => quoted.to_owned(),
    };
    let parts = text.split('`').enumerate();
    parts.map(|(i, part)| if i % 2 == 1 { cut(part) } else { part.to_owned() }).collect::<Vec<_>>().join("`")
}

/// No key and no scope is longer; every hash is.
const MAX_QUOTED_CHARS: usize = 32;

/// The mistakes of a file, in the order of their lines.
struct Problems<'a> {
    file: &'a str,
    list: Vec<(u64, String)>,
}

impl Problems<'_> {
    fn add(&mut self, line: u64, what: impl Into<String>) {
        self.list.push((line, what.into()));
    }
}

impl fmt::Display for Problems<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted: Vec<_> = self.list.iter().collect();
        sorted.sort_by_key(|(line, _)| *line);
        for (i, (line, what)) in sorted.iter().take(MAX_PROBLEMS).enumerate() {
            write!(f, "{}{}:{line}: {what}", if i > 0 { "\n" } else { "" }, self.file)?;
        }
        match sorted.len().saturating_sub(MAX_PROBLEMS) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

#[cfg(test)]
mod tests;
