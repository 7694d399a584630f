//! Random lives of a head: writes, late writes, failing disks, cuts, snapshots, crashes. Whatever happens,
//! what was acknowledged is there, nothing is there that was not sent, and nothing twice.

use super::world::{Contents, World, series};
use crate::HeadOptions;
use nilometer_env::sim::{Faults, SimRandom};
use nilometer_model::Labels;
use std::collections::{BTreeMap, BTreeSet};

const MINUTE: i64 = 60_000;
const TENANTS: [&str; 2] = ["a", "b"];

/// What was sent, by tenant, series and time: all values that were ever sent, and the one that was
/// acknowledged.
#[derive(Default)]
struct Model {
    sent: BTreeMap<(usize, Labels, i64), BTreeSet<u64>>,
    acknowledged: BTreeMap<(usize, Labels, i64), u64>,
}

struct Life {
    seed: u64,
    world: World,
    random: SimRandom,
    model: Model,
    /// What each request held.
    requests: Vec<BTreeSet<(usize, Labels, i64)>>,
    steps: u64,
}

impl Life {
    fn new(seed: u64) -> Life {
        let options = HeadOptions {
            out_of_order_window_ms: 30 * MINUTE,
            retention_ms: 0,
            reserve_bytes: 0,
            snapshot_after_bytes: 20_000,
            ..HeadOptions::default()
        };
        let random = SimRandom::new(seed.wrapping_mul(0x9e37) ^ 7);
        Life {
            seed,
            world: World::with(seed, options),
            random,
            model: Model::default(),
            requests: Vec::new(),
            steps: 0,
        }
    }

    fn step(&mut self) {
        self.steps += 1;
        let action = self.random.below(100);
        if std::env::var_os("NILOMETER_TRACE").is_some() {
            eprintln!("step {} action {action} at {}", self.steps, self.world.now());
        }
        match action {
            0..60 => self.write(),
            60..75 => self.world.advance(self.random.below(40) as i64 * MINUTE),
            75..85 => self.world.head().maintain(),
            85..88 => self.world.head().snapshot(),
            88..91 => {
                // A failure leaves everything as it was.
                let _ = self.world.head().cut_everything();
            }
            91..94 => self.faults(),
            94..97 => self.come_back(|world| world.restart()),
            _ => self.come_back(|world| world.crash()),
        }
    }

    fn faults(&mut self) {
        let odds = [0, 0, 2, 5][self.random.below(4) as usize];
        self.world.fs.set_faults(Faults {
            sync_fails_one_in: odds,
            append_fails_one_in: odds * 2,
            read_fails_one_in: odds * 3,
            ..Faults::default()
        });
    }

    /// A request of a few series, mostly newer samples, some late, some sent before.
    fn write(&mut self) {
        let tenant = self.random.below(2) as usize;
        let now = self.world.now();
        let mut request: Vec<(Labels, Vec<(i64, f64)>)> = Vec::new();
        for _ in 0..=self.random.below(4) {
            let labels = series(self.random.below(6));
            let mut samples = Vec::new();
            for n in 0..=self.random.below(40) as i64 {
                let back = match self.random.below(10) {
                    0 => self.random.below(60) as i64 * MINUTE,
                    _ => 0,
                };
                samples.push((now - back + n * 1000, self.random.below(5) as f64));
            }
            request.push((labels, samples));
        }
        self.world.advance(60_000);
        let times = |(l, s): &(Labels, Vec<(i64, f64)>)| {
            s.iter().map(|(t, _)| (tenant, l.clone(), *t)).collect::<Vec<_>>()
        };
        self.requests.push(request.iter().flat_map(times).collect());
        for (labels, samples) in &request {
            for (t, v) in samples {
                self.model.sent.entry((tenant, labels.clone(), *t)).or_default().insert(v.to_bits());
            }
        }
        let Ok(appended) = self.world.push(TENANTS[tenant], &request) else { return };
        if self.random.one_in(5) {
            return; // Nobody waited for the answer.
        }
        let _ = self.world.head().flush_log();
        if !self.world.is_durable(&appended) || !appended.refused.is_empty() {
            // What exactly of a request with refusals is stored, the answer does not say.
            return;
        }
        for (labels, samples) in request {
            for (t, v) in samples {
                // The first value of a time is the one that counts; another would have been refused.
                self.model.acknowledged.entry((tenant, labels.clone(), t)).or_insert(v.to_bits());
            }
        }
    }

    fn come_back(&mut self, how: impl Fn(&mut World)) {
        self.world.fs.set_faults(Faults::default());
        how(&mut self.world);
        self.check();
    }

    fn check(&self) {
        self.check_contents(&TENANTS.map(|t| self.world.read(t)));
    }

    fn check_contents(&self, contents: &[Contents]) {
        let context = format!("seed {}, step {}", self.seed, self.steps);
        for ((tenant, labels, t), v) in &self.model.acknowledged {
            let stored = with_tenant(labels, *tenant);
            let samples = contents[*tenant].get(&stored);
            let found = samples.and_then(|s| s.binary_search_by_key(t, |(t, _)| *t).ok().map(|at| s[at].1));
            assert_eq!(found, Some(*v), "{context}: {stored} at {t} was acknowledged");
        }
        for (tenant, contents) in contents.iter().enumerate() {
            for (labels, samples) in contents {
                for (t, v) in samples {
                    let sent = self.model.sent.get(&(tenant, labels.without("tenant_id"), *t));
                    assert!(sent.is_some_and(|s| s.contains(v)), "{context}: {labels} at {t} was never sent");
                }
            }
        }
    }
}

