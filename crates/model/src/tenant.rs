//! The name of a tenant: usually one Workload Cluster.

use crate::{Error, Result};
use std::fmt;
use std::sync::Arc;

/// `[A-Za-z0-9_.-]{1,128}`, not `.` or `..`: safe as the name of a folder and as a label's value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(Arc<str>);

impl Tenant {
    pub const MAX_BYTES: usize = 128;

    pub fn new(name: &str) -> Result<Self> {
        let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        if name.is_empty()
            || name.len() > Self::MAX_BYTES
            || !name.bytes().all(ok)
            || name == "."
            || name == ".."
        {
            let shown: String = name.chars().take(Self::MAX_BYTES).collect();
            return Err(Error::invalid(format!(
                "{shown:?} is not a tenant's name: 1 to 128 of A-Z a-z 0-9 _ . - are, but not \".\" or \"..\""
            )));
        }
        Ok(Tenant(Arc::from(name)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Who nobody names, as in Thanos.
impl Default for Tenant {
    fn default() -> Self {
        Tenant(Arc::from("default-tenant"))
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "wc-1", "A.b_c", "...", &"x".repeat(128)] {
            assert!(Tenant::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "../a", "a\\b", "é", "a b", "@nilometer", "a\0", &"x".repeat(129)]
        {
            assert!(Tenant::new(bad).is_err(), "{bad}");
        }
    }
}
