//! Messages. Each line of a table is a query and what is said of it; Prometheus 3.14 says the same, unless
//! noted.

use super::*;
use expect_test::{Expect, expect};

/// One line a query: its error, else what it is printed as.
fn check_with(options: ParseOptions, queries: &[&str], want: &Expect) {
    let mut out = String::new();
    for query in queries {
        let line = match parse_expr(query, options) {
            Ok(expr) => format!("ok {expr}"),
            Err(e) => e.to_string(),
        };
        out.push_str(&format!("{query}\n    {line}\n"));
    }
    want.assert_eq(&out);
}

fn check(queries: &[&str], want: &Expect) {
    check_with(ParseOptions::ALL, queries, want);
}

#[test]
fn words() {
    check(
        &[
            "",
            " # only a comment",
            ".",
            "2.5.",
            "100..4",
            "0xe",
            "0xee",
            "0deadbeef",
            "1__0",
            "1_",
            "1e",
            "5mm",
            "1!2",
            "1 !",
            "1 =~ 2",
            "a$",
            "}",
            "]",
            "(1))",
            "((1)",
            "a[5m",
            "a[5m][",
            "\"a",
            "'a\"",
            "`a",
            "\"a\n\"",
            r#""\q""#,
            r#""\xg0""#,
            r#""\400""#,
            r#""\ud800""#,
            r#""\"#,
            "\"\u{fffd}\"",
            "été",
            "a\n+\n  $",
        ],
        &expect![[r#"

                unknown position: parse error: no expression found in input
             # only a comment
                1:1: parse error: no expression found in input
            .
                1:1: parse error: unexpected character: '.'
            2.5.
                1:1: parse error: bad number or duration syntax: "2.5."
            100..4
                1:1: parse error: bad number or duration syntax: "100.."
            0xe
                ok 14
            0xee
                1:1: parse error: bad number or duration syntax: "0xee"
            0deadbeef
                1:1: parse error: bad number or duration syntax: "0de"
            1__0
                1:1: parse error: bad number or duration syntax: "1__"
            1_
                1:1: parse error: bad number or duration syntax: "1_"
            1e
                1:1: parse error: bad number or duration syntax: "1e"
            5mm
                1:1: parse error: bad number or duration syntax: "5mm"
            1!2
                1:2: parse error: unexpected character after '!': '2'
            1 !
                1:3: parse error: unexpected character after '!': '�'
            1 =~ 2
                1:3: parse error: unexpected character after '=': '~'
            a$
                1:2: parse error: unexpected character: '$'
            }
                1:1: parse error: unexpected character: '}'
            ]
                1:1: parse error: unexpected right bracket ']'
            (1))
                1:5: parse error: unexpected right parenthesis ')'
            ((1)
                1:5: parse error: unclosed left parenthesis
            a[5m
                1:5: parse error: unclosed left bracket
            a[5m][
                1:7: parse error: unexpected end of input in duration expression
            "a
                1:1: parse error: unterminated quoted string
            'a"
                1:1: parse error: unterminated quoted string
            `a
                1:1: parse error: unterminated raw string
            "a
            "
                1:1: parse error: unterminated quoted string
            "\q"
                1:1: parse error: unknown escape sequence U+0071 'q'
            "\xg0"
                1:1: parse error: illegal character U+0067 'g' in escape sequence
            "\400"
                1:1: parse error: escape sequence is an invalid Unicode code point
            "\ud800"
                1:1: parse error: escape sequence is an invalid Unicode code point
            "\
                1:1: parse error: escape sequence not terminated
            "�"
                1:1: parse error: invalid UTF-8 rune
            été
                1:1: parse error: unexpected character: 'é'
            a
            +
              $
                3:3: parse error: unexpected character: '$'
        "#]],
    );
}

#[test]
fn inside_braces() {
    check(
        &[
            "a{",
            "a{b",
            "a{b}",
            "a{b=",
            "a{b=c}",
            "a{b=\"c\" d}",
            "a{,}",
            "a{b=\"c\",,}",
            "a{b:c=\"d\"}",
            "a{1}",
            "a{b>\"c\"}",
            "a{b!\"c\"}",
            "a{{}}",
            "a{\"b\"=}",
            "a{\"b\" \"c\"}",
            "a{b==\"c\"}",
            "a{b=\"c\"}{d=\"e\"}",
        ],
        &expect![[r#"
            a{
                1:3: parse error: unexpected end of input inside braces
            a{b
                1:4: parse error: unexpected end of input inside braces
            a{b}
                1:4: parse error: unexpected "}" in label matching, expected label matching operator
            a{b=
                1:5: parse error: unexpected end of input inside braces
            a{b=c}
                1:5: parse error: unexpected identifier "c" in label matching, expected string
            a{b="c" d}
                1:9: parse error: unexpected identifier "d" in label matching, expected "," or "}"
            a{,}
                1:3: parse error: unexpected "," in label matching, expected identifier or "}"
            a{b="c",,}
                1:9: parse error: unexpected "," in label matching, expected identifier or "}"
            a{b:c="d"}
                1:4: parse error: unexpected character inside braces: ':'
            a{1}
                1:3: parse error: unexpected character inside braces: '1'
            a{b>"c"}
                1:4: parse error: unexpected character inside braces: '>'
            a{b!"c"}
                1:4: parse error: unexpected character after '!' inside braces: '"'
            a{{}}
                1:3: parse error: unexpected left brace '{'
            a{"b"=}
                1:7: parse error: unexpected "}" in label matching, expected string
            a{"b" "c"}
                1:7: parse error: unexpected string "\"c\"" in label matching, expected "," or "}"
            a{b=="c"}
                1:5: parse error: unexpected "=" in label matching, expected string
            a{b="c"}{d="e"}
                1:9: parse error: unexpected "{"
        "#]],
    );
}

#[test]
fn inside_brackets() {
    check(
        &[
            "a[",
            "a[]",
            "a[:5m]",
            "a[5m:1m:1m]",
            "a[step():1m]",
            "a[5mm]",
            "a[5m1h]",
            "a[5y1hs]",
            "a[0]",
            "a[-1m]",
            "a[\"5m\"]",
            "a[5m:1m",
            "a[5m 5m]",
            "a[5m x]",
            "a[5m:x]",
            "a[5m:1m 1]",
            "a[5m:*]",
            "a[steps()]",
            "a[step]",
            "a[start()]",
            "a[b]",
            "a[5m+]",
            "a[1/0]",
            "a[5s%0s]",
            "a[9.3e9]",
            "a[5m[5m]]",
            "a[5m)]",
            "(a+b)[5m]",
            "1[5m]",
            "a[99999999999y]",
            "a[# 5m\n]",
        ],
        &expect![[r#"
            a[
                1:3: parse error: unexpected end of input in duration expression
            a[]
                1:3: parse error: unexpected "]" in subquery or range selector, expected number, duration, step(), or range()
            a[:5m]
                1:4: parse error: unexpected colon before duration in duration expression
            a[5m:1m:1m]
                1:8: parse error: unexpected colon ':'
            a[step():1m]
                ok a[step():1m]
            a[5mm]
                1:3: parse error: bad number or duration syntax: "5mm"
            a[5m1h]
                1:3: parse error: not a valid duration string: "5m1h"
            a[5y1hs]
                1:3: parse error: unknown unit "hs" in duration "5y1hs"
            a[0]
                1:3: parse error: duration must be greater than 0
            a[-1m]
                1:3: parse error: duration must be greater than 0
            a["5m"]
                1:3: parse error: unexpected character in duration expression: '"'
            a[5m:1m
                1:8: parse error: unclosed left bracket
            a[5m 5m]
                1:6: parse error: unexpected duration "5m" in subquery or range, expected ":" or "]"
            a[5m x]
                1:6: parse error: unexpected character: 'x', expected ':'
            a[5m:x]
                1:6: parse error: unexpected character: 'x', expected ':'
            a[5m:1m 1]
                1:9: parse error: unexpected number "1" in subquery selector, expected "]"
            a[5m:*]
                1:6: parse error: unexpected <op:*> in subquery selector, expected number, duration, step(), range(), or "]"
            a[steps()]
                1:3: parse error: unexpected character in duration expression: 's'
            a[step]
                1:7: parse error: unexpected "]" in subquery or range selector, expected number, duration, step(), or range()
            a[start()]
                1:3: parse error: unexpected character in duration expression: 's'
            a[b]
                1:3: parse error: unexpected character in duration expression: 'b'
            a[5m+]
                1:6: parse error: unexpected "]" in subquery or range selector, expected number, duration, step(), or range()
            a[1/0]
                1:4: parse error: division by zero
            a[5s%0s]
                1:5: parse error: modulo by zero
            a[9.3e9]
                1:3: parse error: duration out of range
            a[5m[5m]]
                1:5: parse error: unexpected left bracket '['
            a[5m)]
                1:6: parse error: unexpected right parenthesis ')'
            (a+b)[5m]
                1:6: parse error: ranges only allowed for vector selectors
            1[5m]
                1:2: parse error: ranges only allowed for vector selectors
            a[99999999999y]
                1:3: parse error: duration out of range
            a[# 5m
            ]
                1:3: parse error: unexpected character in duration expression: '#'
        "#]],
    );
}

#[test]
fn operands_and_operators() {
    check(
        &[
            "1 +",
            "* 1",
            "a b",
            "a on(b) c",
            "a + on b",
            "a + on(b) ignoring(c) d",
            "a + group_left(b) c",
            "a + on(b) group_left * c",
            "a + on(b) bool c",
            "a + fill(x) b",
            "a + fill b + fill",
            "sum a",
            "sum by a",
            "sum by(a",
            "sum by(a b)(c)",
            "sum by(,)(c)",
            "sum by(a,,b)(c)",
            "sum by(\"\")(a)",
            r#"sum by("\xff")(a)"#,
            "sum(a) by(b) by(c)",
            "sum()",
            "sum(a,)",
            "sum(a, b)",
            "topk(a)",
            "sum(1 +)",
            "sum(a b)",
            "rate(a b)",
            "sum(rate(a[5m) + )",
            "f(a)",
            "Rate(a[5m])",
            "a:b(c)",
            "time(,)",
            "abs(a,)",
            "abs(a, *)",
            "a offset",
            "a offset b",
            "a offset 5m offset 5m",
            "1 offset 5m",
            "a @",
            "a @ b",
            "a @ start",
            "a @ start(1)",
            "a @ inf",
            "a @ -1e19",
            "a @ 1 @ 2",
            "(a) @ 1",
            "a offset 5m[5m]",
            "a @ 1[5m]",
            "a anchored smoothed",
            "a[5m:] smoothed",
            "(a) anchored",
            "1e400",
            "a offset 9.3e9",
            "a offset -9.3e9",
            "a offset nan",
        ],
        &expect![[r#"
            1 +
                1:4: parse error: unexpected end of input
            * 1
                1:1: parse error: unexpected <op:*>
            a b
                1:3: parse error: unexpected identifier "b"
            a on(b) c
                1:3: parse error: unexpected <on>
            a + on b
                1:8: parse error: unexpected identifier "b" in grouping opts, expected "("
            a + on(b) ignoring(c) d
                1:11: parse error: unexpected <ignoring>
            a + group_left(b) c
                1:5: parse error: unexpected <group_left>
            a + on(b) group_left * c
                1:22: parse error: unexpected <op:*> in grouping opts, expected "("
            a + on(b) bool c
                1:11: parse error: unexpected <bool>
            a + fill(x) b
                1:10: parse error: unexpected identifier "x"
            a + fill b + fill
                1:10: parse error: unexpected identifier "b"
            sum a
                1:5: parse error: unexpected identifier "a"
            sum by a
                1:8: parse error: unexpected identifier "a" in grouping opts, expected "("
            sum by(a
                1:9: parse error: unclosed left parenthesis
            sum by(a b)(c)
                1:10: parse error: unexpected identifier "b" in grouping opts, expected "," or ")"
            sum by(,)(c)
                1:8: parse error: unexpected "," in grouping opts, expected label
            sum by(a,,b)(c)
                1:10: parse error: unexpected "," in grouping opts, expected label
            sum by("")(a)
                1:8: parse error: invalid label name for grouping: ""
            sum by("\xff")(a)
                1:8: parse error: invalid label name for grouping: "\xff"
            sum(a) by(b) by(c)
                1:14: parse error: unexpected <by>
            sum()
                1:1: parse error: no arguments for aggregate expression provided
            sum(a,)
                1:6: parse error: trailing commas not allowed in function call args
            sum(a, b)
                1:1: parse error: wrong number of arguments for aggregate expression provided, expected 1, got 2
            topk(a)
                1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1
            sum(1 +)
                1:8: parse error: unexpected ")" in aggregation
            sum(a b)
                1:7: parse error: unexpected identifier "b" in aggregation
            rate(a b)
                1:8: parse error: unexpected identifier "b"
            sum(rate(a[5m) + )
                1:14: parse error: unexpected ")" in subquery or range, expected ":" or "]"
            f(a)
                1:1: parse error: unknown function with name "f"
            Rate(a[5m])
                1:1: parse error: unknown function with name "Rate"
            a:b(c)
                1:4: parse error: unexpected "("
            time(,)
                1:6: parse error: unexpected ","
            abs(a,)
                1:6: parse error: trailing commas not allowed in function call args
            abs(a, *)
                1:6: parse error: trailing commas not allowed in function call args
            a offset
                1:9: parse error: unexpected end of input in offset, expected number, duration, step(), or range()
            a offset b
                1:10: parse error: unexpected identifier "b" in offset, expected number, duration, step(), or range()
            a offset 5m offset 5m
                1:1: parse error: offset may not be set multiple times
            1 offset 5m
                1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery
            a @
                1:4: parse error: unexpected end of input in @, expected timestamp
            a @ b
                1:5: parse error: unexpected identifier "b" in @, expected timestamp
            a @ start
                1:10: parse error: unexpected end of input in @, expected timestamp
            a @ start(1)
                1:11: parse error: unexpected number "1" in @, expected timestamp
            a @ inf
                1:1: parse error: timestamp out of bounds for @ modifier: +Inf
            a @ -1e19
                1:1: parse error: timestamp out of bounds for @ modifier: -10000000000000000000.000000
            a @ 1 @ 2
                1:1: parse error: @ <timestamp> may not be set multiple times
            (a) @ 1
                1:1: parse error: @ modifier must be preceded by an instant vector selector or range vector selector or a subquery
            a offset 5m[5m]
                1:12: parse error: no offset modifiers allowed before range
            a @ 1[5m]
                1:6: parse error: no @ modifiers allowed before range
            a anchored smoothed
                1:1: parse error: anchored and smoothed modifiers cannot be used together
            a[5m:] smoothed
                1:1: parse error: smoothed modifier is not supported for subqueries
            (a) anchored
                1:1: parse error: anchored modifier not implemented
            1e400
                1:1: parse error: error parsing number: strconv.ParseFloat: parsing "1e400": value out of range
            a offset 9.3e9
                1:10: parse error: duration out of range
            a offset -9.3e9
                1:10: parse error: duration out of range
            a offset nan
                1:10: parse error: duration out of range
        "#]],
    );
}

#[test]
fn types() {
    check(
        &[
            "1 and 1",
            "a or 1",
            "1 == 1",
            "a + bool b",
            "a + bool 1",
            "a and bool b",
            "\"a\" + 1",
            "1 + a[5m]",
            "-\"a\"",
            "-a[5m]",
            "1 + on(b) c",
            "a + fill(1) 1",
            "a and on(b) group_left c",
            "a and fill(1) b",
            "a + on(b, c) group_left(d, c) e",
            "sum(1)",
            "sum(a[5m])",
            "topk(a, b)",
            "count_values(1, a)",
            "abs(1)",
            "abs()",
            "abs(a, b)",
            "rate(a)",
            "hour(a, b)",
            "label_join(a)",
            "label_join(a, \"b\", c)",
            "round()",
            "round(a, b)",
            "info(a, b)",
            "info(a, 1)",
            "info(a, {b=\"c\"} + 1)",
            "info(a, {}, a)",
            "histogram_quantiles(a, \"b\")",
            "{}",
            "{a=\"\"}",
            "{a=~\".*\"}",
            "{a!=\"b\"}",
            "a{__name__=\"b\"}",
            "a{\"b\"}",
            "1[5m:]",
            "a[5m][5m:]",
            "(1 + {})[5m:]",
            "rate(a) + sum(1)",
        ],
        &expect![[r#"
            1 and 1
                1:1: parse error: set operator "and" not allowed in binary scalar expression
            a or 1
                1:1: parse error: set operator "or" not allowed in binary scalar expression
            1 == 1
                1:3: parse error: comparisons between scalars must use BOOL modifier
            a + bool b
                1:3: parse error: bool modifier can only be used on comparison operators
            a + bool 1
                1:3: parse error: bool modifier can only be used on comparison operators
            a and bool b
                1:3: parse error: bool modifier can only be used on comparison operators
            "a" + 1
                1:1: parse error: binary expression must contain only scalar and instant vector types
            1 + a[5m]
                1:5: parse error: binary expression must contain only scalar and instant vector types
            -"a"
                1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got "string"
            -a[5m]
                1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got "range vector"
            1 + on(b) c
                1:1: parse error: vector matching only allowed between instant vectors
            a + fill(1) 1
                1:1: parse error: filling in missing series only allowed between instant vectors
            a and on(b) group_left c
                1:1: parse error: no grouping allowed for "and" operation
            a and fill(1) b
                1:1: parse error: filling in missing series not allowed for set operators
            a + on(b, c) group_left(d, c) e
                1:3: parse error: label "c" must not occur in ON and GROUP clause at once
            sum(1)
                1:5: parse error: expected type instant vector in aggregation expression, got scalar
            sum(a[5m])
                1:5: parse error: expected type instant vector in aggregation expression, got range vector
            topk(a, b)
                1:6: parse error: expected type scalar in aggregation parameter, got instant vector
            count_values(1, a)
                1:14: parse error: expected type string in aggregation parameter, got scalar
            abs(1)
                1:5: parse error: expected type instant vector in call to function "abs", got scalar
            abs()
                1:1: parse error: expected 1 argument(s) in call to "abs", got 0
            abs(a, b)
                1:1: parse error: expected 1 argument(s) in call to "abs", got 2
            rate(a)
                1:6: parse error: expected type range vector in call to function "rate", got instant vector
            hour(a, b)
                1:1: parse error: expected at most 1 argument(s) in call to "hour", got 2
            label_join(a)
                1:1: parse error: expected at least 3 argument(s) in call to "label_join", got 1
            label_join(a, "b", c)
                1:20: parse error: expected type string in call to function "label_join", got instant vector
            round()
                1:1: parse error: expected at least 1 argument(s) in call to "round", got 0
            round(a, b)
                1:10: parse error: expected type scalar in call to function "round", got instant vector
            info(a, b)
                1:9: parse error: expected label selectors only, got vector selector instead
            info(a, 1)
                1:1: parse error: expected type instant vector in call to function "info", got scalar
            info(a, {b="c"} + 1)
                1:9: parse error: expected label selectors only
            info(a, {}, a)
                1:1: parse error: expected at most 2 argument(s) in call to "info", got 3
            histogram_quantiles(a, "b")
                1:1: parse error: expected at least 3 argument(s) in call to "histogram_quantiles", got 2
            {}
                1:1: parse error: vector selector must contain at least one non-empty matcher
            {a=""}
                1:1: parse error: vector selector must contain at least one non-empty matcher
            {a=~".*"}
                1:1: parse error: vector selector must contain at least one non-empty matcher
            {a!="b"}
                1:1: parse error: vector selector must contain at least one non-empty matcher
            a{__name__="b"}
                1:1: parse error: metric name must not be set twice: "a" or "b"
            a{"b"}
                1:1: parse error: metric name must not be set twice: "a" or "b"
            1[5m:]
                1:1: parse error: subquery is only allowed on instant vector, got scalar instead
            a[5m][5m:]
                1:1: parse error: subquery is only allowed on instant vector, got matrix instead
            (1 + {})[5m:]
                1:6: parse error: vector selector must contain at least one non-empty matcher
            rate(a) + sum(1)
                1:6: parse error: expected type range vector in call to function "rate", got instant vector
        "#]],
    );
}

#[test]
fn what_is_not_enabled() {
    check_with(
        ParseOptions::default(),
        &[
            "limitk(1, a)",
            "limit_ratio(a)",
            "mad_over_time(a[5m])",
            "start()",
            "step() + f(a)",
            "a anchored",
            "a[5m] smoothed",
            "a + fill(1) b",
            "a + fill_left(1) on(b) c",
            "a[5m+1m]",
            "a[step()]",
            "a[(5m)]",
            "a[max_of(5m, 1m)]",
            "a offset -step()",
            "a offset (5m)",
            "a offset -(5m)",
            "a offset -(5m+1m)",
            "a offset -5m ^ 2",
        ],
        &expect![[r#"
            limitk(1, a)
                1:1: parse error: limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions
            limit_ratio(a)
                1:1: parse error: limit_ratio() is experimental and must be enabled with --enable-feature=promql-experimental-functions
            mad_over_time(a[5m])
                1:1: parse error: function "mad_over_time" is not enabled
            start()
                1:1: parse error: function "start" is not enabled
            step() + f(a)
                1:1: parse error: function "step" is not enabled
            a anchored
                1:1: parse error: anchored modifier is experimental and not enabled
            a[5m] smoothed
                1:1: parse error: smoothed modifier is experimental and not enabled
            a + fill(1) b
                1:1: parse error: binop fill modifiers are experimental and not enabled
            a + fill_left(1) on(b) c
                1:18: parse error: unexpected <on>
            a[5m+1m]
                1:3: parse error: experimental duration expression is not enabled
            a[step()]
                1:3: parse error: experimental duration expression is not enabled
            a[(5m)]
                1:4: parse error: experimental duration expression is not enabled
            a[max_of(5m, 1m)]
                1:10: parse error: experimental duration expression is not enabled
            a offset -step()
                1:10: parse error: experimental duration expression is not enabled
            a offset (5m)
                1:11: parse error: experimental duration expression is not enabled
            a offset -(5m)
                ok a offset -(5m)
            a offset -(5m+1m)
                1:12: parse error: experimental duration expression is not enabled
            a offset -5m ^ 2
                ok a offset -5m ^ 2
        "#]],
    );
}

#[test]
fn regular_expressions_of_matchers() {
    let error = parse("up + {a=\"b\", c=~\"(\"}").unwrap_err();
    assert_eq!((error.pos.start, error.pos.end), (13, 19));
    assert!(error.message.starts_with("error parsing regexp"), "{error}");
}

#[test]
fn selectors_alone() {
    let check = |text: &str, want: &Expect| {
        want.assert_eq(&match parse_selector(text) {
            Ok(matchers) => format!("{matchers:?}"),
            Err(e) => e.to_string(),
        });
    };
    check("up{job=~\"a|b\", \"x.y\"!=\"z\"}", &expect![[r#"[job=~"a|b", x.y!="z", __name__="up"]"#]]);
    check("{\"a b\"}", &expect![[r#"[__name__="a b"]"#]]);
    check("{}", &expect!["[]"]);
    check("sum", &expect![[r#"[__name__="sum"]"#]]);
    check("", &expect!["unknown position: parse error: unexpected end of input"]);
    check("up[5m]", &expect![[r#"1:3: parse error: unexpected "[""#]]);
    check("up offset 5m", &expect!["1:4: parse error: unexpected <offset>"]);
    check("sum(up)", &expect![[r#"1:4: parse error: unexpected "(""#]]);
    check("bool", &expect!["1:1: parse error: unexpected <bool>"]);
    check("1", &expect![[r#"1:1: parse error: unexpected number "1""#]]);
}

#[test]
fn an_error_knows_line_and_column() {
    let error = parse("a +\n  b +\n    \"é\" +* c").unwrap_err();
    assert_eq!(error.to_string(), "3:11: parse error: unexpected <op:*>");
    assert_eq!((error.pos.start, error.pos.end), (20, 21));
    let error: nilometer_model::Error = error.into();
    assert_eq!(*error.kind(), nilometer_model::Kind::Invalid);
}
