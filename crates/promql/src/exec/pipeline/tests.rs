//! Evaluation on several threads against evaluation on one.

use crate::engine::{Engine, EngineOptions, Range, Source};
use futures::executor::block_on;
use nilometer_env::CpuPool;
use nilometer_model::Labels;
use nilometer_storage::{MemoryQueryable, Queryable};
use std::pin::Pin;
use std::sync::Arc;

/// Threads that help, each with its own pace.
struct Threads(usize);

impl CpuPool for Threads {
    fn threads(&self) -> usize {
        self.0
    }

    fn spawn(&self, work: Pin<Box<dyn Future<Output = ()> + Send>>) {
        std::thread::spawn(move || block_on(work));
    }
}

/// However many threads there are, an answer is the same to the bit, with its notes, errors and counts.
#[test]
fn threads_change_nothing() {
    let engine = Engine::new(EngineOptions::default());
    let mut memory = MemoryQueryable::default();
    for n in 0..3_000u32 {
        let (group, name) = ((n % 7).to_string(), if n % 3 == 0 { "a_total" } else { "b" });
        let labels = Labels::from_pairs([("__name__", name), ("g", &group), ("n", &n.to_string())]);
        let samples: Vec<_> =
            (0..200).map(|i| (i * 15_000, f64::from(n) * 0.1 + (i * i % 37) as f64 / 3.0)).collect();
        memory.push_floats(labels, &samples);
    }
    let memory: Arc<dyn Queryable> = Arc::new(memory);
    let range = Range { start_ms: 300_000, end_ms: 3_000_000, step_ms: 60_000 };
    for query in [
        "sum by (g) (rate({g=~\".+\"}[5m]))",
        "avg(b)",
        "quantile by (g) (0.3, a_total)",
        "count_values(\"v\", floor(b / 100))",
        "a_total / on (n) a_total",
        "topk(3, b)",
        "rate(b[5m])",
        "sum(b) by (n, g)",
        "{g=\"1\"}",
        "rate({g=\"1\"}[5m]) + {g=\"none\"}",
    ] {
        let answer = |threads: usize| {
            let mut source = Source::new(memory.clone());
            source.pool = (threads > 1).then(|| Arc::new(Threads(threads)) as Arc<dyn CpuPool>);
            let of_range = block_on(engine.range(&source, query, range)).map_err(|e| e.to_string());
            let at_once = block_on(engine.instant(&source, query, 2_000_000)).map_err(|e| e.to_string());
            format!("{of_range:?}\n{at_once:?}")
        };
        let alone = answer(1);
        for threads in [2, 3, 8] {
            assert!(answer(threads) == alone, "{query} with {threads} threads");
        }
    }
}

/// A limit is met by the same query, whoever evaluates what.
#[test]
fn limits_hold_with_threads() {
    let mut memory = MemoryQueryable::default();
    for n in 0..1_000u32 {
        memory.push_floats(Labels::from_pairs([("n", n.to_string())]), &[(0, 1.0)]);
    }
    let memory: Arc<dyn Queryable> = Arc::new(memory);
    let range = Range { start_ms: 0, end_ms: 60_000, step_ms: 15_000 };
    for max_samples in [4_999, 5_000] {
        let limits = crate::Limits { max_samples, ..Default::default() };
        let engine = Engine::new(EngineOptions { limits, ..EngineOptions::default() });
        let mut source = Source::new(memory.clone());
        source.pool = Some(Arc::new(Threads(4)));
        let answer = block_on(engine.range(&source, "{n=~\".+\"}", range));
        assert_eq!(answer.is_ok(), max_samples == 5_000, "{answer:?}");
    }
}
