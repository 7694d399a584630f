//! What a store must be able to do, for everything above it to be written once.
//!
//! A backend does one attempt of one operation and says plainly how it failed. Retries, time-outs, hedging,
//! limits, the prefix, metrics and messages are [`crate::Bucket`]'s.

pub(crate) mod local;
pub(crate) mod memory;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure", feature = "swift"))]
pub(crate) mod remote;

use bytes::Bytes;
use futures::future::BoxFuture;
use nilometer_env::Fs;
use nilometer_model::Error;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Which content of an object is meant, in the store's own words. Compared by the store, never by us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    pub(crate) etag: Option<String>,
    /// GCS' generation; elsewhere nothing.
    pub(crate) generation: Option<String>,
}

/// What a store knows of an object without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    pub size_bytes: u64,
    /// When it was last written, in milliseconds since 1970, by the store's clock.
    pub modified_ms: Option<i64>,
}

/// One line of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Object {
        key: String,
        attributes: Attributes,
    },
    /// With its `/` at the end.
    Folder(String),
}

impl Entry {
    /// The key of an object or folder.
    pub fn key(&self) -> &str {
        match self {
            Entry::Object { key, .. } | Entry::Folder(key) => key,
        }
    }
}

/// How far down a listing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Objects of the folder itself and the names of its folders.
    Folder,
    /// All objects below it; no folders.
    All,
}

#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Entry>,
    /// What to ask for the next one with.
    pub(crate) next: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) enum PutMode {
    Overwrite,
    /// [`nilometer_model::Kind::Conflict`] if something is there.
    IfAbsent,
    /// The same if another version, or nothing, is there.
    IfMatch(Version),
}

pub(crate) struct Got {
    pub(crate) bytes: Bytes,
    pub(crate) version: Version,
}

/// How it is known that a store has the bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// It is the same file, under a second name.
    Linked,
    /// The store was sent their SHA-256 with them and would have refused others, if it looks at it.
    Checksum,
    /// It only said so.
    None,
}

/// Why one attempt failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// Worth another attempt at once. A write may then have happened all the same.
    pub(crate) again: bool,
}

impl Failure {
    pub(crate) fn passing(error: Error) -> Self {
        Failure { error, again: true }
    }

    pub(crate) fn lasting(error: Error) -> Self {
        Failure { error, again: false }
    }
}

pub(crate) type Attempt<'a, T> = BoxFuture<'a, Result<T, Failure>>;

/// What part of an object is wanted.
#[derive(Clone, Debug)]
pub(crate) enum Want {
    /// All of it, if it is not larger.
    Whole {
        max_bytes: u64,
    },
    Range(Range<u64>),
}

/// A file that is being sent in parts.
#[derive(Clone, Debug)]
pub(crate) struct PartsId(pub(crate) String);

pub(crate) trait Backend: Send + Sync + 'static {
    fn get<'a>(&'a self, key: &'a str, want: Want) -> Attempt<'a, Got>;

    fn head<'a>(&'a self, key: &'a str) -> Attempt<'a, Attributes>;

    fn put<'a>(&'a self, key: &'a str, bytes: Bytes, mode: PutMode) -> Attempt<'a, Version>;

    /// An object that is not there is none either way.
    fn delete<'a>(&'a self, key: &'a str) -> Attempt<'a, ()>;

    /// `folder` is empty or ends with `/`; entries come in the order of their keys' bytes where the store
    /// has that order.
    fn list<'a>(&'a self, folder: &'a str, depth: Depth, from: Option<String>) -> Attempt<'a, Page>;

    /// Within the store, without the bytes coming here.
    fn copy<'a>(&'a self, from: &'a str, to: &'a str) -> Attempt<'a, ()>;

    /// Takes a whole file at once, if this store can do that better than by bytes: `None` if it cannot.
    fn take_file<'a>(&'a self, _key: &'a str, _file: &'a Path) -> Option<Attempt<'a, Proof>> {
        None
    }

    /// Gives a whole object a name as a file, without its bytes being copied: `None` if this store cannot, an error
    /// where it could not this time.
    fn give_file<'a>(&'a self, _key: &'a str, _file: &'a Path) -> Option<Attempt<'a, ()>> {
        None
    }

    /// Where a folder is on this machine, if it is.
    fn local_folder(&self, _key: &str) -> Option<(Arc<dyn Fs>, PathBuf)> {
        None
    }

    /// Begins an object whose bytes come in parts. It is not there before [`Backend::finish_parts`].
    fn start_parts<'a>(&'a self, key: &'a str) -> Attempt<'a, PartsId>;

    /// Says what to finish with. A part that is sent again replaces the one of the same number.
    fn put_part<'a>(
        &'a self,
        key: &'a str,
        id: &'a PartsId,
        part: usize,
        bytes: Bytes,
    ) -> Attempt<'a, String>;

    fn finish_parts<'a>(&'a self, key: &'a str, id: &'a PartsId, parts: Vec<String>) -> Attempt<'a, Version>;

    fn abort_parts<'a>(&'a self, key: &'a str, id: &'a PartsId) -> Attempt<'a, ()>;

    /// What only this kind of store can be asked: whether it refuses a body that does not have the SHA-256
    /// sent with it, and whether the bucket has object lock. `key` may be written.
    fn probe<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Special>;

    /// How a body's SHA-256 goes to the store with it.
    fn sends_sha256(&self) -> bool {
        false
    }
}

/// Answers to [`Backend::probe`]; `None` where there is no telling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Special {
    pub(crate) checks_sha256: Option<bool>,
    pub(crate) object_lock: Option<bool>,
}
