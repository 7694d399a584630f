mod corpus;
mod depth;
mod errors;
mod property;
mod trees;

use super::*;
use crate::ast::Expr;

pub(super) fn parse(query: &str) -> Result<Expr, ParseError> {
    parse_expr(query, ParseOptions::ALL)
}

/// What is printed parses to the same tree.
pub(super) fn assert_prints_back(query: &str, expr: &Expr) {
    let printed = expr.to_string();
    match parse(&printed) {
        Ok(again) => {
            let (want, got) = (expr.clone().canonical(), again.canonical());
            assert!(want == got, "{query:?}\nis printed as {printed:?}\n{want:?}\n{got:?}");
        }
        Err(e) => panic!("{query:?}\nis printed as {printed:?}\nand then refused: {e}"),
    }
}
