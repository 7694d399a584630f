//! A bucket in memory, a disk and a clock that are simulated: processes die at every change of the bucket, requests
//! fail in every way, two compactors meet. What was stored has to be readable at each moment.

mod corrupt;

use super::{Compactor, CompactorOptions, DeletionLog, LeftOut, Parts, Round, Work};
use crate::lifecycle::{Action, Decision, Delays, Periods, Retention};
use crate::{Dedup, FIVE_MINUTES_MS, ONE_HOUR_MS, Planner};
use futures::StreamExt;
use futures::executor::block_on;
use nilometer_block::{Block, BlockWriter};
use nilometer_bucket::testing::{Faults, Handle, sim_parts, with_faults};
use nilometer_bucket::{Bucket, Inventory, Lookout, ShipOptions, layout};
use nilometer_chunk::{Encoding, encode_floats};
use nilometer_env::Fs;
use nilometer_env::sim::{Faults as DiskFaults, SimClock, SimFs, SimRandom};
use nilometer_model::{BlockMeta, Error, Labels, Relabel, Result, ThanosMeta, TimeRange, Ulid, Value};
use nilometer_storage::{ChunkRef, Queryable, Select};
use prometheus_client::registry::Registry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

const HOUR_MS: i64 = 3_600_000;
/// Blocks are as if they had been compacted once already, so that a fortnight is not hundreds of them.
const BLOCK_MS: i64 = 8 * HOUR_MS;
const START_MS: i64 = 14 * 24 * HOUR_MS * 1404;

/// By tenant, pod and time.
type Samples = BTreeMap<(String, String, i64), u64>;

struct World {
    runtime: Runtime,
    clock: Arc<SimClock>,
    fs: SimFs,
    random: Arc<SimRandom>,
    /// Without faults.
    bucket: Bucket,
    faulty: Bucket,
    faults: Handle,
    retention: Retention,
    stored: Samples,
    /// Of each block that was shipped, its samples.
    sources: BTreeMap<Ulid, Samples>,
}

