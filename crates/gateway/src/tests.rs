//! A bucket answers as the local blocks that were shipped to it.

use crate::{DiskCache, Gateway, GatewayOptions, Parts, Synced};
use futures::StreamExt;
use futures::executor::block_on;
use nilometer_block::{Block, BlockWriter, ChunkRef};
use nilometer_bucket::layout::{chunk_key, index_key, meta_key};
use nilometer_bucket::marks::DeletionMark;
use nilometer_bucket::testing::{Faults, Handle, sim_parts, with_faults};
use nilometer_bucket::{Bucket, Lookout, ShipOptions};
use nilometer_chunk::{Encoding, encode_floats};
use nilometer_env::sim::{SimClock, SimFs};
use nilometer_env::{Clock, Fs};
use nilometer_model::{BlockMeta, Labels, MatchKind, Matcher, ThanosMeta, TimeRange, Ulid, Value};
use nilometer_storage::{LabelQuery, Merged, Partial, Queryable, Select, WithExternalLabels};
use prometheus_client::registry::Registry;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Runtime;

const HOUR_MS: i64 = 3_600_000;

struct World {
    runtime: Runtime,
    bucket: Bucket,
    faults: Handle,
    fs: SimFs,
    clock: Arc<SimClock>,
    gateway: Arc<Gateway>,
    local: Vec<Block>,
}

impl World {
    fn new() -> World {
        let (parts, clock, fs) = sim_parts(1);
        let (bucket, faults) = with_faults(&Bucket::memory(parts), 1);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let gateway = gateway(&bucket, &runtime, (&fs, &clock));
        World { runtime, bucket, faults, fs, clock, gateway, local: Vec::new() }
    }

    /// Writes a block of two hours, and ships it.
    fn add(&mut self, tenant: &str, number: i64, series: &BTreeMap<Labels, Vec<(i64, f64)>>) -> Ulid {
        let fs: Arc<dyn Fs> = Arc::new(self.fs.clone());
        let dir = Path::new("/blocks");
        fs.create_dir_all(dir).unwrap();
        let ulid = Ulid::new(self.clock.wall_ms() as u64, [self.local.len() as u8; 10]);
        let labels = BTreeMap::from([("tenant_id".to_owned(), tenant.to_owned())]);
        let thanos = Some(ThanosMeta { labels, ..ThanosMeta::default() });
        let (min_time_ms, max_time_ms) = (number * 2 * HOUR_MS, (number + 1) * 2 * HOUR_MS);
        let meta = BlockMeta { ulid, min_time_ms, max_time_ms, thanos, ..BlockMeta::default() };
        let mut writer = BlockWriter::create(&fs, dir, meta).unwrap();
        writer
            .symbols(
                series.keys().flatten().flat_map(|(n, v)| [n, v]).collect::<std::collections::BTreeSet<_>>(),
            )
            .unwrap();
        for (labels, samples) in series {
            let chunks: Vec<_> = samples.chunks(120).map(|c| (c, encode_floats(c.iter().copied()))).collect();
            let chunks: Vec<_> = chunks
                .iter()
                .map(|(samples, data)| ChunkRef {
                    range: TimeRange::new(samples[0].0, samples[samples.len() - 1].0),
                    encoding: Encoding::Xor,
                    data,
                })
                .collect();
            writer.series(labels, &chunks).unwrap();
        }
        let meta = writer.finish().unwrap();
        let path = dir.join(ulid.to_string());
        self.runtime.block_on(self.bucket.ship(&path, &meta, ShipOptions::default())).unwrap();
        self.local.push(Block::new(fs, path).unwrap());
        ulid
    }

    fn sync(&self) -> Synced {
        self.runtime.block_on(self.gateway.sync()).unwrap()
    }

    fn here(&self) -> Merged {
        let block = |block: &Block| {
            Arc::new(WithExternalLabels::new(Arc::new(block.clone()), block.external_labels()))
                as Arc<dyn Queryable>
        };
        Merged::new(self.local.iter().map(block).collect())
    }

    fn there(&self) -> Arc<dyn Queryable> {
        Arc::new(self.gateway.streams(|_| true))
    }
}

