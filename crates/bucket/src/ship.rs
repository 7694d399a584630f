//! A block goes to the bucket, in Thanos' order, and is there only when every byte is known to be.
//!
//! ```text
//! what is there already? ─▶ chunks/* ─▶ index ─▶ what is there and is none of ours goes ─▶ meta.json
//!                           each: sent, or found and read back; then verified
//! ```
//!
//! Stopped anywhere, it goes on where it was: what is there with the right bytes is not sent again. Until
//! `meta.json` is there, readers see nothing, and a compactor removes the rest after 48 hours.

use crate::backend::{Depth, Entry, Proof};
use crate::bucket::Bucket;
use crate::digest::{Running, of_file};
use crate::layout::{CHUNKS, INDEX, meta_key};
use crate::marks;
use futures::TryStreamExt;
use nilometer_model::{BlockFile, BlockMeta, Error, FileHash, Kind, Result, Ulid};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A block with a million sources has 30 MiB.
pub const MAX_META_BYTES: u64 = 64 << 20;
/// Read back in pieces of this size.
const PIECE_BYTES: u64 = 8 << 20;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShipOptions {
    /// `--hash-func=SHA256`: the digests go into `meta.json` too.
    pub hash_files: bool,
    /// For a copy of a block in another bucket: `meta.json` goes as it is in the folder, byte for byte.
    pub as_it_is: bool,
    /// For buckets that only Prometheus reads.
    pub without_labels: bool,
}

/// What came of it. The block's bytes in the bucket are those of the folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Shipped {
    /// As it is in the bucket.
    pub meta: BlockMeta,
    pub sent_objects: u64,
    pub sent_bytes: u64,
    /// Objects that were there already, with the right bytes.
    pub found_objects: u64,
    /// The whole block was there before, `meta.json` included.
    pub was_there: bool,
}

/// One file of a block in a folder.
struct LocalFile {
    path: PathBuf,
    rel_path: String,
    len: u64,
    /// Where it goes into `meta.json`. Who has to compare bytes finds it out, and most need not.
    sha256: Option<String>,
}

impl Bucket {
    /// Uploads the block in `dir`, whose files nobody changes any more, with `meta` as its `meta.json`: its
    /// section `thanos` must be there, with labels. `upload_time`, `files` and `segment_files` are filled in.
    ///
    /// The folder may be removed when this has returned, and not before.
    pub async fn ship(&self, dir: &Path, meta: &BlockMeta, options: ShipOptions) -> Result<Shipped> {
        self.ship_if(dir, meta, options, async || Ok(())).await
    }

    /// The same, but the block becomes visible only if `may_show` says so, which is asked right before.
    pub async fn ship_if(
        &self,
        dir: &Path,
        meta: &BlockMeta,
        options: ShipOptions,
        may_show: impl AsyncFnOnce() -> Result<()>,
    ) -> Result<Shipped> {
        let id = meta.ulid;
        let has_labels = meta.thanos.as_ref().is_some_and(|thanos| !thanos.labels.is_empty());
        if !has_labels && !options.without_labels {
            let text =
                format!("block {id} has no external labels, by which blocks in a bucket are told apart");
            return Err(Error::invalid(text));
        }
        let files = self.local_files(dir, options.hash_files).await?;
        let mut there = self.objects(id).await?;
        let mut shipped = Shipped {
            meta: meta.clone(),
            sent_objects: 0,
            sent_bytes: 0,
            found_objects: 0,
            was_there: there.remove(BlockMeta::FILE).is_some(),
        };
        for file in &files {
            let key = format!("{id}/{}", file.rel_path);
            let found = there.remove(&file.rel_path);
            if shipped.was_there {
                self.compare_visible(&key, file, found).await?;
                shipped.found_objects += 1;
            } else if found == Some(file.len) && self.read_back(&key, file).await.is_ok() {
                shipped.found_objects += 1;
            } else {
                self.send(&key, file).await?;
                shipped.sent_objects += 1;
                shipped.sent_bytes += file.len;
            }
        }
        if shipped.was_there {
            shipped.meta = self.read_meta(id).await?;
            return Ok(shipped);
        }
        // Of an upload of other files under this name: a reader would take them for the block's.
        for stranger in there.keys().filter(|name| !marks::FILES.contains(&name.as_str())) {
            self.delete(&format!("{id}/{stranger}")).await?;
        }
        may_show().await?;
        self.finish((dir, &mut shipped.meta), &files, options).await?;
        Ok(shipped)
    }

    pub async fn read_meta(&self, id: Ulid) -> Result<BlockMeta> {
        let key = meta_key(id);
        let json = self.get(&key, MAX_META_BYTES).await?;
        let corrupt = |what: &str| Error::corrupt(key.clone(), 0, what);
        let meta = BlockMeta::from_json(&json).map_err(|e| corrupt(e.message()))?;
        if meta.ulid != id {
            return Err(corrupt(&format!("it is that of block {}", meta.ulid)));
        }
        Ok(meta)
    }

