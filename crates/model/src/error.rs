//! One error for all rooms: what the caller can do about it is its [`Kind`].
//!
//! A room adds a type of its own only where its callers need more than that (a position in a query,
//! the series of a request that were refused).

use std::fmt;
use std::sync::Arc;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do next. One function of the server maps kinds to HTTP statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request is wrong and stays wrong: mend it.
    Invalid,
    /// Works again later: retry.
    Unavailable,
    /// Stored bytes are not what was written.
    Corrupt {
        path: String,
        offset: u64,
    },
    /// A named limit was reached.
    Limit {
        name: &'static str,
        max: u64,
    },
    NotFound,
    /// It clashes with what is stored.
    Conflict,
    /// The caller gave up, or a deadline passed.
    Canceled,
}

/// A message that tells an operator what to do next, and the kind that tells a program.
#[derive(Clone)]
pub struct Error {
    kind: Kind,
    message: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), source: None }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Error::new(Kind::Invalid, message)
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Error::new(Kind::Unavailable, message)
    }

    /// `offset` is in bytes from the start of `path`.
    pub fn corrupt(path: impl Into<String>, offset: u64, message: impl Into<String>) -> Self {
        Error::new(Kind::Corrupt { path: path.into(), offset }, message)
    }

    pub fn limit(name: &'static str, max: u64, message: impl Into<String>) -> Self {
        Error::new(Kind::Limit { name, max }, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Error::new(Kind::NotFound, message)
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Error::new(Kind::Conflict, message)
    }

    pub fn canceled(message: impl Into<String>) -> Self {
        Error::new(Kind::Canceled, message)
    }

    /// A failed file operation: the operator can mend the disk, so it is worth a retry.
    pub fn io(doing: impl fmt::Display, source: std::io::Error) -> Self {
        let kind = match source.kind() {
            std::io::ErrorKind::NotFound => Kind::NotFound,
            _ => Kind::Unavailable,
        };
        Error { kind, message: format!("{doing}: {source}"), source: Some(Arc::new(source)) }
    }

    /// Says what was being done, in front of the message.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Whether the same may succeed later: what was read or written is not known to be wrong.
    pub fn is_passing(&self) -> bool {
        matches!(self.kind, Kind::Unavailable | Kind::Canceled)
    }

    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.kind {
            Kind::Corrupt { path, offset } => write!(f, " ({path} at byte {offset})"),
            Kind::Limit { name, max } => write!(f, " (limit {name} = {max})"),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)
    }
}

impl std::error::Error for Error {
    /// What is behind the cause: the message already says the cause.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref()?.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    /// Whoever prints a chain of causes prints each once.
    #[test]
    fn a_cause_is_said_once() {
        let gone = std::io::Error::new(std::io::ErrorKind::NotFound, "it is gone");
        let error = Error::io("reading a", gone).context("starting");
        assert_eq!(error.message(), "starting: reading a: it is gone");
        assert!(error.source().is_none());
    }
}
