//! A hub that uploads and a compactor, with a real store behind a network over which everything goes wrong: answers
//! that are errors, late, torn or missing, uploads that break, credentials that expire. No reader ever sees a block
//! that is not whole, and when it is over all that was stored is there, once.
//!
//! A listing that lags behind is not among it, since neither store has one: that is simulated, in the rooms `bucket` and
//! `compact`.

use crate::common::{Dir, Hub, Samples, Shelf, V1, body, eventually_within, now_ms, post, series, skipped};
use nilometer_bucket::testing::proxy::{Proxy, Trouble};
use nilometer_bucket::testing::stores::Store;
use std::time::Duration;

const TENANTS: [&str; 2] = ["a", "b"];
const STEP_MS: i64 = 600_000;
/// A day and a bit: blocks of two hours, of which some become one.
const SAMPLES: i64 = 27 * 6;
/// Of a tenant, so many are in blocks for certain.
const IN_BLOCKS: usize = 20 * 6;

/// A request without an answer is given up after half a minute, and an operation tried for two.
const LONG: Duration = Duration::from_secs(240);

const TROUBLE: Trouble = Trouble {
    refused_one_in: 8,
    torn_request_one_in: 20,
    unanswered_one_in: 20,
    torn_answer_one_in: 20,
    slow_one_in: 12,
    slow: Duration::from_millis(200),
    expired: None,
};

const HUB: [&str; 5] = [
    "--no-compact",
    "--tsdb.retention=4h",
    "--tsdb.too-far-in-future.time-window=0s",
    "--shipper.interval=100ms",
    "--sync-block-duration=1s",
];
const COMPACTOR: [&str; 3] = ["--consistency-delay=0s", "--delete-delay=0s", "--wait-interval=1s"];

struct World {
    proxy: Proxy,
    /// Past the proxy.
    shelf: Shelf,
    sent: Samples,
    hub: Hub,
    compactor: Hub,
    dir: Dir,
    /// Keeps it running.
    _store: Store,
}