impl World {
    fn new(seed: u64, periods: Periods) -> World {
        let (parts, clock, fs) = sim_parts(seed);
        let bucket = Bucket::memory(parts);
        let (faulty, faults) = with_faults(&bucket, seed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let retention = Retention {
            all: periods,
            tenant_label: "tenant_id".to_owned(),
            downsampling: true,
            ..Retention::default()
        };
        World {
            runtime: runtime.unwrap(),
            clock,
            fs,
            random: Arc::new(SimRandom::new(seed ^ 0x5eed)),
            bucket,
            faulty,
            faults,
            retention,
            stored: BTreeMap::new(),
            sources: BTreeMap::new(),
        }
    }

    fn compactor(&self, dir: &str) -> Result<Compactor> {
        let fs: Arc<dyn Fs> = Arc::new(self.fs.clone());
        let dir = Path::new("/").join(dir);
        fs.create_dir_all(&dir).map_err(|e| Error::io("creating", e))?;
        let lookout = Lookout::new(self.faulty.clone(), fs.clone(), self.clock.clone(), dir.join("metas"));
        let parts = Parts { fs, clock: self.clock.clone(), random: self.random.clone() };
        let options = CompactorOptions {
            planner: Planner { vertical: true, ..Planner::default() },
            delays: Delays::default(),
            dedup: Dedup::OneToOne,
            replica_labels: Vec::new(),
            hash_files: false,
            dir,
            lease_term: Duration::from_secs(60),
            work: Work::default(),
            selector: Relabel::default(),
        };
        let retention = self.retention.clone();
        Compactor::open(
            Arc::new(lookout),
            parts,
            options,
            move || retention.clone(),
            &mut Registry::default(),
        )
    }

    /// Ships a block that begins so many blocks after the start.
    fn add(&mut self, tenant: &str, number: i64, late: bool) -> Ulid {
        let fs: Arc<dyn Fs> = Arc::new(self.fs.clone());
        let dir = Path::new("/cut");
        fs.create_dir_all(dir).unwrap();
        let min_time_ms = START_MS + number * BLOCK_MS;
        let mut name = [late as u8; 10];
        name[..tenant.len()].copy_from_slice(tenant.as_bytes());
        let ulid = Ulid::new((min_time_ms + BLOCK_MS) as u64, name);
        let labels = BTreeMap::from([("tenant_id".to_owned(), tenant.to_owned())]);
        let thanos = Some(ThanosMeta { labels, source: "receive".to_owned(), ..ThanosMeta::default() });
        let meta = BlockMeta {
            ulid,
            min_time_ms,
            max_time_ms: min_time_ms + BLOCK_MS,
            thanos,
            ..BlockMeta::default()
        };
        let mut writer = BlockWriter::create(&fs, dir, meta).unwrap();
        let pods = ["pod-1", "pod-2", "pod-3"];
        writer.symbols(BTreeSet::from(["__name__", "up", "pod", pods[0], pods[1], pods[2]])).unwrap();
        let mut samples = Samples::new();
        for pod in pods {
            let times = (0..12).map(|i| min_time_ms + i * 40 * 60_000 + i64::from(late));
            let of_pod: Vec<_> = times.map(|t| (t, self.random.below(1000) as f64)).collect();
            let data = encode_floats(of_pod.iter().copied());
            let range = TimeRange::new(of_pod[0].0, of_pod[11].0);
            let chunk = ChunkRef { range, encoding: Encoding::Xor, data: &data };
            writer.series(&Labels::from_pairs([("__name__", "up"), ("pod", pod)]), &[chunk]).unwrap();
            let key = |t| (tenant.to_owned(), pod.to_owned(), t);
            samples.extend(of_pod.into_iter().map(|(t, v)| (key(t), v.to_bits())));
        }
        let meta = writer.finish().unwrap();
        let dir = dir.join(ulid.to_string());
        let shipped = self.bucket.ship(&dir, &meta, ShipOptions::default());
        self.runtime.block_on(shipped).unwrap();
        self.stored.extend(samples.clone());
        self.sources.insert(ulid, samples);
        ulid
    }

    /// A fortnight and a bit of two tenants, which ended days ago.
    fn fill(&mut self) {
        for number in 0..50 {
            for tenant in ["a", "b"] {
                self.add(tenant, number, false);
                if self.random.one_in(12) {
                    self.add(tenant, number, true);
                }
            }
        }
        // So that they are old enough to be trusted.
        self.clock.advance_ms(HOUR_MS);
    }

    fn inventory(&self) -> Inventory {
        let fs: Arc<dyn Fs> = Arc::new(self.fs.clone());
        let lookout = Lookout::new(self.bucket.clone(), fs, self.clock.clone(), "/check/metas");
        self.runtime.block_on(lookout.look()).unwrap()
    }

    fn samples(&self, inventory: &Inventory, block: Ulid) -> Samples {
        let listed = &inventory.blocks[&block];
        let dir = Path::new("/check").join(block.to_string());
        let got = self.bucket.download_block(block, &listed.objects, &dir);
        self.runtime.block_on(got).unwrap();
        let read = Block::new(Arc::new(self.fs.clone()), &dir).unwrap();
        let tenant = listed.meta.thanos.as_ref().unwrap().labels["tenant_id"].clone();
        let (mut samples, mut warnings) = (Samples::new(), Vec::new());
        let mut batches = read.select(Select::new(Vec::new(), TimeRange::ALL));
        while let Some(batch) = block_on(batches.next()) {
            let batch = batch.unwrap();
            warnings.extend(batch.warnings);
            for series in batch.series {
                let pod = series.labels.get("pod").to_owned();
                for (t, v) in series.samples(TimeRange::ALL, &mut warnings).unwrap() {
                    let Value::Float(v) = v else { panic!("a histogram from nowhere") };
                    samples.insert((tenant.clone(), pod.clone(), t), v.to_bits());
                }
            }
        }
        assert_eq!(warnings, [""; 0]);
        self.fs.remove_dir_all(&dir).unwrap();
        samples
    }

    /// Every sample is in a raw block that can be read, or went into one that is thinned out, if it may have gone.
    fn check(&self, context: &str) {
        let inventory = self.inventory();
        assert!(inventory.broken.is_empty(), "{context}: {:?}", inventory.broken);
        let mut there = Samples::new();
        let mut thinned: BTreeSet<Ulid> = BTreeSet::new();
        for (block, listed) in &inventory.blocks {
            if listed.meta.resolution_ms() == 0 {
                there.extend(self.samples(&inventory, *block));
            } else {
                thinned.extend(&listed.meta.compaction.sources);
            }
        }
        let may_go = self.retention.all.raw_ms != 0;
        for (source, samples) in &self.sources {
            let missing = samples.iter().filter(|(key, bits)| there.get(*key) != Some(*bits)).count();
            if missing > 0 {
                assert!(
                    may_go && thinned.contains(source),
                    "{context}: {missing} samples of {source} are gone"
                );
            }
        }
        assert!(there.keys().all(|key| self.stored.contains_key(key)), "{context}: samples from nowhere");
    }

    /// Rounds without faults, until deletions are done too.
    fn settle(&self) {
        self.faults.set(Faults::default());
        let compactor = self.compactor("one").unwrap();
        for _ in 0..5 {
            // A torn lease is somebody's for a term.
            while self.runtime.block_on(compactor.once()).unwrap() != Round::Done {
                self.clock.advance_ms(20_000);
            }
            self.clock.advance_ms(49 * HOUR_MS);
        }
        let status = compactor.status();
        assert!(status.quarantined.is_empty(), "{status:?}");
        assert!(!status.left_out.iter().any(LeftOut::is_corrupt), "nothing was: {status:?}");
    }
}

fn no_periods() -> Periods {
    Periods::default()
}

/// What a fortnight comes to.
fn check_end(world: &World) {
    let inventory = world.inventory();
    assert_eq!((inventory.partial.len(), inventory.broken.len()), (0, 0));
    let of = |resolution_ms: i64, tenant: &str| {
        let blocks = inventory.blocks.values().filter(|l| l.meta.resolution_ms() == resolution_ms);
        let metas = blocks.map(|l| &l.meta);
        let of_tenant = metas.filter(|m| m.thanos.as_ref().unwrap().labels["tenant_id"] == tenant);
        of_tenant.cloned().collect::<Vec<_>>()
    };
    for tenant in ["a", "b"] {
        let raw = of(0, tenant);
        let stored = world.stored.keys().filter(|(t, ..)| t == tenant).count() as u64;
        if world.retention.all.raw_ms == 0 {
            assert_eq!(raw.iter().map(|m| m.stats.num_samples).sum::<u64>(), stored, "nothing twice");
            assert!(raw.iter().any(|m| m.max_time_ms - m.min_time_ms == 14 * 24 * HOUR_MS), "{raw:?}");
        }
        for resolution_ms in [FIVE_MINUTES_MS, ONE_HOUR_MS] {
            let thinned = of(resolution_ms, tenant);
            let is_long = |m: &&Arc<BlockMeta>| m.max_time_ms - m.min_time_ms >= 13 * 24 * HOUR_MS;
            let shape = |m: &Arc<BlockMeta>| {
                let hours = |ms: i64| (ms - START_MS) as f64 / HOUR_MS as f64;
                (
                    m.ulid,
                    m.compaction.level,
                    hours(m.min_time_ms),
                    hours(m.max_time_ms),
                    m.compaction.sources.len(),
                )
            };
            let shapes: Vec<_> = thinned.iter().map(shape).collect();
            assert_eq!(
                thinned.iter().filter(is_long).count(),
                1,
                "of {tenant} at {resolution_ms} ms: {shapes:?}"
            );
        }
    }
    let marked = inventory.blocks.values().filter(|l| l.marked_ms.is_some()).count();
    assert_eq!(marked, 0, "all that was marked is gone");
}

/// Each deletion is in the log, and was marked there before.
fn check_log(world: &World) {
    // A line that a crash cut short is anything; the next one begins behind it.
    let log = world.fs.read(Path::new("/one/deletions.jsonl")).unwrap();
    let log = String::from_utf8_lossy(&log);
    let mut marked = BTreeSet::new();
    for line in log.lines().filter(|line| !line.is_empty()) {
        let Ok(line) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let block = line["block"].as_str().unwrap().to_owned();
        match line["action"].as_str().unwrap() {
            "mark" => drop(marked.insert(block)),
            _ => assert!(
                marked.contains(&block) || line["reason"].as_str().unwrap().contains("given up"),
                "{line}"
            ),
        }
    }
    let there = world.inventory().blocks;
    for source in world.sources.keys().filter(|s| !there.contains_key(s)) {
        assert!(marked.contains(&source.to_string()), "{source} went without a word");
    }
}

#[test]
fn a_fortnight_becomes_few_blocks() {
    let mut world = World::new(1, no_periods());
    world.fill();
    world.check("before");
    world.settle();
    world.check("after");
    check_end(&world);
    check_log(&world);
}

#[test]
fn what_is_thinned_out_once_is_merged_afterwards() {
    let mut world = World::new(6, no_periods());
    let compactor = world.compactor("one").unwrap();
    let mut thinned = BTreeMap::new();
    for number in 0..50 {
        world.add("a", number, false);
        world.clock.advance_ms(BLOCK_MS);
        assert_eq!(world.runtime.block_on(compactor.once()).unwrap(), Round::Done);
        let blocks = world.inventory().blocks.into_values().map(|listed| listed.meta);
        thinned.extend(blocks.filter(|m| m.resolution_ms() > 0).map(|m| (m.ulid, m)));
    }
    for resolution_ms in [FIVE_MINUTES_MS, ONE_HOUR_MS] {
        let mut found = thinned.values().filter(|m| m.resolution_ms() == resolution_ms);
        let long = found.find(|m| m.max_time_ms - m.min_time_ms > 10 * 24 * HOUR_MS).unwrap();
        assert_eq!(long.compaction.parents.len(), 7);
        for parent in &long.compaction.parents {
            assert_eq!(thinned[&parent.ulid].resolution_ms(), resolution_ms, "{parent:?}");
        }
    }
    world.check("at the end");
}

#[test]
fn what_comes_after_its_neighbours_were_thinned_out_is_merged_with_them() {
    let day_ms = 24 * HOUR_MS;
    let mut world =
        World::new(7, Periods { raw_ms: 2 * day_ms, five_minutes_ms: 60 * day_ms, one_hour_ms: 0 });
    // Two days at the beginning and two in the middle, whose samples are gone when the others come.
    let (first, later): (Vec<i64>, Vec<i64>) = (0..50).partition(|number| matches!(number, 0..6 | 18..24));
    for numbers in [first, later] {
        for (number, tenant) in numbers.into_iter().flat_map(|number| [(number, "a"), (number, "b")]) {
            world.add(tenant, number, false);
        }
        world.clock.advance_ms(HOUR_MS);
        world.settle();
    }
    world.check("at the end");
    check_end(&world);
}

/// A life: processes that die after some changes of the bucket or of their disk, which is as a power cut leaves it, and
/// faults of both.
fn live(seed: u64) {
    let day_ms = 24 * HOUR_MS;
    let periods = match seed % 3 {
        0 => no_periods(),
        1 => Periods { raw_ms: 4 * day_ms, ..no_periods() },
        _ => Periods { raw_ms: 2 * day_ms, five_minutes_ms: 60 * day_ms, one_hour_ms: 0 },
    };
    let mut world = World::new(seed, periods);
    world.fill();
    for step in 0..12 {
        let once_in = |n: u64| if world.random.one_in(3) { n } else { 0 };
        // Who dies cannot mend what a store has torn.
        let torn_one_in = once_in(30);
        let dies = torn_one_in == 0;
        // At any change of the local disk, or it fails now and then.
        let disk = match world.random.below(4) {
            0 => DiskFaults {
                die_after_changes: Some(world.random.below(1 << world.random.below(12))),
                ..DiskFaults::default()
            },
            1 => DiskFaults { append_fails_one_in: 200, sync_fails_one_in: 200, ..DiskFaults::default() },
            _ => DiskFaults::default(),
        };
        world.fs.set_faults(disk);
        // Otherwise the disk is gone, and the process goes on.
        let dies_with = (dies && world.random.one_in(2)).then(|| world.fs.clone());
        world.faults.set(Faults {
            dies_with,
            error_one_in: once_in(20),
            unanswered_one_in: once_in(20),
            torn_one_in,
            listing_lag: if world.random.one_in(4) { 2 } else { 0 },
            die_after_changes: dies.then(|| world.random.below(40)),
            ..Faults::default()
        });
        // One that dies while it begins is no harm.
        if let Ok(compactor) = world.compactor("one") {
            let _ = world.runtime.block_on(compactor.once());
        }
        world.fs.crash();
        world.fs.set_faults(DiskFaults::default());
        world.faults.set(Faults::default());
        world.check(&format!("seed {seed}, step {step}"));
        world.clock.advance_ms(world.random.below(20 * HOUR_MS as u64) as i64);
    }
    world.settle();
    world.check(&format!("seed {seed}, at the end"));
    check_end(&world);
    check_log(&world);
}

struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("with NILOMETER_SEED={} NILOMETER_SEEDS=1", self.0);
        }
    }
}

