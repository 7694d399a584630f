//! What is wrong with a block of the bucket is named, and costs its group that block and nothing else.

use super::*;
use nilometer_bucket::marks::{NoCompactMark, reason};

/// Of each tenant: three ranges of two days, and two blocks that wait for others.
const BLOCKS: i64 = 20;
/// In the midst of the second range, which is merged on both sides of it.
const HIT: i64 = 8;
const WHOLE: usize = 3 + 2;
const DIVIDED: usize = WHOLE + 2;

fn world() -> (World, Ulid) {
    let mut world = World::new(7, no_periods());
    let mut hit = Ulid::default();
    for number in 0..BLOCKS {
        for tenant in ["a", "b"] {
            let block = world.add(tenant, number, false);
            if (tenant, number) == ("a", HIT) {
                hit = block;
            }
        }
    }
    world.clock.advance_ms(HOUR_MS);
    (world, hit)
}

impl World {
    fn get(&self, key: &str) -> Vec<u8> {
        self.runtime.block_on(self.bucket.get(key, 1 << 20)).unwrap().to_vec()
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        self.runtime.block_on(self.bucket.put(key, bytes.to_vec())).unwrap();
    }

    fn remove(&self, key: &str) {
        self.runtime.block_on(self.bucket.delete(key)).unwrap();
    }

    fn round(&self, compactor: &Compactor) {
        assert_eq!(self.runtime.block_on(compactor.once()).unwrap(), Round::Done);
    }

    /// Raw blocks of a tenant that are not marked for deletion.
    fn live(&self, tenant: &str) -> usize {
        let blocks = self.inventory().blocks;
        let raw = blocks.values().filter(|l| l.marked_ms.is_none() && l.meta.resolution_ms() == 0);
        raw.filter(|l| l.meta.thanos.as_ref().unwrap().labels["tenant_id"] == tenant).count()
    }
}

fn scramble(bytes: &[u8]) -> Option<Vec<u8>> {
    let changed = bytes.iter().enumerate().map(|(at, b)| if at % 23 == 22 { b ^ 0x55 } else { *b });
    Some(changed.collect())
}

fn cut(bytes: &[u8]) -> Option<Vec<u8>> {
    Some(bytes[..bytes.len() / 2].to_vec())
}

fn gone(_: &[u8]) -> Option<Vec<u8>> {
    None
}

#[test]
fn a_corrupt_block_is_named_and_left_out() {
    type Damage = fn(&[u8]) -> Option<Vec<u8>>;
    let cases: [(&str, Damage, &str); 6] = [
        ("index", scramble, "index at byte"),
        ("index", cut, "bytes, meta.json says"),
        ("index", gone, "index is missing"),
        ("chunks/000001", scramble, "chunks/000001 at byte"),
        ("chunks/000001", cut, "bytes, meta.json says"),
        ("chunks/000001", gone, "chunks/000001 is missing"),
    ];
    for (name, damage, wrong) in cases {
        let (world, hit) = world();
        let key = format!("{hit}/{name}");
        let good = world.get(&key);
        match damage(&good) {
            Some(bad) => world.put(&key, &bad),
            None => world.remove(&key),
        }
        let compactor = world.compactor("one").unwrap();
        world.round(&compactor);
        let status = compactor.status();
        assert_eq!((status.quarantined.len(), status.broken.len()), (0, 0), "{wrong}: {status:?}");
        let [left_out] = &status.left_out[..] else { panic!("{wrong}: {:?}", status.left_out) };
        assert_eq!((left_out.block, left_out.labels["tenant_id"].as_str()), (hit, "a"));
        assert_eq!(left_out.reason, reason::CORRUPT);
        let details = &left_out.details;
        assert!(details.contains(name) && details.contains(wrong), "{wrong}: {details}");
        assert!(!details.contains("/one/"), "no path of this machine: {details}");
        assert_eq!((world.live("a"), world.live("b")), (DIVIDED, WHOLE), "{wrong}");
        let mark = world.runtime.block_on(world.bucket.read_mark::<NoCompactMark>(hit)).unwrap().unwrap();
        assert_eq!((mark.reason.as_str(), &mark.details), (reason::CORRUPT, &left_out.details));
        // Whoever compacts next heeds it, and can say why.
        let next = world.compactor("one").unwrap();
        world.round(&next);
        assert_eq!(next.status().left_out, status.left_out, "{wrong}");
        // Nothing went, so it can be mended.
        world.put(&key, &good);
        world.check(wrong);
        world.runtime.block_on(world.bucket.unmark::<NoCompactMark>(hit)).unwrap();
        world.round(&next);
        assert_eq!((next.status().left_out.len(), world.live("a")), (0, WHOLE), "{wrong}");
    }
}

