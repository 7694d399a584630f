//! A bucket as a reader beside the processes under test sees it: what lies in it whole, and what tests put there.

use super::Dir;
use futures::StreamExt;
use futures::executor::block_on;
use futures::future::join_all;
use nilometer_block::{Block, BlockWriter, ChunkRef, verify};
use nilometer_bucket::{Bucket, BucketMetrics, Inventory, Lookout, Parts, ShipOptions};
use nilometer_chunk::{Encoding, encode_floats};
use nilometer_env::{Fs, RealFs, SystemClock, SystemRandom};
use nilometer_model::{BlockMeta, Kind, Labels, Result, ThanosMeta, TimeRange, Ulid, Value};
use nilometer_storage::{Queryable, Select};
use prometheus_client::registry::Registry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// As if compacted once already, so that few blocks are work enough.
const BLOCK_MS: i64 = 8 * 3_600_000;
const SAMPLES: i64 = 16;
const PODS: [&str; 2] = ["pod-1", "pod-2"];

/// While others delete blocks, one look may need another.
const MAX_LOOKS: u32 = 50;

/// Tenant, pod and time.
type Key = (String, String, i64);
/// In how many blocks it is, and its value.
pub(crate) type Samples = BTreeMap<Key, (u64, f64)>;

pub(crate) struct Shelf {
    runtime: Runtime,
    bucket: Bucket,
    fs: Arc<dyn Fs>,
    lookout: Lookout,
    /// For blocks on their way.
    dir: PathBuf,
}

/// One look at everything.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// In all raw blocks.
    pub(crate) samples: Samples,
    /// In those alone that are not marked for deletion.
    pub(crate) unmarked: Samples,
    /// Of blocks that are not marked, by resolution.
    pub(crate) blocks: BTreeMap<i64, usize>,
    pub(crate) marked: usize,
}