/// `NILOMETER_SEED` and `NILOMETER_SEEDS` say where to begin and how many, for longer runs by hand.
#[test]
fn compactors_that_die() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("NILOMETER_SEED").unwrap_or(0);
    for seed in first..first + number("NILOMETER_SEEDS").unwrap_or(6) {
        let _named = Named(seed);
        live(seed);
    }
}

#[test]
fn two_compactors_do_not_work_at_once() {
    let mut world = World::new(3, no_periods());
    world.fill();
    let (one, two) = (world.compactor("one").unwrap(), world.compactor("two").unwrap());
    assert_eq!(world.runtime.block_on(one.once()).unwrap(), Round::Done);
    let waits = |round| matches!(round, Ok(Round::Waits { .. }));
    assert!(waits(world.runtime.block_on(two.once())));
    world.clock.advance_ms(59_000);
    assert!(waits(world.runtime.block_on(two.once())));
    world.clock.advance_ms(2_000);
    assert_eq!(world.runtime.block_on(two.once()).unwrap(), Round::Done);
    // The first one was paused meanwhile. It finds out before it changes anything.
    let lost = world.runtime.block_on(one.check_lease()).unwrap_err();
    assert!(lost.message().contains("another compactor"), "{lost}");
    assert!(waits(world.runtime.block_on(one.once())));
}