fn gateway(bucket: &Bucket, runtime: &Runtime, (fs, clock): (&SimFs, &Arc<SimClock>)) -> Arc<Gateway> {
    let options = GatewayOptions {
        partition: crate::Partition::all(),
        ignore_deletion_marks_delay_ms: 24 * HOUR_MS,
        cache_bytes: 1 << 20,
        disk_cache: Some(DiskCache { dir: "/pages".into(), bytes: 64 << 20 }),
        max_concurrent: 3,
    };
    let lookout = Lookout::new(bucket.clone(), Arc::new(fs.clone()), clock.clone(), "/meta");
    let parts = Parts { clock: clock.clone(), fs: Arc::new(fs.clone()), runtime: runtime.handle().clone() };
    Arc::new(Gateway::new(Arc::new(lookout), parts, options, &mut Registry::default()))
}

/// As if its process ended: tasks may still hold on to what it has open.
fn end(gateway: Arc<Gateway>) {
    let store = Arc::downgrade(&gateway.store);
    drop(gateway);
    while store.strong_count() > 0 {
        std::thread::yield_now();
    }
}

type Rows = Vec<(Labels, Vec<(i64, u64)>)>;

fn rows(from: &dyn Queryable, select: Select) -> (Rows, Vec<String>) {
    let range = select.range;
    let (mut rows, mut warnings) = (Vec::new(), Vec::new());
    let mut batches = from.select(select);
    while let Some(batch) = block_on(batches.next()) {
        let batch = batch.unwrap();
        warnings.extend(batch.warnings);
        for series in batch.series {
            let labels = series.labels.clone();
            let samples = series.samples(range, &mut warnings).unwrap();
            let bits = |(t, v): (i64, Value)| (t, if let Value::Float(v) = v { v.to_bits() } else { 0 });
            rows.push((labels, samples.into_iter().map(bits).collect()));
        }
    }
    (rows, warnings)
}

fn labels(name: &str, pod: &str) -> Labels {
    Labels::from_pairs([("__name__", name), ("pod", pod)])
}

fn usual(number: i64) -> BTreeMap<Labels, Vec<(i64, f64)>> {
    let from = number * 2 * HOUR_MS;
    let samples = |seed: i64| (0..240).map(|i| (from + i * 30_000, (i * seed) as f64)).collect();
    (0..300).map(|n| (labels(["up", "down"][n as usize % 2], &format!("pod-{n}")), samples(n))).collect()
}

fn up() -> Vec<Matcher> {
    vec![Matcher::equal("__name__", "up")]
}

#[test]
fn a_bucket_answers_as_its_blocks_would_here() {
    let mut world = World::new();
    for number in 0..4 {
        world.add(["a", "b"][number as usize % 2], number / 2, &usual(number / 2));
    }
    assert_eq!(world.sync(), Synced { loaded: 4, ..Synced::default() });
    let select = Select::new(up(), TimeRange::new(HOUR_MS, 3 * HOUR_MS));
    let (there, warnings) = rows(&*world.there(), select.clone());
    assert_eq!(warnings, [""; 0]);
    assert_eq!(there.len(), 300);
    assert!(there == rows(&world.here(), select.clone()).0);
    let query = LabelQuery::all(TimeRange::ALL);
    let (here, there) = (world.here(), world.there());
    assert_eq!(block_on(there.label_names(query.clone())).unwrap().names, ["__name__", "pod", "tenant_id"]);
    for name in ["pod", "tenant_id", "nothing"] {
        let of = |from: &dyn Queryable| block_on(from.label_values(name, query.clone())).unwrap().names;
        assert_eq!(of(&*there), of(&here));
    }
    let only_a = world.gateway.streams(|external| external.get("tenant_id") == "a");
    assert_eq!(rows(&only_a, select.clone()).0.len(), 150);
    let only_b = world.gateway.stream(Labels::from_pairs([("tenant_id", "b")]));
    assert_eq!(rows(&only_b, select).0.len(), 150);
}

#[test]
fn what_is_not_known_yet_is_told() {
    let world = World::new();
    let (found, warnings) = rows(&*world.there(), Select::new(up(), TimeRange::ALL));
    assert_eq!((found.len(), warnings.len()), (0, 1));
    world.sync();
    assert_eq!(rows(&*world.there(), Select::new(up(), TimeRange::ALL)), (vec![], vec![]));
}

