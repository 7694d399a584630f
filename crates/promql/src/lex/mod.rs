//! Text to words.
//!
//! What a character means depends on where it stands: inside braces every word is a label name, inside
//! brackets only durations are words, and a colon is part of a name outside brackets only. The lexer
//! therefore keeps track of what is open. It refuses what Prometheus' lexer refuses, in the same words.

mod number;
mod string;
mod token;

pub(crate) use token::{Keyword, Token, TokenKind, is_label_word};

use crate::ast::{BinaryOp, PosRange};
use crate::parse::ParseError;
use crate::quote::{quoted, quoted_char};

/// Boxed, because results are returned through deep recursion.
pub(crate) type Result<T> = std::result::Result<T, Box<ParseError>>;

pub(crate) struct Lexer<'a> {
    query: &'a str,
    /// Where the next character is read.
    at: usize,
    /// Where the token being read begins.
    start: usize,
    /// Open parentheses.
    parens: usize,
    in_braces: bool,
    in_brackets: bool,
    /// From `[` to the first number in it.
    before_duration: bool,
    /// A colon was seen since the last `[`.
    had_colon: bool,
    /// A duration was seen in any brackets so far.
    had_duration: bool,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(query: &'a str) -> Self {
        Lexer {
            query,
            at: 0,
            start: 0,
            parens: 0,
            in_braces: false,
            in_brackets: false,
            before_duration: false,
            had_colon: false,
            had_duration: false,
        }
    }

    pub(crate) fn query(&self) -> &'a str {
        self.query
    }

    /// The next word; [`TokenKind::Eof`] for ever at the end.
    pub(crate) fn next_token(&mut self) -> Result<Token> {
        self.skip_blanks();
        self.start = self.at;
        if self.in_braces {
            self.inside_braces()
        } else if self.before_duration {
            self.inside_brackets()
        } else {
            self.statement()
        }
    }

    /// White space and comments. Before the first number in brackets `#` begins no comment.
    fn skip_blanks(&mut self) {
        let bytes = self.query.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                Some(b'#') if !self.before_duration => {
                    let line = bytes[self.at..].iter().position(|b| matches!(b, b'\n' | b'\r'));
                    self.at = line.map_or(bytes.len(), |len| self.at + len);
                }
                _ => return,
            }
        }
    }

    fn peek(&self) -> Option<char> {
        self.query.get(self.at..)?.chars().next()
    }

    fn peek_byte(&self) -> Option<u8> {
        self.query.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Takes the next byte if it is this one.
    fn accept(&mut self, byte: u8) -> bool {
        let found = self.peek_byte() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn word(&self) -> &'a str {
        self.query.get(self.start..self.at).unwrap_or_default()
    }

    fn token(&self, kind: TokenKind) -> Result<Token> {
        Ok(Token { kind, pos: PosRange::new(self.start, self.at) })
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T> {
        self.fail_at(self.start, message)
    }

    fn fail_at<T>(&self, start: usize, message: impl Into<String>) -> Result<T> {
        let pos = PosRange::new(start, self.query.len());
        Err(Box::new(ParseError::new(self.query, pos, message.into())))
    }

    fn statement(&mut self) -> Result<Token> {
        let Some(c) = self.next() else { return self.end() };
        match c {
            ',' => self.token(TokenKind::Comma),
            '=' | '!' | '<' | '>' => self.comparison(c),
            '0'..='9' | '.' => {
                if c == '.' && !self.peek_byte().is_some_and(|b| b.is_ascii_digit()) {
                    return self.fail("unexpected character: '.'");
                }
                self.number_or_duration()
            }
            '"' | '\'' | '`' => self.string(c),
            'a'..='z' | 'A'..='Z' | '_' | ':' if self.in_brackets => self.word_in_brackets(c),
            'a'..='z' | 'A'..='Z' | '_' | ':' => self.keyword_or_identifier(),
            '(' | ')' => self.paren(c),
            '{' => {
                self.in_braces = true;
                self.token(TokenKind::LeftBrace)
            }
            '[' if self.in_brackets => self.fail("unexpected left bracket '['"),
            '[' => {
                self.had_colon = false;
                self.in_brackets = true;
                self.before_duration = true;
                self.token(TokenKind::LeftBracket)
            }
            ']' if !self.in_brackets => self.fail("unexpected right bracket ']'"),
            ']' => {
                self.in_brackets = false;
                self.token(TokenKind::RightBracket)
            }
            '@' => self.token(TokenKind::At),
            _ => match arithmetic(c) {
                Some(op) => self.token(TokenKind::Op(op)),
                None => self.fail(format!("unexpected character: {}", quoted_char(c))),
            },
        }
    }

    fn end(&mut self) -> Result<Token> {
        if self.parens > 0 {
            return self.fail("unclosed left parenthesis");
        }
        if self.in_brackets {
            return self.fail("unclosed left bracket");
        }
        self.token(TokenKind::Eof)
    }

    fn comparison(&mut self, c: char) -> Result<Token> {
        let kind = match (c, self.peek()) {
            ('=', Some('~')) => return self.fail("unexpected character after '=': '~'"),
            ('=', Some('=')) => TokenKind::Op(BinaryOp::Eq),
            ('=', _) => return self.token(TokenKind::Assign),
            ('!', Some('=')) => TokenKind::Op(BinaryOp::Ne),
            ('!', other) => {
                let other = quoted_char(other.unwrap_or(char::REPLACEMENT_CHARACTER));
                return self.fail(format!("unexpected character after '!': {other}"));
            }
            ('<', Some('=')) => TokenKind::Op(BinaryOp::Le),
            ('<', Some('/')) => TokenKind::Op(BinaryOp::TrimUpper),
            ('<', _) => return self.token(TokenKind::Op(BinaryOp::Lt)),
            (_, Some('=')) => TokenKind::Op(BinaryOp::Ge),
            (_, Some('/')) => TokenKind::Op(BinaryOp::TrimLower),
            _ => return self.token(TokenKind::Op(BinaryOp::Gt)),
        };
        self.at += 1;
        self.token(kind)
    }

    fn paren(&mut self, c: char) -> Result<Token> {
        if c == '(' {
            self.parens += 1;
            return self.token(TokenKind::LeftParen);
        }
        match self.parens.checked_sub(1) {
            Some(left) => self.parens = left,
            // Prometheus has already moved past the token when it notices.
            None => return self.fail_at(self.at, "unexpected right parenthesis ')'"),
        }
        self.token(TokenKind::RightParen)
    }

    /// A word of `[A-Za-z0-9_:]` outside braces and brackets.
    fn keyword_or_identifier(&mut self) -> Result<Token> {
        self.skip_while(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':');
        let word = self.word();
        let kind = match token::keyword(word) {
            // As names of metrics these are older than as keywords.
            Some(TokenKind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
                if !self.before_paren() =>
            {
                TokenKind::Identifier
            }
            Some(kind) => kind,
            None if word.contains(':') => TokenKind::MetricIdentifier,
            None => TokenKind::Identifier,
        };
        self.token(kind)
    }

    fn before_paren(&self) -> bool {
        let rest = self.query.get(self.at..).unwrap_or_default();
        rest.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('(')
    }

    fn skip_while(&mut self, keep: impl Fn(u8) -> bool) {
        while self.peek_byte().is_some_and(&keep) {
            self.at += 1;
        }
    }

    fn inside_braces(&mut self) -> Result<Token> {
        let Some(c) = self.next() else { return self.fail("unexpected end of input inside braces") };
        match c {
            'a'..='z' | 'A'..='Z' | '_' => {
                self.skip_while(|b| b.is_ascii_alphanumeric() || b == b'_');
                self.token(TokenKind::Identifier)
            }
            ',' => self.token(TokenKind::Comma),
            '"' | '\'' | '`' => self.string(c),
            '=' if self.accept(b'~') => self.token(TokenKind::MatchRegex),
            '=' => self.token(TokenKind::Assign),
            '!' if self.accept(b'~') => self.token(TokenKind::MatchNotRegex),
            '!' if self.accept(b'=') => self.token(TokenKind::Op(BinaryOp::Ne)),
            '!' => {
                let other = quoted_char(self.peek().unwrap_or(char::REPLACEMENT_CHARACTER));
                self.fail(format!("unexpected character after '!' inside braces: {other}"))
            }
            '{' => self.fail("unexpected left brace '{'"),
            '}' => {
                self.in_braces = false;
                self.token(TokenKind::RightBrace)
            }
            _ => self.fail(format!("unexpected character inside braces: {}", quoted_char(c))),
        }
    }

    /// From `[` to the first number.
    fn inside_brackets(&mut self) -> Result<Token> {
        let Some(c) = self.next() else {
            return self.fail("unexpected end of input in duration expression");
        };
        match c {
            ']' => {
                (self.in_brackets, self.before_duration, self.had_colon) = (false, false, false);
                self.token(TokenKind::RightBracket)
            }
            ':' if !self.had_duration => {
                self.fail_at(self.at, "unexpected colon before duration in duration expression")
            }
            ':' if self.had_colon => {
                self.fail_at(self.at, "unexpected repeated colon in duration expression")
            }
            ':' => {
                self.had_colon = true;
                self.token(TokenKind::Colon)
            }
            ',' => self.token(TokenKind::Comma),
            '(' | ')' => self.paren(c),
            '0'..='9' | '.' if c != '.' || self.peek_byte().is_some_and(|b| b.is_ascii_digit()) => {
                self.had_duration = true;
                self.before_duration = false;
                self.number_or_duration()
            }
            _ => {
                if let Some(op) = arithmetic(c) {
                    return self.token(TokenKind::Op(op));
                }
                let Some(keyword) = self.duration_keyword(c) else {
                    let c = quoted_char(c);
                    return self.fail(format!("unexpected character in duration expression: {c}"));
                };
                // Prometheus does not count these, and refuses `a[step():1m]`.
                self.had_duration = true;
                self.token(TokenKind::Keyword(keyword))
            }
        }
    }

    /// In brackets, after the first number.
    fn word_in_brackets(&mut self, c: char) -> Result<Token> {
        if c == ':' {
            if self.had_colon {
                return self.fail("unexpected colon ':'");
            }
            self.had_colon = true;
            return self.token(TokenKind::Colon);
        }
        match self.duration_keyword(c) {
            Some(keyword) => self.token(TokenKind::Keyword(keyword)),
            None => self.fail(format!("unexpected character: {}, expected ':'", quoted_char(c))),
        }
    }

    /// `step`, `range`, `max_of` or `min_of`, whose first character has been read.
    fn duration_keyword(&mut self, first: char) -> Option<Keyword> {
        if !first.is_ascii_alphabetic() {
            return None;
        }
        self.skip_while(|b| b.is_ascii_alphabetic() || b == b'_');
        match token::keyword(self.word()) {
            Some(TokenKind::Keyword(keyword)) if keyword.is_duration() => Some(keyword),
            _ => None,
        }
    }

    fn number_or_duration(&mut self) -> Result<Token> {
        let (len, kind) = number::scan(&self.query.as_bytes()[self.start..]);
        self.at = self.start + len;
        match kind {
            Some(kind) => self.token(kind),
            None => self.fail(format!("bad number or duration syntax: {}", quoted(self.word()))),
        }
    }

    fn string(&mut self, quote: char) -> Result<Token> {
        let rest = self.query.get(self.at..).unwrap_or_default();
        match string::length(rest, quote) {
            Ok(len) => {
                self.at += len;
                self.token(TokenKind::String)
            }
            Err(message) => self.fail(message),
        }
    }
}

fn arithmetic(c: char) -> Option<BinaryOp> {
    Some(match c {
        '+' => BinaryOp::Add,
        '-' => BinaryOp::Sub,
        '*' => BinaryOp::Mul,
        '/' => BinaryOp::Div,
        '%' => BinaryOp::Mod,
        '^' => BinaryOp::Pow,
        _ => return None,
    })
}
