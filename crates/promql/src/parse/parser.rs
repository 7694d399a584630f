//! The parser's state: one word of look-ahead, where we are for the sake of messages, and limits.

use super::{Limit, MAX_DEPTH, MAX_QUERY_BYTES, ParseError, ParseOptions};
use crate::ast::{Expr, PosRange};
use crate::lex::{Lexer, Result, Token, TokenKind};
use nilometer_model::{Matcher, RegexBytes};

/// An expression and the height of its tree. Children of durations count too.
pub(super) struct Node {
    pub(super) expr: Expr,
    pub(super) height: usize,
}

impl Node {
    pub(super) fn leaf(expr: Expr) -> Self {
        Node { expr, height: 1 }
    }
}

/// What a message about an unexpected word says of the place: `in <place>, expected <expected>`.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) name: &'static str,
    pub(super) expected: &'static str,
}

pub(super) struct Parser<'a> {
    lexer: Lexer<'a>,
    peeked: Option<Token>,
    pub(super) options: ParseOptions,
    /// Where the last word that was taken ends.
    pub(super) last_end: u32,
    /// The innermost construct that has words of its own for what it does not expect.
    pub(super) place: Place,
    /// How deep the recursion is.
    nesting: usize,
    /// How many regular expressions have been compiled.
    pub(super) regexes: usize,
    pub(super) regex_bytes: RegexBytes,
}

impl<'a> Parser<'a> {
    pub(super) fn new(query: &'a str, options: ParseOptions) -> Result<Self> {
        let parser = Parser {
            lexer: Lexer::new(query),
            peeked: None,
            options,
            last_end: 0,
            place: Place { name: "", expected: "" },
            nesting: 0,
            regexes: 0,
            regex_bytes: RegexBytes::default(),
        };
        if query.len() > MAX_QUERY_BYTES {
            let limit = Limit { name: "query-bytes", max: MAX_QUERY_BYTES as u64 };
            let message = format!("the query is {} bytes long, shorten it", query.len());
            return Err(parser.over_limit(PosRange::default(), limit, message));
        }
        Ok(parser)
    }

    pub(super) fn whole_expr(mut self) -> Result<Expr> {
        if self.peek()?.kind == TokenKind::Eof {
            return self.fail(PosRange::default(), "no expression found in input");
        }
        let node = self.expr(0)?;
        self.end()?;
        Ok(node.expr)
    }

    pub(super) fn whole_selector(mut self) -> Result<Vec<Matcher>> {
        let first = self.peek()?;
        if first.kind != TokenKind::LeftBrace && !super::operand::is_metric_name(first.kind) {
            return self.unexpected();
        }
        let selector = self.vector_selector()?;
        self.end()?;
        Ok(selector.matchers)
    }

    fn end(&mut self) -> Result<()> {
        if self.peek()?.kind == TokenKind::Eof { Ok(()) } else { self.unexpected() }
    }

    pub(super) fn query(&self) -> &'a str {
        self.lexer.query()
    }

    pub(super) fn text(&self, token: Token) -> &'a str {
        token.text(self.lexer.query())
    }

    pub(super) fn peek(&mut self) -> Result<Token> {
        if let Some(token) = self.peeked {
            return Ok(token);
        }
        let token = self.lexer.next_token()?;
        self.peeked = Some(token);
        Ok(token)
    }

    pub(super) fn peek_kind(&mut self) -> Result<TokenKind> {
        Ok(self.peek()?.kind)
    }

    /// Takes the next word.
    pub(super) fn next(&mut self) -> Result<Token> {
        let token = self.peek()?;
        self.peeked = None;
        self.last_end = token.pos.end;
        Ok(token)
    }

    /// Takes the next word if it is of this kind.
    pub(super) fn accept(&mut self, kind: TokenKind) -> Result<Option<Token>> {
        if self.peek()?.kind == kind { self.next().map(Some) } else { Ok(None) }
    }

    /// Takes the next word, which must be of this kind.
    pub(super) fn expect(&mut self, kind: TokenKind) -> Result<Token> {
        if self.peek()?.kind == kind { self.next() } else { self.unexpected() }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn fail<T>(&self, pos: PosRange, message: impl Into<String>) -> Result<T> {
        Err(Box::new(ParseError::new(self.query(), pos, message.into())))
    }

    /// Refuses the next word, in the words of the place.
    #[cold]
    #[inline(never)]
    pub(super) fn unexpected<T>(&mut self) -> Result<T> {
        let token = self.peek()?;
        let mut message = format!("unexpected {}", token.describe(self.query()));
        if !self.place.name.is_empty() {
            message.push_str(" in ");
            message.push_str(self.place.name);
        }
        if !self.place.expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(self.place.expected);
        }
        self.fail(token.pos, message)
    }

    /// Refuses the next word in the words of a place of its own.
    #[cold]
    #[inline(never)]
    pub(super) fn unexpected_in<T>(&mut self, name: &'static str, expected: &'static str) -> Result<T> {
        self.place = Place { name, expected };
        self.unexpected()
    }

    #[cold]
    #[inline(never)]
    pub(super) fn over_limit(&self, pos: PosRange, limit: Limit, message: String) -> Box<ParseError> {
        Box::new(ParseError { limit: Some(limit), ..ParseError::new(self.query(), pos, message) })
    }

    /// Counts a level of recursion, which [`leave`](Parser::leave) ends. After an error nothing is
    /// parsed, hence nothing needs to be left.
    pub(super) fn enter(&mut self, pos: PosRange) -> Result<()> {
        self.nesting += 1;
        if self.nesting > MAX_DEPTH { Err(self.too_deep(pos)) } else { Ok(()) }
    }

    pub(super) fn leave(&mut self) {
        self.nesting -= 1;
    }

    /// The height of a node above children of the given height.
    pub(super) fn height_above(&self, children: usize, pos: PosRange) -> Result<usize> {
        if children >= MAX_DEPTH { Err(self.too_deep(pos)) } else { Ok(children + 1) }
    }

    #[cold]
    #[inline(never)]
    fn too_deep(&self, pos: PosRange) -> Box<ParseError> {
        let limit = Limit { name: "query-depth", max: MAX_DEPTH as u64 };
        let message = "the query is nested too deeply, or is too long a chain of operators; \
                       use parentheses to make a chain shallower, or recording rules for its parts";
        self.over_limit(pos, limit, message.to_owned())
    }
}
