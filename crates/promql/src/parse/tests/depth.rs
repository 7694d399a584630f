//! Long and deep queries. All tests run in 2 MiB of stack, as the threads of a server do.

use super::*;

const STACK_BYTES: usize = 2 << 20;

fn in_small_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(run).unwrap();
    thread.join().unwrap();
}

/// A name, and a way to make a query `n` levels deep or a little more.
type Shape = (&'static str, fn(usize) -> String);

fn shapes() -> Vec<Shape> {
    vec![
        ("parentheses", |n| format!("{}a{}", "(".repeat(n), ")".repeat(n))),
        ("sum of terms", |n| vec!["a"; n].join(" + ")),
        ("right-associative", |n| vec!["a"; n].join(" ^ ")),
        ("alternating", |n| "a ^ a * a + a == a and a or ".repeat(n) + "a"),
        ("signs", |n| "-".repeat(n) + "a"),
        ("signs of a number", |n| "-".repeat(n) + "1"),
        ("calls", |n| format!("{}a{}", "abs(".repeat(n), ")".repeat(n))),
        ("aggregations", |n| format!("{}a{}", "sum by (x) (".repeat(n), ")".repeat(n))),
        ("parameters", |n| format!("{}a{}", "topk(scalar(".repeat(n / 2), "), a)".repeat(n / 2))),
        ("subqueries", |n| format!("{}a{}", "rate(".repeat(n / 2), "[5m:1m])".repeat(n / 2))),
        ("matching", |n| "a * on (x) group_left (y) (".repeat(n / 2) + "a" + &")".repeat(n / 2)),
        ("durations", |n| format!("a[{}5m{}]", "(".repeat(n), ")".repeat(n))),
        ("sum of durations", |n| format!("a[{}]", vec!["5m"; n].join(" + "))),
        ("signs of durations", |n| format!("a offset {}step()", "-".repeat(n))),
        ("calls in durations", |n| format!("a[{}5m{}]", "max_of(1m, ".repeat(n), ")".repeat(n))),
    ]
}

#[test]
fn a_thousand_levels_work() {
    in_small_stack(|| {
        for (name, shape) in shapes() {
            let query = shape(MAX_DEPTH - 10);
            let mut expr = match parse(&query) {
                Ok(expr) => expr,
                Err(e) => panic!("{name}: {e}"),
            };
            assert_prints_back(name, &expr);
            crate::duration::resolve_durations(&mut expr, crate::duration::QueryTimes::default()).ok();
            let mut nodes = 0;
            expr.walk(|_| nodes += 1);
            assert!(nodes > 0 && !expr.selectors().is_empty() || name == "signs of a number");
            expr.value_type();
            let _ = format!("{expr:?}");
        }
    });
}

#[test]
fn more_levels_are_refused() {
    in_small_stack(|| {
        for (name, shape) in shapes() {
            for levels in [MAX_DEPTH + 10, 10_000, 30_000] {
                let error = match parse(&shape(levels)) {
                    Ok(_) => panic!("{name} of {levels}"),
                    Err(e) => e,
                };
                let limit = Limit { name: "query-depth", max: MAX_DEPTH as u64 };
                assert_eq!(error.limit, Some(limit), "{name}: {error}");
            }
        }
    });
}

#[test]
fn the_refusal_names_the_limit() {
    let error = parse(&"(".repeat(5000)).unwrap_err();
    expect_test::expect!["1:1025: parse error: the query is nested too deeply, or is too long a chain of operators; use parentheses to make a chain shallower, or recording rules for its parts (limit query-depth = 1024)"].assert_eq(&error.to_string());
    let error: nilometer_model::Error = error.into();
    assert!(matches!(error.kind(), nilometer_model::Kind::Limit { name: "query-depth", max: 1024 }));
    assert!(error.to_string().ends_with("(limit query-depth = 1024)"), "{error}");
}

#[test]
fn width_is_no_depth() {
    in_small_stack(|| {
        let labels = vec!["a"; 100_000].join(",");
        assert!(parse(&format!("sum by ({labels}) (x)")).is_ok());
        let error = parse(&format!("x + on ({labels}) group_left ({labels}) y")).unwrap_err();
        assert!(error.message.contains("ON and GROUP"), "{error}");
        let args = vec!["\"a\""; 100_000].join(",");
        assert!(parse(&format!("label_join(x, {args})")).is_ok());
    });
}

#[test]
fn length_is_limited() {
    let longest = format!("\"{}\"", "a".repeat(MAX_QUERY_BYTES - 2));
    assert!(parse(&longest).is_ok());
    let error = parse(&format!("{longest} ")).unwrap_err();
    assert_eq!(error.limit.map(|l| l.name), Some("query-bytes"));
    let error = parse_selector(&format!("{longest} ")).unwrap_err();
    assert_eq!(error.limit.map(|l| l.name), Some("query-bytes"));
}

#[test]
fn regular_expressions_are_limited() {
    let many = |n: usize| format!("{{{}a=\"b\"}}", "a=~\"b\",".repeat(n));
    assert!(parse(&many(MAX_REGEXES)).is_ok());
    let error = parse(&many(MAX_REGEXES + 1)).unwrap_err();
    assert_eq!(error.limit.map(|l| l.name), Some("query-regexes"));
}

#[test]
fn what_regular_expressions_take_is_limited() {
    // Each is a program of some 4 MiB.
    let large = |n: usize| format!("{{{}a=\"b\"}}", "a=~`\\pL{80}`,".repeat(n));
    assert!(parse(&large(2)).is_ok());
    let error = parse(&large(100)).unwrap_err();
    assert_eq!(error.limit.map(|l| l.name), Some("regex_total_bytes"));
    let sum = vec![large(20); 5].join("+");
    assert_eq!(parse(&sum).unwrap_err().limit.map(|l| l.name), Some("regex_total_bytes"));
    let plain = format!("{{{}a=\"b\"}}", "a=~`(x|y)z.*`,".repeat(MAX_REGEXES));
    assert!(parse(&plain).is_ok(), "what needs no automaton is small");
    // The limits of one expression are named too.
    let names = (0..100_000).map(|n| format!("h{n:05}")).collect::<Vec<_>>().join("|");
    let error = parse(&format!("{{a=~\"{names}\"}}")).unwrap_err();
    assert_eq!(error.limit.map(|l| l.name), Some("regex_nodes"));
}
