//! What is wrong with a query, and where.

use crate::ast::PosRange;
use nilometer_model::Error;
use std::fmt;

/// The first mistake of a query. `Display` writes it as Prometheus does: `1:5: parse error: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    pub pos: PosRange,
    pub message: String,
    /// Set where the query is not wrong, but more than is allowed.
    pub limit: Option<Limit>,
    /// Line and column, from 1; `None` for the empty query.
    pub line_column: Option<(usize, usize)>,
}

/// A limit's name and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub name: &'static str,
    pub max: u64,
}

impl ParseError {
    pub(crate) fn new(query: &str, pos: PosRange, message: String) -> Self {
        let line_column = (!query.is_empty()).then(|| pos.line_column(query));
        ParseError { pos, message, limit: None, line_column }
    }

    fn without_limit(&self) -> String {
        match self.line_column {
            Some((line, column)) => format!("{line}:{column}: parse error: {}", self.message),
            None => format!("unknown position: parse error: {}", self.message),
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.without_limit())?;
        match self.limit {
            Some(limit) => write!(f, " (limit {} = {})", limit.name, limit.max),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ParseError {}

impl From<ParseError> for Error {
    fn from(error: ParseError) -> Self {
        match error.limit {
            Some(limit) => Error::limit(limit.name, limit.max, error.without_limit()),
            None => Error::invalid(error.to_string()),
        }
    }
}
