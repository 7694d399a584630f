//! Trees: how operators bind, where nodes are, what modifiers do.

use super::*;
use crate::ast::{At, DurationArg, NumberLiteral, PosRange, VectorMatching, VectorSelector};
use expect_test::{Expect, expect};
use std::fmt::Write;

/// One line a node: its depth, kind, bytes of the query, and what the children do not say.
fn tree(query: &str) -> String {
    let mut out = String::new();
    match parse(query) {
        Ok(expr) => {
            node(&mut out, query, &expr, 0);
            assert_prints_back(query, &expr);
        }
        Err(e) => out = format!("{e}\n"),
    }
    out
}

fn check(query: &str, want: &Expect) {
    want.assert_eq(&tree(query));
}

fn node(out: &mut String, query: &str, expr: &Expr, depth: usize) {
    let PosRange { start, end } = expr.pos();
    let text = query.get(start as usize..end as usize).unwrap_or("?");
    let what = match expr {
        Expr::Number(e) => number(e),
        Expr::String(e) => format!("string {:?}", e.value.escape_ascii().to_string()),
        Expr::Vector(e) => format!("vector {}", selector(e)),
        Expr::Matrix(e) => format!("matrix {} range {}", selector(&e.selector), argument(&e.range)),
        Expr::Subquery(e) => {
            let step = e.step.as_ref().map_or("default".to_owned(), argument);
            format!("subquery {} step {step}{}", argument(&e.range), modifiers(&e.offset, e.at))
        }
        Expr::Paren(_) => "paren".to_owned(),
        Expr::Unary(e) => format!("unary {}", e.op.as_str()),
        Expr::Binary(e) => {
            let matching = e.matching.as_deref().map_or(String::new(), matching);
            format!("binary {}{}{matching}", e.op.as_str(), if e.return_bool { " bool" } else { "" })
        }
        Expr::Aggregate(e) => {
            format!("{} {} {:?}", e.op.as_str(), if e.without { "without" } else { "by" }, e.grouping)
        }
        Expr::Call(e) => format!("call {}", e.func.name),
    };
    let _ = writeln!(out, "{}{what}  ⟨{text}⟩ {:?}", "  ".repeat(depth), expr.value_type());
    for child in expr.children() {
        node(out, query, child, depth + 1);
    }
}

fn matching(m: &VectorMatching) -> String {
    let on = if m.on { " on" } else { " ignoring" };
    let labels = if m.on || !m.labels.is_empty() { format!("{on} {:?}", m.labels) } else { String::new() };
    let include = if m.include.is_empty() { String::new() } else { format!(" include {:?}", m.include) };
    let fill =
        if m.fill.is_set() { format!(" fill {:?} {:?}", m.fill.lhs, m.fill.rhs) } else { String::new() };
    format!(" {}{labels}{include}{fill}", m.card.as_str())
}

fn number(e: &NumberLiteral) -> String {
    format!("{} {}", if e.duration { "duration" } else { "number" }, e.value)
}

fn selector(e: &VectorSelector) -> String {
    let mode = e.mode.map_or(String::new(), |m| format!(" {}", m.as_str()));
    let bypass = if e.bypass_empty_check { " may match all" } else { "" };
    format!("{:?} {:?}{}{mode}{bypass}", e.name, e.matchers, modifiers(&e.offset, e.at))
}

fn modifiers(offset: &DurationArg, at: Option<At>) -> String {
    let at = at.map_or(String::new(), |at| format!(" @ {at:?}"));
    if offset.is_zero() { at } else { format!(" offset {}{at}", argument(offset)) }
}

fn argument(arg: &DurationArg) -> String {
    match arg {
        DurationArg::Ms(ms) => format!("{ms}ms"),
        DurationArg::Expr(e) => format!("`{e}`"),
    }
}

