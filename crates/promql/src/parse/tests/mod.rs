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

/// What fuzzing found.
#[test]
fn a_sign_is_not_put_before_a_power() {
    for query in ["-inf^0", "inf^0", "inf ^ inf ^ 2 - inf", "2 ^ inf", "(-inf) ^ inf"] {
        assert_prints_back(query, &parse_expr(query, ParseOptions::ALL).unwrap());
    }
}
