//! Two compactors on one bucket of a real store: each is paused past its lease and killed in the midst of its work, at
//! moments that a seed picks. No sample is ever missing, no half block is ever seen, and in the end each is there once.

use crate::common::{Contents, Dir, Hub, Random, Samples, Shelf, eventually, skipped};
use nilometer_bucket::testing::stores::Store;
use rustix::process::Signal;

const NAMES: [&str; 2] = ["one", "two"];
const TENANTS: [&str; 2] = ["a", "b"];
/// Two days of a tenant: one compaction, and what is thinned out after it.
const BLOCKS: i64 = 6;
/// The first block's, as a number of blocks since 1970: the longest ranges begin there.
const START: i64 = 42 * 1_000;
/// Of blows; by hand `NILOMETER_TEST_BLOWS=40`, and at other moments with another `NILOMETER_SEED`.
const COUNT: u64 = 4;

const FLAGS: [&str; 4] =
    ["--consistency-delay=0s", "--delete-delay=0s", "--wait-interval=1s", "--compact.lease=1s"];

#[derive(Clone, Copy, Debug)]
enum Blow {
    /// SIGSTOP, until the other has done all that is due.
    PauseWorking,
    KillWorking,
    KillWaiting,
}

const BLOWS: [Blow; 4] = [Blow::PauseWorking, Blow::KillWorking, Blow::PauseWorking, Blow::KillWaiting];

struct World {
    dir: Dir,
    shelf: Shelf,
    stored: Samples,
    next: i64,
    random: Random,
    /// In the order of their names.
    compactors: Vec<Hub>,
}

#[test]
fn two_compactors_of_a_real_store() {
    let dir = Dir::new();
    let Some(store) = Store::seaweedfs(dir.path()) else {
        return skipped("two_compactors_of_a_real_store", "no weed: run `cargo xtask tools`");
    };
    dir.file("objstore.yaml", &store.config());
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let mut world = World {
        shelf: Shelf::new(&store.config(), &dir),
        stored: Samples::new(),
        next: START,
        random: Random(number("NILOMETER_SEED").unwrap_or(0)),
        compactors: NAMES.map(|name| Hub::compactor(dir.path(), name, &FLAGS)).into(),
        dir,
    };
    // The newest block of a tenant is left out of compactions.
    world.add(1);
    let blows = number("NILOMETER_TEST_BLOWS").unwrap_or(COUNT);
    for blow in BLOWS.into_iter().cycle().take(blows as usize) {
        world.survive(blow);
    }
    let contents = world.shelf.read();
    println!("blows={blows} samples={} blocks={:?}", world.stored.len(), contents.blocks);
    assert!(contents.blocks.contains_key(&300_000), "something was thinned out: {:?}", contents.blocks);
    for compactor in &world.compactors {
        assert_eq!(compactor.metric("nilometer_compact_quarantined_groups"), 0.0);
    }
}

impl World {
    fn add(&mut self, blocks: i64) {
        let numbers = self.next..self.next + blocks;
        let all = numbers.flat_map(|number| TENANTS.map(|tenant| (tenant, number)));
        self.stored.extend(self.shelf.add(all));
        self.next += blocks;
    }

    /// One has the lease and has done a round with it, the other knows.
    fn working(&self) -> usize {
        let holds = |hub: &Hub| hub.metric("nilometer_compact_lease_held") > 0.0;
        let mut found = None;
        eventually("one of the two works", || {
            let holders: Vec<usize> = (0..NAMES.len()).filter(|i| holds(&self.compactors[*i])).collect();
            found = Some(holders).filter(|holders| holders.len() == 1);
            found.is_some()
        });
        found.unwrap()[0]
    }

    fn survive(&mut self, blow: Blow) {
        let working = self.working();
        let waiting = 1 - working;
        self.compactors[working].skip_log();
        self.add(BLOCKS);
        self.compactors[working].wait_for("compaction begins").unwrap();
        std::thread::sleep(self.random.up_to_ms(60));
        match blow {
            Blow::PauseWorking => self.pause(working, waiting),
            Blow::KillWorking => self.kill(working),
            Blow::KillWaiting => self.kill(waiting),
        }
        self.check();
        eventually("everything is there once", || {
            let contents = self.check();
            // Of each tenant one for each two days, and the newest.
            let fewest = TENANTS.len() * ((self.next - START) / BLOCKS + 1) as usize;
            contents.marked == 0 && contents.blocks[&0] <= fewest && contents.unmarked == self.stored
        });
    }

    /// Past its lease, and until the other has done what is due.
    fn pause(&mut self, paused: usize, other: usize) {
        let (paused, other) = (&self.compactors[paused], &self.compactors[other]);
        paused.signal(Signal::STOP);
        eventually("the other one has taken over", || {
            self.check();
            other.metric("nilometer_compact_lease_held") > 0.0
        });
        paused.skip_log();
        paused.signal(Signal::CONT);
        paused.wait_for("another compactor works on this bucket").unwrap();
        eventually("it says so", || paused.metric("nilometer_compact_lease_held") == 0.0);
    }

    fn kill(&mut self, which: usize) {
        self.compactors.remove(which).kill();
        self.check();
        self.compactors.insert(which, Hub::compactor(self.dir.path(), NAMES[which], &FLAGS));
    }

    /// Whatever happens, a reader finds whole blocks alone, and in them every sample that was ever stored.
    fn check(&self) -> Contents {
        let contents = self.shelf.read();
        let values =
            |samples: &Samples| samples.iter().map(|(key, (_, v))| (key.clone(), *v)).collect::<Vec<_>>();
        assert_eq!(values(&contents.samples), values(&self.stored));
        contents
    }
}
