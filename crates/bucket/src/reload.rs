//! A config file that changed is taken without a restart, so that credentials can be rotated.

use crate::bucket::{Bucket, Parts};
use crate::config::{BucketConfig, MAX_CONFIG_BYTES};
use crate::digest::sha256_hex;
use nilometer_model::{Error, Result};
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the config came from.
#[derive(Default)]
pub(crate) struct Source {
    file: Option<PathBuf>,
    /// The digest of what is in use; its lock lets one reload run at a time.
    digest: Mutex<String>,
}

impl Bucket {
    /// `--objstore.config-file`. [`Bucket::reload`] reads it again.
    pub fn from_file(path: &Path, parts: Parts) -> Result<Self> {
        let (config, digest) = read(path, &parts)?;
        Self::with_source(config, parts, Source { file: Some(path.to_owned()), digest: Mutex::new(digest) })
    }

    /// `--objstore.config`.
    pub fn from_text(text: &str, parts: Parts) -> Result<Self> {
        let config = BucketConfig::parse("--objstore.config", text.as_bytes(), &*parts.env)?;
        Self::open(config, parts)
    }

    /// Reads the config file again, if there is one, and what its `$(NAME)` stand for. In order and changed,
    /// it takes effect with the next attempt of each operation, also of those that run. With a mistake, or
    /// with the objects elsewhere, it is refused and what was in use stays so. True if anything changed.
    /// Blocks for as long as it takes to read a small file.
    pub fn reload(&self) -> Result<bool> {
        let inner = &self.0;
        let Some(path) = &inner.source.file else { return Ok(false) };
        let mut digest = inner.source.digest.lock();
        let loaded = read(path, &inner.parts).and_then(|(config, new)| {
            if new == *digest {
                return Ok(false);
            }
            self.replace(config)?;
            *digest = new;
            Ok(true)
        });
        inner.meter.reloaded(match &loaded {
            Ok(true) => "changed",
            Ok(false) => "unchanged",
            Err(_) => "failed",
        });
        loaded
    }

    fn replace(&self, config: BucketConfig) -> Result<()> {
        let inner = &self.0;
        let current = inner.current.load();
        let (before, after) = (current.config.as_ref().map(BucketConfig::place), config.place());
        if before.as_ref() != Some(&after) {
            let before = before.unwrap_or_default();
            let text =
                format!("the objstore config moved the bucket from {before} to {after}: restart for that");
            return Err(Error::invalid(text));
        }
        inner.current.store(Arc::new(crate::open::open(config, &inner.parts)?));
        Ok(())
    }
}

/// The config, and a digest of everything that it depends on.
fn read(path: &Path, parts: &Parts) -> Result<(BucketConfig, String)> {
    let doing = format!("cannot read the objstore config {}", path.display());
    let stat = parts.fs.stat(path).map_err(|e| Error::io(&doing, e))?;
    if stat.len_bytes > MAX_CONFIG_BYTES {
        let text = format!("{doing}: it has {} bytes, more than {MAX_CONFIG_BYTES}", stat.len_bytes);
        return Err(Error::invalid(text));
    }
    let bytes = parts.fs.read(path).map_err(|e| Error::io(&doing, e))?;
    let name = path.file_name().map_or_else(|| path.to_string_lossy(), |name| name.to_string_lossy());
    // A key or certificate file that is named may change too.
    let used = Mutex::new(bytes.clone());
    let env = |name: &str| {
        let value = (parts.env)(name);
        used.lock().extend_from_slice(value.as_deref().unwrap_or_default().as_bytes());
        value
    };
    let config = BucketConfig::parse(&name, &bytes, &env)?;
    for file in config.files() {
        used.lock().extend_from_slice(&parts.fs.read(&file).unwrap_or_default());
    }
    let digest = sha256_hex(&used.lock());
    Ok((config, digest))
}
