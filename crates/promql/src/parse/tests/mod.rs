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
    let want = expr.clone().canonical();
    for text in [Some(expr.to_string()), expr.pretty().ok()].into_iter().flatten() {
        match parse(&text) {
            Ok(again) => {
                let got = again.canonical();
                assert!(want == got, "{query:?}\nis printed as {text:?}\n{want:?}\n{got:?}");
            }
            Err(e) => panic!("{query:?}\nis printed as {text:?}\nand then refused: {e}"),
        }
    }
}
