//! SPDX licence expressions: whether what is allowed satisfies one.
//!
//! ```text
//! either := both (("OR" | "/") both)*      "/" is how cargo wrote OR until 2019
//! both   := one ("AND" one)*
//! one    := "(" either ")" | id ["WITH" id]
//! ```
//!
//! `X WITH e` is a name of its own: an exception only adds rights, but whether a licence is allowed at all
//! is for the list to say, word for word.

use anyhow::{Result, bail, ensure};

/// Whether taking only `allowed` licences is enough to use a package under `expression`.
pub(crate) fn satisfied(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Result<bool> {
    let mut parser = Parser { rest: words(expression), allowed };
    let result = parser.either()?;
    if let Some(word) = parser.rest.first() {
        bail!("{word:?} is not expected there in the licence {expression:?}");
    }
    Ok(result)
}

/// Names and operators; parentheses and `/` are words of their own.
fn words(expression: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for mut part in expression.split_ascii_whitespace() {
        while let Some(at) = part.find(['(', ')', '/']) {
            words.extend([&part[..at], &part[at..=at]].into_iter().filter(|word| !word.is_empty()));
            part = &part[at + 1..];
        }
        words.extend(Some(part).filter(|word| !word.is_empty()));
    }
    words.reverse();
    words
}

struct Parser<'a> {
    /// Last word first, so that taking one is a `pop`.
    rest: Vec<&'a str>,
    allowed: &'a dyn Fn(&str) -> bool,
}

impl<'a> Parser<'a> {
    fn either(&mut self) -> Result<bool> {
        let mut result = self.both()?;
        while self.take("OR") || self.take("/") {
            result |= self.both()?;
        }
        Ok(result)
    }

    fn both(&mut self) -> Result<bool> {
        let mut result = self.one()?;
        while self.take("AND") {
            result &= self.one()?;
        }
        Ok(result)
    }

    fn one(&mut self) -> Result<bool> {
        if self.take("(") {
            let result = self.either()?;
            ensure!(self.take(")"), "a licence expression lacks its `)`");
            return Ok(result);
        }
        let licence = self.name()?;
        if self.take("WITH") {
            let exception = self.name()?;
            return Ok((self.allowed)(&format!("{licence} WITH {exception}")));
        }
        Ok((self.allowed)(licence))
    }

    fn name(&mut self) -> Result<&'a str> {
        match self.rest.pop() {
            None | Some("(" | ")" | "/" | "AND" | "OR" | "WITH") => {
                bail!("a licence expression lacks a name")
            }
            Some(name) => Ok(name),
        }
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.rest.last() == Some(&word);
        if found {
            self.rest.pop();
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(allowed: &[&str], expression: &str) -> Result<bool> {
        satisfied(expression, &|name| allowed.contains(&name))
    }

    #[test]
    fn expressions() {
        let mit_and_isc = ["MIT", "ISC"];
        for (expression, wanted) in [
            ("MIT", true),
            ("Apache-2.0", false),
            ("MIT OR Apache-2.0", true),
            ("Apache-2.0 OR MIT", true),
            ("MIT/Apache-2.0", true),
            ("Apache-2.0 / MIT", true),
            ("MIT AND Apache-2.0", false),
            ("MIT AND ISC", true),
            ("GPL-3.0-only OR MIT AND ISC", true),
            ("(GPL-3.0-only OR MIT) AND Apache-2.0", false),
            ("(GPL-3.0-only OR MIT) AND ISC", true),
            ("ISC AND (Apache-2.0 OR (MIT))", true),
            ("MIT WITH LLVM-exception", false),
            ("MIT WITH LLVM-exception OR ISC", true),
            ("mit", false),
        ] {
            assert_eq!(with(&mit_and_isc, expression).unwrap(), wanted, "{expression}");
        }
        assert!(with(&["Apache-2.0 WITH LLVM-exception"], "Apache-2.0 WITH LLVM-exception").unwrap());
    }

    #[test]
    fn what_is_no_expression_is_an_error() {
        for expression in ["", "MIT OR", "AND MIT", "(MIT", "MIT)", "MIT ISC", "MIT WITH", "()", "/"] {
            assert!(with(&["MIT", "ISC"], expression).is_err(), "{expression:?}");
        }
    }
}
