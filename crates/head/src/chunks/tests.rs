use super::*;
use nilometer_env::sim::{Faults, SimFs, SimRandom};

fn open(fs: &SimFs) -> ChunkFiles {
    ChunkFiles::open(Arc::new(fs.clone()), Arc::new(SimRandom::new(1)), Path::new("/c")).unwrap()
}

fn chunk(n: i64, len: usize) -> Packed {
    Packed { range: TimeRange::new(n, n + 9), encoding: Encoding::Xor, data: vec![n as u8; len] }
}

#[test]
fn what_was_synced_is_read_after_a_crash() {
    for seed in 0..50 {
        let fs = SimFs::new(seed);
        let mut files = open(&fs);
        let mut at = ChunkPos::NONE;
        for n in 0..20 {
            at = files.put(n % 2 * 100, 7, at, &chunk(n, 10 + n as usize * 97));
            assert_eq!(files.get(at).unwrap().packed, chunk(n, 10 + n as usize * 97), "before it is written");
            files.write().unwrap();
        }
        files.sync().unwrap();
        files.put(0, 7, at, &chunk(99, 5));
        files.write().unwrap();
        fs.crash();
        let files = open(&fs);
        for n in (0..20).rev() {
            let closed = files.get(at).unwrap();
            assert_eq!((closed.series, closed.packed), (7, chunk(n, 10 + n as usize * 97)));
            at = closed.previous;
        }
        assert!(at.is_none());
    }
}

#[test]
fn a_full_disk_keeps_what_waits_readable() {
    let fs = SimFs::new(1);
    let mut files = open(&fs);
    files.put(0, 1, ChunkPos::NONE, &chunk(1, 100));
    files.write().unwrap();
    fs.set_faults(Faults { append_fails_one_in: 1, ..Faults::default() });
    let at = files.put(0, 1, ChunkPos::NONE, &chunk(2, 100));
    assert!(files.write().is_err());
    assert_eq!(files.get(at).unwrap().packed, chunk(2, 100));
}

#[test]
fn ranges_leave_with_their_files() {
    let fs = SimFs::new(1);
    let mut files = open(&fs);
    let a = files.put(0, 1, ChunkPos::NONE, &chunk(1, 9));
    let b = files.put(100, 1, ChunkPos::NONE, &chunk(2, 9));
    files.write().unwrap();
    files.drop_ranges(100, |_| false).unwrap();
    assert!(files.get(a).is_err());
    assert!(files.get(b).is_ok());
}

/// Whoever reads in whatever order, by pages or not, finds the same.
#[test]
fn pages_have_what_the_files_have() {
    let fs = SimFs::new(1);
    let mut files = open(&fs);
    let random = SimRandom::new(3);
    let mut all = Vec::new();
    for n in 0..3_000 {
        let len = 1 + random.below(if n % 100 == 0 { 9_000 } else { 300 }) as usize;
        all.push((files.put(n % 2 * 100, n as u64, ChunkPos::NONE, &chunk(n, len)), chunk(n, len)));
        if n % 700 == 0 {
            files.write().unwrap();
        }
    }
    let (mut pages, mut written, mut waiting) = (Pages::new(Arc::default()), files.written(), 0);
    for round in 0..6_000 {
        let at = if round < 3_000 { round } else { random.below(3_000) as usize };
        let (pos, packed) = &all[at];
        match written.get(*pos, &mut pages) {
            Some(found) => assert_eq!(&found.closed().packed, packed),
            None => waiting += 1,
        }
        if round == 4_000 {
            assert!(waiting > 0);
            files.write().unwrap();
            (written, waiting) = (files.written(), 0);
        }
    }
    assert_eq!(waiting, 0);
}

#[test]
fn what_lies_near_is_read_once() {
    let fs = SimFs::new(1);
    let mut files = open(&fs);
    let all: Vec<_> = (0..1_000).map(|n| files.put(0, 1, ChunkPos::NONE, &chunk(n, 500))).collect();
    files.write().unwrap();
    let mut pages = Pages::new(Arc::default());
    let written = files.written();
    for pos in &all[..2] {
        assert!(written.get(*pos, &mut pages).is_some());
    }
    fs.set_faults(Faults { read_fails_one_in: 1, ..Faults::default() });
    assert!(all[2..10].iter().all(|pos| written.get(*pos, &mut pages).is_some()));
    assert!(written.get(all[500], &mut pages).is_none());
}

#[test]
fn what_is_read_alone_is_read_once() {
    let fs = SimFs::new(1);
    let mut files = open(&fs);
    let all: Vec<_> = (0..1_000).map(|n| files.put(0, 1, ChunkPos::NONE, &chunk(n, 200))).collect();
    files.write().unwrap();
    let (hot, written) = (Arc::<HotChunks>::default(), files.written());
    let read = |n: usize| written.get(all[n], &mut Pages::new(hot.clone())).map(|body| body.closed().packed);
    let first = read(500);
    assert_eq!(first, Some(chunk(500, 200)));
    fs.set_faults(Faults { read_fails_one_in: 1, ..Faults::default() });
    assert_eq!(read(500), first);
    assert_eq!(read(501), None);
}
