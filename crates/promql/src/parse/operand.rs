//! Operands: literals, selectors, parentheses, calls, aggregations, signs.

use super::number::negated;
use super::parser::{Node, Parser};
use crate::ast::{BinaryOp, Call, Expr, ParenExpr, PosRange, StringLiteral, UnaryExpr, UnaryOp};
use crate::functions::Function;
use crate::lex::{Keyword, Result, Token, TokenKind};
use crate::quote::{quoted, unquote};

impl Parser<'_> {
    /// An operand with all that is written behind it (`[5m]`, `offset 1h`, `@ 0`, …).
    pub(super) fn operand(&mut self) -> Result<Node> {
        let first = self.peek()?;
        let node = match first.kind {
            TokenKind::Op(BinaryOp::Add) => return self.signed(UnaryOp::Plus),
            TokenKind::Op(BinaryOp::Sub) => return self.signed(UnaryOp::Minus),
            TokenKind::LeftParen => self.paren()?,
            TokenKind::Number | TokenKind::Duration => Node::leaf(Expr::Number(Box::new(self.number()?))),
            TokenKind::String => Node::leaf(self.string()?),
            TokenKind::LeftBrace => self.selector()?,
            kind if is_metric_name(kind) => self.named()?,
            _ => return self.unexpected(),
        };
        self.postfix(node)
    }

    /// A sign binds as tightly as `*`: `-2^2` is `-(2^2)`.
    #[inline(never)]
    fn signed(&mut self, op: UnaryOp) -> Result<Node> {
        let start = self.next()?.pos;
        let Node { mut expr, height } = self.expr(BinaryOp::Mul.precedence() + 1)?;
        if let Expr::Number(number) = &mut expr {
            if op == UnaryOp::Minus {
                number.value = negated(number.value);
            }
            number.pos.start = start.start;
            return Ok(Node { expr, height });
        }
        let height = self.height_above(height, start)?;
        let pos = start.to(expr.pos());
        Ok(Node { expr: Expr::Unary(Box::new(UnaryExpr { op, expr, pos })), height })
    }

    #[inline(never)]
    fn paren(&mut self) -> Result<Node> {
        let start = self.next()?.pos;
        let Node { expr, height } = self.expr(0)?;
        let pos = start.to(self.expect(TokenKind::RightParen)?.pos);
        let height = self.height_above(height, start)?;
        Ok(Node { expr: Expr::Paren(Box::new(ParenExpr { expr, pos })), height })
    }

    #[inline(never)]
    fn string(&mut self) -> Result<Expr> {
        let token = self.next()?;
        let text = self.text(token);
        match unquote(text) {
            Some(value) => Ok(Expr::String(Box::new(StringLiteral { value, pos: token.pos }))),
            None => self.fail(token.pos, format!("error unquoting string {}: invalid syntax", quoted(text))),
        }
    }

    #[inline(never)]
    fn selector(&mut self) -> Result<Node> {
        Ok(Node::leaf(Expr::Vector(Box::new(self.vector_selector()?))))
    }

    /// What begins with a word: what follows tells an aggregation or a call from a metric's name.
    fn named(&mut self) -> Result<Node> {
        let word = self.peek()?;
        // Only these words can begin anything else than a selector.
        let may_call = match word.kind {
            TokenKind::Aggregate(_) | TokenKind::Identifier => true,
            TokenKind::Keyword(keyword) => keyword.is_callable(),
            _ => false,
        };
        if !may_call {
            return self.selector();
        }
        self.next()?;
        match (word.kind, self.peek_kind()?) {
            (
                TokenKind::Aggregate(op),
                TokenKind::LeftParen | TokenKind::Keyword(Keyword::By | Keyword::Without),
            ) => self.aggregation(op, word),
            (TokenKind::Aggregate(_), _) => self.selector_named(word),
            (_, TokenKind::LeftParen) => self.call(word),
            _ => self.selector_named(word),
        }
    }

    #[inline(never)]
    fn selector_named(&mut self, word: Token) -> Result<Node> {
        Ok(Node::leaf(Expr::Vector(Box::new(self.vector_selector_named(word)?))))
    }

    #[inline(never)]
    fn call(&mut self, word: Token) -> Result<Node> {
        let (args, height) = self.arguments()?;
        let name = self.text(word);
        let Some(func) = Function::find(name) else {
            return self.fail(word.pos, format!("unknown function with name {}", quoted(name)));
        };
        if func.experimental && !self.options.experimental_functions {
            return self.fail(word.pos, format!("function {} is not enabled", quoted(name)));
        }
        let pos = PosRange { start: word.pos.start, end: self.last_end };
        let height = self.height_above(height, word.pos)?;
        Ok(Node { expr: Expr::Call(Box::new(Call { func, args, pos })), height })
    }

    /// `(a, b)`, and the height of the highest.
    pub(super) fn arguments(&mut self) -> Result<(Vec<Expr>, usize)> {
        self.expect(TokenKind::LeftParen)?;
        let (mut args, mut height) = (Vec::new(), 0);
        if self.accept(TokenKind::RightParen)?.is_some() {
            return Ok((args, height));
        }
        loop {
            let arg = self.expr(0)?;
            height = height.max(arg.height);
            args.push(arg.expr);
            let Some(comma) = self.accept(TokenKind::Comma)? else { break };
            if !starts_operand(self.peek_kind()?) {
                return self.fail(comma.pos, "trailing commas not allowed in function call args");
            }
        }
        self.expect(TokenKind::RightParen)?;
        Ok((args, height))
    }
}

/// Words that may stand as a metric's name, most keywords among them.
pub(super) fn is_metric_name(kind: TokenKind) -> bool {
    match kind {
        TokenKind::Identifier | TokenKind::MetricIdentifier | TokenKind::Aggregate(_) => true,
        TokenKind::Op(op) => op.is_set(),
        TokenKind::Keyword(keyword) => !matches!(
            keyword,
            Keyword::Bool | Keyword::GroupLeft | Keyword::GroupRight | Keyword::Ignoring | Keyword::On
        ),
        _ => false,
    }
}

pub(super) fn starts_operand(kind: TokenKind) -> bool {
    match kind {
        TokenKind::Op(BinaryOp::Add | BinaryOp::Sub) => true,
        TokenKind::LeftParen | TokenKind::LeftBrace => true,
        TokenKind::Number | TokenKind::Duration | TokenKind::String => true,
        other => is_metric_name(other),
    }
}
