//! Series selectors: a name, matchers in braces, or both.

use super::parser::Parser;
use super::{Limit, MAX_REGEXES, ParseError};
use crate::ast::{BinaryOp, DurationArg, PosRange, VectorSelector};
use crate::lex::{Result, Token, TokenKind};
use crate::quote::unquote;
use nilometer_model::{Kind, MatchKind, Matcher};

/// The label that holds a metric's name.
const METRIC_NAME: &str = "__name__";

impl Parser<'_> {
    pub(super) fn vector_selector(&mut self) -> Result<VectorSelector> {
        if self.peek_kind()? != TokenKind::LeftBrace {
            let name = self.next()?;
            return self.vector_selector_named(name);
        }
        let start = self.peek()?.pos;
        let matchers = self.matchers()?;
        Ok(self.assemble(String::new(), matchers, start))
    }

    /// The rest of a selector whose name has been read.
    pub(super) fn vector_selector_named(&mut self, name: Token) -> Result<VectorSelector> {
        let mut matchers = Vec::new();
        if self.peek_kind()? == TokenKind::LeftBrace {
            matchers = self.matchers()?;
        }
        let name_text = self.text(name);
        matchers.push(Matcher::equal(METRIC_NAME, name_text));
        Ok(self.assemble(name_text.to_owned(), matchers, name.pos))
    }

    fn assemble(&self, name: String, matchers: Vec<Matcher>, start: PosRange) -> VectorSelector {
        VectorSelector {
            name,
            matchers,
            offset: DurationArg::ZERO,
            at: None,
            mode: None,
            bypass_empty_check: false,
            pos: PosRange { start: start.start, end: self.last_end },
        }
    }

    /// `{a="b", "c.d"=~"e", "metric.name"}`; a trailing comma is fine.
    fn matchers(&mut self) -> Result<Vec<Matcher>> {
        const NAME: &str = "label matching";
        self.expect(TokenKind::LeftBrace)?;
        let mut matchers = Vec::new();
        loop {
            // A comma must follow a matcher.
            if self.accept(TokenKind::RightBrace)?.is_some() {
                return Ok(matchers);
            }
            matchers.push(self.matcher()?);
            match self.peek_kind()? {
                TokenKind::Comma => {
                    self.next()?;
                }
                TokenKind::RightBrace => {}
                _ => return self.unexpected_in(NAME, "\",\" or \"}\""),
            }
        }
    }

    fn matcher(&mut self) -> Result<Matcher> {
        const NAME: &str = "label matching";
        let label = self.peek()?;
        let quoted_name = match label.kind {
            TokenKind::Identifier => false,
            TokenKind::String => true,
            _ => return self.unexpected_in(NAME, "identifier or \"}\""),
        };
        self.next()?;
        let name = if quoted_name { self.unquoted(label) } else { self.text(label).to_owned() };
        let kind = match self.peek_kind()? {
            TokenKind::Assign => MatchKind::Equal,
            TokenKind::Op(BinaryOp::Ne) => MatchKind::NotEqual,
            TokenKind::MatchRegex => MatchKind::Regex,
            TokenKind::MatchNotRegex => MatchKind::NotRegex,
            // A string alone is the metric's name.
            _ if quoted_name => return Ok(Matcher::equal(METRIC_NAME, &name)),
            _ => return self.unexpected_in(NAME, "label matching operator"),
        };
        self.next()?;
        if self.peek_kind()? != TokenKind::String {
            return self.unexpected_in(NAME, "string");
        }
        let value = self.next()?;
        let pos = label.pos.to(value.pos);
        self.count_regex(kind, pos)?;
        let value = self.unquoted(value);
        let matcher = Matcher::new(kind, &name, &value);
        let counted = matcher.and_then(|matcher| self.regex_bytes.add(&matcher).map(|()| matcher));
        counted.map_err(|e| match *e.kind() {
            Kind::Limit { name, max } => self.over_limit(pos, Limit { name, max }, e.message().to_owned()),
            _ => Box::new(ParseError::new(self.query(), pos, e.message().to_owned())),
        })
    }

    fn count_regex(&mut self, kind: MatchKind, pos: PosRange) -> Result<()> {
        self.regexes += usize::from(matches!(kind, MatchKind::Regex | MatchKind::NotRegex));
        if self.regexes <= MAX_REGEXES {
            return Ok(());
        }
        let limit = Limit { name: "query-regexes", max: MAX_REGEXES as u64 };
        let message = "the query has too many regular expressions, use plain values or fewer selectors";
        Err(self.over_limit(pos, limit, message.to_owned()))
    }

    /// Labels are UTF-8, so that what is not can equal none; U+FFFD comes close to that.
    fn unquoted(&self, token: Token) -> String {
        let bytes = unquote(self.text(token)).unwrap_or_default();
        String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    }
}
