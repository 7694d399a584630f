//! Operators between operands, by precedence climbing, and their matching clauses.

use super::operand::starts_operand;
use super::parser::{Node, Parser};
use crate::ast::{BinaryExpr, BinaryOp, Cardinality, Expr, FillValues, VectorMatching};
use crate::lex::{Keyword, Result, TokenKind};

/// What may stand between an operator and its right side.
struct Modifiers {
    return_bool: bool,
    matching: VectorMatching,
}

impl Parser<'_> {
    /// An expression of operators that bind at least as tightly as `min_precedence`.
    pub(super) fn expr(&mut self, min_precedence: u8) -> Result<Node> {
        let first = self.peek()?;
        self.enter(first.pos)?;
        let mut lhs = self.operand()?;
        while let TokenKind::Op(op) = self.peek_kind()? {
            // Outside braces the words `=~` and `!~` do not exist, so that all operators are binary.
            if op.precedence() < min_precedence {
                break;
            }
            self.next()?;
            lhs = self.binary(lhs, op)?;
        }
        self.leave();
        Ok(lhs)
    }

    /// The rest of a binary expression, after its operator.
    #[inline(never)]
    fn binary(&mut self, lhs: Node, op: BinaryOp) -> Result<Node> {
        let modifiers = self.modifiers()?;
        let right_associative = op == BinaryOp::Pow;
        let rhs = self.expr(op.precedence() + u8::from(!right_associative))?;
        self.join(lhs, op, *modifiers, rhs)
    }

    #[inline(never)]
    fn join(&mut self, lhs: Node, op: BinaryOp, modifiers: Modifiers, rhs: Node) -> Result<Node> {
        let pos = lhs.expr.pos().to(rhs.expr.pos());
        let Modifiers { return_bool, matching } = modifiers;
        if matching.fill.is_set() && !self.options.binop_fill_modifiers {
            return self.fail(pos, "binop fill modifiers are experimental and not enabled");
        }
        let height = self.height_above(lhs.height.max(rhs.height), rhs.expr.pos())?;
        // The check takes the matching away where a side is a scalar.
        let matching = Some(Box::new(matching));
        let expr = BinaryExpr { op, lhs: lhs.expr, rhs: rhs.expr, return_bool, matching, pos };
        Ok(Node { expr: Expr::Binary(Box::new(expr)), height })
    }

    /// `bool`, `on` or `ignoring`, `group_left` or `group_right`, `fill…`, in this order.
    #[inline(never)]
    fn modifiers(&mut self) -> Result<Box<Modifiers>> {
        let return_bool = self.accept(TokenKind::Keyword(Keyword::Bool))?.is_some();
        let mut matching = VectorMatching {
            card: Cardinality::OneToOne,
            labels: Vec::new(),
            on: false,
            include: Vec::new(),
            fill: FillValues::default(),
        };
        if let TokenKind::Keyword(word @ (Keyword::On | Keyword::Ignoring)) = self.peek_kind()? {
            self.next()?;
            matching.on = word == Keyword::On;
            matching.labels = self.grouping_labels()?;
            self.group_modifier(&mut matching)?;
        }
        self.fill_modifiers(&mut matching.fill)?;
        Ok(Box::new(Modifiers { return_bool, matching }))
    }

    fn group_modifier(&mut self, matching: &mut VectorMatching) -> Result<()> {
        matching.card = match self.peek_kind()? {
            TokenKind::Keyword(Keyword::GroupLeft) => Cardinality::ManyToOne,
            TokenKind::Keyword(Keyword::GroupRight) => Cardinality::OneToMany,
            _ => return Ok(()),
        };
        self.next()?;
        // A parenthesis here always begins labels, never the right side.
        let after = self.peek_kind()?;
        let fill =
            matches!(after, TokenKind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight));
        if after == TokenKind::LeftParen || !starts_operand(after) && !fill {
            matching.include = self.grouping_labels()?;
        }
        Ok(())
    }

    fn fill_modifiers(&mut self, fill: &mut FillValues) -> Result<()> {
        match self.peek_kind()? {
            TokenKind::Keyword(Keyword::Fill) => {
                let value = Some(self.fill_value()?);
                *fill = FillValues { lhs: value, rhs: value };
            }
            TokenKind::Keyword(Keyword::FillLeft) => {
                fill.lhs = Some(self.fill_value()?);
                if self.peek_kind()? == TokenKind::Keyword(Keyword::FillRight) {
                    fill.rhs = Some(self.fill_value()?);
                }
            }
            TokenKind::Keyword(Keyword::FillRight) => {
                fill.rhs = Some(self.fill_value()?);
                if self.peek_kind()? == TokenKind::Keyword(Keyword::FillLeft) {
                    fill.lhs = Some(self.fill_value()?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// `fill(-1)`, from its word on.
    fn fill_value(&mut self) -> Result<f64> {
        self.next()?;
        self.expect(TokenKind::LeftParen)?;
        let value = self.signed_number()?;
        self.expect(TokenKind::RightParen)?;
        Ok(value)
    }
}
