//! A bucket in memory, for tests and for what need not last.

use super::{
    Attempt, Attributes, Backend, Depth, Entry, Failure, Got, Page, PartsId, PutMode, Special, Version, Want,
};
use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::BoxFuture;
use nilometer_env::Clock;
use nilometer_model::Error;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// So many entries a page, so that tests turn pages too.
const PAGE_ENTRIES: usize = 100;

pub(crate) struct Memory {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Stored>,
    uploads: BTreeMap<String, BTreeMap<usize, Bytes>>,
    /// Counts writes: each is a version of its own.
    writes: u64,
}

#[derive(Clone)]
struct Stored {
    bytes: Bytes,
    version: u64,
    modified_ms: i64,
}

impl Memory {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Memory { clock, state: Mutex::default() }
    }

    fn read(&self, key: &str, want: &Want) -> Result<Got, Failure> {
        let state = self.state.lock();
        let stored = state.objects.get(key).ok_or_else(|| not_found(key))?;
        let len = stored.bytes.len() as u64;
        let bytes = match want {
            Want::Whole { max_bytes } if len > *max_bytes => return Err(too_large(len, *max_bytes)),
            Want::Whole { .. } => stored.bytes.clone(),
            Want::Range(range) if range.end > len || range.start > range.end => return Err(beyond(len)),
            Want::Range(range) => stored.bytes.slice(range.start as usize..range.end as usize),
        };
        Ok(Got { bytes, version: version(stored.version) })
    }

    fn write(&self, key: &str, bytes: Bytes, mode: &PutMode) -> Result<Version, Failure> {
        let mut state = self.state.lock();
        let there = state.objects.get(key).map(|stored| version(stored.version));
        match (mode, there) {
            (PutMode::IfAbsent, Some(_)) => return Err(conflict("there is an object already")),
            (PutMode::IfMatch(wanted), there) if there.as_ref() != Some(wanted) => {
                return Err(conflict("another version is there"));
            }
            _ => {}
        }
        state.writes += 1;
        let stored = Stored { bytes, version: state.writes, modified_ms: self.clock.wall_ms() };
        let written = version(stored.version);
        state.objects.insert(key.to_owned(), stored);
        Ok(written)
    }

    fn page(&self, folder: &str, depth: Depth, from: Option<&str>) -> Page {
        let state = self.state.lock();
        let mut entries: Vec<Entry> = Vec::new();
        for (key, stored) in state.objects.range(folder.to_owned()..) {
            let Some(rest) = key.strip_prefix(folder) else { break };
            let entry = match (depth, rest.find('/')) {
                (Depth::Folder, Some(at)) => Entry::Folder(key[..=folder.len() + at].to_owned()),
                _ => {
                    let attributes = Attributes {
                        size_bytes: stored.bytes.len() as u64,
                        modified_ms: Some(stored.modified_ms),
                    };
                    Entry::Object { key: key.clone(), attributes }
                }
            };
            let is_old = from.is_some_and(|from| entry.key() <= from);
            if is_old || entries.last().is_some_and(|last| last.key() == entry.key()) {
                continue;
            }
            if entries.len() == PAGE_ENTRIES {
                let next = entries.last().map(|last| last.key().to_owned());
                return Page { entries, next };
            }
            entries.push(entry);
        }
        Page { entries, next: None }
    }
}

pub(super) fn not_found(key: &str) -> Failure {
    Failure::lasting(Error::not_found(format!("there is no object {key}")))
}

pub(super) fn too_large(len: u64, max_bytes: u64) -> Failure {
    let message = format!("the object has {len} bytes, more than are read at once");
    Failure::lasting(Error::limit("object_bytes", max_bytes, message))
}

pub(super) fn beyond(len: u64) -> Failure {
    Failure::lasting(Error::invalid(format!("the range ends behind the object, which has {len} bytes")))
}

pub(super) fn conflict(what: &str) -> Failure {
    Failure::lasting(Error::conflict(what))
}

fn version(number: u64) -> Version {
    Version { etag: Some(number.to_string()), generation: None }
}

impl Backend for Memory {
    fn get<'a>(&'a self, key: &'a str, want: Want) -> Attempt<'a, Got> {
        async move { self.read(key, &want) }.boxed()
    }

    fn head<'a>(&'a self, key: &'a str) -> Attempt<'a, Attributes> {
        async move {
            let state = self.state.lock();
            let stored = state.objects.get(key).ok_or_else(|| not_found(key))?;
            let size_bytes = stored.bytes.len() as u64;
            Ok(Attributes { size_bytes, modified_ms: Some(stored.modified_ms) })
        }
        .boxed()
    }

    fn put<'a>(&'a self, key: &'a str, bytes: Bytes, mode: PutMode) -> Attempt<'a, Version> {
        async move { self.write(key, bytes, &mode) }.boxed()
    }

    fn delete<'a>(&'a self, key: &'a str) -> Attempt<'a, ()> {
        async move {
            self.state.lock().objects.remove(key);
            Ok(())
        }
        .boxed()
    }

    fn list<'a>(&'a self, folder: &'a str, depth: Depth, from: Option<String>) -> Attempt<'a, Page> {
        async move { Ok(self.page(folder, depth, from.as_deref())) }.boxed()
    }

    fn copy<'a>(&'a self, from: &'a str, to: &'a str) -> Attempt<'a, ()> {
        async move {
            let got = self.read(from, &Want::Whole { max_bytes: u64::MAX })?;
            self.write(to, got.bytes, &PutMode::Overwrite).map(drop)
        }
        .boxed()
    }

    fn start_parts<'a>(&'a self, _key: &'a str) -> Attempt<'a, PartsId> {
        async move {
            let mut state = self.state.lock();
            state.writes += 1;
            let id = state.writes.to_string();
            state.uploads.insert(id.clone(), BTreeMap::new());
            Ok(PartsId(id))
        }
        .boxed()
    }

    fn put_part<'a>(
        &'a self,
        _key: &'a str,
        id: &'a PartsId,
        part: usize,
        bytes: Bytes,
    ) -> Attempt<'a, String> {
        async move {
            let mut state = self.state.lock();
            state.uploads.get_mut(&id.0).ok_or_else(no_upload)?.insert(part, bytes);
            Ok(part.to_string())
        }
        .boxed()
    }

    fn finish_parts<'a>(&'a self, key: &'a str, id: &'a PartsId, parts: Vec<String>) -> Attempt<'a, Version> {
        async move {
            let sent = self.state.lock().uploads.remove(&id.0).ok_or_else(no_upload)?;
            let mut whole = BytesMut::new();
            for name in &parts {
                let part = name.parse().ok().and_then(|part: usize| sent.get(&part));
                let missing = || Failure::lasting(Error::invalid(format!("part {name} was never sent")));
                whole.extend_from_slice(part.ok_or_else(missing)?);
            }
            self.write(key, whole.freeze(), &PutMode::Overwrite)
        }
        .boxed()
    }

    fn abort_parts<'a>(&'a self, _key: &'a str, id: &'a PartsId) -> Attempt<'a, ()> {
        async move {
            self.state.lock().uploads.remove(&id.0);
            Ok(())
        }
        .boxed()
    }

    fn probe<'a>(&'a self, _key: &'a str) -> BoxFuture<'a, Special> {
        std::future::ready(Special { checks_sha256: None, object_lock: Some(false) }).boxed()
    }
}

fn no_upload() -> Failure {
    Failure::lasting(Error::not_found("there is no such upload in parts"))
}
