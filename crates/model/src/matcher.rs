//! Selects series by one label.

use crate::regex::Regex;
use crate::{Labels, Result};
use std::fmt;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MatchKind {
    Equal,
    NotEqual,
    Regex,
    NotRegex,
}

impl MatchKind {
    pub fn as_str(self) -> &'static str {
        match self {
            MatchKind::Equal => "=",
            MatchKind::NotEqual => "!=",
            MatchKind::Regex => "=~",
            MatchKind::NotRegex => "!~",
        }
    }
}

/// `name="value"` and its three siblings. A missing label has the value `""`.
#[derive(Clone)]
pub struct Matcher {
    pub name: Arc<str>,
    pub kind: MatchKind,
    pub value: Arc<str>,
    /// Set exactly for the two regular-expression kinds.
    regex: Option<Arc<Regex>>,
}

impl Matcher {
    pub fn new(kind: MatchKind, name: &str, value: &str) -> Result<Self> {
        let regex = match kind {
            MatchKind::Equal | MatchKind::NotEqual => None,
            MatchKind::Regex | MatchKind::NotRegex => Some(Arc::new(Regex::new(value)?)),
        };
        Ok(Matcher { name: Arc::from(name), kind, value: Arc::from(value), regex })
    }

    pub fn equal(name: &str, value: &str) -> Self {
        Matcher { name: Arc::from(name), kind: MatchKind::Equal, value: Arc::from(value), regex: None }
    }

    pub fn matches(&self, value: &str) -> bool {
        let regex = || self.regex.as_ref().is_some_and(|r| r.is_match(value));
        match self.kind {
            MatchKind::Equal => &*self.value == value,
            MatchKind::NotEqual => &*self.value != value,
            MatchKind::Regex => regex(),
            MatchKind::NotRegex => !regex(),
        }
    }

    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.get(&self.name))
    }

    /// The compiled expression of the two regular-expression kinds, for what it says of literals.
    pub fn regex(&self) -> Option<&Regex> {
        self.regex.as_deref()
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.name == other.name && self.value == other.value
    }
}

impl Eq for Matcher {}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:?}", self.name, self.kind.as_str(), self.value)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