fn with_tenant(labels: &Labels, tenant: usize) -> Labels {
    labels.merged_with(&Labels::from_pairs([("tenant_id", TENANTS[tenant])]))
}

fn live(seed: u64) {
    let mut life = Life::new(seed);
    for _ in 0..60 {
        life.step();
    }
    life.come_back(|world| world.crash());
}

/// Says which seed it was, wherever it went wrong.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("with NILOMETER_SEED={} NILOMETER_SEEDS=1", self.0);
        }
    }
}

/// `NILOMETER_SEED` and `NILOMETER_SEEDS` say where to begin and how many, for longer runs by hand.
fn each_seed(count: u64, run: impl Fn(u64)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|s| s.parse().ok());
    let first: u64 = number("NILOMETER_SEED").unwrap_or(0);
    for seed in first..first + number("NILOMETER_SEEDS").unwrap_or(count) {
        let _named = Named(seed);
        run(seed);
    }
}

#[test]
fn two_hundred_lives() {
    each_seed(200, live);
}

/// One durable bit is flipped. What is missing then is of one record or one chunk, and damage is reported.
fn flipped(seed: u64) {
    let mut life = Life::new(seed);
    for n in 0..40 {
        let action = life.random.below(10);
        if std::env::var_os("NILOMETER_TRACE").is_some() {
            eprintln!("step {n} action {action} at {}: {:?}", life.world.now(), life.world.head().tenants());
            life.check();
        }
        match action {
            0..7 => life.write(),
            7 => life.world.advance(30 * MINUTE),
            8 => life.world.head().maintain(),
            _ => life.world.head().snapshot(),
        }
    }
    let unharmed: Vec<Contents> = TENANTS.iter().map(|t| life.world.read(t)).collect();
    life.world.head().flush_log().unwrap();
    life.come_back(|world| world.crash());
    let before: Vec<Contents> = TENANTS.iter().map(|t| life.world.read(t)).collect();
    for (was, is) in unharmed.iter().zip(&before) {
        assert!(lost(was, is).is_empty(), "seed {seed}: lost by a crash after a flush: {:?}", lost(was, is));
        assert!(lost(is, was).is_empty(), "seed {seed}: came with a crash: {:?}", lost(is, was));
    }
    life.world.close();
    let hub = |path: &std::path::Path| {
        path.starts_with("/data/@nilometer/hub") && !path.ends_with("deletions.jsonl")
    };
    let Some((path, at)) = life.world.fs.flip_bit(hub) else { return };
    life.world.restart();
    let context = format!("seed {seed}: {} at {at}", path.display());
    let mut missing: BTreeMap<(usize, Labels), Vec<i64>> = BTreeMap::new();
    for (tenant, before) in before.iter().enumerate() {
        let (after, warned) = life.world.read_with_warnings(TENANTS[tenant]);
        for (labels, samples) in &after {
            let there = before.get(labels).unwrap_or_else(|| panic!("{context}: {labels} is invented"));
            for (t, v) in samples {
                let was = there.binary_search_by_key(t, |(t, _)| *t).ok().map(|at| there[at].1);
                assert_eq!(was, Some(*v), "{context}: {labels} at {t} is altered");
            }
        }
        for (labels, samples) in before {
            let left = after.get(labels).map_or(&[][..], Vec::as_slice);
            let gone: Vec<i64> = samples.iter().filter(|s| !left.contains(s)).map(|(t, _)| *t).collect();
            if !gone.is_empty() {
                let metrics = &life.world.head().metrics;
                let named = warned as u64 + metrics.corruptions.get() + metrics.log_tails.get() > 0;
                assert!(named, "{context}: {labels} lost samples, and nothing says so");
                missing.insert((tenant, labels.clone()), gone);
            }
        }
    }
    // A log record is one request's samples, a chunk or a body of the snapshot one series'.
    let of_one_request = life.requests.iter().any(|request| {
        missing.iter().all(|((tenant, labels), gone)| {
            gone.iter().all(|t| request.contains(&(*tenant, labels.without("tenant_id"), *t)))
        })
    });
    assert!(missing.len() <= 1 || of_one_request, "{context}: {missing:?}");
    // What is acknowledged from now on is kept all the same.
    life.model.acknowledged.clear();
    for _ in 0..10 {
        life.write();
    }
    life.world.crash();
    life.check_contents(&TENANTS.map(|t| life.world.read_with_warnings(t).0));
}

/// What the first has and the second has not, or not so.
fn lost(was: &Contents, is: &Contents) -> Vec<(Labels, i64)> {
    let all = was.iter().flat_map(|(labels, samples)| samples.iter().map(move |sample| (labels, sample)));
    let gone = all.filter(|(labels, sample)| !is.get(labels).is_some_and(|left| left.contains(sample)));
    gone.map(|(labels, (t, _))| (labels.clone(), *t)).collect()
}

#[test]
fn a_flipped_bit_costs_what_it_hit() {
    each_seed(60, flipped);
}
