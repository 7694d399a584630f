//! The objstore config: Thanos' YAML, with the same keys.
//!
//! ```yaml
//! type: S3
//! config:
//!   bucket: metrics
//!   endpoint: s3.eu-central-1.amazonaws.com
//! prefix: cluster-a
//! hedging_config: { enabled: true, up_to: 3, quantile: 0.9 }
//! ```
//!
//! A key that is not known is an error with its line and the nearest name; one that has no meaning here is
//! accepted with a warning. `docs/objstore.md` has them all.

mod azure;
mod duration;
mod env;
mod gcs;
mod http;
mod nearest;
mod s3;
mod swift;

pub(crate) use azure::{Azure, AzureCredentials};
pub(crate) use gcs::Gcs;
pub(crate) use http::HttpConfig;
pub(crate) use s3::{Encryption, S3, S3Credentials};
pub(crate) use swift::{Named, Scope, Swift, SwiftAuth};

use nilometer_model::{Error, Result};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_saphyr::{DuplicateKeyPolicy, Options, Spanned};
use std::path::PathBuf;

/// An objstore config may not be larger; those of Thanos' documentation have 2 KiB.
pub const MAX_CONFIG_BYTES: u64 = 1 << 20;
/// Types of Thanos that there are no clients for here.
const NOT_HERE: [&str; 5] = ["COS", "ALIYUNOSS", "BOS", "OCI", "OBS"];
const TYPES: [&str; 5] = ["S3", "GCS", "AZURE", "SWIFT", "FILESYSTEM"];

/// An objstore config that was found to be in order.
#[derive(Clone)]
pub struct BucketConfig {
    pub(crate) provider: ProviderConfig,
    /// In front of every key, without a `/` at its ends; or empty.
    pub(crate) prefix: String,
    pub(crate) hedging: Option<Hedging>,
    /// Keys that were accepted and do nothing, and what that means; for the log.
    pub warnings: Vec<String>,
}

#[derive(Clone, PartialEq)]
pub(crate) enum ProviderConfig {
    Filesystem { directory: PathBuf },
    S3(Box<S3>),
    Gcs(Box<Gcs>),
    Azure(Box<Azure>),
    Swift(Box<Swift>),
}

/// When a read is asked for a second time because the first takes long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Hedging {
    /// Attempts at the same time.
    pub(crate) up_to: usize,
    /// The next attempt starts when this share of recent reads would have been done.
    pub(crate) quantile: f64,
}

impl BucketConfig {
    /// `file` is only what messages call it; `env` gives the values of `$(NAME)`.
    pub fn parse(file: &str, text: &[u8], env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let wrong = |line: u64, what: String| Error::invalid(format!("{file}:{line}: {what}"));
        if text.len() as u64 > MAX_CONFIG_BYTES {
            return Err(wrong(1, format!("the objstore config is larger than {MAX_CONFIG_BYTES} bytes")));
        }
        let text = std::str::from_utf8(text).map_err(|e| wrong(1, format!("it is not UTF-8: {e}")))?;
        let text = env::expand(text, env).map_err(|(line, what)| wrong(line, what))?;
        let kind = read::<IgnoredAny>(&text).map_err(|(line, what)| wrong(line, what))?.kind;
        let notes = Notes { file, warnings: Vec::new() };
        match kind.value.to_ascii_uppercase().as_str() {
            "FILESYSTEM" => finish::<Filesystem>(&text, notes),
            "S3" => finish::<s3::Raw>(&text, notes),
            "GCS" => finish::<gcs::Raw>(&text, notes),
            "AZURE" => finish::<azure::Raw>(&text, notes),
            "SWIFT" => finish::<swift::Raw>(&text, notes),
            other => {
                let known = TYPES.join(", ");
                let what = if NOT_HERE.contains(&other) {
                    format!("there is no client for type {other} yet: {known} can be used")
                } else {
                    format!("type {:?} is not one of {known}", kind.value)
                };
                Err(wrong(kind.defined.line(), what))
            }
        }
    }

    /// A folder of this machine.
    pub fn filesystem(directory: impl Into<PathBuf>) -> Self {
        BucketConfig {
            provider: ProviderConfig::Filesystem { directory: directory.into() },
            prefix: String::new(),
            hedging: None,
            warnings: Vec::new(),
        }
    }

    /// What metrics and messages call the bucket, as in Thanos.
    pub fn name(&self) -> String {
        match &self.provider {
            ProviderConfig::Filesystem { directory } => format!("fs: {}", directory.display()),
            ProviderConfig::S3(s3) => s3.bucket.clone(),
            ProviderConfig::Gcs(gcs) => gcs.bucket.clone(),
            ProviderConfig::Azure(azure) => azure.container.clone(),
            ProviderConfig::Swift(swift) => swift.container.clone(),
        }
    }

