//! Tree to indented text, as Prometheus' `/api/v1/format_query`: what fits on a line stays on it, else the
//! parts get lines of their own, two blanks deeper.

use super::{Printer, Span, aggregation, operator};
use crate::ast::Expr;
use crate::parse::MAX_QUERY_BYTES;
use nilometer_model::{Error, Result};

/// What is longer gets more than one line, if it can.
const MAX_LINE_BYTES: usize = 100;

/// Indentation alone makes much out of a deep and long tree; what is no query any more is not written.
const MAX_PRETTY_BYTES: usize = MAX_QUERY_BYTES;

impl Expr {
    /// Indented text. Fails with a `Limit` where it would be absurdly long.
    pub fn pretty(&self) -> Result<String> {
        pretty(self, MAX_LINE_BYTES)
    }
}

fn pretty(e: &Expr, max_line_bytes: usize) -> Result<String> {
    let line = Printer { spans: Some(Vec::new()), ..Printer::default() }.print(e);
    let spans = line.spans.unwrap_or_default();
    let (line, out) = (&*line.out, String::new());
    let mut pretty = Pretty { line, spans: &spans, at: 0, max_line_bytes, after_sign: false, out };
    pretty.expr(e, 0)?;
    Ok(pretty.out)
}

/// Cuts the text on one line into several, so that each node is printed once.
struct Pretty<'a> {
    line: &'a str,
    spans: &'a [Span],
    /// The span of the next expression.
    at: usize,
    max_line_bytes: usize,
    /// A sign was written whose operand comes next and is a power.
    after_sign: bool,
    out: String,
}