#[test]
fn precedence() {
    check(
        "1 + 2 * 3 - 4",
        &expect![[r#"
        binary -  ⟨1 + 2 * 3 - 4⟩ Scalar
          binary +  ⟨1 + 2 * 3⟩ Scalar
            number 1  ⟨1⟩ Scalar
            binary *  ⟨2 * 3⟩ Scalar
              number 2  ⟨2⟩ Scalar
              number 3  ⟨3⟩ Scalar
          number 4  ⟨4⟩ Scalar
    "#]],
    );
    check(
        "-2 ^ 2 ^ -3 * 4",
        &expect![[r#"
        binary *  ⟨-2 ^ 2 ^ -3 * 4⟩ Scalar
          unary -  ⟨-2 ^ 2 ^ -3⟩ Scalar
            binary ^  ⟨2 ^ 2 ^ -3⟩ Scalar
              number 2  ⟨2⟩ Scalar
              binary ^  ⟨2 ^ -3⟩ Scalar
                number 2  ⟨2⟩ Scalar
                number -3  ⟨-3⟩ Scalar
          number 4  ⟨4⟩ Scalar
    "#]],
    );
    check(
        "a or b and c unless d == e + f",
        &expect![[r#"
        binary or many-to-many  ⟨a or b and c unless d == e + f⟩ Vector
          vector "a" [__name__="a"]  ⟨a⟩ Vector
          binary unless many-to-many  ⟨b and c unless d == e + f⟩ Vector
            binary and many-to-many  ⟨b and c⟩ Vector
              vector "b" [__name__="b"]  ⟨b⟩ Vector
              vector "c" [__name__="c"]  ⟨c⟩ Vector
            binary == one-to-one  ⟨d == e + f⟩ Vector
              vector "d" [__name__="d"]  ⟨d⟩ Vector
              binary + one-to-one  ⟨e + f⟩ Vector
                vector "e" [__name__="e"]  ⟨e⟩ Vector
                vector "f" [__name__="f"]  ⟨f⟩ Vector
    "#]],
    );
    check(
        "- a * b atan2 c </ d",
        &expect![[r#"
        binary </ one-to-one  ⟨- a * b atan2 c </ d⟩ Vector
          binary atan2 one-to-one  ⟨- a * b atan2 c⟩ Vector
            binary * one-to-one  ⟨- a * b⟩ Vector
              unary -  ⟨- a⟩ Vector
                vector "a" [__name__="a"]  ⟨a⟩ Vector
              vector "b" [__name__="b"]  ⟨b⟩ Vector
            vector "c" [__name__="c"]  ⟨c⟩ Vector
          vector "d" [__name__="d"]  ⟨d⟩ Vector
    "#]],
    );
    check(
        "-(1) + +1 - -1",
        &expect![[r#"
        binary -  ⟨-(1) + +1 - -1⟩ Scalar
          binary +  ⟨-(1) + +1⟩ Scalar
            unary -  ⟨-(1)⟩ Scalar
              paren  ⟨(1)⟩ Scalar
                number 1  ⟨1⟩ Scalar
            number 1  ⟨+1⟩ Scalar
          number -1  ⟨-1⟩ Scalar
    "#]],
    );
}

#[test]
fn matching_clauses() {
    check(
        "a == bool on (b, \"c.d\") group_right (sum, by) e",
        &expect![[r#"
        binary == bool one-to-many on ["b", "c.d"] include ["sum", "by"]  ⟨a == bool on (b, "c.d") group_right (sum, by) e⟩ Vector
          vector "a" [__name__="a"]  ⟨a⟩ Vector
          vector "e" [__name__="e"]  ⟨e⟩ Vector
    "#]],
    );
    check(
        "a * ignoring () group_left (b) (c)",
        &expect![[r#"
        binary * many-to-one include ["b"]  ⟨a * ignoring () group_left (b) (c)⟩ Vector
          vector "a" [__name__="a"]  ⟨a⟩ Vector
          paren  ⟨(c)⟩ Vector
            vector "c" [__name__="c"]  ⟨c⟩ Vector
    "#]],
    );
    check(
        "a + on (x) group_left fill_right(-1) fill_left(0x10) b",
        &expect![[r#"
        binary + many-to-one on ["x"] fill Some(16.0) Some(-1.0)  ⟨a + on (x) group_left fill_right(-1) fill_left(0x10) b⟩ Vector
          vector "a" [__name__="a"]  ⟨a⟩ Vector
          vector "b" [__name__="b"]  ⟨b⟩ Vector
    "#]],
    );
    check(
        "a AND ignoring(b) c",
        &expect![[r#"
        binary and many-to-many ignoring ["b"]  ⟨a AND ignoring(b) c⟩ Vector
          vector "a" [__name__="a"]  ⟨a⟩ Vector
          vector "c" [__name__="c"]  ⟨c⟩ Vector
    "#]],
    );
    check(
        "a + on () 1",
        &expect![[r#"
        binary +  ⟨a + on () 1⟩ Vector
          vector "a" [__name__="a"]  ⟨a⟩ Vector
          number 1  ⟨1⟩ Scalar
    "#]],
    );
}

#[test]
fn selectors() {
    check(
        "a:b{c=\"d\", 'e f'!~`g|h`,} offset -1h30m @ end()",
        &expect![[r#"
        vector "a:b" [c="d", e f!~"g|h", __name__="a:b"] offset -5400000ms @ End  ⟨a:b{c="d", 'e f'!~`g|h`,} offset -1h30m @ end()⟩ Vector
    "#]],
    );
    check(
        "{\"x.y\", z!=\"\"}[5m] @ -1.5 smoothed offset 1w",
        &expect![[r#"
        matrix "" [__name__="x.y", z!=""] offset 604800000ms @ TimestampMs(-1500) smoothed range 300000ms  ⟨{"x.y", z!=""}[5m] @ -1.5 smoothed offset 1w⟩ Matrix
    "#]],
    );
    check(
        "sum{by=\"and\"} + offset + start + fill",
        &expect![[r#"
        binary + one-to-one  ⟨sum{by="and"} + offset + start + fill⟩ Vector
          binary + one-to-one  ⟨sum{by="and"} + offset + start⟩ Vector
            binary + one-to-one  ⟨sum{by="and"} + offset⟩ Vector
              vector "sum" [by="and", __name__="sum"]  ⟨sum{by="and"}⟩ Vector
              vector "offset" [__name__="offset"]  ⟨offset⟩ Vector
            vector "start" [__name__="start"]  ⟨start⟩ Vector
          vector "fill" [__name__="fill"]  ⟨fill⟩ Vector
    "#]],
    );
    check(
        "a[0x10] # comment ]\n offset 5m",
        &expect![[r#"
        matrix "a" [__name__="a"] offset 300000ms range 16000ms  ⟨a[0x10] # comment ]
         offset 5m⟩ Matrix
    "#]],
    );
    check(
        "rate(a[5m:])[1h:1m] @ start() offset -5m",
        &expect![[r#"
        subquery 3600000ms step 60000ms offset -300000ms @ Start  ⟨rate(a[5m:])[1h:1m] @ start() offset -5m⟩ Matrix
          call rate  ⟨rate(a[5m:])⟩ Vector
            subquery 300000ms step default  ⟨a[5m:]⟩ Matrix
              vector "a" [__name__="a"]  ⟨a⟩ Vector
    "#]],
    );
    check(
        "{a=\"\\xff\"} == {\"\\u00e9\"=\"\\n\"}",
        &expect![[r#"
        binary == one-to-one  ⟨{a="\xff"} == {"\u00e9"="\n"}⟩ Vector
          vector "" [a="�"]  ⟨{a="\xff"}⟩ Vector
          vector "" [é="\n"]  ⟨{"\u00e9"="\n"}⟩ Vector
    "#]],
    );
}

#[test]
fn calls() {
    check(
        "SUM BY (a, b) (rate(c[5m]))",
        &expect![[r#"
        sum by ["a", "b"]  ⟨SUM BY (a, b) (rate(c[5m]))⟩ Vector
          call rate  ⟨rate(c[5m])⟩ Vector
            matrix "c" [__name__="c"] range 300000ms  ⟨c[5m]⟩ Matrix
    "#]],
    );
    check(
        "count_values without () (\"v\", d) + 1",
        &expect![[r#"
        binary +  ⟨count_values without () ("v", d) + 1⟩ Vector
          count_values without []  ⟨count_values without () ("v", d)⟩ Vector
            vector "d" [__name__="d"]  ⟨d⟩ Vector
            string "v"  ⟨"v"⟩ String
          number 1  ⟨1⟩ Scalar
    "#]],
    );
    check(
        "topk(3, a) by (le)  ",
        &expect![[r#"
        topk by ["le"]  ⟨topk(3, a) by (le)⟩ Vector
          vector "a" [__name__="a"]  ⟨a⟩ Vector
          number 3  ⟨3⟩ Scalar
    "#]],
    );
    check(
        "info(a, {})",
        &expect![[r#"
        call info  ⟨info(a, {})⟩ Vector
          vector "a" [__name__="a"]  ⟨a⟩ Vector
          vector "" [] may match all  ⟨{}⟩ Vector
    "#]],
    );
    check(
        "min_of(1, time()) + start()",
        &expect![[r#"
        binary +  ⟨min_of(1, time()) + start()⟩ Scalar
          call min_of  ⟨min_of(1, time())⟩ Scalar
            number 1  ⟨1⟩ Scalar
            call time  ⟨time()⟩ Scalar
          call start  ⟨start()⟩ Scalar
    "#]],
    );
    check(
        "label_replace(a, \"b\", '\\xff', `\\`, \"\")",
        &expect![[r#"
        call label_replace  ⟨label_replace(a, "b", '\xff', `\`, "")⟩ Vector
          vector "a" [__name__="a"]  ⟨a⟩ Vector
          string "b"  ⟨"b"⟩ String
          string "\\xff"  ⟨'\xff'⟩ String
          string "\\\\"  ⟨`\`⟩ String
          string ""  ⟨""⟩ String
    "#]],
    );
}

#[test]
fn durations() {
    check(
        "a[5m + 2 * step()] offset max_of(1m, range())",
        &expect![[r#"
        matrix "a" [__name__="a"] offset `max_of(1m, range())` range `5m + 2 * step()`  ⟨a[5m + 2 * step()] offset max_of(1m, range())⟩ Matrix
    "#]],
    );
    // A plain operand ends the offset.
    check(
        "a offset -2 ^ 2",
        &expect![[r#"
        binary ^  ⟨a offset -2 ^ 2⟩ Vector
          vector "a" [__name__="a"] offset -2000ms  ⟨a offset -2⟩ Vector
          number 2  ⟨2⟩ Scalar
    "#]],
    );
    check(
        "a offset step() + 1",
        &expect![[r#"
        binary +  ⟨a offset step() + 1⟩ Vector
          vector "a" [__name__="a"] offset `step()`  ⟨a offset step()⟩ Vector
          number 1  ⟨1⟩ Scalar
    "#]],
    );
    check(
        "a offset -(1m) * 2",
        &expect![[r#"
        binary *  ⟨a offset -(1m) * 2⟩ Vector
          vector "a" [__name__="a"] offset `-(1m)`  ⟨a offset -(1m)⟩ Vector
          number 2  ⟨2⟩ Scalar
    "#]],
    );
    // Arithmetic that begins with a parenthesis or two signs does not.
    check(
        "a offset (1m) + 1",
        &expect![[r#"
        vector "a" [__name__="a"] offset `(1m) + 1`  ⟨a offset (1m) + 1⟩ Vector
    "#]],
    );
    check(
        "a offset --1m + 1",
        &expect![[r#"
        vector "a" [__name__="a"] offset `(1m + 1)`  ⟨a offset --1m + 1⟩ Vector
    "#]],
    );
    check(
        "a[(5m):-(-1m)]",
        &expect![[r#"
        subquery `(5m)` step `-(-1m)`  ⟨a[(5m):-(-1m)]⟩ Matrix
          vector "a" [__name__="a"]  ⟨a⟩ Vector
    "#]],
    );
    check(
        "a[-step() ^ 2 + 2h]",
        &expect![[r#"
        matrix "a" [__name__="a"] range `-step() ^ 2 + 2h`  ⟨a[-step() ^ 2 + 2h]⟩ Matrix
    "#]],
    );
    check(
        "a[0.0001]",
        &expect![[r#"
        matrix "a" [__name__="a"] range 0ms  ⟨a[0.0001]⟩ Matrix
    "#]],
    );
    check(
        "a + 5m + -1y",
        &expect![[r#"
        binary +  ⟨a + 5m + -1y⟩ Vector
          binary +  ⟨a + 5m⟩ Vector
            vector "a" [__name__="a"]  ⟨a⟩ Vector
            duration 300  ⟨5m⟩ Scalar
          duration -31536000  ⟨-1y⟩ Scalar
    "#]],
    );
}

/// What the printer writes, where that is not the text as it was.
#[test]
fn printed() {
    let check = |queries: &[&str], want: &Expect| {
        let mut out = String::new();
        for query in queries {
            let expr = parse(query).unwrap_or_else(|e| panic!("{query}: {e}"));
            assert_prints_back(query, &expr);
            let _ = writeln!(out, "{expr}");
        }
        want.assert_eq(&out);
    };
    check(
        &[
            "sum by() (a)",
            "sum without() (a)",
            "sum by(\"a.b\", `inf`, 'without', sum) (a)",
            "a - ignoring() b",
            "a - ignoring() group_left b",
            "a + fill_left(5) fill_right(5) b",
            "a + fill_left(-inf) fill_right(1e-7) b",
            "a + fill(1e21) b",
            "a{z=\"1\", b!=\"2\", c=~\"d\"} or {\"a\"} or {\"0\"='1', ``=\"2\"}",
            "a[5m] offset 1s @ 1 anchored",
            "a offset 1s @ 1.0005 smoothed",
            "1e300 + .5 + 0x1F + iNf + -nan + 1_000 + 08 + 010",
            "90d + 7d + 365d + 1h90m + 1ms + -0s + 0.1",
            "\"\\x41\\xff\\u00e9\\a\\ufffd\" ",
            "foo[200-min_of(-step()^+step(),1)]",
            "foo offset +(5) + foo offset -min_of(10s, +max_of(step() ^ 2, 2))",
            "a @ -0.001",
        ],
        &expect![[r#"
            sum(a)
            sum without () (a)
            sum by ("a.b", "inf", "without", sum) (a)
            a - b
            a - ignoring () group_left () b
            a + fill (5) b
            a + fill_left (-Inf) fill_right (1e-07) b
            a + fill (1e+21) b
            a{b!="2",c=~"d",z="1"} or {__name__="a"} or {""="2","0"="1"}
            a[5m] anchored @ 1.000 offset 1s
            a @ 1.001 smoothed offset 1s
            1000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000 + 0.5 + 31 + +Inf + NaN + 1000 + 8 + 8
            90d + 1w + 1y + 2h30m + 1ms + -0s + 0.1
            "A\xffé\a\ufffd"
            foo[200 - min_of(-step() ^ step(), 1)]
            foo offset +(5) + foo offset -min_of(10s, max_of(step() ^ 2, 2))
            a @ -0.001
        "#]],
    );
}