#[test]
fn a_broken_meta_json_is_named() {
    let (world, hit) = world();
    let key = layout::meta_key(hit);
    let good = world.get(&key);
    let other =
        String::from_utf8(good.clone()).unwrap().replace(&hit.to_string(), "01ARZ3NDEKTSV4RRFFQ69G5FAV");
    let newer = String::from_utf8(good.clone()).unwrap().replacen("\"version\": 1", "\"version\": 2", 1);
    for bad in [&b"{\"ulid\": "[..], b"", other.as_bytes(), newer.as_bytes()] {
        world.put(&key, bad);
        let compactor = world.compactor("one").unwrap();
        world.round(&compactor);
        let status = compactor.status();
        assert_eq!((status.quarantined.len(), status.left_out.len()), (0, 0), "{status:?}");
        let [broken] = &status.broken[..] else { panic!("{:?}", status.broken) };
        assert_eq!(broken.block, hit);
        assert!(broken.reason.contains("meta.json"), "{}", broken.reason);
        // It is none of those that are seen, and nobody waits for it.
        assert_eq!((world.live("a"), world.live("b")), (WHOLE, WHOLE));
    }
    world.put(&key, &good);
    world.check("mended");
}

#[test]
fn foreign_files_are_in_nobodys_way() {
    let (world, hit) = world();
    for name in ["notes.txt", "chunks/notes.txt", "index.old", "sub/folder/index"] {
        world.put(&format!("{hit}/{name}"), b"none of ours");
    }
    world.put("README", b"neither");
    let compactor = world.compactor("one").unwrap();
    world.round(&compactor);
    let status = compactor.status();
    assert_eq!(
        (status.quarantined.len(), status.left_out.len(), status.broken.len()),
        (0, 0, 0),
        "{status:?}"
    );
    assert_eq!((world.live("a"), world.live("b")), (WHOLE, WHOLE));
    world.check("foreign files");
    assert_eq!(world.get("README"), b"neither");
}

/// Prometheus and Thanos cannot open such a block either.
#[test]
fn a_foreign_file_in_the_place_of_a_segment_is_named() {
    let (world, hit) = world();
    let key = format!("{hit}/chunks/000099");
    world.put(&key, b"none of ours");
    let compactor = world.compactor("one").unwrap();
    world.round(&compactor);
    let status = compactor.status();
    let [left_out] = &status.left_out[..] else { panic!("{status:?}") };
    assert_eq!((left_out.block, status.quarantined.len()), (hit, 0));
    assert!(left_out.details.contains("chunks/000099"), "{}", left_out.details);
    assert_eq!((world.live("a"), world.live("b")), (DIVIDED, WHOLE));
    world.remove(&key);
    world.check("without it");
}

#[test]
fn a_fault_of_the_network_leaves_no_mark() {
    let (world, _) = world();
    // Those of the first block that is fetched.
    world.faults.set(Faults { flipped_reads: 3, ..Faults::default() });
    let compactor = world.compactor("one").unwrap();
    world.round(&compactor);
    let status = compactor.status();
    assert_eq!((status.quarantined.len(), status.left_out.len()), (1, 0), "{status:?}");
    assert!(world.inventory().blocks.values().all(|listed| !listed.no_compact));
    world.clock.advance_ms(HOUR_MS + 1);
    world.round(&compactor);
    assert!(compactor.status().quarantined.is_empty());
    assert_eq!((world.live("a"), world.live("b")), (WHOLE, WHOLE));
    world.check("after the network is well");
}

#[test]
fn what_cannot_be_thinned_out_holds_up_nothing_else() {
    let (mut world, _) = world();
    world.retention.downsampling = false;
    let compactor = world.compactor("one").unwrap();
    world.round(&compactor);
    let is_long = |meta: &BlockMeta| meta.max_time_ms - meta.min_time_ms == 6 * BLOCK_MS;
    let tenant = |meta: &BlockMeta| meta.thanos.as_ref().unwrap().labels["tenant_id"].clone();
    let blocks = world.inventory().blocks;
    let long = blocks.values().find(|l| is_long(&l.meta) && tenant(&l.meta) == "a");
    let hit = long.unwrap().meta.ulid;
    let key = layout::chunk_key(hit, 1);
    let good = world.get(&key);
    world.put(&key, &scramble(&good).unwrap());
    world.retention.downsampling = true;
    let compactor = world.compactor("one").unwrap();
    world.round(&compactor);
    let status = compactor.status();
    assert_eq!((status.quarantined.len(), status.todo.downsamples), (0, 0), "{status:?}");
    let [left_out] = &status.left_out[..] else { panic!("{:?}", status.left_out) };
    assert_eq!((left_out.block, left_out.reason.as_str()), (hit, reason::CORRUPT));
    let thinned = |of: &str| {
        let blocks = world.inventory().blocks;
        blocks.values().filter(|l| l.meta.resolution_ms() == FIVE_MINUTES_MS && tenant(&l.meta) == of).count()
    };
    assert_eq!((thinned("a"), thinned("b")), (2, 3));
    world.put(&key, &good);
    world.check("mended");
}
