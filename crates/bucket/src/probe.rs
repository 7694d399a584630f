//! What a store can do, found out by doing it.

use crate::bucket::Bucket;
use nilometer_model::{Error, Kind, Result};
use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

/// Of readers, none takes this for a block.
const FOLDER: &str = "nilometer-probe";

/// What a bucket was seen to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Of several who make the same object, one succeeds.
    pub conditional_create: bool,
    /// Of several who replace the same version of an object, one succeeds.
    pub conditional_update: bool,
    /// The store refuses a body that does not have the SHA-256 sent with it; else uploads are read back.
    pub checks_sha256: Option<bool>,
    /// The bucket was made with object lock.
    pub object_lock: Option<bool>,
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |answer: Option<bool>| answer.map_or("unknown", yes_no);
        write!(
            f,
            "conditional create: {}, conditional update: {}, checks SHA-256: {}, object lock: {}",
            yes_no(self.conditional_create),
            yes_no(self.conditional_update),
            known(self.checks_sha256),
            known(self.object_lock),
        )
    }
}

fn yes_no(answer: bool) -> &'static str {
    if answer { "yes" } else { "no" }
}

impl Bucket {
    /// Writes an object under `nilometer-probe/`, looks what the store does, and removes it. Shows thereby
    /// that the bucket can be written, read and deleted from; an error says what cannot be done.
    pub async fn probe(&self) -> Result<Probe> {
        crate::open::prepare(self).await?;
        let key = format!("{FOLDER}/{:016x}", self.0.parts.random.u64());
        let probed = self.probe_by(&key).await;
        let removed = self.delete(&key).await;
        let probe = probed?;
        removed?;
        self.0.checks_sha256.store(probe.checks_sha256 == Some(true), Relaxed);
        Ok(probe)
    }

    async fn probe_by(&self, key: &str) -> Result<Probe> {
        let conditional_create = match self.put_if_absent(key, "1").await {
            Ok(_) => is_refused(self.put_if_absent(key, "2").await)?,
            Err(e) if is_unsupported(&e) => false,
            Err(e) => return Err(e),
        };
        self.put(key, "3").await?;
        let (bytes, version) = self.get_versioned(key, 64).await?;
        if &bytes[..] != b"3" {
            let text = format!("bucket {:?} does not give back what was just put", self.name());
            return Err(Error::unavailable(text));
        }
        let conditional_update = match self.update_if_match(key, "4", &version).await {
            Ok(_) => is_refused(self.update_if_match(key, "5", &version).await)?,
            Err(e) if is_unsupported(&e) => false,
            Err(e) => return Err(e),
        };
        let full = self.full(key)?;
        let backend = self.0.current.load().backend.clone();
        let special = backend.probe(&full).await;
        Ok(Probe {
            conditional_create,
            conditional_update,
            checks_sha256: special.checks_sha256,
            object_lock: special.object_lock,
        })
    }
}

/// Whether the store said no, as it should.
fn is_refused<T>(second: Result<T>) -> Result<bool> {
    match second {
        Ok(_) => Ok(false),
        Err(e) if *e.kind() == Kind::Conflict => Ok(true),
        Err(e) => Err(e),
    }
}

/// A store that does not know conditions says so in one of these ways.
fn is_unsupported(e: &Error) -> bool {
    matches!(e.kind(), Kind::Invalid)
}