#[test]
fn a_line_that_counts_is_on_the_disk() {
    let sim = SimFs::new(1);
    let fs: Arc<dyn Fs> = Arc::new(sim.clone());
    let log = DeletionLog::open(&fs, Path::new("/log")).unwrap();
    let write = |number: u64| {
        let ulid = Ulid::new(number, [0; 10]);
        let decision = Decision { ulid, action: Action::Delete, reason: "of age".to_owned() };
        log.write(&decision, None, 0).map(|()| ulid)
    };
    let first = write(1).unwrap();
    sim.set_faults(DiskFaults { sync_fails_one_in: 1, ..DiskFaults::default() });
    write(2).unwrap_err();
    sim.set_faults(DiskFaults::default());
    let third = write(3).unwrap();
    sim.crash();
    let text = String::from_utf8(fs.read(Path::new("/log/deletions.jsonl")).unwrap()).unwrap();
    for block in [first, third] {
        assert!(text.lines().any(|line| line.contains(&block.to_string())), "{block} in {text}");
    }
}

#[test]
fn without_conditional_writes_heartbeats_tell() {
    use super::lease::{Lease, Turn};
    let world = World::new(5, no_periods());
    let term = Duration::from_secs(60);
    let lease =
        |name: &str| Lease::new(world.bucket.clone(), world.clock.clone(), name.to_owned(), term, false);
    let (a, b) = (lease("a"), lease("b"));
    let take = |lease: &Lease| world.runtime.block_on(lease.take()).unwrap();
    let waits = |turn: Turn| matches!(turn, Turn::Others { .. });
    assert!(waits(take(&b)));
    world.clock.advance_ms(60_000);
    assert_eq!(take(&b), Turn::Ours);
    // It works already, so the one with the smaller name waits too, however long.
    for _ in 0..10 {
        assert!(waits(take(&a)));
        world.clock.advance_ms(20_000);
        assert_eq!(take(&b), Turn::Ours);
    }
    // It is gone without a word.
    assert!(waits(take(&a)));
    world.clock.advance_ms(60_000);
    assert_eq!(take(&a), Turn::Ours);
}
