//! Blocks that are left out of compaction, so that the rest of their group goes on.
//!
//! What cannot be read here may be the fault of the network, of this machine or of this program. A block is left out as
//! corrupt only when the store itself says that a file is missing or has another length than `meta.json` tells, or when
//! two copies, each fetched anew, have the same wrong with them. Its mark is in the bucket, where Thanos heeds it too;
//! who mends the block, or does without it, removes the mark.

use super::compactor::Compactor;
use super::job::Scratch;
use super::metrics::ByMark;
use super::status::{Broken, LeftOut};
use super::stock::Stock;
use crate::NoCompact;
use nilometer_block::{Block, verify};
use nilometer_bucket::layout::{INDEX, meta_key};
use nilometer_bucket::marks::{Mark, NoCompactMark, reason};
use nilometer_bucket::{Inventory, Listed};
use nilometer_env::Fs;
use nilometer_model::{BlockMeta, Error, Kind, Result, Ulid};
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;
use std::sync::Arc;

/// Of one block so many problems are told.
const MAX_TOLD: usize = 5;
/// So many blocks are shown with the reason.
const MAX_SHOWN: usize = 100;
const PIECE_BYTES: usize = 1 << 20;

impl Compactor {
    /// Marks a block, which is neither merged with others nor waited for then.
    pub(crate) async fn leave_out(&self, stock: &mut Stock, why: &NoCompact) -> Result<()> {
        self.check_lease().await?;
        let now_ms = self.parts.clock.wall_ms();
        let mark = NoCompactMark::new(why.ulid, why.reason, why.details.as_str(), now_ms);
        self.bucket().mark(&mark).await?;
        self.metrics.marked.get_or_create(&ByMark { marker: NoCompactMark::FILE, reason: why.reason }).inc();
        stock.marks.no_compact.insert(why.ulid);
        if let Some(listed) = stock.get(why.ulid) {
            self.left_out.lock().insert(why.ulid, left_out(listed, Some(mark)));
        }
        Ok(())
    }

    /// Nothing could be made of blocks: leaves out those to which it is due. Gives the error back where that is none.
    pub(crate) async fn leave_out_corrupt(
        &self,
        stock: &mut Stock,
        blocks: &[Ulid],
        failed: Error,
    ) -> Result<()> {
        let faults = self.examine(stock, blocks, &failed).await?;
        if faults.is_empty() {
            return Err(failed);
        }
        for (ulid, details) in faults {
            tracing::error!(block = %ulid, wrong = details, "this block is corrupt: it is left out from now on, and the rest of its group goes on");
            self.leave_out(stock, &NoCompact { ulid, reason: reason::CORRUPT, details }).await?;
        }
        Ok(())
    }

    /// Of those that are left out, by whomever, reads each mark once.
    pub(crate) async fn note_left_out(&self, inventory: &Inventory) -> Result<()> {
        let is_left_out = |listed: &&Listed| listed.no_compact && listed.marked_ms.is_none();
        let marked: Vec<&Listed> = inventory.blocks.values().filter(is_left_out).collect();
        self.metrics.left_out.set(marked.len() as i64);
        self.left_out.lock().retain(|block, _| marked.iter().any(|listed| listed.meta.ulid == *block));
        for listed in marked.into_iter().take(MAX_SHOWN) {
            let block = listed.meta.ulid;
            if self.left_out.lock().contains_key(&block) {
                continue;
            }
            let mark = match self.bucket().read_mark::<NoCompactMark>(block).await {
                Ok(mark) => mark,
                Err(e) if e.is_passing() => return Err(e),
                // It counts all the same, as in Thanos.
                Err(_) => None,
            };
            self.left_out.lock().insert(block, left_out(listed, mark));
        }
        Ok(())
    }

    /// Whose `meta.json` cannot be read belongs to no group.
    pub(crate) fn note_broken(&self, inventory: &Inventory) {
        for (block, e) in &inventory.broken {
            tracing::error!(%block, error = %e, "a block of the bucket cannot be read and is left alone");
        }
        self.metrics.broken.set(inventory.broken.len() as i64);
        let broken = inventory.broken.iter().take(MAX_SHOWN);
        let broken = broken.map(|(block, e)| Broken { block: *block, reason: e.to_string() }).collect();
        self.status.set(|status| status.broken = broken);
    }

    /// Of blocks of which nothing could be made, those that are to blame, and what is wrong with each.
    async fn examine(&self, stock: &Stock, blocks: &[Ulid], failed: &Error) -> Result<Vec<(Ulid, String)>> {
        let said = failed.to_string();
        let named: Vec<Ulid> = blocks.iter().copied().filter(|b| said.contains(&b.to_string())).collect();
        let mut suspects = if named.is_empty() { blocks.to_vec() } else { named };
        match failed.kind() {
            Kind::Corrupt { .. } | Kind::Invalid | Kind::NotFound => {}
            // That passes, but where a file was not there to be fetched.
            Kind::Unavailable => {
                suspects.retain(|block| stock.get(*block).is_some_and(lacks_files));
            }
            _ => return Ok(Vec::new()),
        }
        let mut faults = Vec::new();
        for block in suspects {
            let Some(listed) = stock.get(block) else { continue };
            if let Some(what) = self.fault_of(listed).await? {
                faults.push((block, what));
            }
        }
        Ok(faults)
    }