impl World {
    fn new(store: Store, dir: Dir) -> World {
        let seed = std::env::var("NILOMETER_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
        let proxy = Proxy::start(store.port(), seed);
        let file = dir.file("objstore.yaml", &store.config_through(proxy.port()));
        let config = format!("--objstore.config-file={file}");
        World {
            shelf: Shelf::new(&store.config(), &dir),
            sent: Samples::new(),
            hub: Hub::start(dir.path(), &[&HUB[..], &[config.as_str()]].concat()),
            compactor: Hub::compactor(dir.path(), "one", &COMPACTOR),
            proxy,
            dir,
            _store: store,
        }
    }

    /// A day of each tenant, which is cut into blocks at once.
    fn push_a_day(&mut self) {
        let start = now_ms() / STEP_MS * STEP_MS;
        for n in 0..SAMPLES {
            let (t_ms, v) = (start + n * STEP_MS, n as f64);
            let one = body(&[series(&[("__name__", "m"), ("pod", "p")], &[(t_ms, v)])]);
            for tenant in TENANTS {
                let headers = [V1, &[("THANOS-TENANT", tenant)]].concat();
                assert_eq!(post(self.hub.write, "/api/v1/receive", &headers, &one).status, 204);
                self.sent.insert((tenant.to_owned(), "p".to_owned(), t_ms), (1, v));
            }
        }
    }

    /// What a reader sees is whole and was sent. Says how many blocks were compacted, and whether all that is in blocks
    /// is there once.
    fn look(&self) -> bool {
        let contents = self.shelf.read();
        for (key, (_, v)) in &contents.samples {
            assert_eq!(self.sent.get(key).map(|(_, sent)| sent), Some(v), "{key:?}");
        }
        let counts = TENANTS.map(|tenant| {
            let of = contents.unmarked.iter().filter(|((t, ..), _)| t == tenant);
            of.map(|(_, (count, _))| *count).collect::<Vec<_>>()
        });
        let blocks = contents.blocks.get(&0).copied().unwrap_or(0);
        contents.marked == 0
            // More than that would be blocks as they were cut.
            && blocks <= 2 * 8
            && counts.iter().all(|counts| counts.len() >= IN_BLOCKS && counts.iter().all(|n| *n == 1))
    }

    /// With all the trouble.
    fn half_is_done(&self) {
        eventually_within(LONG, "half of it is done", || {
            self.look();
            let count = |hub: &Hub, name: &str| hub.metric(name) as usize;
            count(&self.hub, "thanos_shipper_uploads_total") >= TENANTS.len() * IN_BLOCKS / 12 / 2
                && count(&self.compactor, "thanos_compact_iterations_total") > 0
        });
    }

    fn finishes(&self) {
        self.proxy.set(Trouble::default());
        eventually_within(LONG, "all that is in blocks is there once, in fewer", || self.look());
        println!("{:?}", self.proxy.met());
        let query = |tenant: &str| {
            let end = self.sent.keys().map(|(.., t)| *t).max().unwrap();
            let selector = format!("m{{tenant_id=\"{tenant}\"}}[2d]");
            crate::common::matrix(self.hub.http, &selector, end, "pod").remove("p").unwrap_or_default()
        };
        let kept = self.shelf.read().unmarked;
        for tenant in TENANTS {
            let times = |samples: &Samples| -> Vec<i64> {
                let of = samples.keys().filter(|(t, ..)| t == tenant);
                of.map(|(.., t_ms)| *t_ms).collect()
            };
            let (kept, sent) = (times(&kept), times(&self.sent));
            assert_eq!(kept, sent[..kept.len()], "what was cut is there, without a gap");
            let sent = self.sent.iter().filter(|((t, ..), _)| t == tenant);
            let sent: Vec<_> = sent.map(|((.., t), (_, v))| (*t, *v)).collect();
            eventually_within(LONG, "the hub finds all of it", || query(tenant) == sent);
        }
        assert_eq!(self.compactor.metric("nilometer_compact_quarantined_groups"), 0.0);
    }
}

#[test]
fn seaweedfs_behind_a_bad_network() {
    let dir = Dir::new();
    let Some(store) = Store::seaweedfs(dir.path()) else {
        return skipped("seaweedfs_behind_a_bad_network", "no weed: run `cargo xtask tools`");
    };
    let mut world = World::new(store, dir);
    world.proxy.set(TROUBLE);
    world.push_a_day();
    world.half_is_done();
    // In the midst of it the key is no longer good.
    world.proxy.set(Trouble { expired: Some("Credential=test/".to_owned()), ..TROUBLE });
    for process in [&world.hub, &world.compactor] {
        let so_far = process.log().len();
        eventually_within(LONG, "it is said that the credentials are no longer good", || {
            process.log()[so_far..].contains("refuses these credentials")
        });
    }
    world.look();
    let file = world.dir.path().join("objstore.yaml");
    let old = std::fs::read_to_string(&file).unwrap();
    let new = old.replace("access_key: test", "access_key: fresh").replace("testsecret", "freshsecret");
    assert_ne!(old, new);
    world.dir.file("objstore.yaml", &new);
    world.proxy.set(Trouble { expired: Some("Credential=test/".to_owned()), ..Trouble::default() });
    eventually_within(LONG, "the new key is taken", || world.look());
    world.finishes();
    let met = world.proxy.met();
    for trouble in ["refused", "torn request", "unanswered", "torn answer", "slow", "expired"] {
        assert!(met.contains_key(trouble), "{trouble} never happened: {met:?}");
    }
}

#[test]
fn azurite_behind_a_bad_network() {
    let dir = Dir::new();
    let Some(store) = Store::azurite(dir.path()) else {
        return skipped("azurite_behind_a_bad_network", "no azurite-blob: run `cargo xtask tools`");
    };
    let mut world = World::new(store, dir);
    world.proxy.set(TROUBLE);
    world.push_a_day();
    world.half_is_done();
    world.finishes();
}
