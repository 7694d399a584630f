//! The handle on a bucket: operations with retries, time-outs, limits, metrics and messages.

use crate::backend::{Attempt, Attributes, Backend, Depth, Entry, Got, Page, PutMode, Version, Want};
use crate::config::{BucketConfig, Hedging};
use crate::hedge::{Latencies, hedged};
use crate::key;
use crate::metrics::{BucketMetrics, Meter, Operation};
use crate::retry::{GaveUp, Retry};
use arc_swap::ArcSwap;
use bytes::Bytes;
use futures::stream::{BoxStream, try_unfold};
use futures::{FutureExt, StreamExt, TryStreamExt};
use nilometer_env::{Clock, Fs, Random};
use nilometer_model::{Error, Kind, Result};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tokio::sync::Semaphore;

/// Reads and listings of a bucket that run at the same time; more wait.
const MAX_READS: usize = 64;
/// The same for what changes it.
const MAX_WRITES: usize = 16;
/// Ranges so near to each other are one request, as in Thanos.
const MAX_GAP_BYTES: u64 = 512 << 10;
/// But not a larger one.
const MAX_MERGED_BYTES: u64 = 16 << 20;
/// Of one call's requests for ranges, so many run at the same time.
const RANGES_AT_ONCE: usize = 8;

/// Gives the value of a variable, if it is set.
pub type Env = dyn Fn(&str) -> Option<String> + Send + Sync;

/// The outside world.
#[derive(Clone)]
pub struct Parts {
    pub clock: Arc<dyn Clock>,
    pub fs: Arc<dyn Fs>,
    pub random: Arc<dyn Random>,
    pub metrics: BucketMetrics,
    /// The values of `$(NAME)` in configs.
    pub env: Arc<Env>,
}

/// A bucket. A clone is another handle to the same.
///
/// Keys are paths below the configured prefix, without `/` at their ends. Errors name the bucket, the operation
/// and the object; of kind [`Kind::Unavailable`] are those that pass, perhaps when somebody has done what they
/// say. A write that failed so may have happened all the same.
#[derive(Clone)]
pub struct Bucket(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) current: ArcSwap<Open>,
    pub(crate) parts: Parts,
    pub(crate) source: crate::reload::Source,
    pub(crate) meter: Meter,
    /// Whether the probe saw that the store refuses bodies which are not those that were sent.
    pub(crate) checks_sha256: AtomicBool,
    name: String,
    prefix: String,
    latencies: Latencies,
    reads: Semaphore,
    writes: Semaphore,
}

/// What a changed config replaces.
#[derive(Clone)]
pub(crate) struct Open {
    pub(crate) config: Option<BucketConfig>,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) retry: Retry,
    pub(crate) hedging: Option<Hedging>,
    /// `None`: files are never sent in parts.
    pub(crate) part_bytes: Option<u64>,
    /// 0: as many as [`MAX_READS`] and [`MAX_WRITES`] say.
    pub(crate) connections: usize,
}

impl Bucket {
    /// Makes no request: [`Bucket::probe`] is the first that does.
    pub fn open(config: BucketConfig, parts: Parts) -> Result<Self> {
        Self::with_source(config, parts, crate::reload::Source::default())
    }

    /// In memory: gone with the last handle.
    pub fn memory(parts: Parts) -> Self {
        let open = Open {
            config: None,
            backend: Arc::new(crate::backend::memory::Memory::new(parts.clock.clone())),
            retry: Retry::new(None, None, parts.random.clone()),
            hedging: None,
            part_bytes: Some(crate::upload::DEFAULT_PART_BYTES),
            connections: 0,
        };
        Self::new("memory".into(), String::new(), open, (parts, crate::reload::Source::default()))
    }