    /// Chunks in order, then the index.
    async fn local_files(&self, dir: &Path, hash: bool) -> Result<Vec<LocalFile>> {
        self.with_fs(dir, move |fs, dir| {
            let mut names: Vec<String> = Vec::new();
            for entry in fs.read_dir(&dir.join(CHUNKS))? {
                if !entry.is_dir {
                    names.push(format!("{CHUNKS}/{}", entry.name));
                }
            }
            names.sort();
            names.push(INDEX.into());
            let file = |rel_path: String| {
                let path = dir.join(&rel_path);
                let sha256 = if hash { Some(of_file(fs, &path)?) } else { None };
                Ok(LocalFile { len: fs.open(&path)?.len()?, path, rel_path, sha256 })
            };
            names.into_iter().map(file).collect()
        })
        .await
    }

    /// The objects of a block's folder, by their path in it, and their sizes.
    pub(crate) async fn objects(&self, id: Ulid) -> Result<BTreeMap<String, u64>> {
        let folder = format!("{id}/");
        let entries: Vec<Entry> = self.list(&folder, Depth::All).try_collect().await?;
        let object = |entry: Entry| match entry {
            Entry::Object { key, attributes } => {
                Some((key.strip_prefix(&folder)?.to_owned(), attributes.size_bytes))
            }
            Entry::Folder(_) => None,
        };
        Ok(entries.into_iter().filter_map(object).collect())
    }

    /// A block that is visible is never written to: what differs is somebody else's to explain.
    async fn compare_visible(&self, key: &str, file: &LocalFile, found: Option<u64>) -> Result<()> {
        let what = match found {
            None => "it is missing there",
            Some(len) if len != file.len => "it has another size there",
            Some(_) => match self.read_back(key, file).await {
                Ok(()) => return Ok(()),
                Err(e) if matches!(e.kind(), Kind::Corrupt { .. }) => "it has other bytes there",
                Err(e) => return Err(e),
            },
        };
        Err(Error::conflict(format!(
            "bucket {:?} has a block of this name with another {key}: {what}. The local block is kept; move one \
             of the two away",
            self.name()
        )))
    }

    async fn send(&self, key: &str, file: &LocalFile) -> Result<()> {
        match self.send_file(key, &file.path).await? {
            Proof::Linked => Ok(()),
            Proof::Checksum if self.checks_sha256() => self.check_size(key, file).await,
            Proof::Checksum | Proof::None => self.read_back(key, file).await,
        }
    }

    async fn check_size(&self, key: &str, file: &LocalFile) -> Result<()> {
        let size = self.attributes(key).await?.size_bytes;
        if size == file.len {
            return Ok(());
        }
        let text = format!("the store has {size} bytes of {key} where {} were sent", file.len);
        Err(Error::corrupt(key, size.min(file.len), text))
    }

    /// An error of kind [`Kind::Corrupt`] if the object's bytes are not the file's.
    async fn read_back(&self, key: &str, file: &LocalFile) -> Result<()> {
        self.check_size(key, file).await?;
        let mut digest = Running::default();
        let mut at = 0;
        while at < file.len {
            let to = file.len.min(at + PIECE_BYTES);
            digest.update(&self.get_range(key, at..to).await?);
            at = to;
        }
        let sent = match &file.sha256 {
            Some(sha256) => sha256.clone(),
            None => self.with_fs(&file.path, of_file).await?,
        };
        if digest.finish() == sent {
            return Ok(());
        }
        let text = format!("bucket {:?} gives back other bytes of {key} than were sent", self.name());
        Err(Error::corrupt(key, 0, text))
    }

    async fn finish(
        &self,
        (dir, meta): (&Path, &mut BlockMeta),
        files: &[LocalFile],
        options: ShipOptions,
    ) -> Result<()> {
        let key = meta_key(meta.ulid);
        let json = if options.as_it_is {
            self.with_fs(dir, |fs, dir| fs.read(&dir.join(BlockMeta::FILE))).await?
        } else {
            self.describe(meta, files)?;
            meta.to_json()
        };
        self.put(&key, json.clone()).await?;
        let there = self.get(&key, MAX_META_BYTES).await?;
        if there[..] != json[..] {
            // No reader is to stumble over it; the next attempt begins where this one was.
            self.delete(&key).await?;
            let text = format!("bucket {:?} gives back another {key} than was just put", self.name());
            return Err(Error::corrupt(key, 0, text));
        }
        Ok(())
    }

    /// What is there, and since when.
    fn describe(&self, meta: &mut BlockMeta, files: &[LocalFile]) -> Result<()> {
        let now_ms = self.0.parts.clock.wall_ms();
        let time = jiff::Timestamp::from_millisecond(now_ms)
            .map_err(|e| Error::invalid(format!("the clock shows no time of the calendar: {e}")))?;
        let thanos = meta.thanos.get_or_insert_default();
        thanos.files = files.iter().map(entry).collect();
        thanos.files.push(BlockFile { rel_path: BlockMeta::FILE.into(), ..BlockFile::default() });
        thanos.files.sort_by(|a, b| a.rel_path.cmp(&b.rel_path));
        let chunk =
            |file: &LocalFile| Some(file.rel_path.strip_prefix(CHUNKS)?.trim_start_matches('/').to_owned());
        thanos.segment_files = files.iter().filter_map(chunk).collect();
        thanos.upload_time = Some(time.to_string());
        Ok(())
    }
}

fn entry(file: &LocalFile) -> BlockFile {
    let hash = file.sha256.clone().map(|value| FileHash { hash_func: "SHA256".into(), value });
    BlockFile { rel_path: file.rel_path.clone(), size_bytes: file.len, hash }
}

#[cfg(test)]
mod tests;