#[test]
fn after_a_restart_what_was_known_answers_at_once() {
    let mut world = World::new();
    world.add("a", 0, &usual(0));
    world.sync();
    let select = || Select::new(up(), TimeRange::ALL);
    let (before, _) = rows(&*world.there(), select());
    let again = gateway(&world.bucket, &world.runtime, (&world.fs, &world.clock));
    let (found, warnings) = rows(&again.streams(|_| true), select());
    assert!(found == before && !found.is_empty());
    assert!(warnings.len() == 1 && warnings[0].contains("since the start"), "{warnings:?}");
    world.runtime.block_on(again.sync()).unwrap();
    assert_eq!(rows(&again.streams(|_| true), select()).1, [""; 0]);
}

#[test]
fn after_a_restart_what_was_read_is_on_disk() {
    let mut world = World::new();
    world.add("a", 0, &usual(0));
    world.sync();
    let select = || Select::new(up(), TimeRange::ALL);
    let (before, _) = rows(&*world.there(), select());
    let World { runtime, bucket, faults, fs, clock, gateway: old, .. } = world;
    end(old);
    faults.set(Faults { credentials_expired: true, ..Faults::default() });
    let again = gateway(&bucket, &runtime, (&fs, &clock));
    let (found, warnings) = rows(&again.streams(|_| true), select());
    assert!(found == before && !found.is_empty());
    assert!(warnings.len() == 1 && warnings[0].contains("since the start"), "{warnings:?}");
}

#[test]
fn what_is_mended_in_the_store_is_read_again() {
    let mut world = World::new();
    let block = world.add("a", 0, &usual(0));
    world.sync();
    let all = || Select::new(vec![], TimeRange::ALL);
    let (right, _) = rows(&world.here(), all());
    let World { runtime, bucket, fs, clock, gateway: old, .. } = world;
    end(old);
    let put = |key: &str, bytes: Vec<u8>| runtime.block_on(bucket.put(key, bytes)).unwrap();
    for key in [chunk_key(block, 1), index_key(block)] {
        let mended = runtime.block_on(bucket.get(&key, 1 << 30)).unwrap().to_vec();
        let mut damaged = mended.clone();
        let from = damaged.len() / 3;
        damaged[from..from + 40].fill(0xa5);
        put(&key, damaged);
        let again = gateway(&bucket, &runtime, (&fs, &clock));
        runtime.block_on(again.sync()).unwrap();
        let read = || rows(&again.streams(|_| true), all());
        let (found, warnings) = read();
        assert!(found.len() <= right.len() && !warnings.is_empty(), "{key}");
        put(&key, mended);
        // What of the block is open goes when nobody asks for a while.
        again.close_unused();
        again.close_unused();
        let (found, warnings) = read();
        assert!(found == right && warnings.is_empty(), "{key}: {warnings:?}");
        // The next one begins with an empty cache.
        end(again);
        fs.remove_dir_all(Path::new("/pages")).unwrap();
    }
}

#[test]
fn a_block_that_cannot_be_read_costs_a_warning() {
    let mut world = World::new();
    let blocks = [world.add("a", 0, &usual(0)), world.add("a", 1, &usual(1))];
    world.sync();
    world.runtime.block_on(world.bucket.delete(&index_key(blocks[0]))).unwrap();
    let (found, warnings) = rows(&*world.there(), Select::new(up(), TimeRange::ALL));
    assert_eq!(found.len(), 150);
    assert!(found.iter().all(|(_, samples)| samples.len() == 240));
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains(&blocks[0].to_string()), "{warnings:?}");
}

#[test]
fn what_is_marked_leaves_after_a_day_and_what_is_gone_at_once() {
    let mut world = World::new();
    let blocks = [world.add("a", 0, &usual(0)), world.add("a", 1, &usual(1)), world.add("a", 2, &usual(2))];
    assert_eq!(world.sync().loaded, 3);
    let mark = DeletionMark::new(blocks[0], "compacted", world.clock.wall_ms());
    world.runtime.block_on(world.bucket.mark(&mark)).unwrap();
    world.runtime.block_on(world.bucket.remove_block(blocks[1])).unwrap();
    assert_eq!(world.sync().loaded, 2);
    world.clock.advance_ms(24 * HOUR_MS);
    assert_eq!(world.sync(), Synced { loaded: 1, marked: 1, ..Synced::default() });
    let left: Vec<_> = world.gateway.metas().iter().map(|meta| meta.ulid).collect();
    assert_eq!(left, [blocks[2]]);
    assert!(!world.fs.exists(&Path::new("/meta").join(blocks[1].to_string())));
}

