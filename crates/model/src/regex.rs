//! Regular expressions with Go's RE2 syntax and meaning, anchored on both sides as Prometheus does.

use crate::{Error, Result};

/// A whole-value match: `^(?s:pattern)$`.
#[derive(Debug)]
pub struct Regex(regex_automata::meta::Regex);

impl Regex {
    pub fn new(pattern: &str) -> Result<Self> {
        let anchored = format!("^(?s:{pattern})$");
        regex_automata::meta::Regex::new(&anchored)
            .map(Regex)
            .map_err(|e| Error::invalid(format!("error parsing regexp {pattern:?}: {e}")))
    }

    pub fn is_match(&self, value: &str) -> bool {
        self.0.is_match(value)
    }

    /// All values that match, where the expression is a short alternation of literals.
    pub fn set_matches(&self) -> Option<&[String]> {
        None
    }

    /// What every match begins with, case-sensitively; may be empty.
    pub fn prefix(&self) -> &str {
        ""
    }
}