    async fn fault_of(&self, listed: &Listed) -> Result<Option<String>> {
        // It may be on its way out.
        if !self.bucket().exists(&meta_key(listed.meta.ulid)).await? {
            return Ok(None);
        }
        if let Some(what) = self.wrong_files(&listed.meta).await? {
            return Ok(Some(what));
        }
        let first = self.look_at(listed).await?;
        if first.problems.is_empty() || self.look_at(listed).await? != first {
            return Ok(None);
        }
        let more = first.problems.len().saturating_sub(MAX_TOLD);
        let told = first.problems.into_iter().take(MAX_TOLD).collect::<Vec<_>>().join("; ");
        Ok(Some(if more > 0 { format!("{told}; and {more} more") } else { told }))
    }

    /// Asks the store for each file of which `meta.json` tells.
    async fn wrong_files(&self, meta: &BlockMeta) -> Result<Option<String>> {
        for (name, size_bytes) in files(meta) {
            match self.bucket().attributes(&format!("{}/{name}", meta.ulid)).await {
                Ok(there) if size_bytes > 0 && there.size_bytes != size_bytes => {
                    let there = there.size_bytes;
                    return Ok(Some(format!("{name} has {there} bytes, meta.json says {size_bytes}")));
                }
                Ok(_) => {}
                Err(e) if *e.kind() == Kind::NotFound => return Ok(Some(format!("{name} is missing"))),
                Err(e) => return Err(e),
            }
        }
        Ok(None)
    }

    /// Fetches another copy.
    async fn look_at(&self, listed: &Listed) -> Result<Look> {
        let (fs, block) = (self.parts.fs.clone(), listed.meta.ulid);
        let scratch =
            Arc::new(Scratch { fs: fs.clone(), dir: self.work_dir().join(format!("{block}-again")) });
        self.bucket().download_block(block, &listed.objects, &scratch.dir).await?;
        let (meta, objects) = (listed.meta.clone(), listed.objects.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let folder = format!("{}/", scratch.dir.display());
            let report = verify(&Block::with_meta(fs.clone(), scratch.dir.clone(), meta));
            let problems = report.problems.iter().map(|problem| problem.replace(&folder, "")).collect();
            let mut bytes = DefaultHasher::new();
            for name in objects.keys() {
                hash_file(&*fs, &scratch.dir.join(name), &mut bytes)?;
            }
            Ok(Look { problems, bytes: bytes.finish() })
        });
        looked.await.map_err(|e| Error::canceled(format!("the work was stopped: {e}")))?
    }
}

/// What is wrong with a copy.
#[derive(PartialEq, Eq)]
struct Look {
    problems: Vec<String>,
    /// A hash of all of them: not this machine's disk gives other ones each time, or none.
    bytes: u64,
}

fn hash_file(fs: &dyn Fs, path: &Path, bytes: &mut DefaultHasher) -> Result<()> {
    let failed = |e| Error::io(format!("reading {}", path.display()), e);
    let file = fs.open(path).map_err(failed)?;
    let (mut at, len) = (0, file.len().map_err(failed)?);
    let mut piece = vec![0; PIECE_BYTES];
    while at < len {
        let size = (len - at).min(PIECE_BYTES as u64);
        file.read_exact_at(&mut piece[..size as usize], at).map_err(failed)?;
        bytes.write(&piece[..size as usize]);
        at += size;
    }
    Ok(())
}

/// Of which `meta.json` tells, and what there has to be; with sizes where they are told.
fn files(meta: &BlockMeta) -> impl Iterator<Item = (&str, u64)> {
    let told = meta.thanos.iter().flat_map(|t| &t.files).filter(|f| f.rel_path != BlockMeta::FILE);
    told.map(|f| (f.rel_path.as_str(), f.size_bytes)).chain([(INDEX, 0)])
}

/// As far as the listing shows.
fn lacks_files(listed: &Listed) -> bool {
    files(&listed.meta).any(|(name, _)| !listed.objects.contains_key(name))
}

fn left_out(listed: &Listed, mark: Option<NoCompactMark>) -> LeftOut {
    let labels = listed.meta.thanos.as_ref().map(|t| t.labels.clone()).unwrap_or_default();
    let block = listed.meta.ulid;
    match mark {
        Some(NoCompactMark { reason, details, no_compact_time_seconds, .. }) => {
            let since_ms = no_compact_time_seconds.saturating_mul(1000);
            LeftOut { block, labels, reason, details, since_ms }
        }
        None => {
            let details = format!("its {} cannot be read", NoCompactMark::FILE);
            LeftOut { block, labels, reason: String::new(), details, since_ms: 0 }
        }
    }
}
