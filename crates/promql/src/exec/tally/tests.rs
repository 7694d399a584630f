use super::*;
use crate::ast::RangeMode;
use crate::exec::window::Place;
use proptest::prelude::*;

fn modes() -> impl Strategy<Value = Option<RangeMode>> {
    prop_oneof![Just(None), Just(Some(RangeMode::Anchored)), Just(Some(RangeMode::Smoothed))]
}

proptest! {
    /// What is read is what no step before has read: counted here sample by sample.
    #[test]
    fn a_window_reads_what_is_new(
        gaps in prop::collection::vec(1..90i64, 0..60),
        (start_ms, step_ms, len) in (-300..800i64, 1..200i64, 1..30usize),
        (at_ms, offset_ms) in (prop::option::of(-300..800i64), -100..100i64),
        (range_ms, mode, lookback_ms) in (1..400i64, modes(), 1..50i64),
    ) {
        let t: Vec<i64> = gaps.iter().scan(-200, |t, gap| { *t += gap; Some(*t) }).collect();
        let samples = Samples { v: vec![1.0; t.len()], t, ..Samples::default() };
        let grid = Grid { start_ms, step_ms, len };
        let spec = RangeSpec { place: Place { at_ms, offset_ms }, range_ms, mode, lookback_ms, least_windows: 0 };
        let (mut seen, mut total, mut read) = (std::collections::BTreeSet::new(), vec![0; len], vec![0; len]);
        each_window(&samples, &spec, grid, |w| {
            total[w.step] = w.t().len() as u64;
            read[w.step] = w.t().iter().filter(|t| seen.insert(**t)).count() as u64;
        });

        let looked_at = total.iter().sum::<u64>();
        let mut stepped = Tally { steps: Some(StepCounts::new(len)), ..Tally::default() };
        let mut plain = Tally::default();
        for tally in [&mut stepped, &mut plain] {
            tally.windows(&samples, &spec, grid, looked_at as usize);
            tally.windows_read(&samples, &spec, grid, looked_at);
            prop_assert_eq!((tally.looked_at, tally.read), (looked_at, read.iter().sum()));
        }
        let steps = stepped.steps.unwrap();
        prop_assert_eq!((steps.looked_at, steps.read), (total, read));
    }
}

#[test]
fn a_step_is_found_by_time() {
    let grid = Grid { start_ms: 100, step_ms: 10, len: 3 };
    let found = [-5, 100, 101, 110, 120, 121, i64::MAX].map(|t_ms| first_at_or_after(grid, t_ms));
    assert_eq!(found, [0, 0, 1, 1, 2, 2, 2]);
    assert_eq!(first_at_or_after(Grid { start_ms: i64::MIN, step_ms: 1, len: 3 }, i64::MAX), 2);
}
