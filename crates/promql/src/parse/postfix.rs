//! What is written behind an operand: ranges, subqueries, `offset`, `@`, `anchored` and `smoothed`.

use super::parser::{Node, Parser, Place};
use crate::ast::{At, DurationArg, Expr, MatrixSelector, PosRange, RangeMode, SubqueryExpr, VectorSelector};
use crate::lex::{Keyword, Result, TokenKind};

impl Parser<'_> {
    pub(super) fn postfix(&mut self, mut node: Node) -> Result<Node> {
        loop {
            node = match self.peek_kind()? {
                TokenKind::LeftBracket => self.brackets(node)?,
                TokenKind::Keyword(Keyword::Offset) => self.offset(node)?,
                TokenKind::At => self.at_modifier(node)?,
                TokenKind::Keyword(Keyword::Anchored) => self.range_mode(node, RangeMode::Anchored)?,
                TokenKind::Keyword(Keyword::Smoothed) => self.range_mode(node, RangeMode::Smoothed)?,
                _ => return Ok(node),
            };
        }
    }

    #[inline(never)]
    fn brackets(&mut self, node: Node) -> Result<Node> {
        const DURATION: &str = "number, duration, step(), or range()";
        let outer = self.place;
        let open = self.next()?;
        self.place = Place { name: "subquery or range selector", expected: DURATION };
        let (range, range_height) = self.positive_duration()?;
        let subquery = match self.peek_kind()? {
            TokenKind::Colon => true,
            TokenKind::RightBracket => false,
            _ => return self.unexpected_in("subquery or range", "\":\" or \"]\""),
        };
        self.next()?;
        let mut height = node.height.max(range_height);
        let expr = if subquery {
            let (step, step_height) = self.step()?;
            height = height.max(step_height);
            subquery_of(node.expr, range, step, self.last_end)
        } else {
            let pos = PosRange { start: open.pos.start, end: self.last_end };
            self.matrix_of(node.expr, range, pos)?
        };
        self.place = outer;
        Ok(Node { expr, height: self.height_above(height, open.pos)? })
    }

    /// The step of a subquery, and the closing bracket.
    fn step(&mut self) -> Result<(Option<DurationArg>, usize)> {
        const NAME: &str = "subquery selector";
        if self.accept(TokenKind::RightBracket)?.is_some() {
            return Ok((None, 0));
        }
        let expected = "number, duration, step(), range(), or \"]\"";
        self.place = Place { name: NAME, expected };
        let (step, height) = self.positive_duration()?;
        if self.accept(TokenKind::RightBracket)?.is_none() {
            return self.unexpected_in(NAME, "\"]\"");
        }
        Ok((Some(step), height))
    }

    /// `pos` is that of the brackets.
    fn matrix_of(&self, expr: Expr, range: DurationArg, pos: PosRange) -> Result<Expr> {
        let wrong = match expr {
            Expr::Vector(selector) => {
                if !selector.offset.is_zero() {
                    "no offset modifiers allowed before range"
                } else if selector.at.is_some() {
                    "no @ modifiers allowed before range"
                } else {
                    let pos = selector.pos.to(pos);
                    let matrix = MatrixSelector { selector: *selector, range, pos };
                    return Ok(Expr::Matrix(Box::new(matrix)));
                }
            }
            _ => "ranges only allowed for vector selectors",
        };
        self.fail(pos, wrong)
    }

    #[inline(never)]
    fn offset(&mut self, mut node: Node) -> Result<Node> {
        let outer = self.place;
        let word = self.next()?;
        self.place = Place { name: "offset", expected: "number, duration, step(), or range()" };
        let (offset, height) = self.offset_duration()?;
        self.place = outer;
        let (start, end) = (node.expr.pos(), self.last_end);
        let (target, ends) = match &mut node.expr {
            Expr::Vector(e) => (&mut e.offset, &mut e.pos),
            Expr::Matrix(e) => (&mut e.selector.offset, &mut e.pos),
            Expr::Subquery(e) => (&mut e.offset, &mut e.pos),
            _ => {
                let message = "offset modifier must be preceded by an instant vector selector or range \
                               vector selector or a subquery";
                return self.fail(start, message);
            }
        };
        if !target.is_zero() {
            return self.fail(start, "offset may not be set multiple times");
        }
        *target = offset;
        ends.end = end;
        let height = node.height.max(self.height_above(height, word.pos)?);
        Ok(Node { expr: node.expr, height })
    }

    #[inline(never)]
    fn at_modifier(&mut self, mut node: Node) -> Result<Node> {
        let outer = self.place;
        self.next()?;
        self.place = Place { name: "@", expected: "timestamp" };
        let start = node.expr.pos();
        let at = match self.peek_kind()? {
            TokenKind::Keyword(word @ (Keyword::Start | Keyword::End)) => {
                self.next()?;
                self.expect(TokenKind::LeftParen)?;
                self.expect(TokenKind::RightParen)?;
                if word == Keyword::Start { At::Start } else { At::End }
            }
            _ => {
                let seconds = self.signed_number()?;
                self.timestamp(seconds, start)?
            }
        };
        self.place = outer;
        let end = self.last_end;
        let (target, ends) = match &mut node.expr {
            Expr::Vector(e) => (&mut e.at, &mut e.pos),
            Expr::Matrix(e) => (&mut e.selector.at, &mut e.pos),
            Expr::Subquery(e) => (&mut e.at, &mut e.pos),
            _ => {
                let message = "@ modifier must be preceded by an instant vector selector or range vector \
                               selector or a subquery";
                return self.fail(start, message);
            }
        };
        if target.is_some() {
            return self.fail(start, "@ <timestamp> may not be set multiple times");
        }
        *target = Some(at);
        ends.end = end;
        Ok(node)
    }

    fn timestamp(&self, seconds: f64, pos: PosRange) -> Result<At> {
        if seconds.is_finite() && seconds.abs() < i64::MAX as f64 {
            return Ok(At::TimestampMs((seconds * 1000.0).round() as i64));
        }
        let shown = match seconds {
            f64::INFINITY => "+Inf".to_owned(),
            f64::NEG_INFINITY => "-Inf".to_owned(),
            other => format!("{other:.6}"),
        };
        self.fail(pos, format!("timestamp out of bounds for @ modifier: {shown}"))
    }

    #[inline(never)]
    fn range_mode(&mut self, mut node: Node, mode: RangeMode) -> Result<Node> {
        self.next()?;
        let (word, pos) = (mode.as_str(), node.expr.pos());
        if !self.options.extended_range_selectors {
            return self.fail(pos, format!("{word} modifier is experimental and not enabled"));
        }
        let selector: &mut VectorSelector = match &mut node.expr {
            Expr::Vector(e) => e,
            Expr::Matrix(e) => &mut e.selector,
            Expr::Subquery(_) => {
                return self.fail(pos, format!("{word} modifier is not supported for subqueries"));
            }
            _ => return self.fail(pos, format!("{word} modifier not implemented")),
        };
        if selector.mode.is_some_and(|other| other != mode) {
            return self.fail(pos, "anchored and smoothed modifiers cannot be used together");
        }
        selector.mode = Some(mode);
        Ok(node)
    }
}

fn subquery_of(expr: Expr, range: DurationArg, step: Option<DurationArg>, end: u32) -> Expr {
    let pos = PosRange { start: expr.pos().start, end };
    Expr::Subquery(Box::new(SubqueryExpr { expr, range, step, offset: DurationArg::ZERO, at: None, pos }))
}
