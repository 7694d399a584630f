//! Text to tree: words from the lexer, a precedence climber, then a check of types.
//!
//! The language is that of Prometheus 3.14, messages included where dashboards or people may know them.
//! The parser stops at the first mistake, which is the one that Prometheus shows too.
//!
//! Hostile queries: [`MAX_QUERY_BYTES`] bounds the work, [`MAX_DEPTH`] the height of the tree and the
//! parser's own recursion, [`MAX_REGEXES`] what is compiled. All steps are linear in the text.

mod aggregate;
mod binary;
mod check;
mod durations;
mod error;
mod number;
mod operand;
mod parser;
mod postfix;
mod selector;
#[cfg(test)]
mod tests;

pub use error::{Limit, ParseError};

use crate::ast::Expr;
use nilometer_model::Matcher;
use parser::Parser;

/// Longest accepted query, in bytes of UTF-8.
pub const MAX_QUERY_BYTES: usize = 1 << 20;

/// Greatest height of a tree, counting every node from the root to the deepest leaf. A sum of `n` terms
/// is `n` levels high. Recursion over a tree of this height must fit into 2 MiB of stack.
pub const MAX_DEPTH: usize = 1024;

/// Most regular expressions in one query.
pub const MAX_REGEXES: usize = 2048;

/// Experimental parts of the language, off by default. Comments name Prometheus' `--enable-feature`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParseOptions {
    /// `promql-experimental-functions`: functions and aggregations marked as such.
    pub experimental_functions: bool,
    /// `promql-duration-expr`: arithmetic in brackets and after `offset`.
    pub duration_expressions: bool,
    /// `promql-extended-range-selectors`: `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
    /// `promql-binop-fill-modifiers`: `fill`, `fill_left`, `fill_right`.
    pub binop_fill_modifiers: bool,
}

impl ParseOptions {
    /// Everything on.
    pub const ALL: ParseOptions = ParseOptions {
        experimental_functions: true,
        duration_expressions: true,
        extended_range_selectors: true,
        binop_fill_modifiers: true,
    };
}

/// Parses and type-checks a query.
pub fn parse_expr(query: &str, options: ParseOptions) -> Result<Expr, ParseError> {
    let mut expr = Parser::new(query, options).and_then(|p| p.whole_expr()).map_err(|e| *e)?;
    check::check(&mut expr, query).map_err(|e| *e)?;
    Ok(expr)
}

/// Parses one series selector (`up{job="a"}`), as in the API's `match[]`. The selector may match
/// everything: callers that do not want that check [`Matcher::matches_empty`].
pub fn parse_selector(selector: &str) -> Result<Vec<Matcher>, ParseError> {
    Parser::new(selector, ParseOptions::default()).and_then(|p| p.whole_selector()).map_err(|e| *e)
}

/// For fuzzing: parses `query` with all options and none, and checks what must hold of any text.
#[doc(hidden)]
pub fn fuzz(query: &str) {
    for options in [ParseOptions::ALL, ParseOptions::default()] {
        match parse_expr(query, options) {
            Ok(expr) => {
                expr.walk(|e| assert!(e.pos().start < e.pos().end && e.pos().end as usize <= query.len()));
                let want = expr.clone().canonical();
                for text in [Some(expr.to_string()), expr.pretty().ok()].into_iter().flatten() {
                    let again = parse_expr(&text, ParseOptions::ALL).map(Expr::canonical);
                    assert!(
                        again.as_ref() == Ok(&want),
                        "{query:?} is printed as {text:?}, which is {again:?}"
                    );
                }
            }
            Err(e) => assert!(e.pos.start as usize <= query.len() && !e.message.is_empty(), "{e:?}"),
        }
    }
    let _ = parse_selector(query);
}