impl Shelf {
    pub(crate) fn new(config: &str, dir: &Dir) -> Shelf {
        let (fs, clock) = (Arc::new(RealFs), Arc::new(SystemClock::default()));
        let metrics = BucketMetrics::register(&mut Registry::default());
        let random = Arc::new(SystemRandom);
        let parts = Parts { clock: clock.clone(), fs: fs.clone(), random, metrics, env: Arc::new(|_| None) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let bucket = Bucket::from_text(config, parts).unwrap();
        // So that it is known what the store checks by itself.
        runtime.block_on(bucket.probe()).unwrap();
        let dir = dir.path().join("shelf");
        std::fs::create_dir_all(&dir).unwrap();
        let lookout = Lookout::without_files(bucket.clone(), clock);
        Shelf { runtime, bucket, fs, lookout, dir }
    }

    /// Ships raw blocks, each of a tenant and so many blocks after 1970. Gives what is in them.
    pub(crate) fn add(&self, blocks: impl IntoIterator<Item = (&'static str, i64)>) -> Samples {
        let mut samples = Samples::new();
        let metas: Vec<BlockMeta> =
            blocks.into_iter().map(|(tenant, number)| self.write(tenant, number, &mut samples)).collect();
        let ships = metas.iter().map(async |meta| {
            let dir = self.dir.join(meta.ulid.to_string());
            self.bucket.ship(&dir, meta, ShipOptions::default()).await.unwrap();
            std::fs::remove_dir_all(dir).unwrap();
        });
        self.runtime.block_on(join_all(ships));
        samples
    }

    fn write(&self, tenant: &str, number: i64, samples: &mut Samples) -> BlockMeta {
        let min_time_ms = number * BLOCK_MS;
        let mut name = [0; 10];
        name[..tenant.len()].copy_from_slice(tenant.as_bytes());
        let ulid = Ulid::new((min_time_ms + BLOCK_MS) as u64, name);
        let labels = BTreeMap::from([("tenant_id".to_owned(), tenant.to_owned())]);
        let thanos = Some(ThanosMeta { labels, source: "receive".to_owned(), ..ThanosMeta::default() });
        let max_time_ms = min_time_ms + BLOCK_MS;
        let meta = BlockMeta { ulid, min_time_ms, max_time_ms, thanos, ..BlockMeta::default() };
        let mut writer = BlockWriter::create(&self.fs, &self.dir, meta).unwrap();
        writer.symbols(BTreeSet::from(["__name__", "up", "pod", PODS[0], PODS[1]])).unwrap();
        for pod in PODS {
            let at = |i: i64| (min_time_ms + i * (BLOCK_MS / SAMPLES), (number * SAMPLES + i) as f64);
            let of_pod: Vec<_> = (0..SAMPLES).map(at).collect();
            let data = encode_floats(of_pod.iter().copied());
            let range = TimeRange::new(of_pod[0].0, at(SAMPLES - 1).0);
            let chunk = ChunkRef { range, encoding: Encoding::Xor, data: &data };
            writer.series(&Labels::from_pairs([("__name__", "up"), ("pod", pod)]), &[chunk]).unwrap();
            samples.extend(of_pod.into_iter().map(|(t, v)| ((tenant.to_owned(), pod.to_owned(), t), (1, v))));
        }
        writer.finish().unwrap()
    }

    /// All blocks that a reader sees, read and verified to the last byte.
    pub(crate) fn read(&self) -> Contents {
        let mut gone = None;
        for _ in 0..MAX_LOOKS {
            let inventory = self.runtime.block_on(self.lookout.look()).unwrap();
            assert!(inventory.broken.is_empty(), "{:?}", inventory.broken);
            match self.try_read(&inventory) {
                // Deleted since it was listed: another look shows what replaced it.
                Err(e) if *e.kind() == Kind::NotFound => gone = Some(e),
                contents => return contents.unwrap(),
            }
        }
        panic!("{MAX_LOOKS} times a block was listed and not there: {gone:?}");
    }

    fn try_read(&self, inventory: &Inventory) -> Result<Contents> {
        let mut contents = Contents::default();
        for (ulid, listed) in &inventory.blocks {
            let dir = self.dir.join(ulid.to_string());
            let read = self.read_block(*ulid, inventory, &dir);
            let _ = std::fs::remove_dir_all(&dir);
            let is_marked = listed.marked_ms.is_some();
            contents.marked += usize::from(is_marked);
            if !is_marked {
                *contents.blocks.entry(listed.meta.resolution_ms()).or_default() += 1;
            }
            for (key, value) in read? {
                contents.samples.entry(key.clone()).or_insert((0, value)).0 += 1;
                if !is_marked {
                    contents.unmarked.entry(key).or_insert((0, value)).0 += 1;
                }
            }
        }
        Ok(contents)
    }

    /// The samples of a raw block; none of another.
    fn read_block(
        &self,
        ulid: Ulid,
        inventory: &Inventory,
        dir: &std::path::Path,
    ) -> Result<Vec<(Key, f64)>> {
        let listed = &inventory.blocks[&ulid];
        self.runtime.block_on(self.bucket.download_block(ulid, &listed.objects, dir))?;
        let block = Block::new(self.fs.clone(), dir).unwrap();
        let report = verify(&block);
        assert!(report.is_clean(), "block {ulid} is visible and not whole: {:?}", report.problems);
        if listed.meta.resolution_ms() != 0 {
            return Ok(Vec::new());
        }
        let tenant = &listed.meta.thanos.as_ref().unwrap().labels["tenant_id"];
        let (mut samples, mut warnings) = (Vec::new(), Vec::new());
        let mut batches = block.select(Select::new(Vec::new(), TimeRange::ALL));
        while let Some(batch) = block_on(batches.next()) {
            for series in batch.unwrap().series {
                let pod = series.labels.get("pod").to_owned();
                for (t, v) in series.samples(TimeRange::ALL, &mut warnings).unwrap() {
                    let Value::Float(v) = v else { panic!("a histogram from nowhere") };
                    samples.push(((tenant.clone(), pod.clone(), t), v));
                }
            }
        }
        assert_eq!(warnings, [""; 0]);
        Ok(samples)
    }
}