    /// The same name, prefix and settings over something else.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn over_another(&self, backend: Arc<dyn Backend>) -> Self {
        let inner = &self.0;
        let open = Open { backend, ..(*inner.current.load_full()).clone() };
        let prefix = inner.prefix.trim_end_matches('/').to_owned();
        let outside = (inner.parts.clone(), crate::reload::Source::default());
        let over = Self::new(inner.name.clone(), prefix, open, outside);
        over.0.checks_sha256.store(inner.checks_sha256.load(Relaxed), Relaxed);
        over
    }

    pub(crate) fn with_source(
        config: BucketConfig,
        parts: Parts,
        source: crate::reload::Source,
    ) -> Result<Self> {
        let (name, prefix) = (config.name(), config.prefix.clone());
        let open = crate::open::open(config, &parts)?;
        Ok(Self::new(name, prefix, open, (parts, source)))
    }

    fn new(
        name: String,
        prefix: String,
        open: Open,
        (parts, source): (Parts, crate::reload::Source),
    ) -> Self {
        let most = |default| if open.connections > 0 { open.connections.min(default) } else { default };
        Bucket(Arc::new(Inner {
            meter: parts.metrics.of(&name, parts.clock.clone()),
            reads: Semaphore::new(most(MAX_READS)),
            writes: Semaphore::new(most(MAX_WRITES)),
            prefix: if prefix.is_empty() { prefix } else { format!("{prefix}/") },
            latencies: Latencies::default(),
            checks_sha256: AtomicBool::new(false),
            current: ArcSwap::from_pointee(open),
            name,
            source,
            parts,
        }))
    }

    /// What metrics and messages call it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// All bytes of an object; an error of kind [`Kind::Limit`] if there are more than `max_bytes`.
    pub async fn get(&self, key: &str, max_bytes: u64) -> Result<Bytes> {
        self.get_versioned(key, max_bytes).await.map(|(bytes, _)| bytes)
    }

    /// The same, with what [`Bucket::update_if_match`] wants.
    pub async fn get_versioned(&self, key: &str, max_bytes: u64) -> Result<(Bytes, Version)> {
        let got = self.read(Operation::Get, key, Want::Whole { max_bytes }).await?;
        Ok((got.bytes, got.version))
    }

    /// Bytes of an object, all of which must be there.
    pub async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        if range.start >= range.end {
            return Ok(Bytes::new());
        }
        self.read(Operation::GetRange, key, Want::Range(range)).await.map(|got| got.bytes)
    }

    /// Several ranges in the order in which they are asked for, in fewer requests where they are near.
    pub async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let merged = merge(ranges);
        let fetches = merged.iter().map(|range| self.get_range(key, range.clone()));
        let fetched: Vec<Bytes> =
            futures::stream::iter(fetches).buffered(RANGES_AT_ONCE).try_collect().await?;
        let slice = |range: &Range<u64>| {
            if range.start >= range.end {
                return Bytes::new();
            }
            let at = merged.partition_point(|m| m.start <= range.start) - 1;
            let from = merged[at].start;
            fetched[at].slice((range.start - from) as usize..(range.end - from) as usize)
        };
        Ok(ranges.iter().map(slice).collect())
    }

    /// Replaces what is there.
    pub async fn put(&self, key: &str, bytes: impl Into<Bytes>) -> Result<Version> {
        self.write(key, bytes.into(), PutMode::Overwrite).await
    }

    /// An error of kind [`Kind::Conflict`] if something is there. Of several who try, one succeeds, provided
    /// that the store can ([`crate::Probe`]) and each has other bytes.
    pub async fn put_if_absent(&self, key: &str, bytes: impl Into<Bytes>) -> Result<Version> {
        self.write(key, bytes.into(), PutMode::IfAbsent).await
    }

    /// An error of kind [`Kind::Conflict`] if something else than that version is there, or nothing.
    pub async fn update_if_match(
        &self,
        key: &str,
        bytes: impl Into<Bytes>,
        version: &Version,
    ) -> Result<Version> {
        self.write(key, bytes.into(), PutMode::IfMatch(version.clone())).await
    }

    /// An error of kind [`Kind::NotFound`] if it is not there.
    pub async fn attributes(&self, key: &str) -> Result<Attributes> {
        self.head(Operation::Attributes, key).await
    }

    pub async fn exists(&self, key: &str) -> Result<bool> {
        match self.head(Operation::Exists, key).await {
            Ok(_) => Ok(true),
            Err(e) if *e.kind() == Kind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// What is not there is deleted already.
    pub async fn delete(&self, key: &str) -> Result<()> {
        let full = self.full(key)?;
        self.run(Operation::Delete, key, 0, move |backend| {
            let full = full.clone();
            async move { backend.delete(&full).await }.boxed()
        })
        .await
        .map_err(|gave_up| self.explain(Operation::Delete, key, gave_up))
    }

    /// Within the store: the bytes do not come here. On a local file system both become one file.
    pub async fn copy(&self, from: &str, to: &str) -> Result<()> {
        let (full_from, full_to) = (self.full(from)?, self.full(to)?);
        self.run(Operation::Copy, from, 0, move |backend| {
            let (from, to) = (full_from.clone(), full_to.clone());
            async move { backend.copy(&from, &to).await }.boxed()
        })
        .await
        .map_err(|gave_up| self.explain(Operation::Copy, from, gave_up))
    }

    /// What is in a folder, page by page as it is taken. The empty one is the bucket. A folder that is not
    /// there is empty.
    pub fn list(&self, folder: &str, depth: Depth) -> BoxStream<'static, Result<Entry>> {
        let folder =
            if folder.is_empty() { String::new() } else { format!("{}/", folder.trim_end_matches('/')) };
        let full = match key::check_folder(&folder) {
            Ok(()) => format!("{}{folder}", self.0.prefix),
            Err(e) => return futures::stream::iter([Err(e)]).boxed(),
        };
        let bucket = self.clone();
        try_unfold(Some(None), move |from: Option<Option<String>>| {
            let (bucket, full) = (bucket.clone(), full.clone());
            async move {
                let Some(from) = from else { return Ok(None) };
                let page = bucket.page(&full, depth, from).await?;
                let strip = bucket.0.prefix.len();
                let entries = page.entries.into_iter().map(move |entry| Ok(without_prefix(entry, strip)));
                Ok::<_, Error>(Some((futures::stream::iter(entries), page.next.map(Some))))
            }
        })
        .try_flatten()
        .boxed()
    }

    async fn page(&self, full: &str, depth: Depth, from: Option<String>) -> Result<Page> {
        let owned = full.to_owned();
        self.run(Operation::Iter, full, 0, move |backend| {
            let (full, from) = (owned.clone(), from.clone());
            async move { backend.list(&full, depth, from).await }.boxed()
        })
        .await
        .map_err(|gave_up| self.explain(Operation::Iter, full, gave_up))
    }

    async fn head(&self, operation: Operation, key: &str) -> Result<Attributes> {
        let full = self.full(key)?;
        self.run(operation, key, 0, move |backend| {
            let full = full.clone();
            async move { backend.head(&full).await }.boxed()
        })
        .await
        .map_err(|gave_up| self.explain(operation, key, gave_up))
    }

    async fn read(&self, operation: Operation, key: &str, want: Want) -> Result<Got> {
        let full = self.full(key)?;
        let bytes = match &want {
            // Those of a whole object are not known yet; most that are read so are small.
            Want::Whole { max_bytes } => (*max_bytes).min(8 << 20),
            Want::Range(range) => range.end - range.start,
        };
        let inner = &self.0;
        let got = self.run(operation, key, bytes, move |backend| {
            let hedging = inner.current.load().hedging;
            let (full, want) = (full.clone(), want.clone());
            async move {
                let attempt = || backend.get(&full, want.clone());
                hedged(hedging, &inner.latencies, || inner.meter.hedged(), attempt).await
            }
            .boxed()
        });
        let got = got.await.map_err(|gave_up| self.explain(operation, key, gave_up))?;
        inner.meter.transferred(operation, got.bytes.len() as u64);
        Ok(got)
    }

    async fn write(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<Version> {
        let full = self.full(key)?;
        let len = bytes.len() as u64;
        let (sent, sent_mode) = (bytes.clone(), mode.clone());
        let put = self.run(Operation::Upload, key, len, move |backend| {
            let (full, bytes, mode) = (full.clone(), sent.clone(), sent_mode.clone());
            async move { backend.put(&full, bytes, mode).await }.boxed()
        });
        let version = match put.await {
            Ok(version) => version,
            // Perhaps it clashes with our own attempt that was not answered.
            Err(gave_up) if gave_up.is_unsure && *gave_up.error.kind() == Kind::Conflict => {
                match self.get_versioned(key, len).await {
                    Ok((there, version)) if there == bytes => version,
                    _ => return Err(self.explain(Operation::Upload, key, gave_up)),
                }
            }
            Err(gave_up) => return Err(self.explain(Operation::Upload, key, gave_up)),
        };
        self.0.meter.transferred(Operation::Upload, len);
        Ok(version)
    }

    /// Attempts with everything around them but the message.
    pub(crate) async fn run<'a, T>(
        &self,
        operation: Operation,
        key: &str,
        bytes: u64,
        attempt: impl Fn(Arc<dyn Backend>) -> Attempt<'a, T>,
    ) -> Result<T, GaveUp> {
        let inner = &self.0;
        inner.meter.started(operation);
        let start = inner.parts.clock.monotonic();
        let retry = inner.current.load().retry.clone();
        let permits = match operation {
            Operation::Upload | Operation::Delete | Operation::Copy => &inner.writes,
            _ => &inner.reads,
        };
        let retried = || {
            inner.meter.retried(operation);
            tracing::debug!(bucket = inner.name, operation = operation.as_str(), key, "an attempt failed");
        };
        // Each attempt by the client of the day: credentials may have been renewed meanwhile.
        let permitted = async {
            // Nobody closes it.
            let _permit = permits.acquire().await.ok();
            let attempt = || attempt(inner.current.load().backend.clone());
            retry.run(bytes, retried, attempt).await
        };
        let result = permitted.await;
        match &result {
            Ok(_) => {
                let seconds = inner.parts.clock.monotonic().saturating_sub(start).as_secs_f64();
                inner.meter.succeeded(operation, seconds);
            }
            // These are answers.
            Err(e) if matches!(e.error.kind(), Kind::NotFound | Kind::Conflict | Kind::Limit { .. }) => {}
            Err(_) => inner.meter.failed(operation),
        }
        result
    }

    pub(crate) fn explain(&self, operation: Operation, key: &str, gave_up: GaveUp) -> Error {
        let GaveUp { error, attempts, .. } = gave_up;
        let tried = if attempts > 1 { format!(" ({attempts} attempts)") } else { String::new() };
        error.context(format_args!("bucket {:?}: {} of {key}{tried}", self.0.name, operation.as_str()))
    }

    pub(crate) fn full(&self, key: &str) -> Result<String> {
        key::check(key)?;
        Ok(format!("{}{key}", self.0.prefix))
    }

    /// Whether what was sent needs no reading back.
    pub(crate) fn checks_sha256(&self) -> bool {
        self.0.checks_sha256.load(Relaxed) && self.0.current.load().backend.sends_sha256()
    }

    pub(crate) fn fs(&self) -> &Arc<dyn Fs> {
        &self.0.parts.fs
    }

    /// File operations block: they are done on a thread where that is allowed.
    pub(crate) async fn with_fs<T: Send + 'static>(
        &self,
        path: &Path,
        work: impl FnOnce(&dyn Fs, &Path) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (fs, owned) = (self.fs().clone(), path.to_owned());
        let done = tokio::task::spawn_blocking(move || work(&*fs, &owned)).await;
        done.map_err(|e| Error::canceled(format!("the work was stopped: {e}")))?
            .map_err(|e| Error::io(path.display(), e))
    }
}

fn without_prefix(entry: Entry, strip: usize) -> Entry {
    let cut = |key: String| key.get(strip..).unwrap_or_default().to_owned();
    match entry {
        Entry::Object { key, attributes } => Entry::Object { key: cut(key), attributes },
        Entry::Folder(key) => Entry::Folder(cut(key)),
    }
}

/// Sorted ranges that hold all of the given ones.
fn merge(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted: Vec<Range<u64>> = ranges.iter().filter(|r| r.start < r.end).cloned().collect();
    sorted.sort_by_key(|r| (r.start, r.end));
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.end <= last.end => {}
            Some(last)
                if range.start < last.end
                    || (range.start - last.end <= MAX_GAP_BYTES
                        && range.end - last.start <= MAX_MERGED_BYTES) =>
            {
                last.end = range.end;
            }
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests;