#[test]
fn what_is_local_is_not_read_here() {
    let mut world = World::new();
    let blocks = [world.add("a", 0, &usual(0)), world.add("a", 1, &usual(1))];
    assert_eq!(world.gateway.having(&blocks), []);
    world.sync();
    assert_eq!(world.gateway.having(&blocks), blocks);
    world.gateway.set_local([blocks[1]].into());
    let view = world.gateway.streams(|_| true);
    assert!(view.has(TimeRange::new(0, 1)));
    assert!(!view.has(TimeRange::new(2 * HOUR_MS, 4 * HOUR_MS)));
    let (found, _) = rows(&view, Select::new(up(), TimeRange::ALL));
    assert!(found.iter().all(|(_, samples)| samples.len() == 240 && samples[0].0 == 0));
}

#[test]
fn a_downsampled_block_does_not_have_the_samples() {
    let mut world = World::new();
    let block = world.add("a", 0, &usual(0));
    let mut meta = world.local[0].meta().clone();
    meta.thanos.as_mut().unwrap().downsample.resolution_ms = 300_000;
    world.runtime.block_on(world.bucket.put(&meta_key(block), meta.to_json())).unwrap();
    world.sync();
    assert_eq!(world.gateway.having(&[block]), []);
}

#[test]
fn metas_are_fetched_once() {
    let mut world = World::new();
    let blocks = [world.add("a", 0, &usual(0)), world.add("a", 1, &usual(1))];
    world.sync();
    for block in blocks {
        world.runtime.block_on(world.bucket.put(&meta_key(block), "no JSON")).unwrap();
    }
    let mut again = gateway(&world.bucket, &world.runtime, (&world.fs, &world.clock));
    assert_eq!(world.runtime.block_on(again.sync()).unwrap().loaded, 2);
    world.fs.remove_dir_all(Path::new("/meta")).unwrap();
    again = gateway(&world.bucket, &world.runtime, (&world.fs, &world.clock));
    assert_eq!(world.runtime.block_on(again.sync()).unwrap(), Synced { failed: 2, ..Synced::default() });
}

#[test]
fn an_upload_that_is_not_done_is_not_seen() {
    let mut world = World::new();
    let block = world.add("a", 0, &usual(0));
    world.runtime.block_on(world.bucket.delete(&meta_key(block))).unwrap();
    assert_eq!(world.sync(), Synced { partial: 1, ..Synced::default() });
    assert_eq!(rows(&*world.there(), Select::new(up(), TimeRange::ALL)).0.len(), 0);
}

#[test]
fn a_bucket_that_refuses_leaves_what_was_known() {
    let mut world = World::new();
    world.add("a", 0, &usual(0));
    world.sync();
    let select = || Select::new(up(), TimeRange::ALL);
    assert_eq!(rows(&*world.there(), select()).0.len(), 150);
    world.faults.set(Faults { credentials_expired: true, ..Faults::default() });
    assert!(world.runtime.block_on(world.gateway.sync()).is_err());
    // All pages are here.
    assert_eq!(rows(&*world.there(), select()), (rows(&world.here(), select()).0, Vec::new()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_is_asked_for(
        data in prop::collection::btree_map((0..6usize, 0..40usize), prop::collection::btree_map(0..7_200_000i64, any::<i32>(), 1..300), 1..60),
        range in (0..9_000_000i64, 0..9_000_000i64),
        pods in prop::sample::select(vec![".*", "pod-.*", "pod-1.*", "pod-(3|14)", "pod-[2-5]", ".+9", "nothing|"]),
        name in 0..7usize,
    ) {
        let mut world = World::new();
        let series = data.into_iter().map(|((name, pod), samples)| {
            let labels = labels(&format!("m{name}"), &format!("pod-{pod}"));
            (labels, samples.into_iter().map(|(t, v)| (t, f64::from(v))).collect())
        });
        world.add("a", 0, &series.collect());
        world.sync();
        let matchers = vec![
            Matcher::equal("__name__", &format!("m{name}")),
            Matcher::new(MatchKind::Regex, "pod", pods).unwrap(),
        ];
        let range = TimeRange::new(range.0.min(range.1), range.0.max(range.1));
        for matchers in [matchers, vec![]] {
            let select = Select::new(matchers, range);
            prop_assert_eq!(rows(&*world.there(), select.clone()), rows(&world.here(), select));
        }
    }
}
