//! Samples that a real Prometheus counted for each step of a query: ours are the same.

use futures::executor::block_on;
use nilometer_model::Labels;
use nilometer_promql::script::{Command, Script};
use nilometer_promql::value::{QueryStats, StepSamples};
use nilometer_promql::{Engine, EngineOptions, Range, Source};
use nilometer_storage::MemoryQueryable;
use std::sync::Arc;

const GOLDEN: &str = include_str!("golden/step-samples.txt");

struct Ours {
    engine: Engine,
    source: Source,
}

impl Ours {
    fn over(script: &str) -> Self {
        let mut memory = MemoryQueryable::default();
        for command in Script::parse(script).unwrap().commands {
            let Command::Load(load) = command else { panic!("only loads are expected") };
            for stored in load.samples().unwrap() {
                memory.push(stored.labels, &stored.samples);
            }
        }
        let options = EngineOptions { per_step_stats: true, ..EngineOptions::default() };
        Ours { engine: Engine::new(options), source: Source::new(Arc::new(memory)) }
    }

    fn ask(&self, query: &str, range: Range, per_step: bool) -> (QueryStats, Option<StepSamples>) {
        let source = Source { per_step_stats: per_step, ..self.source.clone() };
        let result = block_on(async {
            match range.step_ms {
                0 => self.engine.instant(&source, query, range.start_ms).await,
                _ => self.engine.range(&source, query, range).await,
            }
        });
        let result = result.unwrap_or_else(|e| panic!("{query}: {e}"));
        (result.stats, result.steps)
    }
}

/// `18 0 3`
fn counts(text: &str) -> Vec<u64> {
    text.split_whitespace().map(|n| n.parse().unwrap()).collect()
}

#[test]
fn we_count_as_prometheus() {
    let (script, lines) = GOLDEN.split_once("---\n").unwrap();
    let ours = Ours::over(script);
    let (mut wrong, mut count) = (Vec::new(), 0);
    for line in lines.lines() {
        let mut parts = line.splitn(4, '|').map(str::trim);
        let [times, total, read, query] = std::array::from_fn(|_| parts.next().unwrap());
        let ms = |n: &str| (n.parse::<f64>().unwrap() * 1000.0) as i64;
        let times: Vec<i64> = times.split_whitespace().map(ms).collect();
        let range = Range { start_ms: times[0], end_ms: times[1], step_ms: times[2] };
        let (stats, steps) = ours.ask(query, range, true);
        let steps = steps.unwrap();
        count += 1;
        if (&steps.total, &steps.read) != (&counts(total), &counts(read)) {
            wrong.push(format!("{line}\n  ours: {:?} | {:?}", steps.total, steps.read));
            continue;
        }
        assert_eq!(stats.total_samples, steps.total.iter().sum::<u64>(), "{line}");
        assert_eq!(stats.samples_read, steps.read.iter().sum::<u64>(), "{line}");
        assert_eq!((steps.start_ms, steps.step_ms), (range.start_ms, range.step_ms.max(1)), "{line}");
        // The sums are the same where no steps are asked for, though they are counted otherwise.
        let (plain, none) = ours.ask(query, range, false);
        assert_eq!(none, None);
        let sums = |stats: QueryStats| (stats.total_samples, stats.samples_read, stats.series);
        assert_eq!(sums(plain), sums(stats), "{line}");
    }
    assert!(wrong.is_empty(), "{}\n{} of {count} differ", wrong.join("\n"), wrong.len());
    assert!(count > 50, "only {count} were read");
}

/// The switch is the engine's, and a query's wish alone does nothing.
#[test]
fn steps_are_counted_where_both_want_it() {
    let mut ours = Ours::over("load 10s\n  m 1 2 3\n");
    let range = Range { start_ms: 0, end_ms: 20_000, step_ms: 10_000 };
    assert_eq!(ours.ask("m", range, false).1, None);
    let steps = ours.ask("m", range, true).1.unwrap();
    assert_eq!(steps, StepSamples { start_ms: 0, step_ms: 10_000, total: vec![1; 3], read: vec![1; 3] });
    ours.engine = Engine::new(EngineOptions::default());
    assert_eq!(ours.ask("m", range, true).1, None);
}

/// Threads take portions of the series, each of which counts on its own.
#[test]
fn portions_add_up() {
    let mut memory = MemoryQueryable::default();
    for i in 0..500 {
        let labels = Labels::from_pairs([("__name__", "m".to_owned()), ("i", i.to_string())]);
        memory.push_floats(labels, &[(0, 1.0), (10_000, 2.0), (20_000, 3.0)]);
    }
    let mut ours = Ours::over("");
    ours.source = Source::new(Arc::new(memory));
    let range = Range { start_ms: 0, end_ms: 30_000, step_ms: 10_000 };
    let (stats, steps) = ours.ask("sum(sum_over_time(m[20s]))", range, true);
    let steps = steps.unwrap();
    assert_eq!(steps.total, [500, 1000, 1000, 500]);
    assert_eq!(steps.read, [500, 500, 500, 0]);
    assert_eq!((stats.total_samples, stats.samples_read, stats.series), (3000, 1500, 500));
}

/// What is counted is held, and so has to fit.
#[test]
fn counts_are_within_the_memory_limit() {
    let mut ours = Ours::over("load 10s\n  m 1 2 3\n");
    let range = Range { start_ms: 0, end_ms: 10_000_000, step_ms: 1000 };
    let (plain, _) = ours.ask("sum(m)", range, false);
    let mut options = EngineOptions { per_step_stats: true, ..EngineOptions::default() };
    options.limits.max_memory_bytes = plain.peak_bytes as usize;
    ours.engine = Engine::new(options);
    let with = |per_step_stats| Source { per_step_stats, ..ours.source.clone() };
    block_on(ours.engine.range(&with(false), "sum(m)", range)).unwrap();
    let error = block_on(ours.engine.range(&with(true), "sum(m)", range)).unwrap_err();
    assert!(error.to_string().contains("query.max-memory"), "{error}");
}
