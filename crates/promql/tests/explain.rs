//! What plans look like to people, and that tasks are measured.

use expect_test::expect;
use futures::executor::block_on;
use nilometer_promql::{Engine, EngineOptions, PlanNode, Range, Source};
use nilometer_storage::MemoryQueryable;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

fn shown(node: &PlanNode, depth: usize, out: &mut String) {
    *out += &format!("{}{}\n", "  ".repeat(depth), node.name);
    node.children.iter().for_each(|child| shown(child, depth + 1, out));
}

#[test]
fn plans() {
    let engine = Engine::new(EngineOptions::default());
    let range = Range { start_ms: 0, end_ms: 60_000, step_ms: 15_000 };
    let mut out = String::new();
    for query in [
        "sum by (b, a) (rate(x{job=\"j\"}[5m] offset 1m)) / on (a) group_left () (y > bool 1)",
        "topk(2, max_over_time((-x)[10m:1m])) + vector(1 + 1)",
        "histogram_count(h @ 5) and label_replace(x, \"a\", \"b\", \"c\", \".*\")",
    ] {
        let plan = engine.explain(&engine.parse(query).unwrap(), range).unwrap();
        out += &format!("{query}\n");
        shown(&plan, 1, &mut out);
    }
    expect![[r#"
        sum by (b, a) (rate(x{job="j"}[5m] offset 1m)) / on (a) group_left () (y > bool 1)
          [binary] / on (a), many-to-one
            [aggregate] sum by (a, b)
              [function] rate
                [matrixSelector] {job="j",__name__="x"}[5m] offset 1m for rate
            [binary] > bool
              [vectorSelector] {__name__="y"}
              [number] 1
        topk(2, max_over_time((-x)[10m:1m])) + vector(1 + 1)
          [binary] + ignoring (), one-to-one
            [aggregate] topk by ()
              [number] 2
              [function] max_over_time
                [subquery] [10m:1m]
                  [unary] -
                    [vectorSelector] {__name__="x"} for max_over_time
            [stepInvariant]
              [function] vector
                [number] 2
        histogram_count(h @ 5) and label_replace(x, "a", "b", "c", ".*")
          [binary] and ignoring (), many-to-many
            [stepInvariant]
              [function] histogram_count
                [vectorSelector] {__name__="h"} @ 5000 ms for histogram_count, only sums and counts
            [function] label_replace
              [vectorSelector] {__name__="x"} for label_replace
              [string] "a"
              [string] "b"
              [string] "c"
              [string] ".*"
    "#]]
    .assert_eq(&out);
}

#[test]
fn tasks_are_measured() {
    let engine = Engine::new(EngineOptions::default());
    let ticks = AtomicU64::new(0);
    let mut source = Source::new(Arc::new(MemoryQueryable::default()));
    let query = "sum(rate(x[5m])) + count_values(\"v\", y)";
    assert!(block_on(engine.instant(&source, query, 0)).unwrap().profile.is_empty());
    source.stopwatch = Some(Arc::new(move || Duration::from_secs(ticks.fetch_add(1, Ordering::Relaxed))));
    let result = block_on(engine.instant(&source, query, 0)).unwrap();
    let tasks: Vec<_> = result.profile.iter().map(|t| format!("{} {:?}", t.name, t.took)).collect();
    expect![[r#"
        Flow({__name__="x"}, 0 stages, fold) 1s
        Flow({__name__="y"}, 0 stages, count_values) 1s
        VectorBinary 1s"#]]
    .assert_eq(&tasks.join("\n"));
}
