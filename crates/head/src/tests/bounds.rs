//! What a tenant may take of memory, counted in bytes.

use super::world::{World, one_sample, series};
use crate::{HeadOptions, Reason};
use nilometer_model::Labels;

fn with_text(n: u64, bytes: usize) -> Labels {
    let value = format!("{n}{}", "x".repeat(bytes));
    series(n).merged_with(&Labels::from_pairs([("text", value)]))
}

#[test]
fn label_text_is_bounded_and_comes_free() {
    let options = HeadOptions { reserve_bytes: 0, max_label_text_bytes: 100_000, ..HeadOptions::default() };
    let mut world = World::with(14, options);
    let now = world.now();
    let sent: Vec<_> = (0..50).map(|n| one_sample(&with_text(n, 4_000), now)).collect();
    let appended = world.push_series("a", &sent).unwrap();
    let refused = appended.refused.count(Reason::LabelTextLimit);
    assert!((20..=25).contains(&appended.samples) && appended.samples + refused == 50, "{appended:?}");
    assert!(appended.refused.to_string().contains("max_label_text_bytes"), "{}", appended.refused);
    // What is there goes on, and so does what needs little.
    let known = world.push_series("a", &[one_sample(&with_text(3, 4_000), now + 1)]).unwrap();
    let small = world.push_series("a", &[one_sample(&series(1_000), now)]).unwrap();
    assert_eq!((known.samples, small.samples), (1, 1));
    world.head().flush_log().unwrap();
    world.restart();
    assert_eq!(world.push_series("a", &sent).unwrap().samples, appended.samples);
    world.head().cut_everything().unwrap();
    world.head().maintain();
    let sent: Vec<_> = (100..120).map(|n| one_sample(&with_text(n, 4_000), now + 2)).collect();
    assert!(world.push_series("a", &sent).unwrap().refused.is_empty(), "with series their text leaves");
}
