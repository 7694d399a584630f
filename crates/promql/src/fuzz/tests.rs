use super::generate::query;
use super::{Dialect, Times, data, evaluate_at};
use std::sync::Arc;

#[test]
fn random_queries_do_not_panic_and_one_step_is_an_instant() {
    let held = Arc::new(data::queryable(&data::series(Dialect::V3)));
    let mut answered = 0;
    for seed in 0..2000 {
        let asked = query(seed, Dialect::V3);
        // An instant query has no step.
        if asked.text.contains("step()") {
            continue;
        }
        let (Times::At(t_ms) | Times::Steps { start_ms: t_ms, .. }) = asked.times;
        answered += usize::from(evaluate_at(&held, &asked.text, t_ms));
    }
    assert!(answered > 1500, "only {answered} of 2000 were answered: the generator writes nonsense");
}
