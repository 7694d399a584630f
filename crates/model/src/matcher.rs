//! Selects series by one label.

use crate::regex::Regex;
use crate::regex::limits::MAX_TOTAL_BYTES;
use crate::{Error, Labels, Result};
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

    /// For `=~`: all values that match, sorted, where they are few. An index looks these up instead of
    /// trying every value of the label. The empty one stands for series without the label, too.
    pub fn set_matches(&self) -> Option<&[String]> {
        match self.kind {
            MatchKind::Regex => self.regex()?.set_matches(),
            _ => None,
        }
    }

    /// For `=` and `=~`: what every value that matches begins with; otherwise empty.
    pub fn prefix(&self) -> &str {
        match self.kind {
            MatchKind::Equal => &self.value,
            MatchKind::Regex => self.regex().map_or("", Regex::prefix),
            MatchKind::NotEqual | MatchKind::NotRegex => "",
        }
    }

    /// The compiled expression of the two regular-expression kinds, for what it says of literals.
    pub fn regex(&self) -> Option<&Regex> {
        self.regex.as_deref()
    }
}

/// What the regular expressions of one request take together. A small text can make many large automata.
#[derive(Debug, Default)]
pub struct RegexBytes(usize);

impl RegexBytes {
    /// Counts one more matcher.
    ///
    /// # Errors
    /// `Limit` where that is more than is allowed.
    pub fn add(&mut self, matcher: &Matcher) -> Result<()> {
        self.0 = self.0.saturating_add(matcher.regex().map_or(0, Regex::bytes));
        if self.0 <= MAX_TOTAL_BYTES {
            return Ok(());
        }
        let message =
            "the regular expressions need more memory than is allowed: use fewer of them, or shorter repeats";
        Err(Error::limit("regex_total_bytes", MAX_TOTAL_BYTES as u64, message))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn matcher(kind: MatchKind, value: &str) -> Matcher {
        Matcher::new(kind, "name", value).expect("a valid matcher")
    }

    #[test]
    fn the_four_kinds() {
        for (kind, value, yes, no) in [
            (MatchKind::Equal, "a.", "a.", "ab"),
            (MatchKind::NotEqual, "a.", "ab", "a."),
            (MatchKind::Regex, "a.", "ab", "abc"),
            (MatchKind::NotRegex, "a.", "abc", "ab"),
        ] {
            let matcher = matcher(kind, value);
            assert!(matcher.matches(yes) && !matcher.matches(no), "{matcher}");
            assert_eq!(matcher.regex().is_some(), matches!(kind, MatchKind::Regex | MatchKind::NotRegex));
        }
    }

    #[test]
    fn a_missing_label_is_empty() {
        let labels = Labels::from_pairs([("name", "a")]);
        assert!(matcher(MatchKind::Regex, "a|b").matches_labels(&labels));
        assert!(!matcher(MatchKind::Regex, "a|b").matches_labels(&Labels::empty()));
        assert!(matcher(MatchKind::Regex, "a|").matches_labels(&Labels::empty()));
        assert!(matcher(MatchKind::NotEqual, "a").matches_empty());
        assert!(!matcher(MatchKind::NotRegex, ".*").matches_empty());
    }

    #[test]
    fn what_an_index_can_use() {
        let set = |kind, value: &str| matcher(kind, value).set_matches().map(<[String]>::to_vec);
        assert_eq!(set(MatchKind::Regex, "b|a"), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(set(MatchKind::NotRegex, "b|a"), None);
        assert_eq!(set(MatchKind::Equal, "a"), None);
        assert_eq!(matcher(MatchKind::Regex, "ab.*").prefix(), "ab");
        assert_eq!(matcher(MatchKind::Equal, "ab").prefix(), "ab");
        assert_eq!(matcher(MatchKind::NotRegex, "ab.*").prefix(), "");
    }

    #[test]
    fn equal_when_written_alike() {
        assert_eq!(matcher(MatchKind::Regex, "a|b"), matcher(MatchKind::Regex, "a|b"));
        assert_ne!(matcher(MatchKind::Regex, "a|b"), matcher(MatchKind::Regex, "b|a"));
        assert_ne!(matcher(MatchKind::Regex, "a"), matcher(MatchKind::Equal, "a"));
        assert_eq!(matcher(MatchKind::NotRegex, "a\"b").to_string(), r#"name!~"a\"b""#);
    }

    #[test]
    fn a_bad_expression_is_the_request_s_fault() {
        let err = Matcher::new(MatchKind::Regex, "name", "a)(b").expect_err("unbalanced");
        assert_eq!(
            (err.kind(), err.message()),
            (&Kind::Invalid, "error parsing regexp: unexpected ): `a)(b`")
        );
    }
}
