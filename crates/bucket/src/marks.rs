//! Small files beside a block that say what is to be done with it, or not; in Thanos' JSON.

use crate::bucket::Bucket;
use nilometer_model::{Error, Kind, Result, Ulid};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The only version there is.
const VERSION: u32 = 1;
/// `details` is a sentence.
const MAX_MARK_BYTES: u64 = 1 << 20;

/// A kind of mark.
pub trait Mark: Serialize + DeserializeOwned + Send + Sync {
    /// Its name in a block's folder.
    const FILE: &'static str;

    fn id(&self) -> Ulid;

    #[doc(hidden)]
    fn version(&self) -> u32;
}

/// The block will be deleted, some time after this was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionMark {
    pub id: Ulid,
    pub version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
    #[serde(rename = "deletion_time")]
    pub deletion_time_seconds: i64,
}

/// The block is left out of compaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoCompactMark {
    pub id: Ulid,
    pub version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
    #[serde(rename = "no_compact_time", default)]
    pub no_compact_time_seconds: i64,
    /// One of [`reason`], or another program's.
    #[serde(default)]
    pub reason: String,
}

/// The block is left out of downsampling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoDownsampleMark {
    pub id: Ulid,
    pub version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
    #[serde(rename = "no_downsample_time", default)]
    pub no_downsample_time_seconds: i64,
    #[serde(default)]
    pub reason: String,
}

/// Why a block is left out, in Thanos' words, which takes others too.
pub mod reason {
    /// Ours: bytes of the block are wrong, or a file is missing.
    pub const CORRUPT: &str = "corrupt";
    pub const MANUAL: &str = "manual";
    pub const INDEX_SIZE_EXCEEDING: &str = "index-size-exceeding";
    pub const OUT_OF_ORDER_CHUNK: &str = "block-index-out-of-order-chunk";
    pub const DOWNSAMPLE_VERTICAL_COMPACTION: &str = "downsample-vertical-compaction";
}

impl DeletionMark {
    pub fn new(id: Ulid, details: impl Into<String>, now_ms: i64) -> Self {
        DeletionMark { id, version: VERSION, details: details.into(), deletion_time_seconds: now_ms / 1_000 }
    }
}

impl NoCompactMark {
    pub fn new(id: Ulid, reason: &str, details: impl Into<String>, now_ms: i64) -> Self {
        NoCompactMark {
            id,
            version: VERSION,
            details: details.into(),
            no_compact_time_seconds: now_ms / 1_000,
            reason: reason.into(),
        }
    }
}

impl NoDownsampleMark {
    pub fn new(id: Ulid, reason: &str, details: impl Into<String>, now_ms: i64) -> Self {
        NoDownsampleMark {
            id,
            version: VERSION,
            details: details.into(),
            no_downsample_time_seconds: now_ms / 1_000,
            reason: reason.into(),
        }
    }
}

macro_rules! mark {
    ($mark:ty, $file:literal) => {
        impl Mark for $mark {
            const FILE: &'static str = $file;

            fn id(&self) -> Ulid {
                self.id
            }

            fn version(&self) -> u32 {
                self.version
            }
        }
    };
}

mark!(DeletionMark, "deletion-mark.json");
mark!(NoCompactMark, "no-compact-mark.json");
mark!(NoDownsampleMark, "no-downsample-mark.json");

/// All that a block's folder may have beside the block.
pub(crate) const FILES: [&str; 3] = [DeletionMark::FILE, NoCompactMark::FILE, NoDownsampleMark::FILE];

pub fn mark_key<M: Mark>(id: Ulid) -> String {
    format!("{id}/{}", M::FILE)
}

impl Bucket {
    /// False if the block has such a mark already: that one stays, with its time, unless it cannot be read.
    pub async fn mark<M: Mark>(&self, mark: &M) -> Result<bool> {
        let key = mark_key::<M>(mark.id());
        match self.read_mark::<M>(mark.id()).await {
            Ok(Some(_)) => return Ok(false),
            Ok(None) => {}
            Err(e) if matches!(e.kind(), Kind::Corrupt { .. }) => {}
            Err(e) => return Err(e),
        }
        let json = serde_json::to_vec(mark).map_err(|e| Error::invalid(format!("{key}: {e}")))?;
        self.put(&key, json).await.map(|_| true)
    }

    /// `None` if there is none. One that cannot be read is an error of kind [`Kind::Corrupt`].
    pub async fn read_mark<M: Mark>(&self, id: Ulid) -> Result<Option<M>> {
        let key = mark_key::<M>(id);
        let json = match self.get(&key, MAX_MARK_BYTES).await {
            Ok(json) => json,
            Err(e) if *e.kind() == Kind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let corrupt = |what: String| Error::corrupt(key.clone(), 0, what);
        let mark: M = serde_json::from_slice(&json).map_err(|e| corrupt(format!("not a mark: {e}")))?;
        if mark.version() != VERSION {
            let version = mark.version();
            return Err(corrupt(format!("a mark of version {version}: only {VERSION} is known")));
        }
        Ok(Some(mark))
    }

    pub async fn unmark<M: Mark>(&self, id: Ulid) -> Result<()> {
        self.delete(&mark_key::<M>(id)).await
    }
}
