//! Aggregations and lists of labels.

use super::parser::{Node, Parser, Place};
use crate::ast::{AggregateExpr, AggregateOp, Expr, PosRange};
use crate::lex::{Keyword, Result, Token, TokenKind};
use crate::quote::{quoted, unquote};

#[derive(Default)]
struct Grouping {
    labels: Vec<String>,
    without: bool,
}

impl Parser<'_> {
    /// An aggregation, whose operator has been read.
    #[inline(never)]
    pub(super) fn aggregation(&mut self, op: AggregateOp, word: Token) -> Result<Node> {
        let outer = std::mem::replace(&mut self.place, Place { name: "aggregation", expected: "" });
        let mut grouping = self.grouping()?;
        let (args, height) = self.arguments()?;
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        self.place = outer;
        let pos = PosRange { start: word.pos.start, end: self.last_end };
        let expr = self.aggregate_expr(op, grouping.unwrap_or_default(), args, pos)?;
        let height = self.height_above(height, word.pos)?;
        Ok(Node { expr, height })
    }

    #[inline(never)]
    fn aggregate_expr(
        &mut self,
        op: AggregateOp,
        grouping: Grouping,
        mut args: Vec<Expr>,
        pos: PosRange,
    ) -> Result<Expr> {
        if args.is_empty() {
            return self.fail(pos, "no arguments for aggregate expression provided");
        }
        if op.is_experimental() && !self.options.experimental_functions {
            let message = format!(
                "{}() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
                op.as_str()
            );
            return self.fail(pos, message);
        }
        let want = 1 + usize::from(op.param().is_some());
        let got = args.len();
        match args.pop() {
            Some(expr) if got == want => {
                let (param, Grouping { labels, without }) = (args.pop(), grouping);
                Ok(Expr::Aggregate(Box::new(AggregateExpr {
                    op,
                    expr,
                    param,
                    grouping: labels,
                    without,
                    pos,
                })))
            }
            _ => {
                let message = format!(
                    "wrong number of arguments for aggregate expression provided, expected {want}, got {got}"
                );
                self.fail(pos, message)
            }
        }
    }

    fn grouping(&mut self) -> Result<Option<Grouping>> {
        let without = match self.peek_kind()? {
            TokenKind::Keyword(Keyword::By) => false,
            TokenKind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.next()?;
        Ok(Some(Grouping { labels: self.grouping_labels()?, without }))
    }

    /// `(a, "b.c", sum)`; a trailing comma is fine.
    pub(super) fn grouping_labels(&mut self) -> Result<Vec<String>> {
        const NAME: &str = "grouping opts";
        if self.peek_kind()? != TokenKind::LeftParen {
            return self.unexpected_in(NAME, "\"(\"");
        }
        self.next()?;
        let mut labels = Vec::new();
        loop {
            // A comma must follow a label: `(,)` is refused by `label`.
            if self.accept(TokenKind::RightParen)?.is_some() {
                return Ok(labels);
            }
            labels.push(self.label()?);
            match self.peek_kind()? {
                TokenKind::Comma => {
                    self.next()?;
                }
                TokenKind::RightParen => {}
                _ => return self.unexpected_in(NAME, "\",\" or \")\""),
            }
        }
    }

    fn label(&mut self) -> Result<String> {
        let token = self.peek()?;
        let text = self.text(token);
        let bytes = match token.kind {
            TokenKind::String => unquote(text).unwrap_or_default(),
            kind if kind.is_label() => text.as_bytes().to_vec(),
            _ => return self.unexpected_in("grouping opts", "label"),
        };
        self.next()?;
        match String::from_utf8(bytes) {
            Ok(label) if !label.is_empty() => Ok(label),
            Ok(label) => self.fail(token.pos, format!("invalid label name for grouping: {}", quoted(&label))),
            Err(e) => {
                let mut message = "invalid label name for grouping: ".to_owned();
                crate::quote::push_quoted(&mut message, e.as_bytes());
                self.fail(token.pos, message)
            }
        }
    }
}
