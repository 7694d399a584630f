//! Durations in brackets and after `offset`, with the arithmetic that
//! [`ParseOptions::duration_expressions`](super::ParseOptions) allows.

use super::number::negated;
use super::parser::Parser;
use crate::ast::{BinaryOp, DurationArg, PosRange};
use crate::duration::{DurationExpr, DurationKind, DurationOp, literal_ms, seconds_out_of_range};
use crate::lex::{Keyword, Result, Token, TokenKind};

/// An expression and its height.
type Tree = (Box<DurationExpr>, usize);

const SIGN_PRECEDENCE: u8 = 5;

impl Parser<'_> {
    /// What stands in brackets.
    pub(super) fn positive_duration(&mut self) -> Result<(DurationArg, usize)> {
        let tree = self.duration(0)?;
        if let DurationKind::Literal(number) = &tree.0.kind
            && !tree.0.wrapped
            && number.value <= 0.0
        {
            return self.fail(number.pos, "duration must be greater than 0");
        }
        Ok(as_arg(tree))
    }

    /// What stands after `offset`. A plain operand ends there: `a offset -2^2` is `(a offset -2)^2`; but
    /// what begins with a parenthesis or two signs goes on: `a offset (1m) + 1m` is `a offset ((1m) + 1m)`.
    /// So it is in Prometheus.
    pub(super) fn offset_duration(&mut self) -> Result<(DurationArg, usize)> {
        let first = self.peek()?;
        let tree = match first.kind {
            TokenKind::LeftParen => self.duration(0)?,
            TokenKind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) => {
                self.next()?;
                self.signed_offset(op, first)?
            }
            _ => self.duration_operand()?,
        };
        Ok(as_arg(tree))
    }

    /// The rest of an offset, after its sign.
    fn signed_offset(&mut self, op: BinaryOp, sign: Token) -> Result<Tree> {
        let operand = match self.peek_kind()? {
            TokenKind::Number | TokenKind::Duration => self.duration_literal(sign.pos)?,
            TokenKind::Keyword(word) if word.is_duration() => self.duration_call(word, Some(sign.pos))?,
            // Allowed without the option, if only a number is inside.
            TokenKind::LeftParen => self.duration_in_parens()?,
            TokenKind::Op(BinaryOp::Add | BinaryOp::Sub) => {
                let operand = self.duration(SIGN_PRECEDENCE + 1)?;
                let signed = self.apply_sign(op, sign, operand)?;
                let (mut expr, height) = self.duration_operators(signed, 0)?;
                // Signs that fold away would no longer say that all of it belongs to the offset.
                expr.wrapped |= !matches!(expr.kind, DurationKind::Literal(_));
                return Ok((expr, height));
            }
            _ => return self.unexpected(),
        };
        self.apply_sign(op, sign, operand)
    }

    fn duration(&mut self, min_precedence: u8) -> Result<Tree> {
        let first = self.peek()?;
        self.enter(first.pos)?;
        let lhs = self.duration_operand()?;
        let tree = self.duration_operators(lhs, min_precedence)?;
        self.leave();
        Ok(tree)
    }

    fn duration_operators(&mut self, mut lhs: Tree, min_precedence: u8) -> Result<Tree> {
        while let TokenKind::Op(word) = self.peek_kind()? {
            let Some(op) = duration_op(word) else { break };
            let precedence = word.precedence();
            if precedence < min_precedence {
                break;
            }
            let token = self.next()?;
            let rhs = self.duration(precedence + u8::from(word != BinaryOp::Pow))?;
            lhs = self.duration_binary(lhs, op, token, rhs)?;
        }
        Ok(lhs)
    }

    #[inline(never)]
    fn duration_binary(&mut self, lhs: Tree, op: DurationOp, token: Token, rhs: Tree) -> Result<Tree> {
        self.need_duration_expressions(lhs.0.pos)?;
        if let DurationKind::Literal(number) = &rhs.0.kind
            && !rhs.0.wrapped
            && number.value == 0.0
        {
            match op {
                DurationOp::Div => return self.fail(token.pos, "division by zero"),
                DurationOp::Mod => return self.fail(token.pos, "modulo by zero"),
                _ => {}
            }
        }
        let height = self.height_above(lhs.1.max(rhs.1), token.pos)?;
        let pos = lhs.0.pos.to(rhs.0.pos);
        Ok((plain(DurationKind::Binary(op, lhs.0, rhs.0), pos), height))
    }

    fn duration_operand(&mut self) -> Result<Tree> {
        let first = self.peek()?;
        match first.kind {
            TokenKind::Number | TokenKind::Duration => self.duration_literal(first.pos),
            TokenKind::Op(op @ (BinaryOp::Add | BinaryOp::Sub)) => {
                self.next()?;
                let operand = self.duration(SIGN_PRECEDENCE + 1)?;
                self.apply_sign(op, first, operand)
            }
            TokenKind::LeftParen => self.duration_paren(),
            TokenKind::Keyword(word) if word.is_duration() => self.duration_call(word, None),
            _ => self.unexpected(),
        }
    }

    #[inline(never)]
    fn apply_sign(&mut self, op: BinaryOp, sign: Token, operand: Tree) -> Result<Tree> {
        let (mut expr, height) = operand;
        if let DurationExpr { kind: DurationKind::Literal(number), wrapped: false, pos } = &mut *expr {
            if op == BinaryOp::Sub {
                number.value = negated(number.value);
            }
            number.pos.start = sign.pos.start;
            pos.start = sign.pos.start;
            return Ok((expr, height));
        }
        if op == BinaryOp::Add {
            return Ok((expr, height));
        }
        let height = self.height_above(height, sign.pos)?;
        let pos = sign.pos.to(expr.pos);
        Ok((plain(DurationKind::Negative(expr), pos), height))
    }

    /// `pos` is where a value out of range is reported.
    fn duration_literal(&mut self, pos: PosRange) -> Result<Tree> {
        let number = self.number()?;
        if seconds_out_of_range(number.value) {
            return self.fail(pos, "duration out of range");
        }
        let pos = number.pos;
        Ok((plain(DurationKind::Literal(number), pos), 1))
    }

    #[inline(never)]
    fn duration_paren(&mut self) -> Result<Tree> {
        let (expr, height) = self.duration_in_parens()?;
        let inner = match &expr.kind {
            DurationKind::Literal(number) => number.pos,
            _ => expr.pos,
        };
        self.need_duration_expressions(inner)?;
        Ok((expr, height))
    }

    /// Positions leave out the parentheses but for the one that opens a literal, as in Prometheus, where
    /// messages at evaluation show them.
    fn duration_in_parens(&mut self) -> Result<Tree> {
        let open = self.expect(TokenKind::LeftParen)?;
        let (mut expr, height) = self.duration(0)?;
        self.expect(TokenKind::RightParen)?;
        expr.wrapped = true;
        if matches!(expr.kind, DurationKind::Literal(_)) {
            expr.pos.start = open.pos.start;
        }
        Ok((expr, height))
    }

    /// `report_at` is where a call is reported that is not allowed.
    #[inline(never)]
    fn duration_call(&mut self, word: Keyword, report_at: Option<PosRange>) -> Result<Tree> {
        let start = self.next()?.pos;
        self.expect(TokenKind::LeftParen)?;
        let (kind, height, pos) = match word {
            Keyword::Step => (DurationKind::Step, 1, start),
            Keyword::Range => (DurationKind::Range, 1, start),
            _ => {
                let op = if word == Keyword::MaxOf { DurationOp::MaxOf } else { DurationOp::MinOf };
                let (lhs, left_height) = self.duration(0)?;
                self.expect(TokenKind::Comma)?;
                let (rhs, right_height) = self.duration(0)?;
                let height = self.height_above(left_height.max(right_height), start)?;
                // Prometheus' position is that of the arguments.
                let pos = lhs.pos.to(rhs.pos);
                (DurationKind::Binary(op, lhs, rhs), height, pos)
            }
        };
        let end = self.expect(TokenKind::RightParen)?.pos;
        let pos = if height == 1 { start.to(end) } else { pos };
        self.need_duration_expressions(report_at.unwrap_or(pos))?;
        Ok((plain(kind, pos), height))
    }

    fn need_duration_expressions(&self, pos: PosRange) -> Result<()> {
        if self.options.duration_expressions {
            return Ok(());
        }
        self.fail(pos, "experimental duration expression is not enabled")
    }
}

fn plain(kind: DurationKind, pos: PosRange) -> Box<DurationExpr> {
    Box::new(DurationExpr { kind, wrapped: false, pos })
}

fn as_arg((expr, height): Tree) -> (DurationArg, usize) {
    match &expr.kind {
        DurationKind::Literal(number) if !expr.wrapped => (DurationArg::Ms(literal_ms(number.value)), 0),
        _ => (DurationArg::Expr(expr), height),
    }
}

fn duration_op(op: BinaryOp) -> Option<DurationOp> {
    Some(match op {
        BinaryOp::Add => DurationOp::Add,
        BinaryOp::Sub => DurationOp::Sub,
        BinaryOp::Mul => DurationOp::Mul,
        BinaryOp::Div => DurationOp::Div,
        BinaryOp::Mod => DurationOp::Mod,
        BinaryOp::Pow => DurationOp::Pow,
        _ => return None,
    })
}
