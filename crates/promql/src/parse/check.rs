//! The check of types and counts, bottom-up over the finished tree. It settles what only the whole tree
//! tells: matching of binary operators, and `info()`'s selector of labels.

use super::ParseError;
use crate::ast::{
    AggregateExpr, BinaryExpr, Call, Cardinality, Expr, PosRange, ValueType, VectorMatching, VectorSelector,
};
use crate::functions::{Function, Variadic};
use crate::lex::Result;
use crate::quote::quoted;
use std::collections::HashSet;

pub(super) fn check(expr: &mut Expr, query: &str) -> Result<ValueType> {
    Check { query }.expr(expr)
}

struct Check<'a> {
    query: &'a str,
}

impl Check<'_> {
    #[cold]
    #[inline(never)]
    fn fail<T>(&self, pos: PosRange, message: impl Into<String>) -> Result<T> {
        Err(Box::new(ParseError::new(self.query, pos, message.into())))
    }

    fn expr(&self, expr: &mut Expr) -> Result<ValueType> {
        match expr {
            Expr::Number(_) => Ok(ValueType::Scalar),
            Expr::String(_) => Ok(ValueType::String),
            Expr::Vector(e) => self.selector(e).map(|()| ValueType::Vector),
            Expr::Matrix(e) => self.selector(&e.selector).map(|()| ValueType::Matrix),
            Expr::Paren(e) => self.expr(&mut e.expr),
            Expr::Aggregate(e) => self.aggregate(e),
            Expr::Binary(e) => self.binary(e),
            Expr::Call(e) => self.call(e),
            Expr::Unary(e) => {
                let found = self.expr(&mut e.expr)?;
                if matches!(found, ValueType::Scalar | ValueType::Vector) {
                    return Ok(found);
                }
                let message = "unary expression only allowed on expressions of type scalar or instant vector";
                self.fail(e.pos, format!("{message}, got {}", quoted(found.documented())))
            }
            Expr::Subquery(e) => {
                let found = self.expr(&mut e.expr)?;
                if found == ValueType::Vector {
                    return Ok(ValueType::Matrix);
                }
                let found = found.as_str();
                self.fail(e.pos, format!("subquery is only allowed on instant vector, got {found} instead"))
            }
        }
    }

    fn expect(&self, expr: &mut Expr, want: ValueType, place: &str) -> Result<()> {
        let found = self.expr(expr)?;
        if found == want { Ok(()) } else { self.wrong_type(expr.pos(), want, place, found) }
    }

    #[cold]
    #[inline(never)]
    fn wrong_type(&self, pos: PosRange, want: ValueType, place: &str, found: ValueType) -> Result<()> {
        let (want, found) = (want.documented(), found.documented());
        self.fail(pos, format!("expected type {want} in {place}, got {found}"))
    }

    fn aggregate(&self, e: &mut AggregateExpr) -> Result<ValueType> {
        self.expect(&mut e.expr, ValueType::Vector, "aggregation expression")?;
        if let (Some(param), Some(want)) = (&mut e.param, e.op.param()) {
            self.expect(param, want, "aggregation parameter")?;
        }
        Ok(ValueType::Vector)
    }

    fn binary(&self, e: &mut BinaryExpr) -> Result<ValueType> {
        let left = self.expr(&mut e.lhs)?;
        let right = self.expr(&mut e.rhs)?;
        self.operator(e, left, right)?;
        let both = |want| left == want && right == want;
        Ok(if both(ValueType::Scalar) { ValueType::Scalar } else { ValueType::Vector })
    }

    #[inline(never)]
    fn operator(&self, e: &mut BinaryExpr, left: ValueType, right: ValueType) -> Result<()> {
        let scalars = (left == ValueType::Scalar, right == ValueType::Scalar);
        if e.return_bool && !e.op.is_comparison() {
            let message = "bool modifier can only be used on comparison operators";
            return self.fail(self.operator_pos(e), message);
        }
        if e.op.is_comparison() && !e.return_bool && scalars == (true, true) {
            return self.fail(self.operator_pos(e), "comparisons between scalars must use BOOL modifier");
        }
        if let Some(label) = e.matching.as_deref().and_then(twice) {
            let label = quoted(label);
            let message = format!("label {label} must not occur in ON and GROUP clause at once");
            return self.fail(self.operator_pos(e), message);
        }
        for (side, found) in [(&e.lhs, left), (&e.rhs, right)] {
            if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                let message = "binary expression must contain only scalar and instant vector types";
                return self.fail(side.pos(), message);
            }
        }
        if scalars == (false, false) { self.vectors(e) } else { self.scalar_side(e) }
    }

    fn scalar_side(&self, e: &mut BinaryExpr) -> Result<()> {
        if let Some(matching) = e.matching.take() {
            if !matching.labels.is_empty() {
                return self.fail(e.pos, "vector matching only allowed between instant vectors");
            }
            if matching.fill.is_set() {
                return self.fail(e.pos, "filling in missing series only allowed between instant vectors");
            }
        }
        if e.op.is_set() {
            let message =
                format!("set operator \"{}\" not allowed in binary scalar expression", e.op.as_str());
            return self.fail(e.pos, message);
        }
        Ok(())
    }

    fn vectors(&self, e: &mut BinaryExpr) -> Result<()> {
        let (op, pos) = (e.op, e.pos);
        let Some(matching) = e.matching.as_deref_mut().filter(|_| op.is_set()) else { return Ok(()) };
        if matching.card != Cardinality::OneToOne {
            return self.fail(pos, format!("no grouping allowed for \"{}\" operation", op.as_str()));
        }
        matching.card = Cardinality::ManyToMany;
        if matching.fill.is_set() {
            return self.fail(pos, "filling in missing series not allowed for set operators");
        }
        Ok(())
    }

    /// From the operator to where the right side begins.
    fn operator_pos(&self, e: &BinaryExpr) -> PosRange {
        let (start, end) = (e.lhs.pos().end as usize, e.rhs.pos().start as usize);
        let between = self.query.get(start..end).unwrap_or_default();
        let blanks = between.len() - between.trim_start().len();
        PosRange::new(start + blanks, start + between.trim_end().len())
    }

    fn call(&self, e: &mut Call) -> Result<ValueType> {
        self.count(e.func, e.args.len(), e.pos)?;
        if e.func.name == "info"
            && let Some(selector) = e.args.get_mut(1)
        {
            self.info_selector(selector, e.pos)?;
        }
        for (index, arg) in e.args.iter_mut().enumerate() {
            let found = self.expr(arg)?;
            match e.func.arg_type(index) {
                Some(want) if want != found => {
                    let place = format!("call to function \"{}\"", e.func.name);
                    self.wrong_type(arg.pos(), want, &place, found)?;
                }
                _ => {}
            }
        }
        Ok(e.func.returns)
    }

    fn count(&self, func: &Function, got: usize, pos: PosRange) -> Result<()> {
        let named = func.args.len();
        let (min, max) = match func.variadic {
            Variadic::No => (named, Some(named)),
            Variadic::UpTo(extra) => (named - 1, Some(named - 1 + usize::from(extra))),
            Variadic::Any => (named - 1, None),
        };
        let (bound, want) = if got < min {
            ("at least ", min)
        } else if let Some(max) = max.filter(|max| got > *max) {
            ("at most ", max)
        } else {
            return Ok(());
        };
        let bound = if func.variadic == Variadic::No { "" } else { bound };
        self.fail(pos, format!("expected {bound}{want} argument(s) in call to \"{}\", got {got}", func.name))
    }

    /// The second argument of `info()` selects labels by matchers that may all match the empty value.
    fn info_selector(&self, arg: &mut Expr, call: PosRange) -> Result<()> {
        let found = arg.value_type();
        if found != ValueType::Vector {
            self.wrong_type(call, ValueType::Vector, "call to function \"info\"", found)?;
        }
        match arg {
            Expr::Vector(selector) if selector.name.is_empty() => {
                selector.bypass_empty_check = true;
                Ok(())
            }
            Expr::Vector(e) => self.fail(e.pos, "expected label selectors only, got vector selector instead"),
            other => self.fail(other.pos(), "expected label selectors only"),
        }
    }

    fn selector(&self, e: &VectorSelector) -> Result<()> {
        if let (false, Some((_, others))) = (e.name.is_empty(), e.matchers.split_last()) {
            let Some(other) = others.iter().find(|m| &*m.name == "__name__") else { return Ok(()) };
            let (name, other) = (quoted(&e.name), quoted(&other.value));
            return self.fail(e.pos, format!("metric name must not be set twice: {name} or {other}"));
        }
        if e.bypass_empty_check || e.matchers.iter().any(|m| !m.matches_empty()) {
            return Ok(());
        }
        self.fail(e.pos, "vector selector must contain at least one non-empty matcher")
    }
}

/// The first label of `on` that is also one of `group_left` or `group_right`.
fn twice(matching: &VectorMatching) -> Option<&str> {
    if !matching.on || matching.include.is_empty() {
        return None;
    }
    // Hostile lists are long: no nested loops.
    let include: HashSet<&str> = matching.include.iter().map(String::as_str).collect();
    matching.labels.iter().map(String::as_str).find(|label| include.contains(label))
}