impl Pretty<'_> {
    fn expr(&mut self, e: &Expr, level: usize) -> Result<()> {
        self.indent(level)?;
        self.unindented(e, level)
    }

    /// After the indentation of the first line, which is the caller's.
    fn unindented(&mut self, e: &Expr, level: usize) -> Result<()> {
        let Some(&Span { start, end, next }) = self.spans.get(self.at) else { return Ok(()) };
        if end - start <= self.max_line_bytes && !matches!(e, Expr::Unary(_)) {
            (self.at, self.after_sign) = (next, false);
            self.out.push_str(self.line.get(start..end).unwrap_or_default());
            return self.check();
        }
        self.at += 1;
        match e {
            Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => {
                self.out.push_str(self.line.get(start..end).unwrap_or_default());
            }
            Expr::Subquery(e) => {
                let suffix = self.spans.get(self.at).map_or(end, |inner| inner.end);
                self.unindented(&e.expr, level)?;
                self.out.push_str(self.line.get(suffix..end).unwrap_or_default());
            }
            Expr::Paren(e) => self.in_parens([&e.expr].into_iter(), level)?,
            Expr::Unary(e) => {
                self.out.push_str(e.op.as_str());
                self.after_sign = matches!(e.expr, Expr::Binary(_));
                self.unindented(&e.expr, level)?;
            }
            Expr::Binary(e) => {
                // The left side begins two blanks deeper than what has been indented, but sticks to a sign.
                let stick = std::mem::take(&mut self.after_sign);
                self.out.push_str(if stick { "" } else { "  " });
                self.unindented(&e.lhs, level + 1)?;
                self.line(level)?;
                operator(&mut self.out, e);
                self.line(level + 1)?;
                self.unindented(&e.rhs, level + 1)?;
            }
            Expr::Aggregate(e) => {
                aggregation(&mut self.out, e);
                self.in_parens(e.param.iter().chain([&e.expr]), level)?;
            }
            Expr::Call(e) => {
                self.out.push_str(e.func.name);
                self.in_parens(e.args.iter(), level)?;
            }
        }
        self.check()
    }

    fn in_parens<'a>(&mut self, args: impl Iterator<Item = &'a Expr>, level: usize) -> Result<()> {
        self.out.push('(');
        for (at, arg) in args.enumerate() {
            self.out.push_str(if at > 0 { ",\n" } else { "\n" });
            self.expr(arg, level + 1)?;
        }
        self.line(level)?;
        self.out.push(')');
        Ok(())
    }

    fn line(&mut self, level: usize) -> Result<()> {
        self.out.push('\n');
        self.indent(level)
    }

    fn indent(&mut self, level: usize) -> Result<()> {
        self.out.extend(std::iter::repeat_n("  ", level));
        self.check()
    }

    fn check(&self) -> Result<()> {
        if self.out.len() <= MAX_PRETTY_BYTES {
            return Ok(());
        }
        let message = "the query is too deep and too long to be indented";
        Err(Error::limit("pretty-bytes", MAX_PRETTY_BYTES as u64, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{MAX_DEPTH, ParseOptions, parse_expr};
    use expect_test::{Expect, expect};

    fn check(query: &str, max_line_bytes: usize, want: &Expect) {
        let expr = parse_expr(query, ParseOptions::ALL).unwrap();
        let text = pretty(&expr, max_line_bytes).unwrap();
        want.assert_eq(&text);
        let again = parse_expr(&text, ParseOptions::ALL).unwrap();
        assert_eq!(again.canonical(), expr.canonical());
    }

    #[test]
    fn what_fits_stays() {
        check("sum(a)+b", 10, &expect!["sum(a) + b"]);
        check("sum by(x,y)(rate(a{z='1'}[5m]))", 100, &expect![[r#"sum by (x, y) (rate(a{z="1"}[5m]))"#]]);
    }

    #[test]
    fn calls_and_aggregations() {
        check(
            "topk(10, sum without(b, c) (rate(metric_name[5m]))) by (d)",
            20,
            &expect![[r#"
            topk by (d) (
              10,
              sum without (b, c) (
                rate(
                  metric_name[5m]
                )
              )
            )"#]],
        );
        check(
            "-label_replace(-up{job='a'}, 'b', '$1', `c`, '')",
            10,
            &expect![[r#"
            -label_replace(
              -up{job="a"},
              "b",
              "$1",
              "c",
              ""
            )"#]],
        );
        check(
            "max_over_time(rate(demo_count[1m])[1m:] @ end() offset 1m)",
            10,
            &expect![[r#"
            max_over_time(
              rate(
                demo_count[1m]
              )[1m:] @ end() offset 1m
            )"#]],
        );
        check(
            "min_over_time(a[1m:])",
            20,
            &expect![[r#"
            min_over_time(
              a[1m:]
            )"#]],
        );
    }

    #[test]
    fn operators() {
        check(
            "foo_1 + ignoring(a) foo_2 > bool on(b) group_left foo_3",
            12,
            &expect![[r#"
                foo_1
              + ignoring (a)
                foo_2
            > bool on (b) group_left ()
              foo_3"#]],
        );
        check(
            "((foo_long)) and (bar_long / 2 or rate(foo[5m:]))",
            11,
            &expect![[r#"
              (
                (foo_long)
              )
            and
              (
                    bar_long
                  /
                    2
                or
                  rate(
                    foo[5m:]
                  )
              )"#]],
        );
        check(
            "-foo_long ^ 2 + 1",
            6,
            &expect![[r#"
              -foo_long
              ^
                2
            +
              1"#]],
        );
        check(
            "rate(abs(foo)[5m:] offset +(1m)) * 10",
            10,
            &expect![[r#"
              rate(
                abs(foo)[5m:] offset (1m)
              )
            *
              10"#]],
        );
        check(
            "(a offset +(1m) * 100000)",
            10,
            &expect![[r#"
            (
                a offset +(1m)
              *
                100000
            )"#]],
        );
    }

    #[test]
    fn hostile_depth_is_a_limit() {
        let (open, close) = ("(".repeat(MAX_DEPTH - 10), ")".repeat(MAX_DEPTH - 10));
        let args = vec!["''"; 100_000].join(",");
        let expr = parse_expr(&format!("{open}label_join(a,{args}){close}"), ParseOptions::ALL).unwrap();
        let error = expr.pretty().unwrap_err();
        assert!(matches!(error.kind(), nilometer_model::Kind::Limit { name: "pretty-bytes", .. }));
    }
}
