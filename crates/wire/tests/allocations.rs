//! A request that is read into arenas which have seen one of its kind allocates nothing.

#![allow(unsafe_code)]

use nilometer_wire::remote_write::{Identity, Limits, Message, WriteRequest};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came; the count is a plain number of this thread,
// without a destructor and without allocation of its own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract, and all memory is the system's.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn reading_and_looking_allocate_nothing() {
    let limits = Limits::default();
    for (name, message) in [
        ("v1-self", Message::V1),
        ("v1-metadata", Message::V1),
        ("v2-self", Message::V2),
        ("v2-app", Message::V2),
    ] {
        let path = format!("{}/testdata/{name}.bin", env!("CARGO_MANIFEST_DIR"));
        let body = std::fs::read(path).unwrap();
        let mut request = WriteRequest::default();
        request.read(message, &body, &limits).unwrap();
        let before = COUNT.with(Cell::get);
        let mut seen = 0;
        for _ in 0..3 {
            request.read(message, &body, &limits).unwrap();
            for series in request.series() {
                let Identity::Key(key) = series.identity() else { panic!("{name} has keys") };
                seen += key.len() + series.labels().count() + series.samples().len();
                seen += series.histograms().len()
                    + series.exemplars().map(|e| e.t_ms as usize & 1).sum::<usize>();
            }
            seen += request.families().map(|m| m.help.len()).sum::<usize>();
        }
        assert_eq!(COUNT.with(Cell::get) - before, 0, "{name}");
        assert!(seen > 0);
    }
    // The measure itself can fail.
    let before = COUNT.with(Cell::get);
    drop(std::hint::black_box(vec![1u8; 100]));
    assert_eq!(COUNT.with(Cell::get) - before, 1);
}
