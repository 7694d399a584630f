//! Text to tree: a lexer, a precedence climber, and a check of types.
//!
//! The language is that of Prometheus 3.14, messages included where dashboards or people may know them.
//! The parser stops at the first mistake, which is the one that Prometheus shows too.
//!
//! Hostile queries: [`MAX_QUERY_BYTES`] bounds the work, [`MAX_DEPTH`] the height of the tree and the
//! parser's own recursion, [`MAX_REGEXES`] what is compiled. All steps are linear in the text.

mod error;

pub use error::{Limit, ParseError};

use crate::ast::Expr;
use nilometer_model::Matcher;

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