    /// Files that the config names, which a client is made of.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let (http, key) = match &self.provider {
            ProviderConfig::Filesystem { .. } => return Vec::new(),
            ProviderConfig::S3(s3) => match &s3.encryption {
                Some(Encryption::Customer { key_file }) => (&s3.http, Some(key_file.clone())),
                _ => (&s3.http, None),
            },
            ProviderConfig::Gcs(gcs) => (&gcs.http, None),
            ProviderConfig::Azure(azure) => (&azure.http, None),
            ProviderConfig::Swift(swift) => (&swift.http, None),
        };
        http.ca_file.clone().into_iter().chain(key).collect()
    }

    /// What must stay the same while a process runs: where the objects are. Credentials may change.
    pub(crate) fn place(&self) -> String {
        let at = match &self.provider {
            ProviderConfig::Filesystem { .. } => "FILESYSTEM".to_owned(),
            ProviderConfig::S3(s3) => format!("S3 at {}", s3.endpoint),
            ProviderConfig::Gcs(_) => "GCS".to_owned(),
            ProviderConfig::Azure(azure) => format!("AZURE at {}", azure.url),
            ProviderConfig::Swift(swift) => {
                format!(
                    "SWIFT at {}, region {:?}",
                    swift.auth_url,
                    swift.region.as_deref().unwrap_or_default()
                )
            }
        };
        format!("{at}, bucket {:?}, prefix {:?}", self.name(), self.prefix)
    }
}

/// The file with the `config` of one type.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<C> {
    #[serde(rename = "type")]
    kind: Spanned<String>,
    config: Option<C>,
    prefix: Option<String>,
    hedging_config: Option<RawHedging>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHedging {
    enabled: Option<bool>,
    up_to: Option<u32>,
    quantile: Option<f64>,
}

/// What is in one type's `config`.
trait Provider: DeserializeOwned {
    /// The mistake is told without a place: the file's name goes in front.
    fn check(self, notes: &mut Notes<'_>) -> Result<ProviderConfig, String>;
}

/// What was accepted but does nothing.
struct Notes<'a> {
    file: &'a str,
    warnings: Vec<String>,
}

impl Notes<'_> {
    fn warn(&mut self, what: impl std::fmt::Display) {
        self.warnings.push(format!("{}: {what}", self.file));
    }

    /// Warns if a key that means nothing here was given another value than the one it has without the key.
    fn unused<T>(&mut self, key: &str, value: Option<&T>, why: &str) {
        if value.is_some() {
            self.warn(format_args!("{key} does nothing here: {why}"));
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filesystem {
    directory: Option<PathBuf>,
}

impl Provider for Filesystem {
    fn check(self, _notes: &mut Notes<'_>) -> Result<ProviderConfig, String> {
        match self.directory {
            Some(directory) if !directory.as_os_str().is_empty() => {
                Ok(ProviderConfig::Filesystem { directory })
            }
            _ => Err("config.directory is missing: it names the folder that is the bucket".into()),
        }
    }
}

fn finish<C: Provider>(text: &str, mut notes: Notes<'_>) -> Result<BucketConfig> {
    let file = notes.file;
    let wrong = |line, what| Error::invalid(format!("{file}:{line}: {what}"));
    let raw = read::<C>(text).map_err(|(line, what)| wrong(line, what))?;
    let line = raw.kind.defined.line();
    let config =
        raw.config.ok_or_else(|| wrong(line, format!("{} needs a section `config`", raw.kind.value)))?;
    let provider = config.check(&mut notes).map_err(|what| wrong(line, what))?;
    let hedging =
        raw.hedging_config.as_ref().map(hedging).transpose().map_err(|what| wrong(line, what))?.flatten();
    let prefix = raw.prefix.unwrap_or_default().trim_matches('/').to_owned();
    if prefix.split('/').any(|part| part == "." || part == "..") {
        return Err(wrong(line, "prefix may not have the parts . and ..".into()));
    }
    Ok(BucketConfig { provider, prefix, hedging, warnings: notes.warnings })
}

fn hedging(raw: &RawHedging) -> Result<Option<Hedging>, String> {
    let hedging = Hedging { up_to: raw.up_to.unwrap_or(3) as usize, quantile: raw.quantile.unwrap_or(0.9) };
    if !(0.0..=1.0).contains(&hedging.quantile) {
        return Err("hedging_config.quantile is a share from 0 to 1".into());
    }
    if !(1..=10).contains(&hedging.up_to) {
        return Err("hedging_config.up_to is a number of attempts from 1 to 10".into());
    }
    Ok((raw.enabled.unwrap_or(false) && hedging.up_to > 1).then_some(hedging))
}

/// A mistake with its line.
fn read<C: DeserializeOwned>(text: &str) -> Result<File<C>, (u64, String)> {
    serde_saphyr::from_str_with_options(text, yaml_options()).map_err(|e: serde_saphyr::Error| {
        let line = e.location().map_or(1, |l| l.line());
        let text = e.render_with_formatter(&serde_saphyr::UserMessageFormatter);
        (line, nearest::message(text.split(" at line ").next().unwrap_or_default()))
    })
}

/// Bounds on what a small file may expand to. No snippets in errors: they would show secrets.
fn yaml_options() -> Options {
    serde_saphyr::options! {
        with_snippet: false,
        duplicate_keys: DuplicateKeyPolicy::Error,
        budget: serde_saphyr::budget! {
            max_depth: 16,
            max_nodes: 10_000,
            max_events: 20_000,
            max_documents: 1,
            max_anchors: 100,
            max_aliases: 1_000,
            max_total_scalar_bytes: 2 * MAX_CONFIG_BYTES as usize,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 10_000,
            max_replay_stack_depth: 8,
        },
    }
}

#[cfg(test)]
mod tests;
