//! An object becomes a file, and a block a folder.

use crate::bucket::Bucket;
use crate::inventory::Objects;
use futures::{StreamExt, TryStreamExt};
use nilometer_env::{File, Fs};
use nilometer_model::{Error, Result, Ulid};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const PIECE_BYTES: u64 = 8 << 20;
/// Of an object's pieces, so many are fetched at the same time.
const PIECES_AT_ONCE: usize = 2;

impl Bucket {
    /// Puts the files of a block into a new folder. From a bucket on the same file system they get a second name: who
    /// has the folder must not write to them. A crash may take the folder with it.
    pub async fn download_block(&self, block: Ulid, objects: &Objects, dir: &Path) -> Result<()> {
        let folders: std::collections::BTreeSet<_> =
            objects.keys().filter_map(|name| dir.join(name).parent().map(Path::to_owned)).collect();
        for folder in folders {
            self.with_fs(&folder, |fs, folder| fs.create_scratch_dir_all(folder)).await?;
        }
        for name in objects.keys() {
            let (key, to) = (format!("{block}/{name}"), dir.join(name));
            if !self.link(&key, &to).await {
                self.download_file(&key, &to).await?;
            }
        }
        Ok(())
    }

    /// Where a block is on this machine: there it can be read without asking the bucket.
    pub fn local_block(&self, block: Ulid) -> Option<(Arc<dyn Fs>, PathBuf)> {
        let key = self.full(&block.to_string()).ok()?;
        self.0.current.load().backend.local_folder(&key)
    }

    async fn link(&self, key: &str, to: &Path) -> bool {
        let backend = self.0.current.load().backend.clone();
        let Ok(full) = self.full(key) else { return false };
        match backend.give_file(&full, to) {
            Some(given) => given.await.is_ok(),
            None => false,
        }
    }

    /// Writes an object into a new file, durable under its name when the caller has synced the folder. Says
    /// how many bytes it has. After an error a part of it may be there.
    pub async fn download_file(&self, key: &str, to: &Path) -> Result<u64> {
        let len = self.attributes(key).await?.size_bytes;
        let file = self.with_fs(to, |fs, path| fs.create(path)).await?;
        let pieces = (0..len.div_ceil(PIECE_BYTES))
            .map(|piece| self.get_range(key, piece * PIECE_BYTES..len.min((piece + 1) * PIECE_BYTES)));
        let mut pieces = futures::stream::iter(pieces).buffered(PIECES_AT_ONCE);
        while let Some(bytes) = pieces.try_next().await? {
            on_file(&file, to, move |file| file.append(&bytes)).await?;
        }
        on_file(&file, to, |file| file.sync()).await?;
        Ok(len)
    }
}

async fn on_file(
    file: &Arc<dyn File>,
    path: &Path,
    work: impl FnOnce(&dyn File) -> std::io::Result<()> + Send + 'static,
) -> Result<()> {
    let file = file.clone();
    let done = tokio::task::spawn_blocking(move || work(&*file)).await;
    done.map_err(|e| Error::canceled(format!("the work was stopped: {e}")))?
        .map_err(|e| Error::io(format_args!("cannot write {}", path.display()), e))
}
