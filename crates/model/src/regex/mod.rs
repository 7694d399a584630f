//! Regular expressions with Go's RE2 syntax and meaning, anchored on both sides as Prometheus does.
//!
//! ```text
//! pattern ──parse──▶ Hir ──strategy──▶ set of values | texts and gaps | many substrings | automaton
//!          (syntax of Go)              (cheapest that gives the same answer)
//! ```
//!
//! Go's syntax is parsed here, not translated to that of another crate: the same text means something
//! else there (`\d` and `\b` are Unicode, `[a&&b]` is an intersection), or nothing (`\Q..\E`, `a{,2}`).
//! As in Prometheus, `.` matches a newline, the pattern has to be complete without the anchors around it
//! (`a)(b` is an error), and only the whole value counts, so greediness has no meaning.
//!
//! Known differences to Go 1.27:
//! - The tables of Unicode are those of `regex-syntax` (16.0, not 17.0; Go up to 1.26 had 15.0).
//! - Patterns are refused at smaller sizes, all of them named in [`limits`].
//! - `\x{D800}` matches nothing; in some places Go lets it match U+FFFD.
//! - `(?i)\p{LC}` has U+0345 in it, as `(?i)\p{L}` has in both.

mod captures;
mod class;
mod cursor;
mod expand;
mod glob;
mod literals;
mod parse;
mod repeat;
mod strategy;
#[cfg(test)]
mod tests;
mod unicode;

pub use captures::Captures;

use crate::Result;
use std::fmt;
use strategy::Strategy;

/// What bounds the work and the memory of one expression.
pub mod limits {
    /// Longest pattern: room for an alternation of some ten thousand host names.
    pub const MAX_PATTERN_BYTES: usize = 1 << 20;
    /// Deepest tree, not counting groups: compiling one takes up to 2 KiB of stack a level. Go allows 1000.
    pub const MAX_DEPTH: u32 = 250;
    /// Most groups open at once. Go allows about as many that capture.
    pub const MAX_OPEN_GROUPS: usize = 1000;
    /// Largest repeat count, also of nested repeats multiplied; Go's own limit.
    pub const MAX_REPEAT: u32 = 1000;
    /// Most nodes of a tree; a run of plain characters is one.
    pub const MAX_NODES: u32 = 1 << 16;
    /// Most nodes moved, ranges of classes and 16-byte runs of text copied while the tree is built.
    /// It keeps hostile nesting from costing quadratic time.
    pub const MAX_BUILD_STEPS: u64 = 1 << 20;
    /// Largest compiled program, once forwards and once backwards. Go accepts a larger one.
    pub const MAX_PROGRAM_BYTES: usize = 10 << 20;
    /// What the automaton may remember of one expression in one thread, before it forgets and starts anew.
    pub const MAX_CACHE_BYTES: usize = 1 << 20;
    /// Most memory of all expressions of one request, what their automata remember included.
    pub const MAX_TOTAL_BYTES: usize = 256 << 20;
    /// Most values in [`set_matches`](super::Regex::set_matches), as in Prometheus.
    pub const MAX_SET_MATCHES: usize = 256;
}

/// A whole-value match: `^(?s:pattern)$`.
pub struct Regex {
    pattern: Box<str>,
    strategy: Strategy,
    prefix: Box<str>,
}

impl Regex {
    /// The error is worded as Go words it. It is of kind `Limit` where Go may well accept the pattern.
    pub fn new(pattern: &str) -> Result<Self> {
        let hir = parse::parse(pattern)?;
        let prefix = literals::prefix(&hir).into();
        Ok(Regex { pattern: pattern.into(), strategy: Strategy::choose(hir)?, prefix })
    }

    pub fn is_match(&self, value: &str) -> bool {
        self.strategy.is_match(value)
    }

    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The memory that it may take, at most about.
    pub fn bytes(&self) -> usize {
        size_of_val(self) + self.pattern.len() + self.strategy.bytes()
    }

    /// All values that match, sorted, where there are at most [`limits::MAX_SET_MATCHES`] and the
    /// expression says so plainly: `a|b`, `a(b|c)d`, `[ab]x`, `colou?r`. Empty where nothing can match.
    pub fn set_matches(&self) -> Option<&[String]> {
        match &self.strategy {
            Strategy::Set(set) => set.values(),
            _ => None,
        }
    }

    /// What every match begins with, case-sensitively; may be empty.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// `.*` and its like. `false` does not mean that some value fails to match.
    pub fn matches_everything(&self) -> bool {
        self.strategy.least_chars() == Some(0)
    }

    /// `.+` and its like: every value but the empty one. `false` says nothing.
    pub fn matches_nonempty(&self) -> bool {
        self.strategy.least_chars() == Some(1)
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Regex").field("pattern", &self.pattern).field("strategy", &self.strategy).finish()
    }
}
