//! A file becomes an object: taken whole by a local bucket, sent in parts to others.

use crate::backend::{PartsId, Proof};
use crate::bucket::Bucket;
use crate::metrics::Operation;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryStreamExt};
use nilometer_env::File;
use nilometer_model::{Error, Result};
use std::path::Path;
use std::sync::Arc;

/// In memory at a time, twice; the config's `part_size` changes it.
pub(crate) const DEFAULT_PART_BYTES: u64 = 16 << 20;
/// Of a file's parts, so many are sent at the same time.
const PARTS_AT_ONCE: usize = 2;
/// Swift's limit; the others have more.
const MAX_PARTS: u64 = 1_000;

impl Bucket {
    /// Sends a file that nobody changes any more. In a bucket on the same file system it gets a second name.
    pub async fn upload_file(&self, key: &str, file: &Path) -> Result<()> {
        self.send_file(key, file).await.map(drop)
    }

    /// Says how it is known that the bytes arrived.
    pub(crate) async fn send_file(&self, key: &str, file: &Path) -> Result<Proof> {
        let full = self.full(key)?;
        let backend = self.0.current.load().backend.clone();
        if backend.take_file(&full, file).is_some() {
            let taken = self.run(Operation::Upload, key, 0, |backend| {
                let (full, file) = (full.clone(), file.to_owned());
                async move {
                    match backend.take_file(&full, &file) {
                        Some(taking) => taking.await,
                        None => Ok(Proof::None),
                    }
                }
                .boxed()
            });
            return taken.await.map_err(|gave_up| self.explain(Operation::Upload, key, gave_up));
        }
        let len = self.with_fs(file, |fs, path| fs.stat(path)).await?.len_bytes;
        match self.0.current.load().part_bytes {
            Some(part_bytes) if len > part_bytes => self.send_parts(key, file, (len, part_bytes)).await?,
            _ => {
                let bytes = self.with_fs(file, |fs, path| fs.read(path)).await?;
                self.put(key, bytes).await?;
                return Ok(self.proof());
            }
        }
        self.0.meter.transferred(Operation::Upload, len);
        Ok(self.proof())
    }

    fn proof(&self) -> Proof {
        if self.0.current.load().backend.sends_sha256() { Proof::Checksum } else { Proof::None }
    }

    async fn send_parts(&self, key: &str, file: &Path, (len, part_bytes): (u64, u64)) -> Result<()> {
        let full = self.full(key)?;
        let explain = |gave_up| self.explain(Operation::Upload, key, gave_up);
        let id = self.run(Operation::Upload, key, 0, |backend| {
            let full = full.clone();
            async move { backend.start_parts(&full).await }.boxed()
        });
        let upload = Upload { bucket: self, key, full: &full, id: id.await.map_err(explain)? };
        let sent = upload.send(file, len, part_bytes.max(len.div_ceil(MAX_PARTS))).await;
        if sent.is_err() {
            upload.abort().await;
        }
        sent
    }
}

/// One object on its way.
struct Upload<'a> {
    bucket: &'a Bucket,
    key: &'a str,
    full: &'a str,
    id: PartsId,
}

impl Upload<'_> {
    async fn send(&self, path: &Path, len: u64, part_bytes: u64) -> Result<()> {
        let file = self.bucket.with_fs(path, |fs, path| fs.open(path)).await?;
        let count = len.div_ceil(part_bytes);
        let sends = (0..count).map(|part| {
            let range = part * part_bytes..len.min((part + 1) * part_bytes);
            self.part(file.clone(), part as usize, range)
        });
        let sent = futures::stream::iter(sends).buffered(PARTS_AT_ONCE).try_collect::<Vec<_>>().await?;
        let finish = self.bucket.run(Operation::Upload, self.key, 0, |backend| {
            let (full, id, sent) = (self.full.to_owned(), self.id.clone(), sent.clone());
            async move { backend.finish_parts(&full, &id, sent).await }.boxed()
        });
        let Err(gave_up) = finish.await else { return Ok(()) };
        // Finished by an attempt that was not answered: then there is no such upload any more.
        if gave_up.is_unsure
            && self.bucket.attributes(self.key).await.is_ok_and(|there| there.size_bytes == len)
        {
            return Ok(());
        }
        Err(self.bucket.explain(Operation::Upload, self.key, gave_up))
    }

    async fn part(&self, file: Arc<dyn File>, part: usize, range: std::ops::Range<u64>) -> Result<String> {
        let read = tokio::task::spawn_blocking(move || {
            let size = usize::try_from(range.end - range.start).map_err(std::io::Error::other)?;
            let mut bytes = vec![0; size];
            file.read_exact_at(&mut bytes, range.start).map(|()| Bytes::from(bytes))
        });
        let read = read.await.map_err(|e| Error::canceled(format!("the work was stopped: {e}")))?;
        let bytes = read.map_err(|e| Error::io(format_args!("cannot read what becomes {}", self.key), e))?;
        let send = self.bucket.run(Operation::Upload, self.key, bytes.len() as u64, |backend| {
            let (full, id, bytes) = (self.full.to_owned(), self.id.clone(), bytes.clone());
            async move { backend.put_part(&full, &id, part, bytes).await }.boxed()
        });
        send.await.map_err(|gave_up| self.bucket.explain(Operation::Upload, self.key, gave_up))
    }

    /// What is left is not visible, and the store's own rules remove it; so one attempt will do.
    async fn abort(&self) {
        let backend = self.bucket.0.current.load().backend.clone();
        if let Err(e) = backend.abort_parts(self.full, &self.id).await {
            let error = e.error;
            tracing::warn!(bucket = self.bucket.name(), key = self.key, %error, "parts of an upload are left over");
        }
    }
}
